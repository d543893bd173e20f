//! One io_uring and everything the kernel may touch on its behalf: the safe floor the reactor stands on.
//!
//! All memory that an operation refers to belongs to the ring until the operation's last completion: receive buffers, bytes
//! being sent, addresses being written, the eventfd's counter. That is what makes its functions safe to call in any order.
#![allow(unsafe_code)]

mod accept;
mod buffers;
mod completion;
mod flush;
mod install;
mod names;
mod place;
mod receive;
mod setup;

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use io_uring::types::{CancelBuilder, Fd, Timespec};
use io_uring::{IoUring, opcode, squeue};
use trunkline_shards::contract::Bytes;

use crate::wake::Doorbell;

pub use accept::ACCEPTS_MAX;
pub use buffers::{BUFFER_BYTES, BUFFERS_MAX, buffers_per_shard};
pub use completion::{Completion, Op, SLOTS_MAX, Tag};
pub(crate) use setup::out_of_descriptors;
pub use setup::{Feature, Features, RingFault};

use buffers::BufferRing;
use names::{Names, SocketName};
use place::Places;

/// What a ring is made with.
#[derive(Clone, Copy, Debug)]
pub struct RingOptions {
    /// Features not to be used even where the kernel has them.
    pub disable: Features,
    /// Receive buffers, a power of two, at most [`BUFFERS_MAX`].
    pub buffers: u16,
    /// Slots for connections; 0: as many as the limit of descriptors allows.
    pub connections: u32,
}

/// Bytes on their way into a socket.
#[derive(Default)]
struct Flight {
    bytes: Option<Bytes>,
    sent: usize,
}

/// One io_uring with its table of direct descriptors and its buffer ring. Belongs to the thread that made it.
pub struct Ring {
    // First, so that it is closed before any memory below is freed.
    uring: IoUring,
    buffers: BufferRing,
    /// By slot.
    flights: Vec<Flight>,
    names: Names,
    places: Places,
    accept_names: Vec<SocketName>,
    doorbell: Arc<Doorbell>,
    doorbell_count: Box<u64>,
    features: Features,
    slots: u32,
    peer_bytes: u32,
    /// System calls so far.
    entered: u64,
    /// Completions that had to be taken out of the kernel's queue before the reactor asked for them.
    set_aside: Vec<Completion>,
}

impl Ring {
    /// Sets a ring up on the calling thread, which alone may use it. `doorbell` wakes it; `v6` says whether its listener
    /// speaks IPv6.
    ///
    /// # Errors
    /// The operator's to mend; see [`RingFault`].
    pub fn new(options: RingOptions, doorbell: Arc<Doorbell>, v6: bool) -> Result<Ring, RingFault> {
        let (uring, features) = setup::build(Features::all().minus(options.disable))?;
        let slots = setup::register_slots(&uring.submitter(), options.connections)?;
        let mut buffers = BufferRing::new(options.buffers).map_err(|error| RingFault::buffers(&error))?;
        buffers.register(&uring.submitter()).map_err(|error| RingFault::buffers(&error))?;
        let peer_bytes = if v6 { size_of::<libc::sockaddr_in6>() } else { size_of::<libc::sockaddr_in>() } as u32;
        let accept_names = std::iter::repeat_with(SocketName::default).take(ACCEPTS_MAX as usize).collect();
        let mut ring = Ring {
            uring,
            buffers,
            flights: Vec::new(),
            names: Names::default(),
            places: Places::default(),
            accept_names,
            doorbell,
            doorbell_count: Box::new(0),
            features,
            slots,
            peer_bytes,
            entered: 0,
            set_aside: Vec::new(),
        };
        ring.try_operations();
        ring.listen_to_doorbell();
        Ok(ring)
    }

    /// The features in force.
    pub fn features(&self) -> Features {
        self.features
    }

    /// Slots for connections.
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// How often the kernel was entered so far.
    pub fn entered(&self) -> u64 {
        self.entered
    }

    /// What other rings send their wakes to; none where wakes go through the eventfd.
    pub fn wake_target(&self) -> Option<RawFd> {
        self.features.has(Feature::MsgRing).then(|| self.uring.as_raw_fd())
    }

    /// Wakes the owner of another ring ([`Ring::wake_target`]); it goes with the next flush.
    pub fn wake(&mut self, target: RawFd) {
        let rung = Tag::of(Op::Rung).pack();
        let entry = opcode::MsgRingData::new(Fd(target), 0, rung, None).build();
        self.push(&entry.user_data(Tag::of(Op::Ring).pack()));
    }

    /// Waits for the next ring of the doorbell by a thread without a ring. Armed anew after each [`Op::Doorbell`].
    pub fn listen_to_doorbell(&mut self) {
        let count: *mut u64 = &mut *self.doorbell_count;
        let entry = opcode::Read::new(Fd(self.doorbell.as_raw_fd()), count.cast(), size_of::<u64>() as u32).build();
        self.push(&entry.user_data(Tag::of(Op::Doorbell).pack()));
    }

    /// Cancels an operation; both it and the cancellation complete.
    pub fn cancel(&mut self, tag: Tag) {
        let entry = opcode::AsyncCancel::new(tag.pack()).build();
        self.push(&entry.user_data(Tag { op: Op::Cancel, ..tag }.pack()));
    }

    /// Takes features away that turn out not to work: what set-up flags and lists of operations can't tell.
    fn try_operations(&mut self) {
        if self.features.has(Feature::MultishotAccept) && !self.can_name_peers() {
            self.features = self.features.without(Feature::MultishotAccept);
        }
        if self.features.has(Feature::MsgRing) && !self.can_message_rings() {
            self.features = self.features.without(Feature::MsgRing);
        }
        if self.features.has(Feature::FixedFdInstall) && !self.can_install() {
            self.features = self.features.without(Feature::FixedFdInstall);
        }
    }

    /// Sends itself a message.
    fn can_message_rings(&mut self) -> bool {
        self.wake(self.uring.as_raw_fd());
        self.complete_one(Op::Ring).result() >= 0
    }

    /// Submits and waits for the completion of an operation that was just pushed; others that arrive are dropped, so this
    /// is for set-up only.
    fn complete_one(&mut self, op: Op) -> Completion {
        loop {
            self.wait(Some(1_000_000_000));
            let mut completions = Vec::new();
            self.reap(&mut completions);
            if let Some(completion) = completions.into_iter().find(|completion| completion.tag().op == op) {
                return completion;
            }
        }
    }

    /// Queues an operation; enters the kernel first if the queue is full.
    fn push(&mut self, entry: &squeue::Entry) {
        loop {
            // SAFETY: everything an entry points to is owned by this ring until the operation's last completion.
            if unsafe { self.uring.submission().push(entry) }.is_ok() {
                return;
            }
            self.submit();
        }
    }
}

impl Drop for Ring {
    /// Ends everything under way before the memory goes that it could touch; failing that, the memory stays.
    fn drop(&mut self) {
        self.submit();
        let timeout = Timespec::new().sec(1);
        let cancelled = self.uring.submitter().register_sync_cancel(Some(timeout), CancelBuilder::any());
        let quiet = cancelled.is_ok() || cancelled.is_err_and(|error| error.raw_os_error() == Some(libc::ENOENT));
        self.run_pending();
        if !quiet {
            self.buffers.leak();
            std::mem::forget(std::mem::take(&mut self.flights));
            std::mem::forget(std::mem::take(&mut self.names));
            std::mem::forget(std::mem::take(&mut self.places));
            std::mem::forget(std::mem::take(&mut self.accept_names));
            std::mem::forget(std::mem::take(&mut self.doorbell_count));
        }
    }
}
