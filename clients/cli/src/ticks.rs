//! How far the others of a conversation are: when all of them have what was said here, and when they have read it.

use std::collections::{BTreeMap, BTreeSet};

use trunkline_client::core::{Change, Message};
use trunkline_wire::ids::UserId;

use crate::limits::CHAT_UNREAD_MAX;

/// What a second tick says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tick {
    Delivered,
    Read,
}

#[derive(Debug)]
pub(crate) struct Ticks {
    me: UserId,
    /// Delivered and read, of each other member.
    others: BTreeMap<UserId, (u64, u64)>,
    /// Messages of this user that not everybody has read.
    said: BTreeSet<u64>,
    /// The last of them that all have.
    delivered_seq: u64,
}

impl Ticks {
    pub fn new(me: UserId) -> Ticks {
        Ticks { me, others: BTreeMap::new(), said: BTreeSet::new(), delivered_seq: 0 }
    }

    /// A member is at least so far.
    pub fn heard(&mut self, user: UserId, delivered_seq: u64, read_seq: u64) {
        if user != self.me {
            let (delivered, read) = self.others.entry(user).or_default();
            (*delivered, *read) = ((*delivered).max(delivered_seq), (*read).max(read_seq));
        }
    }

    /// A message is shown: one of this user is waited for, a change of members changes for whom.
    pub fn shown(&mut self, message: &Message) {
        match message.membership() {
            Some(change) if change.change == Change::Removed => {
                self.others.retain(|user, _| !change.users.contains(user));
            }
            // Nobody waits until who just came has read what is not for them.
            Some(change) => change.users.iter().for_each(|user| self.heard(*user, message.seq - 1, message.seq - 1)),
            None if message.sender == self.me => {
                self.said.insert(message.seq);
                if self.said.len() > CHAT_UNREAD_MAX {
                    self.said.pop_first();
                }
            }
            None => {}
        }
    }

    /// Up to where all others have what was said, and have read it; none where nobody counts.
    pub fn far(&self) -> Option<(u64, u64)> {
        let all = |far: fn(&(u64, u64)) -> u64| self.others.values().map(far).min();
        Some((all(|far| far.0)?, all(|far| far.1)?))
    }

    /// What is to be told: the last message that all have now, or have read now.
    pub fn news(&mut self) -> Vec<(Tick, u64)> {
        let Some((delivered, read)) = self.far() else { return Vec::new() };
        let mut news = Vec::new();
        let delivered_seq = self.said.range(..=delivered).next_back().copied().unwrap_or(0);
        let read_seq = self.said.range(..=read).next_back().copied();
        if delivered_seq > self.delivered_seq {
            self.delivered_seq = delivered_seq;
            if read_seq != Some(delivered_seq) {
                news.push((Tick::Delivered, delivered_seq));
            }
        }
        if let Some(read_seq) = read_seq {
            self.said = self.said.split_off(&(read_seq + 1));
            news.push((Tick::Read, read_seq));
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_client::core::{ContentKind, ConversationId, DeviceId, MessageId};

    fn message(seq: u64, sender: u64) -> Message {
        Message {
            conversation: ConversationId([1; 16]),
            epoch: 1,
            seq,
            ts_ms: 1,
            sender: UserId(sender),
            device: DeviceId(1),
            message_id: MessageId(seq),
            kind: ContentKind::Text as u8,
            body: b"x".to_vec(),
        }
    }

    #[test]
    fn a_second_tick_needs_everybody() {
        let mut ticks = Ticks::new(UserId(1));
        ticks.heard(UserId(2), 0, 0);
        ticks.heard(UserId(3), 0, 0);
        ticks.shown(&message(1, 1));
        ticks.shown(&message(2, 1));
        ticks.heard(UserId(2), 2, 2);
        assert_eq!(ticks.news(), []);
        ticks.heard(UserId(3), 1, 0);
        assert_eq!(ticks.news(), [(Tick::Delivered, 1)]);
        ticks.heard(UserId(3), 2, 2);
        assert_eq!(ticks.news(), [(Tick::Read, 2)]);
        assert_eq!(ticks.news(), [], "once");
        ticks.shown(&message(3, 1));
        ticks.shown(&message(4, 3));
        assert_eq!(ticks.news(), []);
        ticks.heard(UserId(2), 4, 4);
        ticks.heard(UserId(3), 4, 4);
        assert_eq!(ticks.news(), [(Tick::Read, 3)]);
    }

    #[test]
    fn alone_there_is_nobody_to_have_it() {
        let mut ticks = Ticks::new(UserId(1));
        ticks.heard(UserId(1), 9, 9);
        ticks.shown(&message(1, 1));
        assert_eq!(ticks.news(), []);
    }
}
