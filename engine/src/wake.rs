//! Waking a thread that sleeps, and not waking one that doesn't.
//!
//! Whoever hands something over pushes it, passes a SeqCst fence and looks at the `sleeping` flag; whoever wants to sleep
//! raises the flag, passes a SeqCst fence and looks at its queues. One of the two fences comes first: either the producer
//! sees the flag and wakes, or the consumer sees the item and stays awake. Of several producers that see the flag, the one
//! that takes it down wakes; the others are spared the 7 us.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering, fence};
use std::thread::Thread;

use crossbeam::utils::CachePadded;
use rustix::event::{EventfdFlags, eventfd};

/// The `sleeping` flag of a consumer.
#[derive(Debug, Default)]
pub struct Sleeping(CachePadded<AtomicBool>);

impl Sleeping {
    /// The consumer is about to sleep; it looks at its queues once more after this.
    pub fn begin(&self) {
        self.0.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// The consumer is awake.
    pub fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// A producer has pushed: true where it must wake the consumer.
    pub fn must_wake(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::SeqCst)
    }
}

/// How a shard is woken: through another shard's ring, or by an eventfd from threads that have none.
#[derive(Debug)]
pub struct Doorbell {
    /// The shard's flag.
    pub sleeping: Sleeping,
    eventfd: OwnedFd,
    ring: AtomicI32,
}

/// No ring to send wakes to.
const NO_RING: RawFd = -1;

impl Doorbell {
    /// A doorbell of a shard that is awake.
    ///
    /// # Errors
    /// The system's, above all no descriptor left.
    pub fn new() -> io::Result<Doorbell> {
        // Not non-blocking: a ring's read would then end at once instead of waiting.
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC)?;
        Ok(Doorbell { sleeping: Sleeping::default(), eventfd, ring: AtomicI32::new(NO_RING) })
    }

    /// From now on other shards may wake this one through its ring.
    pub fn set_ring(&self, ring: Option<RawFd>) {
        self.ring.store(ring.unwrap_or(NO_RING), Ordering::Release);
    }

    /// The ring to which a shard's wake goes, if it is known and to be used.
    pub fn ring(&self) -> Option<RawFd> {
        let ring = self.ring.load(Ordering::Acquire);
        (ring != NO_RING).then_some(ring)
    }

    /// Wakes the shard if it sleeps; to be called after something was pushed, from a thread without a ring.
    pub fn wake(&self) {
        if self.sleeping.must_wake() {
            self.press();
        }
    }

    /// Wakes the shard without looking.
    pub fn press(&self) {
        // It can fail only where the counter is at its end, and then the shard is being woken already.
        let _ = rustix::io::write(&self.eventfd, &1u64.to_ne_bytes());
    }
}

impl AsRawFd for Doorbell {
    fn as_raw_fd(&self) -> RawFd {
        self.eventfd.as_raw_fd()
    }
}

/// How a thread without a ring is woken.
#[derive(Debug, Default)]
pub struct Alarm {
    sleeping: Sleeping,
    thread: OnceLock<Thread>,
}

impl Alarm {
    /// Sleeps until [`Alarm::wake`], on the one thread that ever does; not at all if `has_work` says so after the flag is up.
    pub fn sleep_unless(&self, has_work: impl Fn() -> bool) {
        self.thread.get_or_init(std::thread::current);
        self.sleeping.begin();
        if !has_work() {
            std::thread::park();
        }
        self.sleeping.end();
    }

    /// Wakes the thread if it sleeps; to be called after something was pushed.
    pub fn wake(&self) {
        if self.sleeping.must_wake() {
            self.thread.get().expect("the flag goes up after the thread is known").unpark();
        }
    }
}
