//! The time of a turn.

use rustix::time::{ClockId, Timespec, clock_gettime};
use trunkline_shards::contract::Now;

/// Reads both clocks; two calls into the vDSO, about 50 ns.
pub fn now() -> Now {
    Now {
        mono_ns: nanoseconds(clock_gettime(ClockId::Monotonic)),
        wall_ms: nanoseconds(clock_gettime(ClockId::Realtime)) / 1_000_000,
    }
}

fn nanoseconds(time: Timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
