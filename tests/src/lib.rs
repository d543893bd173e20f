//! What tests that start processes share: where the binary `trunkline` is, the server it runs, its output and its end.
#![forbid(unsafe_code)]

pub mod admin;
pub mod dice;
pub mod ear;
pub mod home;
pub mod http;
pub mod peer;
pub mod process;
pub mod pty;
pub mod rig;
pub mod server;
pub mod tls;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The folders whose sources the binary is made of.
const SOURCES: [&str; 6] = ["wire", "shards", "storage", "edge", "engine", "clients"];

/// The binary `trunkline` of the profile that this test was built in. Where it is missing, or older than a source it
/// is made of, cargo builds it first, so that no test speaks to yesterday's server.
pub fn trunkline_binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(find_or_build).clone()
}

/// Root of the repository.
pub fn repository_root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("this package is a folder of the repository").to_path_buf()
}

fn find_or_build() -> PathBuf {
    // A test executable is TARGET/PROFILE/deps/NAME-HASH.
    let test = env::current_exe().expect("the system names this executable");
    let profile_folder = test.parent().and_then(Path::parent).expect("cargo's layout of the target folder");
    let binary = profile_folder.join(format!("trunkline{}", env::consts::EXE_SUFFIX));
    let root = repository_root();
    let built = fs::metadata(&binary).and_then(|metadata| metadata.modified());
    let newest = SOURCES.iter().filter_map(|folder| newest_source(&root.join(folder))).max();
    if built.is_err() || built.ok() < newest {
        build(&root, profile_folder);
    }
    assert!(binary.is_file(), "cargo built no {}", binary.display());
    binary
}

/// When the newest Rust source or manifest below a folder was changed.
fn newest_source(folder: &Path) -> Option<SystemTime> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let changed = entries.filter_map(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return newest_source(&path);
        }
        let counts = path.extension().is_some_and(|extension| extension == "rs" || extension == "toml");
        counts.then(|| entry.metadata().and_then(|metadata| metadata.modified()).ok())?
    });
    changed.max()
}

fn build(root: &Path, profile_folder: &Path) {
    let folder = profile_folder.file_name().and_then(|name| name.to_str()).expect("a profile has a folder");
    // `dev` and `test` share the folder `debug`; the settings of `test` are those of the test that asks.
    let profile = if folder == "debug" { "test" } else { folder };
    let target = profile_folder.parent().expect("cargo's layout of the target folder");
    let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(root)
        .args(["build", "--package", "trunkline-engine", "--bin", "trunkline", "--profile", profile])
        .arg("--target-dir")
        .arg(target)
        .status();
    assert!(built.as_ref().is_ok_and(|status| status.success()), "cargo build of the binary trunkline: {built:?}");
}
