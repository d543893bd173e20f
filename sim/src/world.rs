//! One simulated world: a server process, client processes, a network, a store, two clocks, and a die that decides what
//! happens next.

use std::collections::BTreeMap;
use std::hash::Hasher;

use trunkline_client::core::ClientEvent;
use trunkline_shards::contract::{AdminRequest, PeerAddress, Ticket};
use trunkline_shards::counters::Counters;
use trunkline_shards::store::{Load, Loaded, Put, Row, UserKey, UserRow};
use trunkline_shards::{Event, Now, ShardId};
use trunkline_wire::ids::{ConversationId, DeviceId, TenantId, UserId};
use trunkline_wire::message::ErrorCode;
use trunkline_wire::token::{Claims, Scopes, TokenKey, TokenKeys};

use crate::network::{Link, LinkId};
use crate::options::{Dice, Faults, Options};
use crate::oracle::Oracle;
use crate::person::{Person, Wish};
use crate::process::{Outcome, Process};
use crate::store::Store;

const TENANT: TenantId = TenantId(0);
const WALL_START_MS: u64 = 1_700_000_000_000;
/// Simulated time and steps within which everything has come to rest once the faults have ended.
const REST_NS: u64 = 240 * 1_000_000_000;
const REST_STEPS: usize = 2_000_000;
/// Commands of a client process without an answer.
const COMMANDS_MAX: usize = 4;

/// What a run came to.
#[derive(Clone, Default)]
pub struct Report {
    pub seed: u64,
    /// Events the shards took.
    pub events: u64,
    /// Hash over all of them.
    pub digest: u64,
    /// What broke, if something did.
    pub violation: Option<String>,
    /// How often what happened.
    pub marks: BTreeMap<&'static str, u64>,
}

/// A world.
pub struct World {
    seed: u64,
    options: Options,
    dice: Dice,
    trace: bool,
    mono_ns: u64,
    wall_offset_ms: u64,
    keys: TokenKeys,
    store: Store,
    process: Option<Process>,
    draining: bool,
    persons: Vec<Person>,
    links: BTreeMap<LinkId, Link>,
    next_link: LinkId,
    lives: usize,
    oracle: Oracle,
    conversations: Vec<(ConversationId, [UserId; 2])>,
    texts_left: usize,
    faults: Faults,
    healed: bool,
    report: Report,
    violation: Option<String>,
}

impl World {
    /// A world as its options say.
    pub fn new(seed: u64, options: Options, trace: bool) -> World {
        let keys = TokenKeys::new(vec![TokenKey { id: 1, secret: [7; 32] }]).expect("one key");
        let mut world = World {
            seed,
            dice: Dice::new(seed, 2),
            trace,
            mono_ns: 1_000_000_000,
            wall_offset_ms: 0,
            store: Store::new(options.profile, options.faults.unknown_percent),
            process: None,
            draining: false,
            persons: Vec::new(),
            links: BTreeMap::new(),
            next_link: 0,
            lives: 0,
            oracle: Oracle::default(),
            conversations: Vec::new(),
            texts_left: options.texts,
            faults: options.faults,
            healed: false,
            report: Report { seed, ..Report::default() },
            violation: None,
            keys,
            options,
        };
        world.populate();
        world.start_process();
        world
    }

    fn populate(&mut self) {
        let users: Vec<UserId> = (1..=self.options.users as u64).map(|n| UserId(n * 0x1111)).collect();
        for (index, &user) in users.iter().enumerate() {
            let row = UserRow { handle: format!("user{index}"), created_ms: 0, devices: 3 };
            self.store.write_now(Put::User { key: UserKey { tenant: TENANT, user }, row });
            let tabs = self.options.tabs.min(self.options.limits.sessions_per_device_max as usize);
            for number in 0..self.options.persons_per_user {
                let device = DeviceId(1 + (number / tabs) as u32);
                let claims = Claims {
                    tenant: TENANT,
                    user,
                    device,
                    scopes: Scopes::USER,
                    issued_s: 0,
                    expires_s: WALL_START_MS / 1_000 + 1_000_000_000,
                };
                self.lives += 1;
                let dice = Dice::new(self.seed, 100 + self.persons.len() as u8);
                self.persons.push(Person::new(user, self.keys.sign(&claims), self.lives, dice));
            }
            for &other in &users[index..] {
                let id = ConversationId::direct(TENANT, user, other);
                self.oracle.add_conversation(id, &[user, other]);
                self.conversations.push((id, [user, other]));
            }
        }
    }

    /// Runs to the end.
    pub fn run(mut self) -> Report {
        for _ in 0..self.options.steps {
            self.step();
            if self.violation.is_some() {
                return self.finish();
            }
        }
        self.heal();
        let deadline = self.mono_ns + REST_NS;
        for steps in 0.. {
            if self.violation.is_some() || self.is_at_rest() {
                break;
            }
            if steps == REST_STEPS || self.mono_ns > deadline {
                self.violation = Some(format!("REL-23: no rest after the faults ended: {}", self.unrest()));
                break;
            }
            self.step();
        }
        if self.violation.is_none() {
            self.violation = self.check_logs().err();
        }
        self.finish()
    }

    fn finish(mut self) -> Report {
        self.end_process();
        let sent = self.oracle.count_sent();
        self.mark_many("texts_sent", sent);
        self.report.violation = self.violation.take();
        self.report
    }

    // ---- time

    fn now(&self) -> Now {
        Now { mono_ns: self.mono_ns, wall_ms: WALL_START_MS + self.wall_offset_ms + self.mono_ns / 1_000_000 }
    }

    fn now_ms(&self) -> u64 {
        self.mono_ns / 1_000_000
    }

    /// On to the next time at which somebody wants to act.
    fn advance(&mut self) {
        let of_clients = self.persons.iter().filter_map(|person| person.next_deadline_ms()).min();
        let of_shards = self.process.as_ref().and_then(Process::next_deadline);
        let of_stalls = self.links.values().map(|link| link.stalled_until_ns).filter(|&at| at > self.mono_ns).min();
        let next = [of_clients.map(|ms| ms * 1_000_000), of_shards, of_stalls].into_iter().flatten().min();
        let next = next.unwrap_or(self.mono_ns + 1_000_000_000);
        self.mono_ns = next.max(self.mono_ns + 1_000);
        for shard in self.process.iter_mut().flat_map(|process| &mut process.work_due) {
            *shard = true;
        }
    }

    // ---- one step

    /// Something happens.
    fn step(&mut self) {
        self.mono_ns += self.dice.below(60_000) as u64;
        self.fail_something();
        if self.process.is_none() {
            if self.healed || self.dice.percent(3) {
                self.start_process();
            }
        } else if self.draining && self.is_drained() {
            self.mark("drained");
            self.end_process();
            self.store.crash(&mut self.dice);
        }
        let attempts = if self.healed { 6 } else { 1 };
        let moved = (0..attempts).any(|_| self.move_something());
        let patient = if self.healed { 100 } else { 4 };
        if !moved && self.dice.percent(patient) && !self.is_busy() {
            self.advance();
        }
    }

    fn move_something(&mut self) -> bool {
        match self.dice.below(100) {
            0..18 => self.move_to_server(),
            18..36 => self.move_to_client(),
            36..52 => self.move_lane(),
            52..60 => self.move_store(),
            60..68 => self.move_load(),
            68..80 => self.do_work(),
            80..88 => !self.healed && self.act(),
            88..94 => self.time_out_clients(),
            94..98 => self.close_link(),
            _ => false,
        }
    }

    fn is_busy(&self) -> bool {
        let moving = |link: &Link| {
            link.stalled_until_ns <= self.mono_ns
                && (!link.to_server.is_empty() || link.sending.is_some() || link.closing)
        };
        let lanes = self
            .process
            .as_ref()
            .is_some_and(|process| !process.busy_lanes().is_empty() || process.work_due.iter().any(|&due| due));
        lanes || self.store.has_writes() || self.store.has_loads() || self.links.values().any(moving)
    }

    fn move_to_server(&mut self) -> bool {
        let now_ns = self.mono_ns;
        let ready = |link: &Link| {
            link.stalled_until_ns <= now_ns
                && !link.closing
                && (!link.to_server.is_empty() || (!link.client_there && !link.end_told))
        };
        let Some(id) = self.pick_link(ready) else { return false };
        let segment = self.dice.between(1, self.options.segment_bytes_max);
        let Some(link) = self.links.get_mut(&id) else { return false };
        let (shard, connection) = (link.shard, link.connection);
        let mut bytes = link.take_to_server(segment);
        if bytes.is_empty() {
            link.end_told = true;
            self.apply(shard, Event::Ended { connection });
        } else {
            self.say(|| format!("link {id}: {} bytes to the server", bytes.len()));
            self.apply(shard, Event::Received { connection, bytes: &mut bytes });
        }
        true
    }

    fn move_to_client(&mut self) -> bool {
        let now_ns = self.mono_ns;
        let Some(id) = self.pick_link(|link| link.stalled_until_ns <= now_ns && link.sending.is_some()) else {
            return false;
        };
        let segment = self.dice.between(1, self.options.segment_bytes_max);
        let Some(link) = self.links.get_mut(&id) else { return false };
        let (mut bytes, through) = link.take_to_client(segment);
        let (person, there, shard, connection) = (link.person, link.client_there, link.shard, link.connection);
        if let Some(bytes) = through {
            let buffer = match bytes {
                trunkline_shards::contract::Bytes::Owned(buffer) => Some(buffer),
                trunkline_shards::contract::Bytes::Shared(_) => None,
            };
            self.apply(shard, Event::Sent { connection, complete: there, buffer });
        }
        if there {
            let now_ms = self.now_ms();
            let wishes = self.persons[person].received(now_ms, &mut bytes);
            wishes.into_iter().for_each(|wish| self.grant(person, wish));
            self.poll_person(person);
        }
        true
    }

    fn pick_link(&mut self, ready: impl Fn(&Link) -> bool) -> Option<LinkId> {
        let ids: Vec<LinkId> = self.links.iter().filter(|(_, link)| ready(link)).map(|(&id, _)| id).collect();
        self.dice.pick(&ids).copied()
    }

    fn move_lane(&mut self) -> bool {
        let Some(process) = &mut self.process else { return false };
        let Some(&ends) = self.dice.pick(&process.busy_lanes()) else { return false };
        let now = Now { mono_ns: self.mono_ns, ..self.now() };
        let Some(process) = &mut self.process else { return false };
        let outcomes = process.step_lane(now, ends, &mut self.store, &mut self.dice);
        self.carry_out(outcomes);
        true
    }

    fn move_store(&mut self) -> bool {
        if self.process.is_none() || !self.store.has_writes() {
            return false;
        }
        let answers = self.store.step(&mut self.dice);
        self.say(|| format!("store: {} writes answered", answers.len()));
        for (shard, ticket, result) in answers {
            self.apply(shard, Event::Stored { ticket, result });
        }
        true
    }

    fn move_load(&mut self) -> bool {
        if self.process.is_none() || !self.store.has_loads() {
            return false;
        }
        let (shard, ticket, result) = self.store.answer_load(&mut self.dice);
        self.apply(shard, Event::Stored { ticket, result });
        true
    }

    fn do_work(&mut self) -> bool {
        let Some(process) = &self.process else { return false };
        let due: Vec<ShardId> =
            (0..process.work_due.len()).filter(|&s| process.work_due[s]).map(|s| s as ShardId).collect();
        let Some(&shard) = self.dice.pick(&due) else { return false };
        let budget = self.dice.between(1, 8) as u32;
        let now = self.now();
        let Some(process) = &mut self.process else { return false };
        let outcomes = process.work(now, shard, budget, &mut self.store);
        self.carry_out(outcomes);
        true
    }

    fn apply(&mut self, shard: ShardId, event: Event<'_>) {
        let now = self.now();
        let Some(process) = &mut self.process else { return };
        let outcomes = process.apply(now, shard, event, &mut self.store);
        self.carry_out(outcomes);
    }

    fn carry_out(&mut self, outcomes: Vec<Outcome>) {
        for outcome in outcomes {
            match outcome {
                Outcome::Send(shard, connection, bytes) => {
                    let link = self.link_of(shard, connection);
                    assert!(link.sending.is_none() && !link.closing, "one send at a time, none after the close");
                    assert!(!bytes.as_slice().is_empty(), "a send sends something");
                    link.sending = Some((bytes, 0));
                }
                Outcome::Close(shard, connection) => {
                    let link = self.link_of(shard, connection);
                    assert!(!link.closing, "closed once");
                    link.closing = true;
                }
                Outcome::Answered => self.mark("admin_answers"),
            }
        }
    }

    fn link_of(&mut self, shard: ShardId, connection: trunkline_shards::contract::ConnectionId) -> &mut Link {
        let process = self.process.as_ref().expect("effects come from a process");
        let id = process.links.get(&(shard, connection)).expect("effects speak of connections there are");
        self.links.get_mut(id).expect("a link is there until its slot is free")
    }

    /// A connection that the server closed comes to its end.
    fn close_link(&mut self) -> bool {
        let Some(id) = self.pick_link(|link| link.closing) else { return false };
        let Some(link) = self.links.get_mut(&id) else { return false };
        let (shard, connection, person, there) = (link.shard, link.connection, link.person, link.client_there);
        if link.sending.take().is_some() {
            self.apply(shard, Event::Sent { connection, complete: false, buffer: None });
            return true;
        }
        self.links.remove(&id);
        self.apply(shard, Event::Closed { connection });
        if let Some(process) = &mut self.process {
            process.links.remove(&(shard, connection));
        }
        if there && self.persons[person].link() == Some(id) {
            let now_ms = self.now_ms();
            self.persons[person].cut(now_ms);
            self.poll_person(person);
        }
        true
    }

    // ---- client processes

    /// A client process does something of its own.
    fn act(&mut self) -> bool {
        let number = self.dice.below(self.persons.len());
        let user = self.persons[number].user;
        let own: Vec<(ConversationId, [UserId; 2])> =
            self.conversations.iter().filter(|(_, members)| members.contains(&user)).copied().collect();
        let Some(&(conversation, [one, other])) = self.dice.pick(&own) else { return false };
        let peer = if one == user { other } else { one };
        let now_ms = self.now_ms();
        let opened = self.persons[number].opened.contains(&conversation);
        let patient = self.persons[number].asked < COMMANDS_MAX;
        match self.dice.below(10) {
            0..6 if opened && self.texts_left > 0 => self.send_texts(number, conversation),
            6..9 if opened && patient => {
                self.persons[number].asked += 1;
                let (from_seq, backward) = (self.dice.below(30) as u64, self.dice.percent(50));
                let limit = self.dice.between(1, 60) as u16;
                self.persons[number].ask(|client| client.history(now_ms, conversation, from_seq, backward, limit));
            }
            _ if !opened && patient => {
                self.persons[number].asked += 1;
                self.persons[number].ask(|client| client.open_peer(now_ms, peer));
            }
            9 => {
                let shards = self.process.as_ref().map_or(1, |process| process.shards.len());
                let shard = self.dice.below(shards) as ShardId;
                let request = AdminRequest::CreateDevice { tenant: TENANT, user };
                self.apply(shard, Event::Admin { ticket: Ticket(0), request });
            }
            _ => return false,
        }
        self.poll_person(number);
        true
    }

    fn send_texts(&mut self, number: usize, conversation: ConversationId) {
        let now_ms = self.now_ms();
        for _ in 0..self.dice.between(1, 4).min(self.texts_left) {
            self.texts_left -= 1;
            let bytes = self.dice.between(1, self.options.text_bytes_max);
            let text: String = (0..bytes).map(|_| char::from(b'a' + self.dice.below(26) as u8)).collect();
            let life = self.persons[number].life;
            match self.persons[number].ask(|client| client.send_text(now_ms, conversation, &text)) {
                Ok(message_id) => self.oracle.submitted(life, conversation, message_id, text.into_bytes()),
                Err(error) => self.violation = Some(format!("the SDK takes no text: {error:?}")),
            }
        }
        self.persons[number].ask(|client| client.handle_timeout(now_ms));
    }

    fn time_out_clients(&mut self) -> bool {
        let now_ms = self.now_ms();
        let due: Vec<usize> = (0..self.persons.len())
            .filter(|&number| self.persons[number].next_deadline_ms().is_some_and(|at| at <= now_ms))
            .collect();
        let Some(&number) = self.dice.pick(&due) else { return false };
        self.persons[number].ask(|client| client.handle_timeout(now_ms));
        self.poll_person(number);
        true
    }

    fn poll_person(&mut self, number: usize) {
        while let Some(wish) = self.persons[number].poll() {
            self.grant(number, wish);
        }
    }

    fn grant(&mut self, number: usize, wish: Wish) {
        match wish {
            Wish::Connect => self.connect(number),
            Wish::Send(link, bytes) => {
                if let Some(link) = self.links.get_mut(&link) {
                    link.to_server.extend(bytes);
                }
            }
            Wish::Drop(link) => self.leave(link, true),
            Wish::Event(event) => self.told(number, event),
        }
    }

    fn connect(&mut self, number: usize) {
        let now_ms = self.now_ms();
        let id = self.next_link;
        let Some(process) = self.process.as_mut().filter(|_| !self.draining) else {
            return self.persons[number].refused(now_ms);
        };
        self.next_link += 1;
        let shard = self.dice.below(process.shards.len()) as ShardId;
        let connection = process.connect(shard, id, &mut self.dice);
        let mut link = Link::new(shard, connection, number);
        link.to_server.extend(self.persons[number].linked(id));
        self.links.insert(id, link);
        let peer = PeerAddress { ip: 1u128.to_be_bytes() };
        self.apply(shard, Event::Accepted { connection, peer });
    }

    /// The client no longer takes part; what it had sent may still arrive.
    fn leave(&mut self, id: LinkId, late: bool) {
        if let Some(link) = self.links.get_mut(&id) {
            link.client_there = false;
            if !late {
                link.to_server.clear();
            }
        }
    }

    fn told(&mut self, number: usize, event: ClientEvent) {
        self.say(|| format!("person {number}: {event:.0?}").chars().take(200).collect());
        let person = &mut self.persons[number];
        let user = person.user;
        if let ClientEvent::Opened { .. } | ClientEvent::HistoryPage { .. } | ClientEvent::RequestFailed { .. } = &event
        {
            person.asked -= 1;
        }
        let verdict = match event {
            ClientEvent::Connected { .. } => {
                person.connected = true;
                Ok(())
            }
            ClientEvent::Message(message) => self.oracle.streamed(user, &mut person.shown, &message),
            ClientEvent::Sent { message_id, conversation, seq, .. } => self.oracle.sent(message_id, conversation, seq),
            ClientEvent::Failed { message_id, code, .. } => {
                self.oracle.given_up(message_id, false);
                self.mark(match code {
                    ErrorCode::StorageFull => "texts_failed_storage_full",
                    _ => "texts_failed_otherwise",
                });
                Ok(())
            }
            ClientEvent::Unknown { message_id, .. } => {
                self.oracle.given_up(message_id, true);
                Err(format!("nothing is ever cut, yet {message_id} is unknown"))
            }
            ClientEvent::Opened { opened, .. } => {
                person.opened.push(opened.conversation);
                Ok(())
            }
            ClientEvent::HistoryPage { page, .. } => {
                self.mark("pages");
                let dense = page.messages.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1);
                let shown = page.messages.iter().try_for_each(|message| self.oracle.shown(user, message));
                if dense { shown } else { Err(format!("REL-4: a page of {} has a gap", page.conversation)) }
            }
            ClientEvent::Missed { conversation, from_seq, .. } => {
                Err(format!("REL-4: {user} missed seq {from_seq} of {conversation}"))
            }
            ClientEvent::Rewound { conversation, .. } => Err(format!("REL-4: {conversation} was rewound")),
            ClientEvent::AuthFailed { code } => Err(format!("a good token was refused: {}", code.name())),
            _ => Ok(()),
        };
        if let Err(violation) = verdict {
            self.violation.get_or_insert(violation);
        }
    }

    // ---- faults

    fn fail_something(&mut self) {
        let faults = self.faults;
        let mut comes = |rate: usize| rate > 0 && self.dice.below(10_000) < rate;
        let (cut, crash, client_crash) = (comes(faults.cut), comes(faults.crash), comes(faults.client_crash));
        let (lost_state, stall, full) = (comes(faults.lost_state), comes(faults.stall), comes(faults.disk_full));
        let (clock, drain) = (comes(faults.clock_jump), comes(faults.drain));
        if cut {
            self.cut_link();
        }
        if crash && self.process.is_some() {
            self.mark("crashes");
            self.end_process();
            self.store.crash(&mut self.dice);
        }
        if client_crash || lost_state {
            self.crash_person(lost_state);
        }
        if stall && let Some(id) = self.pick_link(|_| true) {
            let until = self.mono_ns + self.dice.below(40_000) as u64 * 1_000_000;
            if let Some(link) = self.links.get_mut(&id) {
                link.stalled_until_ns = until;
            }
        }
        if full {
            self.store.full = !self.store.full;
            self.mark("disk_turns");
        }
        if clock {
            self.wall_offset_ms = self.dice.below(7_200_000) as u64;
            self.mark("clock_jumps");
        }
        if drain && self.process.is_some() && !self.draining {
            self.mark("drains");
            self.begin_drain();
        }
    }

    fn cut_link(&mut self) {
        let Some(id) = self.pick_link(|link| link.client_there) else { return };
        let late = self.dice.percent(60);
        self.mark(if late { "cuts_with_late_bytes" } else { "cuts" });
        let Some(number) = self.links.get(&id).map(|link| link.person) else { return };
        self.leave(id, late);
        let now_ms = self.now_ms();
        self.persons[number].cut(now_ms);
        self.poll_person(number);
    }

    fn crash_person(&mut self, lose_state: bool) {
        self.mark(if lose_state { "lost_states" } else { "client_crashes" });
        let number = self.dice.below(self.persons.len());
        let new_life = lose_state.then(|| {
            self.lives += 1;
            self.lives
        });
        let (link, lost) = self.persons[number].restart(new_life);
        self.oracle.abandoned(&lost);
        if let Some(link) = link {
            self.leave(link, true);
        }
        self.poll_person(number);
    }

    fn begin_drain(&mut self) {
        self.draining = true;
        let shards = self.process.as_ref().map_or(0, |process| process.shards.len());
        for shard in 0..shards {
            self.apply(shard as ShardId, Event::Drain);
        }
    }

    fn is_drained(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.drained.iter().all(|&drained| drained))
    }

    fn start_process(&mut self) {
        let shards = if self.report.events == 0 { self.options.shards } else { self.dice.between(1, 4) as u16 };
        let now = self.now();
        let process = Process::start(&self.options, shards, &self.keys, now, &mut self.dice);
        self.process = Some(process);
        self.draining = false;
    }

    /// The process is gone, and every connection with it.
    fn end_process(&mut self) {
        let Some(process) = self.process.take() else { return };
        self.draining = false;
        self.report.events += process.events;
        self.report.digest = self.report.digest.rotate_left(7) ^ process.trace.finish();
        let mut counters = Counters::default();
        process.shards.iter().for_each(|shard| counters.add(&shard.counters()));
        for (mark, count) in [
            ("messages_stored", counters.messages_stored),
            ("appends_repeated", counters.appends_repeated),
            ("fanouts_delayed", counters.fanouts_delayed),
            ("entries_posted", counters.entries_posted),
        ] {
            self.mark_many(mark, count);
        }
        counters.each(|prefix, name, count| {
            if let Some(mark) = MARKS.iter().find(|mark| mark.strip_prefix(prefix) == Some(name) && !prefix.is_empty())
            {
                *self.report.marks.entry(mark).or_default() += count;
            }
        });
        self.links.clear();
        let now_ms = self.now_ms();
        for number in 0..self.persons.len() {
            self.persons[number].cut(now_ms);
            if self.violation.is_none() {
                self.poll_person(number);
            }
        }
    }

    // ---- the end

    /// No fault from here on.
    fn heal(&mut self) {
        self.healed = true;
        self.faults = Faults::default();
        self.store.full = false;
        self.store.unknown_percent = 0;
        self.texts_left = 0;
        for link in self.links.values_mut() {
            link.stalled_until_ns = 0;
        }
        if self.process.is_none() {
            self.start_process();
        }
    }

    fn rows(&self, conversation: ConversationId) -> Vec<Row> {
        let key = trunkline_shards::store::ConversationKey { tenant: TENANT, conversation };
        let load = Load::History { key, from_seq: 1, backward: false, rows_max: u32::MAX, cost_bytes_max: u32::MAX };
        match self.store.read(&load) {
            Loaded::History(rows) => rows,
            other => unreachable!("history is history: {other:?}"),
        }
    }

    /// Every text has its answer, every stream is at its end.
    fn is_at_rest(&self) -> bool {
        self.oracle.open() == 0
            && !self.store.has_writes()
            && self.persons.iter().all(|person| person.connected)
            && self.behind().next().is_none()
    }

    /// Client processes whose stream is not at the end of a conversation: (who, which, their seq, its last seq).
    fn behind(&self) -> impl Iterator<Item = (usize, ConversationId, u64, u64)> {
        let ends: Vec<_> =
            self.conversations.iter().map(|(id, members)| (*id, *members, self.rows(*id).len() as u64)).collect();
        self.persons.iter().enumerate().flat_map(move |(number, person)| {
            let own = ends.clone().into_iter().filter(|(_, members, _)| members.contains(&person.user));
            let behind = own.filter_map(move |(id, _, last)| {
                let shown = Oracle::streamed_up_to(&person.shown, id);
                (shown != last).then_some((number, id, shown, last))
            });
            behind.collect::<Vec<_>>()
        })
    }

    fn unrest(&self) -> String {
        let away: Vec<usize> = (0..self.persons.len()).filter(|&number| !self.persons[number].connected).collect();
        let behind: Vec<_> = self.behind().collect();
        format!("{} texts are open; not connected: {away:?}; behind: {behind:?}", self.oracle.open())
    }

    fn check_logs(&self) -> Result<(), String> {
        self.conversations.iter().try_for_each(|(id, _)| self.oracle.check_log(*id, &self.rows(*id)))
    }

    // ---- telling

    fn mark(&mut self, mark: &'static str) {
        self.mark_many(mark, 1);
    }

    fn mark_many(&mut self, mark: &'static str, count: u64) {
        *self.report.marks.entry(mark).or_default() += count;
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>14} {}", self.mono_ns / 1_000, what());
        }
    }
}

/// Counters of the shards that say which paths were taken.
const MARKS: [&str; 14] = [
    "error.busy",
    "error.rate_limited",
    "error.not_found",
    "error.client_seq_conflict",
    "error.out_of_order",
    "error.expired",
    "error.storage_full",
    "error.storage_unavailable",
    "error.draining",
    "violation.slow_reader",
    "violation.session_replaced",
    "violation.pong_timeout",
    "violation.hello_timeout",
    "violation.handshake_timeout",
];
