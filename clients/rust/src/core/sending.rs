//! Sends what has no answer yet: one request in flight per conversation, conversations side by side.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::io;

use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, UserId};
use trunkline_wire::limits::BODY_BYTES_MAX;
use trunkline_wire::message::{ErrorCode, Outgoing, schema};

use super::event::ClientEvent;
use super::message::Message;
use super::outlet::{Outlet, Purpose};
use super::queue::{Pending, Place, Queue};
use super::views::{Misbehaved, id_of, number_of, peer_of};
use crate::limits::{
    PAGE_MESSAGES, PENDING_BYTES_MAX, PENDING_MESSAGES_MAX, RETRY_FIRST_MS, SEND_REQUESTS_MAX, SENT_KNOWN_MAX,
};
use crate::outbox::{Outbox, Record};

/// Why a message was not taken. Nothing of it is kept.
#[derive(Debug)]
pub enum SendError {
    /// It has no bytes, or is not of its kind.
    Invalid,
    /// It has more than 60 KiB.
    TooLarge,
    /// Too much waits for answers already.
    Full,
    /// The client was closed.
    Closed,
    /// The outbox could not be written.
    Outbox(io::Error),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Invalid => f.write_str("the message is empty, or not of its kind"),
            SendError::TooLarge => write!(f, "the message has more than {BODY_BYTES_MAX} bytes"),
            SendError::Full => f.write_str("too many messages wait for the server"),
            SendError::Closed => f.write_str("the client was closed"),
            SendError::Outbox(error) => write!(f, "the outbox could not be written: {error}"),
        }
    }
}

impl std::error::Error for SendError {}

/// What became of a message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    Sent(Place),
    Failed(ErrorCode),
    Unknown,
}

/// All conversations with messages to send.
pub(super) struct Sending<O> {
    pub(super) outbox: O,
    pub(super) queues: BTreeMap<ConversationId, Queue>,
    /// Conversations with messages without an answer.
    pub(super) active: BTreeSet<ConversationId>,
    /// Who this is, once a server said so.
    pub(super) me: Option<(UserId, DeviceId)>,
    last_served: Option<ConversationId>,
    pending_messages: usize,
    pending_bytes: usize,
    /// The outbox may know of leftovers.
    may_adopt: bool,
    /// The last messages that became durable.
    sent: VecDeque<MessageId>,
}

impl<O: Outbox> Sending<O> {
    pub(super) fn new(mut outbox: O) -> io::Result<Sending<O>> {
        let records = outbox.load()?;
        let mut sending = Sending {
            outbox,
            queues: BTreeMap::new(),
            active: BTreeSet::new(),
            me: None,
            last_served: None,
            pending_messages: 0,
            pending_bytes: 0,
            may_adopt: false,
            sent: VecDeque::new(),
        };
        sending.absorb(records);
        Ok(sending)
    }

    /// Takes in what an outbox held.
    fn absorb(&mut self, records: Vec<Record>) {
        for record in records {
            let tried = record.client_seq != 0;
            self.add(Pending { record, tried, stored: true, seen: None });
        }
    }

    fn add(&mut self, pending: Pending) {
        self.pending_messages += 1;
        self.pending_bytes += pending.record.body.len();
        self.active.insert(pending.record.conversation);
        let queue = self.queues.entry(pending.record.conversation).or_default();
        queue.peer = queue.peer.or(peer_of(pending.record.peer.0));
        queue.pending.push_back(pending);
    }

    /// Messages without an answer, in the order of sending within each conversation.
    pub(super) fn pending(&self) -> impl Iterator<Item = &Record> {
        self.active.iter().filter_map(|id| self.queues.get(id)).flat_map(|queue| &queue.pending).map(|p| &p.record)
    }

    /// Takes a message: it is in the outbox when this returns, with its number where it goes out at once.
    pub(super) fn push(&mut self, out: &mut Outlet, live: bool, mut record: Record) -> Result<(), SendError> {
        let body_bytes = record.body.len();
        if body_bytes > BODY_BYTES_MAX {
            return Err(SendError::TooLarge);
        }
        if self.pending_messages >= PENDING_MESSAGES_MAX || self.pending_bytes + body_bytes > PENDING_BYTES_MAX {
            return Err(SendError::Full);
        }
        let conversation = record.conversation;
        record.peer = self.queues.get(&conversation).and_then(|queue| queue.peer).unwrap_or(UserId(0));
        self.add(Pending { record, tried: false, stored: false, seen: None });
        if live {
            self.pump(out);
        }
        let queue = self.queues.entry(conversation).or_default();
        let Some(pending) = queue.pending.back_mut().filter(|pending| !pending.stored) else { return Ok(()) };
        match self.outbox.put(std::slice::from_ref(&pending.record)) {
            Ok(()) => pending.stored = true,
            Err(error) => {
                queue.pending.pop_back();
                self.forget(conversation, body_bytes);
                return Err(SendError::Outbox(error));
            }
        }
        Ok(())
    }

    fn forget(&mut self, conversation: ConversationId, body_bytes: usize) {
        assert!(self.pending_messages > 0 && self.pending_bytes >= body_bytes);
        self.pending_messages -= 1;
        self.pending_bytes -= body_bytes;
        if self.queues.get(&conversation).is_none_or(|queue| queue.pending.is_empty()) {
            self.active.remove(&conversation);
        }
    }

    /// Asks what can be asked now, each conversation in its turn.
    pub(super) fn pump(&mut self, out: &mut Outlet) {
        self.adopt(out);
        if out.sending() >= SEND_REQUESTS_MAX {
            return;
        }
        let ready = |id: &&ConversationId| self.queues.get(*id).is_some_and(|queue| queue.is_ready(out.now_ms));
        let (mut behind, before): (Vec<ConversationId>, Vec<ConversationId>) =
            self.active.iter().filter(ready).partition(|id| self.last_served.is_none_or(|last| **id > last));
        behind.extend(before);
        for conversation in behind {
            if out.sending() >= SEND_REQUESTS_MAX || !out.has_room() {
                return;
            }
            self.last_served = Some(conversation);
            self.serve(out, conversation);
        }
    }

    fn adopt(&mut self, out: &mut Outlet) {
        if !self.may_adopt || !self.active.is_empty() {
            return;
        }
        match self.outbox.adopt() {
            Ok(records) => {
                self.may_adopt = !records.is_empty();
                self.absorb(records);
            }
            Err(error) => {
                self.may_adopt = false;
                out.event(ClientEvent::OutboxFailed { error: error.to_string() });
            }
        }
    }

    /// Sends the next request of a conversation that has none in flight.
    fn serve(&mut self, out: &mut Outlet, conversation: ConversationId) {
        let Some(queue) = self.queues.get_mut(&conversation) else { return };
        queue.retry_at_ms = None;
        if let Some(look_up) = &queue.look_up {
            let from_seq = look_up.from_seq;
            out.ask(Purpose::LookUp(conversation), |encoder, request| {
                encoder.history(request, conversation, from_seq, false, PAGE_MESSAGES)
            });
        } else if queue.opened.is_none() {
            let peer = queue.peer;
            out.ask(Purpose::OpenToSend(conversation), |encoder, request| match peer {
                Some(peer) => encoder.open_peer(request, peer),
                None => encoder.open(request, conversation),
            });
        } else if let Err(error) = send_first(&mut self.outbox, queue, out, conversation) {
            queue.retry_at_ms = Some(out.now_ms + RETRY_FIRST_MS);
            out.event(ClientEvent::OutboxFailed { error: error.to_string() });
            return;
        }
        queue.in_flight = true;
    }

    /// A conversation was opened, for whatever reason.
    pub(super) fn opened(&mut self, view: &schema::Opened<'_>) -> Result<ConversationId, Misbehaved> {
        let conversation = id_of(view.conversation())?;
        let queue = self.queues.entry(conversation).or_default();
        queue.hi = queue.hi.max(number_of(view.high())?);
        queue.opened = Some((view.epoch(), number_of(view.last_seq())?));
        queue.peer = peer_of(view.peer()).or(queue.peer);
        Ok(conversation)
    }

    /// Whether this is a message of ours that waits for its answer, or just had it; remembers where it was met.
    pub(super) fn meet(&mut self, message: &schema::Message<'_>, conversation: ConversationId) -> bool {
        if self.me != Some((UserId(message.sender()), DeviceId(message.device()))) {
            return false;
        }
        let message_id = MessageId(message.message_id());
        let Some(queue) = self.queues.get_mut(&conversation) else { return false };
        let Some(index) = queue.position(message_id) else { return self.sent.contains(&message_id) };
        let place = Place { epoch: message.epoch(), seq: message.seq(), ts_ms: message.ts_ms() };
        queue.pending[index].seen = Some(place);
        true
    }

    /// These messages have their outcome: forgotten by the outbox first, then told.
    pub(super) fn settle(&mut self, out: &mut Outlet, outcomes: Vec<(Pending, Outcome)>) {
        if outcomes.is_empty() {
            return;
        }
        let ids: Vec<MessageId> = outcomes.iter().map(|(pending, _)| pending.record.message_id).collect();
        if let Err(error) = self.outbox.remove(&ids) {
            out.event(ClientEvent::OutboxFailed { error: error.to_string() });
        }
        for (pending, outcome) in outcomes {
            let Record { message_id, conversation, kind, body, .. } = pending.record;
            self.forget(conversation, body.len());
            match (outcome, pending.seen) {
                (Outcome::Sent(place), _) | (_, Some(place)) => {
                    let Place { epoch, seq, ts_ms } = place;
                    out.event(ClientEvent::Sent { message_id, conversation, seq, ts_ms });
                    self.sent.truncate(SENT_KNOWN_MAX - 1);
                    self.sent.push_front(message_id);
                    if let Some((sender, device)) = self.me {
                        out.own.push(Message {
                            conversation,
                            epoch,
                            seq,
                            ts_ms,
                            sender,
                            device,
                            message_id,
                            kind,
                            body,
                        });
                    }
                }
                (Outcome::Failed(code), None) => out.event(ClientEvent::Failed { message_id, conversation, code }),
                (Outcome::Unknown, None) => out.event(ClientEvent::Unknown { message_id, conversation }),
            }
        }
    }

    /// A session has begun.
    pub(super) fn welcomed(&mut self, me: (UserId, DeviceId)) {
        self.me = Some(me);
        self.may_adopt = true;
    }

    pub(super) fn disconnect(&mut self) {
        self.queues.values_mut().for_each(Queue::disconnect);
        self.queues.retain(|_, queue| !queue.pending.is_empty() || queue.hi > 0 || queue.peer.is_some());
    }

    /// When something that waits is to be tried again.
    pub(super) fn deadline_ms(&self) -> Option<u64> {
        self.active
            .iter()
            .filter_map(|id| self.queues.get(id))
            .filter(|queue| !queue.in_flight)
            .filter_map(|queue| queue.retry_at_ms)
            .min()
    }
}

impl Queue {
    fn is_ready(&self, now_ms: u64) -> bool {
        !self.in_flight && !self.pending.is_empty() && self.retry_at_ms.is_none_or(|at_ms| at_ms <= now_ms)
    }
}

/// Numbers the first messages, has the outbox hold the numbers, and only then hands the request out.
fn send_first<O: Outbox>(
    outbox: &mut O,
    queue: &mut Queue,
    out: &mut Outlet,
    conversation: ConversationId,
) -> io::Result<()> {
    let (count, numbered) = queue.number();
    assert!(count > 0, "a queue without messages is not active");
    if !numbered.is_empty() {
        let records: Vec<Record> = numbered.iter().map(|&index| queue.pending[index].record.clone()).collect();
        if let Err(error) = outbox.put(&records) {
            queue.unnumber(&numbered);
            return Err(error);
        }
        for index in numbered {
            (queue.pending[index].stored, queue.pending[index].tried) = (true, true);
        }
    }
    let first = || queue.pending.iter().take(count).map(|pending| &pending.record);
    let messages: Vec<Outgoing<'_>> = first()
        .map(|record| Outgoing {
            client_seq: record.client_seq,
            message_id: record.message_id,
            kind: record.kind,
            body: &record.body,
        })
        .collect();
    let purpose = Purpose::Send(conversation, first().map(|r| (r.client_seq, r.message_id)).collect());
    out.ask(purpose, |encoder, request| encoder.send(request, conversation, &messages));
    Ok(())
}
