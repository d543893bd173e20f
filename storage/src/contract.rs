//! What a store promises to its threads: the two sides [`Log`] and [`Index`], and when a process must end.

use std::fmt;
use std::path::PathBuf;

use trunkline_shards::store::{Append, ConversationKey, Load, Loaded, Put, StoreFault, StoreResult};
use trunkline_wire::limits::message_cost_bytes;

use crate::limits::{PUT_COST_BYTES, ROW_COST_BYTES};

/// A write, of log or index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Write {
    /// Rows of a conversation.
    Append(Box<Append>),
    /// A row of the index.
    Put(Box<Put>),
}

impl Write {
    /// What it counts for in a group, in bytes.
    pub fn cost_bytes(&self) -> usize {
        match self {
            Write::Append(append) => append.rows.iter().map(|row| message_cost_bytes(row.body.len())).sum(),
            Write::Put(put) => PUT_COST_BYTES + rows_cost_bytes(put),
        }
    }
}

/// What a write of the index that has rows counts for because of them.
fn rows_cost_bytes(put: &Put) -> usize {
    match put {
        Put::Checkpoint { devices, members, .. } => size_of_val(devices.as_slice()) + size_of_val(members.as_slice()),
        Put::Receipts { receipts, .. } => receipts.len() * ROW_COST_BYTES,
        Put::List { changes } => changes.iter().map(|change| 2 * ROW_COST_BYTES + change.about.title.len()).sum(),
        Put::Users(rows) => rows.iter().map(|(_, row)| ROW_COST_BYTES + row.handle.len() + row.account.len()).sum(),
        Put::User { .. }
        | Put::ClaimHandle { .. }
        | Put::Contact { .. }
        | Put::Unmark { .. }
        | Put::Ceiling { .. }
        | Put::Position { .. }
        | Put::Revoke { .. } => 0,
    }
}

/// The side that makes durable. It has one owner.
pub trait Log: Send {
    /// Commits all of `writes` in order, with one sync, and answers each in turn: what it answers is durable.
    ///
    /// Rows that are there already with the same content are left alone and answered with the LSN they have. A disk without
    /// room is [`StoreFault::Full`] for each write of the group that had something to write, or whose answer rests on what an
    /// earlier one had to write, and nothing of it is written.
    ///
    /// # Errors
    /// After a [`Fatal`] nothing may be acked any more: the process ends, and recovers from what is on disk.
    fn commit(&mut self, writes: &[Write]) -> Result<Vec<StoreResult>, Fatal>;

    /// From 1; it rises when the store is restored from a backup. No conversation goes on with an epoch below it.
    fn incarnation(&self) -> u64;
}

impl<L: Log + ?Sized> Log for Box<L> {
    fn commit(&mut self, writes: &[Write]) -> Result<Vec<StoreResult>, Fatal> {
        (**self).commit(writes)
    }

    fn incarnation(&self) -> u64 {
        (**self).incarnation()
    }
}

/// The side that reads. Any number of threads share it; it sees what was durable when it was asked.
pub trait Index: Send + Sync {
    /// Reads.
    ///
    /// # Errors
    /// [`StoreFault::Unknown`] where the disk, or what is on it, could not be read; the reason is logged.
    fn load(&self, load: &Load) -> Result<Loaded, StoreFault>;
}

/// Why the process must end.
#[derive(Debug)]
pub enum Fatal {
    /// The disk failed in a way that leaves open what is on it. A sync that failed is never tried again: the kernel may have
    /// dropped what it could not write.
    Disk {
        /// What was being done.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system or the library said.
        reason: String,
    },
    /// The caller broke the contract; nothing of the group was written.
    Caller(Misuse),
}

/// How a caller broke the contract.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Misuse {
    /// An append without rows.
    NoRows(ConversationKey),
    /// A row that does not follow the one before it.
    Gap {
        /// The conversation.
        key: ConversationKey,
        /// The seq before it.
        last_seq: u64,
        /// Its own.
        seq: u64,
    },
    /// A row with the seq of another one.
    Overwrite {
        /// The conversation.
        key: ConversationKey,
        /// The seq.
        seq: u64,
    },
    /// First rows of a conversation that do not say what it is.
    NoMeta(ConversationKey),
    /// A conversation that is said to be something else than it is.
    OtherMeta(ConversationKey),
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, text) = match self {
            Misuse::NoRows(key) => (key, "an append without rows".into()),
            Misuse::Gap { key, last_seq, seq } => (key, format!("seq {seq} does not follow {last_seq}")),
            Misuse::Overwrite { key, seq } => (key, format!("another row has seq {seq} already")),
            Misuse::NoMeta(key) => (key, "the first rows of a conversation come without its meta".into()),
            Misuse::OtherMeta(key) => (key, "the conversation exists with another meta".into()),
        };
        write!(f, "tenant {}, conversation {}: {text}", key.tenant.0, key.conversation)
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fatal::Disk { doing, path, reason } => write!(
                f,
                "the store failed: {doing} {}: {reason}. No message is acknowledged any more; check the disk (dmesg, \
                 smartctl), then start again: everything that was acknowledged is recovered from it",
                path.display()
            ),
            Fatal::Caller(misuse) => {
                write!(f, "the store was asked for the impossible, which is a bug of trunkline: {misuse}")
            }
        }
    }
}

impl std::error::Error for Fatal {}
