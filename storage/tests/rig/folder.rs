//! Folders of stores: copies of one as a kill would leave it, and bytes changed in its files.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Copies a store's folder without the zeros at the end of its journals, which are 64 MiB of nothing.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("readable") {
        let path = entry.expect("readable").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            let bytes = fs::read(&path).expect("readable");
            let used = used_bytes(&bytes);
            fs::write(&target, &bytes[..used]).expect("room");
            let file = OpenOptions::new().write(true).open(&target).expect("writable");
            file.set_len(bytes.len() as u64).expect("room");
        }
    }
}

/// Where the zeros at the end begin.
pub fn used_bytes(bytes: &[u8]) -> usize {
    let zeros: usize =
        bytes.rchunks(4096).take_while(|chunk| **chunk == [0; 4096][..chunk.len()]).map(<[u8]>::len).sum();
    let rest = &bytes[..bytes.len() - zeros];
    rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// Journals of a store's folder, oldest first.
pub fn journals(store: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(store.join("fjall")).expect("readable");
    let paths = entries.map(|entry| entry.expect("readable").path());
    let mut journals: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "jnl")).collect();
    journals.sort_by_key(|path| path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok()));
    journals
}

pub fn flip(path: &Path, byte: u64, bit: u32) {
    let file = OpenOptions::new().read(true).write(true).open(path).expect("writable");
    let mut one = [0];
    file.read_exact_at(&mut one, byte).expect("within the file");
    file.write_all_at(&[one[0] ^ (1 << bit)], byte).expect("writable");
}

pub fn zero(path: &Path, from: u64, len: usize) {
    let file = File::options().write(true).open(path).expect("writable");
    file.write_all_at(&vec![0; len], from).expect("writable");
}

/// Writes the tables of a closed store to files, and empties the journals that also have what is in them as if these had
/// been let go.
pub fn write_out(store: &Path) {
    {
        let db = fjall::Database::builder(store.join("fjall")).open().expect("closed before");
        for name in db.list_keyspace_names() {
            let table = db.keyspace(&name, fjall::KeyspaceCreateOptions::default).expect("there");
            table.rotate_memtable_and_wait().expect("room");
        }
    }
    for journal in journals(store) {
        File::options().write(true).open(journal).and_then(|file| file.set_len(0)).expect("writable");
    }
}

/// Adds the files of tables, with their sizes.
pub fn table_files(folder: &Path, into: &mut Vec<(u64, PathBuf)>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let entry = entry.expect("readable");
        if entry.path().is_dir() {
            table_files(&entry.path(), into);
        } else if folder.ends_with("tables") {
            into.push((entry.metadata().expect("readable").len(), entry.path()));
        }
    }
}
