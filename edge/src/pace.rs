//! How often each of many may do something: so many at once, then one every so many seconds.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

/// Those who are remembered, beyond which those that may do it as often as ever are forgotten.
const REMEMBERED_MAX: usize = 100_000;

/// Counts what each does.
pub(crate) struct Pace<K: Hash + Eq + Clone>(RateLimiter<K, HashMapStateStore<K>, DefaultClock>);

impl<K: Hash + Eq + Clone> Pace<K> {
    /// `burst` at once, then one every `every_s`.
    pub fn new(burst: u32, every_s: u64) -> Pace<K> {
        Pace::with_period(burst, Duration::from_secs(every_s))
    }

    /// `burst` at once, then one every `period`.
    ///
    /// # Panics
    /// One of them is nothing.
    pub fn with_period(burst: u32, period: Duration) -> Pace<K> {
        let quota = Quota::with_period(period).expect("longer than nothing");
        let quota = quota.allow_burst(NonZeroU32::new(burst).expect("at least one"));
        let seen = HashMapStateStore::<K>::new(HashMap::with_hasher(RandomState::new()));
        Pace(RateLimiter::new(quota, seen, DefaultClock::default()))
    }

    /// One does it now.
    ///
    /// # Errors
    /// It did it too often: seconds until it may again.
    pub fn take(&self, key: K) -> Result<(), u64> {
        if self.0.len() > REMEMBERED_MAX {
            self.0.retain_recent();
        }
        let until = self.0.check_key(&key).err();
        until.map_or(Ok(()), |until| Err(until.wait_time_from(DefaultClock::default().now()).as_secs() + 1))
    }
}
