//! What one member hears of a conversation: every seq once and in order, its own messages by their Acks.

use crate::flight::Misdeed;

/// A member's place in a conversation.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Ear {
    /// Everything up to here was heard, or acked, or is owed.
    last_seq: u64,
    /// Own messages that are acked and lie behind something that is still to come.
    own_ahead: Vec<u64>,
    /// The seq that was left out and must be that of the own message in flight.
    owed: Option<u64>,
}

impl Ear {
    /// A message of another member has come. A gap before it is filled by own messages only: those that are acked, and the
    /// one in flight, if there is one.
    ///
    /// # Errors
    /// What the server must not do.
    pub fn heard(&mut self, seq: u64, has_flight: bool) -> Result<(), Misdeed> {
        if seq <= self.last_seq {
            return Err(Misdeed::OutOfOrder { before: self.last_seq, seq });
        }
        for missing in self.last_seq + 1..seq {
            if let Some(index) = self.own_ahead.iter().position(|own| *own == missing) {
                self.own_ahead.swap_remove(index);
            } else if has_flight && self.owed.is_none() {
                self.owed = Some(missing);
            } else {
                return Err(Misdeed::Missing { seq: missing });
            }
        }
        self.last_seq = seq;
        self.pass_own()
    }

    /// The own message in flight is acked under this seq.
    ///
    /// # Errors
    /// What the server must not do.
    pub fn acked(&mut self, seq: u64) -> Result<(), Misdeed> {
        match self.owed.take() {
            Some(owed) if owed == seq => Ok(()),
            Some(owed) => Err(Misdeed::Missing { seq: owed }),
            None if seq <= self.last_seq => Err(Misdeed::Taken { seq }),
            None => {
                self.own_ahead.push(seq);
                self.pass_own()
            }
        }
    }

    /// Up to where everything is known.
    #[must_use]
    pub fn whole_seq(&self) -> u64 {
        self.owed.map_or(self.last_seq, |owed| owed - 1)
    }

    /// Own messages right behind the last one need not be remembered.
    fn pass_own(&mut self) -> Result<(), Misdeed> {
        while let Some(index) = self.own_ahead.iter().position(|own| *own <= self.last_seq + 1) {
            let own = self.own_ahead.swap_remove(index);
            if own <= self.last_seq {
                return Err(Misdeed::Taken { seq: own });
            }
            self.last_seq = own;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_heard_in_order_without_a_gap() {
        let mut ear = Ear::default();
        assert_eq!([1, 2, 3].map(|seq| ear.heard(seq, false)), [Ok(()); 3]);
        assert_eq!(ear.whole_seq(), 3);
        assert_eq!(ear.heard(3, false), Err(Misdeed::OutOfOrder { before: 3, seq: 3 }));
        assert_eq!(ear.heard(5, false), Err(Misdeed::Missing { seq: 4 }));
    }

    #[test]
    fn own_messages_fill_gaps_whenever_their_acks_come() {
        let mut ear = Ear::default();
        // Its Ack comes first, and last.
        assert_eq!([ear.acked(2), ear.heard(1, false), ear.heard(3, false)], [Ok(()); 3]);
        assert_eq!([ear.heard(5, true), ear.acked(4)], [Ok(()); 2]);
        assert_eq!(ear, Ear { last_seq: 5, ..Ear::default() });
        // Acks run ahead of deliveries by several messages.
        assert_eq!([ear.acked(7), ear.acked(9), ear.heard(6, false), ear.heard(8, true)], [Ok(()); 4]);
        assert_eq!(ear, Ear { last_seq: 9, ..Ear::default() });
    }

    #[test]
    fn a_gap_is_owed_once_and_only_to_the_message_in_flight() {
        let mut ear = Ear::default();
        ear.heard(2, true).unwrap();
        assert_eq!(ear.whole_seq(), 0);
        assert_eq!(ear.heard(4, true), Err(Misdeed::Missing { seq: 3 }));
        assert_eq!(ear.acked(9), Err(Misdeed::Missing { seq: 1 }));
        let mut ear = Ear::default();
        ear.heard(1, false).unwrap();
        assert_eq!(ear.acked(1), Err(Misdeed::Taken { seq: 1 }));
        ear.acked(3).unwrap();
        assert_eq!(ear.heard(3, false), Err(Misdeed::Missing { seq: 2 }));
    }

    #[test]
    fn nobody_else_has_the_seq_of_an_own_message() {
        let mut ear = Ear::default();
        ear.acked(2).unwrap();
        ear.heard(1, false).unwrap();
        assert_eq!(ear.heard(2, false), Err(Misdeed::OutOfOrder { before: 2, seq: 2 }));
        let mut ear = Ear::default();
        ear.heard(1, false).unwrap();
        ear.acked(3).unwrap();
        ear.heard(2, true).unwrap();
        assert_eq!(ear.heard(3, true), Err(Misdeed::OutOfOrder { before: 3, seq: 3 }));
        let mut ear = Ear::default();
        ear.acked(3).unwrap();
        assert_eq!(ear.heard(3, true), Err(Misdeed::Missing { seq: 2 }));
    }
}
