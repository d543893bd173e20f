//! Set-up: `listen` as scripts use it, one run after the other, while messages come in a direct conversation and in a group,
//! also when nobody listens; runs end well, or are killed with SIGKILL after some lines, with the server or without. Claim: a
//! run begins behind what the runs before it printed: after one that ended well exactly there; after one that was killed no
//! line is lost, and printed again are only the last ones before the kill; within a run each line comes once and in order. A
//! device that never listened begins now; what one device heard is nothing to another one.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use trunkline_tests::process::Process;
use trunkline_tests::server::{PATIENCE, Server};

use crate::output::{lines, send, texts};
use crate::people::{enroll, restart, serve};
use crate::shards::for_shards;

/// How long a run lives on behind its last line: what it printed is reported at once, or half a second later.
const LIVES_ON_MS: [u64; 8] = [0, 30, 1_500, 100, 0, 300, 60, 0];
/// So long after its last line a run has reported it for certain, and printed it for the last time.
const REPORTED_MS: u64 = 1_500;

/// Runs `listen` to its end.
fn listen(server: &Server, arguments: &[&str]) -> Vec<String> {
    texts(&server.run([&["listen", "--as", "bob"], arguments].concat()).succeeded().stdout)
}

/// Bob has heard something once, so that his device has a position.
fn begin(server: &Server) {
    send(server, "alice", "bob", "before anybody listened");
    assert_eq!(listen(server, &["--timeout", "500ms"]), [] as [&str; 0], "a new device begins now");
    assert_eq!(listen(server, &["--from", "start", "--count", "1"]), ["before anybody listened"]);
}

fn listening(server: &Server) -> Process {
    let ear = server.spawn(["listen", "--as", "bob"]);
    assert!(ear.stderr().line_with("trunkline: listening", PATIENCE).is_some(), "{}", ear.stderr().text());
    ear
}

#[test]
fn from_one_run_to_the_next() {
    let mut server = serve("2", &[]);
    enroll(&server, ["alice", "bob"]);
    let other = server.add_device("bob");
    begin(&server);
    let mut said = Vec::new();
    for round in 0..3 {
        for number in 0..4 {
            let text = format!("{number} of round {round}");
            send(&server, "alice", "bob", &text);
            said.push(text);
        }
        let heard = [listen(&server, &["--count", "3"]), listen(&server, &["--timeout", "500ms"])];
        assert_eq!(heard.concat(), said[said.len() - 4..], "round {round}");
        assert_eq!(heard[0].len(), 3, "round {round}");
        restart(&mut server, if round == 0 { "1" } else { "2" }, &[]);
    }
    assert_eq!(listen(&server, &["--timeout", "500ms"]), [] as [&str; 0]);
    let of_other = server.run(["listen", "--token", &other.token, "--from", "start", "--timeout", "500ms"]).succeeded();
    assert_eq!(texts(&of_other.stdout).len(), said.len() + 1, "another device has its own position");
}

/// What all runs together printed of one conversation, and how often again.
#[derive(Default)]
struct Heard {
    /// The highest seq that was printed.
    last: u64,
    /// The highest that is not to be printed again.
    reported: u64,
    again: u64,
}

impl Heard {
    /// The lines of one run.
    fn note(&mut self, seqs: &[u64]) {
        let Some(&first) = seqs.first() else { return };
        assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "not in order, or not whole: {seqs:?}");
        assert!(first <= self.last + 1, "{} to {} are lost", self.last + 1, first - 1);
        assert!(first > self.reported, "{first} is printed again, {} was reported", self.reported);
        self.again += self.last + 1 - first;
        self.last = self.last.max(seqs[seqs.len() - 1]);
    }
}

fn note_all(heard: &mut HashMap<String, Heard>, printed: &str) {
    // The last line of a killed process may be half a line.
    let whole = printed.rfind('\n').map_or("", |end| &printed[..end]);
    let mut seqs: HashMap<String, Vec<u64>> = HashMap::new();
    for line in lines(whole) {
        let conversation = line["conversation"].as_str().expect("an id").to_owned();
        seqs.entry(conversation).or_default().push(line["seq"].as_u64().expect("a seq"));
    }
    for (conversation, seqs) in seqs {
        heard.entry(conversation).or_default().note(&seqs);
    }
}

#[test]
fn though_it_is_killed() {
    for_shards([2], |shards| {
        let mut server = serve(shards, &[]);
        enroll(&server, ["alice", "bob"]);
        begin(&server);
        let made = server.run(["group", "create", "--as", "alice", "a group", "bob"]).succeeded();
        let group = lines(&made.stdout)[0]["conversation"].as_str().expect("an id").to_owned();
        let mut heard: HashMap<String, Heard> = HashMap::new();
        // What there was before is heard.
        let direct = lines(&server.run(["list", "--as", "bob"]).succeeded().stdout);
        let direct = direct.iter().find(|row| row["kind"] == "direct").expect("it is in the list");
        let direct = direct["conversation"].as_str().expect("an id").to_owned();
        heard.entry(direct.clone()).or_default().last = 1;
        let mut last = [1, 1];
        for (round, lives_on_ms) in LIVES_ON_MS.into_iter().enumerate() {
            let mut say = || {
                last[0] = send(&server, "alice", "bob", "to you");
                last[1] = send(&server, "alice", &group, "to all");
            };
            say();
            let mut ear = listening(&server);
            say();
            let lines = round % 4 + 1;
            assert!(ear.stdout().has_lines(lines, PATIENCE), "{}", ear.stderr().text());
            thread::sleep(Duration::from_millis(lives_on_ms));
            ear.kill();
            note_all(&mut heard, &ear.ended(PATIENCE).stdout);
            if lives_on_ms >= REPORTED_MS {
                heard.values_mut().for_each(|heard| heard.reported = heard.last);
            } else if round % 2 == 1 {
                restart(&mut server, shards, &[]);
            }
        }
        let rest = server.run(["listen", "--as", "bob", "--timeout", "1500ms"]).succeeded();
        note_all(&mut heard, &rest.stdout);
        assert_eq!([heard[&direct].last, heard[&group].last], last, "the last lines were never printed");
        let again: u64 = heard.values().map(|heard| heard.again).sum();
        println!("{again} lines were printed again, of {}", last[0] + last[1]);
        assert!(heard.values().all(|heard| heard.reported > 0), "nothing was ever reported for certain");
        let nothing = server.run(["listen", "--as", "bob", "--timeout", "500ms"]).succeeded();
        assert_eq!(lines(&nothing.stdout), [] as [Value; 0]);
    });
}
