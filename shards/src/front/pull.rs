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
            turn.shared.counters.messages_dropped += 1;
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
        self.queued += 1;
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

    /// An answer of the front itself, which no bound on requests holds back: it is not dropped, but who asks without end and
    /// reads none of it is closed.
    pub(crate) fn push_own_answer(&mut self, turn: &mut Turn<'_>, id: ConnectionId, frame: Vec<u8>) {
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

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::vec;

    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;
    use trunkline_wire::ids::{DeviceId, TenantId, UserId};
    use trunkline_wire::message::Encoder;
    use trunkline_wire::token::{TokenKey, TokenKeys};

    use super::*;
    use crate::bucket::Bucket;
    use crate::cache::Cache;
    use crate::contract::{Effect, Effects, Now, PeerAddress};
    use crate::counters::Counters;
    use crate::desk::Desk;
    use crate::front::{Doorstep, Session};
    use crate::limits::Limits;
    use crate::router::{LaneRoom, Router};
    use crate::turn::Shared;

    const ID: ConnectionId = ConnectionId { slot: 0, generation: 1 };

    /// A front on shard 0 of 2 with one connection, whose user has its home on the other shard.
    struct Rig {
        front: Front,
        shared: Shared,
        /// What was sent to the peer and is not gone.
        sending: Option<Bytes>,
        told: Vec<&'static str>,
        is_closed: bool,
    }

    impl Rig {
        fn new(outbox_bytes_max: u64, pushes: u32) -> Rig {
            let limits = Limits { outbox_bytes_max, ..Limits::default() };
            let router = Router::new(0, 2, LaneRoom { pushes, answers: 64 });
            let users = (1..).map(|id| UserKey { tenant: TenantId(0), user: UserId(id) });
            let key = { users }.find(|&key| router.home_of_user(key) == 1).expect("there are many");
            let shared = Shared {
                limits,
                router,
                desk: Desk::default(),
                encoder: Encoder::new(),
                counters: Counters::default(),
                random: ChaCha8Rng::from_seed([1; 32]),
                incarnation: 1,
                cache: Cache::default(),
            };
            let keys = TokenKeys::new(vec![TokenKey { id: 1, secret: [1; 32] }]).expect("a key");
            let mut rig = Rig {
                front: Front::new(keys, 2, Doorstep::default(), 0),
                shared,
                sending: None,
                told: Vec::new(),
                is_closed: false,
            };
            rig.turn(|front, turn| front.accepted(turn, ID, PeerAddress { ip: [0; 16] }));
            let mut hello = *b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
            rig.turn(|front, turn| front.received(turn, ID, &mut hello));
            rig.sent();
            let address = Address { shard: 0, connection: ID };
            let caller = Caller { tenant: key.tenant, user: key.user, device: DeviceId(1), address };
            let (sends, reads) = (Bucket::default(), Bucket::default());
            let session = Session { caller, expires_ms: u64::MAX, outstanding: 0, sends, reads };
            rig.front.get(ID).expect("a connection").identity = Identity::Known(Box::new(session));
            rig
        }

        fn turn(&mut self, act: impl FnOnce(&mut Front, &mut Turn<'_>)) {
            let mut effects = Effects::new();
            let mut turn = Turn { now: Now::default(), effects: &mut effects, shared: &mut self.shared };
            act(&mut self.front, &mut turn);
            self.front.flush(&mut turn);
            for effect in effects.drain() {
                match effect {
                    Effect::Send { bytes, .. } => assert!(self.sending.replace(bytes).is_none(), "one send at a time"),
                    Effect::Post { shard: 1, entry } => self.told.push(match entry {
                        Entry::SessionLags { .. } => "lags",
                        Entry::SessionDrained { .. } => "drained",
                        Entry::SessionEnded { .. } => "ended",
                        other => panic!("a front does not tell {other:?}"),
                    }),
                    Effect::Close { .. } => self.is_closed = true,
                    other => panic!("a front does not do this: {other:?}"),
                }
            }
        }

        fn push(&mut self, byte: u8) {
            self.turn(|front, turn| front.push(turn, ID, Bytes::Shared([byte; 100].into())));
        }

        fn answer(&mut self, byte: u8) {
            self.turn(|front, _| front.push_answer(ID, vec![byte; 100]));
        }

        /// The peer takes what was sent: the first byte of each frame of 100 bytes.
        fn sent(&mut self) -> Vec<u8> {
            let Some(bytes) = self.sending.take() else { return Vec::new() };
            self.turn(|front, turn| front.sent(turn, ID, true, None));
            bytes.as_slice().chunks(100).map(|frame| frame[0]).collect()
        }
    }

    #[test]
    fn who_lags_gets_what_waits_then_nothing_unasked_until_resumed() {
        let mut rig = Rig::new(250, 10);
        (1..=6).for_each(|byte| rig.push(byte));
        rig.answer(7);
        assert_eq!(rig.told, ["lags"], "with the third frame, counting the one that is being sent");
        assert_eq!((rig.sent(), rig.told.len()), (vec![1], 1));
        assert_eq!((rig.sent(), rig.told.len()), (vec![2, 3, 7], 2), "answers are never dropped");
        assert_eq!(rig.told, ["lags", "drained"]);
        rig.push(8);
        rig.answer(9);
        assert_eq!(rig.sent(), [9], "nothing unasked before the home says so");
        rig.turn(|front, turn| front.resume(turn, ID, [10; 100].into()));
        rig.push(11);
        assert_eq!((rig.sent(), rig.sent()), (vec![10], vec![11]));
        assert_eq!((rig.shared.counters.sessions_lagged, rig.shared.counters.frames_dropped), (1, 4));
        assert_eq!(rig.told.len(), 2);
    }

    #[test]
    fn what_the_home_is_told_keeps_its_order_without_credit() {
        let mut rig = Rig::new(50, 1);
        rig.push(1);
        rig.sent();
        rig.turn(|front, turn| front.ended(turn, ID));
        assert!(rig.told == ["lags"] && rig.is_closed, "there was credit for one");
        for told in [&["lags", "drained"][..], &["lags", "drained", "ended"]] {
            rig.turn(|front, turn| {
                turn.shared.router.credit(1, 1);
                front.unblock(turn, 1);
            });
            assert_eq!(rig.told, told);
        }
    }

    #[test]
    fn who_asks_without_end_and_reads_nothing_is_closed() {
        let mut rig = Rig::new(1_000, 10);
        let mut answers = 0;
        while !rig.is_closed {
            answers += 1;
            rig.turn(|front, turn| front.push_own_answer(turn, ID, vec![1; 100]));
        }
        assert_eq!(answers, (1_000 + ANSWERS_BYTES_MAX) / 100 + 1);
        assert_eq!(rig.told, ["ended"]);
    }
}
