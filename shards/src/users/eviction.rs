//! Which users go from memory when room is needed: those that nobody has asked for since eviction last came by (second
//! chance; Corbató, A Paging Experiment with the Multics System, 1968).

use super::{User, Users};
use crate::store::UserKey;
use crate::turn::Turn;

/// Users that one turn looks at.
const LOOKS_MAX: usize = 64;

impl User {
    fn is_pinned(&self) -> bool {
        !self.sessions.is_empty() || self.list.as_deref().is_some_and(super::list::List::is_pinned)
    }
}

impl Users {
    /// A user without sessions and without a list is nothing to remember.
    pub(super) fn forget_if_empty(&mut self, turn: &mut Turn<'_>, key: UserKey) {
        if self.users.get(&key).is_some_and(|user| user.sessions.is_empty() && user.list.is_none()) {
            self.forget(turn, key);
        }
    }

    fn forget(&mut self, turn: &mut Turn<'_>, key: UserKey) {
        if let Some(user) = self.users.remove(&key) {
            turn.shared.cache.charge(user.bytes(), 0);
        }
    }

    /// Lets users go while memory is over its budget; true when there is more to do at once.
    pub(super) fn evict(&mut self, turn: &mut Turn<'_>) -> bool {
        let mut has_progress = false;
        for _ in 0..LOOKS_MAX {
            if !turn.shared.cache.is_over(&turn.shared.limits) {
                return false;
            }
            let Some(key) = self.queues.ring.users.pop_front() else { return false };
            has_progress |= self.evict_one(turn, key);
        }
        has_progress && turn.shared.cache.is_over(&turn.shared.limits)
    }

    /// One user goes, or its rows that the store has do, or it is spared once more; true when that got nearer to room.
    fn evict_one(&mut self, turn: &mut Turn<'_>, key: UserKey) -> bool {
        let user = self.users.get_mut(&key).expect("a user in the ring is in memory");
        let is_pinned = user.is_pinned();
        let list = user.list.as_deref_mut().expect("a user in the ring has a list");
        let was_touched = core::mem::replace(&mut list.touched, false);
        if !was_touched && !is_pinned {
            self.forget(turn, key);
            turn.shared.counters.users_evicted += 1;
            return true;
        }
        self.queues.ring.users.push_back(key);
        let has_trimmed =
            !was_touched && self.with_list(turn, key, |list, queues, _| list.trim(queues.ring.next_stay()));
        was_touched || has_trimmed
    }
}
