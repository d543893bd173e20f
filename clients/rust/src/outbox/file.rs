//! An outbox in a file that one process at a time owns.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest, Sha256};
use trunkline_wire::ids::MessageId;

use super::record::{Change, MAGIC, cost_bytes, decode, encode};
use super::{MemoryOutbox, Outbox, Record};
use crate::limits::{OUTBOX_COMPACT_BYTES, OUTBOX_FILES_MAX};

/// An outbox in a file, locked (flock) while it is owned.
///
/// A folder belongs to one identity ([`identity_folder`]) and holds `outbox-0`, `outbox-1` and so on: each process takes
/// a free one, first of all one that a process that is gone left messages in.
#[derive(Debug)]
pub struct FileOutbox {
    folder: PathBuf,
    file: File,
    path: PathBuf,
    /// Length of what is known to be whole.
    end: u64,
    live: MemoryOutbox,
    /// A sync failed: what the file holds is not known any more.
    failed: bool,
}

/// Where an identity's outboxes are: a folder in `state` named by a hash of the server's URL and the token's tenant,
/// user and device, so that all tokens of a device share it.
pub fn identity_folder(state: &Path, url: &str, token: &str) -> PathBuf {
    let claims = token.strip_prefix("tl1_").and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok());
    // The claims begin with key id u32, tenant u32, user u64, device u32.
    let identity = claims.as_deref().and_then(|claims| claims.get(4..20)).unwrap_or(token.as_bytes());
    let digest = Sha256::new().chain_update(url).chain_update([0]).chain_update(identity).finalize();
    state.join("outbox").join(HEXLOWER.encode(&digest[..16]))
}

impl FileOutbox {
    /// Takes a free outbox in `folder`, which is made if it is missing.
    ///
    /// # Errors
    /// Those of the file system; [`io::ErrorKind::InvalidData`] for a damaged file, which is moved aside first, so that
    /// the next call succeeds; [`io::ErrorKind::WouldBlock`] when all are taken.
    pub fn open(folder: &Path) -> io::Result<FileOutbox> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        if let Some(leftover) = leftover(folder, None)? {
            return Ok(leftover);
        }
        for number in 0..OUTBOX_FILES_MAX {
            if let Some(outbox) = try_own(folder, &folder.join(format!("outbox-{number}")), true)? {
                return Ok(outbox);
            }
        }
        let text = format!("all {OUTBOX_FILES_MAX} outboxes in {} are in use: end other clients", folder.display());
        Err(io::Error::new(io::ErrorKind::WouldBlock, text))
    }

    /// The file it owns.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it holds.
    pub fn records(&self) -> &[Record] {
        self.live.records()
    }

    /// Reads the file, forgets an unfinished end, and makes it whole if it is new.
    fn read(folder: &Path, path: &Path, mut file: File) -> io::Result<FileOutbox> {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let contents = decode(&bytes).map_err(|damaged| set_aside(path, damaged.at))?;
        let mut live = MemoryOutbox::default();
        for change in &contents.changes {
            match change {
                Change::Put(records) => live.put(records)?,
                Change::Remove(message_ids) => live.remove(message_ids)?,
            }
        }
        let mut end = contents.end as u64;
        if end < bytes.len() as u64 || end == 0 {
            file.set_len(end)?;
            if end == 0 {
                file.seek(SeekFrom::Start(0))?;
                file.write_all(&MAGIC)?;
                end = MAGIC.len() as u64;
            }
            file.sync_all()?;
            sync_folder(folder)?;
        }
        Ok(FileOutbox { folder: folder.to_owned(), file, path: path.to_owned(), end, live, failed: false })
    }

    fn append(&mut self, change: &Change) -> io::Result<()> {
        if self.failed {
            return Err(broken(&self.path));
        }
        let mut frame = Vec::new();
        encode(change, self.end as usize, &mut frame);
        let written = self.file.seek(SeekFrom::Start(self.end)).and_then(|_| self.file.write_all(&frame));
        if let Err(error) = written {
            // As on a full disk: what is whole stays, and later calls may succeed.
            self.failed = self.file.set_len(self.end).is_err();
            return Err(error);
        }
        self.sync()?;
        self.end += frame.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let synced = self.file.sync_data();
        // A failed sync may have dropped the pages it could not write: trying again would tell nothing.
        self.failed |= synced.is_err();
        synced
    }

    /// Nothing is left: an empty file says so.
    fn truncate(&mut self) -> io::Result<()> {
        if self.failed {
            return Err(broken(&self.path));
        }
        self.file.set_len(MAGIC.len() as u64)?;
        self.end = MAGIC.len() as u64;
        self.sync()
    }

    /// Writes the file anew when it is large and mostly answered. The new file is locked before it takes the place of
    /// the old one, so that the name is never free. Where that fails, as on a full disk, the old one serves on.
    fn compact(&mut self) {
        let live_bytes: u64 = self.live.records().iter().map(cost_bytes).sum();
        if self.end < OUTBOX_COMPACT_BYTES || self.end / 4 < live_bytes {
            return;
        }
        if let Ok((file, end)) = self.write_anew() {
            (self.file, self.end) = (file, end);
            // Until the folder is synced a crash may bring the old file back.
            self.failed |= sync_folder(&self.folder).is_err();
        }
    }

    fn write_anew(&self) -> io::Result<(File, u64)> {
        let new_path = self.path.with_extension("new");
        let mut file = options().truncate(true).open(&new_path)?;
        lock(&file)?;
        let mut bytes = MAGIC.to_vec();
        for record in self.live.records() {
            let place = bytes.len();
            encode(&Change::Put(vec![record.clone()]), place, &mut bytes);
        }
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new_path, &self.path)?;
        Ok((file, bytes.len() as u64))
    }
}

impl Outbox for FileOutbox {
    fn load(&mut self) -> io::Result<Vec<Record>> {
        self.live.load()
    }

    fn put(&mut self, records: &[Record]) -> io::Result<()> {
        self.append(&Change::Put(records.to_vec()))?;
        self.live.put(records)?;
        self.compact();
        Ok(())
    }

    fn remove(&mut self, message_ids: &[MessageId]) -> io::Result<()> {
        self.live.remove(message_ids)?;
        if self.live.records().is_empty() {
            return self.truncate();
        }
        self.append(&Change::Remove(message_ids.to_vec()))?;
        self.compact();
        Ok(())
    }

    /// Takes over a file that a process that is gone left messages in, in place of the empty one.
    fn adopt(&mut self) -> io::Result<Vec<Record>> {
        if !self.live.records().is_empty() {
            return Ok(Vec::new());
        }
        match leftover(&self.folder, Some(&self.path))? {
            Some(leftover) => *self = leftover,
            None => return Ok(Vec::new()),
        }
        self.live.load()
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    options
}

/// The first file, in order of number, that nobody owns and that holds messages.
fn leftover(folder: &Path, except: Option<&Path>) -> io::Result<Option<FileOutbox>> {
    for number in 0..OUTBOX_FILES_MAX {
        let path = folder.join(format!("outbox-{number}"));
        let holds = fs::metadata(&path).is_ok_and(|metadata| metadata.len() > MAGIC.len() as u64);
        if !holds || except == Some(&path) {
            continue;
        }
        if let Some(outbox) = try_own(folder, &path, false)?
            && !outbox.live.records().is_empty()
        {
            return Ok(Some(outbox));
        }
    }
    Ok(None)
}

/// Owns the file at `path`, unless another process does.
fn try_own(folder: &Path, path: &Path, create: bool) -> io::Result<Option<FileOutbox>> {
    loop {
        let file = match options().create(create).open(path) {
            Ok(file) => file,
            Err(error) if !create && error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Between opening and locking the owner may have put another file in this one's place.
        let (held, named) = (file.metadata()?, fs::metadata(path));
        if named.is_ok_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino())) {
            return FileOutbox::read(folder, path, file).map(Some);
        }
    }
}

fn lock(file: &File) -> io::Result<()> {
    file.try_lock().map_err(|error| match error {
        TryLockError::Error(error) => error,
        TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
    })
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn broken(path: &Path) -> io::Error {
    io::Error::other(format!("{}: an earlier write failed; start the client again", path.display()))
}

/// Moves a damaged file out of the way, and says so.
fn set_aside(path: &Path, at: usize) -> io::Error {
    let aside = (0..).map(|number| path.with_extension(format!("damaged-{number}"))).find(|aside| !aside.exists());
    let aside = aside.unwrap_or_else(|| path.with_extension("damaged"));
    let moved = match fs::rename(path, &aside) {
        Ok(()) => format!("it was moved to {}", aside.display()),
        Err(error) => format!("it could not be moved aside: {error}"),
    };
    let text = format!(
        "{}: damaged at byte {at}, which no crash explains; {moved}. Messages that waited there were not sent; \
         a new start goes on without them",
        path.display()
    );
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;

    #[test]
    fn holds_what_was_put_and_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mut outbox = FileOutbox::open(folder.path()).unwrap();
        outbox.put(&[record(1, 0, "a"), record(2, 0, "b"), record(3, 0, "c")]).unwrap();
        outbox.put(&[record(2, 7, "b")]).unwrap();
        outbox.remove(&[MessageId(1)]).unwrap();
        drop(outbox);
        let outbox = FileOutbox::open(folder.path()).unwrap();
        assert_eq!(outbox.records(), [record(2, 7, "b"), record(3, 0, "c")]);
    }

    #[test]
    fn shrinks_when_empty_and_stays_small_when_busy() {
        let folder = tempfile::tempdir().unwrap();
        let mut outbox = FileOutbox::open(folder.path()).unwrap();
        outbox.put(&[record(1, 1, "kept")]).unwrap();
        let body = "x".repeat(20_000);
        for id in 2..100 {
            outbox.put(&[record(id, id, &body)]).unwrap();
            outbox.remove(&[MessageId(id)]).unwrap();
            let length = fs::metadata(outbox.path()).unwrap().len();
            assert!(length <= OUTBOX_COMPACT_BYTES + 21_000, "{length}");
        }
        assert!(FileOutbox::open(folder.path()).unwrap().path() != outbox.path(), "the lock went over to the new file");
        drop(outbox);
        let mut outbox = FileOutbox::open(folder.path()).unwrap();
        assert_eq!(outbox.records(), [record(1, 1, "kept")]);
        outbox.remove(&[MessageId(1)]).unwrap();
        assert_eq!(fs::metadata(outbox.path()).unwrap().len(), MAGIC.len() as u64);
    }

    #[test]
    fn damage_is_told_once_and_the_file_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut outbox = FileOutbox::open(folder.path()).unwrap();
        outbox.put(&[record(1, 1, "a")]).unwrap();
        outbox.put(&[record(2, 2, "b")]).unwrap();
        let path = outbox.path().to_owned();
        drop(outbox);
        let mut bytes = fs::read(&path).unwrap();
        bytes[20] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let error = FileOutbox::open(folder.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("damaged at byte 8"), "{error}");
        assert_eq!(FileOutbox::open(folder.path()).unwrap().records(), []);
        assert_eq!(fs::read(path.with_extension("damaged-0")).unwrap(), bytes);
    }

    #[test]
    fn all_tokens_of_a_device_share_a_folder() {
        use trunkline_wire::ids::{DeviceId, TenantId, UserId};
        use trunkline_wire::token::{Claims, Scopes, TokenKey, TokenKeys};
        let keys = TokenKeys::new(vec![TokenKey { id: 1, secret: [7; 32] }]).unwrap();
        let folder = |device, expires_s| {
            let (tenant, user, scopes) = (TenantId(0), UserId(5), Scopes::USER);
            let claims = Claims { tenant, user, device: DeviceId(device), scopes, issued_s: expires_s - 9, expires_s };
            identity_folder(Path::new("/s"), "ws://h/v1/ws", &keys.sign(&claims))
        };
        assert_eq!(folder(1, 1000), folder(1, 2000));
        assert_ne!(folder(1, 1000), folder(2, 1000));
    }
}
