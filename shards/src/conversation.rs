//! One conversation at its home: members, order, dedup, what is durable and who waits for that.
//!
//! Hot path, step 5 of 8: a Send is judged here, message by message, and gets its seqs.
//!
//! The rules of REL-5, checked by randomized models: `client_seq` is gapless per device; at or below `high` with the
//! stored id it is the original ack, with another a conflict; at `high` + 1 it is new; above that out of order. Judging
//! stops at the first refusal. Acks, conflicts and `high` speak of durable rows only. One append is under way at a time.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use trunkline_wire::ids::{DeviceId, Lsn, MessageId, UserId};
use trunkline_wire::limits::{HISTORY_BYTES_MAX, message_cost_bytes};
use trunkline_wire::message::ErrorCode;

use crate::bucket::Bucket;
use crate::contract::Now;
use crate::entry::{Address, Caller, OutgoingMessage};
use crate::limits::Limits;
use crate::router::Reply;
use crate::store::{
    Append, ConversationImage, ConversationKey, ConversationMeta, DeviceHigh, RECENT_COST_BYTES_MAX, RECENT_ROWS_MAX,
    Row,
};

/// A message that is in the log: (client_seq, seq, ts_ms).
pub(crate) type AcceptedMessage = (u64, u64, u64);

/// How far one device is, and how far it is durably.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Device {
    high: u64,
    durable_high: u64,
    durable_message_id: u64,
}

/// A row in memory, and which connection it came from: that one gets the ack, not the message.
#[derive(Debug)]
pub(crate) struct RecentRow {
    pub row: Row,
    pub origin: Option<Address>,
}

/// A Send that is judged up to some point.
#[derive(Debug)]
pub(crate) struct SuspendedSend {
    pub caller: Caller,
    pub reply: Reply,
    pub request: u32,
    pub messages: Vec<OutgoingMessage>,
    /// The first message that is not judged yet.
    pub next: usize,
    pub accepted: Vec<AcceptedMessage>,
    /// The answer waits until this seq is durable.
    pub need_seq: u64,
}

/// A Send whose answer is settled.
#[derive(Debug)]
pub(crate) struct JudgedSend {
    pub caller: Caller,
    pub reply: Reply,
    pub request: u32,
    pub accepted: Vec<AcceptedMessage>,
    pub refusal: Option<ErrorCode>,
    pub need_seq: u64,
}

/// What judging came to.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Settled; to be answered now, or once `need_seq` is durable.
    Judged(JudgedSend),
    /// The next message is a repetition that memory does not reach back to: its row has to be looked up.
    LookUp(SuspendedSend),
}

/// The append that is under way.
#[derive(Debug)]
struct Appending {
    last_seq: u64,
    /// Its answer was once `Unknown`: the rows may be there, so they are written until they are.
    ambiguous: bool,
}

/// The next delivery: a seq, and which of its target shards come next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct FanOut {
    /// Everything up to here was handed to every member's home.
    pub done_seq: u64,
    /// Target shards of the next seq that have it already.
    pub targets_done: u32,
}

/// One conversation.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub key: ConversationKey,
    pub meta: ConversationMeta,
    /// Whether the meta is in the store; if not it goes with the first append.
    meta_stored: bool,
    pub epoch: u64,
    last_seq: u64,
    pub durable_seq: u64,
    last_ts_ms: u64,
    devices: BTreeMap<(UserId, DeviceId), Device>,
    recent: VecDeque<RecentRow>,
    recent_cost_bytes: usize,
    appending: Option<Appending>,
    pending_bytes: usize,
    waiting: Vec<JudgedSend>,
    checkpoint_seq: u64,
    bucket: Bucket,
    pub fan_out: FanOut,
    /// Whether it is in a queue for fan-out.
    pub fan_out_queued: bool,
}

impl Conversation {
    /// A conversation that nobody has written to yet.
    pub fn new(key: ConversationKey, meta: ConversationMeta, incarnation: u64) -> Conversation {
        Conversation {
            key,
            meta,
            meta_stored: false,
            epoch: incarnation,
            last_seq: 0,
            durable_seq: 0,
            last_ts_ms: 0,
            devices: BTreeMap::new(),
            recent: VecDeque::new(),
            recent_cost_bytes: 0,
            appending: None,
            pending_bytes: 0,
            waiting: Vec::new(),
            checkpoint_seq: 0,
            bucket: Bucket::default(),
            fan_out: FanOut::default(),
            fan_out_queued: false,
        }
    }

    /// A conversation as the store has it.
    pub fn load(key: ConversationKey, image: ConversationImage, incarnation: u64) -> Conversation {
        let mut conversation = Conversation::new(key, image.meta, incarnation);
        conversation.meta_stored = true;
        conversation.last_seq = image.last_seq;
        conversation.durable_seq = image.last_seq;
        conversation.checkpoint_seq = image.checkpoint_seq;
        conversation.fan_out.done_seq = image.last_seq;
        for high in image.devices {
            let device = Device { high: high.high, durable_high: high.high, durable_message_id: high.message_id.0 };
            conversation.devices.insert((high.user, high.device), device);
        }
        if let Some(last) = image.recent.last() {
            conversation.epoch = incarnation.max(last.epoch);
            conversation.last_ts_ms = last.ts_ms;
        }
        for row in image.recent {
            conversation.recent_cost_bytes += message_cost_bytes(row.body.len());
            conversation.recent.push_back(RecentRow { row, origin: None });
        }
        conversation
    }

    /// Whether a user may see and write it.
    pub fn admits(&self, user: UserId) -> bool {
        self.meta.peers.contains(&user)
    }

    /// The other end of a 1:1.
    pub fn peer_of(&self, user: UserId) -> UserId {
        self.meta.peer_of(user)
    }

    /// The device's highest durable client_seq, and the message that has it.
    pub fn durable_high(&self, user: UserId, device: DeviceId) -> (u64, u64) {
        let device = self.devices.get(&(user, device)).copied().unwrap_or_default();
        (device.durable_high, device.durable_message_id)
    }

    /// Judges a Send from where it was left; new messages get their seqs and are pending from then on.
    pub fn judge(&mut self, mut send: SuspendedSend, now: Now, limits: &Limits, can_append: bool) -> Verdict {
        let sender = (send.caller.user, send.caller.device);
        while let Some(message) = send.messages.get(send.next) {
            let high = self.devices.get(&sender).map_or(0, |device| device.high);
            let refusal = if message.client_seq <= high {
                match self.find_recent(sender, message.client_seq) {
                    Some(row) => send.judge_repeated(row),
                    None if self.memory_reaches_back(limits) => Some(ErrorCode::Expired),
                    None => return Verdict::LookUp(send),
                }
            } else {
                self.judge_new(&mut send, high, now, limits, can_append)
            };
            if refusal.is_some() {
                return Verdict::Judged(send.settle(refusal));
            }
            send.next += 1;
        }
        Verdict::Judged(send.settle(None))
    }

    /// Goes on with a Send whose next message was looked up in the store.
    pub fn judge_found(
        &mut self,
        mut send: SuspendedSend,
        found: Option<Row>,
        now: Now,
        limits: &Limits,
        can_append: bool,
    ) -> Verdict {
        let Some(row) = found else {
            return Verdict::Judged(send.settle(Some(ErrorCode::Expired)));
        };
        let refusal = send.judge_repeated(&row);
        if refusal.is_some() {
            return Verdict::Judged(send.settle(refusal));
        }
        send.next += 1;
        self.judge(send, now, limits, can_append)
    }

    /// The seqs in which a repetition is looked up when memory does not have it.
    pub fn look_up_range(&self, limits: &Limits) -> (u64, u64) {
        let below_memory = self.recent.front().map_or(self.last_seq, |first| first.row.seq.saturating_sub(1));
        (self.last_seq.saturating_sub(limits.repeat_rows_max).max(1), below_memory)
    }

    /// Gives the next message of a Send the next seq, or says why not.
    fn judge_new(
        &mut self,
        send: &mut SuspendedSend,
        high: u64,
        now: Now,
        limits: &Limits,
        can_append: bool,
    ) -> Option<ErrorCode> {
        let message = &send.messages[send.next];
        if message.refusal.is_some() {
            return message.refusal;
        }
        if message.client_seq > high + 1 {
            return Some(ErrorCode::OutOfOrder);
        }
        if self.is_full(message, limits) || (self.appending.is_none() && !can_append) {
            return Some(ErrorCode::Busy);
        }
        let (burst, per_s) = (limits.conversation_send_burst, limits.conversation_send_per_s);
        if !self.bucket.take_per_s(now.mono_ns, burst, per_s, 1) {
            return Some(ErrorCode::RateLimited);
        }
        self.last_seq += 1;
        self.last_ts_ms = self.last_ts_ms.max(now.wall_ms);
        let row = message.to_row(&send.caller, self.last_seq, self.epoch, self.last_ts_ms);
        send.accepted.push((row.client_seq, row.seq, row.ts_ms));
        send.need_seq = row.seq;
        self.push_pending(RecentRow { row, origin: Some(send.caller.address) });
        None
    }

    /// Whether too much already waits for the store, or for lanes to its recipients.
    fn is_full(&self, message: &OutgoingMessage, limits: &Limits) -> bool {
        self.last_seq - self.fan_out.done_seq.min(self.durable_seq) >= limits.conversation_pending_max
            || (self.pending_bytes + message.body.len()) as u64 > limits.conversation_pending_bytes_max
    }

    fn push_pending(&mut self, recent: RecentRow) {
        let row = &recent.row;
        self.devices.entry((row.sender, row.device)).or_default().high = row.client_seq;
        self.pending_bytes += row.body.len();
        self.recent_cost_bytes += message_cost_bytes(row.body.len());
        self.recent.push_back(recent);
    }

    fn find_recent(&self, sender: (UserId, DeviceId), client_seq: u64) -> Option<&Row> {
        let mut rows = self.recent.iter().rev().map(|recent| &recent.row);
        rows.find(|row| (row.sender, row.device) == sender && row.client_seq == client_seq)
    }

    /// Whether memory holds every row in which a repetition is looked up.
    fn memory_reaches_back(&self, limits: &Limits) -> bool {
        let (from, to) = self.look_up_range(limits);
        from > to
    }

    /// Waits until a Send's rows are durable.
    pub fn wait(&mut self, send: JudgedSend) {
        self.waiting.push(send);
    }

    /// What to append now, if rows are pending and no append is under way.
    pub fn next_append(&mut self) -> Option<Append> {
        if self.appending.is_some() || self.last_seq == self.durable_seq {
            return None;
        }
        self.appending = Some(Appending { last_seq: self.last_seq, ambiguous: false });
        Some(self.append_up_to(self.last_seq))
    }

    /// The append under way once more: its answer is not known, and the same rows at the same seqs are harmless.
    pub fn repeat_append(&mut self) -> Option<Append> {
        let appending = self.appending.as_mut()?;
        appending.ambiguous = true;
        let last_seq = appending.last_seq;
        Some(self.append_up_to(last_seq))
    }

    fn append_up_to(&self, last_seq: u64) -> Append {
        let rows = self.rows_between(self.durable_seq + 1, last_seq).cloned().collect();
        Append { key: self.key, meta: (!self.meta_stored).then(|| self.meta.clone()), mark: None, rows }
    }

    /// The append under way is durable: the Sends that can be answered.
    pub fn appended(&mut self) -> Vec<JudgedSend> {
        let appending = self.appending.take().expect("an append was under way");
        let (from, to) = (self.durable_seq + 1, appending.last_seq);
        let marks: Vec<_> = self
            .rows_between(from, to)
            .map(|r| (r.sender, r.device, r.client_seq, r.message_id, r.body.len()))
            .collect();
        for (user, device, client_seq, message_id, bytes) in marks {
            let device = self.devices.entry((user, device)).or_default();
            device.durable_high = client_seq;
            device.durable_message_id = message_id.0;
            self.pending_bytes -= bytes;
        }
        self.meta_stored = true;
        self.durable_seq = appending.last_seq;
        self.trim_recent();
        let durable_seq = self.durable_seq;
        self.waiting.extract_if(.., |send| send.need_seq <= durable_seq).collect()
    }

    /// Whether the append under way may have been written although its answer said nothing of it.
    pub fn is_append_ambiguous(&self) -> bool {
        self.appending.as_ref().is_some_and(|appending| appending.ambiguous)
    }

    /// The append under way was refused for certain: its rows, and those behind them, never were.
    pub fn refused(&mut self) -> Vec<JudgedSend> {
        self.appending = None;
        while self.recent.back().is_some_and(|recent| recent.row.seq > self.durable_seq) {
            if let Some(recent) = self.recent.pop_back() {
                self.recent_cost_bytes -= message_cost_bytes(recent.row.body.len());
            }
        }
        self.last_seq = self.durable_seq;
        self.pending_bytes = 0;
        self.devices.retain(|_, device| {
            device.high = device.durable_high;
            device.high > 0
        });
        let mut settled = core::mem::take(&mut self.waiting);
        for send in &mut settled {
            let judged = send.accepted.len();
            send.accepted.retain(|&(_, seq, _)| seq <= self.durable_seq);
            let lost = send.accepted.len() < judged;
            send.refusal = Some(if lost { ErrorCode::StorageFull } else { ErrorCode::Busy });
        }
        settled
    }

    /// A checkpoint of all devices, when enough rows came since the last one.
    pub fn next_checkpoint(&mut self, rows: u64) -> Option<(u64, Vec<DeviceHigh>)> {
        if self.durable_seq < self.checkpoint_seq + rows {
            return None;
        }
        self.checkpoint_seq = self.durable_seq;
        let devices = self.devices.iter().filter(|(_, device)| device.durable_high > 0);
        let highs = devices.map(|(&(user, id), device)| DeviceHigh {
            user,
            device: id,
            high: device.durable_high,
            message_id: MessageId(device.durable_message_id),
        });
        Some((self.durable_seq, highs.collect()))
    }

    /// The next durable row that was not handed to every member's home.
    pub fn next_delivery(&self) -> Option<&RecentRow> {
        let seq = self.fan_out.done_seq + 1;
        if seq > self.durable_seq {
            return None;
        }
        let first = self.recent.front()?.row.seq;
        self.recent.get((seq - first) as usize)
    }

    /// That row was handed to every member's home.
    pub fn delivered(&mut self) {
        self.fan_out = FanOut { done_seq: self.fan_out.done_seq + 1, targets_done: 0 };
        self.trim_recent();
    }

    /// Forgets the oldest rows above the bounds, but none that is pending or still to be delivered.
    fn trim_recent(&mut self) {
        let pinned_from = self.durable_seq.min(self.fan_out.done_seq) + 1;
        while self.recent.len() > RECENT_ROWS_MAX || self.recent_cost_bytes > RECENT_COST_BYTES_MAX {
            match self.recent.front() {
                Some(first) if first.row.seq < pinned_from && self.recent.len() > 1 => {
                    self.recent_cost_bytes -= message_cost_bytes(first.row.body.len());
                    self.recent.pop_front();
                }
                _ => break,
            }
        }
    }

    fn rows_between(&self, from: u64, to: u64) -> impl DoubleEndedIterator<Item = &Row> {
        let first = self.recent.front().map_or(1, |recent| recent.row.seq);
        let end = ((to + 1).max(first) - first).min(self.recent.len() as u64);
        let start = (from.max(first) - first).min(end);
        self.recent.range(start as usize..end as usize).map(|recent| &recent.row)
    }

    /// A page of durable rows in ascending order, and whether its direction goes on behind it; none when memory does not
    /// reach back far enough.
    pub fn page(&self, from_seq: u64, backward: bool, limit: usize) -> Option<(Vec<&Row>, bool)> {
        let first = self.recent.front().map_or(self.durable_seq + 1, |recent| recent.row.seq);
        let mut page = PageRows { rows: Vec::new(), cost_bytes: 0, limit };
        if backward {
            let mut rows = self.rows_between(first, from_seq.min(self.durable_seq)).rev();
            let full = rows.any(|row| !page.take(row)) || page.rows.len() == limit;
            if !full && first > 1 {
                return None;
            }
            page.rows.reverse();
            let more = page.rows.first().is_some_and(|row| row.seq > 1);
            return Some((page.rows, more));
        }
        if from_seq.max(1) < first && self.durable_seq > 0 {
            return None;
        }
        let mut rows = self.rows_between(from_seq.max(1), self.durable_seq);
        rows.any(|row| !page.take(row));
        let more = page.rows.last().is_some_and(|row| row.seq < self.durable_seq);
        Some((page.rows, more))
    }
}

/// The rows of a page while it is filled.
struct PageRows<'a> {
    rows: Vec<&'a Row>,
    cost_bytes: usize,
    limit: usize,
}

impl<'a> PageRows<'a> {
    /// Takes a row while the page has room for it; the first always has.
    fn take(&mut self, row: &'a Row) -> bool {
        self.cost_bytes += message_cost_bytes(row.body.len());
        let takes = self.rows.len() < self.limit && (self.rows.is_empty() || self.cost_bytes <= HISTORY_BYTES_MAX);
        if takes {
            self.rows.push(row);
        }
        takes
    }
}

impl OutgoingMessage {
    fn to_row(&self, caller: &Caller, seq: u64, epoch: u64, ts_ms: u64) -> Row {
        Row {
            seq,
            epoch,
            lsn: Lsn::default(),
            ts_ms,
            sender: caller.user,
            device: caller.device,
            client_seq: self.client_seq,
            message_id: self.message_id,
            kind: self.kind,
            flags: self.flags,
            sent_at_ms: 0,
            ref_seq: self.ref_seq,
            mls_epoch: self.mls_epoch,
            body: self.body.clone(),
        }
    }
}

impl SuspendedSend {
    /// The row that has the next message's number: the original ack, or a conflict. Both wait until it is durable.
    fn judge_repeated(&mut self, row: &Row) -> Option<ErrorCode> {
        self.need_seq = self.need_seq.max(row.seq);
        if self.messages[self.next].message_id != row.message_id {
            return Some(ErrorCode::ClientSeqConflict);
        }
        self.accepted.push((row.client_seq, row.seq, row.ts_ms));
        None
    }

    /// Whether the next message came above its sender's rate: then it is not worth a read. What is accepted so far is
    /// durable, since memory no longer has it.
    pub fn is_over_rate(&self) -> bool {
        self.messages.get(self.next).is_some_and(|message| message.refusal == Some(ErrorCode::RateLimited))
    }

    /// What is accepted so far is the answer, and why the next one is not.
    pub fn settle(self, refusal: Option<ErrorCode>) -> JudgedSend {
        JudgedSend {
            caller: self.caller,
            reply: self.reply,
            request: self.request,
            accepted: self.accepted,
            refusal,
            need_seq: self.need_seq,
        }
    }
}
