//! A test that runs part of itself in a process of its own, to see it end.

use std::process::{Command, Stdio};

/// Says to a test that it is the child.
const CHILD: &str = "TRUNKLINE_TEST_CHILD";

/// This test binary again, running the test `name` alone, with its output to be read. That test does something only where
/// [`is_child`].
pub fn child(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CHILD, name);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the test `name` alone in a process, and fails as it does: for what counts all that a process has or does.
pub fn run_alone(name: &str) {
    let output = child(name).output().unwrap();
    let said = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}{}", said.0, said.1);
}

/// Whether this process was started by [`child`].
pub fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}
