//! The sessions of users: what goes to their front shards, in order, and what happens to those that do not keep up.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use trunkline_wire::ids::DeviceId;
use trunkline_wire::message::ErrorCode;
use trunkline_wire::violation::Violation;

use super::{User, Users, advanced_frame};
use crate::contract::{ConnectionId, ShardId};
use crate::entry::{Address, Caller, Entry, HomeAnswer};
use crate::router::Reply;
use crate::store::UserKey;
use crate::turn::Turn;

/// Whether a session gets what comes for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flow {
    /// It does.
    Live,
    /// Too many frames waited for credit: it gets no more until there is some, and syncs then.
    Behind,
    /// Its connection takes no frames until it has drained.
    Lagging,
    /// Its connection has drained; it is told where to sync as soon as there is credit.
    Drained,
}

/// One connection of one device, 48 bytes.
pub(super) struct Session {
    device: DeviceId,
    address: Address,
    flow: Flow,
    /// Frames that wait for credit towards its front shard, in order.
    backlog: Vec<u8>,
}

const _: () = assert!(size_of::<Session>() <= 48);

/// What waits for credit towards front shards, by shard.
pub(super) struct Backlogs {
    /// Connections to be ended.
    to_end: Vec<VecDeque<(ConnectionId, Violation)>>,
    /// Sessions that something waits for.
    waiting: Vec<VecDeque<(UserKey, ConnectionId)>>,
}

impl Backlogs {
    pub fn new(shards: u16) -> Backlogs {
        let count = usize::from(shards);
        Backlogs { to_end: vec![VecDeque::new(); count], waiting: vec![VecDeque::new(); count] }
    }

    pub(super) fn end(&mut self, turn: &mut Turn<'_>, address: Address, violation: Violation) {
        let entry = Entry::EndSession { connection: address.connection, violation };
        if !turn.shared.router.try_post(address.shard, entry, turn.effects) {
            self.to_end[usize::from(address.shard)].push_back((address.connection, violation));
        }
    }

    fn wait(&mut self, key: UserKey, address: Address) {
        self.waiting[usize::from(address.shard)].push_back((key, address.connection));
    }
}

impl Session {
    /// A frame for this session; false when it lags, and does not get it.
    fn push(&mut self, turn: &mut Turn<'_>, key: UserKey, frame: &Arc<[u8]>, backlogs: &mut Backlogs) -> bool {
        if self.flow != Flow::Live {
            turn.shared.counters.frames_dropped += 1;
            return false;
        }
        let Address { shard, connection } = self.address;
        if self.backlog.is_empty() {
            let push = Entry::Push { connection, frame: frame.clone() };
            if turn.shared.router.try_post(shard, push, turn.effects) {
                return true;
            }
            backlogs.wait(key, self.address);
        }
        self.backlog.extend_from_slice(frame);
        if self.backlog.len() as u64 > turn.shared.limits.outbox_bytes_max {
            self.backlog = Vec::new();
            self.flow = Flow::Behind;
            turn.shared.counters.sessions_lagged += 1;
        }
        self.flow == Flow::Live
    }

    /// What waits for credit, now that there is some. `position` is that of the user's list.
    fn next_entry(&mut self, turn: &mut Turn<'_>, position: u64) -> Option<Entry> {
        let connection = self.address.connection;
        let backlog = core::mem::take(&mut self.backlog);
        match core::mem::replace(&mut self.flow, Flow::Live) {
            Flow::Live if backlog.is_empty() => None,
            Flow::Live => Some(Entry::Push { connection, frame: backlog.into() }),
            Flow::Behind => Some(Entry::Push { connection, frame: advanced_frame(turn, position, position, &[]) }),
            Flow::Drained => Some(Entry::Resume { connection, frame: advanced_frame(turn, position, position, &[]) }),
            Flow::Lagging => {
                self.flow = Flow::Lagging;
                None
            }
        }
    }
}

impl User {
    /// A frame for all sessions but one; how many got it, or will.
    pub(super) fn push(
        &mut self,
        turn: &mut Turn<'_>,
        key: UserKey,
        frame: &Arc<[u8]>,
        except: Option<Address>,
        backlogs: &mut Backlogs,
    ) -> u64 {
        let others = self.sessions.iter_mut().filter(|session| Some(session.address) != except);
        others.map(|session| u64::from(session.push(turn, key, frame, backlogs))).sum()
    }

    /// Sessions that a frame for all but one is for.
    pub(super) fn others(&self, except: Option<Address>) -> u64 {
        self.sessions.iter().filter(|session| Some(session.address) != except).count() as u64
    }

    fn session_mut(&mut self, address: Address) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.address == address)
    }
}

impl Users {
    pub(super) fn start_session(&mut self, turn: &mut Turn<'_>, reply: Reply, caller: Caller, issued_s: u64) {
        let key = UserKey { tenant: caller.tenant, user: caller.user };
        if self.is_revoked(key, caller.device, issued_s) {
            return turn.refuse(reply, ErrorCode::TokenInvalid);
        }
        let replaced = self.with(turn, key, |user, queues, turn| {
            let of_device = |session: &Session| session.device == caller.device;
            let count = user.sessions.iter().filter(|session| of_device(session)).count();
            let is_full = count as u64 >= turn.shared.limits.sessions_per_device_max;
            let oldest = if is_full { user.sessions.iter().position(of_device) } else { None };
            if let Some(index) = oldest {
                let session = user.sessions.remove(index);
                queues.backlogs.end(turn, session.address, Violation::SessionReplaced);
            }
            user.sessions.reserve_exact(1);
            user.sessions.push(Session {
                device: caller.device,
                address: caller.address,
                flow: Flow::Live,
                backlog: Vec::new(),
            });
            u64::from(oldest.is_some())
        });
        self.open += 1 - replaced;
        let number = turn.random_id();
        turn.answer(reply, HomeAnswer::SessionStarted(number));
    }

    /// Ends the sessions of a device, or of all.
    pub(super) fn end_sessions(
        &mut self,
        turn: &mut Turn<'_>,
        key: UserKey,
        device: Option<DeviceId>,
        violation: Violation,
    ) {
        let ended = self.with_known(turn, key, |user, queues, turn| {
            let before = user.sessions.len();
            user.sessions.retain(|session| {
                let stays = device.is_some_and(|device| session.device != device);
                if !stays {
                    queues.backlogs.end(turn, session.address, violation);
                }
                stays
            });
            user.sessions.shrink_to_fit();
            (before - user.sessions.len()) as u64
        });
        self.open -= ended.unwrap_or_default();
        self.forget_if_empty(turn, key);
    }

    /// A front shard says that a connection is gone.
    pub fn session_ended(&mut self, turn: &mut Turn<'_>, key: UserKey, address: Address) {
        let ended = self.with_known(turn, key, |user, _, _| {
            let before = user.sessions.len();
            user.sessions.retain(|session| session.address != address);
            user.sessions.shrink_to_fit();
            (before - user.sessions.len()) as u64
        });
        self.open -= ended.unwrap_or_default();
        self.forget_if_empty(turn, key);
    }

    /// A front shard says that a connection takes no more frames.
    pub fn session_lags(&mut self, turn: &mut Turn<'_>, key: UserKey, address: Address) {
        self.with_known(turn, key, |user, _, _| {
            if let Some(session) = user.session_mut(address) {
                session.flow = Flow::Lagging;
                session.backlog = Vec::new();
            }
        });
    }

    /// A front shard says that a lagging connection has room again: it is told the list's position, and gets frames again.
    pub fn session_drained(&mut self, turn: &mut Turn<'_>, key: UserKey, address: Address) {
        let is_here = self.with_known(turn, key, |user, queues, _| {
            let session = user.session_mut(address).filter(|session| session.flow == Flow::Lagging);
            session.is_some_and(|session| {
                session.flow = Flow::Drained;
                queues.backlogs.wait(key, address);
                true
            })
        });
        if is_here == Some(true) {
            self.unblock_sessions(turn, address.shard);
        }
    }

    /// What waits for credit towards a shard goes: connections that are to be ended, are; backlogs go, each in one entry.
    /// They take at most half of the credit there is, so that sessions that do not keep up leave some for what goes there
    /// from lists and conversations.
    pub(super) fn unblock_sessions(&mut self, turn: &mut Turn<'_>, shard: ShardId) {
        let credit_min = turn.shared.router.credit_left(shard) / 2;
        while turn.shared.router.credit_left(shard) > credit_min {
            let Some((connection, violation)) = self.queues.backlogs.to_end[usize::from(shard)].pop_front() else {
                break;
            };
            self.queues.backlogs.end(turn, Address { shard, connection }, violation);
        }
        while turn.shared.router.credit_left(shard) > credit_min {
            let Some((key, connection)) = self.queues.backlogs.waiting[usize::from(shard)].pop_front() else { break };
            self.with_known(turn, key, |user, _, turn| {
                let position = user.show_position();
                let session = user.session_mut(Address { shard, connection });
                if let Some(entry) = session.and_then(|session| session.next_entry(turn, position)) {
                    let posted = turn.shared.router.try_post(shard, entry, turn.effects);
                    assert!(posted, "there was credit");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use trunkline_wire::ids::ConversationId;
    use trunkline_wire::message::{Answer, decode_answer};

    use super::*;
    use crate::limits::Limits;
    use crate::users::rig::{OTHER, Rig, envelopes, user};

    fn rig() -> Rig {
        Rig::new(Limits::default(), 10_000, 1)
    }

    /// What was pushed to a connection, as (op, place): "message", "advanced" with (from, to).
    fn pushed(rig: &Rig, connection: u32) -> Vec<(&'static str, u64, u64)> {
        let mut heard = Vec::new();
        for entry in &rig.posted {
            let (kind, frame) = match entry {
                Entry::Push { connection: id, frame } if id.slot == connection => ("", frame),
                Entry::Resume { connection: id, frame } if id.slot == connection => ("resumed ", frame),
                _ => continue,
            };
            for envelope in envelopes(frame) {
                heard.push(match decode_answer(envelope).expect("an envelope").1 {
                    Answer::Message(message) => ("message", message.seq(), 0),
                    Answer::Advanced(advanced) if kind.is_empty() => ("advanced", advanced.from(), advanced.to()),
                    Answer::Advanced(advanced) => ("resumed", advanced.from(), advanced.to()),
                    Answer::Receipts(_) => ("receipts", 0, 0),
                    other => panic!("nobody pushes {other:?}"),
                });
            }
        }
        heard
    }

    #[test]
    fn a_session_start_reads_nothing_and_stays_small() {
        let mut rig = rig();
        rig.start_session(user(0), 1);
        rig.pass(10_000);
        assert!(rig.asked.is_empty() && rig.posted.is_empty());
        assert!(rig.shared.cache.bytes() <= 112, "{} bytes", rig.shared.cache.bytes());
        rig.turn(|users, turn| users.session_ended(turn, user(0), Rig::address(1)));
        assert_eq!((rig.shared.cache.bytes(), rig.users.cached(), rig.users.sessions_open()), (0, 0, 0));
    }

    #[test]
    fn sessions_are_told_behind_the_frames() {
        let mut rig = rig();
        rig.start_session(user(0), 1);
        rig.start_session(user(0), 2);
        rig.deliver(0, 1, &[user(0)], None);
        rig.settle();
        rig.deliver(0, 2, &[user(0)], None);
        rig.deliver(1, 1, &[user(0)], None);
        rig.read(1, user(0), 1);
        rig.pass(1_000);
        let told = [("message", 1, 0), ("message", 2, 0), ("message", 1, 0), ("receipts", 0, 0), ("advanced", 1, 3)];
        assert_eq!(pushed(&rig, 1), told);
        assert_eq!(pushed(&rig, 2), told);
        rig.pass(10_000);
        assert_eq!(pushed(&rig, 1).len(), told.len(), "nothing new");
    }

    #[test]
    fn a_lagging_session_gets_nothing_until_it_has_drained() {
        let mut rig = rig();
        rig.start_session(user(0), 1);
        rig.deliver(0, 1, &[user(0)], None);
        rig.settle();
        rig.turn(|users, turn| users.session_lags(turn, user(0), Rig::address(1)));
        rig.deliver(0, 2, &[user(0)], None);
        rig.pass(1_000);
        assert_eq!(pushed(&rig, 1), [("message", 1, 0)]);
        assert_eq!(rig.shared.counters.frames_dropped, 2, "a message and Advanced");
        assert_eq!((rig.shared.counters.messages_delivered, rig.shared.counters.messages_dropped), (1, 1));
        rig.turn(|users, turn| users.session_drained(turn, user(0), Rig::address(1)));
        rig.deliver(0, 3, &[user(0)], None);
        assert_eq!(pushed(&rig, 1)[1..], [("resumed", 2, 2), ("message", 3, 0)]);
        rig.turn(|users, turn| users.session_drained(turn, user(0), Rig::address(1)));
        assert_eq!(pushed(&rig, 1).len(), 3, "it did not lag");
    }

    #[test]
    fn a_session_behind_a_full_lane_is_told_to_sync() {
        let mut limits = Limits::default();
        limits.set("outbox_bytes_max", 1_024).expect("a limit");
        let mut rig = Rig::new(limits, 1, 1);
        rig.start_session(user(0), 1);
        for seq in 1..=20 {
            rig.deliver(0, seq, &[user(0)], None);
        }
        rig.settle();
        assert_eq!(pushed(&rig, 1), [("message", 1, 0)]);
        assert_eq!(rig.shared.counters.sessions_lagged, 1);
        while rig.credit() {}
        rig.deliver(0, 21, &[user(0)], None);
        assert_eq!(pushed(&rig, 1)[1..], [("advanced", 2, 2), ("message", 21, 0)]);
    }

    #[test]
    fn sessions_leave_half_of_the_credit_to_others() {
        let mut rig = Rig::new(Limits::default(), 8, 1);
        for n in 0..20 {
            rig.start_session(user(n), n as u32);
        }
        (0..20).for_each(|n| rig.deliver(n % 4, 1, &[user(n)], None));
        for _ in 0..5 {
            rig.settle();
            rig.pass(1_000);
        }
        assert_eq!((rig.posted.len(), rig.announced().len()), (8, 0));
        rig.shared.router.credit(OTHER, 8);
        rig.turn(|users, turn| users.unblock(turn, OTHER));
        assert_eq!((rig.posted.len(), rig.announced().len()), (16, 4), "half is for what was stored");
        rig.shared.router.credit(OTHER, 1);
        rig.turn(|users, turn| users.unblock(turn, OTHER));
        assert_eq!(rig.posted.len(), 17, "at least one");
        for _ in 0..20 {
            let taken = 8 - rig.shared.router.credit_left(OTHER);
            rig.shared.router.credit(OTHER, taken);
            rig.turn(|users, turn| users.unblock(turn, OTHER));
        }
        assert!((0..20).all(|connection| !pushed(&rig, connection).is_empty()), "nobody waits for ever");
    }

    #[test]
    fn too_many_changes_are_not_named() {
        let mut rig = rig();
        rig.start_session(user(0), 1);
        let many = trunkline_wire::limits::ADVANCED_CONVERSATIONS_MAX as u32 + 1;
        let key = |n: u32| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&n.to_be_bytes());
            ConversationId(id)
        };
        for n in 0..many {
            rig.deliver_to(key(n), 1, &[user(0)], None, None);
        }
        rig.settle();
        rig.pass(1_000);
        let to = 1 + u64::from(many);
        assert_eq!(pushed(&rig, 1), [("advanced", to, to)]);
    }
}
