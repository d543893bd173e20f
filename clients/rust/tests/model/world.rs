//! Clients, connections and a server under faults drawn from a seed, and the check of what everybody was told.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::rc::Rc;

use trunkline_client::core::{Client, ClientEvent, DisconnectReason, Follow, Link, Options, State};
use trunkline_client::outbox::{MemoryOutbox, Outbox, Record};
use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, UserId};

use super::dice::Dice;
use super::server::{Device, Fault, Rules, Server, To, USERS};
use super::tamper::{Tamper, Tampering};

#[path = "check.rs"]
mod check;

/// What an outbox that outlives its process is in these tests.
#[derive(Clone, Default)]
pub struct Disk(Rc<RefCell<DiskState>>);

#[derive(Default)]
struct DiskState {
    held: MemoryOutbox,
    full: bool,
    /// Outboxes of processes that are gone, of this device.
    leftovers: Rc<RefCell<Vec<MemoryOutbox>>>,
}

impl Outbox for Disk {
    fn load(&mut self) -> io::Result<Vec<Record>> {
        self.0.borrow_mut().held.load()
    }

    fn put(&mut self, records: &[Record]) -> io::Result<()> {
        if self.0.borrow().full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.borrow_mut().held.put(records)
    }

    fn remove(&mut self, message_ids: &[MessageId]) -> io::Result<()> {
        self.0.borrow_mut().held.remove(message_ids)
    }

    fn adopt(&mut self) -> io::Result<Vec<Record>> {
        let leftovers = self.0.borrow().leftovers.clone();
        if let Some(leftover) = leftovers.borrow_mut().pop() {
            self.0.borrow_mut().held = leftover;
        }
        self.load()
    }
}

/// What is done how often, and how the pushed messages suffer.
#[derive(Clone, Copy)]
pub struct Plan {
    pub rules: Rules,
    pub tamper: Tamper,
    pub steps: u64,
    pub texts_max: usize,
    pub restarts: bool,
    /// Share of pushed messages that are lost, doubled, or overtake others.
    pub push_chaos_percent: u64,
    /// Share of steps that are spent on what tempts a client to give up a number that is still on its way: cuts behind a
    /// request, late arrivals, permissions that come and go.
    pub tempting_percent: u64,
}

impl Plan {
    pub fn honest(dice: &mut Dice) -> Plan {
        let rules = Rules {
            fault: Fault::Honest,
            window: dice.pick(&[4, 8, 16]),
            busy_percent: dice.pick(&[0, 10, 20]),
            bad_percent: dice.pick(&[0, 0, 15]),
            bad_noticed_percent: dice.pick(&[60, 100]),
            page: dice.pick(&[1, 3, 50]),
        };
        let steps = dice.range(20, 400);
        let push_chaos_percent = dice.pick(&[0, 20]);
        let tempting_percent = dice.pick(&[0, 20, 40]);
        let (tamper, texts_max) = (Tamper::None, 10);
        Plan { rules, tamper, steps, texts_max, restarts: true, push_chaos_percent, tempting_percent }
    }
}

struct Connection {
    device: Device,
    to_server: VecDeque<Vec<u8>>,
    /// Envelopes, and whether they are pushed ones.
    to_client: VecDeque<(Vec<u8>, bool)>,
    /// The client is still there.
    client: bool,
    server: bool,
    greeted: bool,
    /// Too much waits for it: it is pushed nothing.
    lagging: bool,
    tampering: Tampering,
}

/// What one process was shown of one conversation.
#[derive(Default)]
struct Shown {
    seqs: Vec<u64>,
    own: BTreeSet<u64>,
    missed: BTreeSet<u64>,
}

struct Process {
    client: Client<Disk>,
    disk: Disk,
    device: Device,
    connection: Option<usize>,
    /// It was shown everything from the first message on.
    from_start: bool,
    follows_stored: bool,
    echo_own: bool,
    shown: BTreeMap<ConversationId, Shown>,
    /// What it stores with what it was shown.
    state: State,
    /// Delivered and read, as it told its client.
    marks: BTreeMap<ConversationId, (u64, u64)>,
    /// Of others, as its client told it.
    receipts: BTreeMap<(ConversationId, UserId), (u64, u64)>,
    told: BTreeSet<MessageId>,
    /// Index of the row of texts it continues.
    said: usize,
}

/// The texts that one process, and those that took over its outbox at its start, were given, in order.
#[derive(Default)]
struct Said {
    by_conversation: BTreeMap<ConversationId, Vec<MessageId>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Sent(u64),
    Failed,
    Unknown,
}

pub struct World {
    plan: Plan,
    dice: Dice,
    server: Server,
    now_ms: u64,
    connections: Vec<Connection>,
    processes: Vec<Process>,
    said: Vec<Said>,
    bodies: BTreeMap<MessageId, String>,
    fates: BTreeMap<MessageId, Fate>,
    /// Their outbox is lost: nothing is promised.
    given_up: BTreeSet<MessageId>,
    leftovers: BTreeMap<Device, Rc<RefCell<Vec<MemoryOutbox>>>>,
    texts: usize,
    /// What all processes of a device that follows what it stored were shown.
    heard: BTreeMap<(Device, ConversationId), BTreeSet<u64>>,
    violations: BTreeSet<&'static str>,
}

/// The device whose processes follow what it stored.
const STORED_DEVICE: Device = (UserId(2), DeviceId(2));
const CONVERSATIONS: [ConversationId; 2] = [ConversationId([1; 16]), ConversationId([2; 16])];
const STEPS_MAX: usize = 50_000;

impl World {
    pub fn new(plan: Plan, mut dice: Dice) -> World {
        let mut world = World {
            plan,
            server: Server::new(plan.rules, &CONVERSATIONS[..dice.range(1, 2) as usize], &mut dice),
            now_ms: dice.below(1 << 40),
            dice,
            connections: Vec::new(),
            processes: Vec::new(),
            said: Vec::new(),
            bodies: BTreeMap::new(),
            fates: BTreeMap::new(),
            given_up: BTreeSet::new(),
            leftovers: BTreeMap::new(),
            texts: 0,
            heard: BTreeMap::new(),
            violations: BTreeSet::new(),
        };
        let devices = [(1, 1), (1, 1), (1, 2), (2, 1), (1, 1)];
        for (user, device) in &devices[..world.dice.range(2, 5) as usize] {
            let device = (UserId(*user), DeviceId(*device));
            let process = world.process(device, None);
            world.processes.push(process);
        }
        // Of a conversation it does not know it takes the first push for the beginning: none may be lost in silence.
        if plan.push_chaos_percent == 0 && world.dice.chance(50) {
            let process = world.process(STORED_DEVICE, None);
            world.processes.push(process);
        }
        world
    }

    /// A new process; with the disk and the row of texts of another one where it takes over.
    fn process(&mut self, device: Device, after: Option<(Disk, usize)>) -> Process {
        let (disk, said) = after.unwrap_or_else(|| {
            self.said.push(Said::default());
            (Disk::default(), self.said.len() - 1)
        });
        let leftovers = self.leftovers.entry(device).or_default().clone();
        disk.0.borrow_mut().leftovers = leftovers;
        disk.0.borrow_mut().full = false;
        let follows_stored = device == STORED_DEVICE;
        let from_start = !follows_stored && self.dice.chance(70);
        let follow = match from_start {
            _ if follows_stored => Follow::Stored,
            true => Follow::FromStart,
            false => Follow::FromNow,
        };
        let echo_own = follows_stored || self.dice.chance(40);
        Process {
            client: self.client(&disk, follow, echo_own),
            disk,
            device,
            connection: None,
            from_start,
            follows_stored,
            echo_own,
            shown: BTreeMap::new(),
            state: State::default(),
            marks: BTreeMap::new(),
            receipts: BTreeMap::new(),
            told: BTreeSet::new(),
            said,
        }
    }

    fn client(&mut self, disk: &Disk, follow: Follow, echo_own: bool) -> Client<Disk> {
        let options = Options { token: "t".into(), client_name: "c".into(), follow, echo_own, seed: self.dice.seed() };
        Client::new(options, disk.clone()).expect("the disk can be read")
    }

    /// Faults for a while, then calm until all is told; gives what was wrong, and what happened.
    pub fn run(mut self) -> (BTreeSet<&'static str>, BTreeMap<&'static str, u64>) {
        for _ in 0..self.plan.steps {
            self.step();
            self.serve_all(false);
        }
        self.calm_down();
        self.check();
        (self.violations, self.server.marks)
    }

    // ---- steps under faults

    fn step(&mut self) {
        self.now_ms += self.dice.below(100);
        let process = self.dice.below(self.processes.len() as u64) as usize;
        let conversation = self.any_conversation();
        if self.dice.chance(self.plan.tempting_percent) {
            return self.tempt(process);
        }
        match self.dice.below(100) {
            0..8 => self.say(process, conversation),
            8..40 => self.deliver_to_server(true),
            40..46 => self.deliver_to_server(false),
            46..68 => self.deliver_to_client(false),
            68..78 => {
                let rows = self.dice.range(1, 4) as usize;
                self.server.commit(conversation, rows);
            }
            78..83 => self.pass_time(),
            83..87 => self.cut(process),
            87..89 => self.flip(process),
            89 => self.server.retain(&mut self.dice, conversation),
            90..92 => self.crash(),
            92..95 if self.plan.restarts => self.end_process(process),
            95 => self.server.change_somebody(&mut self.dice),
            96 => {
                let user = self.dice.pick(&USERS);
                let whole = self.dice.chance(20);
                self.server.flush(user, whole);
                self.route(false);
            }
            97 => self.lag(process),
            98 => {
                let full = self.dice.chance(30);
                self.processes[process].disk.0.borrow_mut().full = full;
            }
            _ => self.disturb(),
        }
    }

    fn tempt(&mut self, process: usize) {
        let sends = |c: usize| !self.connections[c].to_server.is_empty();
        match self.dice.below(8) {
            0 | 1 if self.processes[process].connection.is_some_and(sends) => self.cut(process),
            2 => self.deliver_to_server(false),
            3 => self.flip(process),
            4 | 5 => self.pass_time(),
            6 => self.deliver_to_client(false),
            _ => self.deliver_to_server(true),
        }
    }

    /// What a device may do comes and goes.
    fn flip(&mut self, process: usize) {
        let device = self.processes[process].device;
        let forbidden = self.server.forbidden.entry(device).or_default();
        *forbidden = !*forbidden;
    }

    /// A session falls behind, or has caught up.
    fn lag(&mut self, process: usize) {
        let Some(index) = self.processes[process].connection else { return };
        let connection = &mut self.connections[index];
        connection.lagging = !connection.lagging;
        if connection.lagging {
            self.server.mark("pull mode");
        } else if connection.greeted {
            self.server.drained(index, connection.device.0);
            self.route(false);
        }
    }

    fn any_conversation(&mut self) -> ConversationId {
        let ids: Vec<ConversationId> = self.server.conversations.keys().copied().collect();
        self.dice.pick(&ids)
    }

    fn say(&mut self, process: usize, conversation: ConversationId) {
        let said = self.processes[process].said;
        for _ in 0..self.dice.pick(&[1, 1, 1, 2, 3, 4]) {
            if self.said[said].by_conversation.values().map(Vec::len).sum::<usize>() >= self.plan.texts_max {
                return;
            }
            self.texts += 1;
            let text = format!("text {}", self.texts);
            // A text that is not taken must not appear: it has no id, so the check finds it as foreign.
            if let Ok(id) = self.processes[process].client.send_text(self.now_ms, conversation, &text) {
                self.said[said].by_conversation.entry(conversation).or_default().push(id);
                self.bodies.insert(id, text);
            }
        }
    }

    fn deliver_to_server(&mut self, live: bool) {
        let ready: Vec<usize> = (0..self.connections.len())
            .filter(|&c| self.connections[c].client == live && self.connections[c].server)
            .filter(|&c| !self.connections[c].to_server.is_empty())
            .collect();
        if ready.is_empty() {
            return;
        }
        let index = self.dice.pick(&ready);
        self.server_takes(index, false);
    }

    fn server_takes(&mut self, index: usize, calm: bool) {
        let connection = &mut self.connections[index];
        let Some(envelope) = connection.to_server.pop_front() else { return };
        if !connection.client {
            self.server.mark("late request");
        }
        self.server.handle(&mut self.dice, index, connection.device, &envelope, calm);
        self.route(calm);
    }

    /// Puts what the server says on its way.
    fn route(&mut self, calm: bool) {
        for (to, envelope) in std::mem::take(&mut self.server.out) {
            let (user, except) = match to {
                To::Connection(to) | To::Session(to) => {
                    let pushed = matches!(to_kind(&envelope), 0);
                    let connection = &mut self.connections[to];
                    connection.greeted = true;
                    if connection.client && connection.server {
                        connection.to_client.push_back((envelope, pushed));
                    }
                    continue;
                }
                To::User(user, except) => (user, except),
            };
            for (index, connection) in self.connections.iter_mut().enumerate() {
                let is_theirs = connection.device.0 == user && index != except;
                if !is_theirs || connection.lagging || !connection.greeted || !connection.client || !connection.server {
                    continue;
                }
                let chaos = !calm && self.dice.chance(self.plan.push_chaos_percent);
                match self.dice.below(3) {
                    0 if chaos => {}
                    1 if chaos => {
                        connection.to_client.push_back((envelope.clone(), true));
                        connection.to_client.push_back((envelope.clone(), true));
                    }
                    2 if chaos => connection.to_client.push_front((envelope.clone(), true)),
                    _ => connection.to_client.push_back((envelope.clone(), true)),
                }
            }
        }
    }

    fn deliver_to_client(&mut self, calm: bool) {
        let ready: Vec<usize> = (0..self.processes.len())
            .filter(|&p| self.processes[p].connection.is_some_and(|c| !self.connections[c].to_client.is_empty()))
            .collect();
        if ready.is_empty() {
            return;
        }
        let process = self.dice.pick(&ready);
        let index = self.processes[process].connection.expect("filtered");
        let connection = &mut self.connections[index];
        let (envelope, pushed) = connection.to_client.pop_front().expect("filtered");
        if !calm && !pushed && self.dice.chance(5) {
            // An answer is lost on a connection that lives on: the client finds out by time.
            self.server.mark("lost answer");
            return;
        }
        let envelope = connection.tampering.answer(envelope);
        self.processes[process].client.handle_envelope(self.now_ms, &envelope);
        if !calm && self.dice.chance(5) {
            self.processes[process].client.handle_envelope(self.now_ms, &envelope);
        }
    }

    /// To the next moment at which a client wants to do something.
    fn pass_time(&mut self) {
        let next = self.processes.iter().filter_map(|process| process.client.poll_timeout()).min();
        self.now_ms = self.now_ms.max(next.unwrap_or(0));
    }

    fn cut(&mut self, process: usize) {
        let Some(index) = self.processes[process].connection.take() else { return };
        self.leave(index);
        self.processes[process].client.handle_disconnected(self.now_ms, DisconnectReason::Lost);
    }

    /// The client is gone from a connection; what it sent may still arrive, much later.
    fn leave(&mut self, index: usize) {
        let late = self.dice.chance(70);
        let connection = &mut self.connections[index];
        connection.client = false;
        connection.to_client.clear();
        if !late {
            connection.to_server.clear();
        }
    }

    fn crash(&mut self) {
        self.server.crash(&mut self.dice);
        self.server.out.clear();
        // One that follows what it stored relies on being told of all pushes that are lost.
        if !self.processes.iter().any(|process| process.follows_stored) && self.dice.chance(60) {
            return;
        }
        for connection in &mut self.connections {
            (connection.client, connection.server) = (false, false);
            connection.to_server.clear();
            connection.to_client.clear();
        }
        for process in &mut self.processes {
            if process.connection.take().is_some() {
                process.client.handle_disconnected(self.now_ms, DisconnectReason::Lost);
            }
        }
    }

    /// A process dies; another one of its device starts, with its outbox, with none, or leaving it for adoption.
    fn end_process(&mut self, index: usize) {
        if let Some(connection) = self.processes[index].connection.take() {
            self.leave(connection);
        }
        let device = self.processes[index].device;
        if std::env::var("TRACE").is_ok() {
            println!("{} {index} ends", self.now_ms);
        }
        let after = match self.dice.below(10) {
            0..5 => {
                self.server.mark("restart");
                Some((self.processes[index].disk.clone(), self.processes[index].said))
            }
            5..7 => {
                self.server.mark("lost state");
                let lost: Vec<MessageId> = self.processes[index].client.pending().map(|r| r.message_id).collect();
                self.given_up.extend(lost);
                None
            }
            _ => {
                self.server.mark("left for adoption");
                let left = self.processes[index].disk.0.borrow().held.clone();
                self.leftovers.entry(device).or_default().borrow_mut().push(left);
                None
            }
        };
        self.check_shown(index, false);
        let restarts = after.is_some();
        let process = self.process(device, after);
        let before = std::mem::replace(&mut self.processes[index], process);
        if restarts && before.echo_own && !before.follows_stored && self.dice.chance(70) {
            self.go_on(index, before);
        }
    }

    /// The next process of a device goes on from what the one before it stored.
    fn go_on(&mut self, index: usize, before: Process) {
        self.server.mark("goes on from its state");
        let state = State::decode(&before.state.encode()).expect("a state comes back");
        let disk = self.processes[index].disk.clone();
        let client = self.client(&disk, Follow::Behind(state), before.echo_own);
        let process = &mut self.processes[index];
        process.client = client;
        (process.from_start, process.echo_own) = (before.from_start, before.echo_own);
        (process.state, process.shown) = (before.state, before.shown);
        process.shown.values_mut().for_each(|shown| shown.own.clear());
    }

    /// A connection suffers.
    fn disturb(&mut self) {
        let process = self.dice.below(self.processes.len() as u64) as usize;
        if let Some(index) = self.processes[process].connection
            && self.dice.chance(50)
        {
            // Half-open: nothing arrives any more, in either direction.
            self.connections[index].to_server.clear();
            self.connections[index].to_client.clear();
        }
    }

    // ---- driving clients

    fn serve_all(&mut self, calm: bool) {
        for index in 0..self.processes.len() {
            if self.processes[index].client.poll_timeout().is_some_and(|at_ms| at_ms <= self.now_ms) {
                self.processes[index].client.handle_timeout(self.now_ms);
            }
            self.serve(index, calm);
        }
        self.route(calm);
    }

    fn serve(&mut self, index: usize, calm: bool) {
        while let Some(link) = self.processes[index].client.poll_link() {
            if let Some(old) = self.processes[index].connection.take() {
                self.leave(old);
            }
            match link {
                Link::Connect if !calm && self.dice.chance(10) => {
                    self.processes[index].client.handle_disconnected(self.now_ms, DisconnectReason::ConnectFailed);
                }
                Link::Connect => {
                    self.connections.push(Connection {
                        device: self.processes[index].device,
                        to_server: VecDeque::new(),
                        to_client: VecDeque::new(),
                        client: true,
                        server: true,
                        greeted: false,
                        lagging: false,
                        tampering: Tampering::new(self.plan.tamper),
                    });
                    self.processes[index].connection = Some(self.connections.len() - 1);
                    self.processes[index].client.handle_connected(self.now_ms);
                }
                Link::Close => {}
            }
        }
        while let Some(envelope) = self.processes[index].client.poll_transmit() {
            let connection = self.processes[index].connection.expect("transmits are for a connection");
            let connection = &mut self.connections[connection];
            connection.to_server.push_back(connection.tampering.request(envelope));
        }
        while let Some(event) = self.processes[index].client.poll_event() {
            self.told(index, event);
        }
    }

    fn told(&mut self, index: usize, event: ClientEvent) {
        let process = &mut self.processes[index];
        if std::env::var("TRACE").is_ok() {
            println!("{} {index} {event:?}", self.now_ms);
        }
        process.state.apply(&event);
        match event {
            ClientEvent::Sent { message_id, conversation, seq, .. } => {
                process.shown.entry(conversation).or_default().own.insert(seq);
                let row = self.server.conversations[&conversation].rows.get(seq as usize - 1);
                if row.is_none_or(|row| row.message_id != message_id.0) {
                    self.violations.insert("wrong ack");
                }
                self.fate(index, message_id, Fate::Sent(seq));
            }
            ClientEvent::Failed { message_id, .. } => self.fate(index, message_id, Fate::Failed),
            ClientEvent::Unknown { message_id, .. } => self.fate(index, message_id, Fate::Unknown),
            ClientEvent::Message(message) => {
                let rows = &self.server.conversations[&message.conversation].rows;
                let row = rows.get(message.seq as usize - 1);
                if row.is_none_or(|row| (row.message_id, &row.body) != (message.message_id.0, &message.body)) {
                    self.violations.insert("shown what is not there");
                }
                let shown = process.shown.entry(message.conversation).or_default();
                if shown.seqs.last().is_some_and(|&last| last >= message.seq) {
                    self.violations.insert("shown twice or out of order");
                }
                let said = self.said[process.said].by_conversation.get(&message.conversation);
                let own = said.is_some_and(|said| said.contains(&message.message_id));
                let waits = || process.client.pending().any(|record| record.message_id == message.message_id);
                if !process.echo_own && (shown.own.contains(&message.seq) || own && waits()) {
                    self.violations.insert("own message shown");
                }
                shown.seqs.push(message.seq);
                // Before it has stored a position, a device begins with the present again and again.
                if process.follows_stored && self.server.lists.stored(process.device).is_some() {
                    self.heard.entry((process.device, message.conversation)).or_default().insert(message.seq);
                }
                if process.follows_stored || self.dice.chance(30) {
                    self.confirm(index, message.conversation, message.seq);
                }
            }
            ClientEvent::Position { position, .. } => self.positioned(index, position),
            ClientEvent::Receipts { conversation, users } => {
                for receipt in users {
                    let now = (receipt.delivered_seq, receipt.read_seq);
                    let seen = process.receipts.entry((conversation, receipt.user)).or_default();
                    if now.0 < seen.0 || now.1 < seen.1 || now == *seen || now.1 > now.0 {
                        self.violations.insert("watermark fell");
                    }
                    *seen = now;
                }
            }
            ClientEvent::Missed { conversation, from_seq, to_seq } => {
                if to_seq >= self.server.conversations[&conversation].first {
                    self.violations.insert("passed over what is there");
                }
                process.shown.entry(conversation).or_default().missed.extend(from_seq..=to_seq);
            }
            ClientEvent::AuthFailed { .. } | ClientEvent::Rewound { .. } => {
                self.violations.insert("told nonsense");
            }
            ClientEvent::OutboxFailed { .. } => self.server.mark("outbox failed"),
            _ => {}
        }
    }

    /// The program has what it was shown.
    fn confirm(&mut self, index: usize, conversation: ConversationId, seq: u64) {
        let is_read = self.dice.chance(30);
        let process = &mut self.processes[index];
        let mark = process.marks.entry(conversation).or_default();
        mark.0 = mark.0.max(seq);
        if is_read {
            mark.1 = mark.1.max(seq);
            process.client.mark_read(self.now_ms, conversation, seq);
        } else {
            process.client.mark_delivered(self.now_ms, conversation, seq);
        }
    }

    /// A process was told a position: of what did not change behind it everything was shown, where it can still be.
    fn positioned(&mut self, index: usize, position: u64) {
        self.server.mark("positions");
        let process = &self.processes[index];
        for (id, row) in self.server.lists.rows(process.device.0) {
            if row.user_seq > position {
                continue;
            }
            let seq = row.last_seq;
            let conversation = &self.server.conversations[&id];
            if !process.from_start || conversation.windows(process.device.0) != 1 {
                continue;
            }
            let place = process.client.positions().find(|(of, _)| *of == id).map_or(0, |place| place.1);
            if place < seq {
                if std::env::var("TRACE").is_ok() {
                    println!("{index}: at {position} {id} is at {place}, not {seq}");
                }
                self.violations.insert("position ahead of what was shown");
            }
        }
    }

    fn fate(&mut self, index: usize, message_id: MessageId, fate: Fate) {
        self.server.mark(match fate {
            Fate::Sent(_) => "sent",
            Fate::Failed => "failed",
            Fate::Unknown => "unknown",
        });
        if !self.processes[index].told.insert(message_id) {
            self.violations.insert("told twice");
        }
        self.fates.insert(message_id, fate);
    }

    // ---- the end

    fn calm_down(&mut self) {
        for process in &mut self.processes {
            process.disk.0.borrow_mut().full = false;
        }
        // Pushed messages may have been lost without a trace: a new connection finds out.
        for index in 0..self.processes.len() {
            self.cut(index);
        }
        for _ in 0..STEPS_MAX {
            self.serve_all(true);
            let busy = self.connections.iter().position(|c| c.server && !c.to_server.is_empty());
            let answers = self.connections.iter().any(|c| c.client && !c.to_client.is_empty());
            let uncommitted = self.server.conversations.iter().find(|(_, c)| c.durable < c.rows.len());
            if let Some(index) = busy {
                self.server_takes(index, true);
            } else if let Some((&id, _)) = uncommitted {
                self.server.commit(id, 100);
                self.route(true);
            } else if answers {
                self.deliver_to_client(true);
            } else if let Some(user) = USERS.into_iter().find(|&user| self.server.lists.is_untold(user)) {
                self.server.flush(user, false);
                self.route(true);
            } else if self.is_done() {
                return;
            } else {
                self.pass_time();
            }
        }
        if std::env::var("TRACE").is_ok() {
            for p in &self.processes {
                let positions: Vec<_> = p.client.positions().collect();
                let pending: Vec<_> = p.client.pending().collect();
                println!(
                    "{:?} {positions:?} {pending:?} {:?} {:?} now {}",
                    p.device,
                    p.connection,
                    p.client.poll_timeout(),
                    self.now_ms
                );
            }
            for (id, c) in &self.server.conversations {
                println!("{id} {} {} {}", c.durable, c.rows.len(), c.first);
            }
        }
        self.violations.insert("stuck");
    }

    fn is_done(&self) -> bool {
        let connected = |process: &Process| process.connection.is_some_and(|c| self.connections[c].greeted);
        let all_shown = |p: &Process| {
            self.server.conversations.iter().all(|(id, conversation)| {
                let Some((_, left)) = conversation.durable_window(p.device.0) else { return true };
                // What a device has confirmed is not opened again.
                let unknown = if p.follows_stored { u64::MAX } else { 0 };
                let position = p.client.positions().find(|(of, _)| of == id).map_or(unknown, |(_, seq)| seq);
                position >= left.min(conversation.durable as u64)
            })
        };
        let all_known = |p: &Process| p.client.position() == self.server.lists.counter(p.device.0);
        let all_listed = |p: &Process| {
            p.follows_stored || p.client.conversations().count() == self.server.lists.rows(p.device.0).len()
        };
        let is_done = |p: &Process| {
            let nothing_waits = p.client.pending().next().is_none() && p.client.is_reported();
            connected(p) && nothing_waits && all_shown(p) && all_known(p) && all_listed(p)
        };
        self.processes.iter().all(is_done)
    }
}

/// The number of the request that an envelope answers.
fn to_kind(envelope: &[u8]) -> u32 {
    trunkline_wire::message::peek_request(envelope).expect("written here").1
}
