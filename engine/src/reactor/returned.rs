//! Connections that come back get a slot of the ring, and the core has them as any other.

use std::os::fd::AsFd as _;

use trunkline_edge::public::Returning;
use trunkline_edge::transport::Transport;
use trunkline_shards::contract::{Core, Event};
use trunkline_wire::websocket::CloseCode;

use super::Reactor;
use super::connections::Phase;
use crate::returns::{peer_of, turn_away};
use crate::ring::Completion;

/// Connections taken back per turn.
const RETURNS_PER_TURN: usize = 16;

impl<C: Core> Reactor<C> {
    /// Takes back what waits, as far as there are slots.
    pub(super) fn take_returns(&mut self) {
        for _ in 0..RETURNS_PER_TURN {
            let Some(returning) = self.links.returns.take() else { return };
            if self.draining {
                turn_away(returning, CloseCode::SERVICE_RESTART);
            } else if self.acceptor.reserve() {
                let place = self.ring.place(returning.socket.as_fd());
                self.entering.insert(place, returning);
            } else {
                turn_away(returning, CloseCode::TRY_AGAIN_LATER);
            }
        }
    }

    /// A socket has its slot, or there was none.
    pub(super) fn placed(&mut self, completion: Completion) {
        let place = completion.tag().slot;
        let returning = self.entering.remove(&place).expect("a place has a connection until it is known");
        let Some(slot) = self.ring.placed(completion) else {
            self.acceptor.slot_freed();
            return turn_away(returning, CloseCode::TRY_AGAIN_LATER);
        };
        let connection = self.connections.occupy(slot, Phase::Open);
        if self.draining {
            self.forget(connection);
            return turn_away(returning, CloseCode::SERVICE_RESTART);
        }
        // The slot has the socket now; the descriptor goes with the end of this function.
        let Returning { socket: _socket, bytes, transport, peer } = returning;
        let peer = peer_of(peer.ip());
        self.core.apply(self.now, Event::Returned { connection, peer }, &mut self.effects);
        match transport {
            Transport::Plain if bytes.is_empty() => {}
            Transport::Plain => {
                let mut bytes = bytes;
                self.core.apply(self.now, Event::Received { connection, bytes: &mut bytes }, &mut self.effects);
            }
            Transport::Tls(tls) => {
                let stage = tls.stage();
                self.transports.put(slot, Transport::Tls(tls));
                self.hear_before(connection, &bytes, stage);
            }
        }
        self.arm_receive(slot);
    }
}
