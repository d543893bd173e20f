//! Reads fjall's journals before fjall does, and changes nothing: fjall takes damage for a torn end and cuts the file there.
//!
//! A journal is a row of batches and then zeros: start (items, seqno), items, end (XXH3-64 over the items, magic). Every
//! batch here is one group, and begins with the group's own row. So four things show that nothing is missing: each batch is
//! whole, group numbers are consecutive over all journals, seqnos lie between the bounds that the groups name, and the last
//! group is not below the high water. Only what follows the last group may be torn: one group at a time is on its way to the
//! disk, so what is torn was never acknowledged if no whole group lies behind it.
//!
//! The format is that of fjall 3.1 (`journal/entry.rs`), whose version is pinned for this.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::codec::{self, Group};
use super::keys;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const END_MAGIC: [u8; 4] = [b'F', b'J', b'L', 3];
/// Seqnos that fjall may give to its own work between two groups.
const SEQNO_GAP_MAX: u64 = 1 << 20;

/// One journal file as it was found.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) path: PathBuf,
    batches: Vec<Batch>,
    /// End of the last whole batch.
    pub(crate) whole_bytes: u64,
    /// End of what is not zero; beyond `whole_bytes` it is torn or damaged.
    pub(crate) used_bytes: u64,
    /// A whole batch behind what is none.
    stray: Option<u64>,
}

/// One batch of a journal, found whole.
#[derive(Clone, Copy, Debug)]
struct Batch {
    offset: u64,
    seqno: u64,
    group: Group,
}

/// Where reading had to stop.
#[derive(Debug)]
pub(crate) struct Damage {
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    pub(crate) reason: String,
}

/// All journals of a store, whole but for a torn end.
#[derive(Debug)]
pub(crate) struct Journals {
    /// Oldest first.
    pub(crate) files: Vec<Journal>,
    /// The newest group in them, if there is any.
    pub(crate) last_group: Option<u64>,
    /// What follows the last group, if anything does.
    pub(crate) torn: Option<Damage>,
}

impl Journals {
    /// What they hold.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|journal| journal.whole_bytes).sum()
    }
}

/// Reads the journals in a database's folder.
///
/// # Errors
/// The outer one: they cannot be read. The inner one: something is missing in the middle.
pub(crate) fn read_all(folder: &Path, store_id: [u8; 16]) -> io::Result<Result<Journals, Damage>> {
    let files: io::Result<_> = paths(folder)?.into_iter().map(|(_, path)| read_one(path, store_id)).collect();
    Ok(check(files?))
}

/// The journals in a database's folder, oldest first, each behind its number.
pub(crate) fn paths(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let id = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let (Some(id), true) = (id, path.extension().is_some_and(|extension| extension == "jnl")) {
            found.push((id, path));
        }
    }
    found.sort();
    Ok(found)
}

fn read_one(path: PathBuf, store_id: [u8; 16]) -> io::Result<Journal> {
    let bytes = fs::read(&path)?;
    let used_bytes = used_bytes(&bytes) as u64;
    let mut batches = Vec::new();
    let mut input = Input { bytes: &bytes, at: 0, store_id };
    let mut whole_bytes = 0;
    while let Some(batch) = input.batch() {
        batches.push(batch);
        whole_bytes = input.at as u64;
    }
    let stray =
        (whole_bytes..used_bytes).find(|at| Input { bytes: &bytes, at: *at as usize, store_id }.batch().is_some());
    Ok(Journal { path, batches, whole_bytes, used_bytes, stray })
}

/// Where the zeros at the end begin. A batch never ends in a zero, so in a whole journal it is where the batches end.
fn used_bytes(bytes: &[u8]) -> usize {
    const ZEROS: [u8; 4096] = [0; 4096];
    let zeros: usize =
        bytes.rchunks(ZEROS.len()).take_while(|chunk| **chunk == ZEROS[..chunk.len()]).map(<[u8]>::len).sum();
    let rest = &bytes[..bytes.len() - zeros];
    rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn check(files: Vec<Journal>) -> Result<Journals, Damage> {
    let mut last: Option<Batch> = None;
    let mut torn: Option<Damage> = None;
    for journal in &files {
        let damage = |offset, reason| Damage { path: journal.path.clone(), offset, reason };
        for batch in &journal.batches {
            // What is torn in the middle is no torn end.
            if let Some(torn) = torn {
                return Err(torn);
            }
            if let Some(reason) = break_between(last, *batch) {
                return Err(damage(batch.offset, reason));
            }
            last = Some(*batch);
        }
        let rest_bytes = journal.used_bytes.saturating_sub(journal.whole_bytes);
        if let Some(stray) = journal.stray {
            let reason = format!("no whole group, but there is one at byte {stray} behind it");
            return Err(torn.unwrap_or_else(|| damage(journal.whole_bytes, reason)));
        }
        if rest_bytes > 0 && torn.is_none() {
            torn = Some(damage(journal.whole_bytes, format!("{rest_bytes} bytes that are no whole group")));
        }
    }
    Ok(Journals { last_group: last.map(|batch| batch.group.number), torn, files })
}

/// What is wrong if a batch comes behind `last`.
fn break_between(last: Option<Batch>, batch: Batch) -> Option<String> {
    let Batch { seqno, group, .. } = batch;
    if !(group.seqno_min..group.seqno_min.saturating_add(SEQNO_GAP_MAX)).contains(&seqno) {
        return Some(format!("group {} has seqno {seqno}, but was written at {}", group.number, group.seqno_min));
    }
    let last = last?;
    if group.number != last.group.number + 1 {
        return Some(format!("group {} follows group {}", group.number, last.group.number));
    }
    (last.seqno >= group.seqno_min)
        .then(|| format!("group {} has seqno {}, beyond that of its successor", last.group.number, last.seqno))
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
    store_id: [u8; 16],
}

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn batch(&mut self) -> Option<Batch> {
        let offset = self.at as u64;
        if self.u8()? != START {
            return None;
        }
        let (items, seqno) = (self.u32()?, self.u64()?);
        let mut sum = Xxh3::new();
        let mut group = None;
        for index in 0..items {
            let from = self.at;
            let (key, value) = self.item()?;
            if index == 0 {
                group = Some((key == keys::GROUP).then(|| codec::decode_group(self.store_id, value))??);
            }
            sum.update(&self.bytes[from..self.at]);
        }
        let is_end = self.u8()? == END && self.u64()? == sum.digest() && self.array()? == END_MAGIC;
        Some(Batch { offset, seqno, group: group.filter(|_| is_end)? })
    }

    /// Key and value; a value above 4 KiB is compressed.
    fn item(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        if self.u8()? != ITEM {
            return None;
        }
        let (_value_type, _compression, _keyspace) = (self.u8()?, self.u8()?, self.u64()?);
        let key_bytes = u16::from_le_bytes(self.array()?);
        let (_value_bytes, stored_bytes) = (self.u32()?, self.u32()?);
        Some((self.take(usize::from(key_bytes))?, self.take(stored_bytes as usize)?))
    }
}
