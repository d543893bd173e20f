//! A store's folder: who holds it, which format it has, and how its journals are checked before the database opens them.
//!
//! ```text
//! lock                   held with flock by the process that has the store open
//! format                 "trunkline-store 3", and the store's id
//! high-water             newest acknowledged group, see `high_water`
//! clean                  there while nobody has the store open and the last one closed it
//! fjall/                 the database
//! journals-before-open/  copies of the journals, while an opening after an unclean stop is under way, or was refused
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::codec::Identity;
use super::high_water::HighWater;
use super::journal::{self, Damage, Journals};
use super::tables::Tables;
use super::{DamagedStore, OpenError, Options, is_full};

/// How long the database may take to close, before it is given up.
const CLOSE_MAX: Duration = Duration::from_secs(30);

/// 2: lists in order of their changes, members, watermarks, marks.
const FORMAT: u32 = 3;
const FORMAT_NAME: &str = "trunkline-store";

/// A database that was opened.
pub(crate) struct Recovered {
    pub(crate) tables: Tables,
    /// The newest group in it.
    pub(crate) group: u64,
    /// What its journals hold.
    pub(crate) journal_bytes: u64,
}

/// A folder that this process holds.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    /// What tells this store from all others; zeros until [`Folder::prepare`].
    pub(crate) store_id: [u8; 16],
    _lock: File,
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_path_buf();
    move |error| OpenError::Io { doing, path, reason: error.to_string(), full: is_full(&error) }
}

fn sync_folder(path: &Path) -> Result<(), OpenError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(io_error("syncing", path))
}

fn remove_folder(path: &Path) -> Result<(), OpenError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("removing", path)(error)),
        _ => Ok(()),
    }
}

impl Folder {
    /// Takes the folder for this process; makes it if there is none.
    pub(crate) fn lock(path: &Path) -> Result<Folder, OpenError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io_error("making", path))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&lock_path);
        let lock = lock.map_err(io_error("opening", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Folder { path: path.to_path_buf(), store_id: [0; 16], _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: path.to_path_buf() }),
            Err(TryLockError::Error(error)) => Err(io_error("locking", &lock_path)(error)),
        }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("fjall")
    }

    pub(crate) fn high_water(&self) -> PathBuf {
        self.path.join("high-water")
    }

    fn clean(&self) -> PathBuf {
        self.path.join("clean")
    }

    fn copies(&self) -> PathBuf {
        self.path.join("journals-before-open")
    }

    /// Checks the format of what is there; makes a new store if nothing is.
    pub(crate) fn prepare(&mut self, options: &Options) -> Result<(), OpenError> {
        let path = self.path.join("format");
        let is_there = self.database().try_exists().map_err(io_error("reading", &self.path))?;
        if !is_there {
            let high_water = HighWater::read(&self.high_water()).map_err(io_error("reading", &self.high_water()))?;
            return match high_water {
                // A new store's first group is its identity.
                None | Some(0..=1) => self.create(&path, options),
                Some(high_water) => Err(self.damaged(None, None, high_water)),
            };
        }
        let text = fs::read_to_string(&path).map_err(io_error("reading", &path))?;
        let mut words = text.split_whitespace();
        let format = words.next().filter(|name| *name == FORMAT_NAME).and_then(|_| words.next()?.parse().ok());
        match format {
            Some(FORMAT) => {}
            Some(found) => return Err(OpenError::OtherFormat { path: self.path.clone(), found, known: FORMAT }),
            None => return Err(io_error("reading", &path)(io::Error::other("it does not name a format"))),
        }
        let id = words.next().filter(|id| id.len() == 32).and_then(|id| u128::from_str_radix(id, 16).ok());
        let id = id.ok_or_else(|| io_error("reading", &path)(io::Error::other("it does not name the store's id")))?;
        self.store_id = id.to_be_bytes();
        Ok(())
    }

    /// Makes the database beside its place and renames it: a kill leaves either nothing or a whole store.
    fn create(&mut self, format: &Path, options: &Options) -> Result<(), OpenError> {
        let unfinished = self.path.join("fjall.new");
        remove_folder(&unfinished)?;
        let no_randomness = |error: getrandom::Error| io::Error::other(error.to_string());
        getrandom::fill(&mut self.store_id).map_err(no_randomness).map_err(io_error("naming", &self.path))?;
        let failed = |error: fjall::Error| self.open_failed(&error);
        {
            let tables = Tables::open(&unfinished, self.store_id, options).map_err(failed)?;
            let mut batch = tables.batch(1);
            batch.put_identity(Identity { store_id: self.store_id, incarnation: 1 });
            batch.commit().map_err(failed)?;
        }
        self.write_format(format)?;
        HighWater::create(&self.high_water(), 1).map_err(io_error("writing", &self.high_water()))?;
        fs::rename(&unfinished, self.database()).map_err(io_error("renaming", &unfinished))?;
        sync_folder(&self.path)
    }

    /// Opens the database after everything in its journals was seen to be there, and sees that it is there afterwards.
    pub(crate) fn recover(&self, options: &Options) -> Result<Recovered, OpenError> {
        let high_water_path = self.high_water();
        let high_water = HighWater::read(&high_water_path).map_err(io_error("reading", &high_water_path))?;
        if high_water.is_none() {
            tracing::warn!("{} is missing: how much was acknowledged is not known", high_water_path.display());
        }
        let was_clean = self.clean().try_exists().map_err(io_error("reading", &self.path))?;
        let journals = self.check_journals(high_water.unwrap_or(0), was_clean)?;
        if !was_clean {
            self.copy_journals(&journals)?;
        }
        if let Some(torn) = &journals.torn {
            tracing::warn!("{}: cutting what follows byte {}: {}", torn.path.display(), torn.offset, torn.reason);
            cut(torn)?;
        }
        let floor = high_water.unwrap_or(0).max(journals.last_group.unwrap_or(0));
        let (tables, group) = self.open_at_least(floor, options)?;
        let journal_bytes = journals.bytes();
        remove_folder(&self.copies())?;
        match fs::remove_file(self.clean()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("removing", &self.clean())(error));
            }
            _ => sync_folder(&self.path)?,
        }
        Ok(Recovered { tables, group, journal_bytes })
    }

    /// The same in a running process that knows its last group, on a disk that may have no room for copies.
    pub(crate) fn reopen(&self, last_group: u64, options: &Options) -> Result<Recovered, OpenError> {
        self.wait_until_closed()?;
        let journals = self.check_journals(last_group, false)?;
        if let Some(torn) = &journals.torn {
            cut(torn)?;
        }
        let (tables, group) = self.open_at_least(last_group, options)?;
        Ok(Recovered { tables, group, journal_bytes: journals.bytes() })
    }

    /// Takes what they hold out of the journals of a closed database whose tables have it all. The last file stays: without
    /// any, the database would number anew. What a kill leaves is whole: the oldest goes first, for good.
    pub(crate) fn empty_journals(&self) -> Result<(), OpenError> {
        self.wait_until_closed()?;
        let database = self.database();
        let mut paths = journal::paths(&database).map_err(io_error("listing the journals in", &database))?;
        let Some((_, last)) = paths.pop() else { return Ok(()) };
        for (_, path) in paths {
            fs::remove_file(&path).map_err(io_error("removing", &path))?;
        }
        sync_folder(&database)?;
        let file = OpenOptions::new().write(true).open(&last).map_err(io_error("opening", &last))?;
        file.set_len(0).and_then(|()| file.sync_all()).map_err(io_error("emptying", &last))
    }

    /// A dropped database may still be written to: the thread that lets go of it last empties its buffers into the journal.
    fn wait_until_closed(&self) -> Result<(), OpenError> {
        let database = self.database().canonicalize().map_err(io_error("reading", &self.path))?;
        let is_open = || -> io::Result<bool> {
            let files = fs::read_dir("/proc/self/fd")?.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
            Ok(files
                .into_iter()
                .any(|file| file.parent() == Some(&database) && file.extension().is_some_and(|end| end == "jnl")))
        };
        let since = Instant::now();
        while is_open().map_err(io_error("listing open files of", &database))? {
            if since.elapsed() > CLOSE_MAX {
                return Err(io_error("closing", &database)(io::Error::other("its journal is still open")));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn check_journals(&self, high_water: u64, was_clean: bool) -> Result<Journals, OpenError> {
        let database = self.database();
        let checked =
            journal::read_all(&database, self.store_id).map_err(io_error("reading the journals in", &database))?;
        let journals = checked.map_err(|damage| self.damaged(Some(damage), None, high_water))?;
        // Without a group in any journal, the tables tell: everything was written out, or everything is lost.
        let is_short = journals.last_group.is_some_and(|found| found < high_water);
        let is_torn = was_clean && journals.torn.is_some();
        if !is_short && !is_torn {
            return Ok(journals);
        }
        let end = journals.files.iter().rfind(|journal| journal.whole_bytes > 0);
        let missing = end.map(|journal| Damage {
            path: journal.path.clone(),
            offset: journal.whole_bytes,
            reason: "the groups behind it are missing".to_owned(),
        });
        Err(self.damaged(journals.torn.or(missing), journals.last_group, high_water))
    }

    /// Without a `damage`, no file shows where it is.
    fn damaged(&self, damage: Option<Damage>, found_group: Option<u64>, high_water: u64) -> OpenError {
        let copies = self.copies();
        let (file, offset, reason) = match damage {
            Some(damage) => (damage.path, Some(damage.offset), damage.reason),
            None => (self.database(), None, "the newest groups are missing".to_owned()),
        };
        OpenError::Damaged(Box::new(DamagedStore {
            store: self.path.clone(),
            file,
            offset,
            reason,
            found_group,
            high_water,
            copies: copies.is_dir().then_some(copies),
        }))
    }

    /// Copies what the journals hold. A copy that is there already is the older and better one.
    fn copy_journals(&self, journals: &Journals) -> Result<(), OpenError> {
        let copies = self.copies();
        if copies.is_dir() {
            return Ok(());
        }
        let unfinished = self.path.join("journals-before-open.new");
        remove_folder(&unfinished)?;
        let copied = fs::create_dir(&unfinished).and_then(|()| {
            for journal in &journals.files {
                let name = journal.path.file_name().unwrap_or_default();
                let mut from = File::open(&journal.path)?.take(journal.used_bytes);
                let mut to = File::create(unfinished.join(name))?;
                io::copy(&mut from, &mut to)?;
            }
            fs::rename(&unfinished, &copies)
        });
        match copied {
            // The journals were just seen to be whole, so the copies are a second net: a full disk must not keep it shut.
            Err(error) if is_full(&error) && journals.torn.is_none() => {
                tracing::warn!("no room for copies of the journals in {}; going on without", copies.display());
                remove_folder(&unfinished)
            }
            copied => copied.map_err(io_error("copying the journals to", &copies)),
        }
    }

    fn open_at_least(&self, floor: u64, options: &Options) -> Result<(Tables, u64), OpenError> {
        let tables =
            Tables::open(&self.database(), self.store_id, options).map_err(|error| self.open_failed(&error))?;
        let group = tables.view().group().unwrap_or(0);
        if group >= floor {
            return Ok((tables, group));
        }
        Err(self.damaged(None, Some(group), floor))
    }

    pub(super) fn open_failed(&self, error: &fjall::Error) -> OpenError {
        let path = self.database();
        match error {
            fjall::Error::Locked => OpenError::Locked { path: self.path.clone() },
            error => OpenError::Io {
                doing: "opening the database in",
                path,
                reason: error.to_string(),
                full: super::is_full_database(error),
            },
        }
    }

    /// The copied tables are in the database, which is closed: makes a store of it.
    pub(super) fn finish_copy(&self, group: u64) -> Result<(), OpenError> {
        self.wait_until_closed()?;
        let format = self.path.join("format");
        self.write_format(&format)?;
        HighWater::create(&self.high_water(), group).map_err(io_error("writing", &self.high_water()))?;
        self.mark_clean().map_err(io_error("marking", &self.path))
    }

    /// What the store counts from now on, it never counted before.
    pub(super) fn raise_incarnation(&self, at_least: u64, options: &Options) -> Result<u64, OpenError> {
        let Recovered { tables, group, .. } = self.recover(options)?;
        let unreadable = || io_error("reading", &self.path)(io::Error::other("its identity is damaged"));
        let before = tables.view().identity().ok().flatten().ok_or_else(unreadable)?;
        let incarnation = at_least.max(before.incarnation + 1);
        let mut batch = tables.batch(group + 1);
        batch.put_identity(Identity { store_id: self.store_id, incarnation });
        batch.commit().map_err(|error| self.open_failed(&error))?;
        HighWater::create(&self.high_water(), group + 1).map_err(io_error("writing", &self.high_water()))?;
        drop(tables);
        self.wait_until_closed()?;
        self.mark_clean().map_err(io_error("marking", &self.path))?;
        Ok(incarnation)
    }

    fn write_format(&self, path: &Path) -> Result<(), OpenError> {
        let text = format!("{FORMAT_NAME} {FORMAT} {:032x}\n", u128::from_be_bytes(self.store_id));
        fs::write(path, text).map_err(io_error("writing", path))?;
        File::open(path).and_then(|file| file.sync_all()).map_err(io_error("syncing", path))
    }

    /// Says that the store was closed with nothing under way.
    pub(crate) fn mark_clean(&self) -> io::Result<()> {
        File::create(self.clean())?.sync_all()?;
        File::open(&self.path)?.sync_all()
    }
}

/// Cuts off what no one was told of.
fn cut(torn: &Damage) -> Result<(), OpenError> {
    let cut = || {
        let file = OpenOptions::new().write(true).open(&torn.path)?;
        file.set_len(torn.offset)?;
        file.sync_all()
    };
    cut().map_err(io_error("cutting", &torn.path))
}
