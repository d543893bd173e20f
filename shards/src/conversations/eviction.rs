//! Which conversations stay in memory: all of them within the budget, above it those with something under way and, of the
//! others, those asked for of late (second chance: Corbató, 1968).

use alloc::boxed::Box;

use super::{Conversations, Place};
use crate::conversation::{Conversation, KEPT_NS};
use crate::store::ConversationKey;
use crate::turn::Turn;

/// Conversations looked at for eviction in one turn.
const STEPS_PER_TURN: usize = 64;
/// 1:1s that nobody has written to and that are kept all the same, at the same time.
const KEPT_MAX: u64 = 4_096;

impl Conversations {
    /// A conversation is here from now on.
    pub(super) fn insert(&mut self, turn: &mut Turn<'_>, mut conversation: Conversation) {
        let key = conversation.key;
        self.stays += 1;
        self.here += 1;
        conversation.residence.number = self.stays;
        conversation.announcing.begin_stay(self.stays);
        if !conversation.is_group() && conversation.is_unwritten() && self.kept < KEPT_MAX {
            conversation.residence.kept_until_ns = Some(turn.now.mono_ns + KEPT_NS);
            self.kept += 1;
        }
        if !conversation.is_group() || !conversation.is_unwritten() {
            conversation.residence.in_turn = true;
            self.clock.push_back((key, self.stays));
        }
        conversation.recharge(&mut turn.shared.cache);
        let before = self.places.insert(key, Place::Here(Box::new(conversation)));
        assert!(before.is_none(), "a conversation is here once");
    }

    /// A conversation goes from memory.
    pub(super) fn remove(&mut self, turn: &mut Turn<'_>, key: ConversationKey) {
        let Some(Place::Here(mut conversation)) = self.places.remove(&key) else {
            unreachable!("only conversations that are here go");
        };
        self.here -= 1;
        self.kept -= u64::from(conversation.residence.kept_until_ns.is_some());
        conversation.discharge(&mut turn.shared.cache);
    }

    /// A conversation has rows in the store, or still none: one that has need not be kept.
    pub(super) fn written(&mut self, key: ConversationKey) {
        let Some(conversation) = self.here(key).filter(|conversation| !conversation.is_unwritten()) else { return };
        let residence = &mut conversation.residence;
        let (was_kept, number) = (residence.kept_until_ns.take().is_some(), residence.number);
        let was_in_turn = core::mem::replace(&mut residence.in_turn, true);
        self.kept -= u64::from(was_kept);
        if !was_in_turn {
            self.clock.push_back((key, number));
        }
    }

    /// Charges the budget with what a conversation takes now.
    pub(crate) fn recharge(&mut self, turn: &mut Turn<'_>, key: ConversationKey) {
        if let Some(conversation) = self.here(key) {
            conversation.recharge(&mut turn.shared.cache);
        }
    }

    /// Lets idle conversations go while there are too many bytes; whether there may be more of them.
    pub(super) fn evict(&mut self, turn: &mut Turn<'_>) -> bool {
        let mut is_getting_on = false;
        for _ in 0..STEPS_PER_TURN.min(self.clock.len()) {
            if !turn.shared.cache.is_over(&turn.shared.limits) {
                return false;
            }
            let Some((key, number)) = self.clock.pop_front() else { return false };
            let Some(conversation) = self.here(key).filter(|here| here.residence.number == number) else {
                is_getting_on = true;
                continue;
            };
            let touched = core::mem::take(&mut conversation.residence.touched);
            let pinned = conversation.is_pinned(turn.now.mono_ns);
            is_getting_on |= !pinned;
            if pinned {
                conversation.shed();
                conversation.recharge(&mut turn.shared.cache);
            }
            if pinned || touched {
                self.clock.push_back((key, number));
            } else {
                self.remove(turn, key);
                turn.shared.counters.conversations_evicted += 1;
            }
        }
        is_getting_on
    }
}

#[cfg(test)]
mod tests {
    use trunkline_wire::ids::UserId;

    use super::super::rig::{Rig, caller, direct_key, group_key};
    use crate::conversation::KEPT_NS;
    use crate::entry::HomeRequest;

    const NOTHING: &[(&str, u64)] = &[("cache_bytes_max", 1)];

    #[test]
    fn what_is_under_way_holds_a_conversation() {
        let mut rig = Rig::with_group(1, &[2], NOTHING);
        rig.work();
        assert_eq!((rig.conversations.cached(), rig.shared.cache.bytes()), (0, 0));
        let send = rig.send(group_key(), 1, 1);
        rig.store_next();
        rig.work();
        assert_eq!(rig.conversations.cached(), 1, "its append is under way");
        rig.store_next();
        rig.work();
        assert_eq!(rig.ack(send), (alloc::vec![2], None));
        assert_eq!((rig.conversations.cached(), rig.deliveries.len()), (1, 1), "its message is not acknowledged");
        rig.acknowledge(0);
        rig.work();
        assert_eq!(rig.conversations.cached(), 1, "its mark is being deleted");
        rig.store_next();
        rig.work();
        assert_eq!((rig.conversations.cached(), rig.shared.cache.bytes()), (0, 0));
        assert_eq!(rig.shared.counters.conversations_evicted, 2);
        let again = rig.send(group_key(), 1, 1);
        rig.settle();
        assert_eq!(rig.ack(again), (alloc::vec![2], None), "what went is known when it comes back");
    }

    #[test]
    fn a_look_up_holds_a_conversation() {
        let mut rig = Rig::with_group(1, &[2], NOTHING);
        for client_seq in 1..=300 {
            rig.send(group_key(), 1, client_seq);
            rig.settle();
            rig.pass_ms(20);
        }
        let oldest = rig.send(group_key(), 1, 1);
        rig.store_next();
        rig.work();
        assert_eq!((rig.conversations.cached(), rig.asked.len()), (1, 1));
        rig.store_next();
        assert_eq!(rig.ack(oldest), (alloc::vec![2], None));
    }

    #[test]
    fn a_new_1_to_1_waits_for_its_first_message() {
        let mut rig = Rig::new(1, 1, NOTHING);
        let (caller, conversation) = (caller(1), direct_key().conversation);
        let open = HomeRequest::Open { caller, request: 9, conversation, peer: Some(UserId(2)) };
        rig.ask(open);
        rig.settle();
        rig.pass_ms(KEPT_NS / 2_000_000);
        let send = rig.send(direct_key(), 1, 1);
        rig.settle();
        rig.work();
        assert_eq!(rig.ack(send), (alloc::vec![1], None));
        assert_eq!(rig.conversations.cached(), 0);
        let other = trunkline_wire::ids::ConversationId::direct(caller.tenant, UserId(1), UserId(3));
        rig.ask(HomeRequest::Open { caller, request: 9, conversation: other, peer: Some(UserId(3)) });
        rig.settle();
        rig.pass_ms(KEPT_NS / 1_000_000);
        assert_eq!(rig.conversations.cached(), 0, "it does not wait for ever");
    }

    #[test]
    fn a_1_to_1_that_was_forgotten_begins_again() {
        let mut rig = Rig::new(1, 1, NOTHING);
        rig.open_direct(1, 2);
        rig.settle();
        rig.pass_ms(KEPT_NS / 1_000_000);
        assert_eq!(rig.conversations.cached(), 0);
        let send = rig.send(direct_key(), 1, 1);
        rig.settle();
        assert_eq!(rig.refusal(send), trunkline_wire::message::ErrorCode::NotFound);
        assert!(rig.images.is_empty(), "nothing of it was taken");
        rig.open_direct(1, 2);
        rig.settle();
        let (first, again) = (rig.send(direct_key(), 1, 1), rig.send(direct_key(), 1, 1));
        rig.settle();
        assert_eq!((rig.ack(first), rig.ack(again)), ((alloc::vec![1], None), (alloc::vec![1], None)));
        assert_eq!(rig.images[&direct_key()].last_seq, 1);
    }

    #[test]
    fn a_group_that_was_not_made_leaves_nothing() {
        let mut rig = Rig::new(1, 1, &[]);
        rig.missing_users = alloc::vec![UserId(5)];
        for _ in 0..100 {
            rig.create(&[5]);
            rig.settle();
        }
        assert_eq!((rig.conversations.cached(), rig.conversations.clock.len()), (0, 0));
        rig.create(&[2]);
        rig.settle();
        rig.send(group_key(), 1, 1);
        rig.settle();
        assert_eq!((rig.conversations.cached(), rig.conversations.clock.len()), (1, 1));
    }

    #[test]
    fn the_budget_is_charged_with_what_there_is() {
        let mut rig = Rig::with_group(1, &[2, 3, 4], &[]);
        let mut before = rig.shared.cache.bytes();
        for client_seq in 1..=20 {
            rig.send(group_key(), 1, client_seq);
            rig.settle();
            let after = rig.shared.cache.bytes();
            assert!(after >= before);
            before = after;
        }
        rig.shared.limits.set("cache_bytes_max", 1).unwrap();
        rig.work();
        assert_eq!((rig.conversations.cached(), rig.shared.cache.bytes()), (0, 0));
    }
}
