//! What the program behind a client is handed: every row of its user's window once, and in order.

use std::collections::BTreeMap;

use trunkline_wire::ids::ConversationId;

use super::logs::Log;
use trunkline_wire::ids::UserId;

/// What one client process was handed, of each conversation.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Shown {
    last: BTreeMap<ConversationId, u64>,
}

impl Shown {
    /// The last seq that was handed on; 0: none.
    pub fn last(&self, conversation: ConversationId) -> u64 {
        self.last.get(&conversation).copied().unwrap_or(0)
    }

    /// The next message is handed on. It is the one behind the last, or the first of a window that was opened since.
    ///
    /// `known`: what a process that began without state need not be handed again.
    pub fn hand(
        &mut self,
        log: &Log,
        user: UserId,
        (conversation, seq): (ConversationId, u64),
        known: u64,
    ) -> Result<Step, String> {
        let last = self.last.insert(conversation, seq);
        let opens = log.windows(user).iter().any(|window| window.joined == seq);
        match last {
            Some(last) if seq == last + 1 => Ok(Step::Next),
            Some(last) if seq > last && opens => Ok(Step::Window),
            None if opens || seq <= known + 1 => Ok(Step::First),
            _ => Err(format!(
                "REL-4: {user} was shown seq {seq} of {conversation} behind {last:?}, known {known}, windows {:?}",
                log.windows(user)
            )),
        }
    }
}

/// What a message was in its stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The first.
    First,
    /// The one behind the last.
    Next,
    /// The first of a later window.
    Window,
}
