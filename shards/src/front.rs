//! The front of a shard: the connections whose sockets it has.

mod doorstep;
mod leaving;
mod lost;
mod pull;
mod rates;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::ControlFlow;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use trunkline_wire::ids::UserId;
use trunkline_wire::message::ErrorCode;
use trunkline_wire::token::TokenKeys;
use trunkline_wire::violation::Violation;
use trunkline_wire::websocket::{CloseCode, FrameLimits};

use crate::bucket::Bucket;
use crate::command::{self, Command};
use crate::connection::{Connection, ConnectionLimits, Heard};
use crate::contract::{Bytes, ConnectionId, Effect, PeerAddress};
use crate::entry::{Caller, Entry};
use crate::slab::Slab;
use crate::timer::Wheel;
use crate::turn::Turn;

use doorstep::FRAMES_OF_STRANGERS;
pub use doorstep::{Doorstep, PATH};
use pull::Pull;

const NS_PER_MS: u64 = 1_000_000;
/// How long a connection that broke the law has to read why.
const LINGER_MS: u64 = 1_000;
/// After so long a silence a ping above the rate is answered.
const PONG_DELAY_MS: u64 = 1_000;
/// Buffers kept for outboxes, and the largest that is kept.
const POOL_BUFFERS_MAX: usize = 1_024;
const POOL_BUFFER_BYTES_MAX: usize = 16 * 1024;

/// Who a connection is.
pub(crate) enum Identity {
    /// No Hello yet.
    Nobody,
    /// Its token is good; its home is being told.
    Starting(Box<Session>),
    /// Authenticated.
    Known(Box<Session>),
}

/// What a connection is once its token was checked.
pub(crate) struct Session {
    pub caller: Caller,
    pub expires_ms: u64,
    pub outstanding: u32,
    pub sends: Bucket,
    /// Requests that may cost a read of the store.
    pub reads: Bucket,
}

/// One connection of this shard.
pub(crate) struct FrontConnection {
    pub id: ConnectionId,
    pub link: Connection,
    pub identity: Identity,
    peer: PeerAddress,
    control: Bucket,
    /// Control frames beyond the rate since the last one within it.
    control_excess: u32,
    /// The payload of the last ping that was not answered at once.
    pong_owed: Option<Box<[u8]>>,
    /// When its present phase began.
    since_ns: u64,
    heard_ns: u64,
    pinged: bool,
    /// When the send that is outstanding began.
    send_since_ns: u64,
    /// When the wheel tells of it next; entries in the wheel for a later time are void.
    armed_ns: u64,
    dirty: bool,
    /// [`Effect::Close`] or [`Effect::HandOver`] was emitted.
    hung_up: bool,
    /// It waits for its last answers before it closes.
    draining: bool,
    /// All bytes so far of a request for another path; empty of every other connection.
    other: Vec<u8>,
    counted_unauthenticated: bool,
    pull: Pull,
}

/// A request of a client that a home is asked about.
pub(crate) struct Pending {
    pub connection: ConnectionId,
    pub request: u32,
    pub step: Step,
}

/// What comes after a home's answer.
pub(crate) enum Step {
    /// Welcome, to whoever said Hello.
    Hello(Caller),
    /// The answer is a frame for the client.
    Forward,
    /// The peer's home says whether it exists; then the conversation is opened.
    OpenPeer(UserId),
    /// The user's home admits the look-up; then the handle is resolved.
    Lookup(alloc::string::String),
}

/// All connections of this shard.
pub(crate) struct Front {
    pub(crate) connections: Vec<Option<Box<FrontConnection>>>,
    pub(crate) pending: Slab<Pending>,
    pub(crate) keys: TokenKeys,
    limits: ConnectionLimits,
    wheel: Wheel,
    dirty: Vec<ConnectionId>,
    pool: Vec<Vec<u8>>,
    /// Commands of one event, read before they are carried out.
    commands: Vec<Command>,
    unauthenticated: u64,
    unauthenticated_by_address: HashMap<[u8; 16], u64, FixedState>,
    /// What homes of users are to be told of their sessions, per shard, in order; there was no credit.
    untold: Vec<VecDeque<Entry>>,
    open: u64,
    /// Frames put into outboxes so far.
    queued: u64,
    pub(crate) draining: bool,
}

impl Front {
    pub fn new(keys: TokenKeys, shards: u16, doorstep: Doorstep, now_ns: u64) -> Front {
        Front {
            connections: Vec::new(),
            pending: Slab::default(),
            keys,
            limits: doorstep.limits(),
            wheel: Wheel::new(now_ns),
            dirty: Vec::new(),
            pool: Vec::new(),
            commands: Vec::new(),
            unauthenticated: 0,
            unauthenticated_by_address: HashMap::with_hasher(FixedState::with_seed(0)),
            untold: (0..shards).map(|_| VecDeque::new()).collect(),
            open: 0,
            queued: 0,
            draining: false,
        }
    }

    /// Connections there are.
    pub fn open(&self) -> u64 {
        self.open
    }

    /// Frames put into outboxes so far.
    pub fn queued(&self) -> u64 {
        self.queued
    }

    pub(crate) fn get(&mut self, id: ConnectionId) -> Option<&mut FrontConnection> {
        let connection = self.connections.get_mut(id.slot as usize)?.as_deref_mut()?;
        (connection.id == id).then_some(connection)
    }

    /// There is a connection more.
    fn enter(&mut self, turn: &mut Turn<'_>, id: ConnectionId, peer: PeerAddress, link: Connection) {
        let slot = id.slot as usize;
        if self.connections.len() <= slot {
            self.connections.resize_with(slot + 1, || None);
        }
        assert!(self.connections[slot].is_none(), "a slot has one connection at a time");
        let connection = Box::new(FrontConnection {
            id,
            link,
            identity: Identity::Nobody,
            peer,
            control: Bucket::default(),
            control_excess: 0,
            pong_owed: None,
            since_ns: turn.now.mono_ns,
            heard_ns: turn.now.mono_ns,
            pinged: false,
            send_since_ns: 0,
            armed_ns: u64::MAX,
            dirty: false,
            hung_up: false,
            draining: false,
            other: Vec::new(),
            counted_unauthenticated: true,
            pull: Pull::Live,
        });
        self.connections[slot] = Some(connection);
        self.open += 1;
        self.unauthenticated += 1;
        let from_address = self.unauthenticated_by_address.entry(peer.ip).or_default();
        *from_address += 1;
        let crowded = *from_address > turn.shared.limits.unauthenticated_per_address_max && !peer.is_loopback();
        if self.draining || crowded || self.unauthenticated > turn.shared.limits.unauthenticated_max {
            return self.hang_up(turn, id);
        }
        self.arm(turn, id);
    }

    /// Bytes came in.
    pub fn received(&mut self, turn: &mut Turn<'_>, id: ConnectionId, bytes: &mut [u8]) {
        turn.shared.counters.bytes_received += bytes.len() as u64;
        let mut commands = core::mem::take(&mut self.commands);
        let Front { connections, limits, .. } = self;
        let slot = connections.get_mut(id.slot as usize).and_then(Option::as_deref_mut);
        let Some(connection) = slot.filter(|connection| connection.id == id && !connection.hung_up) else {
            self.commands = commands;
            return;
        };
        if !connection.other.is_empty() {
            connection.other.extend_from_slice(bytes);
            self.commands = commands;
            return;
        }
        // What comes behind a misdeed is neither counted as another one nor buys more time.
        let was_closing = connection.link.is_closing();
        let outcome = connection.read(turn, limits, bytes, &mut commands);
        for command in commands.drain(..) {
            self.carry_out(turn, id, command);
        }
        self.commands = commands;
        if let (Err(violation), false) = (outcome, was_closing) {
            self.violate(turn, id, violation);
        }
        if self.get(id).is_some_and(|connection| connection.pong_owed.is_some()) {
            self.arm(turn, id);
        }
        self.mark_dirty(id);
    }

    /// A send ended.
    pub fn sent(&mut self, turn: &mut Turn<'_>, id: ConnectionId, complete: bool, buffer: Option<Vec<u8>>) {
        if let Some(mut buffer) = buffer.filter(|buffer| buffer.capacity() <= POOL_BUFFER_BYTES_MAX)
            && self.pool.len() < POOL_BUFFERS_MAX
        {
            buffer.clear();
            self.pool.push(buffer);
        }
        let Some(connection) = self.get(id) else { return };
        connection.link.sent();
        if !complete {
            self.count_if_lost(turn, id);
            return self.hang_up(turn, id);
        }
        self.tell_if_drained(turn, id);
        self.mark_dirty(id);
    }

    /// The slot is free.
    pub fn closed(&mut self, id: ConnectionId) {
        let slot = &mut self.connections[id.slot as usize];
        assert!(slot.as_ref().is_some_and(|connection| connection.id == id && connection.hung_up), "closed on demand");
        *slot = None;
        self.open -= 1;
    }

    /// What a connection has asked for, or has to know: never dropped. There are only so many requests without an answer, so
    /// that the bytes of answers are bounded.
    pub(crate) fn push_answer(&mut self, id: ConnectionId, frame: Vec<u8>) {
        let Some((connection, pool)) = self.with_pool(id) else { return };
        connection.link.push_answer(Bytes::Owned(frame), pool);
        self.queued += 1;
        self.mark_dirty(id);
    }

    pub(crate) fn with_pool(&mut self, id: ConnectionId) -> Option<(&mut FrontConnection, &mut Vec<Vec<u8>>)> {
        let connection = self.connections.get_mut(id.slot as usize)?.as_deref_mut()?;
        (connection.id == id && !connection.hung_up).then_some((connection, &mut self.pool))
    }

    /// Frames for this connection are to be sent at the end of the turn.
    pub(crate) fn mark_dirty(&mut self, id: ConnectionId) {
        if let Some(connection) = self.get(id)
            && !core::mem::replace(&mut connection.dirty, true)
        {
            self.dirty.push(id);
        }
    }

    /// Sends what is queued: one send per connection, however many frames came together.
    pub fn flush(&mut self, turn: &mut Turn<'_>) {
        while let Some(id) = self.dirty.pop() {
            let Some(connection) = self.get(id) else { continue };
            connection.dirty = false;
            if connection.hung_up {
                continue;
            }
            if !connection.other.is_empty() {
                self.hand_over(turn, id);
                continue;
            }
            if let Some(bytes) = connection.link.take_send() {
                connection.send_since_ns = turn.now.mono_ns;
                turn.shared.counters.sends += 1;
                turn.effects.push(Effect::Send { connection: id, bytes });
                self.arm_if_needed(turn, id);
            } else if connection.link.is_finished() || connection.is_refused_and_told() {
                self.hang_up(turn, id);
            }
        }
    }

    /// Looks at connections whose time has come; true when more are due.
    pub fn expire(&mut self, turn: &mut Turn<'_>) -> bool {
        let Some(due) = self.wheel.take_due(turn.now.mono_ns) else { return false };
        for &id in &due {
            self.check(turn, id);
        }
        self.wheel.recycle(due);
        true
    }

    fn check(&mut self, turn: &mut Turn<'_>, id: ConnectionId) {
        let Some(connection) = self.get(id) else { return };
        if connection.hung_up || connection.armed_ns > turn.now.mono_ns {
            return;
        }
        connection.armed_ns = u64::MAX;
        match connection.overdue(turn) {
            Overdue::Nothing => {}
            Overdue::Linger => return self.hang_up(turn, id),
            Overdue::Violation(violation) => return self.violate(turn, id, violation),
            Overdue::Pong => {
                if let Some(payload) = connection.pong_owed.take() {
                    connection.link.pong(&payload);
                }
                self.mark_dirty(id);
            }
            Overdue::Ping => {
                connection.pinged = true;
                connection.since_ns = turn.now.mono_ns;
                connection.link.ping();
                self.mark_dirty(id);
            }
        }
        self.arm(turn, id);
    }

    /// The wheel is asked at least once per heartbeat; a send that does not progress is not found later than that.
    fn arm_if_needed(&mut self, turn: &Turn<'_>, id: ConnectionId) {
        if turn.shared.limits.outbox_stalled_ms < turn.shared.limits.heartbeat_ms {
            self.arm(turn, id);
        }
    }

    /// Sees to it that a connection is looked at when its time has come.
    pub(crate) fn arm(&mut self, turn: &Turn<'_>, id: ConnectionId) {
        let Front { connections, wheel, .. } = self;
        let slot = connections.get_mut(id.slot as usize).and_then(Option::as_deref_mut);
        let Some(connection) = slot.filter(|connection| connection.id == id) else { return };
        let deadline_ns = connection.deadline_ns(turn);
        if Wheel::told_at(deadline_ns) < connection.armed_ns {
            connection.armed_ns = wheel.arm(id, deadline_ns);
        }
    }

    /// When a connection wants to be looked at, in monotonic nanoseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        self.wheel.next_deadline()
    }

    /// Whether connections have something to send.
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Begins the drain: everybody is told when to come back, and closed once its requests are answered.
    pub fn drain(&mut self, turn: &mut Turn<'_>) {
        self.draining = true;
        let ids: Vec<ConnectionId> = self.connections.iter().flatten().map(|connection| connection.id).collect();
        for id in ids {
            let spread = turn.shared.limits.drain_spread_ms.max(1);
            let retry_after_ms = (turn.random_id() % spread) as u32;
            let mut frame = Vec::new();
            turn.shared.encoder.go_away(ErrorCode::Draining, retry_after_ms).write_server_frame(&mut frame);
            let Some(connection) = self.get(id) else { continue };
            connection.draining = true;
            if let Identity::Known(_) = connection.identity {
                self.push_answer(id, frame);
            }
            self.close_if_drained(turn, id);
        }
    }

    /// A draining connection closes when nothing it asked is open any more.
    pub(crate) fn close_if_drained(&mut self, turn: &mut Turn<'_>, id: ConnectionId) {
        let Some(connection) = self.get(id) else { return };
        let outstanding = match &connection.identity {
            Identity::Known(session) | Identity::Starting(session) => session.outstanding,
            Identity::Nobody => 0,
        };
        if connection.draining && outstanding == 0 {
            self.close(turn, id, CloseCode::SERVICE_RESTART, "draining");
        }
    }

    /// Ends every connection at once.
    pub fn hang_up_all(&mut self, turn: &mut Turn<'_>) {
        let ids: Vec<ConnectionId> = self.connections.iter().flatten().map(|connection| connection.id).collect();
        for id in ids {
            self.hang_up(turn, id);
        }
    }
}

/// What time says about a connection.
enum Overdue {
    Nothing,
    /// A ping above the rate is answered.
    Pong,
    Ping,
    Linger,
    Violation(Violation),
}

impl FrontConnection {
    /// Reads what came in: commands are collected, pings answered.
    fn read(
        &mut self,
        turn: &mut Turn<'_>,
        limits: &ConnectionLimits,
        bytes: &mut [u8],
        commands: &mut Vec<Command>,
    ) -> Result<(), Violation> {
        let now = turn.now;
        self.heard_ns = now.mono_ns;
        self.pinged = false;
        let mut verdict = Ok(());
        let mut pings: Vec<Box<[u8]>> = Vec::new();
        let (mut opened, mut pongs, mut envelopes) = (false, 0u64, 0u64);
        let known = matches!(self.identity, Identity::Known(_));
        let frame = if known { FrameLimits::DEFAULT } else { FRAMES_OF_STRANGERS };
        let outcome = self.link.receive(limits, &frame, bytes, &mut |heard| {
            verdict = match heard {
                Heard::Opened => {
                    opened = true;
                    Ok(())
                }
                Heard::Other(bytes) => {
                    self.other.extend_from_slice(bytes);
                    Ok(())
                }
                Heard::Binary(message) => {
                    envelopes += 1;
                    command::read(message).map(|command| commands.push(command))
                }
                Heard::Text(_) => Err(Violation::TextUnsupported),
                Heard::Ping(payload) => {
                    pings.push(payload.into());
                    Ok(())
                }
                Heard::Pong => {
                    pongs += 1;
                    Ok(())
                }
            };
            if verdict.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if opened {
            self.since_ns = now.mono_ns;
        }
        turn.shared.counters.envelopes_received += envelopes;
        self.answer_pings(turn, pongs, pings)?;
        outcome.and(verdict)
    }

    /// Each ping is answered while they come within their rate; above it the latest of them, later; far above it is a flood.
    fn answer_pings(&mut self, turn: &Turn<'_>, pongs: u64, pings: Vec<Box<[u8]>>) -> Result<(), Violation> {
        let limits = &turn.shared.limits;
        let owed = self.pong_owed.take();
        for payload in owed.into_iter().chain(pings) {
            if self.control.take_per_s(turn.now.mono_ns, limits.control_burst, limits.control_per_s, 1) {
                self.control_excess = 0;
                self.link.pong(&payload);
            } else {
                self.control_excess += 1;
                self.pong_owed = Some(payload);
            }
        }
        for _ in 0..pongs {
            if !self.control.take_per_s(turn.now.mono_ns, limits.control_burst, limits.control_per_s, 1) {
                self.control_excess += 1;
            }
        }
        let flood = u64::from(self.control_excess) > limits.control_burst;
        if flood { Err(Violation::ControlFlood) } else { Ok(()) }
    }

    /// An HTTP refusal or a violation's close frame was sent, and nothing more will be heard.
    fn is_refused_and_told(&self) -> bool {
        self.link.is_closing() && self.link.outbox_bytes() == 0 && self.link.is_refusal()
    }

    fn overdue(&self, turn: &Turn<'_>) -> Overdue {
        let limits = &turn.shared.limits;
        let now_ns = turn.now.mono_ns;
        let since = |start_ns: u64, ms: u64| now_ns >= start_ns.saturating_add(ms * NS_PER_MS);
        if self.link.is_closing() {
            return if since(self.since_ns, self.close_ms(turn)) { Overdue::Linger } else { Overdue::Nothing };
        }
        if self.link.is_in_handshake() {
            let late = since(self.since_ns, limits.handshake_ms);
            return if late { Overdue::Violation(Violation::HandshakeTimeout) } else { Overdue::Nothing };
        }
        let Identity::Known(session) = &self.identity else {
            let late = since(self.since_ns, limits.hello_ms);
            return if late { Overdue::Violation(Violation::HelloTimeout) } else { Overdue::Nothing };
        };
        if turn.now.wall_ms >= session.expires_ms {
            return Overdue::Violation(Violation::TokenExpired);
        }
        if self.pong_owed.is_some() && since(self.heard_ns, PONG_DELAY_MS) {
            return Overdue::Pong;
        }
        if self.link.is_sending() && since(self.send_since_ns, limits.outbox_stalled_ms) {
            return Overdue::Violation(Violation::SlowReader);
        }
        match self.pinged {
            true if since(self.since_ns, limits.heartbeat_ms) => Overdue::Violation(Violation::PongTimeout),
            false if since(self.heard_ns, limits.heartbeat_ms) => Overdue::Ping,
            _ => Overdue::Nothing,
        }
    }

    fn close_ms(&self, turn: &Turn<'_>) -> u64 {
        let close_ms = turn.shared.limits.close_ms;
        if self.link.still_listens() { close_ms } else { close_ms.min(LINGER_MS) }
    }

    /// When [`FrontConnection::overdue`] may say something new.
    fn deadline_ns(&self, turn: &Turn<'_>) -> u64 {
        let limits = &turn.shared.limits;
        let after = |start_ns: u64, ms: u64| start_ns.saturating_add(ms.saturating_mul(NS_PER_MS));
        if self.link.is_closing() {
            return after(self.since_ns, self.close_ms(turn));
        }
        if self.link.is_in_handshake() {
            return after(self.since_ns, limits.handshake_ms);
        }
        let Identity::Known(session) = &self.identity else {
            return after(self.since_ns, limits.hello_ms);
        };
        let pong = if self.pong_owed.is_some() { after(self.heard_ns, PONG_DELAY_MS) } else { u64::MAX };
        let silence = after(if self.pinged { self.since_ns } else { self.heard_ns }, limits.heartbeat_ms);
        let expiry = after(turn.now.mono_ns, session.expires_ms.saturating_sub(turn.now.wall_ms));
        let stalled = match self.link.is_sending() {
            true => after(self.send_since_ns, limits.outbox_stalled_ms),
            false => u64::MAX,
        };
        silence.min(expiry).min(stalled).min(pong)
    }
}
