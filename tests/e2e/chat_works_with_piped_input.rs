//! Set-up: `chat` with its stdin on a pipe. Claim: lines on the pipe are sent in order and shown with a tick, those of the
//! peer are shown as they come, and the command ends well when the pipe ends and everything said is stored.

use trunkline_tests::process::Process;
use trunkline_tests::server::{PATIENCE, Server};

use crate::output::{history, send};
use crate::shards::for_shards;

#[track_caller]
fn shown(chat: &Process, part: &str) {
    let (stdout, stderr) = (chat.stdout(), chat.stderr());
    assert!(stdout.line_with(part, PATIENCE).is_some(), "no {part:?} in\n{}\n{}", stdout.text(), stderr.text());
}

/// Without the time of day.
fn said(stdout: &str) -> Vec<&str> {
    stdout.lines().map(|line| line.split_once(' ').map_or(line, |(_, rest)| rest)).collect()
}

#[test]
fn two_people_talk() {
    for_shards([1, 2], |shards| {
        let server = Server::start(&["--shards", shards]);
        ["alice", "bob"].iter().for_each(|name| drop(server.add_user(name)));
        send(&server, "bob", "alice", "said before");
        let mut alice = server.spawn(["chat", "--as", "alice", "bob"]);
        let mut bob = server.spawn(["chat", "--as", "bob", "alice"]);
        shown(&alice, "bob: said before");
        shown(&bob, "bob: said before ✓");
        alice.write("hello\n");
        shown(&bob, "alice: hello");
        bob.write("hi alice\r\n\n   \n");
        shown(&alice, "bob: hi alice");
        alice.write("bye");
        alice.close_stdin();
        let alice = alice.ended(PATIENCE).succeeded();
        assert_eq!(said(&alice.stdout), ["bob: said before", "alice: hello ✓", "bob: hi alice", "alice: bye ✓"]);
        shown(&bob, "alice: bye");
        bob.close_stdin();
        let bob = bob.ended(PATIENCE).succeeded();
        assert_eq!(said(&bob.stdout), ["bob: said before ✓", "alice: hello", "bob: hi alice ✓", "alice: bye"]);
        assert_eq!(history(&server, "alice", "bob"), ["said before", "hello", "hi alice", "bye"]);
    });
}

#[test]
fn all_of_a_pipe_is_sent_before_the_end() {
    let server = Server::start(&["--shards", "2"]);
    ["alice", "bob"].iter().for_each(|name| drop(server.add_user(name)));
    let lines: Vec<String> = (0..55).map(|number| format!("line {number}")).collect();
    let mut chat = server.spawn(["chat", "--as", "alice", "bob"]);
    chat.write(&(lines.join("\n") + "\n"));
    chat.close_stdin();
    let ended = chat.ended(PATIENCE).succeeded();
    let wanted: Vec<String> = lines.iter().map(|line| format!("alice: {line} ✓")).collect();
    assert_eq!(said(&ended.stdout), wanted);
    assert_eq!(history(&server, "bob", "alice"), lines);
}
