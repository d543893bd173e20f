//! The users this shard is home of: which sessions they have, what is in their lists, and what comes for them.

mod eviction;
mod flush;
mod handing_out;
mod list;
#[cfg(test)]
mod list_store;
mod lookups;
mod numbers;
#[cfg(test)]
mod random;
#[cfg(test)]
mod read_changes;
mod report;
mod revoking;
#[cfg(test)]
mod rig;
mod row;
mod sessions;
mod sync;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use trunkline_wire::ids::ConversationId;
use trunkline_wire::message::ErrorCode;

use crate::contract::ShardId;
use crate::desk::Purpose;
use crate::entry::{Delivery, HomeAnswer, HomeRequest, Notice};
use crate::router::Reply;
use crate::store::{Load, Loaded, StoreFault, UserKey};
use crate::turn::Turn;

use flush::Flushes;
use handing_out::{HandingOut, Item};
use list::{List, RowChange};
use lookups::Lookups;
use numbers::Asking;
use report::Receipts;
use revoking::Revoked;
use sessions::{Backlogs, Session};

pub(crate) use report::position_stored;
pub(crate) use sync::SyncAsked;

/// Lists that one call of [`Users::work`] looks at, for each thing there is to do.
const STEPS_MAX: usize = 256;

/// A user in memory: its sessions, and its list once that was needed. 32 bytes, so that idle sessions stay cheap.
#[derive(Default)]
pub(crate) struct User {
    sessions: Vec<Session>,
    list: Option<Box<List>>,
}

const _: () = assert!(size_of::<User>() <= 32);

impl User {
    /// Bytes it takes.
    fn bytes(&self) -> usize {
        let list = self.list.as_deref().map_or(0, List::bytes);
        size_of::<(UserKey, User)>() + 1 + self.sessions.capacity() * size_of::<Session>() + list
    }

    /// The position of its list now, which is shown to somebody; 0: nobody has asked for one, or heard of one.
    fn show_position(&mut self) -> u64 {
        self.list.as_deref_mut().map_or(0, List::show)
    }

    /// The list, made now if there was none.
    fn list_mut(&mut self, key: UserKey, ring: &mut Ring) -> &mut List {
        let list = self.list.get_or_insert_with(|| {
            ring.users.push_back(key);
            Box::new(List::new(ring.next_stay()))
        });
        list.touched = true;
        list
    }
}

/// What waits, for all users together.
struct Queues {
    backlogs: Backlogs,
    asking: Asking,
    flushes: Flushes,
    receipts: Receipts,
    ring: Ring,
}

/// The users with a list.
#[derive(Default)]
struct Ring {
    /// In the order in which eviction comes by.
    users: VecDeque<UserKey>,
    /// The number of the latest stay of any list.
    stays: u64,
}

impl Ring {
    /// A number for a list that comes into memory, or that forgets rows: what the store was asked before is not for it.
    fn next_stay(&mut self) -> u64 {
        self.stays += 1;
        self.stays
    }
}

/// All users of this shard that have sessions, or whose lists are in memory.
pub(crate) struct Users {
    users: HashMap<UserKey, User, FixedState>,
    queues: Queues,
    lookups: Lookups,
    handing_out: HandingOut,
    revoked: Revoked,
    /// Sessions there are.
    open: u64,
}

impl Users {
    pub fn new(shards: u16) -> Users {
        Users {
            users: HashMap::with_hasher(FixedState::with_seed(0)),
            queues: Queues {
                backlogs: Backlogs::new(shards),
                asking: Asking::default(),
                flushes: Flushes::new(shards),
                receipts: vec![VecDeque::new(); usize::from(shards)],
                ring: Ring::default(),
            },
            lookups: Lookups::default(),
            handing_out: HandingOut::default(),
            revoked: Revoked::new(),
            open: 0,
        }
    }

    /// Sessions there are.
    pub fn sessions_open(&self) -> u64 {
        self.open
    }

    /// Users in memory.
    pub fn cached(&self) -> u64 {
        self.users.len() as u64
    }

    /// Does something to a user, who is taken into memory if needed; what it takes there is accounted for.
    fn with<R>(
        &mut self,
        turn: &mut Turn<'_>,
        key: UserKey,
        act: impl FnOnce(&mut User, &mut Queues, &mut Turn<'_>) -> R,
    ) -> R {
        let mut before = 0;
        let user = match self.users.entry(key) {
            hashbrown::hash_map::Entry::Occupied(user) => {
                before = user.get().bytes();
                user.into_mut()
            }
            hashbrown::hash_map::Entry::Vacant(place) => place.insert(User::default()),
        };
        let result = act(user, &mut self.queues, turn);
        turn.shared.cache.charge(before, user.bytes());
        result
    }

    /// The same for a user in memory; none: it is not.
    fn with_known<R>(
        &mut self,
        turn: &mut Turn<'_>,
        key: UserKey,
        act: impl FnOnce(&mut User, &mut Queues, &mut Turn<'_>) -> R,
    ) -> Option<R> {
        self.users.contains_key(&key).then(|| self.with(turn, key, act))
    }

    /// A request to a user's home, or one that any home answers.
    pub fn request(&mut self, turn: &mut Turn<'_>, reply: Reply, request: HomeRequest) {
        match request {
            HomeRequest::StartSession { caller, issued_s } => self.start_session(turn, reply, caller, issued_s),
            HomeRequest::CheckUser { key } => self.check_user(turn, reply, key),
            HomeRequest::AdmitLookup { key, handle_hash } => {
                if self.lookups.admits(turn, key, handle_hash) {
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
            HomeRequest::Sync { .. } => self.sync(turn, reply, request),
            HomeRequest::Report { caller, request, position, receipts } => {
                self.report(turn, reply, &caller, request, position, &receipts);
            }
            _ => unreachable!("requests about conversations go to their homes"),
        }
    }

    fn check_user(&mut self, turn: &mut Turn<'_>, reply: Reply, key: UserKey) {
        if self.users.get(&key).is_some_and(|user| !user.sessions.is_empty()) {
            return turn.answer(reply, HomeAnswer::UserExists(true));
        }
        ask_store(turn, reply, Purpose::CheckUser(reply), Load::User { key });
    }

    /// A seq is durable: it goes to the sessions of its recipients but the one that sent it, and into their lists. The home
    /// of its conversation is told once the lists have it durably.
    pub fn deliver(&mut self, turn: &mut Turn<'_>, delivery: Box<Delivery>) {
        assert!(delivery.windows.is_sorted_by_key(|window| window.0), "windows are in order of user");
        self.hand_out(turn, Item::Delivery(delivery));
    }

    /// The same for some of the recipients. How many rows have to be stored for it beside those that had to be already.
    fn deliver_to(&mut self, turn: &mut Turn<'_>, delivery: &Delivery, part: Range<usize>) -> u32 {
        let mut owing = 0;
        for &user in &delivery.users[part] {
            let key = UserKey { tenant: delivery.key.tenant, user };
            let window = delivery.windows.binary_search_by_key(&user, |window| window.0);
            let change = RowChange {
                meta: &delivery.meta,
                last_seq: delivery.seq,
                read_seq: 0,
                window: window.ok().map(|at| (delivery.windows[at].1, delivery.windows[at].2)),
            };
            owing += self.with(turn, key, |user, queues, turn| {
                if let Some(frame) = &delivery.frame {
                    let reached = user.push(turn, key, frame, delivery.except, &mut queues.backlogs);
                    turn.shared.counters.messages_delivered += reached;
                    turn.shared.counters.messages_dropped += user.others(delivery.except) - reached;
                    turn.measure_delivery(delivery.accepted_ns, reached);
                }
                let list = user.list_mut(key, &mut queues.ring);
                let owes = list.announce(delivery.key.conversation, &change);
                queues.attend(turn, key, list);
                u32::from(owes)
            });
        }
        owing
    }

    fn owe(&mut self, turn: &mut Turn<'_>, delivery: &Delivery, owing: u32) {
        self.queues.flushes.owe(turn, delivery.key, delivery.round, owing);
    }

    /// Something that is not stored goes to the sessions of its recipients; what they have read changes their lists.
    pub fn notice(&mut self, turn: &mut Turn<'_>, notice: Box<Notice>) {
        self.hand_out(turn, Item::Notice(notice));
    }

    /// The sessions of some of a notice's recipients get it.
    fn notice_to(&mut self, turn: &mut Turn<'_>, notice: &Notice, part: Range<usize>) {
        let told_with_their_change = |user| notice.read.binary_search_by_key(&user, |&(reader, _)| reader).is_ok();
        for &user in notice.users[part].iter().filter(|&&user| !told_with_their_change(user)) {
            let key = UserKey { tenant: notice.key.tenant, user };
            self.with_known(turn, key, |user, queues, turn| {
                user.push(turn, key, &notice.frame, notice.except, &mut queues.backlogs);
            });
        }
    }

    /// The lists of some of those who have read further change. They get the frame in the same step: a session that begins
    /// after it finds the change by its sync.
    fn read_further(&mut self, turn: &mut Turn<'_>, notice: &Notice, part: Range<usize>) {
        for &(user, read_seq) in &notice.read[part] {
            let key = UserKey { tenant: notice.key.tenant, user };
            let change = RowChange { meta: &notice.meta, last_seq: 0, read_seq, window: None };
            self.with(turn, key, |user, queues, turn| {
                user.push(turn, key, &notice.frame, notice.except, &mut queues.backlogs);
                let list = user.list_mut(key, &mut queues.ring);
                list.change(notice.key.conversation, &change);
                queues.attend(turn, key, list);
            });
        }
    }

    /// Goes on with what is due, a bounded part of it; true when more is.
    pub fn work(&mut self, turn: &mut Turn<'_>) -> bool {
        let is_handing_out = self.go_on_handing_out(turn);
        let is_more_due = self.tick(turn);
        self.retry(turn);
        self.ask_next(turn);
        self.write_rows(turn);
        self.evict(turn) || is_more_due || is_handing_out
    }

    /// When [`Users::work`] has something to do, in monotonic nanoseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        [self.queues.flushes.next_deadline(), self.queues.asking.next_deadline()].into_iter().flatten().min()
    }

    /// Lists are written at once from now on, so that as much as possible is stored when everything stops.
    pub fn drain(&mut self) {
        self.queues.flushes.is_hurried = true;
    }

    /// Credit towards a shard came back: what waited for it goes on.
    pub fn unblock(&mut self, turn: &mut Turn<'_>, shard: ShardId) {
        self.unblock_sessions(turn, shard);
        self.queues.flushes.unblock(turn, shard);
        report::unblock(turn, &mut self.queues.receipts, shard);
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

/// Advanced from a position to another, for all sessions of a user.
fn advanced_frame(turn: &mut Turn<'_>, from: u64, to: u64, places: &[(ConversationId, u64)]) -> Arc<[u8]> {
    turn.shared.encoder.advanced(from, to, places).to_shared_frame()
}
