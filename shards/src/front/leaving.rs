//! How connections leave: for what their peer did, in good order, at once, or to whoever answers other requests.

use trunkline_wire::violation::Violation;
use trunkline_wire::websocket::CloseCode;

use super::{Front, Identity};
use crate::contract::{ConnectionId, Effect};
use crate::turn::Turn;

impl Front {
    /// Ends a connection for what its peer did.
    pub fn violate(&mut self, turn: &mut Turn<'_>, id: ConnectionId, violation: Violation) {
        let Some(connection) = self.get(id) else { return };
        if connection.hung_up {
            return;
        }
        let speechless = matches!(violation, Violation::SlowReader | Violation::PongTimeout);
        connection.link.close(violation.close_code(), violation.name());
        turn.shared.counters.count_violation(violation);
        if speechless || connection.link.is_in_handshake() {
            return self.hang_up(turn, id);
        }
        self.closing(turn, id);
    }

    /// Ends a connection in good order.
    pub fn close(&mut self, turn: &mut Turn<'_>, id: ConnectionId, code: CloseCode, reason: &str) {
        let Some(connection) = self.get(id) else { return };
        connection.link.close(code, reason);
        if connection.link.is_in_handshake() {
            return self.hang_up(turn, id);
        }
        self.closing(turn, id);
    }

    fn closing(&mut self, turn: &mut Turn<'_>, id: ConnectionId) {
        if let Some(connection) = self.get(id) {
            connection.since_ns = turn.now.mono_ns;
        }
        self.mark_dirty(id);
        self.arm(turn, id);
    }

    /// Ends a connection at once, and tells the user's home.
    pub(super) fn hang_up(&mut self, turn: &mut Turn<'_>, id: ConnectionId) {
        let Some(connection) = self.get(id) else { return };
        if core::mem::replace(&mut connection.hung_up, true) {
            return;
        }
        turn.effects.push(Effect::Close { connection: id });
        let identity = core::mem::replace(&mut connection.identity, Identity::Nobody);
        self.authenticated(id);
        if let Identity::Known(session) = identity {
            self.tell_ended(turn, &session.caller);
        }
    }

    /// A request for another path: whoever serves those has the connection from here on.
    pub(super) fn hand_over(&mut self, turn: &mut Turn<'_>, id: ConnectionId) {
        let Some(connection) = self.get(id) else { return };
        connection.hung_up = true;
        let bytes = core::mem::take(&mut connection.other);
        turn.shared.counters.connections_handed_over += 1;
        turn.effects.push(Effect::HandOver { connection: id, bytes });
        self.authenticated(id);
    }

    /// The connection no longer counts as one that has not authenticated.
    pub(crate) fn authenticated(&mut self, id: ConnectionId) {
        let Some(connection) = self.get(id) else { return };
        if !core::mem::replace(&mut connection.counted_unauthenticated, false) {
            return;
        }
        let ip = connection.peer.ip;
        self.unauthenticated -= 1;
        if let Some(count) = self.unauthenticated_by_address.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.unauthenticated_by_address.remove(&ip);
            }
        }
    }
}
