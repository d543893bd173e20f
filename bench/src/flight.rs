//! A message on its way: acked once, delivered to everybody it is for, under one seq; and what a server must not do to it.

use std::fmt;

use trunkline_wire::ids::MessageId;

/// What a server must not do to a conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misdeed {
    /// An Ack of a message that is not in flight, or a second one.
    AckOfNothing {
        /// The Ack's number.
        client_seq: u64,
    },
    /// A message that its sender has not in flight, or a copy too many of one.
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
    /// A recipient got what comes behind this one, and never this one.
    Missing {
        /// The seq that is missing.
        seq: u64,
    },
    /// A sender was told a seq that another message has.
    Taken {
        /// The seq.
        seq: u64,
    },
    /// The sender was told another seq than a recipient.
    TwoSeqs {
        /// What the Ack says.
        acked: u64,
        /// What the message says.
        delivered: u64,
    },
    /// Two recipients were told different seqs.
    TwoPlaces {
        /// What one was told.
        one: u64,
        /// What another was told.
        other: u64,
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
            Misdeed::Missing { seq } => write!(formatter, "message {seq} is missing before one that came"),
            Misdeed::Taken { seq } => write!(formatter, "the sender was told seq {seq}, which is another message's"),
            Misdeed::TwoSeqs { acked, delivered } => {
                write!(formatter, "the sender was told seq {acked}, the recipient seq {delivered}")
            }
            Misdeed::TwoPlaces { one, other } => {
                write!(formatter, "one recipient was told seq {one}, another seq {other}")
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
    /// Copies that are still to come.
    copies_left: u32,
}

/// Something that happened to a message in flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// When it was to be sent.
    pub intended_ns: u64,
    /// Everybody has it.
    pub is_everywhere: bool,
    /// It is acked, and everybody has it: the next may go.
    pub is_last: bool,
}

impl Flight {
    /// One that is sent now, and is to come to so many recipients.
    #[must_use]
    pub fn new(client_seq: u64, message_id: MessageId, intended_ns: u64, copies: u32) -> Flight {
        Flight { client_seq, message_id, intended_ns, acked_seq: None, delivered_seq: None, copies_left: copies }
    }

    /// Whether the sender knows that it is durable.
    #[must_use]
    pub fn is_acked(&self) -> bool {
        self.acked_seq.is_some()
    }

    /// It is durable, says an Ack.
    ///
    /// # Errors
    /// What the server must not do.
    pub fn acked(in_flight: Option<&mut Flight>, client_seq: u64, seq: u64) -> Result<Step, Misdeed> {
        let flight = in_flight.filter(|flight| flight.client_seq == client_seq && flight.acked_seq.is_none());
        let flight = flight.ok_or(Misdeed::AckOfNothing { client_seq })?;
        flight.acked_seq = Some(seq);
        flight.step()
    }

    /// A copy has come, its body already checked.
    ///
    /// # Errors
    /// What the server must not do.
    pub fn delivered(in_flight: Option<&mut Flight>, message_id: MessageId, seq: u64) -> Result<Step, Misdeed> {
        let flight = in_flight.filter(|flight| flight.message_id == message_id && flight.copies_left > 0);
        let flight = flight.ok_or(Misdeed::DeliveryOfNothing { seq })?;
        flight.copies_left -= 1;
        match flight.delivered_seq.replace(seq) {
            Some(one) if one != seq => Err(Misdeed::TwoPlaces { one, other: seq }),
            _ => flight.step(),
        }
    }

    fn step(&self) -> Result<Step, Misdeed> {
        if let (Some(acked), Some(delivered)) = (self.acked_seq, self.delivered_seq)
            && acked != delivered
        {
            return Err(Misdeed::TwoSeqs { acked, delivered });
        }
        let is_everywhere = self.copies_left == 0;
        Ok(Step { intended_ns: self.intended_ns, is_everywhere, is_last: is_everywhere && self.is_acked() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(copies: u32, of: impl Fn(&mut Flight) -> Vec<Result<Step, Misdeed>>) -> Vec<Result<bool, Misdeed>> {
        let mut flight = Flight::new(5, MessageId(9), 7, copies);
        of(&mut flight).into_iter().map(|step| step.map(|step| step.is_last)).collect()
    }

    #[test]
    fn the_last_of_ack_and_copies_ends_it() {
        let ack_first = steps(2, |flight| {
            let acked = Flight::acked(Some(flight), 5, 3);
            vec![acked, Flight::delivered(Some(flight), MessageId(9), 3), {
                Flight::delivered(Some(flight), MessageId(9), 3)
            }]
        });
        assert_eq!(ack_first, [Ok(false), Ok(false), Ok(true)]);
        let ack_last = steps(1, |flight| {
            let delivered = Flight::delivered(Some(flight), MessageId(9), 3);
            assert!(delivered.unwrap().is_everywhere);
            vec![delivered, Flight::acked(Some(flight), 5, 3)]
        });
        assert_eq!(ack_last, [Ok(false), Ok(true)]);
    }

    #[test]
    fn every_copy_has_the_acked_seq_and_none_is_too_many() {
        let mut flight = Flight::new(5, MessageId(9), 7, 3);
        assert_eq!(Flight::acked(None, 5, 3), Err(Misdeed::AckOfNothing { client_seq: 5 }));
        assert_eq!(Flight::acked(Some(&mut flight), 6, 3), Err(Misdeed::AckOfNothing { client_seq: 6 }));
        assert_eq!(Flight::delivered(Some(&mut flight), MessageId(1), 3), Err(Misdeed::DeliveryOfNothing { seq: 3 }));
        assert!(Flight::delivered(Some(&mut flight), MessageId(9), 3).is_ok());
        let two_places = Flight::delivered(Some(&mut flight), MessageId(9), 4);
        assert_eq!(two_places, Err(Misdeed::TwoPlaces { one: 3, other: 4 }));
        assert!(Flight::acked(Some(&mut flight), 5, 4).is_ok());
        assert_eq!(Flight::acked(Some(&mut flight), 5, 4), Err(Misdeed::AckOfNothing { client_seq: 5 }));
        assert!(Flight::delivered(Some(&mut flight), MessageId(9), 4).unwrap().is_last);
        assert_eq!(Flight::delivered(Some(&mut flight), MessageId(9), 4), Err(Misdeed::DeliveryOfNothing { seq: 4 }));
        let mut other = Flight::new(1, MessageId(2), 0, 1);
        assert!(Flight::acked(Some(&mut other), 1, 8).is_ok());
        let two_seqs = Flight::delivered(Some(&mut other), MessageId(2), 9);
        assert_eq!(two_seqs, Err(Misdeed::TwoSeqs { acked: 8, delivered: 9 }));
    }

    #[test]
    fn misdeeds_are_told_in_words() {
        let texts = [Misdeed::OutOfOrder { before: 2, seq: 1 }, Misdeed::Missing { seq: 3 }].map(|m| m.to_string());
        assert_eq!(texts, ["message 1 came after message 2", "message 3 is missing before one that came"]);
    }
}
