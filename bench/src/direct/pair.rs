//! A 1:1 conversation as its two members live it: what may be said next, and whether what comes back is right.

use std::collections::VecDeque;
use std::fmt;

use trunkline_wire::ids::{ConversationId, MessageId, UserId};

use super::bodies::Digest;

/// What a server must not do to a conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misdeed {
    /// An Ack of a message that is not in flight, or a second one.
    AckOfNothing {
        /// The Ack's number.
        client_seq: u64,
    },
    /// A message that its sender has not in flight, or a second copy of one.
    DeliveryOfNothing {
        /// The message's seq.
        seq: u64,
    },
    /// A message whose seq is not above that of the message before it.
    OutOfOrder {
        /// The seq before.
        before: u64,
        /// The message's seq.
        seq: u64,
    },
    /// The sender was told another seq than the recipient.
    TwoSeqs {
        /// What the Ack says.
        acked: u64,
        /// What the message says.
        delivered: u64,
    },
    /// The message says something else than its sender did.
    Forged {
        /// The message's seq.
        seq: u64,
    },
}

impl fmt::Display for Misdeed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misdeed::AckOfNothing { client_seq } => {
                write!(formatter, "an Ack of client_seq {client_seq}, not in flight")
            }
            Misdeed::DeliveryOfNothing { seq } => write!(formatter, "message {seq} is not in flight or came before"),
            Misdeed::OutOfOrder { before, seq } => write!(formatter, "message {seq} came after message {before}"),
            Misdeed::TwoSeqs { acked, delivered } => {
                write!(formatter, "the sender was told seq {acked}, the recipient seq {delivered}")
            }
            Misdeed::Forged { seq } => write!(formatter, "message {seq} arrived with another id, sender or body"),
        }
    }
}

/// A message on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flight {
    /// Its number from the device.
    pub client_seq: u64,
    /// Its id.
    pub message_id: MessageId,
    /// When it was to be sent.
    pub intended_ns: u64,
    acked_seq: Option<u64>,
    delivered_seq: Option<u64>,
}

impl Flight {
    /// Whether the sender knows that it is durable.
    #[must_use]
    pub fn is_acked(&self) -> bool {
        self.acked_seq.is_some()
    }
}

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

/// Something that happened to a message in flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// When it was to be sent.
    pub intended_ns: u64,
    /// It is both acked and delivered: the next may go.
    pub is_last: bool,
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
        side.flight = Some(Flight { client_seq, message_id, intended_ns, acked_seq: None, delivered_seq: None });
    }

    /// A side's message is durable.
    ///
    /// # Errors
    /// What the server must not do.
    pub fn acked(&mut self, side: usize, client_seq: u64, seq: u64) -> Result<Step, Misdeed> {
        let in_flight = self.sides[side].flight.as_mut();
        let flight = in_flight.filter(|flight| flight.client_seq == client_seq && flight.acked_seq.is_none());
        flight.ok_or(Misdeed::AckOfNothing { client_seq })?.acked_seq = Some(seq);
        self.step(side)
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
        let in_flight = self.sides[sender].flight.as_mut();
        let flight = in_flight.filter(|flight| flight.message_id == message_id && flight.delivered_seq.is_none());
        flight.ok_or(Misdeed::DeliveryOfNothing { seq })?.delivered_seq = Some(seq);
        self.step(sender)
    }

    fn step(&mut self, side: usize) -> Result<Step, Misdeed> {
        let flight = self.sides[side].flight.expect("something happened to it");
        let is_last = match (flight.acked_seq, flight.delivered_seq) {
            (Some(acked), Some(delivered)) if acked != delivered => return Err(Misdeed::TwoSeqs { acked, delivered }),
            (Some(_), Some(_)) => true,
            _ => false,
        };
        if is_last {
            self.sides[side].flight = None;
        }
        Ok(Step { intended_ns: flight.intended_ns, is_last })
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
            assert_eq!(steps, [false, true].map(|is_last| Ok(Step { intended_ns: 7, is_last })));
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
        let texts = [Misdeed::OutOfOrder { before: 2, seq: 1 }, Misdeed::Forged { seq: 3 }].map(|m| m.to_string());
        assert_eq!(texts[0], "message 1 came after message 2");
    }
}
