//! Members that come and go while messages, faults of the store, lost credit and evictions come in any order: everybody gets
//! exactly the rows of its windows, everybody who asks is answered once, and no mark is left.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use trunkline_wire::ids::UserId;
use trunkline_wire::message::{Change, ErrorCode};

use super::rig::{Rig, group_key};
use crate::entry::HomeAnswer;
use crate::members::Members;
use crate::store::{Row, StoreFault};

const USERS: u64 = 6;
const STEPS: u32 = 400;

struct Churn {
    rig: Rig,
    random: ChaCha8Rng,
    tickets: Vec<u32>,
    /// Next number and its last ticket, per sender.
    sends: BTreeMap<u64, (u64, u32)>,
    acknowledged: BTreeSet<usize>,
    credit_owed: [u32; 3],
    posted: usize,
}

impl Churn {
    fn new(seed: u64) -> Churn {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let cache = if seed.is_multiple_of(2) { 1 } else { 1 << 30 };
        let rate = 1_000_000_000;
        let limits = [("cache_bytes_max", cache), ("conversation_send_burst", rate), ("conversation_send_per_s", rate)];
        Churn {
            rig: Rig::new(3, 2, &limits),
            random: ChaCha8Rng::from_seed(bytes),
            tickets: Vec::new(),
            sends: (1..=USERS).map(|user| (user, (1, 0))).collect(),
            acknowledged: BTreeSet::new(),
            credit_owed: [0; 3],
            posted: 0,
        }
    }

    fn below(&mut self, end: u64) -> u64 {
        self.random.next_u64() % end
    }

    fn step(&mut self) {
        match self.below(12) {
            0..3 => self.send(),
            3 | 4 => self.change(),
            5..9 => self.store(),
            9 => self.acknowledge(),
            10 => self.give_credit(),
            _ => {
                let ms = self.below(150);
                self.rig.pass_ms(ms);
            }
        }
        self.rig.work();
        for (shard, _) in &self.rig.deliveries[self.posted..] {
            self.credit_owed[usize::from(*shard)] += 1;
        }
        self.posted = self.rig.deliveries.len();
        self.check_members();
    }

    /// What is shown of the members is what the store has of them, whatever is pending.
    fn check_members(&mut self) {
        let Some(image) = self.rig.images.get(&group_key()) else { return };
        let Some(conversation) = self.rig.conversations.here(group_key()) else { return };
        // A write whose answer was lost is in the store already.
        if image.last_seq == conversation.durable_seq {
            let roster = &conversation.roster;
            assert_eq!(roster.to_durable_list(), image.members);
            let members = image.members.iter().filter(|member| member.left_seq == u64::MAX).count();
            assert_eq!((roster.durable_count(), roster.durable_after(UserId(0)).count()), (members, members));
        }
    }

    /// A sender repeats its message until that is accepted, then sends the next.
    fn send(&mut self) {
        let user = 1 + self.below(USERS);
        let (next, ticket) = self.sends[&user];
        if ticket != 0 && !self.rig.is_answered(ticket) {
            return;
        }
        let accepted = ticket != 0 && self.is_accepted(ticket);
        let next = next + u64::from(accepted);
        let ticket = self.rig.send(group_key(), user, next);
        self.sends.insert(user, (next, ticket));
    }

    fn is_accepted(&mut self, ticket: u32) -> bool {
        match self.rig.answer(ticket) {
            HomeAnswer::Refused(code, _) => {
                assert!(matches!(code, ErrorCode::Busy | ErrorCode::NotFound | ErrorCode::StorageUnavailable));
                false
            }
            HomeAnswer::Frame(frame) => {
                let (accepted, refusal) = super::rig::ack_of(&frame);
                assert_eq!(refusal.is_none(), accepted.len() == 1);
                assert!(
                    refusal.is_none_or(|code| matches!(
                        code,
                        ErrorCode::Busy | ErrorCode::Forbidden | ErrorCode::StorageFull | ErrorCode::StorageUnavailable
                    )),
                    "{refusal:?}"
                );
                accepted.len() == 1
            }
            answer => panic!("{answer:?}"),
        }
    }

    fn change(&mut self) {
        let (user, by) = (1 + self.below(USERS), 1 + self.below(3));
        let change = if self.below(2) == 0 { Change::Added } else { Change::Removed };
        let ticket = if self.below(8) == 0 { self.rig.create(&[2, 3]) } else { self.rig.change(by, change, &[user]) };
        self.tickets.push(ticket);
    }

    fn store(&mut self) {
        if self.rig.asked.is_empty() {
            return;
        }
        match self.below(8) {
            0 => self.rig.fail_next(StoreFault::Full),
            1 => self.rig.fail_next(StoreFault::Unknown),
            2 => self.rig.lose_next(),
            _ => self.rig.store_next(),
        }
    }

    fn acknowledge(&mut self) {
        let next = (0..self.rig.deliveries.len()).find(|index| !self.acknowledged.contains(index));
        if let Some(index) = next {
            self.acknowledged.insert(index);
            self.rig.acknowledge(index);
        }
    }

    fn give_credit(&mut self) {
        for shard in 1..3u16 {
            let owed = core::mem::take(&mut self.credit_owed[usize::from(shard)]);
            self.rig.shared.router.credit(shard, owed);
            self.rig.conversations.unblock(shard);
        }
    }

    fn finish(&mut self) {
        for _ in 0..200 {
            self.give_credit();
            self.rig.pass_ms(200);
            self.rig.settle();
            for (shard, _) in &self.rig.deliveries[self.posted..] {
                self.credit_owed[usize::from(*shard)] += 1;
            }
            self.posted = self.rig.deliveries.len();
        }
        assert!(!self.rig.conversations.has_repeats());
    }
}

/// (user, seq) of all that the windows of a log hold, those of members who came back too.
fn seen_in(rows: &[Row]) -> Vec<(u64, u64)> {
    let mut members = Members::default();
    let mut seen = Vec::new();
    for row in rows {
        members.apply(row);
        let holds =
            |user: &u64| members.find(UserId(*user)).is_some_and(|m| (m.joined_seq..=m.left_seq).contains(&row.seq));
        seen.extend((1..=USERS).filter(holds).map(|user| (user, row.seq)));
    }
    seen
}

#[test]
fn everybody_gets_the_rows_of_its_windows() {
    let (mut rows, mut changes, mut repeats, mut delayed) = (0, 0, 0, 0);
    for seed in 0..60 {
        let mut churn = Churn::new(seed);
        let created = churn.rig.create(&[2, 3, 4]);
        churn.tickets.push(created);
        (0..STEPS).for_each(|_| churn.step());
        churn.finish();
        let Some(image) = churn.rig.images.get(&group_key()).cloned() else { continue };
        assert_eq!(churn.rig.delivered(true), seen_in(&image.recent), "seed {seed}");
        assert_eq!(image.mark, None, "seed {seed}");
        let asked = churn.tickets.iter().chain(churn.sends.values().map(|(_, ticket)| ticket));
        assert!(asked.filter(|&&ticket| ticket != 0).all(|&ticket| churn.rig.is_answered(ticket)), "seed {seed}");
        let numbers: Vec<_> = image.recent.iter().filter(|row| row.client_seq > 0).collect();
        for user in 1..=USERS {
            let own = numbers.iter().filter(|row| row.sender == UserId(user)).map(|row| row.client_seq);
            assert!(own.eq(1..=numbers.iter().filter(|row| row.sender == UserId(user)).count() as u64), "seed {seed}");
        }
        if let Some(conversation) = churn.rig.conversations.here(group_key()) {
            assert_eq!(conversation.roster.to_durable_list(), image.members, "seed {seed}");
            assert!(!conversation.is_pinned(churn.rig.now.mono_ns), "seed {seed}");
        } else {
            assert_eq!(churn.rig.shared.cache.bytes(), 0, "seed {seed}");
        }
        rows += image.last_seq;
        changes += image.recent.iter().filter(|row| row.client_seq == 0).count();
        repeats += churn.rig.shared.counters.appends_repeated;
        delayed += churn.rig.shared.counters.fanouts_delayed;
    }
    assert!(rows > 800 && changes > 200 && repeats > 100 && delayed > 150, "{rows} {changes} {repeats} {delayed}");
}
