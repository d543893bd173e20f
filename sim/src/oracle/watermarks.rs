//! Watermarks: REL-6. Nobody is said to have what its devices did not report, or what it may not see.

use std::collections::BTreeMap;

use trunkline_wire::ids::{ConversationId, DeviceId, UserId};

use super::Verdict;
use super::logs::Log;

/// How far somebody is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Mark {
    pub delivered: u64,
    pub read: u64,
}

impl Mark {
    /// The higher of both.
    pub fn max(self, other: Mark) -> Mark {
        Mark { delivered: self.delivered.max(other.delivered), read: self.read.max(other.read) }
    }

    /// Whoever has read something has it.
    pub fn normal(self) -> Mark {
        Mark { delivered: self.delivered.max(self.read), read: self.read }
    }
}

/// Everything that devices reported.
#[derive(Default)]
pub struct Watermarks {
    reported: BTreeMap<(ConversationId, UserId, DeviceId), Mark>,
}

impl Watermarks {
    /// A device reports.
    pub fn report(&mut self, conversation: ConversationId, user: UserId, device: DeviceId, mark: Mark) {
        let before = self.reported.entry((conversation, user, device)).or_default();
        *before = before.max(mark.normal());
    }

    /// The most that a user's devices said of a conversation.
    pub fn of_user(&self, conversation: ConversationId, user: UserId) -> Mark {
        let (low, high) = (DeviceId(0), DeviceId(u32::MAX));
        let of_user = self.reported.range((conversation, user, low)..=(conversation, user, high));
        of_user.fold(Mark::default(), |most, (_, mark)| most.max(*mark))
    }

    /// The most that one device said.
    pub fn of_device(&self, conversation: ConversationId, user: UserId, device: DeviceId) -> Mark {
        self.reported.get(&(conversation, user, device)).copied().unwrap_or_default()
    }

    /// Somebody is told how far a user is.
    pub fn check(&self, conversation: ConversationId, log: &Log, user: UserId, told: Mark) -> Verdict {
        let most = self.of_user(conversation, user);
        let visible = log.visible(user);
        if told.read > told.delivered || told.delivered > visible {
            return Err(format!("REL-6: {user} is said to be at {told:?} of {conversation} and sees up to {visible}"));
        }
        if told.read > most.read || told.delivered > most.delivered {
            return Err(format!("REL-6: {user} is said to be at {told:?} of {conversation}, it reported {most:?}"));
        }
        Ok(())
    }
}
