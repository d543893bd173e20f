//! What commands print, read as scripts read it.

use serde_json::Value;
use trunkline_tests::process::Ended;
use trunkline_tests::server::Server;

/// Each line as JSON.
#[track_caller]
pub fn lines(text: &str) -> Vec<Value> {
    let line = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}"));
    text.lines().map(line).collect()
}

/// The names of an object's members, in order.
pub fn members(line: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = line.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}

/// The texts of messages that `history` or `listen` printed.
#[track_caller]
pub fn texts(printed: &str) -> Vec<String> {
    let text = |line: &Value| line["text"].as_str().unwrap_or_else(|| panic!("no text: {line}")).to_owned();
    lines(printed).iter().map(text).collect()
}

/// All that `reader` and `peer` said, in order.
#[track_caller]
pub fn history(server: &Server, reader: &str, peer: &str) -> Vec<String> {
    texts(&server.run(["history", "--as", reader, peer]).succeeded().stdout)
}

/// Sends a text, which has to work; its seq.
#[track_caller]
pub fn send(server: &Server, from: &str, to: &str, text: &str) -> u64 {
    let sent = server.run(["send", "--as", from, "--to", to, text]).succeeded();
    seq_of(&sent)
}

/// The seq that `send` printed.
#[track_caller]
pub fn seq_of(sent: &Ended) -> u64 {
    let lines = lines(&sent.stdout);
    assert!(lines.len() == 1 && members(&lines[0]) == ["conversation", "seq", "ts"], "{sent:?}");
    lines[0]["seq"].as_u64().expect("a number")
}

/// The code of the error that a command ended with.
#[track_caller]
pub fn error_of(ended: &Ended) -> String {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    let errors = ended.stderr.lines().filter(|line| line.starts_with('{')).collect::<Vec<_>>().join("\n");
    let errors = lines(&errors);
    assert_eq!(errors.len(), 1, "{ended:?}");
    errors[0]["error"].as_str().expect("a code").to_owned()
}
