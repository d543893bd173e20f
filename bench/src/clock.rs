//! The time of a run, in nanoseconds since its start.

use std::time::{Duration, Instant};

/// Nanoseconds of a second.
pub const NS_PER_S: u64 = 1_000_000_000;
/// Nanoseconds of a millisecond.
pub const NS_PER_MS: u64 = 1_000_000;

/// A monotonic clock that starts at 0.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// Starts it.
    #[must_use]
    pub fn start() -> Clock {
        Clock { origin: Instant::now() }
    }

    /// Nanoseconds since the start; 64 bits last for centuries.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }
}

/// A span as seconds with a fraction.
#[must_use]
pub fn seconds(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64()
}
