//! Marks that were there when this shard started: their conversations are taken up, which announces what may be missing.

use alloc::collections::VecDeque;

use trunkline_wire::ids::HASH_SLOTS;

use super::taking_up::Waiters;
use super::{Conversations, Place, REPEAT_AFTER_NS};
use crate::contract::ShardId;
use crate::desk::Purpose;
use crate::store::{ConversationKey, Load, Loaded, StoreFault};
use crate::turn::Turn;

/// Marks in one page.
const PAGE_MARKS_MAX: u32 = 512;
/// Conversations taken up within [`PACE_NS`], within the budget of memory and above it: announcing takes time, and holds them.
const PACE_MAX: usize = 512;
const PACE_OVER_BUDGET_MAX: usize = 32;
/// See [`PACE_MAX`].
const PACE_NS: u64 = 100_000_000;

/// How far the marks are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Pages {
    /// The next page, from behind the last mark that was read, at this time.
    #[default]
    Next,
    NextAt(u64),
    Asked,
    Done,
}

/// The marks of this shard's slots, read once.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    pages: Pages,
    after: Option<ConversationKey>,
    /// To be taken up.
    waiting: VecDeque<ConversationKey>,
    /// Being loaded.
    loading: u64,
    /// When the pace allows one more, of those taken up last.
    paced_until: VecDeque<u64>,
    /// The store failed: nothing more is taken up until then.
    held_until_ns: u64,
}

impl Replay {
    /// A conversation with a mark was taken up, or the store failed: then once more.
    pub fn loaded(&mut self, key: ConversationKey, now_ns: u64, is_loaded: bool) {
        self.loading -= 1;
        self.paced_until.push_back(now_ns + PACE_NS);
        if !is_loaded {
            self.waiting.push_back(key);
            self.held_until_ns = now_ns + REPEAT_AFTER_NS;
        }
    }

    /// When there is something to do that no event tells of.
    pub fn next_deadline(&self) -> Option<u64> {
        match self.pages {
            _ if !self.waiting.is_empty() => self.paced_until.front().map(|&until_ns| until_ns.max(self.held_until_ns)),
            Pages::Next => Some(0),
            Pages::NextAt(at_ns) => Some(at_ns),
            Pages::Asked | Pages::Done => None,
        }
    }
}

impl Conversations {
    /// Reads marks and takes their conversations up, a bounded number at a time.
    pub(super) fn go_on_replaying(&mut self, turn: &mut Turn<'_>) {
        let now_ns = turn.now.mono_ns;
        let is_done = self.replay.pages == Pages::Done && self.replay.waiting.is_empty();
        if is_done || now_ns < self.replay.held_until_ns {
            return;
        }
        while self.replay.paced_until.pop_front_if(|until_ns| *until_ns <= now_ns).is_some() {}
        let is_over = turn.shared.cache.is_over(&turn.shared.limits);
        let pace_max = if is_over { PACE_OVER_BUDGET_MAX } else { PACE_MAX };
        let loads_max = (turn.shared.limits.loads_max / 4).max(1);
        while self.replay.loading < loads_max
            && self.replay.paced_until.len() + (self.replay.loading as usize) < pace_max
            && turn.shared.desk.can_load(&turn.shared.limits)
        {
            let Some(key) = self.replay.waiting.pop_front() else { break };
            match self.places.get_mut(&key) {
                // Whoever had it loaded had it announced, too.
                Some(Place::Here(_)) => {}
                Some(Place::Loading(waiters)) if waiters.for_mark => {}
                Some(Place::Loading(waiters)) => {
                    waiters.for_mark = true;
                    self.replay.loading += 1;
                }
                None => {
                    self.replay.loading += 1;
                    self.load(turn, key, Waiters { for_mark: true, ..Waiters::default() });
                }
            }
        }
        self.read_marks(turn);
    }

    /// Asks for the next page when the last one is worked off.
    fn read_marks(&mut self, turn: &mut Turn<'_>) {
        let is_due = match self.replay.pages {
            Pages::Next => true,
            Pages::NextAt(at_ns) => at_ns <= turn.now.mono_ns,
            Pages::Asked | Pages::Done => false,
        };
        if !is_due || !self.replay.waiting.is_empty() {
            return;
        }
        let Some((from_slot, to_slot)) = slots_of(turn.shared.router.own(), self.blocked.len() as u32) else {
            self.replay.pages = Pages::Done;
            return;
        };
        if !turn.shared.desk.can_load(&turn.shared.limits) {
            self.replay.pages = Pages::NextAt(turn.now.mono_ns + REPEAT_AFTER_NS);
            return;
        }
        self.replay.pages = Pages::Asked;
        let load = Load::Marks { from_slot, to_slot, after: self.replay.after, marks_max: PAGE_MARKS_MAX };
        turn.shared.desk.load(Purpose::Marks, load, turn.effects);
    }

    /// A page of marks came from the store.
    pub fn marks_loaded(&mut self, turn: &mut Turn<'_>, loaded: Result<Loaded, StoreFault>) {
        self.replay.pages = match loaded {
            Ok(Loaded::Marks(keys, more)) => {
                self.replay.after = keys.last().copied().or(self.replay.after);
                let is_more = more && !keys.is_empty();
                self.replay.waiting.extend(keys);
                if is_more { Pages::Next } else { Pages::Done }
            }
            Ok(_) => unreachable!("a load of marks finds marks"),
            Err(_) => Pages::NextAt(turn.now.mono_ns + REPEAT_AFTER_NS),
        };
    }
}

/// The slots whose home a shard is, first and last; none: it is home of none.
fn slots_of(shard: ShardId, shards: u32) -> Option<(u16, u16)> {
    let first_of = |shard: u32| (shard * u32::from(HASH_SLOTS)).div_ceil(shards);
    let (first, end) = (first_of(u32::from(shard)), first_of(u32::from(shard) + 1));
    (first < end).then(|| (first as u16, (end - 1) as u16))
}

#[cfg(test)]
mod tests {
    use trunkline_wire::ids::{ConversationId, UserId};

    use super::super::rig::{Rig, TENANT, direct_key};
    use super::*;

    #[test]
    fn all_marks_are_replayed_in_pages_though_the_store_fails() {
        const COUNT: u64 = 1_500;
        let mut first = Rig::new(1, 1, &[]);
        let open = |user| crate::entry::HomeRequest::Open {
            caller: super::super::rig::caller(1),
            request: 9,
            conversation: direct_key().conversation,
            peer: Some(UserId(user)),
        };
        first.ask(open(2));
        first.settle();
        first.send(direct_key(), 1, 1);
        first.settle();
        let mut image = first.images[&direct_key()].clone();
        image.mark = Some(0);
        let mut rig = Rig::new(1, 1, &[("loads_max", 16), ("cache_bytes_max", 1)]);
        for peer in 2..2 + COUNT {
            let conversation = ConversationId::direct(TENANT, UserId(1), UserId(peer));
            image.meta.peers = alloc::vec![UserId(1), UserId(peer)];
            rig.images.insert(ConversationKey { tenant: TENANT, conversation }, image.clone());
        }
        assert_eq!(rig.conversations.next_deadline(), Some(0), "marks are read without being asked for");
        rig.work();
        rig.fail_next(StoreFault::Unknown);
        let mut taken_up = 0;
        for round in 0..1_000 {
            rig.pass_ms(100);
            if round % 10 == 3 && !rig.asked.is_empty() {
                rig.fail_next(StoreFault::Unknown);
            }
            rig.settle();
            let loaded = rig.shared.counters.conversations_loaded;
            assert!(loaded - taken_up <= PACE_MAX as u64);
            taken_up = loaded;
            rig.deliveries.clear();
            if rig.conversations.next_deadline().is_none() {
                break;
            }
        }
        assert_eq!(rig.shared.counters.marks_replayed, COUNT);
        assert!(rig.images.values().all(|image| image.mark.is_none()));
    }

    #[test]
    fn a_mark_without_rows_goes_before_there_can_be_any() {
        let mut rig = Rig::new(1, 1, &[]);
        rig.bare_marks.insert(direct_key());
        rig.work();
        rig.store_next();
        rig.work();
        rig.store_next();
        rig.work();
        assert!(rig.is_unmark_next());
        rig.lose_next();
        let early = rig.open(direct_key(), 1);
        rig.pass_ms(100);
        assert!(rig.is_unmark_next(), "nobody knows whether it is gone");
        rig.fail_next(StoreFault::Full);
        assert_eq!(rig.refusal(early), trunkline_wire::message::ErrorCode::StorageUnavailable);
        rig.open_direct(1, 2);
        rig.bare_marks.insert(direct_key());
        rig.pass_ms(100);
        assert!(rig.asked.len() == 1 && rig.is_unmark_next());
        rig.store_next();
        rig.settle_loads();
        rig.send(direct_key(), 1, 1);
        assert_eq!(rig.appends()[0].mark, Some(0));
        rig.settle();
        assert!(rig.bare_marks.is_empty() && rig.images[&direct_key()].mark.is_none());
        assert_eq!(rig.conversations.cached(), 1);
    }

    #[test]
    fn a_mark_without_rows_stays_on_a_full_disk_and_holds_nobody_up() {
        let mut rig = Rig::new(1, 1, &[]);
        rig.bare_marks.insert(direct_key());
        for _ in 0..2 {
            rig.work();
            rig.store_next();
        }
        rig.work();
        assert!(rig.is_unmark_next());
        rig.open_direct(1, 2);
        rig.fail_next(StoreFault::Full);
        rig.settle_loads();
        rig.send(direct_key(), 1, 1);
        assert_eq!(rig.appends()[0].mark, Some(0));
        rig.settle();
        assert!(rig.images[&direct_key()].mark.is_none());
    }

    #[test]
    fn every_slot_is_read_by_its_shard() {
        for shards in [1u16, 2, 3, 7, 64, 16_384, 20_000] {
            let mut next = 0;
            for (shard, slots) in (0..shards).map(|shard| (shard, slots_of(shard, shards.into()))) {
                let Some((first, last)) = slots else { continue };
                assert_eq!(u32::from(first), next, "shard {shard} of {shards}");
                let home = |slot: u16| u32::from(slot) * u32::from(shards) / u32::from(HASH_SLOTS);
                assert!((first..=last).all(|slot| home(slot) == u32::from(shard)), "shard {shard} of {shards}");
                next = u32::from(last) + 1;
            }
            assert_eq!(next, u32::from(HASH_SLOTS));
        }
    }
}
