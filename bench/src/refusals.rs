//! Refusals that may be repeated: counted, and asked again when the server said.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use trunkline_wire::message::{ErrorCode, schema};

use crate::clock::NS_PER_MS;
use crate::failure::{Failure, refused};

/// What a server says instead of doing what it was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal<'a> {
    /// The code.
    pub code: u16,
    /// When to ask again.
    pub retry_after_ms: u32,
    /// For people.
    pub message: &'a str,
}

impl<'a> Refusal<'a> {
    /// From an Error.
    #[must_use]
    pub fn of_error(error: &schema::Error<'a>) -> Refusal<'a> {
        let message = error.message().unwrap_or_default();
        Refusal { code: error.code(), retry_after_ms: error.retry_after_ms(), message }
    }

    /// From an Ack that accepts nothing.
    #[must_use]
    pub fn of_ack(ack: &schema::Ack<'_>) -> Refusal<'static> {
        Refusal { code: ack.refusal(), retry_after_ms: ack.retry_after_ms(), message: "a message of a Send" }
    }

    /// Whether the same request may succeed a little later.
    #[must_use]
    pub fn is_worth_another_try(&self) -> bool {
        matches!(
            ErrorCode::from_number(self.code),
            Some(ErrorCode::Busy | ErrorCode::RateLimited | ErrorCode::TooManyRequests | ErrorCode::StorageUnavailable)
        )
    }
}

/// What was refused, by the number under which it will be asked again.
#[derive(Default, Debug)]
pub struct Refusals {
    due: BinaryHeap<Reverse<(u64, u32)>>,
    /// Refusals with `rate_limited`.
    pub rate_limited: u64,
    /// Others: `busy` above all.
    pub busy: u64,
}

impl Refusals {
    /// Takes one in.
    ///
    /// # Errors
    /// The refusal, where asking again is no use; `place` says of what.
    pub fn take(
        &mut self,
        now_ns: u64,
        number: u32,
        refusal: &Refusal<'_>,
        place: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if !refusal.is_worth_another_try() {
            return Err(refused(&place(), refusal.code, refusal.message));
        }
        let is_limit = ErrorCode::from_number(refusal.code) == Some(ErrorCode::RateLimited);
        *(if is_limit { &mut self.rate_limited } else { &mut self.busy }) += 1;
        let due_ns = now_ns + u64::from(refusal.retry_after_ms.max(1)) * NS_PER_MS;
        self.due.push(Reverse((due_ns, number)));
        Ok(())
    }

    /// The next one that is to be asked again by now.
    pub fn pop_due(&mut self, now_ns: u64) -> Option<u32> {
        self.next_ns().filter(|due_ns| *due_ns <= now_ns)?;
        self.due.pop().map(|Reverse((_, number))| number)
    }

    /// When the next one is due.
    #[must_use]
    pub fn next_ns(&self) -> Option<u64> {
        self.due.peek().map(|Reverse((due_ns, _))| *due_ns)
    }

    /// Whether nothing waits to be asked again.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: ErrorCode, retry_after_ms: u32) -> Refusal<'static> {
        Refusal { code: code.number(), retry_after_ms, message: "no" }
    }

    #[test]
    fn what_may_succeed_later_is_due_when_the_server_said() {
        let mut refusals = Refusals::default();
        refusals.take(0, 7, &refusal(ErrorCode::Busy, 3), || unreachable!()).unwrap();
        refusals.take(0, 8, &refusal(ErrorCode::RateLimited, 0), || unreachable!()).unwrap();
        assert_eq!((refusals.busy, refusals.rate_limited, refusals.next_ns()), (1, 1, Some(NS_PER_MS)));
        assert_eq!(
            [NS_PER_MS - 1, NS_PER_MS, 2 * NS_PER_MS].map(|now_ns| refusals.pop_due(now_ns)),
            [None, Some(8), None]
        );
        assert!(!refusals.is_empty());
        assert_eq!(refusals.pop_due(3 * NS_PER_MS), Some(7));
        assert!(refusals.is_empty());
    }

    #[test]
    fn what_never_succeeds_ends_the_run() {
        let judged = Refusals::default().take(0, 1, &refusal(ErrorCode::NotFound, 9), || "group 3".to_owned());
        assert!(matches!(judged, Err(Failure::Server(text)) if text.contains("group 3: not_found")));
    }
}
