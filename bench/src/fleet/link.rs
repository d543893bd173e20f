//! One connection from its handshake on: what arrives is taken apart and handed to the scenario.

use std::net::{Ipv4Addr, SocketAddrV4};

use trunkline_wire::message::{Answer, decode_answer};
use trunkline_wire::websocket::{Assembler, ClientHandshake, HandshakeProgress, Incoming, Opcode, Role};

use super::{Arrival, Scenario, Traffic};
use crate::failure::{Failure, refused};
use crate::outlet::Outlet;
use crate::users::User;

/// What the generator calls itself in Hello.
const CLIENT_NAME: &str = concat!("trunkline-bench ", env!("CARGO_PKG_VERSION"));
/// Connections from one source address; beyond some 14,000 connects become slow.
pub const CONNECTIONS_PER_SOURCE: u32 = 10_000;

/// How far a connection is.
pub(super) enum Phase {
    /// Not begun.
    Absent,
    /// The request of the handshake is sent.
    Handshake(Box<ClientHandshake>),
    /// Hello is sent.
    Greeting,
    /// Welcome has come.
    Ready,
}

/// One connection.
pub(super) struct Link {
    pub(super) phase: Phase,
    /// Taken by Hello.
    token: String,
    pub(super) assembler: Assembler,
}

impl Link {
    pub(super) fn new(user: &User) -> Link {
        Link { phase: Phase::Absent, token: user.token.clone(), assembler: Assembler::new(Role::Client) }
    }

    /// Takes the head of the handshake off what was received: how many bytes that were.
    pub(super) fn take_head(&mut self, connection: u32, bytes: &[u8], outlet: &mut Outlet) -> Result<usize, Failure> {
        let Phase::Handshake(handshake) = &mut self.phase else { return Ok(0) };
        match handshake.receive(bytes) {
            Ok(HandshakeProgress::NeedMore) => Ok(bytes.len()),
            Ok(HandshakeProgress::Done { consumed, .. }) => {
                self.phase = Phase::Greeting;
                let token = std::mem::take(&mut self.token);
                outlet.push(connection, |encoder| encoder.hello(1, &token, CLIENT_NAME));
                Ok(consumed)
            }
            Err(violation) => {
                let status = handshake.status().map_or_else(String::new, |status| format!(" (HTTP status {status})"));
                Err(Failure::Server(format!(
                    "it refused the handshake of connection {connection}{status}: {violation}"
                )))
            }
        }
    }
}

/// Where what arrives on a connection goes.
pub(super) struct Intake<'a, S> {
    pub(super) scenario: &'a mut S,
    pub(super) outlet: &'a mut Outlet,
    pub(super) traffic: &'a mut Traffic,
    pub(super) connection: u32,
    pub(super) now_ns: u64,
}

impl<S: Scenario> Intake<'_, S> {
    pub(super) fn take(&mut self, phase: &mut Phase, incoming: &Incoming<'_>) -> Result<(), Failure> {
        let connection = self.connection;
        match incoming {
            Incoming::Binary(envelope) => self.take_envelope(phase, envelope),
            Incoming::Ping(payload) => {
                self.outlet.push_control(connection, Opcode::Pong, payload);
                Ok(())
            }
            Incoming::Pong(_) => Ok(()),
            Incoming::Text(_) => Err(Failure::Server(format!("it sent text on connection {connection}"))),
            Incoming::Close { code, reason } => {
                let code = code.map_or_else(|| "without a code".to_owned(), |code| code.value().to_string());
                Err(Failure::Server(format!("it closed connection {connection}: {code} {reason}")))
            }
        }
    }

    fn take_envelope(&mut self, phase: &mut Phase, envelope: &[u8]) -> Result<(), Failure> {
        self.traffic.envelopes += 1;
        let Intake { connection, now_ns, .. } = *self;
        let (request, answer) = decode_answer(envelope)
            .map_err(|error| Failure::Server(format!("an envelope on connection {connection}: {error:?}")))?;
        let arrival = Arrival { connection, request, now_ns };
        match (&phase, &answer) {
            (Phase::Ready, Answer::Advanced(_) | Answer::Receipts(_) | Answer::TypingNow(_)) if request == 0 => {
                self.traffic.notices += 1;
                self.traffic.notice_bytes += envelope.len() as u64;
                Ok(())
            }
            (Phase::Ready, _) => self.scenario.answered(self.outlet, arrival, &answer),
            (Phase::Greeting, Answer::Welcome(_)) => {
                *phase = Phase::Ready;
                self.scenario.welcomed(self.outlet, arrival)
            }
            _ => Err(unexpected(arrival, &answer)),
        }
    }
}

/// An answer that nothing asked for, or a typed error where none may be.
#[must_use]
pub fn unexpected(arrival: Arrival, answer: &Answer<'_>) -> Failure {
    let Arrival { connection, request, .. } = arrival;
    let place = format!("connection {connection}, request {request}");
    match answer {
        Answer::Error(error) => refused(&place, error.code(), error.message().unwrap_or_default()),
        Answer::GoAway(go_away) => refused(&place, go_away.reason(), "it goes away"),
        other => {
            let text = format!("{other:?}");
            Failure::Server(format!("{place}: not asked for: {}", text.chars().take(200).collect::<String>()))
        }
    }
}

/// The same where the kind of the answer was asked for, elsewhere or otherwise.
#[must_use]
pub fn misplaced(arrival: Arrival, what: &str) -> Failure {
    let Arrival { connection, request, .. } = arrival;
    Failure::Server(format!("connection {connection}, request {request}: {what}, which was not asked for"))
}

/// Where connections go, and from where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    pub(super) server: SocketAddrV4,
    /// In turn; none: the kernel's choice.
    pub(super) sources: Vec<Ipv4Addr>,
}

impl Route {
    /// Of all connections of a run: from the kernel's choice for few, else from one address for every ten thousand.
    ///
    /// # Errors
    /// The operator's: more connections than one address can have, to a server that is not here.
    pub fn new(server: SocketAddrV4, connections: u32) -> Result<Route, Failure> {
        if connections <= CONNECTIONS_PER_SOURCE {
            return Ok(Route { server, sources: Vec::new() });
        }
        if !server.ip().is_loopback() {
            let most = CONNECTIONS_PER_SOURCE;
            return Err(Failure::Operator(format!("more than {most} connections need a server on 127.0.0.1")));
        }
        let count = connections.div_ceil(CONNECTIONS_PER_SOURCE);
        let source = |number: u32| Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + number);
        Ok(Route { server, sources: (1..=count).map(source).collect() })
    }

    /// One for each of several rings, the sources in turn.
    #[must_use]
    pub fn parts(&self, rings: u32) -> Vec<Route> {
        let sources = |ring: u32| match self.sources.len() {
            0 => Vec::new(),
            count => vec![self.sources[ring as usize % count]],
        };
        (0..rings).map(|ring| Route { server: self.server, sources: sources(ring) }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_connections_come_from_many_addresses() {
        let server = "127.0.0.1:7400".parse().unwrap();
        let few = Route::new(server, CONNECTIONS_PER_SOURCE).unwrap();
        assert!(few.sources.is_empty() && few.parts(2) == [few.clone(), few]);
        let many = Route::new(server, 3 * CONNECTIONS_PER_SOURCE).unwrap();
        assert_eq!(many.sources, [[127, 0, 0, 2], [127, 0, 0, 3], [127, 0, 0, 4]].map(Ipv4Addr::from));
        let parts: Vec<_> = many.parts(4).into_iter().flat_map(|part| part.sources).collect();
        assert_eq!(parts, [many.sources.as_slice(), &many.sources[..1]].concat());
        assert!(matches!(Route::new("192.0.2.1:1".parse().unwrap(), 10_001), Err(Failure::Operator(_))));
    }
}
