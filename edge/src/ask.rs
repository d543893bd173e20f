//! How the edge asks shards, whoever drives them.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use trunkline_shards::contract::{AdminAnswer, AdminRequest, ShardId};
use trunkline_shards::counters::StoreCounters;

use crate::limits::{ASK_AGAIN_FIRST_MS, ASK_AGAIN_MAX_MS, ASK_ANSWER_MS, ASK_BUSY_MS};

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AskError {
    /// Too many requests wait at the shard; this one was not taken.
    Full,
    /// The shard did not answer in time; it may yet do what was asked.
    Late,
    /// The server is stopping.
    Ended,
    /// The store failed so that nothing can be asked any more: what it said.
    Failed(String),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AskError::Full => "too many requests wait at the shard; try again",
            AskError::Late => "the shard did not answer in time; it may yet do what was asked",
            AskError::Ended => "the server is stopping",
            AskError::Failed(reason) => reason,
        })
    }
}

impl std::error::Error for AskError {}

/// The shards of a process, as an administrator sees them.
pub trait Shards {
    /// How many there are, at least one.
    fn count(&self) -> u16;

    /// Asks one of them and waits for its answer, for at most so long.
    ///
    /// # Errors
    /// See [`AskError`].
    fn ask_within(&self, shard: ShardId, request: AdminRequest, within: Duration) -> Result<AdminAnswer, AskError>;

    /// What their store's log has counted, where that is known.
    fn store(&self) -> Option<StoreCounters> {
        None
    }

    /// Asks one of them and waits for at most [`ASK_ANSWER_MS`].
    ///
    /// # Errors
    /// See [`AskError`].
    fn ask(&self, shard: ShardId, request: AdminRequest) -> Result<AdminAnswer, AskError> {
        self.ask_within(shard, request, Duration::from_millis(ASK_ANSWER_MS))
    }
}

/// Asks until the shard is not busy, for at most [`ASK_BUSY_MS`]. A busy shard has done nothing of what was asked.
pub(crate) fn ask_patiently(
    shards: &(impl Shards + ?Sized),
    shard: ShardId,
    request: &AdminRequest,
) -> Result<AdminAnswer, AskError> {
    let give_up_at = Instant::now() + Duration::from_millis(ASK_BUSY_MS);
    let mut wait = Duration::from_millis(ASK_AGAIN_FIRST_MS);
    loop {
        let answer = shards.ask(shard, request.clone());
        let busy = matches!(answer, Ok(AdminAnswer::Busy) | Err(AskError::Full));
        if !busy || Instant::now() + wait > give_up_at {
            return answer;
        }
        thread::sleep(wait);
        wait = (2 * wait).min(Duration::from_millis(ASK_AGAIN_MAX_MS));
    }
}
