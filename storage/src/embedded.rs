//! The embedded store, on fjall: for one machine, without any set-up.
//!
//! One thread writes ([`EmbeddedLog`]), any number read ([`EmbeddedIndex`]). Three weak points of the library are covered
//! here: it stops for good when the disk is full (a reserve, and opening it anew in place), it cuts damaged journals
//! silently (they are checked before, against the high-water file), and nothing keeps two processes apart (a lock).

mod batch;
mod codec;
mod copies;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod damaged_values;
mod folder;
mod high_water;
mod journal;
mod keys;
mod list_codec;
mod open_error;
mod sealed;
mod space;
mod table_faults;
mod tables;
mod write_out;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use trunkline_shards::store::{Load, Loaded, StoreFault, StoreResult};

use crate::contract::{Fatal, Index, Log, Write};
use crate::limits::{JOURNAL_BYTES_MAX, MEMTABLE_BYTES_MAX, RESERVE_BYTES_MIN};
use crate::plan::{Change, Heads, Plan, plan};
use crate::reads;

pub use copies::{Copied, CopyError, raise_incarnation};
use folder::{Folder, Recovered};
use high_water::HighWater;
pub use open_error::{DamagedStore, OpenError};
use space::{Room, Space};
use tables::Tables;
use write_out::WriteOut;

/// What may differ between stores.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Writes are refused while less than this is free on the disk, in bytes.
    pub reserve_bytes: u64,
    /// Memory for what was read, in bytes.
    pub cache_bytes: u64,
    /// Threads that write tables out and merge them.
    pub worker_threads: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            reserve_bytes: RESERVE_BYTES_MIN.max(2 * JOURNAL_BYTES_MAX),
            cache_bytes: 256 * 1024 * 1024,
            worker_threads: 2,
        }
    }
}

/// Whether an error means that there is no room.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn is_full_database(error: &fjall::Error) -> bool {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => is_full(error),
        _ => false,
    }
}

/// Opens the store in a folder, or makes a new one there.
///
/// # Errors
/// See [`OpenError`]; a store that is refused is left as it was.
pub fn open(path: &Path, options: Options) -> Result<(EmbeddedLog, Arc<EmbeddedIndex>), OpenError> {
    let mut folder = Folder::lock(path)?;
    folder.prepare(&options)?;
    let Recovered { tables, group, journal_bytes } = folder.recover(&options)?;
    let failed = |error: io::Error| OpenError::Io {
        doing: "reading",
        path: path.to_path_buf(),
        reason: error.to_string(),
        full: is_full(&error),
    };
    let identity = tables.view().identity().ok().flatten().filter(|identity| identity.store_id == folder.store_id);
    let identity = identity.ok_or_else(|| failed(io::Error::other("its files are not of one store")))?;
    let high_water = HighWater::create(&folder.high_water(), group).map_err(failed)?;
    let space = Space::watch(path.to_path_buf(), options.reserve_bytes).map_err(failed)?;
    let index = Arc::new(EmbeddedIndex {
        folder,
        tables: RwLock::new(Some(tables)),
        wants_tables: AtomicBool::new(false),
        is_written_out: AtomicBool::new(false),
    });
    let log = EmbeddedLog {
        index: index.clone(),
        options,
        group,
        incarnation: identity.incarnation,
        heads: Heads::default(),
        high_water,
        space,
        write_out: WriteOut::new(journal_bytes),
        has_failed: false,
    };
    Ok((log, index))
}

/// The reading side.
pub struct EmbeddedIndex {
    folder: Folder,
    /// None while the database is being opened anew, or could not be for lack of room.
    tables: RwLock<Option<Tables>>,
    /// The log waits for whoever uses the tables for long.
    wants_tables: AtomicBool,
    /// The log has ended, and the tables have everything: nothing needs the journals.
    is_written_out: AtomicBool,
}

impl Index for EmbeddedIndex {
    fn load(&self, load: &Load) -> Result<Loaded, StoreFault> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let tables = tables.as_ref().ok_or(StoreFault::Unknown)?;
        reads::load(&tables.view(), load)
    }
}

impl Drop for EmbeddedIndex {
    fn drop(&mut self) {
        drop(self.tables.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        if !self.is_written_out.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = self.folder.empty_journals() {
            tracing::warn!("the journals stay as they are: {error}");
        }
    }
}

/// The writing side. Dropping it closes the store.
pub struct EmbeddedLog {
    index: Arc<EmbeddedIndex>,
    options: Options,
    /// The newest durable group.
    group: u64,
    incarnation: u64,
    heads: Heads,
    high_water: HighWater,
    space: Space,
    write_out: WriteOut,
    has_failed: bool,
}

/// How often a log that waits for the database to catch up looks again.
const BEHIND_POLL: Duration = Duration::from_millis(1);

/// Why a batch was not written.
enum WriteFault {
    /// For lack of room; whether it is on the disk is open until the database is opened anew.
    Full,
    /// There is no database: it could not be opened for lack of room.
    Closed,
    Fatal(Fatal),
}

impl Log for EmbeddedLog {
    fn commit(&mut self, writes: &[Write]) -> Result<Vec<StoreResult>, Fatal> {
        if self.has_failed {
            return Err(self.fatal("writing after a failure to", "the store has failed before"));
        }
        let result = self.commit_group(writes);
        self.has_failed = result.is_err();
        result
    }

    fn incarnation(&self) -> u64 {
        self.incarnation
    }
}

impl EmbeddedLog {
    /// What tells this store from all others.
    pub fn store_id(&self) -> [u8; 16] {
        self.index.folder.store_id
    }

    fn fatal(&self, doing: &'static str, reason: impl fmt::Display) -> Fatal {
        Fatal::Disk { doing, path: self.index.folder.path.clone(), reason: reason.to_string() }
    }

    fn commit_group(&mut self, writes: &[Write]) -> Result<Vec<StoreResult>, Fatal> {
        let bytes = writes.iter().map(|write| write.cost_bytes() as u64).sum();
        let room = self.space.check(bytes).map_err(|error| self.fatal("asking for the free space of", error))?;
        if room == Room::Again {
            self.ensure_open()?;
        }
        let index = self.index.clone();
        let guard = index.tables.read().unwrap_or_else(PoisonError::into_inner);
        let Some(tables) = guard.as_ref() else { return Ok(refuse(writes, StoreFault::Unknown)) };
        let plan = plan(&tables.view(), &mut self.heads, self.group + 1, writes).map_err(Fatal::Caller)?;
        if plan.changes.is_empty() {
            return Ok(plan.results);
        }
        if room == Room::TooLittle {
            self.heads.clear();
            return Ok(plan.failed(StoreFault::Full));
        }
        let written = self.write(tables, &plan.changes);
        drop(guard);
        match written {
            Ok(()) => Ok(plan.results),
            Err(WriteFault::Fatal(fatal)) => Err(fatal),
            Err(WriteFault::Full | WriteFault::Closed) => self.settle(plan),
        }
    }

    /// Writes the next group and syncs it.
    fn write(&mut self, tables: &Tables, changes: &[Change<'_>]) -> Result<(), WriteFault> {
        while tables.is_behind() && !tables.is_poisoned() {
            std::thread::sleep(BEHIND_POLL);
        }
        let mut batch = tables.batch(self.group + 1);
        changes.iter().for_each(|change| batch.apply(change));
        let bytes = batch.commit().map_err(|error| self.write_fault(&error))?;
        self.group += 1;
        if let Err(error) = self.write_out.note(tables, bytes) {
            // The group is durable all the same; the next one will meet what is wrong.
            tracing::warn!("the tables are not written out: {error}");
        }
        match self.high_water.write(self.group) {
            // It lags behind, which makes the check at the next start weaker and nothing wrong.
            Err(error) if is_full(&error) => tracing::warn!("no room to write the high-water file: {error}"),
            written => {
                written.map_err(|error| WriteFault::Fatal(self.fatal("writing the high-water file in", error)))?
            }
        }
        Ok(())
    }

    fn write_fault(&mut self, error: &fjall::Error) -> WriteFault {
        let is_for_room = match error {
            // One of its threads failed before. It does not say why; without room it is that.
            fjall::Error::Poisoned => self.space.was_below(2 * MEMTABLE_BYTES_MAX).unwrap_or(false),
            error => is_full_database(error),
        };
        if is_for_room { WriteFault::Full } else { WriteFault::Fatal(self.fatal("writing to", error)) }
    }

    /// Answers a group whose write found no room by what is on the disk.
    fn settle(&mut self, plan: Plan<'_>) -> Result<Vec<StoreResult>, Fatal> {
        tracing::error!(
            "the disk of {} is full: refusing messages until there is room",
            self.index.folder.path.display()
        );
        self.heads.clear();
        self.space.note_full();
        let group = self.group;
        if !self.reopen()? {
            return Ok(plan.failed(StoreFault::Unknown));
        }
        if self.group == group {
            return Ok(plan.failed(StoreFault::Full));
        }
        // It is there, but its sync may be what failed: the same rows again make sure.
        let index = self.index.clone();
        let guard = index.tables.read().unwrap_or_else(PoisonError::into_inner);
        let written = guard.as_ref().map_or(Err(WriteFault::Closed), |tables| self.write(tables, &plan.changes));
        match written {
            Ok(()) => Ok(plan.results),
            Err(WriteFault::Fatal(fatal)) => Err(fatal),
            Err(WriteFault::Full | WriteFault::Closed) => Ok(plan.failed(StoreFault::Unknown)),
        }
    }

    /// Opens the database anew if it is closed, or takes no more writes.
    fn ensure_open(&mut self) -> Result<(), Fatal> {
        let is_fine = {
            let tables = self.index.tables.read().unwrap_or_else(PoisonError::into_inner);
            tables.as_ref().is_some_and(|tables| !tables.is_poisoned())
        };
        if !is_fine && !self.reopen()? {
            self.space.note_full();
        }
        Ok(())
    }

    /// Opens the database anew while the readers wait. False: there is no room even for that.
    fn reopen(&mut self) -> Result<bool, Fatal> {
        let index = self.index.clone();
        index.wants_tables.store(true, Ordering::Relaxed);
        let mut tables = index.tables.write().unwrap_or_else(PoisonError::into_inner);
        index.wants_tables.store(false, Ordering::Relaxed);
        drop(tables.take());
        match index.folder.reopen(self.group, &self.options) {
            Ok(Recovered { tables: opened, group, journal_bytes }) => {
                *tables = Some(opened);
                self.group = group;
                self.write_out = WriteOut::new(journal_bytes);
                self.space.note_opened();
                Ok(true)
            }
            Err(OpenError::Io { full: true, .. }) => Ok(false),
            Err(error) => Err(self.fatal("opening anew", error)),
        }
    }
}

/// Answers all with a fault.
fn refuse(writes: &[Write], fault: StoreFault) -> Vec<StoreResult> {
    let refused = writes.iter().map(|write| match write {
        Write::Append(_) => StoreResult::Appended(Err(fault)),
        Write::Put(_) => StoreResult::Put(Err(fault)),
    });
    refused.collect()
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        let tables = self.index.tables.read().unwrap_or_else(PoisonError::into_inner);
        let Some(tables) = tables.as_ref().filter(|_| !self.has_failed) else { return };
        match self.write_out.finish(tables) {
            Ok(is_done) => self.index.is_written_out.store(is_done, Ordering::Relaxed),
            Err(error) => tracing::warn!("the tables are not written out: {error}"),
        }
        if let Err(error) = self.high_water.sync().and_then(|()| self.index.folder.mark_clean()) {
            tracing::warn!("{} was not marked as closed: {error}", self.index.folder.path.display());
        }
    }
}
