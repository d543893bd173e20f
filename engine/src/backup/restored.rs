//! A data folder from a backup, whose every byte is checked on the way.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use trunkline_cli::Failure;
use trunkline_edge::admin::{Refusal, now_s};
use trunkline_storage::embedded::raise_incarnation;

use super::manifest::{Entry, Manifest, copy_checked, sync_folder};
use super::{DATA, Draft, print, refused};

/// Incarnations count by the clock from the start of 2026, so that one backup restored twice gives two of them.
const FIRST_S: u64 = 1_767_225_600;
/// A user's list has 2^40 numbers for each of 2^22 incarnations: in steps of ten minutes they last for 80 years.
const STEP_S: u64 = 600;

/// What `restore` prints.
#[derive(Serialize)]
struct Restored {
    data: PathBuf,
    made_s: u64,
    incarnation: u64,
    files: usize,
    bytes: u64,
}

/// Makes a data folder from a backup. What a server counts there from now on, none counted before.
///
/// # Errors
/// The folder is not empty; the backup is not whole, with the name of the file.
pub fn restore(from: &Path, data: &Path) -> Result<(), Failure> {
    let data = std::path::absolute(data).map_err(|error| Failure::new("restore", error.to_string()))?;
    let restored = make(from, &data).map_err(|refusal| Failure::new(refusal.error, refusal.message))?;
    print(&restored);
    Ok(())
}

fn make(from: &Path, data: &Path) -> Result<Restored, Refusal> {
    let manifest = Manifest::read(from).map_err(|error| {
        refused("no_backup", format!("{} is no whole backup: its manifest.json: {error}", from.display()))
    })?;
    let draft = Draft::begin(data, from)?;
    for (name, entry) in &manifest.files {
        take_file(&from.join(DATA).join(name), &draft.path.join(name), &draft.path, entry)?;
    }
    let at_least = now_s().saturating_sub(FIRST_S) / STEP_S;
    let incarnation = raise_incarnation(&draft.path, at_least).map_err(|error| refused("store", error.to_string()))?;
    let (files, bytes) = (manifest.files.len(), manifest.bytes());
    draft.finish()?;
    Ok(Restored { data: data.to_path_buf(), made_s: manifest.made_s, incarnation, files, bytes })
}

fn take_file(from: &Path, to: &Path, top: &Path, entry: &Entry) -> Result<(), Refusal> {
    let copied = copy(from, to, top, entry.mode);
    let (bytes, xxh3) =
        copied.map_err(|error| refused("backup_damaged", format!("cannot copy {}: {error}", from.display())))?;
    if (bytes, &xxh3) == (entry.bytes, &entry.xxh3) {
        return Ok(());
    }
    let text = format!(
        "{} is not as it was written: {bytes} bytes with checksum {xxh3}, the manifest has {} with {}; restore another \
         backup",
        from.display(),
        entry.bytes,
        entry.xxh3
    );
    Err(refused("backup_damaged", text))
}

fn copy(from: &Path, to: &Path, top: &Path, mode: u32) -> io::Result<(u64, String)> {
    let mut from = File::open(from)?;
    let parent = to.parent().unwrap_or(top);
    DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let copied = copy_checked(&mut from, &mut to)?;
    to.set_permissions(Permissions::from_mode(mode & 0o7777))?;
    to.sync_all()?;
    for folder in parent.ancestors().take_while(|folder| folder.starts_with(top)) {
        sync_folder(folder)?;
    }
    Ok(copied)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_leaves_the_folder_is_no_manifest() {
        let folder = std::env::temp_dir().join(format!("trunkline-manifest-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (text, told) in [
            (r#"{"version":1,"made_s":1,"group":1,"files":{"../x":{"bytes":0,"xxh3":"","mode":0}}}"#, "names a file"),
            (r#"{"version":1,"made_s":1,"group":1,"files":{"/x":{"bytes":0,"xxh3":"","mode":0}}}"#, "names a file"),
            (r#"{"version":2,"made_s":1,"group":1,"files":{}}"#, "version is 2"),
            ("{", "EOF"),
        ] {
            fs::write(folder.join("manifest.json"), text).unwrap();
            let refusal = make(&folder, &folder.join("data")).err().unwrap();
            assert!(refusal.error == "no_backup" && refusal.message.contains(told), "{refusal:?}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
