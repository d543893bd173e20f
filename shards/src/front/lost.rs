//! Connections that their peers end, with a word or without.

use super::{Front, FrontConnection, Identity};
use crate::contract::ConnectionId;
use crate::turn::Turn;

impl Front {
    /// The peer ended the stream. Whoever it is handed over to sees that, too.
    pub fn ended(&mut self, turn: &mut Turn<'_>, id: ConnectionId) {
        if self.get(id).is_some_and(|connection| connection.other.is_empty()) {
            self.count_if_lost(turn, id);
            self.hang_up(turn, id);
        }
    }

    /// Whoever goes says so, and is told why it has to go: else the line was cut.
    pub(super) fn count_if_lost(&mut self, turn: &mut Turn<'_>, id: ConnectionId) {
        let is_lost = |connection: &mut FrontConnection| {
            matches!(connection.identity, Identity::Known(_)) && !connection.link.is_closing()
        };
        if self.get(id).is_some_and(is_lost) {
            turn.shared.counters.sessions_lost += 1;
        }
    }
}
