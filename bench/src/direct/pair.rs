//! A 1:1 conversation as its two members live it: what may be said next, and whether what comes back is right.

use std::collections::VecDeque;

use trunkline_wire::ids::{ConversationId, MessageId, UserId};

use crate::bodies::Digest;
use crate::flight::{Flight, Misdeed, Step};

/// One member with its connection.
#[derive(Clone, Debug)]
pub struct Side {
    /// The connection.
    pub connection: u32,
    /// The user.
    pub user: UserId,
    /// The message in flight.
    pub flight: Option<Flight>,
    /// When messages behind it were to be sent, in an open loop.
    pub due_ns: VecDeque<u64>,
    /// The next message's number; none until the conversation is open.
    next_client_seq: Option<u64>,
    /// Seq of the last message from the other side.
    heard_seq: u64,
}

/// A conversation of two.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Its id; none until the first side has opened it.
    pub conversation: Option<ConversationId>,
    /// Who takes part.
    pub sides: [Side; 2],
    /// Seq of the last message that was there before.
    pub base_seq: u64,
    /// What was acked, if it is to be compared with history.
    pub sent: Option<Digest>,
}

impl Side {
    fn new((connection, user): (u32, UserId)) -> Side {
        Side { connection, user, flight: None, due_ns: VecDeque::new(), next_client_seq: None, heard_seq: 0 }
    }
}

impl Pair {
    /// Of two members with their connections.
    #[must_use]
    pub fn new(one: (u32, UserId), other: (u32, UserId), is_sampled: bool) -> Pair {
        let sides = [Side::new(one), Side::new(other)];
        Pair { conversation: None, sides, base_seq: 0, sent: is_sampled.then(Digest::default) }
    }

    /// A side has opened it and learned its own highest number there. Whether both have.
    pub fn opened(&mut self, side: usize, conversation: ConversationId, high: u64, last_seq: u64) -> bool {
        self.conversation = Some(conversation);
        self.base_seq = self.base_seq.max(last_seq);
        self.sides[side].heard_seq = last_seq;
        self.sides[side].next_client_seq = Some(high + 1);
        self.sides.iter().all(|side| side.next_client_seq.is_some())
    }

    /// The number of a side's next message, when none is in flight there.
    #[must_use]
    pub fn next_client_seq(&self, side: usize) -> Option<u64> {
        let side = &self.sides[side];
        side.next_client_seq.filter(|_| side.flight.is_none())
    }

    /// A side sends its next message.
    pub fn begin(&mut self, side: usize, message_id: MessageId, intended_ns: u64) {
        let client_seq = self.next_client_seq(side).expect("one message in flight per side");
        let side = &mut self.sides[side];
        side.next_client_seq = Some(client_seq + 1);
        side.flight = Some(Flight::new(client_seq, message_id, intended_ns, 1));
    }

    /// A side's message is durable.
    ///
    /// # Errors
    /// What the server must not do.
    pub fn acked(&mut self, side: usize, client_seq: u64, seq: u64) -> Result<Step, Misdeed> {
        let step = Flight::acked(self.sides[side].flight.as_mut(), client_seq, seq);
        self.stepped(side, step)
    }

    /// A message has come to the other side of `sender`, its body already checked.
    ///
    /// # Errors
    /// What the server must not do.
    pub fn delivered(&mut self, sender: usize, message_id: MessageId, seq: u64) -> Result<Step, Misdeed> {
        let recipient = &mut self.sides[1 - sender];
        let before = std::mem::replace(&mut recipient.heard_seq, seq);
        if seq <= before {
            return Err(Misdeed::OutOfOrder { before, seq });
        }
        let step = Flight::delivered(self.sides[sender].flight.as_mut(), message_id, seq);
        self.stepped(sender, step)
    }

    fn stepped(&mut self, side: usize, step: Result<Step, Misdeed>) -> Result<Step, Misdeed> {
        if step.is_ok_and(|step| step.is_last) {
            self.sides[side].flight = None;
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONVERSATION: ConversationId = ConversationId([1; 16]);

    fn open() -> Pair {
        let mut pair = Pair::new((0, UserId(1)), (1, UserId(2)), true);
        assert_eq!(pair.next_client_seq(0), None);
        assert!(!pair.opened(0, CONVERSATION, 4, 9));
        assert!(pair.opened(1, CONVERSATION, 0, 9));
        pair
    }

    #[test]
    fn the_next_goes_after_ack_and_delivery_in_any_order() {
        let mut pair = open();
        for ack_first in [true, false] {
            let client_seq = pair.next_client_seq(0).unwrap();
            let seq = client_seq + 100;
            pair.begin(0, MessageId(client_seq), 7);
            assert_eq!(pair.next_client_seq(0), None);
            let steps = if ack_first {
                [pair.acked(0, client_seq, seq), pair.delivered(0, MessageId(client_seq), seq)]
            } else {
                [pair.delivered(0, MessageId(client_seq), seq), pair.acked(0, client_seq, seq)]
            };
            assert_eq!(
                steps.map(|step| step.map(|step| (step.intended_ns, step.is_last))),
                [Ok((7, false)), Ok((7, true))]
            );
        }
        assert_eq!((pair.next_client_seq(0), pair.next_client_seq(1)), (Some(7), Some(1)));
    }

    #[test]
    fn both_sides_talk_at_the_same_time() {
        let mut pair = open();
        pair.begin(0, MessageId(1), 0);
        pair.begin(1, MessageId(2), 0);
        assert!(!pair.acked(1, 1, 10).unwrap().is_last);
        assert!(!pair.acked(0, 5, 11).unwrap().is_last);
        assert!(pair.delivered(0, MessageId(1), 11).unwrap().is_last);
        assert!(pair.delivered(1, MessageId(2), 10).unwrap().is_last);
    }

    #[test]
    fn misdeeds_are_noticed() {
        let mut pair = open();
        assert_eq!(pair.acked(0, 5, 10), Err(Misdeed::AckOfNothing { client_seq: 5 }));
        assert_eq!(pair.delivered(0, MessageId(1), 10), Err(Misdeed::DeliveryOfNothing { seq: 10 }));
        pair.begin(0, MessageId(1), 0);
        pair.acked(0, 5, 11).unwrap();
        assert_eq!(pair.acked(0, 5, 11), Err(Misdeed::AckOfNothing { client_seq: 5 }));
        assert_eq!(pair.delivered(0, MessageId(1), 10), Err(Misdeed::OutOfOrder { before: 10, seq: 10 }));
        assert_eq!(pair.delivered(0, MessageId(1), 12), Err(Misdeed::TwoSeqs { acked: 11, delivered: 12 }));
        assert_eq!(pair.delivered(0, MessageId(1), 13), Err(Misdeed::DeliveryOfNothing { seq: 13 }));
    }
}
