//! What must hold, checked over everything that any client ever saw: REL-1 to REL-5, and equal digests at the end.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use trunkline_client::core::Message;
use trunkline_shards::store::Row;
use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, UserId};

/// A message at its place, as somebody saw it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Seen {
    message_id: MessageId,
    sender: UserId,
    device: DeviceId,
    ts_ms: u64,
    epoch: u64,
    body: Vec<u8>,
}

/// A text that a client process took on.
#[derive(Debug)]
struct Submitted {
    /// Which life of which client process: order is promised within it.
    life: usize,
    conversation: ConversationId,
    /// Highest seq of the conversation that anybody had an ack of before.
    after_seq: u64,
    fate: Fate,
    body: Vec<u8>,
}

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Open,
    /// Its outbox was lost: it may be there or not.
    Abandoned,
    Sent(u64),
    Failed,
    Unknown,
}

/// What one life of a client process was shown.
#[derive(Default)]
pub struct Shown {
    next: BTreeMap<ConversationId, u64>,
}

/// Everything that was seen and said.
#[derive(Default)]
pub struct Oracle {
    seen: HashMap<(ConversationId, u64), Seen>,
    submitted: BTreeMap<MessageId, Submitted>,
    order: Vec<MessageId>,
    acked_high: HashMap<ConversationId, u64>,
    members: HashMap<ConversationId, BTreeSet<UserId>>,
}

type Verdict = Result<(), String>;

impl Oracle {
    /// Who may see a conversation.
    pub fn add_conversation(&mut self, conversation: ConversationId, members: &[UserId]) {
        self.members.insert(conversation, members.iter().copied().collect());
    }

    /// A client process takes a text on.
    pub fn submitted(&mut self, life: usize, conversation: ConversationId, message_id: MessageId, body: Vec<u8>) {
        let after_seq = self.acked_high.get(&conversation).copied().unwrap_or(0);
        let submitted = Submitted { life, conversation, after_seq, fate: Fate::Open, body };
        assert!(self.submitted.insert(message_id, submitted).is_none(), "a message id was made twice");
        self.order.push(message_id);
    }

    /// The outbox that held these is gone.
    pub fn abandoned(&mut self, message_ids: &[MessageId]) {
        for id in message_ids {
            if let Some(submitted) = self.submitted.get_mut(id).filter(|submitted| submitted.fate == Fate::Open) {
                submitted.fate = Fate::Abandoned;
            }
        }
    }

    /// A client was told that its message is durable.
    pub fn sent(&mut self, message_id: MessageId, conversation: ConversationId, seq: u64) -> Verdict {
        let high = self.acked_high.entry(conversation).or_default();
        *high = (*high).max(seq);
        let Some(submitted) = self.submitted.get_mut(&message_id) else {
            return Err(format!("REL-5: an ack for {message_id}, which nobody sent"));
        };
        match submitted.fate {
            Fate::Sent(other) if other != seq => Err(format!("REL-5: {message_id} was acked at {other} and at {seq}")),
            _ => {
                submitted.fate = Fate::Sent(seq);
                Ok(())
            }
        }
    }

    /// A client was told that its message was refused for good, or that this can't be known.
    pub fn given_up(&mut self, message_id: MessageId, unknown: bool) {
        if let Some(submitted) = self.submitted.get_mut(&message_id) {
            submitted.fate = if unknown { Fate::Unknown } else { Fate::Failed };
        }
    }

    /// A client was shown a message, live or by history.
    pub fn shown(&mut self, user: UserId, message: &Message) -> Verdict {
        let place = (message.conversation, message.seq);
        if !self.members.get(&message.conversation).is_some_and(|members| members.contains(&user)) {
            return Err(format!("SEC-3: {user} saw {place:?}, which is none of its conversations"));
        }
        let seen = Seen {
            message_id: message.message_id,
            sender: message.sender,
            device: message.device,
            ts_ms: message.ts_ms,
            epoch: message.epoch,
            body: message.body.clone(),
        };
        match self.seen.get(&place) {
            Some(other) if *other != seen => Err(format!("REL-3: {place:?} is {seen:?} and was {other:?}")),
            _ => {
                self.seen.insert(place, seen);
                Ok(())
            }
        }
    }

    /// The same, in a stream that must have no gap and no repetition.
    pub fn streamed(&mut self, user: UserId, shown: &mut Shown, message: &Message) -> Verdict {
        let next = shown.next.entry(message.conversation).or_insert(1);
        if message.seq != *next {
            return Err(format!(
                "REL-4: {user} was shown seq {} of {} where {next} was due",
                message.seq, message.conversation
            ));
        }
        *next += 1;
        self.shown(user, message)
    }

    /// How far a stream came in a conversation.
    pub fn streamed_up_to(shown: &Shown, conversation: ConversationId) -> u64 {
        shown.next.get(&conversation).map_or(0, |next| next - 1)
    }

    /// Texts whose fate is open.
    pub fn open(&self) -> usize {
        self.submitted.values().filter(|submitted| submitted.fate == Fate::Open).count()
    }

    /// Texts that a client was told are durable.
    pub fn count_sent(&self) -> u64 {
        self.submitted.values().filter(|submitted| matches!(submitted.fate, Fate::Sent(_))).count() as u64
    }

    /// Compares the log of a conversation with everything that was seen and said of it.
    pub fn check_log(&self, conversation: ConversationId, rows: &[Row]) -> Verdict {
        let mut places: HashMap<MessageId, u64> = HashMap::new();
        let (mut ts_ms, mut epoch) = (0, 0);
        for (index, row) in rows.iter().enumerate() {
            if row.seq != index as u64 + 1 {
                return Err(format!("REL-4: {conversation} has seq {} at place {}", row.seq, index + 1));
            }
            if row.ts_ms < ts_ms || row.epoch < epoch {
                return Err(format!("REL-4: time or epoch of {conversation} goes back at seq {}", row.seq));
            }
            (ts_ms, epoch) = (row.ts_ms, row.epoch);
            if let Some(other) = places.insert(row.message_id, row.seq) {
                return Err(format!("REL-5: {} is twice in {conversation}: {other}, {}", row.message_id, row.seq));
            }
            self.check_row(conversation, row)?;
        }
        for (&(of, seq), seen) in self.seen.iter().filter(|((of, _), _)| *of == conversation) {
            if rows.get(seq as usize - 1).is_none_or(|row| row.message_id != seen.message_id) {
                return Err(format!("REL-1: {of} seq {seq} was seen as {} and is not in the log", seen.message_id));
            }
        }
        self.check_fates(conversation, &places)?;
        self.check_order(conversation, &places)
    }

    fn check_row(&self, conversation: ConversationId, row: &Row) -> Verdict {
        let place = (conversation, row.seq);
        if let Some(seen) = self.seen.get(&place)
            && (seen.message_id, seen.ts_ms, seen.body.as_slice()) != (row.message_id, row.ts_ms, &row.body[..])
        {
            return Err(format!("REL-3: {place:?} was seen as {} and is {}", seen.message_id, row.message_id));
        }
        match self.submitted.get(&row.message_id) {
            None => Err(format!("REL-2: {place:?} holds {}, which nobody sent", row.message_id)),
            Some(submitted) if submitted.body != row.body[..] || submitted.conversation != conversation => {
                Err(format!("REL-2: {place:?} does not hold what was sent"))
            }
            Some(submitted) if row.seq <= submitted.after_seq => Err(format!(
                "REL-4: {} was sent after an ack of seq {} and has seq {}",
                row.message_id, submitted.after_seq, row.seq
            )),
            Some(_) => Ok(()),
        }
    }

    fn check_fates(&self, conversation: ConversationId, places: &HashMap<MessageId, u64>) -> Verdict {
        for (id, submitted) in self.submitted.iter().filter(|(_, submitted)| submitted.conversation == conversation) {
            let place = places.get(id).copied();
            match submitted.fate {
                Fate::Sent(seq) if place != Some(seq) => {
                    return Err(format!("REL-1: {id} was acked at {seq} and is at {place:?}"));
                }
                Fate::Open => return Err(format!("REL-23: {id} has no answer (in the log: {place:?})")),
                _ => {}
            }
        }
        Ok(())
    }

    /// Texts of one life of a client process keep their order.
    fn check_order(&self, conversation: ConversationId, places: &HashMap<MessageId, u64>) -> Verdict {
        let mut last: HashMap<usize, u64> = HashMap::new();
        for id in &self.order {
            let submitted = &self.submitted[id];
            let Fate::Sent(seq) = submitted.fate else { continue };
            if submitted.conversation != conversation || !places.contains_key(id) {
                continue;
            }
            if let Some(&before) = last.get(&submitted.life)
                && before > seq
            {
                return Err(format!("REL-5: {id} has seq {seq}, what was sent before it has {before}"));
            }
            last.insert(submitted.life, seq);
        }
        Ok(())
    }
}
