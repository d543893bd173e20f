//! All connections of a run, from the socket to Welcome and on: one turn after the other on one ring.

mod link;

use std::ops::ControlFlow;

use trunkline_wire::message::Answer;
use trunkline_wire::websocket::{ClientHandshake, ClientRequest, FrameLimits, HandshakeLimits, Incoming};

use crate::clock::{Clock, NS_PER_MS, NS_PER_S, seconds};
use crate::failure::Failure;
use crate::outlet::Outlet;
use crate::ring::{Completion, Op, Ring, RingOptions, Sent};
use crate::users::User;
use link::{Intake, Link, Phase};

pub use link::{CONNECTIONS_PER_SOURCE, Route, misplaced, unexpected};

/// The path of the WebSocket endpoint.
pub const PATH: &str = "/v1/ws";
/// Entries of the kernel per turn to work off what is pending, about twenty completions each.
const GATHER_ROUNDS: u32 = 256;
/// Nothing happened for so long while connecting: the run ends.
const CONNECT_PATIENCE_NS: u64 = 15 * NS_PER_S;
const CONNECT_TURN_NS: u64 = 100 * NS_PER_MS;
/// Longest wait of a turn where refusals may have to be repeated.
const TURN_NS: u64 = 20 * NS_PER_MS;
/// All receive buffers together.
const BUFFERS_BYTES: usize = 16 << 20;

/// What a run says, and what it makes of the answers.
pub trait Scenario {
    /// An answer or a push has arrived on a connection; `outlet` takes what is said next.
    ///
    /// # Errors
    /// What ends the run.
    fn answered(&mut self, outlet: &mut Outlet, arrival: Arrival, answer: &Answer<'_>) -> Result<(), Failure>;

    /// A connection has its Welcome.
    ///
    /// # Errors
    /// What ends the run.
    fn welcomed(&mut self, _outlet: &mut Outlet, _arrival: Arrival) -> Result<(), Failure> {
        Ok(())
    }
}

/// A scenario that comes to an end by itself.
pub trait Finite: Scenario {
    /// Whether all is done.
    fn is_done(&self) -> bool;

    /// A number that is another one whenever something got done.
    fn progress(&self) -> u64;

    /// Asks again for what was refused long enough ago.
    fn repeat_due(&mut self, outlet: &mut Outlet, now_ns: u64);
}

/// Where and when an envelope arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// On which connection.
    pub connection: u32,
    /// The request it answers; 0: pushed.
    pub request: u32,
    /// When its turn took it from the kernel.
    pub now_ns: u64,
}

/// Says nothing and hears nothing: connections that are only there.
pub struct Silence;

impl Scenario for Silence {
    fn answered(&mut self, _: &mut Outlet, arrival: Arrival, answer: &Answer<'_>) -> Result<(), Failure> {
        Err(unexpected(arrival, answer))
    }
}

/// How long a turn may wait for the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// Not at all: the core spins.
    Spin,
    /// At most so many nanoseconds.
    UpTo(u64),
}

/// How connecting went.
#[derive(Clone, Copy, Debug)]
pub struct Connected {
    /// Sessions that got their Welcome.
    pub sessions: u32,
    /// In so many nanoseconds.
    pub took_ns: u64,
}

impl Connected {
    /// Sessions a second.
    #[must_use]
    pub fn per_s(&self) -> f64 {
        f64::from(self.sessions) / seconds(self.took_ns.max(1))
    }
}

/// Counts of what the kernel handed over.
#[derive(Clone, Copy, Default, Debug)]
pub struct Traffic {
    /// Receives that brought bytes.
    pub receives: u64,
    /// Envelopes in them.
    pub envelopes: u64,
    /// Bytes of everything, handshakes and frames' headers included.
    pub bytes: u64,
    /// Pushes that no scenario looks at: Advanced, Receipts, TypingNow.
    pub notices: u64,
    /// Bytes of their envelopes.
    pub notice_bytes: u64,
    /// Receives that ended for want of a buffer.
    pub out_of_buffers: u64,
}

/// All connections.
pub struct Fleet {
    ring: Ring,
    links: Vec<Link>,
    clock: Clock,
    completions: Vec<Completion>,
    ready: u32,
    started: u32,
    /// What is to be sent.
    pub outlet: Outlet,
    /// What was received.
    pub traffic: Traffic,
}

impl Fleet {
    /// A ring for one connection per user, connection N being user N's, and for messages with bodies of `body_bytes`.
    ///
    /// # Errors
    /// What the machine refuses.
    pub fn new(route: &Route, users: &[User], body_bytes: usize, clock: Clock) -> Result<Fleet, Failure> {
        raise_descriptor_limit();
        let connections = users.len() as u32;
        let buffer_bytes = (body_bytes + 512).next_power_of_two().clamp(2048, 64 * 1024);
        let buffers = (BUFFERS_BYTES / buffer_bytes) as u16;
        let Route { server, sources } = route.clone();
        let ring = Ring::new(&RingOptions { server, sources, connections, buffers, buffer_bytes })?;
        let seed = getrandom::u64().map_err(|error| Failure::system("get a random number", error))?;
        Ok(Fleet {
            ring,
            links: users.iter().map(Link::new).collect(),
            clock,
            completions: Vec::new(),
            ready: 0,
            started: 0,
            outlet: Outlet::new(connections, seed),
            traffic: Traffic::default(),
        })
    }

    /// Connects and greets for every user, at most `connecting_max` at a time.
    ///
    /// # Errors
    /// A refusal, or no progress for too long.
    pub fn connect(&mut self, connecting_max: u32) -> Result<Connected, Failure> {
        let since_ns = self.clock.now_ns();
        let sessions = self.links.len() as u32;
        let mut progress = (self.ready, since_ns);
        while self.ready < sessions {
            while self.started < sessions && self.started - self.ready < connecting_max {
                self.start_next();
            }
            self.turn(&mut Silence, Patience::UpTo(CONNECT_TURN_NS))?;
            let now_ns = self.clock.now_ns();
            if self.ready != progress.0 {
                progress = (self.ready, now_ns);
            } else if now_ns - progress.1 > CONNECT_PATIENCE_NS {
                let (ready, open) = (self.ready, self.started);
                return Err(Failure::Server(format!(
                    "no session was welcomed for {} s; {ready} of {sessions} are, {open} connects were begun",
                    CONNECT_PATIENCE_NS / NS_PER_S
                )));
            }
        }
        Ok(Connected { sessions, took_ns: self.clock.now_ns() - since_ns })
    }

    /// Begins the next connect: of which connection; none: all are begun.
    pub fn start_next(&mut self) -> Option<u32> {
        let connection = self.started;
        if connection as usize == self.links.len() {
            return None;
        }
        self.ring.connect(connection);
        self.started += 1;
        Some(connection)
    }

    /// Turns until a scenario is done.
    ///
    /// # Errors
    /// What ends the run, or no progress for too long with `what`.
    pub fn finish(&mut self, scenario: &mut impl Finite, patience_ns: u64, what: &str) -> Result<(), Failure> {
        let mut progress = (scenario.progress(), self.clock.now_ns());
        while !scenario.is_done() {
            self.turn(scenario, Patience::UpTo(TURN_NS))?;
            let now_ns = self.clock.now_ns();
            scenario.repeat_due(&mut self.outlet, now_ns);
            if scenario.progress() != progress.0 {
                progress = (scenario.progress(), now_ns);
            } else if now_ns - progress.1 > patience_ns {
                let waited_s = patience_ns / NS_PER_S;
                return Err(Failure::Server(format!("{what}: nothing happened for {waited_s} s")));
            }
        }
        Ok(())
    }

    /// One turn: sends what was pushed, takes what arrived, and lets the scenario answer. Whether there was anything to do.
    ///
    /// # Errors
    /// What ends the run.
    pub fn turn(&mut self, scenario: &mut impl Scenario, patience: Patience) -> Result<bool, Failure> {
        let mut worked = false;
        while let Some((connection, bytes)) = self.outlet.next_send() {
            worked = true;
            self.ring.send(connection, bytes);
        }
        match patience {
            Patience::Spin => self.ring.pump(),
            Patience::UpTo(timeout_ns) => self.ring.wait(timeout_ns),
        }
        for _ in 0..GATHER_ROUNDS {
            if !self.ring.has_pending() {
                break;
            }
            self.ring.run_pending();
        }
        let mut completions = std::mem::take(&mut self.completions);
        self.ring.reap(&mut completions);
        let now_ns = self.clock.now_ns();
        worked |= !completions.is_empty();
        for completion in completions.drain(..) {
            self.complete(scenario, completion, now_ns)?;
        }
        self.completions = completions;
        self.ring.publish_buffers();
        Ok(worked)
    }

    fn complete(&mut self, scenario: &mut impl Scenario, completion: Completion, now_ns: u64) -> Result<(), Failure> {
        let connection = completion.connection;
        match completion.op {
            Op::Prepare => {
                let error = completion.error().unwrap_or_else(|| std::io::Error::other("no reason given"));
                let why = "if too many descriptors are open, run `ulimit -n` with a larger number before";
                Err(Failure::System(format!("cannot make the socket of connection {connection}: {error}; {why}")))
            }
            Op::Connect => match completion.error() {
                Some(error) => Err(Failure::Operator(format!(
                    "connection {connection} is refused ({error}): is the server running on that address?"
                ))),
                None => self.shake_hands(connection),
            },
            Op::Receive => self.receive(scenario, completion, now_ns),
            Op::Send => {
                match self.ring.finish_send(completion) {
                    Sent::Partly => {}
                    Sent::Whole(bytes) => self.outlet.sent(connection, bytes),
                    Sent::Failed(error) => {
                        return Err(Failure::Server(format!("it ended connection {connection}: {error}")));
                    }
                }
                Ok(())
            }
        }
    }

    fn shake_hands(&mut self, connection: u32) -> Result<(), Failure> {
        let nonce = self.outlet.nonce();
        let request = ClientRequest { host: "localhost", path: PATH, origin: None, protocols: None, nonce };
        let mut head = Vec::new();
        let handshake = ClientHandshake::new(HandshakeLimits::DEFAULT, &request, &mut head);
        let handshake = handshake.expect("host and path are visible ASCII");
        self.links[connection as usize].phase = Phase::Handshake(Box::new(handshake));
        self.outlet.push_raw(connection, &head);
        self.ring.receive(connection);
        Ok(())
    }

    fn receive(&mut self, scenario: &mut impl Scenario, completion: Completion, now_ns: u64) -> Result<(), Failure> {
        let connection = completion.connection;
        if completion.result == -libc::ENOBUFS {
            self.traffic.out_of_buffers += 1;
            self.ring.publish_buffers();
            self.ring.receive(connection);
            return Ok(());
        }
        if completion.result <= 0 {
            let how = completion.error().map_or_else(|| "end of stream".to_owned(), |error| error.to_string());
            return Err(Failure::Server(format!("it ended connection {connection} without a close: {how}")));
        }
        self.traffic.receives += 1;
        let more = completion.more();
        let bytes = self.ring.received(&completion);
        let link = &mut self.links[connection as usize];
        self.traffic.bytes += bytes.len() as u64;
        let consumed = link.take_head(connection, bytes, &mut self.outlet)?;
        let ready_before = matches!(link.phase, Phase::Ready);
        let mut result = Ok(());
        let (outlet, traffic) = (&mut self.outlet, &mut self.traffic);
        let mut intake = Intake { scenario, outlet, traffic, connection, now_ns };
        let mut sink = |incoming: Incoming<'_>| {
            result = intake.take(&mut link.phase, &incoming);
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let judged = link.assembler.receive(&FrameLimits::DEFAULT, &mut bytes[consumed..], &mut sink);
        result?;
        judged.map_err(|violation| Failure::Server(format!("its frames on connection {connection}: {violation}")))?;
        self.ready += u32::from(!ready_before && matches!(link.phase, Phase::Ready));
        self.ring.recycle(completion);
        if !more {
            self.ring.receive(connection);
        }
        Ok(())
    }
}

/// Lets the table of descriptors be as large as the machine allows.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where it is refused, the ring says which limit is too low.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
