//! Announcing is durable: who was told of what, and the marks in the store that come and go with that.

use super::{Conversations, Due, Place, REPEAT_AFTER_NS};
use crate::contract::ShardId;
use crate::conversation::announcing::Unmarked;
use crate::desk::Purpose;
use crate::store::{ConversationKey, Put, StoreFault};
use crate::turn::Turn;

/// Between two attempts to delete a mark on a full disk.
const FULL_AFTER_NS: u64 = 10 * REPEAT_AFTER_NS;

impl Conversations {
    /// A home of users has everything up to a round durably in their lists.
    pub fn announced(&mut self, _turn: &mut Turn<'_>, from: ShardId, key: ConversationKey, round: u64) {
        if let Some(conversation) = self.here(key) {
            conversation.announcing.acknowledged(from, round);
            self.settle_mark(key);
        }
    }

    /// A conversation may have something to hand on; if not, its mark may go.
    pub(super) fn hand_on(&mut self, turn: &mut Turn<'_>, key: ConversationKey) {
        let Some(conversation) = self.here(key) else { return };
        conversation.recharge(&mut turn.shared.cache);
        if conversation.fan_out.queued {
            return;
        }
        if conversation.has_to_hand_on() {
            conversation.fan_out.queued = true;
            self.fan_outs.push_back(key);
        } else {
            self.handed_on(turn, key);
        }
    }

    /// Everything is handed on for now.
    pub(crate) fn handed_on(&mut self, turn: &mut Turn<'_>, key: ConversationKey) {
        let Some(conversation) = self.here(key) else { return };
        conversation.fan_out.queued = false;
        if conversation.crowd.is_untold()
            && let Some(large) = &mut conversation.crowd.large
            && !large.armed
        {
            large.armed = true;
            let at_ns = large.due_ns(turn.now.mono_ns, turn.shared.limits.large_announce_ms * 1_000_000);
            self.timetable.arm(at_ns, key, Due::AnnounceLarge);
        }
        self.settle_mark(key);
    }

    /// The lists of a large conversation are told, all at once.
    pub(super) fn announce_large(&mut self, turn: &mut Turn<'_>, key: ConversationKey) {
        let conversation = self.here(key).expect("a conversation that owes lists something stays");
        conversation.announce_large(&turn.shared.router, turn.now.mono_ns);
        self.hand_on(turn, key);
    }

    /// Queues a conversation whose mark may go.
    fn settle_mark(&mut self, key: ConversationKey) {
        let Some(conversation) = self.here(key) else { return };
        if conversation.may_unmark() && !conversation.announcing.settle_queued {
            conversation.announcing.settle_queued = true;
            self.settles.push_back(key);
        }
    }

    /// Deletes the next mark that may go, or whose delete has no known answer; whether there was one.
    pub(super) fn settle_next(&mut self, turn: &mut Turn<'_>) -> bool {
        let Some(key) = self.settles.pop_front() else { return false };
        let goes = match self.places.get_mut(&key) {
            Some(Place::Here(conversation)) => conversation.unmark(),
            Some(Place::Loading(waiters)) => waiters.unmarking.is_some(),
            None => unreachable!("a conversation whose mark may go stays"),
        };
        if goes {
            self.put(turn, Purpose::Unmark(key), Put::Unmark { key });
        }
        true
    }

    /// The store answered the delete of a mark: rows that came meanwhile are appended now, with the next mark if it is gone.
    pub fn unmarked(&mut self, turn: &mut Turn<'_>, key: ConversationKey, done: Result<(), StoreFault>) {
        self.puts -= 1;
        let Some(conversation) = self.here(key) else { return self.unmarked_nothing(turn, key, done) };
        match conversation.announcing.unmarked(done) {
            Unmarked::Known => {
                // In the queue until then: so it stays.
                if conversation.may_unmark() {
                    conversation.announcing.settle_queued = true;
                    self.timetable.arm(turn.now.mono_ns + FULL_AFTER_NS, key, Due::SettleMark);
                }
                self.append_next(turn, key);
            }
            Unmarked::Repeat => self.timetable.arm(turn.now.mono_ns + REPEAT_AFTER_NS, key, Due::RepeatUnmark),
        }
    }
}

#[cfg(test)]
mod tests {
    use trunkline_wire::ids::UserId;
    use trunkline_wire::message::Change;

    use super::super::rig::{Rig, caller, direct_key, group_key};
    use crate::entry::HomeRequest;
    use crate::store::StoreFault;

    /// A 1:1 with one message that is stored and handed on, not acknowledged.
    fn with_message(shards: u16, pushes: u32) -> Rig {
        let mut rig = Rig::new(shards, pushes, &[]);
        let (caller, conversation) = (caller(1), direct_key().conversation);
        rig.ask(HomeRequest::Open { caller, request: 9, conversation, peer: Some(UserId(2)) });
        rig.work();
        while !rig.asked.is_empty() {
            rig.store_next();
        }
        rig.send(direct_key(), 1, 1);
        assert_eq!(rig.appends()[0].mark, Some(0), "the first append brings the mark");
        rig.store_next();
        rig.work();
        rig
    }

    #[test]
    fn the_next_mark_comes_behind_the_delete_of_the_last() {
        let mut rig = with_message(1, 1);
        rig.send(direct_key(), 1, 2);
        assert_eq!(rig.appends()[0].mark, None, "there is a mark already");
        rig.store_next();
        rig.work();
        rig.acknowledge(0);
        rig.work();
        assert!(rig.asked.is_empty(), "the second message is not acknowledged");
        rig.acknowledge(1);
        rig.work();
        assert!(rig.is_unmark_next());
        let send = rig.send(direct_key(), 1, 3);
        rig.work();
        assert!(rig.appends().is_empty(), "no append while the mark goes");
        rig.store_next();
        assert_eq!(rig.images[&direct_key()].mark, None);
        assert_eq!(rig.appends()[0].mark, Some(2), "everything below was announced");
        rig.settle();
        assert_eq!(rig.ack(send), (alloc::vec![3], None));
    }

    #[test]
    fn an_unknown_delete_is_repeated_before_anything_is_appended() {
        let mut rig = with_message(1, 1);
        rig.acknowledge(0);
        rig.work();
        rig.send(direct_key(), 1, 2);
        rig.fail_next(StoreFault::Unknown);
        rig.work();
        assert!(rig.asked.is_empty() && rig.conversations.has_repeats());
        // A full disk says nothing of the first attempt.
        rig.pass_ms(100);
        assert!(rig.is_unmark_next());
        rig.fail_next(StoreFault::Full);
        rig.work();
        assert!(rig.asked.is_empty());
        rig.pass_ms(100);
        assert!(rig.is_unmark_next());
        rig.store_next();
        assert_eq!(rig.appends()[0].mark, Some(1));
    }

    #[test]
    fn a_refused_delete_leaves_the_mark() {
        let mut rig = with_message(1, 1);
        rig.acknowledge(0);
        rig.work();
        rig.send(direct_key(), 1, 2);
        rig.fail_next(StoreFault::Full);
        assert_eq!(rig.appends()[0].mark, None);
        rig.settle();
        assert_eq!(rig.images[&direct_key()].mark, None, "it goes the next time");
    }

    #[test]
    fn a_refused_append_leaves_no_mark() {
        let mut rig = with_message(1, 1);
        rig.settle();
        rig.send(direct_key(), 1, 2);
        assert_eq!(rig.appends()[0].mark, Some(1));
        rig.fail_next(StoreFault::Full);
        rig.send(direct_key(), 1, 2);
        assert_eq!(rig.appends()[0].mark, Some(1));
        rig.fail_next(StoreFault::Unknown);
        rig.pass_ms(100);
        assert_eq!(rig.appends()[0].mark, Some(1), "the same append again, mark and all");
    }

    #[test]
    fn a_mark_in_the_store_is_announced_to_all_who_may_not_know() {
        let mut rig = Rig::with_group(1, &[2, 3, 4], &[]);
        let key = group_key();
        for removed in [2, 3] {
            rig.change(1, Change::Removed, &[removed]);
            rig.settle();
        }
        let mut image = rig.images[&key].clone();
        // Everything up to the first removal was announced before the server went down.
        image.mark = Some(2);
        for (pushes, shards) in [(0, 1), (1, 2)] {
            let mut rig = Rig::new(shards, pushes, &[]);
            rig.images.insert(key, image.clone());
            rig.settle();
            while rig.images[&key].mark.is_some() {
                rig.shared.router.credit(1, 1);
                rig.conversations.unblock(1);
                rig.settle();
            }
            assert_eq!(rig.delivered(false), [(1, 3), (2, 3), (3, 3), (4, 3)]);
            let mut windows: alloc::vec::Vec<_> =
                rig.deliveries.iter().flat_map(|(_, delivery)| delivery.windows.clone()).collect();
            windows.sort_unstable();
            let open = u64::MAX;
            assert_eq!(windows, [(1, open), (2, 2), (3, 3), (4, open)].map(|(user, left)| (UserId(user), 1, left)));
            assert_eq!(rig.shared.counters.marks_replayed, 1);
        }
    }

    #[test]
    fn announcements_wait_for_room() {
        let mut rig = with_message(1, 1);
        rig.settle();
        let mut image = rig.images[&direct_key()].clone();
        image.mark = Some(0);
        let mut rig = Rig::new(64, 1, &[]);
        let homes = [1, 2].map(|user| {
            let key = crate::store::UserKey { tenant: direct_key().tenant, user: UserId(user) };
            rig.shared.router.home_of_user(key)
        });
        assert!(homes[0] != homes[1] && !homes.contains(&0));
        // The lanes are full.
        for home in homes {
            let entry = crate::entry::Entry::EndSession {
                connection: crate::contract::ConnectionId { slot: 0, generation: 0 },
                violation: trunkline_wire::violation::Violation::SlowReader,
            };
            let mut effects = crate::contract::Effects::new();
            assert!(rig.shared.router.try_post(home, entry, &mut effects));
        }
        rig.images.insert(direct_key(), image);
        rig.open(direct_key(), 1);
        rig.settle();
        assert!(rig.deliveries.is_empty());
        for home in homes {
            rig.shared.router.credit(home, 1);
            rig.conversations.unblock(home);
        }
        rig.settle();
        assert_eq!(rig.delivered(false), [(1, 1), (2, 1)]);
        assert_eq!(rig.images[&direct_key()].mark, None);
    }

    #[test]
    fn that_watchers_have_a_seq_says_nothing_of_the_others() {
        let mut rig = Rig::with_group(1, &[2, 3, 4], &[("fan_out_members_max", 2), ("large_announce_ms", 1_000)]);
        let key = group_key();
        rig.send(key, 1, 1);
        rig.store_next();
        rig.pass_ms(1_000);
        assert_eq!(rig.delivered(true), [(1, 2)]);
        assert_eq!(rig.delivered(false), [(1, 2), (2, 2), (3, 2), (4, 2)]);
        // The home of the users had stored the row when the announcement of the same seq was on its way.
        rig.acknowledge(0);
        rig.work();
        assert!(rig.asked.is_empty(), "not everybody's list has it");
        rig.acknowledge(1);
        rig.work();
        assert!(rig.is_unmark_next());
    }

    #[test]
    fn an_acknowledgement_of_an_earlier_stay_says_nothing() {
        let mut rig = Rig::with_group(1, &[2], &[("cache_bytes_max", 1)]);
        for client_seq in 1..=2 {
            rig.send(group_key(), 1, client_seq);
            rig.settle();
            rig.work();
            assert_eq!(rig.conversations.cached(), 0);
        }
        rig.send(group_key(), 1, 3);
        rig.store_next();
        rig.store_next();
        rig.work();
        rig.acknowledge(1);
        rig.work();
        assert!(rig.asked.is_empty(), "its last message is not acknowledged");
        rig.acknowledge(2);
        rig.work();
        assert!(rig.is_unmark_next());
    }

    #[test]
    fn a_large_group_sends_to_watchers_and_tells_lists_now_and_then() {
        let mut rig = Rig::with_group(1, &[2, 3, 4], &[("fan_out_members_max", 2), ("large_announce_ms", 1_000)]);
        let key = group_key();
        rig.open(key, 2);
        for client_seq in 1..=3 {
            rig.send(key, 1, client_seq);
            rig.settle();
        }
        // The sender and who looked get frames; there is no room for a third watcher.
        rig.open(key, 3);
        assert_eq!(rig.delivered(true), [(1, 2), (2, 2), (1, 3), (2, 3), (1, 4), (2, 4)]);
        assert_eq!(rig.delivered(false), [], "lists were told when the group was made, and are not again for a while");
        assert!(rig.images[&key].mark.is_some(), "not everybody knows yet");
        let deadline = rig.conversations.next_deadline().unwrap();
        assert_eq!(deadline, rig.now.mono_ns + 1_000_000_000);
        rig.pass_ms(1_000);
        rig.settle();
        assert_eq!(rig.delivered(false), [(1, 4), (2, 4), (3, 4), (4, 4)]);
        assert_eq!(rig.images[&key].mark, None);
        // Who is removed is told at once, with its window.
        rig.deliveries.clear();
        rig.change(1, Change::Removed, &[4]);
        rig.settle();
        assert_eq!(rig.delivered(true), [(1, 5), (2, 5), (4, 5)]);
        // Watchers that ask nothing more are forgotten.
        rig.pass_ms(rig.shared.limits.large_watch_ms);
        rig.deliveries.clear();
        rig.send(key, 1, 4);
        rig.settle();
        assert_eq!(rig.delivered(true), [(1, 6)]);
    }
}
