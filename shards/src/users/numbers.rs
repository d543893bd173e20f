//! Where lists get their numbers from: ceilings, loaded and raised one list at a time, within a share of the store's room.

use alloc::collections::VecDeque;

use trunkline_wire::message::ErrorCode;

use super::list::{List, Need};
use super::{Queues, STEPS_MAX, Users};
use crate::desk::Purpose;
use crate::store::{Load, Loaded, Put, StoreFault, UserKey};
use crate::turn::Turn;

/// Incarnations of a store give numbers from (incarnation - 1) x 2^40 on: a position from before a restored backup is never
/// taken for one from behind it.
pub(super) const INCARNATION_SHIFT: u32 = 40;
/// Ceilings that are loaded at the same time; the rest of the loads is for what clients ask.
const LOADS_MAX: u32 = 64;
/// Ceilings that are raised at the same time; the rest of the writes is for rows, watermarks and marks.
const RAISES_MAX: u32 = 16;
/// Between two attempts when the store did not do it.
pub(super) const RETRY_AFTER_NS: u64 = 100_000_000;

/// The lists that ask the store for numbers, or wait to.
#[derive(Default)]
pub(super) struct Asking {
    /// Lists that wait for room to load their ceiling.
    to_load: VecDeque<UserKey>,
    /// Lists that wait for room to raise their ceiling.
    to_raise: VecDeque<UserKey>,
    /// Lists that the store has refused, by when they ask again (monotonic ns).
    refused: VecDeque<(u64, UserKey)>,
    loads: u32,
    raises: u32,
}

impl Asking {
    pub fn next_deadline(&self) -> Option<u64> {
        self.refused.front().map(|&(due_ns, _)| due_ns)
    }

    fn can_load(&self, turn: &Turn<'_>) -> bool {
        self.loads < LOADS_MAX && turn.shared.desk.can_load(&turn.shared.limits)
    }

    fn can_raise(&self, turn: &Turn<'_>) -> bool {
        self.raises < RAISES_MAX && turn.shared.desk.can_put(&turn.shared.limits)
    }

    /// Asks the store for what a list needs, or puts it where those wait that may not yet.
    fn ask(&mut self, turn: &mut Turn<'_>, key: UserKey, list: &mut List) {
        if list.queued {
            return;
        }
        match list.need() {
            Need::Nothing => {}
            Need::Load if self.can_load(turn) => {
                self.loads += 1;
                list.asked();
                turn.shared.desk.load(Purpose::User(key), Load::Ceiling { key }, turn.effects);
            }
            Need::Raise(ceiling) if self.can_raise(turn) => {
                self.raises += 1;
                list.asked();
                let put = Put::Ceiling { key, ceiling };
                turn.shared.desk.put(Purpose::Ceiling(key, ceiling), put, turn.effects);
            }
            Need::Load => {
                list.queued = true;
                self.to_load.push_back(key);
            }
            Need::Raise(_) => {
                list.queued = true;
                self.to_raise.push_back(key);
            }
        }
    }

    fn ask_later(&mut self, turn: &Turn<'_>, key: UserKey, list: &mut List) {
        list.refused();
        list.queued = true;
        self.refused.push_back((turn.now.mono_ns + RETRY_AFTER_NS, key));
    }

    /// The next list that may ask now.
    fn next(&mut self, turn: &Turn<'_>) -> Option<UserKey> {
        if self.refused.front().is_some_and(|&(due_ns, _)| due_ns <= turn.now.mono_ns) {
            return self.refused.pop_front().map(|(_, key)| key);
        }
        let raise = if self.can_raise(turn) { self.to_raise.pop_front() } else { None };
        raise.or_else(|| if self.can_load(turn) { self.to_load.pop_front() } else { None })
    }
}

impl Queues {
    /// Sees to what a list needs behind a change: numbers, and the tick that stores and tells it.
    pub(super) fn attend(&mut self, turn: &mut Turn<'_>, key: UserKey, list: &mut List) {
        self.flushes.arrange(turn, key, list);
        self.asking.ask(turn, key, list);
    }
}

impl Users {
    /// Lists that waited for room, or for another attempt, ask the store.
    pub(super) fn ask_next(&mut self, turn: &mut Turn<'_>) {
        for _ in 0..STEPS_MAX {
            let Some(key) = self.queues.asking.next(turn) else { break };
            self.with_list(turn, key, |list, queues, turn| {
                list.queued = false;
                queues.asking.ask(turn, key, list);
            });
        }
    }

    /// Does something to a list that is in memory.
    pub(super) fn with_list<R>(
        &mut self,
        turn: &mut Turn<'_>,
        key: UserKey,
        act: impl FnOnce(&mut List, &mut Queues, &mut Turn<'_>) -> R,
    ) -> R {
        let done = self
            .with_known(turn, key, |user, queues, turn| user.list.as_deref_mut().map(|list| act(list, queues, turn)));
        done.flatten().expect("a list that waits for something stays in memory")
    }

    /// A user's ceiling came from the store, or the store failed.
    pub fn loaded(&mut self, turn: &mut Turn<'_>, key: UserKey, loaded: Result<Loaded, StoreFault>) {
        self.queues.asking.loads -= 1;
        let ceiling = match loaded {
            Ok(Loaded::Ceiling(ceiling)) => Ok(ceiling),
            Ok(_) => unreachable!("a load of a ceiling finds a ceiling"),
            Err(fault) => Err(fault),
        };
        let waiters = self.with_list(turn, key, |list, queues, turn| {
            let waiters = core::mem::take(&mut list.waiters);
            match ceiling {
                Ok(ceiling) => {
                    turn.shared.counters.users_loaded += 1;
                    list.loaded(ceiling, (turn.shared.incarnation.max(1) - 1) << INCARNATION_SHIFT);
                    queues.attend(turn, key, list);
                }
                Err(_) => queues.asking.ask_later(turn, key, list),
            }
            waiters
        });
        for (reply, request) in waiters {
            match ceiling {
                Ok(_) => self.sync_from(turn, key, reply, &request),
                Err(_) => turn.refuse(reply, ErrorCode::StorageUnavailable),
            }
        }
    }

    /// The store answered the write of a ceiling.
    pub fn ceiling_stored(&mut self, turn: &mut Turn<'_>, key: UserKey, ceiling: u64, done: Result<(), StoreFault>) {
        self.queues.asking.raises -= 1;
        self.with_list(turn, key, |list, queues, turn| match done {
            Ok(()) => {
                list.raised(ceiling);
                queues.attend(turn, key, list);
            }
            Err(_) => queues.asking.ask_later(turn, key, list),
        });
    }
}
