//! Ticks of lists: what changed is told to the sessions and stored, rows of many users in one write; once all rows of a
//! conversation are stored, its home is told.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use trunkline_wire::ids::ConversationId;
use trunkline_wire::limits::ADVANCED_CONVERSATIONS_MAX;

use super::list::{List, Tick, Written};
use super::numbers::RETRY_AFTER_NS;
use super::{STEPS_MAX, User, Users, advanced_frame};
use crate::contract::ShardId;
use crate::desk::Purpose;
use crate::entry::Entry;
use crate::slab::Slab;
use crate::store::{ConversationKey, ListChange, Put, StoreFault, UserKey};
use crate::turn::Turn;

/// Writes of rows at the same time: those that wait for one meanwhile go together.
const WRITES_MAX: u32 = 8;

/// A row of a list.
type Place = (UserKey, ConversationId);

/// A write of a single row that fails waits twice as long as before, up to so many times.
const DOUBLINGS_MAX: u32 = 6;

/// Rows that are written together.
struct Batch {
    rows: Vec<Place>,
    /// How often it failed, if it is a single row.
    failures: u32,
}

/// What this shard's lists owe to the home of a conversation.
#[derive(Default)]
struct Debt {
    /// Rows that are not stored.
    rows: u32,
    /// The highest round that was delivered.
    round: u64,
    /// Paid, but there was no credit to say so.
    queued: bool,
}

/// Rows on their way to the store.
pub(super) struct Flushes {
    /// Lists with changes, by when these are due (monotonic ns): the delay is the same for all.
    ticks: VecDeque<(u64, UserKey)>,
    /// Everything is due at once.
    pub is_hurried: bool,
    /// Rows whose time has come.
    due: VecDeque<Place>,
    /// Writes that are to be tried again, by when (monotonic ns) and by number.
    failed: BTreeMap<(u64, u64), Batch>,
    /// The number of the last of them.
    failures: u64,
    /// Those whose time has come.
    again: VecDeque<Batch>,
    /// Rows that are being written.
    writing: Slab<Batch>,
    writes: u32,
    debts: HashMap<ConversationKey, Debt, FixedState>,
    /// Debts that are paid, per shard of their conversation; told when there is credit.
    paid: Vec<VecDeque<ConversationKey>>,
}

impl Flushes {
    pub fn new(shards: u16) -> Flushes {
        Flushes {
            ticks: VecDeque::new(),
            is_hurried: false,
            due: VecDeque::new(),
            failed: BTreeMap::new(),
            failures: 0,
            again: VecDeque::new(),
            writing: Slab::default(),
            writes: 0,
            debts: HashMap::with_hasher(FixedState::with_seed(0)),
            paid: vec![VecDeque::new(); usize::from(shards)],
        }
    }

    pub fn next_deadline(&self) -> Option<u64> {
        let tick = self.ticks.front().map(|&(due_ns, _)| if self.is_hurried { 0 } else { due_ns });
        let failed = self.failed.first_key_value().map(|(&(due_ns, _), _)| due_ns);
        tick.into_iter().chain(failed).min()
    }

    /// Arranges the tick of a list that has changed.
    pub fn arrange(&mut self, turn: &Turn<'_>, key: UserKey, list: &mut List) {
        if list.has_changed() && !core::mem::replace(&mut list.ticking, true) {
            self.ticks.push_back((turn.now.mono_ns + turn.shared.limits.list_every_ms * 1_000_000, key));
        }
    }

    fn next_tick(&mut self, now_ns: u64) -> Option<UserKey> {
        let is_due = self.ticks.front().is_some_and(|&(due_ns, _)| self.is_hurried || due_ns <= now_ns);
        if is_due { self.ticks.pop_front().map(|(_, key)| key) } else { None }
    }

    /// A round was delivered, and so many more rows are to be stored before that is acknowledged.
    pub fn owe(&mut self, turn: &mut Turn<'_>, key: ConversationKey, round: u64, rows: u32) {
        let debt = self.debts.entry(key).or_default();
        debt.rows += rows;
        debt.round = debt.round.max(round);
        if debt.rows == 0 {
            self.acknowledge(turn, key);
        }
    }

    /// One of these rows is stored.
    pub fn pay(&mut self, turn: &mut Turn<'_>, key: ConversationKey) {
        let debt = self.debts.get_mut(&key).expect("what is paid was owed");
        debt.rows -= 1;
        if debt.rows == 0 {
            self.acknowledge(turn, key);
        }
    }

    fn acknowledge(&mut self, turn: &mut Turn<'_>, key: ConversationKey) {
        let Some(debt) = self.debts.get_mut(&key).filter(|debt| debt.rows == 0) else { return };
        let home = turn.shared.router.home_of_conversation(key);
        if turn.shared.router.try_post(home, Entry::Announced { key, round: debt.round }, turn.effects) {
            self.debts.remove(&key);
        } else if !core::mem::replace(&mut debt.queued, true) {
            self.paid[usize::from(home)].push_back(key);
        }
    }

    /// A write failed. A full disk refuses all rows alike; else one that cannot be read may keep all others back, and halves
    /// find it. On its own it waits longer each time.
    fn try_later(&mut self, now_ns: u64, mut batch: Batch, fault: StoreFault) {
        let due_ns = now_ns + (RETRY_AFTER_NS << batch.failures);
        if fault == StoreFault::Unknown {
            let rest = batch.rows.split_off(batch.rows.len().div_ceil(2));
            if rest.is_empty() {
                batch.failures = DOUBLINGS_MAX.min(batch.failures + 1);
            } else {
                self.try_at(due_ns, Batch { rows: rest, failures: 0 });
            }
        }
        self.try_at(due_ns, batch);
    }

    fn try_at(&mut self, due_ns: u64, batch: Batch) {
        self.failures += 1;
        self.failed.insert((due_ns, self.failures), batch);
    }

    /// Credit towards a shard came back.
    pub fn unblock(&mut self, turn: &mut Turn<'_>, shard: ShardId) {
        while turn.shared.router.has_credit(shard) {
            let Some(key) = self.paid[usize::from(shard)].pop_front() else { return };
            if let Some(debt) = self.debts.get_mut(&key) {
                debt.queued = false;
                self.acknowledge(turn, key);
            }
        }
    }
}

impl User {
    /// What the sessions are told of a tick: all changes by name, or only that there are some. Clients sync then: there are
    /// too many, or one of them was not in an answer that somebody got, and that conversation's last seq does not show it.
    fn news(&self, turn: &mut Turn<'_>, tick: &Tick) -> Option<Arc<[u8]>> {
        let (from, to) = tick.span;
        let list = self.list.as_deref().filter(|_| !self.sessions.is_empty() && from < to)?;
        if tick.is_overtaken || tick.changed.len() > ADVANCED_CONVERSATIONS_MAX {
            return Some(advanced_frame(turn, to, to, &[]));
        }
        let places: Vec<(ConversationId, u64)> = tick.changed.iter().map(|&id| (id, list.last_seq(id))).collect();
        Some(advanced_frame(turn, from, to, &places))
    }
}

impl Users {
    /// Lists whose tick has come, at most [`STEPS_MAX`] of them; true when more are due.
    pub(super) fn tick(&mut self, turn: &mut Turn<'_>) -> bool {
        for _ in 0..STEPS_MAX {
            let Some(key) = self.queues.flushes.next_tick(turn.now.mono_ns) else { return false };
            self.with(turn, key, |user, queues, turn| {
                let list = user.list.as_deref_mut().expect("a list that ticks stays in memory");
                let tick = list.tick();
                if let Some(frame) = user.news(turn, &tick) {
                    user.push(turn, key, &frame, None, &mut queues.backlogs);
                }
                queues.flushes.due.extend(tick.changed.into_iter().map(|conversation| (key, conversation)));
            });
        }
        true
    }

    /// Failed writes are tried again when their time has come.
    pub(super) fn retry(&mut self, turn: &Turn<'_>) {
        let Flushes { failed, again, .. } = &mut self.queues.flushes;
        while let Some(first) = failed.first_entry().filter(|first| first.key().0 <= turn.now.mono_ns) {
            again.push_back(first.remove());
        }
    }

    /// Writes rows that are due, as far as the store has room.
    pub(super) fn write_rows(&mut self, turn: &mut Turn<'_>) {
        while self.queues.flushes.writes < WRITES_MAX && turn.shared.desk.can_put(&turn.shared.limits) {
            let Some((batch, changes)) = self.next_batch(turn.shared.limits.list_rows_max) else { return };
            let number = self.queues.flushes.writing.insert(batch);
            self.queues.flushes.writes += 1;
            turn.shared.desk.put(Purpose::List(number), Put::List { changes }, turn.effects);
        }
    }

    fn next_batch(&mut self, rows_max: u64) -> Option<(Batch, Vec<ListChange>)> {
        let Users { users, queues, .. } = self;
        let mut begin = |(key, conversation): Place, is_retry| {
            let list = users.get_mut(&key).and_then(|user| user.list.as_deref_mut())?;
            list.begin_write(key, conversation, is_retry)
        };
        let Flushes { due, again, .. } = &mut queues.flushes;
        if let Some(batch) = again.pop_front() {
            let changes: Vec<_> = batch.rows.iter().filter_map(|&place| begin(place, true)).collect();
            assert_eq!(changes.len(), batch.rows.len(), "a row whose write failed is written by nobody else");
            return Some((batch, changes));
        }
        let (mut rows, mut changes) = (Vec::new(), Vec::new());
        while (changes.len() as u64) < rows_max
            && let Some(place) = due.pop_front()
        {
            if let Some(change) = begin(place, false) {
                rows.push(place);
                changes.push(change);
            }
        }
        (!rows.is_empty()).then_some((Batch { rows, failures: 0 }, changes))
    }

    /// The store answered a write of rows.
    pub fn list_stored(&mut self, turn: &mut Turn<'_>, number: u32, done: Result<(), StoreFault>) {
        let batch = self.queues.flushes.writing.take(number).expect("a write is answered once");
        self.queues.flushes.writes -= 1;
        for &(key, conversation) in &batch.rows {
            let written = self.with_list(turn, key, |list, _, _| list.written(conversation, done.is_ok()));
            match written {
                Written::Clean { owed: true } => {
                    self.queues.flushes.pay(turn, ConversationKey { tenant: key.tenant, conversation });
                }
                Written::Again => self.queues.flushes.due.push_back((key, conversation)),
                Written::Clean { owed: false } | Written::Later => {}
            }
        }
        match done {
            Ok(()) => turn.shared.counters.list_rows_stored += batch.rows.len() as u64,
            Err(fault) => self.queues.flushes.try_later(turn.now.mono_ns, batch, fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::limits::Limits;
    use crate::store::{Put, StoreFault};
    use crate::users::rig::{Asked, Rig, conversation, user};

    const ROWS: usize = 9;

    /// The store answers everything; it cannot read one of the rows. The sizes of the writes with that one.
    fn answer_all(rig: &mut Rig, bad: Option<usize>) -> alloc::vec::Vec<usize> {
        let mut sizes = alloc::vec::Vec::new();
        while let Some((_, asked)) = rig.asked.first() {
            let rows = match asked {
                Asked::Put(Put::List { changes }) => changes.as_slice(),
                _ => &[],
            };
            let is_bad = rows.iter().any(|row| bad.is_some_and(|n| row.conversation == conversation(n)));
            if is_bad {
                sizes.push(rows.len());
            }
            rig.answer(0, is_bad.then_some(StoreFault::Unknown));
            rig.turn(|users, turn| users.work(turn));
        }
        sizes
    }

    fn pass(rig: &mut Rig, bad: Option<usize>, ms: u64) -> alloc::vec::Vec<usize> {
        let mut sizes = alloc::vec::Vec::new();
        for _ in 0..ms / 10 {
            rig.pass(10);
            sizes.extend(answer_all(rig, bad));
        }
        sizes
    }

    #[test]
    fn a_row_that_cannot_be_written_keeps_back_itself_only() {
        let mut rig = Rig::new(Limits::default(), 10_000, 1);
        (0..ROWS).for_each(|n| rig.deliver(n, 1, &[user(n)], None));
        assert_eq!(pass(&mut rig, Some(4), 1_400), [9, 5, 2, 1]);
        assert_eq!(rig.announced().len(), ROWS - 1, "all others are stored");
        (0..ROWS).for_each(|n| rig.deliver(n, 2, &[user(n)], None));
        let sizes = pass(&mut rig, Some(4), 12_000);
        assert!(sizes.iter().all(|&size| size == 1), "what changes is not written with it: {sizes:?}");
        assert!((4..=6).contains(&sizes.len()), "it is tried less and less often: {sizes:?}");
        assert_eq!(rig.announced().len(), 2 * (ROWS - 1));
        pass(&mut rig, None, 7_000);
        assert_eq!(rig.announced().last(), Some(&(conversation(4), 2)), "it can be read again");
        rig.deliver(4, 3, &[user(4)], None);
        pass(&mut rig, None, 1_100);
        assert_eq!(rig.announced().last(), Some(&(conversation(4), 3)), "and is written as ever");
        assert_eq!(rig.users.next_deadline(), None);
    }

    #[test]
    fn a_full_disk_does_not_part_rows() {
        let mut rig = Rig::new(Limits::default(), 10_000, 1);
        (0..ROWS).for_each(|n| rig.deliver(n, 1, &[user(n)], None));
        rig.settle();
        rig.pass(1_000);
        for _ in 0..20 {
            assert!(matches!(&rig.asked[..], [(_, Asked::Put(Put::List { changes }))] if changes.len() == ROWS));
            rig.answer(0, Some(StoreFault::Full));
            rig.pass(100);
        }
        rig.settle();
        assert_eq!(rig.announced().len(), ROWS);
    }
}
