//! A small honest server in memory: conversations with REL-5's rules, rows that become durable later, crashes that lose
//! those that are not, a window behind which numbers are not looked up, a group whose members come and go, the lists of
//! users with their positions, and watermarks.

use std::collections::BTreeMap;

use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, UserId};
use trunkline_wire::message::{
    Ack, Change, ContentKind, Encoder, ErrorCode, Message, Opened, Page, Request, Welcome, decode_membership,
    decode_request, schema,
};

use super::dice::Dice;

#[path = "lists.rs"]
mod lists;

pub use lists::Lists;

/// User and device.
pub type Device = (UserId, DeviceId);

/// How the server may be wrong. `Honest` is how it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    Honest,
    /// Goes on with the messages behind a refused one.
    JudgesOn,
    /// Acknowledges what is not yet durable.
    AcksEarly,
    /// Takes any number it has seen for a retry, whatever the message is.
    IgnoresIds,
}

#[derive(Clone, Copy)]
pub struct Rules {
    pub fault: Fault,
    /// Rows that are looked up for a retry.
    pub window: usize,
    pub busy_percent: u64,
    /// Share of messages that are refused for what they are.
    pub bad_percent: u64,
    /// Share of deliveries of such a message in which that is noticed.
    pub bad_noticed_percent: u64,
    pub page: usize,
}

pub struct Row {
    pub device: Device,
    pub client_seq: u64,
    pub message_id: u64,
    pub kind: ContentKind,
    pub body: Vec<u8>,
    connection: usize,
}

/// Who there is.
pub const USERS: [UserId; 2] = [UserId(1), UserId(2)];
/// Whoever changes the members of the group.
const ADMIN: Device = (UserId(99), DeviceId(1));
/// No connection of a client.
const NOBODY: usize = usize::MAX;

/// Whom an envelope is for.
#[derive(Clone, Copy)]
pub enum To {
    /// The connection that asked.
    Connection(usize),
    /// All sessions of a user but this one: pushed.
    User(UserId, usize),
    /// This one: pushed.
    Session(usize),
}

/// An answer to a Send that waits until rows are durable.
struct Waiting {
    rows: usize,
    connection: usize,
    request: u32,
    device: Device,
    accepted: Vec<(u64, u64, u64)>,
    refusal: Option<ErrorCode>,
}

#[derive(Default)]
pub struct Conversation {
    pub is_group: bool,
    /// The first `durable` of them are.
    pub rows: Vec<Row>,
    pub durable: usize,
    /// Lowest seq that history still has.
    pub first: u64,
    high: BTreeMap<Device, (u64, u64)>,
    durable_high: BTreeMap<Device, (u64, u64)>,
    waiting: Vec<Waiting>,
}

impl Conversation {
    /// A user's latest window, as the first `rows` messages have it.
    pub fn window(&self, user: UserId, rows: usize) -> Option<(u64, u64)> {
        if !self.is_group {
            return Some((1, u64::MAX));
        }
        let mut window: Option<(u64, u64)> = None;
        for (row, seq) in self.rows[..rows].iter().zip(1..) {
            if row.kind != ContentKind::Membership {
                continue;
            }
            let change = decode_membership(&row.body).expect("written here");
            if !change.users().into_iter().flatten().any(|named| named == user.0) {
                continue;
            }
            let is_member = window.is_some_and(|(_, left)| left == u64::MAX);
            window = match (Change::from_number(change.change()), is_member) {
                (Some(Change::Removed), true) => window.map(|(joined, _)| (joined, seq)),
                (Some(Change::Created | Change::Added), false) => Some((seq, u64::MAX)),
                _ => window,
            };
        }
        window
    }

    /// A user's latest window that is durable.
    pub fn durable_window(&self, user: UserId) -> Option<(u64, u64)> {
        self.window(user, self.durable)
    }

    /// How many windows a user has had.
    pub fn windows(&self, user: UserId) -> usize {
        let joined: std::collections::BTreeSet<u64> =
            (0..=self.durable).filter_map(|rows| self.window(user, rows)).map(|window| window.0).collect();
        joined.len()
    }

    fn is_member(&self, user: UserId) -> bool {
        self.window(user, self.rows.len()).is_some_and(|(_, left)| left == u64::MAX)
    }
}

pub struct Server {
    pub rules: Rules,
    pub conversations: BTreeMap<ConversationId, Conversation>,
    pub forbidden: BTreeMap<Device, bool>,
    /// What happened how often.
    pub marks: BTreeMap<&'static str, u64>,
    /// Answers and pushes.
    pub out: Vec<(To, Vec<u8>)>,
    pub lists: Lists,
    encoder: Encoder,
}

impl Server {
    /// Of the conversations the last one is a group, where there are two.
    pub fn new(rules: Rules, conversations: &[ConversationId], dice: &mut Dice) -> Server {
        let new = |(index, &id): (usize, &ConversationId)| {
            (id, Conversation { first: 1, is_group: index == 1, ..Conversation::default() })
        };
        let mut server = Server {
            rules,
            conversations: conversations.iter().enumerate().map(new).collect(),
            forbidden: BTreeMap::new(),
            marks: BTreeMap::new(),
            out: Vec::new(),
            lists: Lists::default(),
            encoder: Encoder::new(),
        };
        if let Some(&group) = conversations.get(1) {
            let members = if dice.chance(70) { &USERS[..] } else { &USERS[..1] };
            server.change_members(dice, group, Change::Created, members);
            server.commit(group, 1);
        }
        server
    }

    /// Somebody comes or goes.
    pub fn change_somebody(&mut self, dice: &mut Dice) {
        let Some((&group, conversation)) = self.conversations.iter().find(|(_, c)| c.is_group) else { return };
        let user = dice.pick(&USERS);
        let change = if conversation.is_member(user) { Change::Removed } else { Change::Added };
        self.mark(if change == Change::Removed { "removed" } else { "added" });
        self.change_members(dice, group, change, &[user]);
    }

    fn change_members(&mut self, dice: &mut Dice, id: ConversationId, change: Change, users: &[UserId]) {
        let body = self.encoder.membership_change(change, users, "");
        let (message_id, kind) = (dice.range(1, u64::MAX - 1), ContentKind::Membership);
        let row = Row { device: ADMIN, client_seq: 0, message_id, kind, body, connection: NOBODY };
        self.conversations.get_mut(&id).expect("known").rows.push(row);
    }

    pub fn mark(&mut self, what: &'static str) {
        *self.marks.entry(what).or_default() += 1;
    }

    /// A request arrives; `calm` is without faults of its own making.
    pub fn handle(&mut self, dice: &mut Dice, connection: usize, device: Device, envelope: &[u8], calm: bool) {
        let (request, view) = decode_request(envelope).expect("clients speak the protocol");
        if !calm && !matches!(view, Request::Hello(_)) && dice.chance(self.rules.busy_percent / 3) {
            return self.refuse(dice, connection, request);
        }
        let mut out = Vec::new();
        let encoder = &mut self.encoder;
        match view {
            Request::Hello(_) => {
                let welcome = Welcome {
                    user: device.0,
                    device: device.1,
                    session: connection as u64,
                    server_time_ms: 0,
                    token_expires_ms: u64::MAX,
                    heartbeat_ms: 30_000,
                };
                encoder.welcome(request, &welcome).write_envelope(&mut out);
            }
            Request::Open(open) => return self.open(connection, request, device, &open),
            Request::History(history) => return self.history(connection, request, device, &history),
            Request::Sync(sync) => return self.sync(connection, request, device, &sync),
            Request::Report(report) => {
                self.lists.store(device, report.position());
                let said = |r: &schema::Receipt| (ConversationId(r.conversation().0), r.delivered_seq(), r.read_seq());
                let receipts: Vec<_> = report.receipts().into_iter().flatten().map(said).collect();
                receipts.into_iter().for_each(|(id, delivered, read)| self.receipt(id, device, delivered, read));
                self.encoder.done(request).write_envelope(&mut out);
            }
            Request::Send(send) => {
                let id = ConversationId(send.conversation().expect("sends somewhere").0);
                let messages: Vec<(u64, u64, Vec<u8>)> = send
                    .messages()
                    .into_iter()
                    .flatten()
                    .map(|m| (m.client_seq(), m.message_id(), m.body().expect("has a body").bytes().to_vec()))
                    .collect();
                return self.judge(dice, (connection, request, device), id, messages, calm);
            }
            _ => encoder.resolved(request, UserId(7)).write_envelope(&mut out),
        }
        self.out.push((To::Connection(connection), out));
    }

    fn open(&mut self, connection: usize, request: u32, device: Device, open: &schema::Open<'_>) {
        let mut out = Vec::new();
        let id = ConversationId(open.conversation().expect("tests open by id").0);
        let conversation = &self.conversations[&id];
        let Some((joined_seq, left_seq)) = conversation.durable_window(device.0) else {
            self.mark("never a member");
            return self.fail(connection, request, ErrorCode::NotFound);
        };
        let (high, high_message_id) = conversation.durable_high.get(&device).copied().unwrap_or_default();
        let (delivered_seq, _) = self.lists.of_device(id, device);
        let is_member = left_seq == u64::MAX;
        let opened = Opened {
            conversation: id,
            kind: if conversation.is_group { 2 } else { 1 },
            epoch: 1,
            last_seq: left_seq.min(conversation.durable as u64),
            high,
            high_message_id,
            peer: UserId(0),
            title: "",
            members: 2,
            role: is_member.into(),
            joined_seq,
            left_seq: if is_member { 0 } else { left_seq },
            delivered_seq,
            read_seq: self.lists.of_user(id, device.0).1,
        };
        self.encoder.opened(request, &opened).write_envelope(&mut out);
        self.out.push((To::Connection(connection), out));
    }

    fn history(&mut self, connection: usize, request: u32, device: Device, history: &schema::History<'_>) {
        let mut out = Vec::new();
        let id = ConversationId(history.conversation().expect("asked for one").0);
        let conversation = &self.conversations[&id];
        let Some((joined, left)) = conversation.durable_window(device.0) else {
            return self.fail(connection, request, ErrorCode::NotFound);
        };
        let (first, last_seq) = (conversation.first.max(joined), left.min(conversation.durable as u64));
        let (span, more) = crate::pages::span(history, self.rules.page as u64, (first, last_seq));
        let messages = span.map(|seq| message_of(seq, &conversation.rows[seq as usize - 1]));
        let page = Page { conversation: id, epoch: 1, more, last_seq };
        self.encoder.history_page(request, &page, messages, &[]).write_envelope(&mut out);
        self.out.push((To::Connection(connection), out));
    }

    fn sync(&mut self, connection: usize, request: u32, device: Device, sync: &schema::Sync<'_>) {
        let mut out = Vec::new();
        self.mark("sync");
        let position = if sync.stored() { self.lists.stored(device) } else { Some(sync.position()) };
        let limit = self.rules.page.min(usize::from(sync.limit()));
        let page = self.lists.page(device.0, position, sync.below(), limit);
        if page.resync {
            self.mark("resync");
        }
        self.encoder.synced(request, page.span, &page.rows, page.more, page.resync).write_envelope(&mut out);
        self.out.push((To::Connection(connection), out));
    }

    fn fail(&mut self, connection: usize, request: u32, code: ErrorCode) {
        let mut out = Vec::new();
        self.encoder.error(request, code, "", 0).write_envelope(&mut out);
        self.out.push((To::Connection(connection), out));
    }

    /// A device says how far it is: kept within its window, and told to the others.
    fn receipt(&mut self, id: ConversationId, device: Device, delivered: u64, read: u64) {
        let conversation = &self.conversations[&id];
        let Some((_, left)) = conversation.durable_window(device.0) else { return };
        let last = left.min(conversation.durable as u64);
        if !self.lists.receive(id, device, delivered.min(last), read.min(last)) {
            return;
        }
        self.mark("receipts");
        let receipt = self.lists.receipt(id, device.0);
        let is_told = |user| user == device.0 || conversation_has(&self.conversations[&id], user);
        let told: Vec<UserId> = USERS.into_iter().filter(|&user| is_told(user)).collect();
        for user in told {
            let mut out = Vec::new();
            self.encoder.receipts(id, &[receipt]).write_envelope(&mut out);
            self.out.push((To::User(user, NOBODY), out));
        }
    }

    /// Tells a user, behind what was pushed, up to where its list is; `whole`: nothing of what changed.
    pub fn flush(&mut self, user: UserId, whole: bool) {
        let Some((from, to, places)) = self.lists.untold(user) else { return };
        let mut out = Vec::new();
        match whole {
            true => self.encoder.advanced(to, to, &[]).write_envelope(&mut out),
            false => self.encoder.advanced(from, to, &places).write_envelope(&mut out),
        }
        self.out.push((To::User(user, NOBODY), out));
    }

    /// A session that was told nothing for a while gets the end of its user's list.
    pub fn drained(&mut self, connection: usize, user: UserId) {
        let (mut out, to) = (Vec::new(), self.lists.counter(user));
        self.encoder.advanced(to, to, &[]).write_envelope(&mut out);
        self.out.push((To::Session(connection), out));
    }

    /// A request fails as a whole.
    fn refuse(&mut self, dice: &mut Dice, connection: usize, request: u32) {
        self.mark("whole request busy");
        let code = dice.pick(&[ErrorCode::Busy, ErrorCode::RateLimited, ErrorCode::StorageUnavailable]);
        let mut out = Vec::new();
        self.encoder.error(request, code, "", dice.pick(&[0, 300])).write_envelope(&mut out);
        self.out.push((To::Connection(connection), out));
    }

    fn judge(
        &mut self,
        dice: &mut Dice,
        (connection, request, device): (usize, u32, Device),
        id: ConversationId,
        messages: Vec<(u64, u64, Vec<u8>)>,
        calm: bool,
    ) {
        let rules = self.rules;
        let forbidden = !calm && self.forbidden.get(&device).copied().unwrap_or(false);
        assert!((1..=16).contains(&messages.len()));
        assert!(messages.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1), "numbers in a request are consecutive");
        if self.conversations[&id].durable_window(device.0).is_none() {
            return self.fail(connection, request, ErrorCode::NotFound);
        }
        let conversation = self.conversations.get_mut(&id).expect("known");
        let (mut accepted, mut refusal, mut needs, mut marks) = (Vec::new(), None, 0, Vec::new());
        for (number, message_id, body) in messages {
            let high = conversation.high.get(&device).map_or(0, |high| high.0);
            let bad = message_id % 100 < rules.bad_percent && dice.chance(rules.bad_noticed_percent);
            let verdict = if number <= high {
                let from = conversation.durable.saturating_sub(rules.window);
                let found = (from..conversation.rows.len()).rev().find(|&row| {
                    (conversation.rows[row].device, conversation.rows[row].client_seq) == (device, number)
                });
                match found {
                    None => Err(ErrorCode::Expired),
                    Some(row) => {
                        needs = needs.max(row + 1);
                        let same = conversation.rows[row].message_id == message_id || rules.fault == Fault::IgnoresIds;
                        if same { Ok(row) } else { Err(ErrorCode::ClientSeqConflict) }
                    }
                }
            } else if bad {
                Err(ErrorCode::MessageInvalid)
            } else if forbidden || !conversation.is_member(device.0) {
                Err(ErrorCode::Forbidden)
            } else if number > high + 1 {
                Err(ErrorCode::OutOfOrder)
            } else if !calm && dice.chance(rules.busy_percent) {
                Err(ErrorCode::Busy)
            } else {
                let kind = ContentKind::Text;
                conversation.rows.push(Row { device, client_seq: number, message_id, kind, body, connection });
                conversation.high.insert(device, (number, message_id));
                marks.push("appended");
                needs = needs.max(conversation.rows.len());
                Ok(conversation.rows.len() - 1)
            };
            match verdict {
                Ok(row) if refusal.is_none() => accepted.push((number, row as u64 + 1, row as u64 + 1)),
                Ok(_) => {}
                Err(code) => {
                    marks.push(code.name());
                    refusal = refusal.or(Some(code));
                    if rules.fault != Fault::JudgesOn {
                        break;
                    }
                }
            }
        }
        if rules.fault == Fault::AcksEarly {
            needs = 0;
        }
        conversation.waiting.push(Waiting { rows: needs, connection, request, device, accepted, refusal });
        marks.into_iter().for_each(|what| self.mark(what));
        self.release(id);
    }

    /// Some rows become durable: members hear of them, and those who sent them.
    pub fn commit(&mut self, id: ConversationId, rows: usize) {
        let conversation = self.conversations.get_mut(&id).expect("known");
        let end = (conversation.durable + rows).min(conversation.rows.len());
        for seq in conversation.durable + 1..=end {
            let row = &conversation.rows[seq - 1];
            conversation.durable_high.insert(row.device, (row.client_seq, row.message_id));
            let mut out = Vec::new();
            self.encoder.message(id, &message_of(seq as u64, row)).write_envelope(&mut out);
            for user in USERS {
                if let Some((joined, left)) = conversation.window(user, seq).filter(|w| w.1 >= seq as u64) {
                    self.lists.change(user, id, (seq as u64, joined, left), conversation.is_group);
                    self.out.push((To::User(user, row.connection), out.clone()));
                }
            }
        }
        conversation.durable = end;
        self.release(id);
    }

    fn release(&mut self, id: ConversationId) {
        let conversation = self.conversations.get_mut(&id).expect("known");
        let durable = conversation.durable;
        let ready = |waiting: &mut Waiting| waiting.rows <= durable;
        for waiting in conversation.waiting.extract_if(.., ready) {
            let (high, high_message_id) = conversation.durable_high.get(&waiting.device).copied().unwrap_or_default();
            let ack = Ack {
                conversation: id,
                epoch: 1,
                accepted: &waiting.accepted,
                refusal: waiting.refusal,
                high,
                high_message_id,
                retry_after_ms: 200,
            };
            let mut out = Vec::new();
            self.encoder.ack(waiting.request, &ack).write_envelope(&mut out);
            self.out.push((To::Connection(waiting.connection), out));
        }
    }

    /// Rows that are not durable are gone, but for some that were, unknown to all.
    pub fn crash(&mut self, dice: &mut Dice) {
        let ids: Vec<ConversationId> = self.conversations.keys().copied().collect();
        for id in ids {
            let conversation = self.conversations.get_mut(&id).expect("known");
            conversation.waiting.clear();
            let pending = conversation.rows.len() - conversation.durable;
            if pending > 0 {
                self.mark("crash with pending rows");
            }
            self.commit(id, dice.below(pending as u64 + 1) as usize);
            let conversation = self.conversations.get_mut(&id).expect("known");
            conversation.rows.truncate(conversation.durable);
            conversation.high = conversation.durable_high.clone();
        }
        self.lists.crash(dice);
    }

    /// History below a seq is gone.
    pub fn retain(&mut self, dice: &mut Dice, id: ConversationId) {
        let conversation = self.conversations.get_mut(&id).expect("known");
        let durable = conversation.durable as u64;
        if durable >= conversation.first {
            conversation.first = dice.range(conversation.first, durable + 1);
        }
    }
}

fn conversation_has(conversation: &Conversation, user: UserId) -> bool {
    conversation.durable_window(user).is_some_and(|(_, left)| left == u64::MAX)
}

fn message_of(seq: u64, row: &Row) -> Message<'_> {
    Message {
        epoch: 1,
        seq,
        ts_ms: seq,
        sender: row.device.0,
        device: row.device.1,
        message_id: MessageId(row.message_id),
        kind: row.kind as u8,
        flags: 0,
        body: &row.body,
        sent_at_ms: 0,
        ref_seq: 0,
        mls_epoch: 0,
    }
}
