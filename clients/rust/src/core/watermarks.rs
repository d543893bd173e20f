//! How far others are, as the server said: never lower than it said before.

use std::collections::{BTreeMap, VecDeque};

use trunkline_wire::ids::{ConversationId, UserId};

use super::event::{ClientEvent, UserReceipt};
use super::outlet::Outlet;
use crate::limits::{EVENTS_WAITING_MAX, WATERMARKS_MAX};

type Users = BTreeMap<UserId, (u64, u64)>;

#[derive(Debug, Default)]
pub(super) struct Watermarks {
    by_conversation: BTreeMap<ConversationId, Users>,
    /// Conversations in the order in which they were first spoken of.
    order: VecDeque<ConversationId>,
    count: usize,
    /// To be told.
    risen: BTreeMap<ConversationId, Users>,
}

impl Watermarks {
    /// What is known of a conversation.
    pub(super) fn of(&self, conversation: ConversationId) -> impl Iterator<Item = UserReceipt> {
        self.by_conversation.get(&conversation).into_iter().flatten().map(receipt)
    }

    /// The server said so.
    pub(super) fn merge(&mut self, conversation: ConversationId, receipts: impl Iterator<Item = UserReceipt>) {
        for UserReceipt { user, delivered_seq, read_seq } in receipts {
            if !self.by_conversation.contains_key(&conversation) {
                self.order.push_back(conversation);
            }
            let users = self.by_conversation.entry(conversation).or_default();
            if !users.contains_key(&user) {
                self.count += 1;
            }
            let (delivered, read) = users.entry(user).or_default();
            let (old_delivered, old_read) = (*delivered, *read);
            (*delivered, *read) = (old_delivered.max(delivered_seq).max(read_seq), old_read.max(read_seq));
            if (*delivered, *read) != (old_delivered, old_read) {
                self.risen.entry(conversation).or_default().insert(user, (*delivered, *read));
            }
        }
        self.forget(conversation);
    }

    /// A backup was restored: the conversation's numbers from `seq` on are given anew.
    pub(super) fn rewind(&mut self, conversation: ConversationId, seq: u64) {
        for (delivered, read) in self.by_conversation.get_mut(&conversation).into_iter().flat_map(Users::values_mut) {
            (*delivered, *read) = ((*delivered).min(seq - 1), (*read).min(seq - 1));
        }
    }

    fn forget(&mut self, latest: ConversationId) {
        while self.count > WATERMARKS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            if oldest == latest && !self.order.is_empty() {
                self.order.push_back(oldest);
                continue;
            }
            self.count -= self.by_conversation.remove(&oldest).map_or(0, |users| users.len());
            self.risen.remove(&oldest);
        }
    }

    pub(super) fn has_news(&self, out: &Outlet) -> bool {
        !self.risen.is_empty() && out.events.len() < EVENTS_WAITING_MAX
    }

    /// Tells what rose, while there is room.
    pub(super) fn tell(&mut self, out: &mut Outlet) {
        while self.has_news(out)
            && let Some((conversation, users)) = self.risen.pop_first()
        {
            out.event(ClientEvent::Receipts { conversation, users: users.iter().map(receipt).collect() });
        }
    }
}

fn receipt((&user, &(delivered_seq, read_seq)): (&UserId, &(u64, u64))) -> UserReceipt {
    UserReceipt { user, delivered_seq, read_seq }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: ConversationId = ConversationId([1; 16]);

    fn receipt(user: u64, delivered_seq: u64, read_seq: u64) -> UserReceipt {
        UserReceipt { user: UserId(user), delivered_seq, read_seq }
    }

    #[test]
    fn watermarks_only_rise_and_are_told_when_they_do() {
        let (mut out, mut watermarks) = (Outlet::new([0; 32]), Watermarks::default());
        watermarks.merge(CHAT, [receipt(1, 5, 2), receipt(2, 1, 0)].into_iter());
        watermarks.merge(CHAT, [receipt(1, 4, 3)].into_iter());
        watermarks.tell(&mut out);
        let users = vec![receipt(1, 5, 3), receipt(2, 1, 0)];
        assert_eq!(out.events.pop_front(), Some(ClientEvent::Receipts { conversation: CHAT, users }));
        watermarks.merge(CHAT, [receipt(1, 5, 3), receipt(2, 0, 0)].into_iter());
        watermarks.tell(&mut out);
        assert_eq!(out.events.pop_front(), None);
        assert_eq!(watermarks.of(CHAT).collect::<Vec<_>>(), [receipt(1, 5, 3), receipt(2, 1, 0)]);
    }

    #[test]
    fn what_is_known_is_bounded() {
        let mut watermarks = Watermarks::default();
        for conversation in 0..=255u8 {
            let users = (1..=1_000).map(|user| receipt(user, 1, 1));
            watermarks.merge(ConversationId([conversation; 16]), users);
        }
        assert!(watermarks.count <= WATERMARKS_MAX, "{}", watermarks.count);
        assert_eq!(watermarks.of(ConversationId([255; 16])).count(), 1_000, "the latest stay");
        assert_eq!(watermarks.order.len(), watermarks.by_conversation.len());
    }
}
