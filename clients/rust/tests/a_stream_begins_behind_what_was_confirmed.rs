//! Set-up: a client that stores nothing, at a server that is the test, whose list may lag behind what is stored.
//! Claim: of each conversation it is told all behind what its device confirmed; where it confirmed nothing, all behind
//! what was there when the device first came, as far as the program knows that.

use crate::line::{Asked, CHAT, Line, opened, row, seqs};
use trunkline_client::core::Follow;
use trunkline_wire::message::{Opened, Summary};

/// A client whose device has stored position 30, of which the list names these rows.
fn listening(follow: Follow, rows: &[Summary<'_>]) -> Line {
    let mut line = Line::new(follow, 1);
    line.welcome();
    let (sync, asked) = line.one();
    assert_eq!(asked, Asked::Sync(None, 0));
    line.synced(sync, (30, 30 + rows.len() as u64), rows);
    if rows.is_empty() {
        let (report, asked) = line.one();
        assert_eq!(asked, Asked::Report(30, vec![]));
        line.tell(|encoder| encoder.done(report));
    }
    line
}

/// It asks for these messages, gets them, and tells them.
fn is_told(line: &mut Line, expected: std::ops::RangeInclusive<u64>) {
    let (history, asked) = line.one();
    assert_eq!(asked, Asked::History(*expected.start()));
    line.page(history, expected.clone(), *expected.end());
    assert_eq!(seqs(&line.events()), expected.collect::<Vec<_>>());
}

#[test]
fn though_the_list_does_not_name_it_yet() {
    let mut line = listening(Follow::Stored, &[]);
    line.push(9);
    assert_eq!(seqs(&line.events()), [], "6 to 8 may be stored and not announced");
    line.open(&Opened { last_seq: 9, delivered_seq: 5, ..opened() });
    is_told(&mut line, 6..=9);
}

#[test]
fn though_the_program_opens_it() {
    let mut line = listening(Follow::Stored, &[]);
    line.client.open(line.now_ms, CHAT);
    line.open(&Opened { last_seq: 12, delivered_seq: 1, ..opened() });
    line.wait();
    is_told(&mut line, 2..=12);
}

#[test]
fn though_it_is_pushed_while_the_list_is_read() {
    let mut line = Line::new(Follow::Stored, 1);
    line.welcome();
    let (sync, _) = line.one();
    line.push(9);
    line.synced(sync, (30, 30), &[]);
    let asked = line.asked();
    let open = asked.iter().find(|(_, asked)| *asked == Asked::Open).unwrap_or_else(|| panic!("{asked:?}")).0;
    line.tell(|encoder| encoder.opened(open, &Opened { last_seq: 9, delivered_seq: 5, ..opened() }));
    let asked = line.asked();
    assert!(asked.iter().any(|(_, asked)| *asked == Asked::History(6)), "{asked:?}");
}

#[test]
fn though_it_was_opened_before_the_first_list_and_changed_since() {
    let mut line = Line::new(Follow::Stored, 1);
    line.welcome();
    let _ = line.one();
    line.client.open(line.now_ms, CHAT);
    line.open(&Opened { last_seq: 5, delivered_seq: 2, ..opened() });
    line.wait();
    is_told(&mut line, 3..=5);
    // The answer to its list was lost, and 6 was stored while it was away.
    line.cut();
    line.welcome();
    let asked = line.asked();
    let sync = asked.iter().find(|(_, asked)| *asked == Asked::Sync(None, 0)).unwrap_or_else(|| panic!("{asked:?}")).0;
    line.synced(sync, (30, 30), &[]);
    line.open(&Opened { last_seq: 6, delivered_seq: 2, ..opened() });
    is_told(&mut line, 6..=6);
}

#[test]
fn though_a_server_that_crashed_does_not_name_it_again() {
    let mut line = Line::new(Follow::Stored, 1);
    line.welcome();
    let (sync, _) = line.one();
    let changed = Summary { last_seq: 8, ..row(31) };
    line.tell(|encoder| encoder.synced(sync, (30, 31), &[changed], true, false));
    line.cut();
    line.welcome();
    let (sync, _) = line.one();
    line.synced(sync, (30, 30), &[]);
    line.open(&Opened { last_seq: 8, ..opened() });
    is_told(&mut line, 1..=8);
}

#[test]
fn or_behind_what_was_there_when_the_device_came() {
    let changed = Summary { last_seq: 8, ..row(31) };
    let mut line = listening(Follow::StoredSince([(CHAT, 5)].into()), &[changed]);
    line.open(&Opened { last_seq: 8, ..opened() });
    is_told(&mut line, 6..=8);
    let mut line = listening(Follow::StoredSince([(CHAT, 5)].into()), &[]);
    line.push(7);
    line.open(&Opened { last_seq: 7, ..opened() });
    is_told(&mut line, 6..=7);
}

#[test]
fn and_with_the_first_message_where_nothing_was_there() {
    let mut line = listening(Follow::StoredSince([].into()), &[]);
    line.push(3);
    line.open(&Opened { last_seq: 3, ..opened() });
    is_told(&mut line, 1..=3);
}

#[test]
fn and_of_a_group_that_it_made_with_the_first() {
    let mut line = listening(Follow::Stored, &[]);
    line.client.create_group(line.now_ms, "a group", &[]);
    let (request, asked) = line.one();
    assert!(matches!(asked, Asked::CreateGroup(_)), "{asked:?}");
    line.tell(|encoder| encoder.opened(request, &Opened { last_seq: 1, ..opened() }));
    line.push(2);
    line.wait();
    is_told(&mut line, 1..=2);
}
