//! The product's core: one shard, all its roles behind one `apply`.

use alloc::boxed::Box;
use alloc::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use trunkline_wire::message::Encoder;
use trunkline_wire::token::TokenKeys;

use crate::accounts::Accounts;
use crate::archive;
use crate::cache::Cache;
use crate::contacts::ContactsRequest;
use crate::contract::{AdminAnswer, AdminRequest, Bytes, Core, Effect, Effects, Event, Now, ShardId, Ticket};
use crate::conversations::{self, Conversations};
use crate::counters::Counters;
use crate::desk::{Desk, Purpose};
use crate::directory;
use crate::entry::Entry;
use crate::front::{Doorstep, Front};
use crate::limits::Limits;
use crate::router::{LaneRoom, Reply, Router};
use crate::store::{Loaded, Revocation, StoreFault, StoreResult};
use crate::turn::{Shared, Turn};
use crate::users::{self, Users};

/// What a shard is told when it is made.
#[derive(Clone)]
pub struct ShardConfig {
    /// Its number.
    pub shard: ShardId,
    /// How many there are.
    pub shards: u16,
    /// The keys that tokens are checked with.
    pub keys: TokenKeys,
    /// The limits in force.
    pub limits: Limits,
    /// Room of each of its lanes.
    pub room: LaneRoom,
    /// Seed of its random numbers; secret in production.
    pub seed: [u8; 32],
    /// The store's incarnation: the lowest epoch of new messages.
    pub incarnation: u64,
    /// What was revoked before, of whatever users.
    pub revocations: Arc<[Revocation]>,
    /// Of its connections.
    pub doorstep: Doorstep,
    /// The time now.
    pub now: Now,
}

/// How far a drain is.
enum Drain {
    No,
    /// Everything is cut at this time (monotonic ns).
    Until(u64),
    /// Everything was cut.
    Cut,
    Done,
}

/// One shard.
pub struct Shard {
    shared: Shared,
    front: Front,
    users: Users,
    conversations: Conversations,
    accounts: Accounts,
    drain: Drain,
}

impl Shard {
    /// A shard without connections; it takes up users and conversations when they are asked for.
    pub fn new(config: ShardConfig) -> Shard {
        let router = Router::new(config.shard, config.shards, config.room);
        let mut users = Users::new(config.shards);
        let own = |revocation: &&Revocation| router.home_of_user(revocation.key) == config.shard;
        users.take_revocations(config.revocations.iter().filter(own).copied(), config.now.wall_ms / 1_000);
        Shard {
            front: Front::new(config.keys, config.shards, config.doorstep, config.now.mono_ns),
            users,
            conversations: Conversations::new(config.shards),
            accounts: Accounts::new(),
            drain: Drain::No,
            shared: Shared {
                limits: config.limits,
                router,
                desk: Desk::default(),
                encoder: Encoder::new(),
                counters: Counters::default(),
                random: ChaCha8Rng::from_seed(config.seed),
                incarnation: config.incarnation,
                cache: Cache::default(),
            },
        }
    }

    /// What it has counted so far.
    pub fn counters(&self) -> Counters {
        let mut counters = self.shared.counters.clone();
        counters.connections_open = self.front.open();
        counters.frames_queued = self.front.queued();
        counters.sessions_open = self.users.sessions_open();
        counters.entries_posted = self.shared.router.posted;
        counters.conversations_cached = self.conversations.cached();
        counters.users_cached = self.users.cached();
        counters.cache_bytes = self.shared.cache.bytes();
        counters
    }

    /// The roles, and a turn for them.
    fn split<'a>(
        &'a mut self,
        now: Now,
        effects: &'a mut Effects,
    ) -> (&'a mut Front, &'a mut Users, &'a mut Conversations, &'a mut Accounts, Turn<'a>) {
        let Shard { shared, front, users, conversations, accounts, .. } = self;
        (front, users, conversations, accounts, Turn { now, effects, shared })
    }

    fn take_entry(&mut self, now: Now, from: ShardId, entry: Entry, effects: &mut Effects) {
        let (front, users, conversations, _, mut turn) = self.split(now, effects);
        match entry {
            Entry::Request { ticket, request } => {
                let reply = Reply::Shard { shard: from, ticket };
                match request.conversation_key() {
                    Some(_) => conversations.request(&mut turn, reply, *request),
                    None => users.request(&mut turn, reply, *request),
                }
            }
            Entry::Answer { ticket, answer } => front.answered(&mut turn, from, ticket, answer),
            Entry::Deliver(delivery) => users.deliver(&mut turn, delivery),
            Entry::Announced { key, round } => conversations.announced(&mut turn, from, key, round),
            Entry::Notice(notice) => users.notice(&mut turn, notice),
            Entry::Receipt { key, receipt } => conversations.receipt(&mut turn, key, receipt),
            Entry::SessionLags { key, address } => users.session_lags(&mut turn, key, address),
            Entry::SessionDrained { key, address } => users.session_drained(&mut turn, key, address),
            Entry::Resume { connection, frame } => front.resume(&mut turn, connection, frame),
            Entry::Push { connection, frame } => front.push(&mut turn, connection, Bytes::Shared(frame)),
            Entry::SessionEnded { key, address } => users.session_ended(&mut turn, key, address),
            Entry::EndSession { connection, violation } => front.violate(&mut turn, connection, violation),
        }
    }

    fn take_stored(&mut self, now: Now, ticket: Ticket, result: StoreResult, effects: &mut Effects) {
        let purpose = self.shared.desk.take(ticket);
        let (_, users, conversations, accounts, mut turn) = self.split(now, effects);
        match (purpose, result) {
            (Purpose::Append(key), StoreResult::Appended(done)) => {
                conversations.appended(&mut turn, key, done.map(drop));
            }
            (Purpose::Revocation(ticket, revocation), StoreResult::Put(done)) => {
                users.revocation_stored(&mut turn, ticket, revocation, done);
            }
            (Purpose::Account(ticket, step), result) => accounts.stored(&mut turn, ticket, step, result),
            (Purpose::Contact(ticket, step), result) => accounts.contacts.stored(&mut turn, ticket, step, result),
            (Purpose::Archive(ticket, step), result) => archive::stored(&mut turn, ticket, step, result),
            (Purpose::Checkpoint, _) => {}
            (Purpose::Unmark(key), StoreResult::Put(done)) => conversations.unmarked(&mut turn, key, done.map(drop)),
            (Purpose::Receipts(key), StoreResult::Put(done)) => {
                conversations.receipts_stored(&mut turn, key, done.map(drop));
            }
            (Purpose::Ceiling(key, ceiling), StoreResult::Put(done)) => {
                users.ceiling_stored(&mut turn, key, ceiling, done.map(drop));
            }
            (Purpose::List(number), StoreResult::Put(done)) => users.list_stored(&mut turn, number, done.map(drop)),
            (Purpose::Position(reply, request), StoreResult::Put(done)) => {
                users::position_stored(&mut turn, reply, request, done.map(drop));
            }
            (purpose, StoreResult::Loaded(loaded)) => take_loaded(&mut turn, users, conversations, purpose, loaded),
            _ => unreachable!("the store answers what it was asked"),
        }
    }

    fn begin_drain(&mut self, now: Now, effects: &mut Effects) {
        if let Drain::No = self.drain {
            self.drain = Drain::Until(now.mono_ns + self.shared.limits.drain_ms * 1_000_000);
            let (front, users, _, _, mut turn) = self.split(now, effects);
            users.drain();
            front.drain(&mut turn);
        }
    }

    fn go_on_draining(&mut self, now: Now, effects: &mut Effects) {
        if let Drain::No | Drain::Done = self.drain {
            return;
        }
        if let Drain::Until(deadline) = self.drain
            && now.mono_ns >= deadline
        {
            self.drain = Drain::Cut;
            let (front, _, _, _, mut turn) = self.split(now, effects);
            front.hang_up_all(&mut turn);
        }
        let idle =
            self.front.open() == 0 && self.shared.desk.writes_outstanding() == 0 && !self.conversations.has_repeats();
        if idle {
            self.drain = Drain::Done;
            effects.push(Effect::Drained);
        }
    }

    /// Entries to oneself, until there is none.
    fn take_local(&mut self, now: Now, effects: &mut Effects) {
        while let Some(entry) = self.shared.router.next_local() {
            self.take_entry(now, self.shared.router.own(), entry, effects);
        }
    }
}

fn take_loaded(
    turn: &mut Turn<'_>,
    users: &mut Users,
    conversations: &mut Conversations,
    purpose: Purpose,
    loaded: Result<Loaded, StoreFault>,
) {
    match purpose {
        Purpose::Conversation(key) => conversations.loaded(turn, key, loaded),
        Purpose::History(asked) => conversations::history_loaded(turn, asked, loaded),
        Purpose::Names(asked, rows, more) => conversations::names_loaded(turn, &asked, &rows, more, loaded),
        Purpose::FindSend(key, send) => conversations.send_found(turn, key, *send, loaded),
        Purpose::CheckUser(reply) => users::user_checked(turn, reply, loaded),
        Purpose::Resolve(reply, request) => users::handle_resolved(turn, reply, request, loaded),
        Purpose::Marks => conversations.marks_loaded(turn, loaded),
        Purpose::ChangeMembers(key, reply, request) => {
            conversations.members_checked(turn, key, reply, *request, loaded);
        }
        Purpose::Sync(asked) => users.sync_loaded(turn, *asked, loaded),
        Purpose::StoredPosition(reply, request) => users.stored_position(turn, reply, *request, loaded),
        Purpose::User(key) => users.loaded(turn, key, loaded),
        Purpose::Directory(ticket) => directory::loaded(turn, ticket, loaded),
        Purpose::Blocks(key) => conversations.blocks_loaded(turn, key, loaded),
        Purpose::Append(_)
        | Purpose::Checkpoint
        | Purpose::Unmark(_)
        | Purpose::Receipts(_)
        | Purpose::Ceiling(..)
        | Purpose::List(_)
        | Purpose::Position(..)
        | Purpose::Revocation(..)
        | Purpose::Contact(..)
        | Purpose::Archive(..)
        | Purpose::Account(..) => unreachable!("these are not answered by a read"),
    }
}

impl Core for Shard {
    fn apply(&mut self, now: Now, event: Event<'_>, effects: &mut Effects) {
        let (front, users, conversations, accounts, mut turn) = self.split(now, effects);
        match event {
            Event::Accepted { connection, peer } => front.accepted(&mut turn, connection, peer),
            Event::Returned { connection, peer } => front.returned(&mut turn, connection, peer),
            Event::Received { connection, bytes } => front.received(&mut turn, connection, bytes),
            Event::Sent { connection, complete, buffer } => front.sent(&mut turn, connection, complete, buffer),
            Event::Ended { connection } => front.ended(&mut turn, connection),
            Event::Closed { connection } => front.closed(connection),
            Event::Posted { from, entry } => self.take_entry(now, from, entry, effects),
            Event::Credit { shard, entries } => {
                turn.shared.router.credit(shard, entries);
                front.unblock(&mut turn, shard);
                users.unblock(&mut turn, shard);
                conversations.unblock(shard);
            }
            Event::Stored { ticket, result } => self.take_stored(now, ticket, result, effects),
            Event::Admin { ticket, request: AdminRequest::Counters } => {
                let counters = Box::new(self.counters());
                effects.push(Effect::Answer { ticket, answer: AdminAnswer::Counters(counters) });
            }
            Event::Admin { ticket, request: AdminRequest::Revoke(revocation) } => {
                users.revoke(&mut turn, ticket, revocation);
            }
            Event::Admin { ticket, request: AdminRequest::IsRevoked { key, device, issued_s } } => {
                let answer = AdminAnswer::IsRevoked(users.is_revoked(key, device, issued_s));
                effects.push(Effect::Answer { ticket, answer });
            }
            Event::Admin { ticket, request: AdminRequest::Contacts(ContactsRequest::Tell { key, block }) } => {
                conversations.tell_block(&mut turn, ticket, key, block);
            }
            Event::Admin { ticket, request: AdminRequest::Archive(request) } => {
                archive::request(&mut turn, conversations, ticket, *request);
            }
            Event::Admin { ticket, request } => accounts.request(&mut turn, ticket, request),
            Event::Drain => self.begin_drain(now, effects),
        }
        self.take_local(now, effects);
    }

    fn work(&mut self, now: Now, budget: u32, effects: &mut Effects) -> bool {
        let (front, users, conversations, _, mut turn) = self.split(now, effects);
        let timers_left = front.expire(&mut turn);
        let conversations_left = conversations.work(&mut turn);
        // Entries to oneself need no credit: what users here still wait for counts as handed on in this turn.
        let left = conversations.fan_out(&mut turn, budget.saturating_sub(users.own_waiting()));
        self.take_local(now, effects);
        let (_, users, _, _, mut turn) = self.split(now, effects);
        let users_left = users.work(&mut turn);
        self.take_local(now, effects);
        let (front, _, _, _, mut turn) = self.split(now, effects);
        front.flush(&mut turn);
        self.go_on_draining(now, effects);
        timers_left
            || conversations_left
            || users_left
            || self.users.is_handing_out()
            || left == 0
            || self.front.is_dirty()
    }

    fn next_deadline(&self) -> Option<u64> {
        let drain = match self.drain {
            Drain::Until(deadline) => Some(deadline),
            Drain::No | Drain::Cut | Drain::Done => None,
        };
        let roles = [self.front.next_deadline(), self.users.next_deadline(), self.conversations.next_deadline()];
        roles.into_iter().chain([drain]).flatten().min()
    }
}
