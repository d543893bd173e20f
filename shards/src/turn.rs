//! What all roles of a shard share during a turn.

use rand_chacha::ChaCha8Rng;
use rand_core::Rng;
use trunkline_wire::message::{Encoder, ErrorCode};

use crate::cache::Cache;
use crate::contract::{Effects, Now};
use crate::counters::Counters;
use crate::desk::Desk;
use crate::entry::HomeAnswer;
use crate::limits::Limits;
use crate::router::{Reply, Router};

/// State of the shard that belongs to none of its roles.
pub(crate) struct Shared {
    pub limits: Limits,
    pub router: Router,
    pub desk: Desk,
    pub encoder: Encoder,
    pub counters: Counters,
    pub random: ChaCha8Rng,
    /// Lowest epoch of this process's orderings.
    pub incarnation: u64,
    pub cache: Cache,
}

/// One event's time and effects, and the shared state.
pub(crate) struct Turn<'a> {
    pub now: Now,
    pub effects: &'a mut Effects,
    pub shared: &'a mut Shared,
}

impl Turn<'_> {
    /// Refuses a home request.
    pub fn refuse(&mut self, reply: Reply, code: ErrorCode) {
        let retry_after_ms = self.retry_after_ms(code);
        self.answer(reply, HomeAnswer::Refused(code, retry_after_ms));
    }

    /// How long a client waits before it repeats what was refused; 0: it does not. Spread over twice the least time, so that
    /// those who were refused together do not come back together.
    pub fn retry_after_ms(&mut self, code: ErrorCode) -> u32 {
        let least_ms = match code {
            ErrorCode::Busy | ErrorCode::RateLimited | ErrorCode::StorageUnavailable | ErrorCode::TooManyRequests => {
                self.shared.limits.retry_after_ms
            }
            ErrorCode::Draining => self.shared.limits.drain_spread_ms,
            _ => return 0,
        };
        (least_ms + self.shared.random.next_u64() % least_ms.max(1)) as u32
    }

    /// Answers a home request.
    pub fn answer(&mut self, reply: Reply, answer: HomeAnswer) {
        self.shared.router.answer(reply, answer, self.effects);
    }

    /// So many copies of a message were handed to sessions that was accepted then; 0: nobody waits for it.
    pub fn measure_delivery(&mut self, accepted_ns: u64, copies: u64) {
        if accepted_ns != 0 && copies != 0 {
            let took_ns = self.now.mono_ns.saturating_sub(accepted_ns);
            self.shared.counters.delivery_us.record(took_ns / 1_000, copies);
        }
    }

    /// A random number that is not 0.
    pub fn random_id(&mut self) -> u64 {
        loop {
            let id = self.shared.random.next_u64();
            if id != 0 {
                return id;
            }
        }
    }
}
