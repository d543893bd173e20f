//! What is in a backup: the size, the mode and the checksum of each of its files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// Name of the file.
const MANIFEST: &str = "manifest.json";
/// Version of its form.
const VERSION: u32 = 1;
/// Largest manifest that is read, in bytes.
const MANIFEST_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub bytes: u64,
    /// XXH3 of 64 bits, in 16 hex digits.
    pub xxh3: String,
    pub mode: u32,
}

/// All files, by their paths below the data folder.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    version: u32,
    pub made_s: u64,
    /// The newest group of the store.
    pub group: u64,
    pub files: BTreeMap<String, Entry>,
}

impl Manifest {
    /// Of the files below a folder, which are synced first.
    pub fn of(folder: &Path, made_s: u64, group: u64) -> io::Result<Manifest> {
        let mut manifest = Manifest { version: VERSION, made_s, group, files: BTreeMap::new() };
        manifest.add(folder, "")?;
        Ok(manifest)
    }

    fn add(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.ok_or_else(|| io::Error::other(format!("{} is no plain name", path.display())))?;
            let name = format!("{prefix}{name}");
            if path.is_dir() {
                self.add(&path, &format!("{name}/"))?;
                continue;
            }
            let mut file = File::open(&path)?;
            file.sync_all()?;
            let (bytes, xxh3) = copy_checked(&mut file, &mut io::sink())?;
            let mode = file.metadata()?.permissions().mode() & 0o7777;
            self.files.insert(name, Entry { bytes, xxh3, mode });
        }
        sync_folder(folder)
    }

    pub fn bytes(&self) -> u64 {
        self.files.values().map(|entry| entry.bytes).sum()
    }

    pub fn write(&self, backup: &Path) -> io::Result<()> {
        let mut file = File::create_new(backup.join(MANIFEST))?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.sync_all()
    }

    /// Of a backup.
    ///
    /// # Errors
    /// There is none, or none that this version reads.
    pub fn read(backup: &Path) -> io::Result<Manifest> {
        let mut text = Vec::new();
        File::open(backup.join(MANIFEST))?.take(MANIFEST_BYTES_MAX).read_to_end(&mut text)?;
        let manifest: Manifest = serde_json::from_slice(&text)?;
        if manifest.version != VERSION {
            return Err(io::Error::other(format!("its version is {}, this one knows {VERSION}", manifest.version)));
        }
        let is_plain = |name: &str| Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        match manifest.files.keys().find(|name| name.is_empty() || !is_plain(name)) {
            Some(name) => Err(io::Error::other(format!("it names a file {name:?}"))),
            None => Ok(manifest),
        }
    }
}

/// Copies to the end; gives how many bytes that were, and their checksum.
pub(super) fn copy_checked(from: &mut impl Read, to: &mut impl Write) -> io::Result<(u64, String)> {
    let mut check = Xxh3::new();
    let mut part = vec![0; 64 * 1024];
    let mut bytes = 0;
    loop {
        let count = match from.read(&mut part) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        if count == 0 {
            return Ok((bytes, format!("{:016x}", check.digest())));
        }
        check.update(&part[..count]);
        to.write_all(&part[..count])?;
        bytes += count as u64;
    }
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
