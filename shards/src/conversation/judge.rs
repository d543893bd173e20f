//! Judging a Send, message by message.
//!
//! Hot path, step 5 of 8: a message is found to be a repetition, or gets its seq, or is refused.
//!
//! The rules of REL-5, checked by randomized models: `client_seq` is gapless per device; at or below `high` with the
//! stored id it is the original ack, with another a conflict; at `high` + 1 it is new; above that out of order. Judging
//! stops at the first refusal. Only new messages need a member: a repetition of what was accepted is never refused.

use alloc::vec::Vec;

use trunkline_wire::ids::Lsn;
use trunkline_wire::message::ErrorCode;

use super::Conversation;
use super::recent::RecentRow;
use crate::contract::Now;
use crate::entry::{Caller, OutgoingMessage};
use crate::limits::Limits;
use crate::router::Reply;
use crate::store::Row;

/// A message that is in the log: (client_seq, seq, ts_ms).
pub(crate) type AcceptedMessage = (u64, u64, u64);

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
    /// Of what is accepted; an Ack speaks of one.
    pub epoch: u64,
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
    pub epoch: u64,
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

impl Conversation {
    /// Judges a Send from where it was left; new messages get their seqs and are pending from then on.
    pub fn judge(&mut self, mut send: SuspendedSend, now: Now, limits: &Limits, can_append: bool) -> Verdict {
        let sender = (send.caller.user, send.caller.device);
        while let Some(message) = send.messages.get(send.next) {
            let high = self.devices.high(sender);
            let refusal = if message.client_seq <= high {
                match self.recent.find_send(sender, message.client_seq) {
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
        let below_memory = self.recent.first_seq().map_or(self.last_seq, |first| first.saturating_sub(1));
        (self.last_seq.saturating_sub(limits.repeat_rows_max).max(1), below_memory)
    }

    /// Whether memory holds every row in which a repetition is looked up.
    fn memory_reaches_back(&self, limits: &Limits) -> bool {
        let (from, to) = self.look_up_range(limits);
        from > to
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
        if !self.roster.is_member(send.caller.user) {
            // Final for the client: said once the removal is durable, and `busy` if that never becomes so.
            let left_seq = self.roster.latest(send.caller.user).map_or(0, |member| member.left_seq);
            send.need_seq = send.need_seq.max(left_seq);
            return Some(ErrorCode::Forbidden);
        }
        if self.blocks.refuse(send.caller.user) {
            // The block is durable already. A user who is blocked is told no more than one who may not.
            return Some(ErrorCode::Forbidden);
        }
        let message = &send.messages[send.next];
        if message.refusal.is_some() {
            return message.refusal;
        }
        if message.client_seq > high + 1 {
            return Some(ErrorCode::OutOfOrder);
        }
        if send.is_of_another_epoch(self.epoch) {
            return Some(ErrorCode::Busy);
        }
        let refusal = self.refuses_row(message.body.len(), now, limits, can_append);
        if refusal.is_some() {
            return refusal;
        }
        let (seq, ts_ms) = self.next_place(now);
        let row = message.to_row(&send.caller, seq, self.epoch, ts_ms);
        send.accept(&row);
        send.need_seq = row.seq;
        self.push_pending(RecentRow { row, origin: Some(send.caller.address), accepted_ns: now.mono_ns });
        None
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
    /// A Send of which nothing is judged yet.
    pub fn new(caller: Caller, reply: Reply, request: u32, messages: Vec<OutgoingMessage>) -> SuspendedSend {
        let accepted = Vec::with_capacity(messages.len());
        SuspendedSend { caller, reply, request, messages, next: 0, accepted, epoch: 0, need_seq: 0 }
    }

    /// The row that has the next message's number: the original ack, or a conflict. Both wait until it is durable.
    fn judge_repeated(&mut self, row: &Row) -> Option<ErrorCode> {
        self.need_seq = self.need_seq.max(row.seq);
        if self.messages[self.next].message_id != row.message_id {
            return Some(ErrorCode::ClientSeqConflict);
        }
        if self.is_of_another_epoch(row.epoch) {
            return Some(ErrorCode::Busy);
        }
        self.accept(row);
        None
    }

    fn accept(&mut self, row: &Row) {
        self.epoch = row.epoch;
        self.accepted.push((row.client_seq, row.seq, row.ts_ms));
    }

    /// Whether a row does not go with what is accepted already: the client asks for it again, and gets an Ack of its epoch.
    fn is_of_another_epoch(&self, epoch: u64) -> bool {
        !self.accepted.is_empty() && self.epoch != epoch
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
            epoch: self.epoch,
            refusal,
            need_seq: self.need_seq,
        }
    }
}
