//! A full disk refuses what is new, serves what is there, and takes up again by itself (REL-18).
//!
//! Set-up: a server whose folder lies on a tmpfs of its own, which a ballast file fills; first with
//! `store.reserve_bytes` of 24 MiB, below which nothing is written, then without a reserve, so that the disk is full inside
//! of a commit.
//! Claim: sends are answered `storage_full` (the command: exit code 1 and that name); login, history and live connections go
//! on; without the ballast sends work again, in the same process; after a SIGKILL and a restart everything acked is there,
//! once and in order, and nothing else.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;
use trunkline_tests::server::{Account, Server};
use trunkline_wire::ids::ConversationId;
use trunkline_wire::message::ErrorCode;

use crate::dice::Dice;
use crate::disk::Disk;
use crate::ear::Ack;
use crate::peer::Peer;
use crate::rig;

const MIB: u64 = 1024 * 1024;
/// How soon after the room is back messages have to be taken.
const RECOVERY_MAX: Duration = Duration::from_secs(5);
/// Rounds of full and not full without a reserve.
const ROUNDS: u32 = 3;

/// Somebody who sends one message after the other and knows what was acked.
struct Author {
    peer: Peer,
    conversation: ConversationId,
    next: u64,
    acked: Vec<Vec<u8>>,
}

impl Author {
    fn new(server: &Server, own: &Account, other: &Account) -> Author {
        let mut peer = Peer::login(rig::address(server), &own.token);
        let (conversation, high) = peer.open_peer(other.user);
        Author { peer, conversation, next: high + 1, acked: Vec::new() }
    }

    /// Sends a text that no compression makes smaller; the next takes the number of one that was refused.
    fn send(&mut self, bytes: usize) -> Ack {
        let mut dice = Dice::new(Dice::cast());
        let body: Vec<u8> = (0..bytes).map(|_| b'!' + dice.below(90) as u8).collect();
        let ack = self.peer.send(self.conversation, self.next, dice.roll() | 1, &body);
        if ack.refusal.is_none() {
            assert_eq!(ack.accepted[0].1, self.acked.len() as u64 + 1, "the seq of the next message");
            self.next += 1;
            self.acked.push(body);
        }
        ack
    }

    fn bodies(&mut self) -> Vec<Vec<u8>> {
        self.peer.history(self.conversation).into_iter().map(|row| row.body).collect()
    }

    fn assert_history(&mut self, when: &str) {
        let bodies = self.bodies();
        assert!(bodies == self.acked, "{when}: {} messages in the history, {} acked", bodies.len(), self.acked.len());
    }

    /// Sends until one is taken: that has to be soon.
    fn assert_recovers(&mut self) {
        let start = Instant::now();
        while let Some(refusal) = self.send(100).refusal {
            assert_eq!(refusal, ErrorCode::StorageFull);
            assert!(start.elapsed() < RECOVERY_MAX, "the room is back, but messages are refused for {RECOVERY_MAX:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// What the command says of its failure.
fn assert_command_fails(server: &Server, arguments: &[&str], error: &str) {
    let ended = server.run(arguments);
    let line = ended.stderr.lines().find_map(|line| serde_json::from_str::<Value>(line).ok());
    assert_eq!(ended.code, Some(1), "{arguments:?}: {}", ended.stderr);
    let line = line.unwrap_or_else(|| panic!("{arguments:?} names no error: {}", ended.stderr));
    assert_eq!(line["error"], error, "{arguments:?}");
}

/// What the command prints: JSON, a line each.
fn command_lines(server: &Server, arguments: &[&str]) -> Vec<Value> {
    let ended = server.run(arguments).succeeded();
    ended.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[test]
fn below_the_reserve_sends_are_refused_and_all_else_goes_on() {
    let _shared = rig::among_others();
    let disk = Disk::mount(96);
    let mut server = rig::serve_in(disk.home(), &["store.reserve_bytes=25165824"]);
    let (alice, bob) = (server.add_user("alice"), server.add_user("bob"));
    let mut author = Author::new(&server, &alice, &bob);
    let mut listener = Peer::login(rig::address(&server), &bob.token);
    for _ in 0..5 {
        assert_eq!(author.send(1_000).refusal, None);
        assert_eq!(&listener.message().1.body, author.acked.last().expect("acked"));
    }

    let ballast = disk.fill(20 * MIB);
    std::thread::sleep(Duration::from_millis(150));
    let refused = rig::counted(&server, "error.storage_full", || author.send(10));
    let expected = Ack { accepted: Vec::new(), refusal: Some(ErrorCode::StorageFull), retry_after_ms: 0, ..refused };
    assert_eq!(author.send(10), expected);
    assert_eq!((expected.high, author.peer.open_peer(bob.user).1), (5, 5), "what is durable stays as it is");
    assert_command_fails(&server, &["send", "--as", "alice", "--to", "bob", "no room"], "storage_full");
    assert_command_fails(&server, &["user", "add", "carol"], "storage_full");
    author.assert_history("on the full disk");
    assert_eq!(command_lines(&server, &["history", "--as", "bob", "alice"]).len(), 5, "login and history go on");

    fs::remove_file(ballast).expect("the ballast is there");
    author.assert_recovers();
    assert_eq!(listener.message().1.body.len(), 100, "the live connection goes on");
    let sent = command_lines(&server, &["send", "--as", "alice", "--to", "bob", "room again"]);
    assert_eq!(sent[0]["seq"], 7);
    author.acked.push(b"room again".to_vec());
    author.assert_history("with room again");

    rig::restart(&mut server, "2", &["store.reserve_bytes=25165824"]);
    let mut again = Author::new(&server, &alice, &bob);
    again.acked.clone_from(&author.acked);
    again.assert_history("after the restart");
    assert_eq!(again.send(10).refusal, None);
    rig::assert_serves(&server, &alice, &bob);
}

#[test]
fn a_disk_that_is_full_inside_a_commit_loses_nothing() {
    let _shared = rig::among_others();
    let disk = Disk::mount(64);
    let settings = &["store.reserve_bytes=0"];
    let mut server = rig::serve_in(disk.home(), settings);
    let (alice, bob) = (server.add_user("alice"), server.add_user("bob"));
    let mut acked = Vec::new();
    for round in 0..ROUNDS {
        // A connection of its own each time: 60 messages at once are allowed.
        let mut author = Author::new(&server, &alice, &bob);
        author.acked = std::mem::take(&mut acked);
        assert_eq!(author.send(1_000).refusal, None, "round {round}");
        let ballast = disk.fill(MIB);
        let taken = author.acked.len();
        let refusal = (0..50).find_map(|_| author.send(50_000).refusal);
        assert_eq!(refusal, Some(ErrorCode::StorageFull), "round {round}: the disk is full");
        println!("round {round}: {} messages fitted behind the ballast", author.acked.len() - taken);
        assert_eq!(author.send(50_000).refusal, Some(ErrorCode::StorageFull), "round {round}: and stays so");
        author.assert_history("on the full disk");
        assert_command_fails(&server, &["send", "--as", "alice", "--to", "bob", "no room"], "storage_full");
        let shown = command_lines(&server, &["history", "--as", "bob", "alice"]);
        assert_eq!(shown.len(), author.acked.len(), "round {round}: login and history go on");
        fs::remove_file(ballast).expect("the ballast is there");
        author.assert_recovers();
        author.assert_history("with room again");
        acked = author.acked;
    }
    assert!(server.runs(), "the same process all the time");
    rig::restart(&mut server, "1", settings);
    let mut author = Author::new(&server, &alice, &bob);
    author.acked = acked;
    author.assert_history("after the restart");
    assert_eq!(author.send(10).refusal, None);
    rig::assert_serves(&server, &alice, &bob);
}
