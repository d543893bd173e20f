//! Keeps short what a start has to replay: it reads all of the journals, and takes into memory what no table has, which is
//! the larger part of the work.
//!
//! A journal goes when all that it holds is in tables. The database looks after this when a table fills its memory, of which
//! there are twelve. So all tables are written out together once there is much to replay, and when the store is closed;
//! the journals of a closed store are then emptied.

use std::time::{Duration, Instant};

use fjall::AbstractTree;

use super::tables::Tables;
use crate::limits::{
    CLOSE_WRITE_OUT_MS_MAX, JOURNAL_CHECK_BYTES, JOURNAL_KEPT_BYTES_MAX, JOURNAL_LONG_BYTES, UNWRITTEN_BYTES_MAX,
};

/// How often a store that is being closed looks whether its tables are written out.
const POLL: Duration = Duration::from_millis(2);

/// What this process knows of the journals' length.
#[derive(Debug)]
pub(crate) struct WriteOut {
    /// What a start would read, at most.
    journal_bytes: u64,
    unchecked_bytes: u64,
    /// What no table was written out with yet, at most.
    unwritten_bytes: u64,
}

impl WriteOut {
    /// Of a store that was opened with so much in its journals.
    pub(crate) fn new(journal_bytes: u64) -> WriteOut {
        WriteOut { journal_bytes, unchecked_bytes: 0, unwritten_bytes: journal_bytes }
    }

    /// A group was written that takes so much: has the tables written out if the journals are too long.
    pub(crate) fn note(&mut self, tables: &Tables, bytes: u64) -> fjall::Result<()> {
        self.journal_bytes += bytes;
        self.unwritten_bytes += bytes;
        self.unchecked_bytes += bytes;
        if self.unchecked_bytes < JOURNAL_CHECK_BYTES {
            return Ok(());
        }
        self.unchecked_bytes = 0;
        if self.unwritten_bytes <= UNWRITTEN_BYTES_MAX && tables.journal_bytes()? <= JOURNAL_LONG_BYTES {
            return Ok(());
        }
        self.unwritten_bytes = 0;
        begin(tables)
    }

    /// Writes out all tables of a store that nobody writes to any more. False: it is not worth it, or takes too long.
    pub(crate) fn finish(&self, tables: &Tables) -> fjall::Result<bool> {
        if self.journal_bytes <= JOURNAL_KEPT_BYTES_MAX {
            return Ok(false);
        }
        begin(tables)?;
        let since = Instant::now();
        while !is_done(tables) {
            if tables.is_poisoned() || since.elapsed() > Duration::from_millis(CLOSE_WRITE_OUT_MS_MAX) {
                return Ok(false);
            }
            std::thread::sleep(POLL);
        }
        Ok(true)
    }
}

/// The database's threads write out what the tables have in memory now.
fn begin(tables: &Tables) -> fjall::Result<()> {
    tables.all().try_for_each(|table| table.rotate_memtable().map(|_| ()))
}

/// Whether nothing is in memory only.
fn is_done(tables: &Tables) -> bool {
    tables.all().all(|table| table.sealed_memtable_count() == 0 && table.tree.active_memtable().is_empty())
}
