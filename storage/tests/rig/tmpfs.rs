//! A small disk of its own, to be filled up.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted tmpfs; unmounted when dropped, so it must be dropped behind the store on it.
pub struct Tmpfs {
    folder: tempfile::TempDir,
}

impl Tmpfs {
    pub fn mount(mib: u32) -> Tmpfs {
        let folder = tempfile::tempdir().expect("a folder");
        let options = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).status();
        let is_mounted = mounted.as_ref().is_ok_and(|status| status.success());
        assert!(is_mounted, "this test fills a disk of its own and must be root to mount one (mount said {mounted:?})");
        Tmpfs { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn free_bytes(&self) -> u64 {
        let found = rustix::fs::statvfs(self.path()).expect("mounted");
        found.f_bavail * found.f_frsize
    }

    /// Fills it until about `free_bytes` are left; the file is what to remove.
    pub fn fill(&self, free_bytes: u64) -> PathBuf {
        let path = self.path().join("ballast");
        let mut file = File::create(&path).expect("a file");
        let chunk = [0xaa; 64 * 1024];
        while self.free_bytes() > free_bytes + chunk.len() as u64 && file.write_all(&chunk).is_ok() {}
        path
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.path().join("store"));
        let _ = Command::new("umount").arg(self.path()).status();
    }
}
