//! The loops of a store's threads: take requests, do them, answer. How requests and answers travel is the mailbox's.
//!
//! Hot path, step 6 of 8: a group of appends is committed with one sync, and each shard gets its answers.

use std::sync::Arc;

use trunkline_shards::contract::{ShardId, Ticket};
use trunkline_shards::store::{Load, StoreResult};

use crate::contract::{Fatal, Index, Log, Write};
use crate::limits::GROUP_BYTES_MAX;

/// What a shard asks for.
#[derive(Debug)]
pub struct Request<T> {
    /// Who asks.
    pub shard: ShardId,
    /// Comes back with the answer.
    pub ticket: Ticket,
    /// What is asked for.
    pub what: T,
}

/// Where a store thread's requests come from and where its answers go.
pub trait Mailbox<T> {
    /// Waits until there is a request, then adds everything that waits, oldest first per shard, to `into`. False: there will
    /// be no more; what was added is still done.
    fn take(&mut self, into: &mut Vec<Request<T>>) -> bool;

    /// Hands over an answer; it may wait there until [`Mailbox::answers_done`].
    fn answer(&mut self, shard: ShardId, ticket: Ticket, result: StoreResult);

    /// There are no more answers for now: wake who sleeps.
    fn answers_done(&mut self);
}

/// Runs a log until its mailbox ends, then closes it (by dropping it).
///
/// Group commit without timers: what gathered while the last group was syncing is the next group, cut at
/// [`GROUP_BYTES_MAX`].
///
/// # Errors
/// See [`Log::commit`]. Nothing of the failed group has been answered, and the process must end.
pub fn run_log(mut log: impl Log, mailbox: &mut impl Mailbox<Write>) -> Result<(), Fatal> {
    let mut requests = Vec::new();
    let mut askers = Vec::new();
    let mut writes = Vec::new();
    loop {
        let more = mailbox.take(&mut requests);
        let mut waiting = requests.drain(..).peekable();
        while waiting.peek().is_some() {
            let mut bytes = 0;
            while let Some(next) =
                waiting.next_if(|next| bytes == 0 || bytes + next.what.cost_bytes() <= GROUP_BYTES_MAX)
            {
                bytes += next.what.cost_bytes();
                askers.push((next.shard, next.ticket));
                writes.push(next.what);
            }
            let results = log.commit(&writes)?;
            assert_eq!(results.len(), askers.len(), "a log answers each write once");
            for ((shard, ticket), result) in askers.drain(..).zip(results) {
                mailbox.answer(shard, ticket, result);
            }
            writes.clear();
            mailbox.answers_done();
        }
        drop(waiting);
        if !more {
            return Ok(());
        }
    }
}

/// Runs one reader of an index until its mailbox ends. Reads are answered one by one.
pub fn run_index(index: Arc<impl Index + ?Sized>, mailbox: &mut impl Mailbox<Box<Load>>) {
    let mut requests = Vec::new();
    loop {
        let more = mailbox.take(&mut requests);
        for request in requests.drain(..) {
            let loaded = index.load(&request.what);
            mailbox.answer(request.shard, request.ticket, StoreResult::Loaded(loaded));
            mailbox.answers_done();
        }
        if !more {
            return;
        }
    }
}
