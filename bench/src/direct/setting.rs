//! What pairs are to do.

use crate::course::Spans;
use crate::failure::Failure;

/// Most conversations of a user, which is as many as it may have requests outstanding.
pub const IN_FLIGHT_MAX: u32 = trunkline_wire::limits::REQUESTS_OUTSTANDING_MAX as u32;

/// What is to be run.
#[derive(Clone, PartialEq, Debug)]
pub struct Setting {
    /// Conversations.
    pub pairs: u32,
    /// Conversations of each user, with one message in flight in each: 1, or an even number up to [`IN_FLIGHT_MAX`].
    pub in_flight: u32,
    /// Only one side of each pair talks.
    pub is_one_way: bool,
    /// Bytes of a body.
    pub body_bytes: usize,
    /// What is measured.
    pub seconds: f64,
    /// What comes before.
    pub warmup_s: f64,
    /// Open loop: messages a second of all sides together.
    pub rate: Option<f64>,
    /// Conversations whose history is compared.
    pub samples: u32,
    /// How long the last messages may take.
    pub patience_s: f64,
    /// Connects at a time.
    pub connecting_max: u32,
    /// Process of the server, to read its CPU time.
    pub server_pid: Option<u32>,
}

impl Setting {
    /// How many users that takes.
    ///
    /// # Errors
    /// The operator's: pairs and messages in flight that do not go together.
    pub fn users(&self) -> Result<u32, Failure> {
        let Setting { pairs, in_flight, .. } = *self;
        if in_flight == 1 {
            return Ok(2 * pairs);
        }
        let users = 2 * pairs / in_flight.max(1);
        let fits = in_flight.is_multiple_of(2) && in_flight <= IN_FLIGHT_MAX && (2 * pairs).is_multiple_of(in_flight);
        if !fits || users <= in_flight {
            return Err(Failure::Operator(format!(
                "--in-flight {in_flight} does not go with --pairs {pairs}: it is 1, or an even number up to {IN_FLIGHT_MAX} that \
                 divides twice the pairs into more users than itself"
            )));
        }
        Ok(users)
    }

    pub(super) fn spans(&self) -> Spans {
        Spans { warmup_s: self.warmup_s, seconds: self.seconds, patience_s: self.patience_s }
    }

    /// The users of every pair: neighbours, so that each user is in exactly `in_flight` pairs.
    pub(super) fn members(&self) -> Result<Vec<(u32, u32)>, Failure> {
        let users = self.users()?;
        if self.in_flight == 1 {
            return Ok((0..self.pairs).map(|pair| (2 * pair, 2 * pair + 1)).collect());
        }
        let distances = 1..=self.in_flight / 2;
        Ok(distances.flat_map(|distance| (0..users).map(move |user| (user, (user + distance) % users))).collect())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::direct) fn setting(pairs: u32, in_flight: u32) -> Setting {
        Setting {
            pairs,
            in_flight,
            is_one_way: false,
            body_bytes: 100,
            seconds: 1.0,
            warmup_s: 0.0,
            rate: None,
            samples: 4,
            patience_s: 1.0,
            connecting_max: 10,
            server_pid: None,
        }
    }

    #[test]
    fn every_user_is_in_as_many_pairs_as_are_in_flight() {
        for (pairs, in_flight, users) in [(200, 1, 400), (400, 16, 50), (6, 4, 3), (10, 4, 5)] {
            let setting = setting(pairs, in_flight);
            if users <= in_flight {
                assert!(setting.users().is_err());
                continue;
            }
            assert_eq!(setting.users().unwrap(), users);
            let members = setting.members().unwrap();
            assert_eq!(members.len(), pairs as usize);
            let mut unordered: Vec<_> = members.iter().map(|&(a, b)| (a.min(b), a.max(b))).collect();
            unordered.sort_unstable();
            unordered.dedup();
            assert_eq!(unordered.len(), members.len());
            for user in 0..users {
                let of_user = members.iter().filter(|&&(a, b)| a != b && (a == user || b == user)).count();
                assert_eq!(of_user, in_flight as usize);
            }
        }
        for (pairs, in_flight) in [(10, 3), (10, 18), (3, 4), (10, 0)] {
            assert!(setting(pairs, in_flight).users().is_err(), "{pairs} {in_flight}");
        }
    }
}
