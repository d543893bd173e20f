//! A log that counts what it commits: sizes of groups, and how long each took to be durable.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use trunkline_shards::counters::StoreCounters;
use trunkline_shards::store::StoreResult;
use trunkline_storage::{Fatal, Log, Write};

/// What a log has counted, for any thread to look at. The log takes the lock once a group, which a sync outlasts by far.
#[derive(Clone, Debug, Default)]
pub struct StoreWatch(Arc<Mutex<StoreCounters>>);

impl StoreWatch {
    /// What was counted so far.
    pub fn counters(&self) -> StoreCounters {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, writes: &[Write], took_us: u64) {
        let bytes: usize = writes.iter().map(Write::cost_bytes).sum();
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counters.group_writes.record(writes.len() as u64, 1);
        counters.group_bytes.record(bytes as u64, 1);
        counters.commit_us.record(took_us, 1);
    }
}

/// A log, and who watches it.
pub(super) struct Counted<L> {
    pub log: L,
    pub watch: StoreWatch,
}

impl<L: Log> Log for Counted<L> {
    fn commit(&mut self, writes: &[Write]) -> Result<Vec<StoreResult>, Fatal> {
        let began = Instant::now();
        let results = self.log.commit(writes)?;
        self.watch.count(writes, began.elapsed().as_micros() as u64);
        Ok(results)
    }

    fn incarnation(&self) -> u64 {
        self.log.incarnation()
    }
}
