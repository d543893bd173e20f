//! A test that runs part of itself in a process of its own, to see it end.

use std::process::{Command, Stdio};

/// This test binary again, running the ignored test `name` alone, with its output to be read.
pub fn child(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", name, "--nocapture", "--test-threads=1"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
