//! The files of the tree as git sees them, and how a check reports what it found.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A text file.
pub struct TextFile {
    /// Relative to the root, with `/`.
    pub path: String,
    /// All of it.
    pub text: String,
}

impl TextFile {
    /// A file that exists in an example only.
    pub fn example(path: &str, text: &str) -> TextFile {
        TextFile { path: path.into(), text: text.into() }
    }

    /// Whether a person wrote this Rust source.
    pub fn is_written_rust(&self) -> bool {
        self.path.ends_with(".rs") && !self.is_generated()
    }

    /// Whether a tool wrote it.
    pub fn is_generated(&self) -> bool {
        self.text.lines().take(3).any(|line| line.contains("@generated"))
    }
}

/// Root of the repository.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(trunkline_tests::repository_root)
}

/// Paths that git tracks, or would track if they were added.
pub fn paths() -> &'static [String] {
    static PATHS: OnceLock<Vec<String>> = OnceLock::new();
    PATHS.get_or_init(|| {
        let listed = Command::new("git")
            .current_dir(root())
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .output()
            .expect("git is installed");
        assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
        let names = String::from_utf8(listed.stdout).expect("paths are UTF-8");
        let mut paths: Vec<String> = names.split_terminator('\0').map(String::from).collect();
        paths.retain(|path| root().join(path).is_file());
        paths.sort();
        paths.dedup();
        paths
    })
}

/// Those of them that are text.
pub fn files() -> &'static [TextFile] {
    static FILES: OnceLock<Vec<TextFile>> = OnceLock::new();
    FILES.get_or_init(|| {
        let read = |path: &String| {
            let text = String::from_utf8(fs::read(root().join(path)).ok()?).ok()?;
            (!text.contains('\0')).then(|| TextFile { path: path.clone(), text })
        };
        let files: Vec<TextFile> = paths().iter().filter_map(read).collect();
        assert!(files.len() > 50, "only {} files: is this the whole tree?", files.len());
        files
    })
}

/// One file by its path, if it is there.
pub fn file(path: &str) -> Option<&'static TextFile> {
    files().iter().find(|file| file.path == path)
}

/// Fails with every complaint, one a line.
#[track_caller]
pub fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "{} complaints:\n{}\n", complaints.len(), complaints.join("\n"));
}

/// Fails unless a check complained about a bad example, and in these words.
#[track_caller]
pub fn complains(complaints: &[String], words: &str) {
    assert!(complaints.iter().any(|line| line.contains(words)), "nobody said {words:?}: {complaints:?}");
}
