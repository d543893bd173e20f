//! One conversation's messages on their way to the program: each once, in order of seq.

use std::collections::BTreeMap;

use super::message::Message;
use crate::limits::REORDER_MESSAGES_MAX;

/// A seq that came before those below it.
#[derive(Debug)]
enum Slot {
    Message(Box<Message>),
    /// A message of this process that is told by `Sent` alone.
    Own,
}

impl Slot {
    fn bytes(&self) -> usize {
        match self {
            Slot::Message(message) => message.body.len(),
            Slot::Own => 0,
        }
    }
}

/// What to do with a message of a seq.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Admission {
    /// It was delivered, or waits already.
    Duplicate,
    /// It is the next one.
    Next,
    /// Others are missing before it.
    Early,
}

/// Where a feed begins whose first seq is not known yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Start {
    /// With the user's window.
    Joined,
    /// Behind what this device has reported as delivered.
    Delivered,
    /// Behind what this device has reported as delivered, if it has; else with the first message that came.
    First,
}

/// The end of the window of a member.
pub(super) const NO_END: u64 = u64::MAX;

/// What was told may not be what the server has: a backup was restored there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Doubt {
    /// What is above was compared.
    pub(super) from: u64,
    /// The highest seq that came meanwhile; 0: none.
    pub(super) heard: u64,
    /// Messages of ours that came meanwhile, and are not shown.
    pub(super) own: Vec<u64>,
}

#[derive(Debug)]
pub(super) struct Feed {
    /// Not known where to begin: messages wait, and `next` is the lowest seq that came.
    pub(super) start: Option<Start>,
    /// The user's window: below `joined` there is nothing for it (0: not known) ...
    pub(super) joined: u64,
    /// ... and nothing above `end`.
    pub(super) end: u64,
    /// The list knows what conversation this is, or nobody does.
    pub(super) described: bool,
    /// The highest seq that became an event, and how far the program has confirmed those.
    pub(super) told: u64,
    pub(super) confirmed: u64,
    /// The next seq to be delivered.
    pub(super) next: u64,
    /// Highest seq known to exist.
    pub(super) last: u64,
    /// 0: not known.
    pub(super) epoch: u64,
    pub(super) doubt: Option<Doubt>,
    /// What was told before this process began was of this epoch or a later one; 0: not known.
    pub(super) stored_epoch: u64,
    /// Its epoch is not known, and the server was restored since.
    pub(super) is_unsure: bool,
    /// The start is where a list saw the conversation, which may be behind what is pushed.
    pub(super) soft: bool,
    pub(super) fetching: bool,
    /// When missing messages are asked for.
    pub(super) due_ms: u64,
    /// Refused or useless requests in a row.
    pub(super) failures: u32,
    early: BTreeMap<u64, Slot>,
    /// Of the bodies that wait.
    pub(super) early_bytes: usize,
}

impl Feed {
    pub(super) fn new(next: u64, soft: bool) -> Feed {
        assert!(next > 0, "seq starts at 1");
        Feed {
            start: None,
            joined: 0,
            end: NO_END,
            described: false,
            told: 0,
            confirmed: 0,
            next,
            last: next - 1,
            epoch: 0,
            doubt: None,
            stored_epoch: 0,
            is_unsure: false,
            soft,
            fetching: false,
            due_ms: 0,
            failures: 0,
            early: BTreeMap::new(),
            early_bytes: 0,
        }
    }

    /// A feed of which a message came before it is known where it begins.
    pub(super) fn unplaced(start: Start, seq: u64) -> Feed {
        Feed { start: Some(start), ..Feed::new(seq, false) }
    }

    /// Whether messages are missing.
    pub(super) fn lags(&self) -> bool {
        self.start.is_some() || self.next <= self.last || self.doubt.is_some()
    }

    /// Whether something is to be asked for.
    pub(super) fn is_wanting(&self) -> bool {
        self.lags() || !self.described
    }

    /// Whether everything up to a seq was delivered.
    pub(super) fn has(&self, seq: u64) -> bool {
        self.start.is_none() && self.next > seq && self.doubt.is_none()
    }

    /// The conversation goes on at least up to this seq.
    pub(super) fn saw(&mut self, seq: u64) {
        self.last = self.last.max(seq.min(self.end));
    }

    /// It begins with this seq; gives what came already.
    pub(super) fn place(&mut self, next: u64) -> Vec<Message> {
        assert!(self.start.is_some() && next > 0);
        // Only the first message that came may turn out to be preceded by others.
        self.soft &= self.start == Some(Start::First);
        self.start = None;
        self.next = 0;
        self.skip_to(next)
    }

    /// The server's word on the user's window; gives what follows without a gap where a later window begins.
    pub(super) fn set_window(&mut self, joined: u64, end: u64) -> Vec<Message> {
        if joined < self.joined {
            return Vec::new();
        }
        let later = joined > self.joined && (self.joined > 0 || joined > self.end);
        let again = joined > self.joined && self.start.is_none() && self.next < joined;
        // Within one window the user leaves once.
        self.end = if later { end } else { end.min(self.end) };
        self.joined = joined;
        self.last = self.last.min(self.end);
        if again { self.skip_to(joined) } else { Vec::new() }
    }

    /// The message with this seq takes the user out.
    pub(super) fn leave(&mut self, seq: u64) {
        if self.end != NO_END || seq < self.joined {
            return;
        }
        self.end = seq;
        self.last = self.last.min(seq);
        let behind = self.early.split_off(&(seq + 1));
        self.early_bytes -= behind.values().map(Slot::bytes).sum::<usize>();
    }

    pub(super) fn admit(&self, seq: u64) -> Admission {
        if self.start.is_some() {
            return if self.early.contains_key(&seq) { Admission::Duplicate } else { Admission::Early };
        }
        match seq.cmp(&self.next) {
            std::cmp::Ordering::Less => Admission::Duplicate,
            std::cmp::Ordering::Equal => Admission::Next,
            std::cmp::Ordering::Greater if self.early.contains_key(&seq) => Admission::Duplicate,
            std::cmp::Ordering::Greater => Admission::Early,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.early.len() >= REORDER_MESSAGES_MAX
    }

    /// Keeps an early message; `None` stands for one of ours that is not shown.
    pub(super) fn keep(&mut self, seq: u64, message: Option<Message>) {
        self.early_bytes += message.as_ref().map_or(0, |message| message.body.len());
        let slot = message.map_or(Slot::Own, |message| Slot::Message(Box::new(message)));
        self.early.insert(seq, slot);
        self.saw(seq);
    }

    /// An early message turns out to be ours, as one adopted from another process; gives its bytes.
    pub(super) fn hide(&mut self, seq: u64) -> usize {
        let Some(slot) = self.early.get_mut(&seq) else { return 0 };
        let Slot::Message(message) = std::mem::replace(slot, Slot::Own) else { return 0 };
        self.early_bytes -= message.body.len();
        message.body.len()
    }

    /// Forgets early messages: history has them. Marks of our own stay, since history would show them as messages.
    pub(super) fn drop_messages(&mut self) {
        self.early.retain(|_, slot| matches!(slot, Slot::Own));
        self.early_bytes = 0;
    }

    /// The program has confirmed everything up to `seq`.
    pub(super) fn confirm(&mut self, seq: u64) {
        self.confirmed = self.confirmed.max(seq);
    }

    /// Whether the program has yet to confirm something.
    pub(super) fn is_unconfirmed(&self) -> bool {
        self.told > self.confirmed
    }

    /// `next` is delivered: gives what now follows without a gap.
    pub(super) fn advance(&mut self) -> Vec<Message> {
        self.next += 1;
        self.last = self.last.max(self.next - 1);
        self.soft = false;
        self.follow_on()
    }

    /// Passes over missing messages.
    pub(super) fn skip_to(&mut self, next: u64) -> Vec<Message> {
        assert!(next >= self.next);
        self.next = next;
        self.last = self.last.max(next - 1);
        let behind = self.early.split_off(&next);
        let passed = std::mem::replace(&mut self.early, behind);
        self.early_bytes -= passed.values().map(Slot::bytes).sum::<usize>();
        self.follow_on()
    }

    fn follow_on(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(slot) = self.early.remove(&self.next) {
            self.next += 1;
            self.soft = false;
            if let Slot::Message(message) = slot {
                self.early_bytes -= message.body.len();
                messages.push(*message);
            }
        }
        self.last = self.last.max(self.next - 1);
        messages
    }

    /// The first seq that waits for others.
    pub(super) fn first_early(&self) -> Option<u64> {
        self.early.first_key_value().map(|(&seq, _)| seq)
    }

    /// A backup was restored: what was delivered from `next` on is no more.
    pub(super) fn rewind(&mut self, next: u64) {
        (self.next, self.last) = (next, next - 1);
        (self.told, self.confirmed) = (self.told.min(next - 1), self.confirmed.min(next - 1));
        self.early.clear();
        self.early_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, UserId};

    fn message(seq: u64) -> Message {
        Message {
            conversation: ConversationId([1; 16]),
            epoch: 1,
            seq,
            ts_ms: seq,
            sender: UserId(1),
            device: DeviceId(1),
            message_id: MessageId(seq),
            kind: 1,
            body: vec![0; 10],
        }
    }

    #[test]
    fn early_messages_follow_when_the_gap_closes() {
        let mut feed = Feed::new(1, false);
        feed.keep(3, Some(message(3)));
        feed.keep(2, None);
        feed.keep(5, Some(message(5)));
        assert_eq!(
            (feed.admit(1), feed.admit(3), feed.admit(4)),
            (Admission::Next, Admission::Duplicate, Admission::Early)
        );
        assert_eq!(feed.advance().iter().map(|m| m.seq).collect::<Vec<_>>(), [3]);
        assert_eq!((feed.next, feed.early_bytes, feed.lags()), (4, 10, true));
        assert_eq!(feed.advance().len(), 1);
        assert!(!feed.lags());
    }

    #[test]
    fn what_told_something_is_not_placed_again() {
        let mut feed = Feed { start: Some(Start::First), ..Feed::new(2, true) };
        feed.keep(2, Some(message(2)));
        assert_eq!(feed.place(2).len(), 1);
        assert!(!feed.soft);
        let mut feed = Feed { start: Some(Start::First), ..Feed::new(2, true) };
        assert!(feed.place(2).is_empty() && feed.soft, "what comes may be older");
    }

    #[test]
    fn what_is_dropped_is_still_known_to_exist() {
        let mut feed = Feed::new(1, false);
        feed.keep(2, None);
        feed.keep(3, Some(message(3)));
        feed.drop_messages();
        assert_eq!((feed.admit(2), feed.admit(3), feed.last), (Admission::Duplicate, Admission::Early, 3));
    }
}
