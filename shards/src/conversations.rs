//! The conversations this shard is home of: taken up from the store on demand, asked, appended to.

mod announce;
mod answers;
#[cfg(test)]
mod blocked;
mod blocking;
#[cfg(test)]
mod bounds;
#[cfg(test)]
mod churn;
mod eviction;
mod groups;
#[cfg(test)]
mod membership;
mod notices;
mod puts;
mod replay;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod rig_store;
mod taking_up;
mod timetable;
mod typing;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use trunkline_wire::limits::HISTORY_MESSAGES_MAX;
use trunkline_wire::message::ErrorCode;

use crate::contract::ShardId;
use crate::conversation::{Conversation, SuspendedSend, Verdict};
use crate::desk::Purpose;
use crate::entry::{Caller, HomeRequest};
use crate::router::Reply;
use crate::store::{ConversationKey, DeviceReceipt, Load, Loaded, Member, Put, StoreFault};
use crate::turn::Turn;

use answers::{answer_history, answer_members, answer_opened, answer_send, answer_settled};
use replay::Replay;
use taking_up::Waiters;
use timetable::{Due, Timetable};

pub(crate) use answers::{fields_of, history_loaded};

/// A conversation, or who waits for it.
enum Place {
    Loading(Waiters),
    Here(Box<Conversation>),
}

/// All conversations of this shard that are in memory.
pub(crate) struct Conversations {
    places: HashMap<ConversationKey, Place, FixedState>,
    /// Conversations with something to hand on.
    pub(crate) fan_outs: VecDeque<ConversationKey>,
    /// Conversations whose next delivery waits for credit towards a shard.
    pub(crate) blocked: Vec<Vec<ConversationKey>>,
    timetable: Timetable,
    /// Conversations whose next append waits until the store takes appends.
    appends: VecDeque<ConversationKey>,
    /// Conversations whose mark may go, when the store takes writes.
    settles: VecDeque<ConversationKey>,
    /// Watermarks of conversations that could not be taken up yet, each with the time from which it is tried again.
    late_receipts: VecDeque<(u64, ConversationKey, DeviceReceipt)>,
    /// Conversations whose watermarks are due, when the store takes writes.
    flushes: VecDeque<ConversationKey>,
    /// Deletes of marks and writes of watermarks that the store has not answered.
    puts: u64,
    /// Which of the two comes next.
    receipts_next: bool,
    replay: Replay,
    /// (key, number of its stay) of those that are here, to be looked at for eviction in turn.
    clock: VecDeque<(ConversationKey, u64)>,
    stays: u64,
    /// How many are here.
    here: u64,
    /// How many of them are kept because nothing of them is stored.
    kept: u64,
}

/// Between two attempts of what the store or a lane did not take.
const REPEAT_AFTER_NS: u64 = 100_000_000;

impl Conversations {
    pub fn new(shards: u16) -> Conversations {
        Conversations {
            places: HashMap::with_hasher(FixedState::with_seed(0)),
            fan_outs: VecDeque::new(),
            blocked: vec![Vec::new(); usize::from(shards)],
            timetable: Timetable::default(),
            appends: VecDeque::new(),
            settles: VecDeque::new(),
            late_receipts: VecDeque::new(),
            flushes: VecDeque::new(),
            puts: 0,
            receipts_next: false,
            replay: Replay::default(),
            clock: VecDeque::new(),
            stays: 0,
            here: 0,
            kept: 0,
        }
    }

    /// A request about a conversation whose home this shard is.
    pub fn request(&mut self, turn: &mut Turn<'_>, reply: Reply, request: HomeRequest) {
        let key = request.conversation_key().expect("only requests about conversations come here");
        match self.places.get_mut(&key) {
            Some(Place::Here(_)) => {
                turn.shared.counters.conversations_found += 1;
                self.serve(turn, key, reply, request);
            }
            Some(Place::Loading(waiters)) => {
                if waiters.requests.len() as u64 >= turn.shared.limits.load_waiters_max {
                    turn.refuse(reply, ErrorCode::Busy);
                } else {
                    waiters.requests.push((reply, request));
                }
            }
            None if turn.shared.desk.can_load(&turn.shared.limits) => {
                self.load(turn, key, Waiters { requests: vec![(reply, request)], ..Waiters::default() });
            }
            None => turn.refuse(reply, ErrorCode::Busy),
        }
    }

    /// Answers a request to a conversation that is here, or of which nothing is stored.
    fn serve(&mut self, turn: &mut Turn<'_>, key: ConversationKey, reply: Reply, request: HomeRequest) {
        if let HomeRequest::CreateGroup { .. } = &request {
            self.create_group(turn, key, reply, request);
            return self.recharge(turn, key);
        }
        let Some(conversation) = self.here(key) else {
            return turn.refuse(reply, ErrorCode::NotFound);
        };
        // Unknown and forbidden answer alike to those who never were members.
        let user = caller_of(&request).user;
        let Some(member) = conversation.roster.durable(user) else {
            return turn.refuse(reply, ErrorCode::NotFound);
        };
        conversation.touch(turn.now.mono_ns);
        conversation.watch(user, turn.now.mono_ns, &turn.shared.limits);
        self.serve_member(turn, key, &member, (reply, request));
        self.recharge(turn, key);
    }

    /// Answers one who is or was a member.
    fn serve_member(
        &mut self,
        turn: &mut Turn<'_>,
        key: ConversationKey,
        member: &Member,
        (reply, request): (Reply, HomeRequest),
    ) {
        let conversation = self.here(key).expect("a conversation stays while it is asked");
        match request {
            HomeRequest::Open { caller, request, .. } => {
                answer_opened(turn, conversation, (reply, request), &caller, member);
            }
            HomeRequest::Send { caller, request, messages, .. } => {
                let send = SuspendedSend::new(caller, reply, request, messages);
                let can_append = turn.shared.desk.can_append(&turn.shared.limits);
                let verdict = conversation.judge(send, turn.now, &turn.shared.limits, can_append);
                self.settle(turn, key, verdict);
            }
            HomeRequest::History { request, from_seq, backward, limit, .. } => {
                let limit = usize::from(limit).clamp(1, HISTORY_MESSAGES_MAX);
                answer_history(turn, conversation, (reply, request), member, (from_seq, backward, limit));
            }
            HomeRequest::ChangeMembers { .. } => self.change_members(turn, key, reply, request),
            HomeRequest::Members { .. } | HomeRequest::Typing { .. } if member.left_seq != u64::MAX => {
                turn.refuse(reply, ErrorCode::Forbidden);
            }
            HomeRequest::Members { request, after, limit, .. } => {
                answer_members(turn, conversation, (reply, request), after, limit);
            }
            HomeRequest::Typing { caller, request, .. } => {
                typing::typing(turn, conversation, (reply, request), &caller);
            }
            _ => unreachable!("only requests about conversations come here"),
        }
    }

    /// A repeated send was looked up.
    pub fn send_found(
        &mut self,
        turn: &mut Turn<'_>,
        key: ConversationKey,
        send: SuspendedSend,
        loaded: Result<Loaded, StoreFault>,
    ) {
        let conversation = self.here(key).expect("a conversation stays while a look-up is under way");
        conversation.residence.lookups -= 1;
        let verdict = match loaded {
            Ok(Loaded::FoundSend(found)) => {
                let can_append = turn.shared.desk.can_append(&turn.shared.limits);
                conversation.judge_found(send, found.map(|row| *row), turn.now, &turn.shared.limits, can_append)
            }
            _ => Verdict::Judged(send.settle(Some(ErrorCode::StorageUnavailable))),
        };
        self.settle(turn, key, verdict);
        self.recharge(turn, key);
    }

    fn settle(&mut self, turn: &mut Turn<'_>, key: ConversationKey, verdict: Verdict) {
        let conversation = self.here(key).expect("a conversation stays while it is asked");
        match verdict {
            Verdict::Judged(send) if send.need_seq <= conversation.durable_seq => answer_send(turn, conversation, send),
            Verdict::Judged(send) => conversation.wait(send),
            Verdict::LookUp(send) if send.is_over_rate() => {
                answer_send(turn, conversation, send.settle(Some(ErrorCode::RateLimited)));
            }
            Verdict::LookUp(send) if turn.shared.desk.can_load(&turn.shared.limits) => {
                let (from_seq, to_seq) = conversation.look_up_range(&turn.shared.limits);
                let load = Load::FindSend {
                    key,
                    user: send.caller.user,
                    device: send.caller.device,
                    client_seq: send.messages[send.next].client_seq,
                    from_seq,
                    to_seq,
                };
                conversation.residence.lookups += 1;
                turn.shared.desk.load(Purpose::FindSend(key, Box::new(send)), load, turn.effects);
            }
            Verdict::LookUp(send) => turn.refuse(send.reply, ErrorCode::Busy),
        }
        self.append_next(turn, key);
    }

    /// Appends what is pending, at once or when the store takes appends again.
    fn append_next(&mut self, turn: &mut Turn<'_>, key: ConversationKey) {
        let Some(conversation) = self.here(key) else { return };
        if !conversation.has_append() {
            return;
        }
        if turn.shared.desk.can_append(&turn.shared.limits) {
            let append = conversation.next_append().expect("rows are pending");
            turn.shared.desk.append(key, append, turn.effects);
        } else if !conversation.queue_append(true) {
            self.appends.push_back(key);
        }
    }

    /// The store takes appends again: those that waited for that go first.
    fn resume_appends(&mut self, turn: &mut Turn<'_>) {
        while turn.shared.desk.can_append(&turn.shared.limits) {
            let Some(key) = self.appends.pop_front() else { return };
            if let Some(conversation) = self.here(key) {
                conversation.queue_append(false);
                self.append_next(turn, key);
            }
        }
    }

    /// The store answered an append: whoever waits for its rows is told, then they are delivered.
    pub fn appended(&mut self, turn: &mut Turn<'_>, key: ConversationKey, done: Result<(), StoreFault>) {
        let conversation = self.here(key).expect("a conversation with an append under way stays");
        let before = conversation.durable_seq;
        let settled = match done {
            Ok(()) => conversation.appended(),
            Err(StoreFault::Full) if !conversation.is_append_ambiguous() => conversation.refused(),
            Err(_) => {
                return self.timetable.arm(turn.now.mono_ns + REPEAT_AFTER_NS, key, Due::RepeatAppend);
            }
        };
        turn.shared.counters.messages_stored += conversation.durable_seq - before;
        answer_settled(turn, conversation, settled, done.is_ok());
        self.written(key);
        self.checkpoint(turn, key);
        self.append_next(turn, key);
        self.resume_appends(turn);
        self.hand_on(turn, key);
        if done.is_err() {
            self.drop_unborn(turn, key);
        }
    }

    fn checkpoint(&mut self, turn: &mut Turn<'_>, key: ConversationKey) {
        let rows = turn.shared.limits.checkpoint_rows;
        if !turn.shared.desk.can_put(&turn.shared.limits) {
            return;
        }
        if let Some((as_of_seq, devices, members)) = self.here(key).and_then(|here| here.next_checkpoint(rows)) {
            let put = Put::Checkpoint { key, as_of_seq, devices, members };
            turn.shared.desk.put(Purpose::Checkpoint, put, turn.effects);
        }
    }

    /// Writes an append again whose answer is not known.
    fn repeat_append(&mut self, turn: &mut Turn<'_>, key: ConversationKey) {
        if !turn.shared.desk.can_append(&turn.shared.limits) {
            return self.timetable.arm(turn.now.mono_ns + REPEAT_AFTER_NS, key, Due::RepeatAppend);
        }
        let conversation = self.here(key).expect("a conversation with an append under way stays");
        let append = conversation.repeat_append().expect("the append is still under way");
        turn.shared.counters.appends_repeated += 1;
        turn.shared.desk.append(key, append, turn.effects);
    }

    /// Does what is due, as far as the store has room; whether there is more to do at once.
    pub fn work(&mut self, turn: &mut Turn<'_>) -> bool {
        while let Some((key, due)) = self.timetable.take_due(turn.now.mono_ns) {
            match due {
                Due::RepeatAppend => self.repeat_append(turn, key),
                Due::RepeatUnmark => self.settles.push_front(key),
                Due::SettleMark => self.settles.push_back(key),
                Due::Receipts => self.flushes.push_back(key),
                Due::AnnounceLarge => self.announce_large(turn, key),
            }
        }
        self.resume_appends(turn);
        let is_more_to_write = self.write_to_index(turn);
        self.take_late_receipts(turn);
        self.go_on_replaying(turn);
        self.evict(turn) || is_more_to_write
    }

    /// When [`Conversations::work`] has something to do, in monotonic nanoseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        let waiting = [self.timetable.next_deadline(), self.replay.next_deadline(), self.late_receipts_deadline()];
        waiting.into_iter().flatten().min()
    }

    /// Whether a write waits to be done, or to be done again.
    pub fn has_repeats(&self) -> bool {
        self.timetable.has_repeats() || !self.appends.is_empty()
    }

    /// How many are in memory.
    pub fn cached(&self) -> u64 {
        self.here
    }

    pub(crate) fn here(&mut self, key: ConversationKey) -> Option<&mut Conversation> {
        match self.places.get_mut(&key) {
            Some(Place::Here(conversation)) => Some(conversation),
            _ => None,
        }
    }

    /// Credit towards a shard came back: what waited for it goes on.
    pub fn unblock(&mut self, shard: ShardId) {
        self.fan_outs.extend(self.blocked[usize::from(shard)].drain(..));
    }
}

fn caller_of(request: &HomeRequest) -> &Caller {
    match request {
        HomeRequest::Open { caller, .. }
        | HomeRequest::Send { caller, .. }
        | HomeRequest::History { caller, .. }
        | HomeRequest::CreateGroup { caller, .. }
        | HomeRequest::ChangeMembers { caller, .. }
        | HomeRequest::Members { caller, .. }
        | HomeRequest::Typing { caller, .. } => caller,
        _ => unreachable!("only requests about conversations come here"),
    }
}
