//! A process that appends is killed (SIGKILL) at ten arbitrary moments, each time opening what the last kill left.
//! Every row it had reported as acked is there with its content, and the group under way is there wholly or not at all.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::folder;
use crate::rows::*;
use trunkline_shards::store::StoreResult;
use trunkline_storage::{Options, Write, embedded};

const ROUNDS: u64 = 10;
const CONVERSATIONS: u8 = 8;

/// How many rows group `group` (from 1) adds to a conversation.
fn rows_in(group: u64, conversation: u8) -> u64 {
    if group == 1 { 1 } else { (group * 7 + u64::from(conversation) * 3) % 4 }
}

fn body(conversation: u8, seq: u64) -> Vec<u8> {
    let mut state = seq << 8 | u64::from(conversation);
    let mut next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 33) as u32
    };
    let bytes = next() % 6000;
    (0..bytes).map(|_| next() as u8).collect()
}

fn open(path: &Path) -> Store {
    let (log, index) = embedded::open(path, Options::default()).unwrap_or_else(|error| panic!("{error}"));
    Store { log: Box::new(log), index, folder: None }
}

/// The group up to which the store holds exactly the rows of all groups.
fn check(store: &Store) -> u64 {
    let last_seqs: Vec<u64> = (0..CONVERSATIONS)
        .map(|number| {
            let all = store.all(key(number));
            for (at, row) in all.iter().enumerate() {
                assert_eq!(row.seq, at as u64 + 1, "conversation {number} has a gap");
                assert_eq!(row.body[..], body(number, row.seq)[..], "conversation {number}, seq {}", row.seq);
            }
            all.len() as u64
        })
        .collect();
    let mut sums = vec![0; usize::from(CONVERSATIONS)];
    let mut group = 0;
    while sums != last_seqs {
        group += 1;
        sums.iter_mut().zip(0..).for_each(|(sum, number)| *sum += rows_in(group, number));
        let is_beyond = sums.iter().zip(&last_seqs).any(|(sum, last)| sum > last);
        assert!(!is_beyond, "a part of group {group} is there: {last_seqs:?}");
    }
    group
}

/// Runs in a process of its own, which is killed.
#[test]
fn appends_until_killed() {
    let Ok(path) = std::env::var("TRUNKLINE_TEST_STORE") else { return };
    let mut store = open(Path::new(&path));
    let mut group = check(&store);
    loop {
        group += 1;
        let writes: Vec<Write> = (0..CONVERSATIONS)
            .filter(|number| rows_in(group, *number) > 0)
            .map(|number| {
                let before: u64 = (1..group).map(|earlier| rows_in(earlier, number)).sum();
                let seqs = before + 1..=before + rows_in(group, number);
                append(key(number), seqs.map(|seq| row(seq, &body(number, seq))).collect())
            })
            .collect();
        let results = store.commit(&writes);
        assert!(results.iter().all(|result| matches!(result, StoreResult::Appended(Ok(_)))), "{results:?}");
        println!("\nacked {group}");
    }
}

#[test]
fn acked_rows_survive_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let mut acked = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", "acked_rows_survive_kill::appends_until_killed", "--nocapture"])
            .env("TRUNKLINE_TEST_STORE", &path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let (told, is_acking) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            let groups =
                lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("acked ")?.parse::<u64>().ok());
            groups.inspect(|group| told.send(*group).unwrap_or_default()).last()
        });
        // The moment is arbitrary, but not before it is at work: how long opening takes is up to the machine.
        is_acking.recv_timeout(Duration::from_secs(30)).expect("it gets to work");
        std::thread::sleep(Duration::from_millis(20 + round * 23));
        child.kill().expect("running");
        child.wait().expect("killed");
        acked = acked.max(reader.join().expect("read").unwrap_or(0));

        // A copy is looked at, so that the next round opens what the kill left and nothing tidier.
        let image = folder.path().join(format!("image-{round}"));
        folder::copy(&path, &image);
        let found = check(&open(&image));
        println!("round {round}: {acked} groups acked, {found} found");
        assert!((acked..=acked + 1).contains(&found), "{acked} groups acked, {found} found");
        std::fs::remove_dir_all(image).expect("removable");
    }
    assert!(acked >= 2 * ROUNDS, "only {acked} groups were acked: the test shows little");
}
