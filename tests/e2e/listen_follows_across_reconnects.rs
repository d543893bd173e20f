//! Set-up: `listen` runs while messages come and the server is killed and started again, several times. Claim: it prints
//! each message once and in order: from the first one with `--from start`, from those after its start with `--from now`; it
//! comes back by itself, and ends well after `--count` messages.

use serde_json::Value;
use trunkline_tests::process::Process;
use trunkline_tests::server::{PATIENCE, Server};

use crate::output::{lines, members, send, texts};
use crate::shards::for_shards;

const RESTARTS: usize = 2;

fn say(server: &Server, said: &mut Vec<String>) {
    for _ in 0..2 {
        let text = format!("number {}", said.len() + 1);
        send(server, "alice", "bob", &text);
        said.push(text);
    }
}

#[track_caller]
fn listens(ear: &Process) {
    assert!(ear.stderr().line_with("trunkline: listening", PATIENCE).is_some(), "{}", ear.stderr().text());
}

#[track_caller]
fn heard(mut ear: Process, wanted: &[String], server: &Server) {
    let ended = ear.ended(PATIENCE).succeeded();
    assert_eq!(texts(&ended.stdout), wanted, "stderr:\n{}\nserver:\n{}", ended.stderr, server.stderr().text());
}

#[test]
fn through_kills_of_the_server() {
    for_shards([1, 2], |shards| {
        let mut server = Server::start(&["--shards", shards]);
        ["alice", "bob"].iter().for_each(|name| drop(server.add_user(name)));
        let mut said = Vec::new();
        say(&server, &mut said);
        let before = said.len();
        let all = before + 2 * (2 * RESTARTS + 1);
        let [all_count, later_count] = [all, all - before].map(|count| count.to_string());
        let from_start = server.spawn(["listen", "--as", "bob", "--from", "start", "--count", &all_count]);
        let from_now = server.spawn(["listen", "--as", "bob", "--from", "now", "--count", &later_count]);
        // Own messages, of another process, are heard as well.
        let own = server.spawn(["listen", "--as", "alice", "--from", "now", "--count", &later_count]);
        [&from_start, &from_now, &own].into_iter().for_each(listens);
        say(&server, &mut said);
        for _ in 0..RESTARTS {
            server.kill();
            server.start_again();
            // Before those who listen are back, most likely, and then after it.
            say(&server, &mut said);
            assert!(from_start.stdout().has_lines(said.len(), PATIENCE), "{}", from_start.stderr().text());
            say(&server, &mut said);
        }
        heard(from_start, &said, &server);
        heard(from_now, &said[before..], &server);
        heard(own, &said[before..], &server);
    });
}

#[test]
fn lines_are_for_scripts() {
    let server = Server::start(&["--shards", "2"]);
    let [alice, _bob] = ["alice", "bob"].map(|name| server.add_user(name));
    let sent = server.run(["send", "--as", "alice", "--to", "bob", "hi \"you\"\n"]).succeeded();
    let sent = &lines(&sent.stdout)[0];
    let heard = server.run(["listen", "--as", "bob", "--from", "start", "--count", "1"]).succeeded();
    let told = server.run(["history", "--as", "bob", "alice"]).succeeded();
    assert_eq!(heard.stdout, told.stdout);
    let line = &lines(&heard.stdout)[0];
    assert_eq!(members(line), ["conversation", "kind", "sender", "seq", "text", "ts"]);
    assert_eq!(
        ["conversation", "seq", "ts"].map(|name| &line[name]),
        ["conversation", "seq", "ts"].map(|name| &sent[name])
    );
    assert_eq!((&line["kind"], &line["text"]), (&Value::from("text"), &Value::from("hi \"you\"\n")));
    assert_eq!(line["sender"], alice.user.to_string());
}

#[test]
fn a_count_that_does_not_come_is_an_error() {
    let server = Server::start(&["--shards", "1"]);
    server.add_user("bob");
    let ended = server.run(["listen", "--as", "bob", "--count", "1", "--timeout", "300ms"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert_eq!(lines(ended.stderr.lines().last().expect("an error"))[0]["error"], "timeout");
    server.run(["listen", "--as", "bob", "--timeout", "300ms"]).succeeded();
}
