//! The loop of a shard: takes what came in, lets the core decide, does what it says, sleeps when there is nothing.
//!
//! One turn: enter the kernel (flush, perhaps wait), reap completions, take entries, answers and questions, let the core work,
//! carry out the effects. All effects of a turn are carried out before the next wait.

mod acceptor;
mod completions;
mod connections;
mod counts;
mod effects;
mod returned;
mod secured;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use trunkline_edge::public::Returning;
use trunkline_edge::transport::Certificate;
use trunkline_shards::contract::{Core, Effects, Event, Now};

use crate::clock;
use crate::control::ControlPort;
use crate::guests::GuestDoor;
use crate::lane::Port;
use crate::life::Life;
use crate::returns::ReturnPort;
use crate::ring::{Completion, Ring};
use crate::store::StorePort;
use crate::wake::Doorbell;

use acceptor::Acceptor;
use connections::Connections;
use counts::LoopCounts;
use secured::Transports;

/// Recipients that a core may hand messages on to per turn, beside its events.
const WORK_BUDGET: u32 = 1024;
/// Store answers taken per turn.
const ANSWERS_PER_TURN: usize = 1024;
/// Passes over the kernel's completions per turn, see [`Reactor::gather`].
const PASSES_MAX: usize = 64;
/// A pass that yields as much as this has most likely left something behind: the kernel works off 20 at a time.
const FULL_PASS: usize = 18;

/// What joins a shard to the rest of its process.
#[derive(Debug)]
pub struct Links {
    /// To the other shards.
    pub port: Port,
    /// To the store.
    pub store: StorePort,
    /// To whoever administers.
    pub control: ControlPort,
    /// To whoever answers what shards do not.
    pub guests: Option<GuestDoor>,
    /// From there, connections whose clients want a WebSocket after all.
    pub returns: ReturnPort,
    /// What connections are encrypted with.
    pub certificate: Option<Arc<Certificate>>,
    /// What wakes the shard.
    pub doorbell: Arc<Doorbell>,
    /// When to drain and when to end.
    pub life: Arc<Life>,
}

/// What was read of a connection that is being handed over.
#[derive(Debug, Default)]
struct Leaving {
    /// What it said.
    bytes: Vec<u8>,
    /// What came behind that, as it was on the socket.
    unread: Vec<u8>,
}

/// A shard's loop and all it drives.
pub struct Reactor<C> {
    core: C,
    ring: Ring,
    links: Links,
    acceptor: Acceptor,
    connections: Connections,
    transports: Transports,
    /// Connections that are being handed over, by slot.
    leaving: HashMap<u32, Leaving>,
    /// Connections that are getting a slot, by place.
    entering: HashMap<u32, Returning>,
    effects: Effects,
    completions: Vec<Completion>,
    now: Now,
    counts: LoopCounts,
    /// There is more to do at once.
    busy: bool,
    draining: bool,
    drained: bool,
}

impl<C: Core> Reactor<C> {
    /// A reactor that will accept on `listener`.
    pub fn new(core: C, ring: Ring, listener: OwnedFd, links: Links) -> Reactor<C> {
        let acceptor = Acceptor::new(listener, &ring);
        let transports = Transports::new(links.certificate.clone());
        Reactor {
            core,
            ring,
            links,
            acceptor,
            connections: Connections::default(),
            transports,
            leaving: HashMap::new(),
            entering: HashMap::new(),
            effects: Effects::new(),
            completions: Vec::new(),
            now: clock::now(),
            counts: LoopCounts::default(),
            busy: true,
            draining: false,
            drained: false,
        }
    }

    /// Runs until all shards have drained, or the process must end.
    pub fn run(&mut self) {
        while !self.links.life.has_ended() {
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.enter();
        self.counts.turns += 1;
        self.now = clock::now();
        self.tell_unsent();
        self.gather();
        self.take_inbound();
        self.busy |= self.core.work(self.now, WORK_BUDGET, &mut self.effects);
        self.carry_out_effects();
        self.acceptor.arm(&mut self.ring, self.now.mono_ns);
        self.links.returns.set_room(self.acceptor.has_room());
    }

    /// Hands everything to the kernel; sleeps there if nothing is left to do.
    fn enter(&mut self) {
        if std::mem::take(&mut self.busy) {
            self.ring.pump();
            return;
        }
        self.links.port.want_credit();
        self.links.doorbell.sleeping.begin();
        if self.has_inbound() {
            self.ring.pump();
        } else {
            let deadline = earlier(self.core.next_deadline(), self.acceptor.next_deadline());
            let timeout = deadline.map(|deadline| deadline.saturating_sub(clock::now().mono_ns));
            self.ring.wait(timeout);
        }
        self.links.doorbell.sleeping.end();
    }

    /// Takes in completions, and while the kernel has more of them waiting, those too: only what is known before the flush
    /// can share a send. Without this, a turn never sees more than about twenty.
    fn gather(&mut self) {
        for _ in 0..PASSES_MAX {
            let yielded = self.take_completions();
            if yielded < FULL_PASS || !self.ring.has_pending() {
                break;
            }
            self.ring.run_pending();
        }
    }

    /// Takes what other threads have handed over.
    fn take_inbound(&mut self) {
        let Reactor { core, effects, now, links, counts, .. } = self;
        let mut entries = 0;
        links.port.take_credit(|shard, entries| core.apply(*now, Event::Credit { shard, entries }, effects));
        links.port.take(|from, entry| {
            entries += 1;
            core.apply(*now, Event::Posted { from, entry }, effects);
        });
        counts.lanes_had(entries);
        for _ in 0..ANSWERS_PER_TURN {
            let Some((ticket, result)) = links.store.take() else { break };
            core.apply(*now, Event::Stored { ticket, result }, effects);
        }
        while let Some((ticket, request)) = links.control.take() {
            core.apply(*now, Event::Admin { ticket, request }, effects);
        }
        if !self.draining && self.links.life.is_draining() {
            self.draining = true;
            self.acceptor.stop(&mut self.ring);
            self.core.apply(self.now, Event::Drain, &mut self.effects);
        }
        self.take_returns();
        // What could not be taken in this turn is taken in the next, without a sleep in between.
        self.busy |= self.links.store.has_answers() || self.links.returns.has_waiting();
    }

    fn has_inbound(&self) -> bool {
        let Links { port, store, control, returns, life, .. } = &self.links;
        port.has_input()
            || store.has_answers()
            || control.has_questions()
            || returns.has_waiting()
            || life.has_ended()
            || life.is_draining() != self.draining
    }
}

fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
