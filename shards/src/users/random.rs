//! Whatever happens, a client that follows the rules knows in the end what its list says, no number is given twice, and
//! nothing is acknowledged before the lists have it.
//!
//! Random worlds of three users with one client each and four conversations: appends, watermarks, slow lanes, stores that
//! answer in any order, fail, or do and say nothing, connections that lag or end, evictions, and crashes after which marks
//! announce again; then the faults end. The rules of the client are those of PROTOCOL.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use trunkline_wire::ids::ConversationId;
use trunkline_wire::message::{Answer, decode_answer};

use super::Users;
use super::rig::{Asked, Rig, Row, Synced, conversation, envelopes, user};
use crate::desk::Desk;
use crate::entry::{Entry, HomeAnswer, HomeRequest};
use crate::limits::Limits;
use crate::router::{LaneRoom, Router};
use crate::store::StoreFault;

const USERS: usize = 3;
const CONVERSATIONS: usize = 4;

/// A device, and the front of its connection.
#[derive(Default)]
struct Client {
    connection: Option<u32>,
    /// From the front to the home.
    to_home: VecDeque<Entry>,
    /// From the front to the device: whole frames.
    inbox: VecDeque<Vec<u8>>,
    lagging: bool,
    told_drained: bool,
    position: u64,
    known: BTreeMap<ConversationId, u64>,
    /// The highest position heard of.
    top: u64,
    /// It has to sync: it is new, or was refused.
    must_sync: bool,
    /// A sync is under way; with what its first page brings.
    syncing: bool,
    adopt: Option<u64>,
}

impl Client {
    fn learn(&mut self, conversation: ConversationId, seq: u64) {
        let known = self.known.entry(conversation).or_default();
        *known = (*known).max(seq);
    }

    fn knows(&self, conversation: ConversationId, seq: u64) -> bool {
        self.known.get(&conversation).copied().unwrap_or_default() >= seq
    }
}

/// A conversation, as far as its home is concerned.
#[derive(Default)]
struct Log {
    last_seq: u64,
    mark: bool,
    /// What is delivered and not acknowledged.
    need: u64,
}

struct World {
    rig: Rig,
    random: ChaCha8Rng,
    logs: Vec<Log>,
    clients: Vec<Client>,
    connections: u32,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let limits = Limits {
            list_rows_max: 1 + random.next_u64() % 3,
            outbox_bytes_max: 250,
            cache_bytes_max: if random.next_u64().is_multiple_of(2) { 1 } else { 1 << 20 },
            puts_max: 1 + random.next_u64() % 4,
            ..Limits::default()
        };
        let mut rig = Rig::new(limits, 2, 1);
        rig.store.rows_max = (random.next_u64() % 2) as usize;
        World {
            rig,
            random,
            logs: (0..CONVERSATIONS).map(|_| Log::default()).collect(),
            clients: (0..USERS).map(|_| Client::default()).collect(),
            connections: 0,
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.random.next_u64() % bound as u64) as usize
    }

    fn announce(&mut self, n: usize, has_frame: bool) {
        let users: Vec<_> = (0..USERS).map(user).collect();
        let seq = self.logs[n].last_seq;
        self.logs[n].need = seq;
        if has_frame {
            self.rig.deliver(n, seq, &users, None);
        } else {
            self.rig.deliver_to(conversation(n), seq, &users, Some((1, u64::MAX)), None);
        }
    }

    fn append(&mut self) {
        let n = self.below(CONVERSATIONS);
        self.logs[n].last_seq += 1;
        self.logs[n].mark = true;
        self.announce(n, true);
    }

    fn read(&mut self) {
        let (n, u) = (self.below(CONVERSATIONS), self.below(USERS));
        let read_seq = self.logs[n].last_seq;
        self.rig.read(n, user(u), read_seq);
    }

    /// The store answers something, late or wrongly.
    fn store(&mut self, has_faults: bool) {
        if self.rig.asked.is_empty() {
            return;
        }
        let index = self.below(self.rig.asked.len());
        let fault = match self.below(8) {
            0 if has_faults => Some(StoreFault::Full),
            1 if has_faults => {
                if let Asked::Put(put) = &self.rig.asked[index].1 {
                    self.rig.store.put(put);
                }
                Some(StoreFault::Unknown)
            }
            _ => None,
        };
        self.rig.answer(index, fault);
    }

    /// What the home has posted arrives.
    fn arrive(&mut self) {
        for entry in core::mem::take(&mut self.rig.posted) {
            match entry {
                Entry::Announced { key, round } => self.acknowledged(key.conversation, round),
                Entry::Push { connection, frame } => {
                    if let Some(client) = self.connected(connection.slot)
                        && !client.lagging
                    {
                        client.inbox.push_back(frame.to_vec());
                    }
                }
                Entry::Resume { connection, frame } => {
                    if let Some(client) = self.connected(connection.slot) {
                        assert!(client.lagging && client.told_drained, "only who has drained is resumed");
                        client.lagging = false;
                        client.inbox.push_back(frame.to_vec());
                    }
                }
                Entry::Answer { ticket, answer: HomeAnswer::Frame(frame) } => {
                    if let Some(client) = self.connected(ticket) {
                        client.inbox.push_back(frame);
                    }
                }
                Entry::Answer { ticket, answer: HomeAnswer::Refused(..) } => {
                    if let Some(client) = self.connected(ticket) {
                        (client.must_sync, client.syncing, client.adopt) = (true, false, None);
                    }
                }
                Entry::Answer { answer: HomeAnswer::SessionStarted(_), .. } => {}
                other => panic!("a home of users does not post {other:?}"),
            }
        }
    }

    fn connected(&mut self, connection: u32) -> Option<&mut Client> {
        self.clients.iter_mut().find(|client| client.connection == Some(connection))
    }

    fn acknowledged(&mut self, id: ConversationId, seq: u64) {
        for u in 0..USERS {
            let row = self.rig.store.rows.get(&(user(u), id));
            assert!(row.is_some_and(|row| row.last_seq >= seq), "acknowledged before it is stored");
        }
        let n = (0..CONVERSATIONS).find(|&n| conversation(n) == id).expect("one of ours");
        let log = &mut self.logs[n];
        if seq >= log.need {
            log.mark = false;
        }
    }

    fn connect(&mut self, u: usize) {
        if self.clients[u].connection.is_some() {
            return;
        }
        self.connections += 1;
        let connection = self.connections;
        (self.clients[u].connection, self.clients[u].must_sync) = (Some(connection), true);
        self.rig.request(0, HomeRequest::StartSession { caller: Rig::caller(user(u), connection), issued_s: 0 });
    }

    fn cut(&mut self, u: usize) {
        if let Some(connection) = self.clients[u].connection {
            self.rig.turn(|users, turn| users.session_ended(turn, user(u), Rig::address(connection)));
            self.lose(u);
        }
    }

    /// What a client has not stored is gone with its connection: nothing of what it knows.
    fn lose(&mut self, u: usize) {
        let client = &mut self.clients[u];
        let (known, position) = (core::mem::take(&mut client.known), client.position);
        *client = Client { known, position, ..Client::default() };
    }

    /// The front notices that a connection lags, or that it has drained.
    fn lag(&mut self, u: usize, may_lag: bool) {
        let client = &mut self.clients[u];
        let Some(connection) = client.connection else { return };
        let (key, address) = (user(u), Rig::address(connection));
        if client.lagging && client.inbox.is_empty() && !client.told_drained {
            client.told_drained = true;
            client.to_home.push_back(Entry::SessionDrained { key, address });
        } else if may_lag && !client.lagging {
            (client.lagging, client.told_drained) = (true, false);
            client.to_home.push_back(Entry::SessionLags { key, address });
        }
    }

    fn home_hears(&mut self, u: usize) {
        match self.clients[u].to_home.pop_front() {
            Some(Entry::SessionLags { key, address }) => {
                self.rig.turn(|users, turn| users.session_lags(turn, key, address));
            }
            Some(Entry::SessionDrained { key, address }) => {
                self.rig.turn(|users, turn| users.session_drained(turn, key, address));
            }
            Some(Entry::Request { ticket, request }) => self.rig.request(ticket, *request),
            Some(other) => panic!("a front does not post {other:?}"),
            None => {}
        }
    }

    fn client_reads(&mut self, u: usize) {
        let Some(frame) = self.clients[u].inbox.pop_front() else { return };
        for envelope in envelopes(&frame) {
            let client = &mut self.clients[u];
            match decode_answer(envelope).expect("an envelope").1 {
                Answer::Message(message) => {
                    let id = ConversationId(message.conversation().expect("a message names it").0);
                    client.learn(id, message.seq());
                }
                Answer::Advanced(advanced) => {
                    client.top = client.top.max(advanced.to());
                    let mut places = advanced.conversations().into_iter().flatten();
                    let is_known = places.all(|p| client.knows(ConversationId(p.conversation().0), p.last_seq()));
                    if !client.syncing && !client.must_sync && advanced.from() <= client.position && is_known {
                        client.position = client.position.max(advanced.to());
                    } else if !client.syncing && !client.must_sync {
                        self.client_asks(u, 0);
                    }
                }
                Answer::Synced(synced) => self.client_synced(u, &Synced::of(&synced)),
                Answer::Receipts(_) => {}
                other => panic!("nobody sends {other:?}"),
            }
        }
    }

    fn client_asks(&mut self, u: usize, below: u64) {
        let client = &mut self.clients[u];
        let Some(connection) = client.connection else { return };
        (client.must_sync, client.syncing) = (false, true);
        let caller = Rig::caller(user(u), connection);
        let position = Some(client.position);
        let request = HomeRequest::Sync { caller, request: connection, position, below, limit: 2 };
        client.to_home.push_back(Entry::Request { ticket: connection, request: request.into() });
    }

    fn client_synced(&mut self, u: usize, synced: &Synced) {
        let client = &mut self.clients[u];
        assert!(!synced.resync && synced.from == client.position, "positions of this world mean something");
        let to = *client.adopt.get_or_insert(synced.to);
        synced.rows.iter().for_each(|row| client.learn(row.conversation, row.last_seq));
        if synced.more {
            let lowest = synced.rows.last().map(|row: &Row| row.user_seq);
            return self.client_asks(u, lowest.expect("a page with more behind it has rows"));
        }
        (client.position, client.syncing, client.adopt) = (client.position.max(to), false, None);
        if client.top > client.position {
            self.client_asks(u, 0);
        }
    }

    /// The process ends and starts again: what is not in the store is gone, and marks announce again.
    fn crash(&mut self) {
        for index in 0..self.rig.asked.len() {
            if self.below(2) == 0
                && let Asked::Put(put) = &self.rig.asked[index].1
            {
                self.rig.store.put(put);
            }
        }
        self.rig.asked.clear();
        self.rig.posted.clear();
        self.rig.uncredited = 0;
        self.rig.users = Users::new(2);
        self.rig.shared.desk = Desk::default();
        self.rig.shared.cache = crate::cache::Cache::default();
        self.rig.shared.router = Router::new(0, 2, LaneRoom { pushes: 2, answers: 64 });
        (0..USERS).for_each(|u| self.lose(u));
        for n in 0..CONVERSATIONS {
            if self.logs[n].mark {
                self.announce(n, false);
            }
        }
    }

    fn step(&mut self, has_faults: bool) {
        let u = self.below(USERS);
        match self.below(if has_faults { 18 } else { 10 }) {
            0 | 1 => self.store(has_faults),
            2 => self.arrive(),
            3 => drop(self.rig.credit()),
            4 => self.home_hears(u),
            5 => self.client_reads(u),
            6 => {
                let ms = self.below(400) as u64;
                self.rig.pass(ms);
            }
            7 if !has_faults || self.below(3) == 0 => self.connect(u),
            8 if self.clients[u].must_sync && !self.clients[u].syncing => self.client_asks(u, 0),
            8 | 9 => self.lag(u, false),
            10..=13 => self.append(),
            14 => self.read(),
            15 => self.lag(u, true),
            16 => self.cut(u),
            17 if self.below(10) == 0 => self.crash(),
            _ => {}
        }
    }

    fn is_settled(&self) -> bool {
        let clients = self.clients.iter();
        let quiet = |client: &Client| {
            let asks = client.syncing || client.must_sync;
            client.inbox.is_empty() && client.to_home.is_empty() && !client.lagging && !asks
        };
        self.rig.asked.is_empty()
            && self.rig.posted.is_empty()
            && self.rig.uncredited == 0
            && self.rig.users.next_deadline().is_none()
            && clients.clone().all(|client| client.connection.is_some() && quiet(client))
            && self.logs.iter().all(|log| !log.mark)
    }
}

#[test]
fn clients_know_their_lists_in_the_end() {
    let mut totals = [0; 6];
    for seed in 0..600 {
        let mut world = World::new(seed);
        let steps = 20 + world.below(1_500);
        (0..steps).for_each(|_| world.step(true));
        let settled = (0..60_000).any(|_| {
            world.step(false);
            world.is_settled()
        });
        assert!(settled, "seed {seed}: it does not come to rest");
        for (u, n) in (0..USERS).flat_map(|u| (0..CONVERSATIONS).map(move |n| (u, n))) {
            let last_seq = world.logs[n].last_seq;
            let client = &world.clients[u];
            assert!(client.knows(conversation(n), last_seq), "seed {seed}: user {u} misses {last_seq} of {n}");
        }
        let counters = &world.rig.shared.counters;
        let of_this = [
            counters.users_evicted,
            counters.syncs_from_memory,
            counters.syncs_from_store,
            counters.sessions_lagged,
            counters.frames_dropped,
            counters.list_rows_stored,
        ];
        totals.iter_mut().zip(of_this).for_each(|(total, count)| *total += count);
    }
    assert!(totals.iter().all(|&total| total > 50), "every way was gone: {totals:?}");
}
