//! Drives [`Conversations`] in tests: requests in, and a store and homes of users that answer when they are told to.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, TenantId, UserId};
use trunkline_wire::message::{Answer, Change, Encoder, ErrorCode, decode_answer};

use super::{Conversations, history_loaded};
use crate::cache::Cache;
use crate::contacts::ContactsAnswer;
use crate::contract::{AdminAnswer, ConnectionId, Effect, Effects, Now, ShardId, Ticket};
use crate::counters::Counters;
use crate::desk::{Desk, Purpose};
use crate::entry::{Address, Caller, Delivery, Entry, HomeAnswer, HomeRequest, Notice, OutgoingMessage};
use crate::limits::Limits;
use crate::router::{LaneRoom, Reply, Router};
use crate::store::{
    Append, Block, ConversationImage, ConversationKey, DeviceReceipt, Load, Put, PutOutcome, StoreResult,
};
use crate::turn::{Shared, Turn};

pub(super) const TENANT: TenantId = TenantId(0);

/// What was asked of the store.
#[derive(Debug)]
pub(super) enum Asked {
    Append(Box<Append>),
    Put(Box<Put>),
    Load(Box<Load>),
}

/// Shard 0, the store, and the homes of users.
pub(super) struct Rig {
    pub conversations: Conversations,
    pub shared: Shared,
    pub now: Now,
    pub deliveries: Vec<(ShardId, Box<Delivery>)>,
    pub notices: Vec<(ShardId, Box<Notice>)>,
    pub asked: VecDeque<(Ticket, Asked)>,
    /// All rows in `recent`.
    pub images: BTreeMap<ConversationKey, ConversationImage>,
    /// Marks without rows.
    pub bare_marks: BTreeSet<ConversationKey>,
    pub missing_users: Vec<UserId>,
    /// What contacts say of blocking.
    pub blocks: Vec<Block>,
    effects: Effects,
    answers: BTreeMap<u32, HomeAnswer>,
    tickets: u32,
}

pub(super) fn caller(user: u64) -> Caller {
    let connection = ConnectionId { slot: user as u32, generation: 1 };
    Caller { tenant: TENANT, user: UserId(user), device: DeviceId(1), address: Address { shard: 0, connection } }
}

pub(super) fn group_key() -> ConversationKey {
    ConversationKey { tenant: TENANT, conversation: ConversationId::group(TENANT, UserId(1), 7) }
}

pub(super) fn direct_key() -> ConversationKey {
    ConversationKey { tenant: TENANT, conversation: ConversationId::direct(TENANT, UserId(1), UserId(2)) }
}

pub(super) fn users(ids: &[u64]) -> Vec<UserId> {
    ids.iter().copied().map(UserId).collect()
}

impl Rig {
    pub fn new(shards: u16, pushes: u32, limits: &[(&str, u64)]) -> Rig {
        let mut shared = Shared {
            limits: Limits::default(),
            router: Router::new(0, shards, LaneRoom { pushes, answers: 16 }),
            desk: Desk::default(),
            encoder: Encoder::new(),
            counters: Counters::default(),
            random: ChaCha8Rng::from_seed([7; 32]),
            incarnation: 1,
            cache: Cache::default(),
        };
        limits.iter().for_each(|(name, value)| shared.limits.set(name, *value).unwrap());
        Rig {
            conversations: Conversations::new(shards),
            shared,
            now: Now { mono_ns: 1_000_000_000_000, wall_ms: 1 },
            deliveries: Vec::new(),
            notices: Vec::new(),
            asked: VecDeque::new(),
            images: BTreeMap::new(),
            bare_marks: BTreeSet::new(),
            missing_users: Vec::new(),
            blocks: Vec::new(),
            effects: Effects::new(),
            answers: BTreeMap::new(),
            tickets: 0,
        }
    }

    /// A group of user 1, its admin, and others, durable and announced; what that took is forgotten.
    pub fn with_group(shards: u16, others: &[u64], limits: &[(&str, u64)]) -> Rig {
        let mut rig = Rig::new(shards, 1_000, limits);
        let ticket = rig.create(others);
        rig.settle();
        assert!(matches!(rig.answer(ticket), HomeAnswer::Frame(_)));
        rig.deliveries.clear();
        rig
    }

    pub fn act<T>(&mut self, act: impl FnOnce(&mut Conversations, &mut Turn<'_>) -> T) -> T {
        let mut turn = Turn { now: self.now, effects: &mut self.effects, shared: &mut self.shared };
        let done = act(&mut self.conversations, &mut turn);
        self.collect();
        done
    }

    fn collect(&mut self) {
        let effects: Vec<Effect> = self.effects.drain().collect();
        for effect in effects {
            match effect {
                Effect::Append { ticket, append } => self.asked.push_back((ticket, Asked::Append(append))),
                Effect::Put { ticket, put } => self.asked.push_back((ticket, Asked::Put(put))),
                Effect::Load { ticket, load } => self.asked.push_back((ticket, Asked::Load(load))),
                Effect::Post { shard, entry } => self.take_entry(shard, entry),
                Effect::Answer { answer, .. } => assert_eq!(answer, AdminAnswer::Contacts(ContactsAnswer::Told)),
                _ => unreachable!("conversations have no other effects"),
            }
        }
        while let Some(entry) = self.shared.router.next_local() {
            self.take_entry(0, entry);
        }
    }

    fn take_entry(&mut self, shard: ShardId, entry: Entry) {
        match entry {
            Entry::Answer { ticket, answer } => assert!(self.answers.insert(ticket, answer).is_none()),
            Entry::Deliver(delivery) => self.deliveries.push((shard, delivery)),
            Entry::Notice(notice) => self.notices.push((shard, notice)),
            _ => unreachable!("conversations post nothing else"),
        }
    }

    /// Lets it work, a bounded number of times.
    pub fn work(&mut self) {
        for _ in 0..8 {
            self.act(|conversations, turn| {
                conversations.work(turn);
                conversations.fan_out(turn, 1_000);
            });
        }
    }

    pub fn pass_ms(&mut self, ms: u64) {
        self.now.mono_ns += ms * 1_000_000;
        self.now.wall_ms += ms;
        self.work();
    }

    /// Everything is stored and acknowledged until nothing is left to do at this time.
    pub fn settle(&mut self) {
        let mut acknowledged = 0;
        for _ in 0..100_000 {
            self.work();
            if !self.asked.is_empty() {
                self.store_next();
            } else if acknowledged < self.deliveries.len() {
                self.acknowledge(acknowledged);
                acknowledged += 1;
            } else {
                return;
            }
        }
        panic!("it never ends");
    }

    /// The store reads whatever it is asked to, and writes nothing.
    pub fn settle_loads(&mut self) {
        self.work();
        while let Some(index) = self.asked.iter().position(|(_, asked)| matches!(asked, Asked::Load(_))) {
            let load = self.asked.remove(index).expect("it is there");
            self.asked.push_front(load);
            self.store_next();
            self.work();
        }
    }

    /// The home of a delivery's users has it.
    pub fn acknowledge(&mut self, index: usize) {
        let (shard, delivery) = &self.deliveries[index];
        let (shard, key, round) = (*shard, delivery.key, delivery.round);
        self.act(|conversations, turn| conversations.announced(turn, shard, key, round));
    }

    /// The store does the next thing.
    pub fn store_next(&mut self) {
        let (ticket, asked) = self.asked.pop_front().expect("something was asked");
        let result = match asked {
            Asked::Append(append) => StoreResult::Appended(Ok(self.append(*append))),
            Asked::Put(put) => {
                self.put(*put);
                StoreResult::Put(Ok(PutOutcome::Done))
            }
            Asked::Load(load) => StoreResult::Loaded(Ok(self.load(*load))),
        };
        self.stored(ticket, result);
    }

    pub(super) fn stored(&mut self, ticket: Ticket, result: StoreResult) {
        let purpose = self.shared.desk.take(ticket);
        self.act(|conversations, turn| match (purpose, result) {
            (Purpose::Append(key), StoreResult::Appended(done)) => conversations.appended(turn, key, done.map(drop)),
            (Purpose::Unmark(key), StoreResult::Put(done)) => conversations.unmarked(turn, key, done.map(drop)),
            (Purpose::Receipts(key), StoreResult::Put(done)) => {
                conversations.receipts_stored(turn, key, done.map(drop));
            }
            (Purpose::Checkpoint, _) => {}
            (Purpose::Conversation(key), StoreResult::Loaded(loaded)) => conversations.loaded(turn, key, loaded),
            (Purpose::History(asked), StoreResult::Loaded(loaded)) => history_loaded(turn, &asked, loaded),
            (Purpose::FindSend(key, send), StoreResult::Loaded(loaded)) => {
                conversations.send_found(turn, key, *send, loaded);
            }
            (Purpose::Blocks(key), StoreResult::Loaded(loaded)) => conversations.blocks_loaded(turn, key, loaded),
            (Purpose::Marks, StoreResult::Loaded(loaded)) => conversations.marks_loaded(turn, loaded),
            (Purpose::ChangeMembers(key, reply, request), StoreResult::Loaded(loaded)) => {
                conversations.members_checked(turn, key, reply, *request, loaded);
            }
            other => unreachable!("{other:?}"),
        });
    }

    /// Asks; the answer's ticket.
    pub fn ask(&mut self, request: HomeRequest) -> u32 {
        self.tickets += 1;
        let reply = Reply { shard: 0, ticket: self.tickets };
        self.act(|conversations, turn| conversations.request(turn, reply, request));
        self.tickets
    }

    pub fn create(&mut self, others: &[u64]) -> u32 {
        let (conversation, title, members) = (group_key().conversation, "ships".to_string(), users(others));
        self.ask(HomeRequest::CreateGroup { caller: caller(1), request: 9, conversation, title, members })
    }

    pub fn change(&mut self, by: u64, change: Change, ids: &[u64]) -> u32 {
        let conversation = group_key().conversation;
        let request =
            HomeRequest::ChangeMembers { caller: caller(by), request: 9, conversation, change, users: users(ids) };
        self.ask(request)
    }

    pub fn send(&mut self, key: ConversationKey, by: u64, client_seq: u64) -> u32 {
        let message = OutgoingMessage {
            client_seq,
            message_id: MessageId(by * 1_000 + client_seq),
            kind: 1,
            flags: 0,
            ref_seq: 0,
            mls_epoch: 0,
            refusal: None,
            body: (*b"ahoy").into(),
        };
        let (conversation, messages) = (key.conversation, vec![message]);
        self.ask(HomeRequest::Send { caller: caller(by), request: 9, conversation, messages })
    }

    pub fn open(&mut self, key: ConversationKey, by: u64) -> u32 {
        self.ask(HomeRequest::Open { caller: caller(by), request: 9, conversation: key.conversation, peer: None })
    }

    pub fn history(&mut self, key: ConversationKey, by: u64, from_seq: u64, backward: bool, limit: u16) -> u32 {
        let (caller, conversation) = (caller(by), key.conversation);
        self.ask(HomeRequest::History { caller, request: 9, conversation, from_seq, backward, limit })
    }

    pub fn receipt(&mut self, key: ConversationKey, user: u64, device: u32, delivered_seq: u64, read_seq: u64) {
        let receipt = DeviceReceipt { user: UserId(user), device: DeviceId(device), delivered_seq, read_seq };
        self.act(|conversations, turn| conversations.receipt(turn, key, receipt));
    }

    pub fn is_answered(&self, ticket: u32) -> bool {
        self.answers.contains_key(&ticket)
    }

    pub fn answer(&mut self, ticket: u32) -> HomeAnswer {
        self.answers.remove(&ticket).expect("it is answered")
    }

    pub fn refusal(&mut self, ticket: u32) -> ErrorCode {
        match self.answer(ticket) {
            HomeAnswer::Refused(code, _) => code,
            answer => panic!("not refused: {answer:?}"),
        }
    }

    fn frame(&mut self, ticket: u32) -> Vec<u8> {
        match self.answer(ticket) {
            HomeAnswer::Frame(frame) => frame,
            answer => panic!("no frame: {answer:?}"),
        }
    }

    /// (seqs accepted, refusal).
    pub fn ack(&mut self, ticket: u32) -> (Vec<u64>, Option<ErrorCode>) {
        ack_of(&self.frame(ticket))
    }

    /// (role, joined_seq, left_seq, last_seq, members).
    pub fn opened(&mut self, ticket: u32) -> (u8, u64, u64, u64, u32) {
        let frame = self.frame(ticket);
        let Ok((9, Answer::Opened(o))) = decode_answer(payload(&frame)) else { panic!("not opened") };
        (o.role(), o.joined_seq(), o.left_seq(), o.last_seq(), o.members())
    }

    /// The seq of a change of members.
    pub fn changed(&mut self, ticket: u32) -> u64 {
        let frame = self.frame(ticket);
        let Ok((9, Answer::MembersChanged(changed))) = decode_answer(payload(&frame)) else { panic!("not changed") };
        changed.seq()
    }

    /// (seqs, more, last_seq).
    pub fn page(&mut self, ticket: u32) -> (Vec<u64>, bool, u64) {
        let frame = self.frame(ticket);
        let Ok((9, Answer::HistoryPage(page))) = decode_answer(payload(&frame)) else { panic!("no page") };
        let seqs = page.messages().into_iter().flatten().map(|message| message.seq()).collect();
        (seqs, page.more(), page.last_seq())
    }

    /// (delivered_seq of the device, read_seq of the user), as Opened says them.
    pub fn watermarks(&mut self, key: ConversationKey, by: u64) -> (u64, u64) {
        let ticket = self.open(key, by);
        let frame = self.frame(ticket);
        let Ok((9, Answer::Opened(o))) = decode_answer(payload(&frame)) else { panic!("not opened") };
        (o.delivered_seq(), o.read_seq())
    }

    /// The appends that are with the store.
    pub fn appends(&self) -> Vec<&Append> {
        let append = |(_, asked): &'_ (Ticket, Asked)| matches!(asked, Asked::Append(_));
        let appends = self.asked.iter().filter(|asked| append(asked));
        appends
            .filter_map(|(_, asked)| if let Asked::Append(append) = asked { Some(&**append) } else { None })
            .collect()
    }

    /// A user opens a 1:1 with another; its key.
    pub fn open_direct(&mut self, by: u64, peer: u64) -> ConversationKey {
        let conversation = ConversationId::direct(TENANT, UserId(by), UserId(peer));
        self.ask(HomeRequest::Open { caller: caller(by), request: 9, conversation, peer: Some(UserId(peer)) });
        ConversationKey { tenant: TENANT, conversation }
    }

    /// Whether the next thing asked of the store is the delete of a mark.
    pub fn is_unmark_next(&self) -> bool {
        matches!(self.asked.front(), Some((_, Asked::Put(put))) if matches!(**put, Put::Unmark { .. }))
    }

    /// (user, seq) of everything delivered to users, in order, with or without a frame.
    pub fn delivered(&self, with_frame: bool) -> Vec<(u64, u64)> {
        let deliveries = self.deliveries.iter().filter(|(_, delivery)| delivery.frame.is_some() == with_frame);
        let mut delivered: Vec<_> =
            deliveries.flat_map(|(_, delivery)| delivery.users.iter().map(|user| (user.0, delivery.seq))).collect();
        delivered.sort_by_key(|&(user, seq)| (seq, user));
        delivered
    }
}

/// (seqs accepted, refusal) of an ack.
pub(super) fn ack_of(frame: &[u8]) -> (Vec<u64>, Option<ErrorCode>) {
    let Ok((9, Answer::Ack(ack))) = decode_answer(payload(frame)) else { panic!("no ack") };
    let accepted = ack.accepted().into_iter().flatten().map(|accepted| accepted.seq()).collect();
    (accepted, ErrorCode::from_number(ack.refusal()))
}

/// What is in a server's frame.
pub(super) fn payload(frame: &[u8]) -> &[u8] {
    match frame[1] {
        0..126 => &frame[2..],
        126 => &frame[4..],
        _ => &frame[10..],
    }
}
