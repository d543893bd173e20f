//! The conversations this shard is home of: taken up from the store on demand, asked, appended to.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::limits::{HISTORY_BYTES_MAX, HISTORY_MESSAGES_MAX};
use trunkline_wire::message::{self, ConversationKind, ErrorCode};

use crate::contract::ShardId;
use crate::conversation::{Conversation, JudgedSend, SuspendedSend, Verdict};
use crate::desk::{HistoryAsked, Purpose};
use crate::entry::{Caller, HomeAnswer, HomeRequest, OutgoingMessage};
use crate::router::Reply;
use crate::store::{
    ConversationImage, ConversationKey, ConversationMeta, DeviceReceipt, Load, Loaded, Put, Row, StoreFault,
};
use crate::turn::Turn;

/// A conversation, or who waits for it.
enum Place {
    Loading(Vec<(Reply, HomeRequest)>),
    Here(Box<Conversation>),
}

/// All conversations of this shard that are in memory.
pub(crate) struct Conversations {
    places: HashMap<ConversationKey, Place, FixedState>,
    /// Conversations with rows to deliver.
    pub(crate) fan_outs: VecDeque<ConversationKey>,
    /// Conversations whose next delivery waits for credit towards a shard.
    pub(crate) blocked: Vec<Vec<ConversationKey>>,
    /// Appends to be written again, by when (monotonic ns).
    repeats: VecDeque<(u64, ConversationKey)>,
}

/// Between two attempts of an append whose answer is not known.
const REPEAT_AFTER_NS: u64 = 100_000_000;

impl Conversations {
    pub fn new(shards: u16) -> Conversations {
        Conversations {
            places: HashMap::with_hasher(FixedState::with_seed(0)),
            fan_outs: VecDeque::new(),
            blocked: vec![Vec::new(); usize::from(shards)],
            repeats: VecDeque::new(),
        }
    }

    /// A request about a conversation whose home this shard is.
    pub fn request(&mut self, turn: &mut Turn<'_>, reply: Reply, request: HomeRequest) {
        let key = request.conversation_key().expect("only requests about conversations come here");
        match self.places.get_mut(&key) {
            Some(Place::Here(_)) => self.serve(turn, key, reply, request),
            Some(Place::Loading(waiters)) => {
                if waiters.len() as u64 >= turn.shared.limits.load_waiters_max {
                    turn.refuse(reply, ErrorCode::Busy);
                } else {
                    waiters.push((reply, request));
                }
            }
            None if turn.shared.desk.can_load(&turn.shared.limits) => {
                self.places.insert(key, Place::Loading(vec![(reply, request)]));
                turn.shared.desk.load(Purpose::Conversation(key), Load::Conversation { key }, turn.effects);
            }
            None => turn.refuse(reply, ErrorCode::Busy),
        }
    }

    /// A conversation came from the store, or there is none, or the store failed.
    pub fn loaded(&mut self, turn: &mut Turn<'_>, key: ConversationKey, loaded: Result<Loaded, StoreFault>) {
        let Some(Place::Loading(waiters)) = self.places.remove(&key) else {
            unreachable!("a conversation is loaded once, for those who wait for it");
        };
        let image = match loaded {
            Ok(Loaded::Conversation(image)) => image,
            Ok(_) => unreachable!("a load of a conversation finds a conversation"),
            Err(_) => {
                return waiters.into_iter().for_each(|(reply, _)| turn.refuse(reply, ErrorCode::StorageUnavailable));
            }
        };
        if let Some(conversation) = take_up(turn, key, image, &waiters) {
            turn.shared.counters.conversations_loaded += 1;
            self.places.insert(key, Place::Here(Box::new(conversation)));
        }
        for (reply, request) in waiters {
            self.serve(turn, key, reply, request);
        }
    }

    fn serve(&mut self, turn: &mut Turn<'_>, key: ConversationKey, reply: Reply, request: HomeRequest) {
        let Some(conversation) = self.here(key) else {
            return turn.refuse(reply, ErrorCode::NotFound);
        };
        match request {
            HomeRequest::Open { caller, request, .. } => {
                if !conversation.admits(caller.user) {
                    return turn.refuse(reply, ErrorCode::NotFound);
                }
                let answer = opened_frame(turn, conversation, &caller, request);
                turn.answer(reply, answer);
            }
            HomeRequest::Send { caller, request, messages, .. } => {
                if !conversation.admits(caller.user) {
                    return turn.refuse(reply, ErrorCode::NotFound);
                }
                let send = suspended(caller, reply, request, messages);
                let can_append = turn.shared.desk.can_append(&turn.shared.limits);
                let verdict = conversation.judge(send, turn.now, &turn.shared.limits, can_append);
                self.settle(turn, key, verdict);
            }
            HomeRequest::History { caller, request, from_seq, backward, limit, .. } => {
                if !conversation.admits(caller.user) {
                    return turn.refuse(reply, ErrorCode::NotFound);
                }
                let limit = usize::from(limit).clamp(1, HISTORY_MESSAGES_MAX);
                history(turn, conversation, reply, request, (from_seq, backward, limit));
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
        let Ok(Loaded::FoundSend(found)) = loaded else {
            let refused = send.settle(Some(ErrorCode::StorageUnavailable));
            return self.settle(turn, key, Verdict::Judged(refused));
        };
        let conversation = self.here(key).expect("a conversation stays while a look-up is under way");
        let can_append = turn.shared.desk.can_append(&turn.shared.limits);
        let verdict = conversation.judge_found(send, found.map(|row| *row), turn.now, &turn.shared.limits, can_append);
        self.settle(turn, key, verdict);
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
                turn.shared.desk.load(Purpose::FindSend(key, Box::new(send)), load, turn.effects);
            }
            Verdict::LookUp(send) => turn.refuse(send.reply, ErrorCode::Busy),
        }
        self.append_next(turn, key);
    }

    fn append_next(&mut self, turn: &mut Turn<'_>, key: ConversationKey) {
        if let Some(append) = self.here(key).and_then(Conversation::next_append) {
            turn.shared.desk.append(key, append, turn.effects);
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
                self.repeats.push_back((turn.now.mono_ns + REPEAT_AFTER_NS, key));
                return;
            }
        };
        turn.shared.counters.messages_stored += conversation.durable_seq - before;
        for send in settled {
            answer_send(turn, conversation, send);
        }
        self.checkpoint(turn, key);
        self.append_next(turn, key);
        self.queue_fan_out(key);
    }

    fn checkpoint(&mut self, turn: &mut Turn<'_>, key: ConversationKey) {
        let rows = turn.shared.limits.checkpoint_rows;
        if !turn.shared.desk.can_put(&turn.shared.limits) {
            return;
        }
        if let Some((as_of_seq, devices)) = self.here(key).and_then(|conversation| conversation.next_checkpoint(rows)) {
            let put = Put::Checkpoint { key, as_of_seq, devices, members: Vec::new() };
            turn.shared.desk.put(Purpose::Checkpoint, put, turn.effects);
        }
    }

    /// Writes appends again whose answer is not known, when their time has come.
    pub fn repeat_appends(&mut self, turn: &mut Turn<'_>) {
        while self.repeats.front().is_some_and(|&(at, _)| at <= turn.now.mono_ns) {
            let Some((_, key)) = self.repeats.pop_front() else { return };
            if !turn.shared.desk.can_append(&turn.shared.limits) {
                self.repeats.push_back((turn.now.mono_ns + REPEAT_AFTER_NS, key));
                continue;
            }
            let conversation = self.here(key).expect("a conversation with an append under way stays");
            let append = conversation.repeat_append().expect("the append is still under way");
            turn.shared.counters.appends_repeated += 1;
            turn.shared.desk.append(key, append, turn.effects);
        }
    }

    /// When [`Conversations::repeat_appends`] has something to do, in monotonic nanoseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        self.repeats.front().map(|&(at, _)| at)
    }

    /// Whether an append waits to be written again.
    pub fn has_repeats(&self) -> bool {
        !self.repeats.is_empty()
    }

    pub(crate) fn here(&mut self, key: ConversationKey) -> Option<&mut Conversation> {
        match self.places.get_mut(&key) {
            Some(Place::Here(conversation)) => Some(conversation),
            _ => None,
        }
    }

    pub(crate) fn queue_fan_out(&mut self, key: ConversationKey) {
        let Some(conversation) = self.here(key) else { return };
        if conversation.next_delivery().is_some() && !conversation.fan_out_queued {
            conversation.fan_out_queued = true;
            self.fan_outs.push_back(key);
        }
    }

    pub fn announced(&mut self, _turn: &mut Turn<'_>, _from: ShardId, _key: ConversationKey, _seq: u64) {
        todo!()
    }
    pub fn receipt(&mut self, _turn: &mut Turn<'_>, _key: ConversationKey, _receipt: DeviceReceipt) {
        todo!()
    }
    pub fn unmarked(&mut self, _turn: &mut Turn<'_>, _key: ConversationKey, _done: Result<(), StoreFault>) {
        todo!()
    }
    pub fn receipts_stored(&mut self, _turn: &mut Turn<'_>, _key: ConversationKey, _done: Result<(), StoreFault>) {
        todo!()
    }
    pub fn marks_loaded(&mut self, _turn: &mut Turn<'_>, _loaded: Result<Loaded, StoreFault>) {
        todo!()
    }
    pub fn members_checked(
        &mut self,
        _turn: &mut Turn<'_>,
        _key: ConversationKey,
        _reply: Reply,
        _request: HomeRequest,
        _loaded: Result<Loaded, StoreFault>,
    ) {
        todo!()
    }
    pub fn work(&mut self, turn: &mut Turn<'_>) {
        self.repeat_appends(turn);
    }

    /// Credit towards a shard came back: what waited for it goes on.
    pub fn unblock(&mut self, _turn: &mut Turn<'_>, shard: ShardId) {
        self.fan_outs.extend(self.blocked[usize::from(shard)].drain(..));
    }
}

/// The conversation of an image, or a new 1:1 if somebody opens one that is not stored yet.
fn take_up(
    turn: &Turn<'_>,
    key: ConversationKey,
    image: Option<Box<ConversationImage>>,
    waiters: &[(Reply, HomeRequest)],
) -> Option<Conversation> {
    let incarnation = turn.shared.incarnation;
    if let Some(image) = image {
        return Some(Conversation::load(key, *image, incarnation));
    }
    waiters.iter().find_map(|(_, request)| {
        let HomeRequest::Open { caller, peer: Some(peer), .. } = request else { return None };
        let meta = direct_meta(key, caller.user, *peer, turn.now.wall_ms)?;
        Some(Conversation::new(key, meta, incarnation))
    })
}

fn direct_meta(key: ConversationKey, one: UserId, other: UserId, created_ms: u64) -> Option<ConversationMeta> {
    if ConversationId::direct(key.tenant, one, other) != key.conversation {
        return None;
    }
    let mut peers = vec![one.min(other), one.max(other)];
    peers.dedup();
    Some(ConversationMeta { kind: ConversationKind::Direct as u8, created_ms, peers, title: alloc::string::String::new() })
}

fn suspended(caller: Caller, reply: Reply, request: u32, messages: Vec<OutgoingMessage>) -> SuspendedSend {
    let accepted = Vec::with_capacity(messages.len());
    SuspendedSend { caller, reply, request, messages, next: 0, accepted, need_seq: 0 }
}

fn opened_frame(turn: &mut Turn<'_>, conversation: &Conversation, caller: &Caller, request: u32) -> HomeAnswer {
    let (high, high_message_id) = conversation.durable_high(caller.user, caller.device);
    let opened = message::Opened {
        conversation: conversation.key.conversation,
        kind: conversation.meta.kind,
        epoch: conversation.epoch,
        last_seq: conversation.durable_seq,
        high,
        high_message_id,
        peer: conversation.peer_of(caller.user),
        title: &conversation.meta.title,
        members: 0,
        role: 0,
        joined_seq: 0,
        left_seq: 0,
        delivered_seq: 0,
        read_seq: 0,
    };
    let mut frame = Vec::new();
    turn.shared.encoder.opened(request, &opened).write_server_frame(&mut frame);
    HomeAnswer::Frame(frame)
}

fn answer_send(turn: &mut Turn<'_>, conversation: &Conversation, send: JudgedSend) {
    let (high, high_message_id) = conversation.durable_high(send.caller.user, send.caller.device);
    let retry_after_ms = send.refusal.map_or(0, |code| turn.retry_after_ms(code));
    if let Some(code) = send.refusal {
        turn.shared.counters.count_error(code);
    }
    let ack = message::Ack {
        conversation: conversation.key.conversation,
        epoch: conversation.epoch,
        accepted: &send.accepted,
        refusal: send.refusal,
        high,
        high_message_id,
        retry_after_ms,
    };
    let mut frame = Vec::new();
    turn.shared.encoder.ack(send.request, &ack).write_server_frame(&mut frame);
    turn.answer(send.reply, HomeAnswer::Frame(frame));
}

/// A page from memory if it reaches back far enough, else from the store.
fn history(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    reply: Reply,
    request: u32,
    (from_seq, backward, limit): (u64, bool, usize),
) {
    let visible_seq = conversation.durable_seq;
    let from_seq = if backward && from_seq == 0 { visible_seq } else { from_seq };
    let key = conversation.key;
    let asked = HistoryAsked { reply, request, key, backward, visible_seq, epoch: conversation.epoch };
    if let Some((rows, more)) = conversation.page(from_seq, backward, limit) {
        return answer_page(turn, &asked, rows.into_iter(), more);
    }
    if !turn.shared.desk.can_load(&turn.shared.limits) {
        return turn.refuse(reply, ErrorCode::Busy);
    }
    let load = Load::History {
        key,
        from_seq: if backward { from_seq.min(visible_seq) } else { from_seq.max(1) },
        backward,
        rows_max: limit as u32,
        cost_bytes_max: HISTORY_BYTES_MAX as u32,
    };
    turn.shared.desk.load(Purpose::History(asked), load, turn.effects);
}

/// A page came from the store.
pub(crate) fn history_loaded(turn: &mut Turn<'_>, asked: &HistoryAsked, loaded: Result<Loaded, StoreFault>) {
    let Ok(Loaded::History(rows)) = loaded else {
        return turn.refuse(asked.reply, ErrorCode::StorageUnavailable);
    };
    let visible = rows.iter().filter(|row| row.seq <= asked.visible_seq);
    let more = if asked.backward {
        rows.first().is_some_and(|row| row.seq > 1)
    } else {
        visible.clone().next_back().is_some_and(|row| row.seq < asked.visible_seq)
    };
    answer_page(turn, asked, visible, more);
}

fn answer_page<'r>(turn: &mut Turn<'_>, asked: &HistoryAsked, rows: impl Iterator<Item = &'r Row>, more: bool) {
    let page =
        message::Page { conversation: asked.key.conversation, epoch: asked.epoch, more, last_seq: asked.visible_seq };
    let mut frame = Vec::new();
    turn.shared.encoder.history_page(asked.request, &page, rows.map(fields_of)).write_server_frame(&mut frame);
    turn.answer(asked.reply, HomeAnswer::Frame(frame));
}

/// A row as recipients see it.
pub(crate) fn fields_of(row: &Row) -> message::Message<'_> {
    message::Message {
        epoch: row.epoch,
        seq: row.seq,
        ts_ms: row.ts_ms,
        sender: row.sender,
        device: row.device,
        message_id: row.message_id,
        kind: row.kind,
        flags: row.flags,
        body: &row.body,
        sent_at_ms: row.sent_at_ms,
        ref_seq: row.ref_seq,
        mls_epoch: row.mls_epoch,
    }
}
