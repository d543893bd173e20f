//! The messages of one conversation that have no answer, and the numbers they are sent with.
//!
//! The rules are REL-5's; a randomized model of them (sends_batch.py, `cure-failall`) found no loss, no double and no
//! change of order, and found one for each weaker rule.

use std::collections::VecDeque;

use trunkline_wire::ids::{MessageId, UserId};
use trunkline_wire::limits::{SEND_BYTES_MAX, SEND_MESSAGES_MAX};

use crate::outbox::Record;

/// Where a message became durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) epoch: u64,
    pub(super) seq: u64,
    pub(super) ts_ms: u64,
}

#[derive(Debug)]
pub(super) struct Pending {
    /// `client_seq` 0: it has no number now.
    pub(super) record: Record,
    /// It once had a number: a late copy of it may be on its way.
    pub(super) tried: bool,
    /// The outbox holds it.
    pub(super) stored: bool,
    /// It was met among the messages of the conversation before its answer came.
    pub(super) seen: Option<Place>,
}

/// A search of history for a message whose number is too old to be looked up by the server.
#[derive(Debug)]
pub(super) struct LookUp {
    pub(super) message_id: MessageId,
    /// What the refusal named as the highest durable number.
    pub(super) high: u64,
    /// The next page starts here.
    pub(super) from_seq: u64,
    /// It started behind what the conversation held when the message was first sent.
    pub(super) from_floor: bool,
    /// Something is missing in what was read.
    pub(super) cut: bool,
}

/// One conversation. At most one request of it is in flight.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) pending: VecDeque<Pending>,
    /// Highest number known to be used by this device.
    pub(super) hi: u64,
    pub(super) peer: Option<UserId>,
    /// It was opened on this connection, and had this epoch and last seq then.
    pub(super) opened: Option<(u64, u64)>,
    pub(super) in_flight: bool,
    pub(super) retry_at_ms: Option<u64>,
    /// Refusals in a row that asked to wait.
    pub(super) failures: u32,
    pub(super) look_up: Option<LookUp>,
}

impl Queue {
    /// The first messages, as many as one request takes: those that have a number keep it, the others get the next.
    /// Says how many they are, and which of them got a number.
    pub(super) fn number(&mut self) -> (usize, Vec<usize>) {
        let mut highest = self.pending.iter().map(|pending| pending.record.client_seq).fold(self.hi, u64::max);
        let floor = self.opened.unwrap_or_default();
        let (mut count, mut bytes, mut previous, mut numbered) = (0, 0, 0, Vec::new());
        for (index, pending) in self.pending.iter_mut().take(SEND_MESSAGES_MAX).enumerate() {
            bytes += pending.record.body.len();
            let number = if pending.record.client_seq == 0 { highest + 1 } else { pending.record.client_seq };
            if index > 0 && (bytes > SEND_BYTES_MAX || number != previous + 1) {
                break;
            }
            if pending.record.client_seq == 0 {
                if !pending.tried {
                    (pending.record.floor_epoch, pending.record.floor_seq) = floor;
                }
                pending.record.client_seq = number;
                numbered.push(index);
            }
            highest = highest.max(number);
            previous = number;
            count = index + 1;
        }
        (count, numbered)
    }

    /// Takes back what `number` gave, since nothing was sent.
    pub(super) fn unnumber(&mut self, numbered: &[usize]) {
        for &index in numbered {
            if let Some(pending) = self.pending.get_mut(index) {
                pending.record.client_seq = 0;
            }
        }
    }

    /// The messages from `index` on get new numbers, above `high`, when they are sent.
    pub(super) fn renumber(&mut self, index: usize, high: u64) {
        self.hi = self.hi.max(high);
        for pending in self.pending.iter_mut().skip(index) {
            pending.record.client_seq = 0;
        }
    }

    /// As `renumber`, for a server that was restored from a backup: it knows of nothing above `high`, and the
    /// conversation may go on from an earlier seq.
    pub(super) fn renumber_down(&mut self, index: usize, high: u64) {
        self.renumber(index, high);
        self.hi = high;
        for pending in self.pending.iter_mut().skip(index) {
            (pending.record.floor_epoch, pending.record.floor_seq) = (0, 0);
        }
    }

    /// Takes out the message at `index` and everything behind it that ever had a number; what never had one stays.
    pub(super) fn take_tried(&mut self, index: usize) -> Vec<Pending> {
        let behind = self.pending.split_off(index.min(self.pending.len()));
        let mut taken = Vec::new();
        for (offset, pending) in behind.into_iter().enumerate() {
            if offset == 0 || pending.tried {
                taken.push(pending);
            } else {
                self.pending.push_back(pending);
            }
        }
        taken
    }

    pub(super) fn position(&self, message_id: MessageId) -> Option<usize> {
        self.pending.iter().position(|pending| pending.record.message_id == message_id)
    }

    /// The connection is gone: what was in flight has no answer.
    pub(super) fn disconnect(&mut self) {
        self.opened = None;
        self.in_flight = false;
        self.retry_at_ms = None;
        self.look_up = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_wire::ids::ConversationId;

    fn queue(hi: u64, numbers: &[u64]) -> Queue {
        let pending = |(index, &client_seq): (usize, &u64)| Pending {
            record: Record {
                message_id: MessageId(index as u64 + 1),
                conversation: ConversationId([0; 16]),
                peer: UserId(0),
                client_seq,
                floor_epoch: 0,
                floor_seq: 0,
                kind: 1,
                body: vec![b'x'; 10],
            },
            tried: client_seq != 0,
            stored: true,
            seen: None,
        };
        Queue { pending: numbers.iter().enumerate().map(pending).collect(), hi, ..Queue::default() }
    }

    fn numbers(queue: &Queue) -> Vec<u64> {
        queue.pending.iter().map(|pending| pending.record.client_seq).collect()
    }

    #[test]
    fn new_messages_get_the_next_numbers_and_old_ones_keep_theirs() {
        let mut fresh = queue(4, &[0, 0, 0]);
        assert_eq!(fresh.number(), (3, vec![0, 1, 2]));
        assert_eq!(numbers(&fresh), [5, 6, 7]);
        let mut retried = queue(4, &[5, 6, 0]);
        assert_eq!(retried.number(), (3, vec![2]));
        assert_eq!(numbers(&retried), [5, 6, 7]);
    }

    #[test]
    fn a_request_ends_where_numbers_are_not_consecutive() {
        let mut adopted = queue(8, &[5, 0]);
        assert_eq!(adopted.number(), (1, vec![]));
        assert_eq!(numbers(&adopted), [5, 0]);
        let mut stale = queue(0, &[9, 7]);
        assert_eq!(stale.number(), (1, vec![]));
    }

    #[test]
    fn a_request_ends_at_its_limits() {
        let mut many = queue(0, &[0; 20]);
        assert_eq!(many.number().0, SEND_MESSAGES_MAX);
        let mut large = queue(0, &[0; 3]);
        large.pending.iter_mut().for_each(|pending| pending.record.body = vec![b'x'; SEND_BYTES_MAX / 2]);
        assert_eq!(large.number(), (2, vec![0, 1]));
        large.pending[0].record.body.push(b'x');
        assert_eq!(large.number().0, 1);
    }

    #[test]
    fn a_final_refusal_spares_what_never_had_a_number() {
        let mut failing = queue(4, &[5, 6, 0]);
        assert_eq!(failing.take_tried(0).len(), 2);
        assert_eq!(failing.number(), (1, vec![0]));
        assert_eq!(numbers(&failing), [5]);
    }
}
