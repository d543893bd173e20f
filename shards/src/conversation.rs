//! One conversation at its home: members, order, dedup, what is durable and who waits for that.
//!
//! Acks, conflicts and `high` speak of durable rows only, windows and watermarks too. One append is under way at a time.

pub(crate) mod announcing;
mod blocks;
mod crowd;
mod devices;
mod handing;
mod judge;
mod recent;
mod residence;
pub(crate) mod roster;
pub(crate) mod targets;
pub(crate) mod watermarks;

use alloc::sync::Arc;
use alloc::vec::Vec;

use trunkline_wire::ids::{DeviceId, Lsn, MessageId, UserId};
use trunkline_wire::message::{ContentKind, ConversationKind, ErrorCode};

use crate::bucket::Bucket;
use crate::contract::Now;
use crate::entry::Caller;
use crate::limits::Limits;
use crate::router::Reply;
use crate::store::{
    Append, ConversationImage, ConversationKey, ConversationMeta, DeviceHigh, DeviceReceipt, Member, Row,
};

use announcing::Announcing;
use crowd::Crowd;
use devices::Devices;
use handing::FanOut;
use recent::{RecentRow, RecentRows};
use residence::Residence;
use roster::Roster;
use watermarks::Watermarks;

pub(crate) use blocks::Blocks;
pub(crate) use judge::{JudgedSend, SuspendedSend, Verdict};
pub(crate) use residence::KEPT_NS;

/// What a change of the members is answered with, once it is durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ChangeAnswer {
    /// The group, as the caller sees it.
    Opened,
    /// The seq of the change; 0: there was nothing to change.
    Changed(u64),
}

/// A change of the members whose answer waits.
#[derive(Debug)]
pub(crate) struct WaitingChange {
    pub caller: Caller,
    pub reply: Reply,
    pub request: u32,
    pub answer: ChangeAnswer,
    /// The answer waits until this seq is durable.
    pub need_seq: u64,
}

/// Those who can be answered, in order.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    pub sends: Vec<JudgedSend>,
    pub changes: Vec<WaitingChange>,
}

impl Settled {
    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.sends.is_empty() && self.changes.is_empty()
    }
}

/// The append that is under way.
#[derive(Debug)]
struct Appending {
    last_seq: u64,
    /// The mark it carries.
    mark: Option<u64>,
    /// Its answer was once `Unknown`: the rows may be there, so they are written until they are.
    ambiguous: bool,
}

/// Rows that are not durable or not handed on, and who waits for them to be durable.
#[derive(Debug, Default)]
struct Pending {
    appending: Option<Appending>,
    /// Of the bodies of all of them.
    bytes: usize,
    waiting: Settled,
    /// Whether it waits until the store takes appends.
    append_queued: bool,
}

/// One conversation.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub key: ConversationKey,
    pub meta: Arc<ConversationMeta>,
    /// Whether the meta is in the store; if not it goes with the first append.
    meta_stored: bool,
    pub epoch: u64,
    last_seq: u64,
    pub durable_seq: u64,
    last_ts_ms: u64,
    pub roster: Roster,
    devices: Devices,
    checkpoint_seq: u64,
    pub recent: RecentRows,
    pending: Pending,
    bucket: Bucket,
    pub fan_out: FanOut,
    pub announcing: Announcing,
    pub watermarks: Watermarks,
    pub crowd: Crowd,
    pub blocks: Blocks,
    pub residence: Residence,
}

impl Conversation {
    /// A conversation that nobody has written to yet.
    pub fn new(key: ConversationKey, meta: ConversationMeta, incarnation: u64) -> Conversation {
        let is_group = meta.kind == ConversationKind::Group as u8;
        let roster = if is_group { Roster::group(Vec::new()) } else { Roster::Direct(meta.peers.clone()) };
        Conversation {
            key,
            meta: Arc::new(meta),
            meta_stored: false,
            epoch: incarnation,
            last_seq: 0,
            durable_seq: 0,
            last_ts_ms: 0,
            roster,
            devices: Devices::default(),
            checkpoint_seq: 0,
            recent: RecentRows::default(),
            pending: Pending::default(),
            bucket: Bucket::default(),
            fan_out: FanOut::default(),
            announcing: Announcing::new(false),
            watermarks: Watermarks::default(),
            crowd: Crowd::default(),
            blocks: Blocks::default(),
            residence: Residence::default(),
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
        conversation.devices = Devices::from_list(&image.devices);
        conversation.announcing = Announcing::new(image.mark.is_some());
        conversation.watermarks = Watermarks::from_list(image.receipts);
        conversation.blocks.take_all(image.blocks);
        if conversation.is_group() {
            conversation.roster = Roster::group(image.members);
        }
        if let Some(last) = image.recent.last() {
            conversation.epoch = incarnation.max(last.epoch);
            conversation.last_ts_ms = last.ts_ms;
        }
        conversation.recent = RecentRows::from_rows(image.recent);
        conversation
    }

    /// Whether its members come and go.
    pub fn is_group(&self) -> bool {
        self.meta.kind == ConversationKind::Group as u8
    }

    /// Whether it is a group that nobody has made yet: its users are being checked, or the store refused it.
    pub fn is_unborn(&self) -> bool {
        self.is_group() && self.last_seq == 0
    }

    /// The device's highest durable client_seq, and the message that has it.
    pub fn durable_high(&self, user: UserId, device: DeviceId) -> (u64, u64) {
        self.devices.durable_high((user, device))
    }

    /// The seqs that a user sees now.
    pub fn window_of(&self, member: &Member) -> (u64, u64) {
        (member.joined_seq, member.left_seq.min(self.durable_seq))
    }

    /// Why there is no room for one more row now, if there is none. It counts against the rate.
    pub fn refuses_row(&mut self, body_bytes: usize, now: Now, limits: &Limits, can_append: bool) -> Option<ErrorCode> {
        let rows = self.last_seq - self.fan_out.done_seq.min(self.durable_seq);
        let bytes = (self.pending.bytes + body_bytes) as u64;
        if rows >= limits.conversation_pending_max
            || bytes > limits.conversation_pending_bytes_max
            || (self.pending.appending.is_none() && !can_append)
        {
            return Some(ErrorCode::Busy);
        }
        let (burst, per_s) = (limits.conversation_send_burst, limits.conversation_send_per_s);
        (!self.bucket.take_per_s(now.mono_ns, burst, per_s, 1)).then_some(ErrorCode::RateLimited)
    }

    /// The next seq and its time.
    fn next_place(&mut self, now: Now) -> (u64, u64) {
        self.last_seq += 1;
        self.last_ts_ms = self.last_ts_ms.max(now.wall_ms);
        (self.last_seq, self.last_ts_ms)
    }

    fn push_pending(&mut self, recent: RecentRow) {
        self.devices.take(&recent.row);
        self.pending.bytes += recent.row.body.len();
        self.recent.push(recent);
    }

    /// Changes the members with the next row, for everything that is judged from now on. Its seq.
    pub fn change_members(&mut self, caller: &Caller, message_id: MessageId, body: Vec<u8>, now: Now) -> u64 {
        let (seq, ts_ms) = self.next_place(now);
        let row = Row {
            seq,
            epoch: self.epoch,
            lsn: Lsn::default(),
            ts_ms,
            sender: caller.user,
            device: caller.device,
            client_seq: 0,
            message_id,
            kind: ContentKind::Membership as u8,
            flags: 0,
            sent_at_ms: 0,
            ref_seq: 0,
            mls_epoch: 0,
            body: body.into(),
        };
        self.roster.take(&row);
        self.end_targets_before(seq);
        // It comes from the server: the connection that asked gets it like everybody else.
        self.push_pending(RecentRow { row, origin: None, accepted_ns: 0 });
        seq
    }

    /// Waits until a Send's rows are durable.
    pub fn wait(&mut self, send: JudgedSend) {
        self.pending.waiting.sends.push(send);
    }

    /// Waits until a change is durable.
    pub fn wait_for_change(&mut self, change: WaitingChange) {
        self.pending.waiting.changes.push(change);
    }

    /// Whether rows are pending that may be appended now.
    pub fn has_append(&self) -> bool {
        self.pending.appending.is_none() && self.last_seq > self.durable_seq && !self.announcing.is_going()
    }

    /// Whether it is in the queue for appends, from now on.
    pub fn queue_append(&mut self, is_queued: bool) -> bool {
        core::mem::replace(&mut self.pending.append_queued, is_queued)
    }

    /// What to append now, if rows are pending and no append is under way.
    pub fn next_append(&mut self) -> Option<Append> {
        if !self.has_append() {
            return None;
        }
        let mark = self.announcing.mark_append(self.durable_seq);
        self.pending.appending = Some(Appending { last_seq: self.last_seq, mark, ambiguous: false });
        self.append_under_way()
    }

    /// The append under way once more: its answer is not known, and the same rows at the same seqs are harmless.
    pub fn repeat_append(&mut self) -> Option<Append> {
        self.pending.appending.as_mut()?.ambiguous = true;
        self.append_under_way()
    }

    fn append_under_way(&self) -> Option<Append> {
        let appending = self.pending.appending.as_ref()?;
        let rows = self.recent.between(self.durable_seq + 1, appending.last_seq).cloned().collect();
        let meta = (!self.meta_stored).then(|| ConversationMeta::clone(&self.meta));
        Some(Append { key: self.key, meta, mark: appending.mark, rows })
    }

    /// Whether the append under way may have been written although its answer said nothing of it.
    pub fn is_append_ambiguous(&self) -> bool {
        self.pending.appending.as_ref().is_some_and(|appending| appending.ambiguous)
    }

    /// The append under way is durable: those who can be answered.
    pub fn appended(&mut self) -> Settled {
        let appending = self.pending.appending.take().expect("an append was under way");
        for row in self.recent.between(self.durable_seq + 1, appending.last_seq) {
            self.devices.settle(row);
        }
        self.meta_stored = true;
        self.durable_seq = appending.last_seq;
        self.roster.settle(self.durable_seq);
        self.recent.trim(self.pinned_from());
        let (durable_seq, waiting) = (self.durable_seq, &mut self.pending.waiting);
        Settled {
            sends: waiting.sends.extract_if(.., |send| send.need_seq <= durable_seq).collect(),
            changes: waiting.changes.extract_if(.., |change| change.need_seq <= durable_seq).collect(),
        }
    }

    /// The append under way was refused for certain: its rows, and those behind them, never were. Who waited for them.
    pub fn refused(&mut self) -> Settled {
        let appending = self.pending.appending.take().expect("an append was under way");
        if appending.mark.is_some() {
            self.announcing.mark_refused();
        }
        let lost = self.recent.between(self.durable_seq + 1, self.last_seq).map(|row| row.body.len());
        self.pending.bytes -= lost.sum::<usize>();
        self.recent.cut_above(self.durable_seq);
        self.last_seq = self.durable_seq;
        self.devices.undo_pending();
        self.roster.undo_pending();
        let mut settled = core::mem::take(&mut self.pending.waiting);
        for send in &mut settled.sends {
            let judged = send.accepted.len();
            send.accepted.retain(|&(_, seq, _)| seq <= self.durable_seq);
            let lost = send.accepted.len() < judged;
            send.refusal = Some(if lost { ErrorCode::StorageFull } else { ErrorCode::Busy });
        }
        settled
    }

    /// What a checkpoint says, when enough rows came since the last one: as of which seq, devices, members.
    pub fn next_checkpoint(&mut self, rows: u64) -> Option<(u64, Vec<DeviceHigh>, Vec<Member>)> {
        if self.durable_seq < self.checkpoint_seq + rows {
            return None;
        }
        self.checkpoint_seq = self.durable_seq;
        Some((self.durable_seq, self.devices.to_durable_list(), self.roster.to_durable_list()))
    }

    /// A device says how far it is; whether that was news. Users who never were members say nothing.
    pub fn take_receipt(&mut self, receipt: DeviceReceipt) -> bool {
        let Some(member) = self.roster.durable(receipt.user) else { return false };
        let window = self.window_of(&member);
        self.watermarks.raise(receipt, window)
    }

    /// Its mark is deleted now, if it still may go or an earlier delete has no known answer; whether it is.
    pub fn unmark(&mut self) -> bool {
        self.announcing.settle_queued = false;
        if self.announcing.is_going() {
            return true;
        }
        // Rows may have come since it was queued.
        let goes = self.may_unmark();
        if goes {
            self.announcing.unmark();
        }
        goes
    }

    /// Whether every list that has to know it does, so that its mark may go.
    pub fn may_unmark(&self) -> bool {
        self.announcing.is_marked()
            && self.announcing.is_acknowledged()
            && self.last_seq == self.fan_out.done_seq
            && !self.crowd.is_untold()
    }

    /// Rows from here on are pending or still to be handed on.
    fn pinned_from(&self) -> u64 {
        self.durable_seq.min(self.fan_out.done_seq) + 1
    }
}
