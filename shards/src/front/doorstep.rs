//! What holds for a connection before it is known who it is: where it comes from, whose pages it may be, what it may hold.

use trunkline_wire::limits::HELLO_BYTES_MAX;
use trunkline_wire::websocket::{FrameLimits, Origins};

use super::Front;
use crate::connection::{Connection, ConnectionLimits};
use crate::contract::{ConnectionId, PeerAddress};
use crate::turn::Turn;

/// The path of the WebSocket endpoint.
pub const PATH: &str = "/v1/ws";

/// So that nobody unknown holds more memory than a Hello takes.
pub(super) const FRAMES_OF_STRANGERS: FrameLimits = FrameLimits {
    frame_bytes_max: HELLO_BYTES_MAX as u32,
    message_bytes_max: HELLO_BYTES_MAX as u32,
    ..FrameLimits::DEFAULT
};

/// What is known of all connections before they say anything.
#[derive(Clone, Debug, Default)]
pub struct Doorstep {
    /// Whether the driver carries out [`crate::contract::Effect::HandOver`]; else requests for other paths are refused.
    pub hands_over: bool,
    /// Whose pages may connect beside the server's own.
    pub origins: Origins,
    /// Whether what the driver receives comes encrypted.
    pub secure: bool,
}

impl Doorstep {
    /// The bounds of connections that come over it.
    pub(super) fn limits(self) -> ConnectionLimits {
        let Doorstep { hands_over, origins, secure } = self;
        ConnectionLimits {
            path: Some(PATH),
            others_are_handed_over: hands_over,
            origins,
            secure,
            ..ConnectionLimits::default()
        }
    }
}

impl Front {
    /// A connection was accepted.
    pub fn accepted(&mut self, turn: &mut Turn<'_>, id: ConnectionId, peer: PeerAddress) {
        turn.shared.counters.connections_accepted += 1;
        let link = Connection::new(&self.limits);
        self.enter(turn, id, peer, link);
    }

    /// A connection came back with its WebSocket open.
    pub fn returned(&mut self, turn: &mut Turn<'_>, id: ConnectionId, peer: PeerAddress) {
        turn.shared.counters.connections_returned += 1;
        self.enter(turn, id, peer, Connection::opened());
    }
}

impl PeerAddress {
    /// Whether it is this machine: 127.0.0.0/8, also mapped, or ::1.
    pub(super) fn is_loopback(&self) -> bool {
        let mapped = self.ip.starts_with(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
        (mapped && self.ip[12] == 127) || u128::from_be_bytes(self.ip) == 1
    }
}
