//! Set-up: the example in Python, which knows the protocol from its document alone, in the virtual environment that ./test
//! makes. Two users talk in a 1:1 and in a group; one of them is cut off, and the server is killed and started again
//! meanwhile; then all of it runs once more on the same state. Claim: what both were told, over all runs, is the history,
//! each message once and in order; every ack names its place in it; and the example passes its own tests.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use trunkline_tests::process::Process;
use trunkline_tests::repository_root;
use trunkline_tests::server::{Account, PATIENCE, Server};

use crate::output::lines;
use crate::shards::for_shards;

/// The example's own tests and a tour with a restart take some seconds; a busy machine needs more.
const EXAMPLE_PATIENCE: Duration = Duration::from_mins(3);
const HINT: &str = "./test installs it; by hand: python3 -m venv target/venv && target/venv/bin/pip install -r \
                    clients/examples/python/requirements.txt";

fn folder() -> PathBuf {
    repository_root().join("clients/examples/python")
}

/// The interpreter, with what the example needs, in the example's folder. It writes no compiled files there.
fn python(arguments: &[&str]) -> Command {
    let interpreter = repository_root().join("target/venv/bin/python");
    assert!(interpreter.is_file(), "{} is missing: {HINT}", interpreter.display());
    let mut command = Command::new(interpreter);
    command.current_dir(folder()).args(["-B", "-X", "utf8"]).args(arguments);
    command
}

fn start_tour(server: &Server, [alice, bob]: &[Account; 2], further: &[&str]) -> Process {
    let state = server.home().path().join("tour");
    let mut command = python(&["tour.py", "--url", &server.url(), "--state"]);
    command.arg(state).args(further).args([&alice.token, &bob.token]);
    Process::start(&mut command)
}

/// Lines of one kind of event that happened to somebody in a conversation.
fn told<'a>(printed: &'a [Value], who: &str, event: &str, conversation: &str) -> Vec<&'a Value> {
    let is_one = |line: &&Value| line["as"] == who && line["event"] == event && line["conversation"] == conversation;
    printed.iter().filter(is_one).collect()
}

/// What both ways of telling a message say: where it is, from whom, and of texts the text.
fn essence(line: &Value) -> BTreeMap<&'static str, Value> {
    let names = ["seq", "kind", "sender", "ts"].into_iter().chain((line["kind"] == "text").then_some("text"));
    names.map(|name| (name, line[name].clone())).collect()
}

#[track_caller]
fn check(server: &Server, printed: &[Value], conversation: &str) -> usize {
    let mut sent = 0;
    for who in ["alice", "bob"] {
        let history = lines(&server.run(["history", "--as", who, conversation]).succeeded().stdout);
        let messages = told(printed, who, "message", conversation);
        let [heard, stored] =
            [messages, history.iter().collect()].map(|told| told.into_iter().map(essence).collect::<Vec<_>>());
        assert_eq!(heard, stored, "what {who} was told of {conversation} is not its history");
        for ack in told(printed, who, "ack", conversation) {
            let seq = ack["seq"].as_u64().expect("an ack has a seq");
            let row = &history[usize::try_from(seq).expect("a small seq") - 1];
            assert_eq!((&row["seq"], &row["ts"]), (&ack["seq"], &ack["ts"]), "{row}");
            sent += 1;
        }
    }
    sent
}

#[test]
fn what_was_told_is_the_history() {
    for_shards([1, 2], |shards| {
        let mut server = Server::start(&["--shards", shards, "--set", "limits.send_burst=1000"]);
        let accounts = ["alice", "bob"].map(|name| server.add_user(name));

        let mut first = start_tour(&server, &accounts, &["--pause"]);
        let paused = first.stdout().line_with("\"paused\"", EXAMPLE_PATIENCE);
        assert!(paused.is_some(), "{}\n{}", first.stderr().text(), server.stderr().text());
        server.kill();
        // What is sent now waits in the outbox.
        first.write("\n");
        server.start_again();
        first.close_stdin();
        let mut printed = lines(&first.ended(EXAMPLE_PATIENCE).succeeded().stdout);

        server.stop();
        server.start_again();
        let mut second = start_tour(&server, &accounts, &[]);
        second.close_stdin();
        printed.extend(lines(&second.ended(EXAMPLE_PATIENCE).succeeded().stdout));

        let ends: Vec<&Value> = printed.iter().filter(|line| line["event"] == "done").collect();
        assert_eq!(ends.len(), 2, "{printed:#?}");
        for conversation in ["direct", "group"] {
            assert_eq!(ends[0][conversation], ends[1][conversation], "the second run goes on in the same one");
            let id = ends[0][conversation].as_str().expect("an id");
            let sent = check(&server, &printed, id);
            assert_eq!(sent, if conversation == "direct" { 2 * 24 } else { 2 * 13 }, "every message was acknowledged");
        }
        let receipts = printed.iter().filter(|line| line["event"] == "receipt").count();
        let cuts = printed.iter().filter(|line| line["as"] == "bob" && line["event"] == "cut").count();
        assert!(receipts > 0 && cuts >= 2, "{receipts} receipts, {cuts} cuts");
    });
}

#[test]
fn it_passes_its_own_tests() {
    let mut tests = Process::start(&mut python(&["-m", "unittest"]));
    tests.close_stdin();
    let ended = tests.ended(EXAMPLE_PATIENCE.max(PATIENCE)).succeeded();
    assert!(ended.stderr.contains("\nOK"), "{}", ended.stderr);
}
