//! Set-up: a log of 30,000 lines by 3,000 senders in two conversations over seven years, imported for one member. Claim: the
//! member reads exactly these lines in their order, with their senders' names and times that never go down; a look-up by date
//! finds the line that the log has then; `export` gives the log back, also with other numbers of shards and without a server,
//! and what it gives imports as the same messages.

use std::collections::BTreeSet;

use serde_json::Value;
use trunkline_tests::dice::Dice;
use trunkline_tests::server::{Server, run};

use crate::chat_log::{Line, assert_same, by_conversation, log, write};
use crate::output::{error_of, lines, members};
use crate::people::{enroll, serve};

const LINES: usize = 30_000;
const SENDERS: usize = 3_000;
/// Look-ups by date in each direction.
const DATES: usize = 12;

fn text<'a>(line: &'a Value, name: &str) -> &'a str {
    line[name].as_str().unwrap_or_else(|| panic!("no {name}: {line}"))
}

fn number(line: &Value, name: &str) -> u64 {
    line[name].as_u64().unwrap_or_else(|| panic!("no {name}: {line}"))
}

/// Reads a conversation as its member; (seq, ts) of its lines.
#[track_caller]
fn check_history(server: &Server, id: &str, wanted: &[&Line]) -> Vec<(u64, u64)> {
    let ended = server.run(["history", "--as", "reader", id]).succeeded();
    let told = lines(&ended.stdout);
    let (admission, said) = told.split_last().expect("lines");
    assert_eq!((text(admission, "change"), text(admission, "sender")), ("admitted", "0000000000000000"));
    assert_eq!(said.len(), wanted.len());
    let mut users = BTreeSet::new();
    let mut ts = 0;
    for ((told, wanted), seq) in said.iter().zip(wanted).zip(1..) {
        let names = ["conversation", "kind", "sender", "sender_name", "seq", "text", "ts"];
        assert_eq!(members(told), names);
        ts = wanted.sent_at_ms.max(ts);
        let told_as = (number(told, "seq"), text(told, "sender_name"), number(told, "ts"), text(told, "text"));
        assert_eq!(told_as, (seq, wanted.sender.as_str(), ts, wanted.text.as_str()));
        users.insert((text(told, "sender").to_owned(), wanted.sender.clone()));
    }
    let ids: BTreeSet<_> = users.iter().map(|(user, _)| user).collect();
    let names: BTreeSet<_> = users.iter().map(|(_, name)| name).collect();
    assert_eq!((ids.len(), names.len()), (users.len(), users.len()), "a name is a user, and a user is a name");
    said.iter().map(|told| (number(told, "seq"), number(told, "ts"))).collect()
}

/// From a date on, and before it.
#[track_caller]
fn check_date(server: &Server, id: &str, said: &[(u64, u64)], at_ms: u64) {
    let seqs = |reverse: &[&str]| -> Vec<u64> {
        let at = at_ms.to_string();
        let asked = ["history", "--as", "reader", id, "--at", &at, "--limit", "3"];
        let ended = server.run(asked.iter().chain(reverse)).succeeded();
        lines(&ended.stdout).iter().map(|line| number(line, "seq")).collect()
    };
    let first = said.iter().find(|(_, ts)| *ts >= at_ms).map_or(said.len() as u64 + 1, |(seq, _)| *seq);
    // Behind all lines stands the admission, at the time of the last one.
    let last = if said.last().is_some_and(|(_, ts)| *ts >= at_ms) { said.len() as u64 + 1 } else { 0 };
    assert_eq!(seqs(&[]), (first..=last).take(3).collect::<Vec<_>>(), "from {at_ms} on");
    let before = if last == 0 { said.len() as u64 + 1 } else { first - 1 };
    assert_eq!(seqs(&["--reverse"]), (1..=before).rev().take(3).collect::<Vec<_>>(), "before {at_ms}");
}

#[test]
fn counts_order_senders_times_and_dates() {
    let seed = Dice::cast();
    println!("seed {seed}");
    let log = log(seed, LINES, SENDERS);
    let mut server = serve("2", &[]);
    enroll(&server, ["reader", "stranger"]);
    let file = server.home().path().join("log.jsonl");
    write(&file, &log);
    let file = file.to_str().expect("a path");
    let import = ["import", file, "--member", "reader"];
    let imported = lines(&server.run(import).succeeded().stdout);
    let wanted = by_conversation(&log);
    assert_eq!(imported.len(), wanted.len());
    let mut dice = Dice::new(seed);
    for told in &imported {
        let (id, wanted) = (text(told, "conversation"), &wanted[text(told, "name")]);
        assert_eq!((number(told, "lines"), number(told, "new")), (wanted.len() as u64, wanted.len() as u64));
        let said = check_history(&server, id, wanted);
        let (first_ms, last_ms) = (said[0].1, said[said.len() - 1].1);
        for _ in 0..DATES {
            check_date(&server, id, &said, first_ms + dice.below(last_ms - first_ms));
        }
        for at_ms in [1, first_ms, first_ms + 1, last_ms, last_ms + 1] {
            check_date(&server, id, &said, at_ms);
        }
        assert_eq!(error_of(&server.run(["history", "--as", "stranger", id])), "not_found");
        assert_eq!(error_of(&server.run(["send", "--as", "reader", "--to", id, "me too"])), "forbidden");
    }
    assert_same(&server.run(["export"]).succeeded().stdout, &log);
    let again = lines(&server.run(import).succeeded().stdout);
    assert!(again.iter().all(|told| number(told, "new") == 0), "{again:?}");
    assert_eq!(server.counter("messages_stored"), LINES as u64 + 2, "the lines, and a member for each conversation");
    server.stop();
    let exported = run(&mut server.home().trunkline(["export"])).succeeded();
    assert!(exported.stderr.contains("opening the folder"));
    assert_same(&exported.stdout, &log);

    // What came out goes in again as what it was, here and elsewhere.
    let taken = server.home().path().join("export.jsonl");
    std::fs::write(&taken, &exported.stdout).expect("a file for the export");
    server.restart(&["--shards", "7"]);
    let again = server.run(["import".as_ref(), taken.as_os_str()]).succeeded();
    assert!(lines(&again.stdout).iter().all(|told| number(told, "new") == 0), "{again:?}");
    assert_same(&server.run(["export"]).succeeded().stdout, &log);
}
