//! The high-water file: the number of the newest group that was acknowledged, kept outside of the database.
//!
//! It convicts a database that comes back with less. Written in place after every group and synced once a second: over a
//! kill it is exact, over a power cut it may lag by that second. Two slots take turns, so that a torn write leaves the other.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_64;

use crate::limits::HIGH_WATER_SYNC_MS;

/// Two slots in different sectors.
const SLOT_BYTES: u64 = 4096;

/// The open file.
pub(crate) struct HighWater {
    file: File,
    writes: u64,
    synced_at: Instant,
}

impl HighWater {
    /// Makes or renews the file at `path`.
    pub(crate) fn create(path: &Path, group: u64) -> io::Result<HighWater> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        let mut high_water = HighWater { file, writes: 0, synced_at: Instant::now() };
        // Both slots get their room on the disk now: a later write needs none.
        high_water.put(group)?;
        high_water.put(group)?;
        high_water.sync()?;
        Ok(high_water)
    }

    /// What the file at `path` says; none: there is no file.
    ///
    /// # Errors
    /// `InvalidData` if neither slot is whole.
    pub(crate) fn read(path: &Path) -> io::Result<Option<u64>> {
        let bytes = match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        let slot = |offset: u64| {
            let slot: [u8; 16] = bytes.get(offset as usize..)?.first_chunk().copied()?;
            let (group, sum) = (slot.first_chunk::<8>()?, slot.last_chunk::<8>()?);
            (xxh3_64(group) == u64::from_le_bytes(*sum)).then(|| u64::from_le_bytes(*group))
        };
        let group = slot(0).max(slot(SLOT_BYTES));
        group.map(Some).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "neither of its two slots is whole"))
    }

    /// Writes; syncs if the last sync is a second ago.
    pub(crate) fn write(&mut self, group: u64) -> io::Result<()> {
        self.put(group)?;
        if self.synced_at.elapsed() >= Duration::from_millis(HIGH_WATER_SYNC_MS) { self.sync() } else { Ok(()) }
    }

    /// Syncs.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.synced_at = Instant::now();
        Ok(())
    }

    fn put(&mut self, group: u64) -> io::Result<()> {
        let mut slot = [0; 16];
        slot[..8].copy_from_slice(&group.to_le_bytes());
        slot[8..].copy_from_slice(&xxh3_64(&group.to_le_bytes()).to_le_bytes());
        self.file.write_all_at(&slot, self.writes % 2 * SLOT_BYTES)?;
        self.writes += 1;
        Ok(())
    }
}
