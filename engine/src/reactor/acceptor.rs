//! Accepting: never more than there are free slots, and never in a hurry after an error.
//!
//! With plenty of slots one multishot accept takes everything that comes. The kernel may take a whole backlog at a time, and
//! it drops what finds no slot; so when slots get scarce, single accepts take over, at most one per free slot.

use std::os::fd::{AsFd, OwnedFd};

use crate::listener::BACKLOG;
use crate::ring::{ACCEPTS_MAX, Completion, Feature, Op, Ring, Tag};

/// Free slots below which connections are accepted one by one.
const SCARCE_SLOTS: u32 = 2 * BACKLOG;
/// How long to wait after an error that does not go away by itself, such as no descriptor left in the whole system.
const PAUSE_NS: u64 = 100_000_000;

/// The accepting side of a shard.
#[derive(Debug)]
pub struct Acceptor {
    /// None once it is closed.
    listener: Option<OwnedFd>,
    multishot: bool,
    free_slots: u32,
    many_armed: bool,
    many_cancelled: bool,
    /// A bit per single accept under way.
    ones_armed: u32,
    paused_until_ns: Option<u64>,
    stopping: bool,
}

const _: () = assert!(ACCEPTS_MAX <= u32::BITS);

impl Acceptor {
    /// Accepts on a listener, once armed.
    pub fn new(listener: OwnedFd, ring: &Ring) -> Acceptor {
        Acceptor {
            listener: Some(listener),
            multishot: ring.features().has(Feature::MultishotAccept),
            free_slots: ring.slots(),
            many_armed: false,
            many_cancelled: false,
            ones_armed: 0,
            paused_until_ns: None,
            stopping: false,
        }
    }

    /// Arms what should be armed now; called once per turn.
    pub fn arm(&mut self, ring: &mut Ring, now_ns: u64) {
        if self.paused_until_ns.is_some_and(|until| until <= now_ns) {
            self.paused_until_ns = None;
        }
        let Some(listener) = &self.listener else { return };
        if self.stopping || self.paused_until_ns.is_some() {
            return;
        }
        if self.multishot && self.free_slots > SCARCE_SLOTS {
            if !self.many_armed && self.ones_armed == 0 {
                self.many_armed = true;
                ring.accept_many(listener.as_fd());
            }
        } else if self.many_armed {
            self.cancel_many(ring);
        } else {
            let wanted = self.free_slots.min(ACCEPTS_MAX);
            for place in 0..ACCEPTS_MAX {
                if self.ones_armed.count_ones() >= wanted {
                    break;
                }
                if self.ones_armed & 1 << place == 0 {
                    self.ones_armed |= 1 << place;
                    ring.accept_one(listener.as_fd(), place);
                }
            }
        }
    }

    /// Takes in the completion of an accept: the slot of a new connection, if there is one.
    pub fn completed(&mut self, completion: &Completion, now_ns: u64) -> Option<u32> {
        let tag = completion.tag();
        if tag.op == Op::AcceptOne {
            self.ones_armed &= !(1 << tag.slot);
        } else if !completion.more() {
            self.many_armed = false;
            self.many_cancelled = false;
        }
        let slot = u32::try_from(completion.result()).ok();
        match slot {
            Some(_) => {
                assert!(self.free_slots > 0, "no more connections are accepted than there are slots");
                self.free_slots -= 1;
            }
            None if is_passing(-completion.result()) => {}
            None => self.paused_until_ns = Some(now_ns + PAUSE_NS),
        }
        if self.stopping && !self.many_armed && self.ones_armed == 0 {
            self.listener = None;
        }
        slot
    }

    /// Whether a slot is left for a connection that comes back: none is that accepts under way may need.
    pub fn has_room(&self) -> bool {
        let promised = if self.many_armed { SCARCE_SLOTS } else { self.ones_armed.count_ones() };
        self.free_slots > promised && !self.stopping
    }

    /// Sets such a slot aside; it ends with [`Acceptor::slot_freed`].
    pub fn reserve(&mut self) -> bool {
        let has_room = self.has_room();
        self.free_slots -= u32::from(has_room);
        has_room
    }

    /// A slot is free again: what failed for want of one may work now.
    pub fn slot_freed(&mut self) {
        self.free_slots += 1;
        self.paused_until_ns = None;
    }

    /// Accepts nothing any more and closes the listener.
    pub fn stop(&mut self, ring: &mut Ring) {
        self.stopping = true;
        if self.many_armed {
            self.cancel_many(ring);
        }
        for place in (0..ACCEPTS_MAX).filter(|place| self.ones_armed & 1 << place != 0) {
            ring.cancel(Tag { op: Op::AcceptOne, slot: place, generation: 0 });
        }
        if !self.many_armed && self.ones_armed == 0 {
            self.listener = None;
        }
    }

    /// When it wants to be armed again even if nothing happens.
    pub fn next_deadline(&self) -> Option<u64> {
        self.paused_until_ns.filter(|_| !self.stopping)
    }

    fn cancel_many(&mut self, ring: &mut Ring) {
        if !self.many_cancelled {
            self.many_cancelled = true;
            ring.cancel(Tag::of(Op::AcceptMany));
        }
    }
}

/// Errors of one connection, or of our own doing.
fn is_passing(error: i32) -> bool {
    matches!(error, libc::ECANCELED | libc::ECONNABORTED | libc::EINTR | libc::EPROTO)
}
