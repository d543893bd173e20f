//! The users this shard is home of: which sessions they have, and what comes for them.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use trunkline_wire::ids::DeviceId;
use trunkline_wire::message::ErrorCode;
use trunkline_wire::violation::Violation;

use crate::bucket::Bucket;
use crate::contract::{ConnectionId, ShardId};
use crate::desk::{Purpose, SyncAsked};
use crate::entry::{Address, Caller, Delivery, Entry, HomeAnswer, HomeRequest, Notice};
use crate::router::Reply;
use crate::store::{Load, Loaded, StoreFault, UserKey};
use crate::turn::Turn;

/// One connection of one device.
struct Session {
    device: DeviceId,
    address: Address,
    /// Frames that wait for credit towards its front shard, in order.
    backlog: Vec<u8>,
    /// Too many frames waited: it is ended as soon as there is credit, and catches up when it comes back.
    lagging: bool,
}

/// Look-ups of handles by one user.
#[derive(Default)]
struct Lookups {
    bucket: Bucket,
    /// Hashes of the last handles looked up: these are not new.
    known: VecDeque<u64>,
}

/// Handles that a user may look up again without it counting.
const LOOKUPS_KNOWN_MAX: usize = 128;
/// Users whose look-ups are remembered; beyond it those whose allowance is full are forgotten.
const LOOKUP_USERS_MAX: usize = 65_536;

/// All users of this shard that have sessions.
pub(crate) struct Users {
    sessions: HashMap<UserKey, Vec<Session>, FixedState>,
    lookups: HashMap<UserKey, Lookups, FixedState>,
    /// Connections to be ended, per front shard, when there is credit.
    to_end: Vec<VecDeque<(ConnectionId, Violation)>>,
    /// Sessions with a backlog, per front shard.
    waiting: Vec<VecDeque<(UserKey, ConnectionId)>>,
    open: u64,
}

impl Users {
    pub fn new(shards: u16) -> Users {
        Users {
            sessions: HashMap::with_hasher(FixedState::with_seed(0)),
            lookups: HashMap::with_hasher(FixedState::with_seed(0)),
            to_end: vec![VecDeque::new(); usize::from(shards)],
            waiting: vec![VecDeque::new(); usize::from(shards)],
            open: 0,
        }
    }

    /// Sessions there are.
    pub fn sessions_open(&self) -> u64 {
        self.open
    }

    /// A request to a user's home, or one that any home answers.
    pub fn request(&mut self, turn: &mut Turn<'_>, reply: Reply, request: HomeRequest) {
        match request {
            HomeRequest::StartSession { caller } => self.start_session(turn, reply, caller),
            HomeRequest::CheckUser { key } => self.check_user(turn, reply, key),
            HomeRequest::AdmitLookup { key, handle_hash } => {
                if self.admits_lookup(turn, key, handle_hash) {
                    turn.answer(reply, HomeAnswer::LookupAdmitted);
                } else {
                    let every_ms = turn.shared.limits.lookup_every_s * 1_000;
                    turn.answer(reply, HomeAnswer::Refused(ErrorCode::RateLimited, every_ms as u32));
                }
            }
            HomeRequest::Resolve { caller, request, folded } => {
                let load = Load::Handle { tenant: caller.tenant, folded };
                ask_store(turn, reply, Purpose::Resolve(reply, request), load);
            }
            HomeRequest::Sync { .. } | HomeRequest::Report { .. } => todo!(),
            _ => unreachable!("requests about conversations go to their homes"),
        }
    }

    fn start_session(&mut self, turn: &mut Turn<'_>, reply: Reply, caller: Caller) {
        let key = UserKey { tenant: caller.tenant, user: caller.user };
        let sessions = self.sessions.entry(key).or_default();
        let of_device = sessions.iter().filter(|session| session.device == caller.device).count();
        if of_device as u64 >= turn.shared.limits.sessions_per_device_max {
            let oldest = sessions.iter().position(|session| session.device == caller.device);
            let ended = oldest.map(|index| sessions.remove(index));
            if let Some(session) = ended {
                self.open -= 1;
                self.end_session(turn, session.address, Violation::SessionReplaced);
            }
        }
        let sessions = self.sessions.entry(key).or_default();
        sessions.push(Session { device: caller.device, address: caller.address, backlog: Vec::new(), lagging: false });
        self.open += 1;
        let number = turn.random_id();
        turn.answer(reply, HomeAnswer::SessionStarted(number));
    }

    fn end_session(&mut self, turn: &mut Turn<'_>, address: Address, violation: Violation) {
        let entry = Entry::EndSession { connection: address.connection, violation };
        if !turn.shared.router.try_post(address.shard, entry, turn.effects) {
            self.to_end[usize::from(address.shard)].push_back((address.connection, violation));
        }
    }

    /// A front shard says that a connection is gone.
    pub fn session_ended(&mut self, key: UserKey, address: Address) {
        let Some(sessions) = self.sessions.get_mut(&key) else { return };
        let before = sessions.len();
        sessions.retain(|session| session.address != address);
        self.open -= (before - sessions.len()) as u64;
        if sessions.is_empty() {
            self.sessions.remove(&key);
        }
    }

    fn check_user(&mut self, turn: &mut Turn<'_>, reply: Reply, key: UserKey) {
        if self.sessions.contains_key(&key) {
            return turn.answer(reply, HomeAnswer::UserExists(true));
        }
        ask_store(turn, reply, Purpose::CheckUser(reply), Load::User { key });
    }

    fn admits_lookup(&mut self, turn: &Turn<'_>, key: UserKey, handle_hash: u64) -> bool {
        if self.lookups.len() >= LOOKUP_USERS_MAX && !self.lookups.contains_key(&key) {
            let full_ns = turn.shared.limits.lookup_every_s * 1_000_000_000;
            let now_ns = turn.now.mono_ns;
            self.lookups.retain(|_, lookups| !lookups.bucket.take(now_ns, 1, full_ns, 1));
        }
        let lookups = self.lookups.entry(key).or_default();
        if lookups.known.contains(&handle_hash) {
            return true;
        }
        let every_ns = turn.shared.limits.lookup_every_s * 1_000_000_000;
        if !lookups.bucket.take(turn.now.mono_ns, turn.shared.limits.lookup_burst, every_ns, 1) {
            return false;
        }
        if lookups.known.len() == LOOKUPS_KNOWN_MAX {
            lookups.known.pop_front();
        }
        lookups.known.push_back(handle_hash);
        true
    }

    /// A message for users of this shard: a frame for each of their sessions but the one that sent it.
    pub fn deliver(&mut self, turn: &mut Turn<'_>, delivery: &Delivery) {
        for &user in delivery.users.iter() {
            self.deliver_to(turn, UserKey { tenant: delivery.key.tenant, user }, delivery);
        }
    }

    fn deliver_to(&mut self, turn: &mut Turn<'_>, key: UserKey, delivery: &Delivery) {
        let Some(sessions) = self.sessions.get_mut(&key) else { return };
        let Some(frame) = &delivery.frame else { return };
        let mut lagging = Vec::new();
        for session in sessions {
            if Some(session.address) == delivery.except || session.lagging {
                continue;
            }
            turn.shared.counters.messages_delivered += 1;
            let Address { shard, connection } = session.address;
            let push = Entry::Push { connection, frame: frame.clone() };
            if session.backlog.is_empty() && turn.shared.router.try_post(shard, push, turn.effects) {
                continue;
            }
            if session.backlog.is_empty() {
                self.waiting[usize::from(shard)].push_back((key, connection));
            }
            session.backlog.extend_from_slice(frame);
            if session.backlog.len() as u64 > turn.shared.limits.outbox_bytes_max {
                session.backlog = Vec::new();
                session.lagging = true;
                lagging.push(session.address);
            }
        }
        for address in lagging {
            self.end_session(turn, address, Violation::SlowReader);
        }
    }

    pub fn notice(&mut self, _turn: &mut Turn<'_>, _notice: &Notice) {
        todo!()
    }
    pub fn session_lags(&mut self, _key: UserKey, _address: Address) {
        todo!()
    }
    pub fn session_drained(&mut self, _turn: &mut Turn<'_>, _key: UserKey, _address: Address) {
        todo!()
    }
    pub fn ceiling_stored(&mut self, _turn: &mut Turn<'_>, _key: UserKey, _ceiling: u64, _done: Result<(), StoreFault>) {
        todo!()
    }
    pub fn list_stored(&mut self, _turn: &mut Turn<'_>, _number: u32, _done: Result<(), StoreFault>) {
        todo!()
    }
    pub fn loaded(&mut self, _turn: &mut Turn<'_>, _key: UserKey, _loaded: Result<Loaded, StoreFault>) {
        todo!()
    }
    pub fn stored_position(
        &mut self,
        _turn: &mut Turn<'_>,
        _reply: Reply,
        _request: HomeRequest,
        _loaded: Result<Loaded, StoreFault>,
    ) {
        todo!()
    }
    pub fn work(&mut self, _turn: &mut Turn<'_>) {}
    pub fn next_deadline(&self) -> Option<u64> {
        None
    }

    /// Credit towards a shard came back: connections there that are to be ended, are; backlogs go, each in one entry.
    pub fn unblock(&mut self, turn: &mut Turn<'_>, shard: ShardId) {
        while turn.shared.router.has_credit(shard) {
            let Some((connection, violation)) = self.to_end[usize::from(shard)].pop_front() else { break };
            self.end_session(turn, Address { shard, connection }, violation);
        }
        while turn.shared.router.has_credit(shard) {
            let Some((key, connection)) = self.waiting[usize::from(shard)].pop_front() else { break };
            let address = Address { shard, connection };
            let sessions = self.sessions.get_mut(&key).into_iter().flatten();
            let Some(session) = { sessions }.find(|session| session.address == address) else { continue };
            let frame = core::mem::take(&mut session.backlog);
            if !frame.is_empty() {
                let push = Entry::Push { connection, frame: frame.into() };
                let posted = turn.shared.router.try_post(shard, push, turn.effects);
                assert!(posted, "there was credit");
            }
        }
    }
}

fn ask_store(turn: &mut Turn<'_>, reply: Reply, purpose: Purpose, load: Load) {
    if turn.shared.desk.can_load(&turn.shared.limits) {
        turn.shared.desk.load(purpose, load, turn.effects);
    } else {
        turn.refuse(reply, ErrorCode::Busy);
    }
}

/// A user was looked up.
pub(crate) fn user_checked(turn: &mut Turn<'_>, reply: Reply, loaded: Result<Loaded, StoreFault>) {
    match loaded {
        Ok(Loaded::User(row)) => turn.answer(reply, HomeAnswer::UserExists(row.is_some())),
        _ => turn.refuse(reply, ErrorCode::StorageUnavailable),
    }
}

/// A handle was looked up.
pub(crate) fn handle_resolved(turn: &mut Turn<'_>, reply: Reply, request: u32, loaded: Result<Loaded, StoreFault>) {
    match loaded {
        Ok(Loaded::Handle(Some(user))) => {
            let mut frame = Vec::new();
            turn.shared.encoder.resolved(request, user).write_server_frame(&mut frame);
            turn.answer(reply, HomeAnswer::Frame(frame));
        }
        Ok(Loaded::Handle(None)) => turn.refuse(reply, ErrorCode::UnknownHandle),
        _ => turn.refuse(reply, ErrorCode::StorageUnavailable),
    }
}

pub(crate) fn sync_loaded(_turn: &mut Turn<'_>, _asked: SyncAsked, _loaded: Result<Loaded, StoreFault>) {
    todo!()
}

pub(crate) fn position_stored(_turn: &mut Turn<'_>, _reply: Reply, _request: u32, _done: Result<(), StoreFault>) {
    todo!()
}
