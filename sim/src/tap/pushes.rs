//! What the server says unasked: messages, positions, watermarks, typing.

use std::collections::BTreeSet;

use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, UserId};
use trunkline_wire::message::{Answer, Change, ContentKind, decode_membership, schema};

use super::{Ears, Tap};
use crate::oracle::Verdict;
use crate::oracle::logs::Seen;
use crate::oracle::watermarks::Mark;

/// A message as the oracle takes it.
pub(super) fn seen<'a>(view: &schema::Message<'a>) -> Seen<'a> {
    Seen {
        seq: view.seq(),
        epoch: view.epoch(),
        ts_ms: view.ts_ms(),
        sender: UserId(view.sender()),
        device: DeviceId(view.device()),
        message_id: MessageId(view.message_id()),
        kind: view.kind(),
        body: view.body().map(|body| body.bytes()).unwrap_or_default(),
    }
}

pub(super) fn named(id: Option<&schema::ConversationId>) -> Result<ConversationId, String> {
    id.map(|id| ConversationId(id.0)).ok_or_else(|| "an answer names no conversation".to_owned())
}

impl Tap {
    pub(super) fn pushed(&mut self, ears: &mut Ears<'_>, pushed: &Answer<'_>) -> Verdict {
        match pushed {
            Answer::Message(message) => self.pushed_message(ears, message),
            Answer::Advanced(advanced) => self.pushed_advanced(ears, advanced),
            Answer::Receipts(receipts) => self.pushed_receipts(ears, receipts),
            Answer::TypingNow(typing) => self.pushed_typing(ears, typing),
            Answer::Error(_) | Answer::GoAway(_) => Ok(()),
            other => Err(format!("the server pushed what is an answer: {other:?}")),
        }
    }

    fn pushed_message(&mut self, ears: &mut Ears<'_>, message: &schema::Message<'_>) -> Verdict {
        let conversation = named(message.conversation())?;
        let seen = seen(message);
        ears.oracle.shown(ears.store, self.user, conversation, &seen)?;
        let before = self.pushed.insert(conversation, seen.seq).unwrap_or(0);
        if seen.seq <= before {
            return Err(format!("REL-4: seq {} of {conversation} was pushed behind {before}", seen.seq));
        }
        if seen.kind == ContentKind::Membership as u8
            && let Ok(view) = decode_membership(seen.body)
            && view.change() == Change::Removed as u8
            && view.users().into_iter().flatten().any(|user| user == self.user.0)
        {
            ears.marks.push("removals_pushed_to_the_removed");
            self.removed.insert(conversation, seen.seq);
        }
        Ok(())
    }

    fn pushed_advanced(&mut self, ears: &mut Ears<'_>, advanced: &schema::Advanced<'_>) -> Verdict {
        let (from, to) = (advanced.from(), advanced.to());
        if from > to || to < self.advanced_to {
            return Err(format!("positions: Advanced from {from} to {to} behind {}", self.advanced_to));
        }
        self.advanced_to = to;
        ears.oracle.lists.check_number(ears.store, self.user, to, ears.numbers_floor)?;
        let mut conversations = BTreeSet::new();
        for place in advanced.conversations().into_iter().flatten() {
            let (conversation, last_seq) = (ConversationId(place.conversation().0), place.last_seq());
            let log = ears.oracle.log_up_to(ears.store, conversation, last_seq)?;
            // 0: something else than the newest seq changed.
            if last_seq > log.last() || last_seq > 0 && !log.sees(self.user, last_seq) {
                return Err(format!("REL-7: {} was told of seq {last_seq} of {conversation}", self.user));
            }
            conversations.insert(conversation);
        }
        ears.marks.push(if from == to { "advanced_empty" } else { "advanced" });
        match ears.oracle.lists.unnamed(ears.store, self.user, (from, to), &conversations) {
            None => Ok(()),
            Some(row) => Err(format!("positions: Advanced from {from} to {to} does not name {row:?}")),
        }
    }

    /// Whether what is not stored may still be pushed to this user: not behind its removal.
    fn check_member(&self, ears: &mut Ears<'_>, conversation: ConversationId) -> Verdict {
        let log = ears.oracle.log_now(ears.store, conversation)?;
        let behind = self.removed.get(&conversation).copied().unwrap_or(0);
        match log.window(self.user) {
            Some(window) if window.joined > behind || window.left == u64::MAX => Ok(()),
            window => Err(format!("REL-7: {} was told who is where in {conversation}: {window:?}", self.user)),
        }
    }

    fn pushed_receipts(&mut self, ears: &mut Ears<'_>, receipts: &schema::Receipts<'_>) -> Verdict {
        let conversation = named(receipts.conversation())?;
        // One who left goes on being told of its own devices.
        if receipts.users().into_iter().flatten().any(|receipt| receipt.user() != self.user.0) {
            self.check_member(ears, conversation)?;
        }
        ears.marks.push("receipts_pushed");
        for receipt in receipts.users().into_iter().flatten() {
            let told = Mark { delivered: receipt.delivered_seq(), read: receipt.read_seq() };
            let user = UserId(receipt.user());
            ears.oracle.marked(ears.store, conversation, user, told)?;
            let before = self.told.insert((conversation, user), told).unwrap_or_default();
            if before.max(told) != told {
                return Err(format!("REL-6: {user} went from {before:?} to {told:?} in {conversation}"));
            }
        }
        Ok(())
    }

    fn pushed_typing(&mut self, ears: &mut Ears<'_>, typing: &schema::TypingNow<'_>) -> Verdict {
        let conversation = named(typing.conversation())?;
        self.check_member(ears, conversation)?;
        ears.marks.push("typing_pushed");
        let user = UserId(typing.user());
        let good = ears.oracle.typed.contains(&(conversation, user))
            && user != self.user
            && u64::from(typing.expires_ms()) == ears.typing_ms;
        if good { Ok(()) } else { Err(format!("REL-27: {} was told that {user} types", self.user)) }
    }
}
