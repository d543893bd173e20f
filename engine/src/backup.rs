//! `backup` and `restore`: a whole copy of a data folder while its server runs or does not, and a data folder from one.
//!
//! ```text
//! manifest.json   what is in it: sizes and checksums of all files
//! data/           the files of a data folder
//! ```
//!
//! It is written beside its place and renamed when it is whole and synced: a folder with the name that was asked for is a
//! whole backup.

mod manifest;
mod restored;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::sync::Weak;

use serde::Serialize;
use serde_json::Value;
use trunkline_cli::Failure;
use trunkline_edge::admin::{AdminClient, Copier, Refusal, Request, now_s};
use trunkline_storage::embedded::{self, EmbeddedIndex, OpenError, Options};

use manifest::{Manifest, sync_folder};
pub use restored::restore;

/// In a backup: the data folder.
const DATA: &str = "data";
/// What belongs to the store, which has a copy of its own, or to a running server.
const NOT_COPIED: &[&str] = &[
    "lock",
    "format",
    "high-water",
    "clean",
    "fjall",
    "fjall.new",
    "journals-before-open",
    "journals-before-open.new",
];
/// Memory for what is read from a store that no server has open.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;

/// What `backup` prints.
#[derive(Serialize)]
struct Made {
    backup: PathBuf,
    made_s: u64,
    group: u64,
    files: usize,
    bytes: u64,
}

/// Makes a backup of the server that runs with a data folder, or of the folder where none runs.
///
/// # Errors
/// What the server, the store or the file system refused.
pub fn backup(data: &Path, to: &Path) -> Result<(), Failure> {
    let to = std::path::absolute(to).map_err(|error| Failure::new("backup", error.to_string()))?;
    let socket = AdminClient::connect(data).map_err(|error| Failure::new("admin_socket", error.to_string()))?;
    let made: Result<Value, Refusal> = match socket {
        Some(mut client) => client.ask_patiently(&Request::Backup { to }),
        None => of_folder(data, &to),
    };
    let made = made.map_err(|refusal| Failure::new(refusal.error, refusal.message))?;
    print(&made);
    Ok(())
}

/// What the admin socket of a server makes backups with.
pub fn copier(data: PathBuf, index: Weak<EmbeddedIndex>) -> Copier {
    Box::new(move |to| {
        let index = index.upgrade().ok_or_else(|| refused("draining", "the server is stopping"))?;
        take(&data, &index, to)
    })
}

fn of_folder(data: &Path, to: &Path) -> Result<Value, Refusal> {
    if !data.join("format").is_file() {
        return Err(refused("backup", format!("there is no store in {}; is that its --data?", data.display())));
    }
    let options = Options { cache_bytes: CACHE_BYTES, worker_threads: 1, ..Options::default() };
    let (_log, index) = embedded::open(data, options).map_err(|error| match error {
        OpenError::Locked { path } => {
            let text = format!("another process holds {}; if a server is starting, try again", path.display());
            refused("data_locked", text)
        }
        error => refused("store", error.to_string()),
    })?;
    take(data, &index, to)
}

fn take(data: &Path, index: &EmbeddedIndex, to: &Path) -> Result<Value, Refusal> {
    let draft = Draft::begin(to, data)?;
    let folder = draft.path.join(DATA);
    let copied = index.copy_to(&folder).map_err(|error| refused("store", error.to_string()))?;
    let failed = |error: io::Error| refused("backup", format!("{}: {error}", draft.path.display()));
    copy_others(data, &folder).map_err(failed)?;
    let made_s = now_s();
    let manifest = Manifest::of(&folder, made_s, copied.group).map_err(failed)?;
    manifest.write(&draft.path).map_err(failed)?;
    let (files, bytes) = (manifest.files.len(), manifest.bytes());
    draft.finish()?;
    let made = Made { backup: to.to_path_buf(), made_s, group: copied.group, files, bytes };
    serde_json::to_value(made).map_err(|error| refused("backup", error.to_string()))
}

fn refused(code: &str, message: impl Into<String>) -> Refusal {
    Refusal::new(code, message)
}

/// What is being written beside its place. Given up, it is removed.
struct Draft {
    to: PathBuf,
    path: PathBuf,
    is_done: bool,
}

impl Draft {
    /// `away_from`: a folder that it must not be in.
    fn begin(to: &Path, away_from: &Path) -> Result<Draft, Refusal> {
        let shown = to.display();
        let is_taken = fs::read_dir(to).map_or_else(|_| to.exists(), |mut there| there.next().is_some());
        if is_taken {
            return Err(refused(
                "not_empty",
                format!("{shown} is there and not an empty folder: give one that is not there yet"),
            ));
        }
        let name = to.file_name().and_then(|name| name.to_str());
        let (Some(name), Some(parent)) = (name, to.parent()) else {
            return Err(refused("backup", format!("{shown} is no name of a folder")));
        };
        let failed = |error: io::Error| refused("backup", format!("cannot make {shown}: {error}"));
        let is_inside =
            |folder: &Path| -> io::Result<bool> { Ok(folder.canonicalize()?.starts_with(away_from.canonicalize()?)) };
        fs::create_dir_all(parent).map_err(failed)?;
        if is_inside(parent).unwrap_or(false) {
            return Err(refused("backup", format!("{shown} is inside of {}", away_from.display())));
        }
        let path = parent.join(format!("{name}.unfinished"));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Draft { to: to.to_path_buf(), path, is_done: false }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let path = path.display();
                let text =
                    format!("{path} is there: somebody writes it, or did not come to the end: then rm -r {path}");
                Err(refused("unfinished", text))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// All of it is there and synced: it gets its name.
    fn finish(mut self) -> Result<(), Refusal> {
        let renamed = sync_folder(&self.path).and_then(|()| fs::rename(&self.path, &self.to));
        renamed.map_err(|error| refused("backup", format!("cannot name {}: {error}", self.to.display())))?;
        self.is_done = true;
        let synced = self.to.parent().map_or(Ok(()), sync_folder);
        synced.map_err(|error| refused("backup", format!("{} may not last: {error}", self.to.display())))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_done {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Keys, and whatever else there is beside the store.
fn copy_others(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(|name| NOT_COPIED.contains(&name)) {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let metadata = match fs::metadata(from) {
        // A draft that got its name meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if metadata.is_dir() {
        fs::create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        fs::set_permissions(to, metadata.permissions())
    } else if metadata.is_file() {
        // With its mode.
        fs::copy(from, to).map(|_| ())
    } else {
        debug_assert!(metadata.file_type().is_socket() || metadata.file_type().is_fifo());
        Ok(())
    }
}

fn print(value: &impl Serialize) {
    use std::io::Write as _;
    let line = serde_json::to_string(value).unwrap_or_default();
    // Whoever asked may not listen any more; it is done all the same.
    let _ = writeln!(io::stdout().lock(), "{line}");
}
