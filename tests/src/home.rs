//! The folders of a server and of the people who use it, apart from those of whoever runs the tests.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::admin::Account;
use crate::trunkline_binary;

/// Folders of a server and of the people who use it, on one machine; removed at the end.
#[derive(Debug)]
pub struct Home {
    folder: TempDir,
}

impl Home {
    /// New and empty ones.
    pub fn new() -> Home {
        let folder = tempfile::Builder::new().prefix("trunkline-").tempdir().expect("a temporary folder");
        Home { folder }
    }

    /// The folder around all of them.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The server's folder.
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Where tokens are kept.
    pub fn config(&self) -> PathBuf {
        self.path().join("config/trunkline")
    }

    /// Where outboxes are kept.
    pub fn state(&self) -> PathBuf {
        self.path().join("state/trunkline")
    }

    /// Keeps a token for `--as NAME`, as `user add` does; names are plain words here.
    pub fn keep_token(&self, account: &Account) {
        let tokens = self.config().join("tokens");
        fs::create_dir_all(&tokens).expect("a folder for tokens");
        fs::write(tokens.join(&account.name), &account.token).expect("a file for a token");
    }

    /// A program that finds these folders, and none of the person who runs the tests.
    pub fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let ours = |name: &OsString| name.to_str().is_some_and(|name| name.starts_with("TRUNKLINE_"));
        for name in std::env::vars_os().map(|(name, _)| name).filter(ours) {
            command.env_remove(name);
        }
        command.env_remove("RUST_LOG");
        let folders =
            [("HOME", "home"), ("XDG_CONFIG_HOME", "config"), ("XDG_STATE_HOME", "state"), ("XDG_DATA_HOME", "share")];
        command.envs(folders.map(|(variable, folder)| (variable, self.path().join(folder))));
        command.env("TRUNKLINE_DATA", self.data());
        // Many servers run on one machine; `status` says which port it is.
        command.env("TRUNKLINE__ADMIN__LISTEN", "127.0.0.1:0");
        command.env("TRUNKLINE__HTTP__LISTEN", "127.0.0.1:0");
        command
    }

    /// The binary with these arguments.
    pub fn trunkline<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.program(trunkline_binary());
        command.args(arguments);
        command
    }
}

impl Default for Home {
    fn default() -> Home {
        Home::new()
    }
}
