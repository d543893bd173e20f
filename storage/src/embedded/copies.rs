//! Copies of a store while it is used: all tables as they were at one moment, written into a new store beside it.
//!
//! The database has no copy of its own, and its files change under whoever copies them. A snapshot of its tables is one
//! moment of all of them, holds every group that was answered before it, and makes no writer wait.

use std::fmt;
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::folder::Folder;
use super::tables::{Tables, View};
use super::{EmbeddedIndex, OpenError, Options};

/// Memory for what a copy reads back: nothing.
const CACHE_BYTES: u64 = 1024 * 1024;
/// Rows between two looks whether the copy is in the way.
const LOOK_EVERY_ROWS: u64 = 1024;

/// Why there is no copy.
#[derive(Debug)]
pub enum CopyError {
    /// The new store could not be written.
    Target(OpenError),
    /// The store could not be read, or what is on its disk is damaged.
    Source {
        /// The table.
        table: String,
        /// What the database said.
        reason: String,
    },
    /// The store is being opened anew, as after a full disk.
    Busy,
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CopyError::Target(error) => error.fmt(f),
            CopyError::Source { table, reason } => {
                write!(f, "table {table} of the store can't be read: {reason}; check the disk (dmesg, smartctl)")
            }
            CopyError::Busy => f.write_str("the store is being opened anew, as after a full disk; try again"),
        }
    }
}

impl std::error::Error for CopyError {}

/// What a copy holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Copied {
    /// The newest group.
    pub group: u64,
    /// Rows of all tables.
    pub rows: u64,
}

impl EmbeddedIndex {
    /// Writes all that is durable now into a new store in the folder `to`, which is closed then.
    ///
    /// # Errors
    /// See [`CopyError`]; what was written until then stays.
    pub fn copy_to(&self, to: &Path) -> Result<Copied, CopyError> {
        let guard = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let tables = guard.as_ref().ok_or(CopyError::Busy)?;
        let view = tables.view();
        let damaged = || CopyError::Source { table: "store".to_owned(), reason: "its group is damaged".to_owned() };
        let group = view.group().map_err(|_| damaged())?;
        let options = Options { cache_bytes: CACHE_BYTES, worker_threads: 1, ..Options::default() };
        let mut folder = Folder::lock(to).map_err(CopyError::Target)?;
        folder.store_id = self.folder.store_id;
        let copy = Tables::open(&folder.database(), folder.store_id, &options);
        let copy = copy.map_err(|error| CopyError::Target(folder.open_failed(&error)))?;
        let rows = self.copy_tables((tables, &view), &copy, &folder)?;
        drop(copy);
        folder.finish_copy(group).map_err(CopyError::Target)?;
        Ok(Copied { group, rows })
    }

    fn copy_tables(&self, (from, view): (&Tables, &View<'_>), to: &Tables, folder: &Folder) -> Result<u64, CopyError> {
        let mut rows = 0;
        for (from, to) in from.all().zip(to.all()) {
            let failed = |error: fjall::Error| CopyError::Target(folder.open_failed(&error));
            let mut found = view.rows(from).peekable();
            if found.peek().is_none() {
                continue;
            }
            let mut taken = to.start_ingestion().map_err(failed)?;
            for row in found {
                let (key, value) = row
                    .into_inner()
                    .map_err(|error| CopyError::Source { table: from.name().to_string(), reason: error.to_string() })?;
                taken.write(key, value).map_err(failed)?;
                rows += 1;
                if rows % LOOK_EVERY_ROWS == 0 && self.wants_tables.load(Ordering::Relaxed) {
                    return Err(CopyError::Busy);
                }
            }
            taken.finish().map_err(failed)?;
        }
        Ok(rows)
    }
}

/// Raises the incarnation of a store that nobody has open: what it counts from now on, it never counted before. Says what
/// it is now: at least `at_least`, and above what it was.
///
/// # Errors
/// See [`OpenError`].
pub fn raise_incarnation(path: &Path, at_least: u64) -> Result<u64, OpenError> {
    let options = Options { cache_bytes: CACHE_BYTES, worker_threads: 1, ..Options::default() };
    let mut folder = Folder::lock(path)?;
    folder.prepare(&options)?;
    folder.raise_incarnation(at_least, &options)
}
