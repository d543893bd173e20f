//! A small honest server in memory: conversations with REL-5's rules, rows that become durable later, crashes that lose
//! those that are not, and a window behind which numbers are not looked up.

use std::collections::BTreeMap;

use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, UserId};
use trunkline_wire::message::{
    Ack, Encoder, ErrorCode, Message, Opened, Page, Request, Summary, Welcome, decode_request,
};

use super::dice::Dice;

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
    pub body: Vec<u8>,
    connection: usize,
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
    /// The first `durable` of them are.
    pub rows: Vec<Row>,
    pub durable: usize,
    /// Lowest seq that history still has.
    pub first: u64,
    high: BTreeMap<Device, (u64, u64)>,
    durable_high: BTreeMap<Device, (u64, u64)>,
    waiting: Vec<Waiting>,
}

pub struct Server {
    pub rules: Rules,
    pub conversations: BTreeMap<ConversationId, Conversation>,
    pub forbidden: BTreeMap<Device, bool>,
    /// What happened how often.
    pub marks: BTreeMap<&'static str, u64>,
    /// Answers and pushes: to which connection (`None`: pushed to all but one), what.
    pub out: Vec<(Option<usize>, usize, Vec<u8>)>,
    encoder: Encoder,
}

impl Server {
    pub fn new(rules: Rules, conversations: &[ConversationId]) -> Server {
        let new = |&id: &ConversationId| (id, Conversation { first: 1, ..Conversation::default() });
        Server {
            rules,
            conversations: conversations.iter().map(new).collect(),
            forbidden: BTreeMap::new(),
            marks: BTreeMap::new(),
            out: Vec::new(),
            encoder: Encoder::new(),
        }
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
            Request::Open(open) => {
                let id = ConversationId(open.conversation().expect("tests open by id").0);
                let conversation = &self.conversations[&id];
                let (high, high_message_id) = conversation.durable_high.get(&device).copied().unwrap_or_default();
                let opened = Opened {
                    conversation: id,
                    kind: 1,
                    epoch: 1,
                    last_seq: conversation.durable as u64,
                    high,
                    high_message_id,
                    peer: UserId(0),
                };
                encoder.opened(request, &opened).write_envelope(&mut out);
            }
            Request::History(history) => {
                let id = ConversationId(history.conversation().expect("asked for one").0);
                let conversation = &self.conversations[&id];
                let from = history.from_seq().max(conversation.first);
                let end = (from + self.rules.page.min(usize::from(history.limit())) as u64)
                    .min(conversation.durable as u64 + 1);
                let messages = (from..end).map(|seq| message_of(seq, &conversation.rows[seq as usize - 1]));
                let last_seq = conversation.durable as u64;
                let page = Page { conversation: id, epoch: 1, more: end <= last_seq, last_seq };
                encoder.history_page(request, &page, messages).write_envelope(&mut out);
            }
            Request::List(list) => {
                let after = list.after().map(|id| ConversationId(id.0));
                let known = self.conversations.iter().filter(|(id, c)| c.durable > 0 && Some(**id) > after);
                let mut summaries: Vec<Summary> = known
                    .map(|(&id, c)| Summary { conversation: id, kind: 1, peer: UserId(0), last_seq: c.durable as u64 })
                    .collect();
                let more = summaries.len() > 1;
                summaries.truncate(1);
                encoder.listed(request, &summaries, more).write_envelope(&mut out);
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
        self.out.push((Some(connection), 0, out));
    }

    /// A request fails as a whole.
    fn refuse(&mut self, dice: &mut Dice, connection: usize, request: u32) {
        self.mark("whole request busy");
        let code = dice.pick(&[ErrorCode::Busy, ErrorCode::RateLimited, ErrorCode::StorageUnavailable]);
        let mut out = Vec::new();
        self.encoder.error(request, code, "", dice.pick(&[0, 300])).write_envelope(&mut out);
        self.out.push((Some(connection), 0, out));
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
            } else if forbidden {
                Err(ErrorCode::Forbidden)
            } else if number > high + 1 {
                Err(ErrorCode::OutOfOrder)
            } else if !calm && dice.chance(rules.busy_percent) {
                Err(ErrorCode::Busy)
            } else {
                conversation.rows.push(Row { device, client_seq: number, message_id, body, connection });
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
            self.out.push((None, row.connection, out));
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
            self.out.push((Some(waiting.connection), 0, out));
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

fn message_of(seq: u64, row: &Row) -> Message<'_> {
    Message {
        epoch: 1,
        seq,
        ts_ms: seq,
        sender: row.device.0,
        device: row.device.1,
        message_id: MessageId(row.message_id),
        kind: 1,
        flags: 0,
        body: &row.body,
        sent_at_ms: 0,
        ref_seq: 0,
        mls_epoch: 0,
    }
}
