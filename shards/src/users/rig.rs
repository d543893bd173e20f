//! A home of users without a shard around it, for tests.

use alloc::sync::Arc;
use alloc::vec::Vec;

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use trunkline_wire::ids::{ConversationId, DeviceId, TenantId, UserId};
use trunkline_wire::message::{Encoder, decode_answer, schema};

use super::list_store::ListStore;
use super::{Users, position_stored};
use crate::cache::Cache;
use crate::contract::{ConnectionId, Effect, Effects, Now, ShardId, Ticket};
use crate::counters::Counters;
use crate::desk::{Desk, Purpose};
use crate::entry::{Address, Caller, Delivery, Entry, HomeAnswer, HomeRequest, Notice};
use crate::limits::Limits;
use crate::router::{LaneRoom, Reply, Router};
use crate::store::{ConversationKey, ConversationMeta, Loaded, Put, StoreFault, UserKey};
use crate::turn::{Shared, Turn};

pub const TENANT: TenantId = TenantId(0);
/// Everything but the home of the users is on the other shard.
pub const OTHER: ShardId = 1;

/// The n-th user whose home is shard 0 of 2.
pub fn user(n: usize) -> UserKey {
    let router = Router::new(0, 2, LaneRoom { pushes: 1, answers: 1 });
    let keys = (1..).map(|id| UserKey { tenant: TENANT, user: UserId(id) });
    keys.filter(|&key| router.home_of_user(key) == 0).nth(n).expect("there are many")
}

/// The n-th conversation whose home is the other shard.
pub fn conversation(n: usize) -> ConversationId {
    let router = Router::new(0, 2, LaneRoom { pushes: 1, answers: 1 });
    let ids = (1..=u8::MAX).map(|id| ConversationId([id; 16]));
    let home = |id| router.home_of_conversation(ConversationKey { tenant: TENANT, conversation: id });
    ids.filter(|&id| home(id) == OTHER).nth(n).expect("there are many")
}

pub fn meta() -> Arc<ConversationMeta> {
    Arc::new(ConversationMeta { kind: 2, created_ms: 1, peers: Vec::new(), title: "a group".into() })
}

/// What the store was asked and has not answered.
pub enum Asked {
    Put(Put),
    /// What it would have found when it was asked.
    Load(Loaded),
}

/// A home of users on shard 0 of 2.
pub struct Rig {
    pub users: Users,
    pub shared: Shared,
    pub now: Now,
    pub store: ListStore,
    pub asked: Vec<(Ticket, Asked)>,
    /// What went to the other shard and was not looked at.
    pub posted: Vec<Entry>,
    /// Entries that left the lane to the other shard without their credit.
    pub uncredited: u32,
}

impl Rig {
    pub fn new(limits: Limits, pushes: u32, incarnation: u64) -> Rig {
        Rig {
            users: Users::new(2),
            shared: Shared {
                limits,
                router: Router::new(0, 2, LaneRoom { pushes, answers: 64 }),
                desk: Desk::default(),
                encoder: Encoder::new(),
                counters: Counters::default(),
                random: ChaCha8Rng::from_seed([1; 32]),
                incarnation,
                cache: Cache::default(),
            },
            now: Now { mono_ns: 1_000_000_000, wall_ms: 1_000 },
            store: ListStore::default(),
            asked: Vec::new(),
            posted: Vec::new(),
            uncredited: 0,
        }
    }

    pub fn turn<R>(&mut self, act: impl FnOnce(&mut Users, &mut Turn<'_>) -> R) -> R {
        let mut effects = Effects::new();
        let mut turn = Turn { now: self.now, effects: &mut effects, shared: &mut self.shared };
        let result = act(&mut self.users, &mut turn);
        for effect in effects.drain() {
            match effect {
                Effect::Put { ticket, put } => self.asked.push((ticket, Asked::Put(*put))),
                Effect::Load { ticket, load } => {
                    let found = self.store.load(&load);
                    self.asked.push((ticket, Asked::Load(found)));
                }
                Effect::Post { shard: OTHER, entry } => {
                    self.uncredited += u32::from(!entry.is_answer());
                    self.posted.push(entry);
                }
                other => panic!("a home of users does not do this: {other:?}"),
            }
        }
        result
    }

    /// Time goes on, and everything that is due is done.
    pub fn pass(&mut self, ms: u64) {
        self.now.mono_ns += ms * 1_000_000;
        self.now.wall_ms += ms;
        while self.turn(|users, turn| users.work(turn)) {}
    }

    /// The store answers one of its requests; a write is done first, unless it says that it is not.
    pub fn answer(&mut self, index: usize, fault: Option<StoreFault>) {
        let (ticket, asked) = self.asked.remove(index);
        let done = fault.map_or(Ok(()), Err);
        let (found, fault) = match asked {
            Asked::Put(put) => {
                if done.is_ok() {
                    self.store.put(&put);
                }
                (None, fault)
            }
            Asked::Load(found) => (Some(found), fault),
        };
        let loaded = found.map(|found| fault.map_or(Ok(found), Err));
        let purpose = self.shared.desk.take(ticket);
        self.turn(|users, turn| match (purpose, loaded) {
            (Purpose::User(key), Some(loaded)) => users.loaded(turn, key, loaded),
            (Purpose::Sync(asked), Some(loaded)) => users.sync_loaded(turn, *asked, loaded),
            (Purpose::StoredPosition(reply, request), Some(loaded)) => {
                users.stored_position(turn, reply, *request, loaded);
            }
            (Purpose::Ceiling(key, ceiling), None) => users.ceiling_stored(turn, key, ceiling, done),
            (Purpose::List(number), None) => users.list_stored(turn, number, done),
            (Purpose::Position(reply, request), None) => position_stored(turn, reply, request, done),
            (purpose, _) => panic!("a home of users does not ask for {purpose:?}"),
        });
    }

    /// The store answers everything, and what follows from that, with everything done.
    pub fn settle(&mut self) {
        self.pass(0);
        while !self.asked.is_empty() {
            self.answer(0, None);
            self.pass(0);
        }
    }

    /// The credit for one entry comes back; false: all of it has.
    pub fn credit(&mut self) -> bool {
        if self.uncredited == 0 {
            return false;
        }
        self.uncredited -= 1;
        self.shared.router.credit(OTHER, 1);
        self.turn(|users, turn| users.unblock(turn, OTHER));
        true
    }

    pub fn address(connection: u32) -> Address {
        Address { shard: OTHER, connection: ConnectionId { slot: connection, generation: 1 } }
    }

    pub fn caller(key: UserKey, connection: u32) -> Caller {
        Caller { tenant: key.tenant, user: key.user, device: DeviceId(1), address: Rig::address(connection) }
    }

    pub fn request(&mut self, ticket: u32, request: HomeRequest) {
        self.turn(|users, turn| users.request(turn, Reply { shard: OTHER, ticket }, request));
    }

    pub fn start_session(&mut self, key: UserKey, connection: u32) {
        self.request(0, HomeRequest::StartSession { caller: Rig::caller(key, connection), issued_s: 0 });
        let started = self.posted.pop();
        assert!(matches!(started, Some(Entry::Answer { answer: HomeAnswer::SessionStarted(_), .. })));
    }

    pub fn sync(&mut self, key: UserKey, ticket: u32, position: Option<u64>, below: u64, limit: u16) {
        let caller = Rig::caller(key, 1);
        self.request(ticket, HomeRequest::Sync { caller, request: ticket, position, below, limit });
    }

    /// A seq of a conversation for users; with a frame, and perhaps the window of all of them.
    pub fn deliver(&mut self, n: usize, seq: u64, users: &[UserKey], window: Option<(u64, u64)>) {
        let frame = self.message(conversation(n), seq);
        self.deliver_to(conversation(n), seq, users, window, Some(frame));
    }

    pub fn deliver_to(
        &mut self,
        conversation: ConversationId,
        seq: u64,
        users: &[UserKey],
        window: Option<(u64, u64)>,
        frame: Option<Arc<[u8]>>,
    ) {
        let delivery = Delivery {
            key: ConversationKey { tenant: TENANT, conversation },
            meta: meta(),
            seq,
            round: seq,
            frame,
            accepted_ns: 0,
            users: users.iter().map(|key| key.user).collect(),
            windows: window.iter().flat_map(|&(j, l)| users.iter().map(move |key| (key.user, j, l))).collect(),
            except: None,
        };
        self.turn(|users, turn| users.deliver(turn, delivery.into()));
    }

    /// A user has read up to a seq.
    pub fn read(&mut self, n: usize, key: UserKey, read_seq: u64) {
        self.read_among(n, &[key], (key, read_seq));
    }

    /// The same, of which many are told.
    pub fn read_among(&mut self, n: usize, told: &[UserKey], (key, read_seq): (UserKey, u64)) {
        let notice = Notice {
            key: ConversationKey { tenant: TENANT, conversation: conversation(n) },
            meta: meta(),
            frame: self.shared.encoder.receipts(conversation(n), &[]).to_shared_frame(),
            users: told.iter().map(|key| key.user).collect(),
            read: [(key.user, read_seq)].into(),
            except: None,
        };
        self.turn(|users, turn| users.notice(turn, notice.into()));
    }

    fn message(&mut self, conversation: ConversationId, seq: u64) -> Arc<[u8]> {
        let message = trunkline_wire::message::Message {
            epoch: 1,
            seq,
            ts_ms: 1,
            sender: UserId(99),
            device: DeviceId(1),
            message_id: trunkline_wire::ids::MessageId(seq),
            kind: 1,
            flags: 0,
            body: b"text",
            sent_at_ms: 0,
            ref_seq: 0,
            mls_epoch: 0,
        };
        self.shared.encoder.message(conversation, &message).to_shared_frame()
    }

    /// The rounds (which are the seqs) that homes of conversations were told to be stored, in order.
    pub fn announced(&mut self) -> Vec<(ConversationId, u64)> {
        let announced = self.posted.iter().filter_map(|entry| match entry {
            Entry::Announced { key, round } => Some((key.conversation, *round)),
            _ => None,
        });
        announced.collect()
    }

    /// Takes the answer to a request out of what was posted; none: there is none yet.
    pub fn take_answer(&mut self, wanted: u32) -> Option<HomeAnswer> {
        let is_it = |entry: &Entry| matches!(entry, Entry::Answer { ticket, .. } if *ticket == wanted);
        match self.posted.remove(self.posted.iter().position(is_it)?) {
            Entry::Answer { answer, .. } => Some(answer),
            _ => None,
        }
    }

    /// Takes the answer to a sync: (from, to, rows as (conversation, user_seq, last_seq), more, resync).
    pub fn take_synced(&mut self, ticket: u32) -> Synced {
        match self.take_answer(ticket) {
            Some(HomeAnswer::Frame(frame)) => Synced::read(&frame),
            other => panic!("no page of a sync: {other:?}"),
        }
    }
}

/// A page of a sync, as a client reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Synced {
    pub from: u64,
    pub to: u64,
    pub rows: Vec<Row>,
    pub more: bool,
    pub resync: bool,
}

/// A conversation of such a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    pub conversation: ConversationId,
    pub user_seq: u64,
    pub last_seq: u64,
    pub read_seq: u64,
    pub window: (u64, u64),
}

impl Synced {
    pub fn read(frame: &[u8]) -> Synced {
        match decode_answer(envelopes(frame)[0]) {
            Ok((_, trunkline_wire::message::Answer::Synced(synced))) => Synced::of(&synced),
            other => panic!("not Synced: {other:?}"),
        }
    }

    pub fn of(synced: &schema::Synced<'_>) -> Synced {
        let rows = synced.conversations().into_iter().flatten().map(|row| Row {
            conversation: ConversationId(row.conversation().expect("a row names it").0),
            user_seq: row.user_seq(),
            last_seq: row.last_seq(),
            read_seq: row.read_seq(),
            window: (row.joined_seq(), row.left_seq()),
        });
        Synced {
            from: synced.from(),
            to: synced.to(),
            rows: rows.collect(),
            more: synced.more(),
            resync: synced.resync(),
        }
    }
}

/// The envelopes of unmasked frames that stand one behind the other.
pub fn envelopes(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let [_, length, rest @ ..] = bytes {
        let (length, rest) = match length {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => panic!("longer than a frame may be"),
            &length => (usize::from(length), rest),
        };
        found.push(&rest[..length]);
        bytes = &rest[length..];
    }
    found
}
