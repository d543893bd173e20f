//! Free space of the disk: writes are refused while it is below a reserve, so that the database never runs out of it.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::limits::{SPACE_AFTER_FULL_BYTES, SPACE_CHECK_BYTES, SPACE_CHECK_MS};

/// Watches the file system of a folder. Asked for before each group, it asks the kernel every now and then.
#[derive(Debug)]
pub(crate) struct Space {
    folder: PathBuf,
    reserve_bytes: u64,
    free_bytes: u64,
    /// Lowest since the database was opened.
    lowest_bytes: u64,
    checked_at: Instant,
    written_bytes: u64,
    is_low: bool,
    was_full: bool,
}

impl Space {
    pub(crate) fn watch(folder: PathBuf, reserve_bytes: u64) -> io::Result<Space> {
        let mut space = Space {
            folder,
            reserve_bytes,
            free_bytes: u64::MAX,
            lowest_bytes: u64::MAX,
            checked_at: Instant::now(),
            written_bytes: 0,
            is_low: false,
            was_full: false,
        };
        space.measure()?;
        Ok(space)
    }

    /// Free bytes, from the kernel.
    pub(crate) fn measure(&mut self) -> io::Result<u64> {
        let found = rustix::fs::statvfs(&self.folder)?;
        self.free_bytes = found.f_bavail * found.f_frsize;
        self.lowest_bytes = self.lowest_bytes.min(self.free_bytes);
        self.checked_at = Instant::now();
        self.written_bytes = 0;
        Ok(self.free_bytes)
    }

    /// Whether there is too little for `group_bytes` more, and whether there was a moment ago.
    pub(crate) fn check(&mut self, group_bytes: u64) -> io::Result<Room> {
        self.written_bytes += group_bytes;
        let late = self.checked_at.elapsed() >= Duration::from_millis(SPACE_CHECK_MS);
        if late || self.written_bytes >= SPACE_CHECK_BYTES {
            self.measure()?;
        }
        let least = if self.was_full { self.reserve_bytes.max(SPACE_AFTER_FULL_BYTES) } else { self.reserve_bytes };
        let was_low = std::mem::replace(&mut self.is_low, self.free_bytes < least);
        if self.is_low {
            return Ok(Room::TooLittle);
        }
        self.was_full = false;
        Ok(if was_low { Room::Again } else { Room::Enough })
    }

    /// A write found no room: it takes more than the reserve to go on.
    pub(crate) fn note_full(&mut self) {
        self.was_full = true;
        self.is_low = true;
        self.free_bytes = 0;
    }

    /// The database was opened anew: what its threads met before is over.
    pub(crate) fn note_opened(&mut self) {
        self.lowest_bytes = u64::MAX;
    }

    /// Whether there was less than `bytes` free since the database was opened.
    pub(crate) fn was_below(&mut self, bytes: u64) -> io::Result<bool> {
        self.measure()?;
        Ok(self.lowest_bytes < bytes)
    }
}

/// What a check says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Room {
    /// Go on.
    Enough,
    /// Go on, after a time without.
    Again,
    /// Refuse.
    TooLittle,
}
