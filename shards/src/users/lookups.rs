//! How many handles a user may look up.

use alloc::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::bucket::Bucket;
use crate::store::UserKey;
use crate::turn::Turn;

/// Handles that a user may look up again without it counting.
const KNOWN_MAX: usize = 128;
/// Users whose look-ups are remembered; beyond it those whose allowance is full are forgotten.
const USERS_MAX: usize = 65_536;

/// Look-ups of handles by one user.
#[derive(Default)]
struct OfUser {
    bucket: Bucket,
    /// Hashes of the last handles looked up: these are not new.
    known: VecDeque<u64>,
}

/// Look-ups of handles.
pub(super) struct Lookups {
    users: HashMap<UserKey, OfUser, FixedState>,
}

impl Default for Lookups {
    fn default() -> Lookups {
        Lookups { users: HashMap::with_hasher(FixedState::with_seed(0)) }
    }
}

impl Lookups {
    /// Whether a user may look up a handle now.
    pub fn admits(&mut self, turn: &Turn<'_>, key: UserKey, handle_hash: u64) -> bool {
        let every_ns = turn.shared.limits.lookup_every_s * 1_000_000_000;
        let now_ns = turn.now.mono_ns;
        if self.users.len() >= USERS_MAX && !self.users.contains_key(&key) {
            self.users.retain(|_, lookups| !lookups.bucket.take(now_ns, 1, every_ns, 1));
        }
        let lookups = self.users.entry(key).or_default();
        if lookups.known.contains(&handle_hash) {
            return true;
        }
        if !lookups.bucket.take(now_ns, turn.shared.limits.lookup_burst, every_ns, 1) {
            return false;
        }
        if lookups.known.len() == KNOWN_MAX {
            lookups.known.pop_front();
        }
        lookups.known.push_back(handle_hash);
        true
    }
}
