//! What clients said, and what they were told became of it: REL-1, REL-2, REL-4 and REL-5.

use std::collections::{BTreeMap, HashMap};

use trunkline_shards::store::Row;
use trunkline_wire::ids::{ConversationId, MessageId};

use super::Verdict;
use super::logs::Logs;

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
    /// Refused for good, or nobody can tell.
    GivenUp,
}

/// Every text of every client.
#[derive(Default)]
pub struct Texts {
    submitted: BTreeMap<MessageId, Submitted>,
    order: Vec<MessageId>,
    acked_high: HashMap<ConversationId, u64>,
    open: usize,
}

impl Texts {
    /// A client process takes a text on.
    pub fn submitted(&mut self, life: usize, conversation: ConversationId, message_id: MessageId, body: Vec<u8>) {
        let after_seq = self.acked_high.get(&conversation).copied().unwrap_or(0);
        let submitted = Submitted { life, conversation, after_seq, fate: Fate::Open, body };
        assert!(self.submitted.insert(message_id, submitted).is_none(), "a message id was made twice");
        self.order.push(message_id);
        self.open += 1;
    }

    /// The outbox that held these is gone.
    pub fn abandoned(&mut self, message_ids: &[MessageId]) {
        for id in message_ids {
            if let Some(submitted) = self.submitted.get_mut(id).filter(|submitted| submitted.fate == Fate::Open) {
                submitted.fate = Fate::Abandoned;
                self.open -= 1;
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
            fate => {
                self.open -= usize::from(fate == Fate::Open);
                submitted.fate = Fate::Sent(seq);
                Ok(())
            }
        }
    }

    /// A client was told that its message was refused for good, or that this can't be known.
    pub fn given_up(&mut self, message_id: MessageId) {
        if let Some(submitted) = self.submitted.get_mut(&message_id) {
            self.open -= usize::from(submitted.fate == Fate::Open);
            submitted.fate = Fate::GivenUp;
        }
    }

    /// Texts whose fate is open.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Texts that a client was told are durable.
    pub fn count_sent(&self) -> u64 {
        self.submitted.values().filter(|submitted| matches!(submitted.fate, Fate::Sent(_))).count() as u64
    }

    /// Texts that a client was told are refused, and that came into the log by an older copy all the same.
    pub fn count_late(&self, logs: &Logs) -> u64 {
        let given_up = self.submitted.iter().filter(|(_, submitted)| submitted.fate == Fate::GivenUp);
        let there = given_up
            .filter(|(id, submitted)| logs.log(submitted.conversation).is_some_and(|log| log.place(**id).is_some()));
        there.count() as u64
    }

    /// A row of the log is what somebody sent, behind what was acked before.
    pub fn check_row(&self, conversation: ConversationId, row: &Row) -> Verdict {
        let (id, seq) = (row.message_id, row.seq);
        match self.submitted.get(&id) {
            None => Err(format!("REL-2: seq {seq} is {id}, which nobody sent")),
            Some(submitted) if submitted.body != row.body[..] || submitted.conversation != conversation => {
                Err(format!("REL-2: seq {seq} does not hold what was sent as {id}"))
            }
            Some(submitted) if seq <= submitted.after_seq => {
                Err(format!("REL-4: {id} was sent after an ack of seq {} and has seq {seq}", submitted.after_seq))
            }
            Some(_) => Ok(()),
        }
    }

    /// Compares everything that was said with the logs.
    pub fn check_fates(&self, logs: &Logs) -> Verdict {
        for (id, submitted) in &self.submitted {
            let place = logs.log(submitted.conversation).and_then(|log| log.place(*id));
            match submitted.fate {
                Fate::Sent(seq) if place != Some(seq) => {
                    return Err(format!("REL-1: {id} was acked at {seq} and is at {place:?}"));
                }
                Fate::Open => return Err(format!("REL-23: {id} has no answer (in the log: {place:?})")),
                _ => {}
            }
        }
        self.check_order()
    }

    /// Texts of one life of a client process keep their order.
    fn check_order(&self) -> Verdict {
        let mut last: HashMap<(usize, ConversationId), u64> = HashMap::new();
        for id in &self.order {
            let submitted = &self.submitted[id];
            let Fate::Sent(seq) = submitted.fate else { continue };
            let before = last.insert((submitted.life, submitted.conversation), seq);
            if let Some(before) = before.filter(|&before| before > seq) {
                return Err(format!("REL-5: {id} has seq {seq}, what was sent before it has {before}"));
            }
        }
        Ok(())
    }
}
