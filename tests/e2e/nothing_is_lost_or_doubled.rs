//! Set-up: `send` as scripts use it: twice, many at once with one token, killed at any moment, without its state folder, and
//! while the server is killed. Claim: every run that ends well stored its text once, where it says; a run that was killed
//! stored its text once or not at all; and what it left in the outbox is stored once by the next run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use trunkline_tests::process::{Ended, Process, Signal};
use trunkline_tests::server::{PATIENCE, Server};

use crate::output::{history, send, seq_of};
use crate::shards::for_shards;

/// Faster than people; sessions of a device stay limited as they are.
const RAISED: [&str; 4] = ["--set", "limits.conversation_send_burst=1000", "--set", "limits.lookup_burst=1000"];

/// What has to be in the history of alice and bob.
#[derive(Default)]
struct Ledger {
    /// Texts by the seq that was printed.
    acknowledged: BTreeMap<u64, String>,
    /// Once each.
    left_behind: Vec<String>,
    /// Once or not at all.
    perhaps: Vec<String>,
}

impl Ledger {
    #[track_caller]
    fn acknowledge(&mut self, text: &str, sent: &Ended) {
        let earlier = self.acknowledged.insert(seq_of(sent), text.to_owned());
        assert_eq!(earlier, None, "another message has the number of {text:?}");
    }

    #[track_caller]
    fn check(&self, server: &Server) {
        let told = history(server, "bob", "alice");
        let told_to_sender = history(server, "alice", "bob");
        assert_eq!(told, told_to_sender);
        let times = |text: &String| told.iter().filter(|told| *told == text).count();
        for (seq, text) in &self.acknowledged {
            assert_eq!(told.get(*seq as usize - 1), Some(text), "number {seq} in {told:#?}");
        }
        let left_behind =
            self.left_behind.iter().inspect(|text| assert_eq!(times(text), 1, "{text}: {told:#?}")).count();
        let perhaps: usize = self.perhaps.iter().map(times).sum();
        self.perhaps.iter().for_each(|text| assert!(times(text) <= 1, "{text}: {told:#?}"));
        assert_eq!(told.len(), self.acknowledged.len() + left_behind + perhaps, "more than was said: {told:#?}");
    }
}

fn server(shards: &str) -> Server {
    let server = Server::start(&[&["--shards", shards], &RAISED[..]].concat());
    ["alice", "bob"].iter().for_each(|name| drop(server.add_user(name)));
    server
}

fn start_to_send(server: &Server, text: &str) -> Process {
    server.spawn(["send", "--as", "alice", "--to", "bob", text])
}

/// Whether a text waits in an outbox.
fn waits(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        let (path, name) = (entry.path(), entry.file_name());
        let is_outbox = || name.to_str().is_some_and(|name| name.starts_with("outbox-"));
        let holds = |bytes: Vec<u8>| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        if path.is_dir() { waits(&path, text) } else { is_outbox() && fs::read(&path).is_ok_and(holds) }
    })
}

#[test]
fn twice_is_two_messages() {
    let server = server("1");
    assert_eq!([send(&server, "alice", "bob", "hello"), send(&server, "alice", "bob", "hello")], [1, 2]);
    assert_eq!(history(&server, "bob", "alice"), ["hello", "hello"]);
}

#[test]
fn at_once_with_one_token() {
    for_shards([1, 2], |shards| {
        let server = server(shards);
        let mut ledger = Ledger::default();
        let mut send_at_once = |round: usize, count: usize| {
            let texts: Vec<String> = (0..count).map(|number| format!("{number} of round {round}")).collect();
            let sending: Vec<Process> = texts.iter().map(|text| start_to_send(&server, text)).collect();
            for (text, mut sending) in texts.iter().zip(sending) {
                ledger.acknowledge(text, &sending.ended(PATIENCE).succeeded());
            }
        };
        (0..15).for_each(|round| send_at_once(round, 2));
        // As many sessions as a device may have.
        (15..20).for_each(|round| send_at_once(round, 4));
        ledger.check(&server);
        assert_eq!(ledger.acknowledged.len(), 50);
    });
}

#[test]
fn more_at_once_than_sessions() {
    let server = server("2");
    let mut ledger = Ledger::default();
    let texts: Vec<String> = (0..8).map(|number| format!("number {number}")).collect();
    let sending: Vec<Process> = texts.iter().map(|text| start_to_send(&server, text)).collect();
    for (text, mut sending) in texts.iter().zip(sending) {
        ledger.acknowledge(text, &sending.ended(PATIENCE).succeeded());
    }
    ledger.check(&server);
}

/// Lets a `send` run until its moment, and kills it: at a time, as soon as its text waits in the outbox, or then with the
/// server held still, so that no answer comes.
fn kill_at(server: &mut Server, text: &str, moment: usize, usual: Duration) -> Ended {
    const TIMES: u32 = 12;
    let mut sending = start_to_send(server, text);
    if moment.is_multiple_of(3) {
        thread::sleep(usual / TIMES * (moment as u32 / 3 % (TIMES + 1)));
    } else {
        let until = Instant::now() + PATIENCE;
        let state = server.home().state();
        while !waits(&state, text) && sending.runs() {
            assert!(Instant::now() < until, "{text} never came to the outbox");
        }
        if moment % 3 == 2 {
            server.process().signal(Signal::STOP);
            // What is under way arrives.
            thread::sleep(Duration::from_millis(moment as u64 % 7));
        }
    }
    sending.kill();
    server.process().signal(Signal::CONT);
    sending.ended(PATIENCE)
}

/// What is known of a text whose sender was killed.
fn note_killed(ledger: &mut Ledger, server: &Server, text: &str, killed: &Ended) {
    if !killed.stdout.is_empty() {
        ledger.acknowledge(text, killed);
    } else if waits(&server.home().state(), text) {
        ledger.left_behind.push(text.to_owned());
    } else {
        ledger.perhaps.push(text.to_owned());
    }
}

#[test]
fn killed_at_any_moment_and_run_again() {
    for_shards([1, 2], |shards| {
        let mut server = server(shards);
        let mut ledger = Ledger::default();
        let mut stored_and_left = 0;
        let first = server.run(["send", "--as", "alice", "--to", "bob", "first"]).succeeded();
        ledger.acknowledge("first", &first);
        for moment in 0..36 {
            let text = format!("killed at moment {moment}");
            let killed = kill_at(&mut server, &text, moment, first.took);
            note_killed(&mut ledger, &server, &text, &killed);
            let left = ledger.left_behind.last() == Some(&text);
            stored_and_left += usize::from(left && history(&server, "bob", "alice").contains(&text));
            let again = format!("after moment {moment}");
            let sent = server.run(["send", "--as", "alice", "--to", "bob", &again]).succeeded();
            ledger.acknowledge(&again, &sent);
            assert!(!waits(&server.home().state(), &text), "the next run delivers what was left");
        }
        ledger.check(&server);
        assert!(stored_and_left > 0, "no kill came between a message's being stored and its acknowledgement");
    });
}

#[test]
fn killed_together_with_the_server() {
    let mut server = server("2");
    let mut ledger = Ledger::default();
    let first = server.run(["send", "--as", "alice", "--to", "bob", "first"]).succeeded();
    ledger.acknowledge("first", &first);
    for moment in 0..9 {
        let text = format!("killed at moment {moment}");
        let killed = kill_at(&mut server, &text, moment, first.took);
        note_killed(&mut ledger, &server, &text, &killed);
        server.start_again();
    }
    // Nothing was sent in between: one run delivers all that was left.
    ledger.acknowledge("last", &server.run(["send", "--as", "alice", "--to", "bob", "last"]).succeeded());
    ledger.check(&server);
}

#[test]
fn without_its_state_folder() {
    for_shards([1, 2], |shards| {
        let mut server = server(shards);
        let mut ledger = Ledger::default();
        for number in 0..12 {
            let text = format!("number {number}");
            let sent = server.run(["send", "--as", "alice", "--to", "bob", &text]).succeeded();
            ledger.acknowledge(&text, &sent);
            let lost = format!("lost {number}");
            let killed = kill_at(&mut server, &lost, number, sent.took);
            fs::remove_dir_all(server.home().state()).expect("the state folder is there");
            note_killed(&mut ledger, &server, &lost, &killed);
        }
        ledger.acknowledge("last", &server.run(["send", "--as", "alice", "--to", "bob", "last"]).succeeded());
        ledger.check(&server);
    });
}

#[test]
fn while_the_server_is_killed() {
    for_shards([1, 2], |shards| {
        let mut server = server(shards);
        let mut ledger = Ledger::default();
        for round in 0..6 {
            let texts = ["a", "b", "c"].map(|name| format!("{name} of round {round}"));
            let mut sending = texts.clone().map(|text| start_to_send(&server, &text));
            thread::sleep(Duration::from_millis(8 * round));
            server.kill();
            thread::sleep(Duration::from_millis(20 * round));
            server.start_again();
            for (text, sending) in texts.iter().zip(&mut sending) {
                ledger.acknowledge(text, &sending.ended(PATIENCE).succeeded());
            }
        }
        ledger.check(&server);
        server.stop();
        server.start_again();
        ledger.check(&server);
    });
}
