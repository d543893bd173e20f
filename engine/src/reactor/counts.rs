//! What the loop counts of itself: plain numbers of its own, told with the core's when somebody asks for those.

use trunkline_shards::contract::AdminAnswer;

/// Counted since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct LoopCounts {
    pub turns: u64,
    pub completions: u64,
    pub lane_entries: u64,
    pub lane_depth_max: u64,
    pub tls_handshakes: u64,
    pub tls_failures: u64,
}

impl LoopCounts {
    /// So many entries waited in the lanes to this shard at the beginning of a turn.
    pub fn lanes_had(&mut self, entries: u64) {
        self.lane_entries += entries;
        self.lane_depth_max = self.lane_depth_max.max(entries);
    }

    /// Adds these to the counters that a core tells.
    pub fn tell(self, kernel_entries: u64, answer: &mut AdminAnswer) {
        let AdminAnswer::Counters(counters) = answer else { return };
        counters.turns = self.turns;
        counters.kernel_entries = kernel_entries;
        counters.completions = self.completions;
        counters.lane_entries = self.lane_entries;
        counters.lane_depth_max = self.lane_depth_max;
        counters.tls_handshakes = self.tls_handshakes;
        counters.tls_failures = self.tls_failures;
    }
}
