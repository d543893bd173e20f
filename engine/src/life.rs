//! The life of a server: running, draining, ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::wake::Doorbell;

/// What shards and server agree on about stopping.
#[derive(Debug)]
pub struct Life {
    draining: AtomicBool,
    undrained: AtomicUsize,
    ended: AtomicBool,
    doorbells: Arc<[Arc<Doorbell>]>,
}

impl Life {
    /// Of the shards behind the doorbells; running.
    pub fn new(doorbells: Arc<[Arc<Doorbell>]>) -> Life {
        Life {
            draining: AtomicBool::new(false),
            undrained: AtomicUsize::new(doorbells.len()),
            ended: AtomicBool::new(false),
            doorbells,
        }
    }

    /// Whether shards are to drain.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Whether shards are to leave their loops.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// All shards drain from now on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.wake_all();
    }

    /// A shard has drained; when it was the last one, all end.
    pub fn shard_drained(&self) {
        if self.undrained.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.end();
        }
    }

    /// All shards leave their loops, drained or not.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.wake_all();
    }

    /// Wakes every shard, asleep or not.
    pub fn press_all(&self) {
        self.doorbells.iter().for_each(|doorbell| doorbell.press());
    }

    fn wake_all(&self) {
        self.doorbells.iter().for_each(|doorbell| doorbell.wake());
    }
}
