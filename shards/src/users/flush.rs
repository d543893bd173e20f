//! Ticks of lists: what changed is told to the sessions and stored, rows of many users in one write; once all rows of a
//! conversation are stored, its home is told.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use trunkline_wire::ids::ConversationId;
use trunkline_wire::limits::ADVANCED_CONVERSATIONS_MAX;

use super::list::{List, Written};
use super::numbers::RETRY_AFTER_NS;
use super::{STEPS_MAX, User, Users, advanced_frame};
use crate::contract::ShardId;
use crate::desk::Purpose;
use crate::entry::Entry;
use crate::slab::Slab;
use crate::store::{ConversationKey, Put, StoreFault, UserKey};
use crate::turn::Turn;

/// Writes of rows at the same time: those that wait for one meanwhile go together.
const WRITES_MAX: u32 = 8;

/// A row of a list.
type Place = (UserKey, ConversationId);

/// What this shard's lists owe to the home of a conversation.
#[derive(Default)]
struct Debt {
    /// Rows that are not stored.
    rows: u32,
    /// The highest seq that was announced.
    seq: u64,
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
    /// Rows of a write that failed, by when they are tried again (monotonic ns).
    failed: VecDeque<(u64, Vec<Place>)>,
    /// Rows that are being written.
    writing: Slab<Vec<Place>>,
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
            failed: VecDeque::new(),
            writing: Slab::default(),
            writes: 0,
            debts: HashMap::with_hasher(FixedState::with_seed(0)),
            paid: vec![VecDeque::new(); usize::from(shards)],
        }
    }

    pub fn next_deadline(&self) -> Option<u64> {
        let tick = self.ticks.front().map(|&(due_ns, _)| if self.is_hurried { 0 } else { due_ns });
        let failed = self.failed.front().map(|&(due_ns, _)| due_ns);
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

    /// A seq was announced, and so many more rows are to be stored before that is acknowledged.
    pub fn owe(&mut self, turn: &mut Turn<'_>, key: ConversationKey, seq: u64, rows: u32) {
        let debt = self.debts.entry(key).or_default();
        debt.rows += rows;
        debt.seq = debt.seq.max(seq);
        if debt.rows == 0 {
            self.acknowledge(turn, key);
        }
    }

    fn pay(&mut self, turn: &mut Turn<'_>, key: ConversationKey) {
        let debt = self.debts.get_mut(&key).expect("what is paid was owed");
        debt.rows -= 1;
        if debt.rows == 0 {
            self.acknowledge(turn, key);
        }
    }

    fn acknowledge(&mut self, turn: &mut Turn<'_>, key: ConversationKey) {
        let Some(debt) = self.debts.get_mut(&key).filter(|debt| debt.rows == 0) else { return };
        let home = turn.shared.router.home_of_conversation(key);
        if turn.shared.router.try_post(home, Entry::Announced { key, seq: debt.seq }, turn.effects) {
            self.debts.remove(&key);
        } else if !core::mem::replace(&mut debt.queued, true) {
            self.paid[usize::from(home)].push_back(key);
        }
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
    /// What the sessions are told of the changes since the last tick: all of them by name, or that these are too many.
    fn news(&self, turn: &mut Turn<'_>, (from, to): (u64, u64), changed: &[ConversationId]) -> Option<Arc<[u8]>> {
        let list = self.list.as_deref().filter(|_| !self.sessions.is_empty() && from < to)?;
        if changed.len() > ADVANCED_CONVERSATIONS_MAX {
            return Some(advanced_frame(turn, to, to, &[]));
        }
        let places: Vec<(ConversationId, u64)> = changed.iter().map(|&id| (id, list.last_seq(id))).collect();
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
                let (from, to, changed) = list.tick();
                if let Some(frame) = user.news(turn, (from, to), &changed) {
                    user.push(turn, key, &frame, None, &mut queues.backlogs);
                }
                queues.flushes.due.extend(changed.into_iter().map(|conversation| (key, conversation)));
            });
        }
        true
    }

    /// Rows of failed writes are due again when their time has come.
    pub(super) fn retry(&mut self, turn: &Turn<'_>) {
        let Flushes { failed, due, .. } = &mut self.queues.flushes;
        while failed.front().is_some_and(|&(due_ns, _)| due_ns <= turn.now.mono_ns) {
            due.extend(failed.pop_front().into_iter().flat_map(|(_, rows)| rows));
        }
    }

    /// Writes rows that are due, as far as the store has room.
    pub(super) fn write_rows(&mut self, turn: &mut Turn<'_>) {
        while self.queues.flushes.writes < WRITES_MAX && turn.shared.desk.can_put(&turn.shared.limits) {
            let (mut changes, mut rows) = (Vec::new(), Vec::new());
            while (changes.len() as u64) < turn.shared.limits.list_rows_max
                && let Some((key, conversation)) = self.queues.flushes.due.pop_front()
            {
                let list = self.users.get_mut(&key).and_then(|user| user.list.as_deref_mut());
                if let Some(change) = list.and_then(|list| list.begin_write(key, conversation)) {
                    changes.push(change);
                    rows.push((key, conversation));
                }
            }
            if changes.is_empty() {
                return;
            }
            let number = self.queues.flushes.writing.insert(rows);
            self.queues.flushes.writes += 1;
            turn.shared.desk.put(Purpose::List(number), Put::List { changes }, turn.effects);
        }
    }

    /// The store answered a write of rows.
    pub fn list_stored(&mut self, turn: &mut Turn<'_>, number: u32, done: Result<(), StoreFault>) {
        let rows = self.queues.flushes.writing.take(number).expect("a write is answered once");
        self.queues.flushes.writes -= 1;
        for &(key, conversation) in &rows {
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
            Ok(()) => turn.shared.counters.list_rows_stored += rows.len() as u64,
            Err(_) => self.queues.flushes.failed.push_back((turn.now.mono_ns + RETRY_AFTER_NS, rows)),
        }
    }
}
