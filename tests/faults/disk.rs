//! A small disk of a test's own, to be filled up: a tmpfs in a private folder.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use trunkline_tests::server::Home;

/// Unmounted when dropped, so it is made before the server on it.
pub struct Disk {
    folder: TempDir,
}

impl Disk {
    pub fn mount(mib: u32) -> Disk {
        let folder = tempfile::Builder::new().prefix("trunkline-disk-").tempdir().expect("a temporary folder");
        let options = format!("size={mib}m,mode=0700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "trunkline-faults"]).arg(folder.path()).output();
        let is_mounted = mounted.as_ref().is_ok_and(|output| output.status.success());
        assert!(
            is_mounted,
            "this test fills a disk of its own: it must be root and may have to mount one; {mounted:?}"
        );
        Disk { folder }
    }

    /// Folders of a server whose data lies on this disk.
    pub fn home(&self) -> Home {
        let home = Home::new();
        let data = self.path().join("data");
        fs::create_dir(&data).expect("a new disk");
        symlink(data, home.data()).expect("a new home");
        home
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Fills it but for about so many bytes; the file is what to remove.
    pub fn fill(&self, free_bytes: u64) -> PathBuf {
        let path = self.path().join("ballast");
        let mut file = File::create(&path).expect("a file");
        let chunk = [0xaa; 64 * 1024];
        let full = loop {
            match file.write_all(&chunk) {
                Ok(()) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), ErrorKind::StorageFull, "filling the disk: {full}");
        let length = file.metadata().expect("a file").len();
        file.set_len(length.saturating_sub(free_bytes)).expect("a file can be cut");
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.path()).output();
        if !unmounted.as_ref().is_ok_and(|output| output.status.success()) {
            // Somebody still has a file open there: it goes when they are done.
            let _ = Command::new("umount").arg("--lazy").arg(self.path()).output();
        }
    }
}
