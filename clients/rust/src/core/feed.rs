//! One conversation's messages on their way to the program: each once, in order of seq.

use std::collections::BTreeMap;

use super::event::Message;
use crate::limits::REORDER_MESSAGES_MAX;

/// A seq that came before those below it.
#[derive(Debug)]
enum Slot {
    Message(Box<Message>),
    /// A message of this process that is told by `Sent` alone.
    Own,
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

#[derive(Debug)]
pub(super) struct Feed {
    /// The next seq to be delivered.
    pub(super) next: u64,
    /// Highest seq known to exist.
    pub(super) last: u64,
    /// 0: not known.
    pub(super) epoch: u64,
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
            next,
            last: next - 1,
            epoch: 0,
            soft,
            fetching: false,
            due_ms: 0,
            failures: 0,
            early: BTreeMap::new(),
            early_bytes: 0,
        }
    }

    pub(super) fn lags(&self) -> bool {
        self.next <= self.last
    }

    pub(super) fn admit(&self, seq: u64) -> Admission {
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
        self.last = self.last.max(seq);
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
        for slot in std::mem::replace(&mut self.early, behind).into_values() {
            if let Slot::Message(message) = slot {
                self.early_bytes -= message.body.len();
            }
        }
        self.follow_on()
    }

    fn follow_on(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(slot) = self.early.remove(&self.next) {
            self.next += 1;
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
    pub(super) fn rewind(&mut self, next: u64, epoch: u64) {
        (self.next, self.last, self.epoch) = (next, next - 1, epoch);
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
    fn what_is_dropped_is_still_known_to_exist() {
        let mut feed = Feed::new(1, false);
        feed.keep(2, None);
        feed.keep(3, Some(message(3)));
        feed.drop_messages();
        assert_eq!((feed.admit(2), feed.admit(3), feed.last), (Admission::Duplicate, Admission::Early, 3));
    }
}
