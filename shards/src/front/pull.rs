//! Pull mode: a connection that does not keep up gets no more frames that it did not ask for, until it has drained; then
//! the home of its user tells it where to sync. Here is also what the front tells that home.

use alloc::sync::Arc;
use alloc::vec::Vec;

use trunkline_wire::limits::{FRAME_BYTES_MAX, REQUESTS_OUTSTANDING_MAX};
use trunkline_wire::violation::Violation;

use super::{Front, Identity};
use crate::contract::{Bytes, ConnectionId, ShardId};
use crate::entry::{Address, Caller, Entry};
use crate::store::UserKey;
use crate::turn::Turn;

/// Whether a connection gets frames that it did not ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pull {
    /// It does.
    Live,
    /// Too many wait for it. What waits still goes, what comes is dropped; its home knows, or will.
    Lagging,
    /// Nothing waits any more; its home knows, or will, and sends [`Entry::Resume`].
    Drained,
}

/// Bytes that may wait beyond `outbox_bytes_max`, beside those that nobody asked for: what the answers to all requests of a
/// connection can take, and a frame's worth of refusals. With more it asks and does not read.
const ANSWERS_BYTES_MAX: usize = (REQUESTS_OUTSTANDING_MAX + 1) * FRAME_BYTES_MAX;

impl Front {
    /// A frame that a connection did not ask for; with too many of them it begins to lag.
    pub fn push(&mut self, turn: &mut Turn<'_>, id: ConnectionId, frame: Bytes) {
        let Some((connection, pool)) = self.with_pool(id) else { return };
        if connection.pull != Pull::Live {
            turn.shared.counters.frames_dropped += 1;
            return;
        }
        connection.link.push_unasked(frame, pool);
        let begins_to_lag = connection.link.unasked_bytes() as u64 > turn.shared.limits.outbox_bytes_max;
        if begins_to_lag && let Identity::Known(session) = &connection.identity {
            let caller = session.caller;
            connection.pull = Pull::Lagging;
            turn.shared.counters.sessions_lagged += 1;
            self.tell(turn, &caller, |key, address| Entry::SessionLags { key, address });
        }
        self.mark_dirty(id);
    }

    /// A lagging connection has room again: its home is told.
    pub(super) fn tell_if_drained(&mut self, turn: &mut Turn<'_>, id: ConnectionId) {
        let Some(connection) = self.get(id) else { return };
        let is_drained = connection.pull == Pull::Lagging && connection.link.unasked_bytes() == 0;
        if is_drained && let Identity::Known(session) = &connection.identity {
            let caller = session.caller;
            connection.pull = Pull::Drained;
            self.tell(turn, &caller, |key, address| Entry::SessionDrained { key, address });
        }
    }

    /// A connection takes frames again, this one first.
    pub fn resume(&mut self, turn: &mut Turn<'_>, id: ConnectionId, frame: Arc<[u8]>) {
        let Some(connection) = self.get(id) else { return };
        connection.pull = Pull::Live;
        self.push(turn, id, Bytes::Shared(frame));
    }

    /// A frame that refuses what a connection asked. It is not dropped; who is refused without end and reads nothing of it
    /// is closed.
    pub(crate) fn push_refusal(&mut self, turn: &mut Turn<'_>, id: ConnectionId, frame: Vec<u8>) {
        self.push_answer(id, frame);
        let Some(connection) = self.get(id) else { return };
        let asked_bytes = connection.link.outbox_bytes().saturating_sub(connection.link.unasked_bytes());
        if asked_bytes as u64 > turn.shared.limits.outbox_bytes_max + ANSWERS_BYTES_MAX as u64 {
            self.violate(turn, id, Violation::SlowReader);
        }
    }

    /// Tells the user's home that a session's connection is gone.
    pub(crate) fn tell_ended(&mut self, turn: &mut Turn<'_>, caller: &Caller) {
        self.tell(turn, caller, |key, address| Entry::SessionEnded { key, address });
    }

    /// Tells the user's home something of a session, behind what it was told of it before.
    fn tell(&mut self, turn: &mut Turn<'_>, caller: &Caller, entry: impl Fn(UserKey, Address) -> Entry) {
        let key = UserKey { tenant: caller.tenant, user: caller.user };
        let home = turn.shared.router.home_of_user(key);
        if !turn.shared.router.try_post(home, entry(key, caller.address), turn.effects) {
            self.untold[usize::from(home)].push_back(entry(key, caller.address));
        }
    }

    /// Credit towards a shard came back.
    pub fn unblock(&mut self, turn: &mut Turn<'_>, shard: ShardId) {
        while turn.shared.router.has_credit(shard) {
            let Some(entry) = self.untold[usize::from(shard)].pop_front() else { return };
            let posted = turn.shared.router.try_post(shard, entry, turn.effects);
            assert!(posted, "there was credit");
        }
    }
}
