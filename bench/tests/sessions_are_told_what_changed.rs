//! Sessions come back, and an account with many conversations syncs: what they are told is held against what was prepared,
//! over several pages, and a list that is behind ends the run.

#[allow(dead_code, reason = "each file uses its part")]
use std::net::SocketAddrV4;

use crate::server::{Conduct, start, users};
use trunkline_bench::prepared::Prepared;
use trunkline_bench::report::Report;
use trunkline_bench::{account, resume};

const RESUME: resume::Setting =
    resume::Setting { users: 40, members: 10, groups_each: 3, messages: 2, connecting_max: 7 };
const ACCOUNT: account::Setting = account::Setting { conversations: 50, changed: 9, helpers: 4, connecting_max: 4 };

fn figure(report: &Report, wanted: &str) -> f64 {
    report.figures.iter().find(|(name, _)| name == wanted).unwrap().1
}

fn prepared_sessions(server: SocketAddrV4) -> Prepared {
    let prepared = resume::prepare(server, &users(RESUME.users), &RESUME).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!((prepared.positions.len(), prepared.conversations.len()), (40, 12));
    assert!(prepared.positions.iter().all(|position| *position == 3));
    assert!(prepared.conversations.iter().all(|(_, last_seq)| *last_seq == 3));
    prepared
}

#[test]
fn when_they_come_back() {
    let server = start(Conduct::Good);
    let prepared = prepared_sessions(server);
    let outcome = resume::measure(server, &users(RESUME.users), &prepared, 2, 7, Some(std::process::id())).unwrap();
    assert_eq!((outcome.resumes, outcome.conversations, outcome.resyncs), (80, 240, 0));
    assert_eq!(outcome.to_synced.count, 80);
    let report = Report::of_resume(&prepared, &outcome, ("memory", 2, 7), Some(1));
    assert!(figure(&report, "resumes_per_s") > 0.0 && figure(&report, "received_bytes_per_resume") > 100.0);
    assert!((figure(&report, "conversations_per_resume") - 3.0).abs() < 1e-9);
}

#[test]
fn when_an_account_has_many_conversations() {
    let server = start(Conduct::Good);
    let users = users(ACCOUNT.users().unwrap());
    let (prepared, _) = account::prepare(server, &users, &ACCOUNT).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!((prepared.positions.as_slice(), prepared.changed.len()), (&[100][..], 9));
    let outcome = account::measure(server, &users[..1], &prepared, 3, 2, Some(std::process::id())).unwrap();
    let (changes, all) = (&outcome.changes, &outcome.all);
    assert_eq!((changes.conversations, changes.pages, changes.spent.count), (9, 2, 3));
    assert_eq!((all.conversations, all.pages, all.spent.count), (50, 8, 2));
    assert!(!outcome.is_resync && all.bytes > changes.bytes);
    let report = Report::of_account(&prepared, &outcome, "memory", true);
    assert!(figure(&report, "all_bytes") > figure(&report, "changes_bytes"));
}

#[test]
fn and_a_list_that_is_behind_is_noticed() {
    let server = start(Conduct::Forgets);
    let prepared = prepared_sessions(server);
    let failure = resume::measure(server, &users(RESUME.users), &prepared, 1, 7, None).unwrap_err();
    assert!(failure.to_string().contains("or other seqs") && failure.exit_code() == 1, "{failure}");
    let failure = account::prepare(server, &users(5), &ACCOUNT).unwrap_err();
    assert!(failure.to_string().contains("a Sync from 0"), "{failure}");
}
