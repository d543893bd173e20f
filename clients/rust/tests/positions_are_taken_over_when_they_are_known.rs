//! Set-up: a client and its list, at a server that is the test.
//! Claim: a position is taken over from a list that was read to its end, or from an `Advanced` that begins no later and
//! names nothing that is missing; else the client asks. What it stores it goes on from.

use crate::line;
use crate::line::{Asked, CHAT, Line, ME, row, seqs};
use trunkline_client::core::{ClientEvent, Follow, State};
use trunkline_client::outbox::MemoryOutbox;
use trunkline_wire::ids::ConversationId;
use trunkline_wire::message::{ErrorCode, Summary, UserReceipt};

const OTHER: ConversationId = ConversationId([8; 16]);

/// A client at position 10, with 5 messages in the conversation.
fn at_ten() -> Line {
    let mut line = Line::new(Follow::FromNow, 1);
    line.welcome();
    let (sync, asked) = line.one();
    assert_eq!(asked, Asked::Sync(Some(0), 0));
    line.synced(sync, (0, 10), &[Summary { last_seq: 5, ..row(10) }]);
    line.events();
    assert_eq!(line.client.position(), 10);
    line
}

fn advance(line: &mut Line, from: u64, to: u64, places: &[(ConversationId, u64)]) {
    line.tell(|encoder| encoder.advanced(from, to, places));
}

/// The next thing the client asks, after what it waits for.
fn asks_next(line: &mut Line) -> (u32, Asked) {
    let before = line.now_ms;
    line.wait();
    assert!(line.now_ms - before <= 300, "it asks after a moment");
    line.one()
}

#[test]
fn what_is_known_is_taken_over_without_asking() {
    let mut line = at_ten();
    line.push(6);
    advance(&mut line, 10, 11, &[(CHAT, 6)]);
    assert_eq!((line.client.position(), line.asked()), (11, vec![]));
    assert!(line.events().contains(&ClientEvent::Position { position: 11, places: vec![(CHAT, 6)] }));
    advance(&mut line, 8, 11, &[(CHAT, 6)]);
    advance(&mut line, 11, 11, &[]);
    assert_eq!((line.client.position(), line.asked()), (11, vec![]), "old news");
}

#[test]
fn a_message_that_is_under_way_may_come_a_moment_later() {
    let mut line = at_ten();
    advance(&mut line, 10, 12, &[(CHAT, 7)]);
    line.push(6);
    assert_eq!(line.client.position(), 10);
    line.push(7);
    assert_eq!((line.client.position(), line.asked()), (12, vec![]));
}

#[test]
fn a_lost_message_or_a_lost_advance_leads_to_a_sync() {
    let mut line = at_ten();
    advance(&mut line, 10, 12, &[(CHAT, 7)]);
    let (sync, asked) = asks_next(&mut line);
    assert_eq!(asked, Asked::Sync(Some(10), 0));
    line.synced(sync, (10, 12), &[Summary { last_seq: 7, ..row(12) }]);
    let (history, asked) = line.one();
    assert_eq!((asked, line.client.position()), (Asked::History(6), 10), "listed is not yet told");
    line.page(history, 6..=7, 7);
    assert_eq!((seqs(&line.events()), line.client.position()), (vec![6, 7], 12));
    // From 14 on: what lies between is not there.
    line.push(8);
    advance(&mut line, 14, 15, &[(CHAT, 8)]);
    let (sync, asked) = line.one();
    assert_eq!(asked, Asked::Sync(Some(12), 0));
    line.synced(sync, (12, 15), &[Summary { last_seq: 8, ..row(15) }]);
    assert_eq!((line.client.position(), line.asked()), (15, vec![]));
}

#[test]
fn the_end_of_pull_mode_leads_to_a_sync() {
    let mut line = at_ten();
    advance(&mut line, 20, 20, &[]);
    let (sync, asked) = line.one();
    assert_eq!(asked, Asked::Sync(Some(10), 0));
    // The answer was made before the last change: it is asked again, but not in a hurry.
    line.synced(sync, (10, 19), &[]);
    assert_eq!(line.asked(), []);
    let before = line.now_ms;
    line.wait();
    assert!(line.now_ms - before >= 500, "{}", line.now_ms - before);
    assert_eq!(line.one().1, Asked::Sync(Some(19), 0));
}

/// The store was asked for the list before what was read changed, and answers late.
#[test]
fn what_was_told_before_the_list_came_is_asked_for() {
    for (from, resync) in [(0, true), (10, false)] {
        let mut line = at_ten();
        advance(&mut line, 20, 20, &[]);
        let (sync, asked) = line.one();
        assert_eq!(asked, Asked::Sync(Some(10), 0));
        line.tell(|encoder| encoder.receipts(OTHER, &[UserReceipt { user: ME, delivered_seq: 3, read_seq: 2 }]));
        advance(&mut line, 18, 21, &[(OTHER, 3)]);
        let other = Summary { conversation: OTHER, last_seq: 3, read_seq: 1, ..row(19) };
        let rows = [other, Summary { last_seq: 5, ..row(12) }];
        line.tell(|encoder| encoder.synced(sync, (from, 20), &rows, false, resync));
        let (history, asked) = line.one();
        assert_eq!(asked, Asked::History(1));
        line.tell(|encoder| encoder.error(history, ErrorCode::NotFound, "", 0));
        line.wait();
        let (next, asked) = line.one();
        assert_eq!(asked, Asked::Sync(Some(20), 0), "resync: {resync}");
        line.synced(next, (20, 21), &[Summary { read_seq: 2, user_seq: 21, ..other }]);
        let listed = line.client.conversations().find(|summary| summary.conversation == OTHER).map(|row| row.read_seq);
        assert_eq!(listed, Some(2));
    }
}

#[test]
fn a_list_counts_when_its_last_page_is_there() {
    let mut line = Line::new(Follow::FromStart, 1);
    line.welcome();
    let (sync, _) = line.one();
    let first = Summary { conversation: OTHER, last_seq: 1, ..row(9) };
    line.tell(|encoder| encoder.synced(sync, (0, 9), &[first], true, false));
    let asked = line.asked();
    let [(history, Asked::History(1)), (sync, Asked::Sync(Some(0), 9))] = asked[..] else {
        let [(sync, Asked::Sync(Some(0), 9)), (history, Asked::History(1))] = asked[..] else { panic!("{asked:?}") };
        return assert!(sync != history);
    };
    assert_eq!(line.client.position(), 0);
    line.tell(|encoder| encoder.error(history, ErrorCode::NotFound, "", 0));
    line.synced(sync, (0, 9), &[Summary { last_seq: 0, ..row(4) }]);
    assert_eq!(line.client.position(), 9);
    let listed: Vec<ConversationId> = line.client.conversations().map(|summary| summary.conversation).collect();
    assert_eq!(listed, [OTHER], "without messages it is none of the list");
}

#[test]
fn what_changed_while_the_pages_were_read_is_asked_for() {
    let mut line = Line::new(Follow::FromNow, 1);
    line.welcome();
    let (sync, _) = line.one();
    let first = Summary { conversation: OTHER, last_seq: 1, ..row(9) };
    line.tell(|encoder| encoder.synced(sync, (0, 9), &[first], true, false));
    let (sync, _) = line.one();
    // The other conversation changed between the pages, and is in neither.
    line.synced(sync, (0, 10), &[]);
    let (sync, asked) = line.one();
    assert_eq!(asked, Asked::Sync(Some(9), 0));
    line.synced(sync, (9, 10), &[Summary { last_seq: 500, ..row(10) }]);
    assert!(line.events().contains(&ClientEvent::Synced));
    assert_eq!((line.client.position(), line.asked()), (10, vec![]), "its 500 messages lie before the present");
}

#[test]
fn a_list_that_replaces_another_leaves_nothing_of_it() {
    let mut line = at_ten();
    line.cut();
    line.welcome();
    let (sync, asked) = line.one();
    assert_eq!(asked, Asked::Sync(Some(10), 0));
    let other = Summary { conversation: OTHER, last_seq: 0, ..row(3) };
    line.tell(|encoder| encoder.synced(sync, (0, 4), &[Summary { last_seq: 5, ..row(4) }, other], false, true));
    assert_eq!(line.client.position(), 4);
    line.cut();
    line.welcome();
    let (sync, asked) = line.one();
    assert_eq!(asked, Asked::Sync(Some(4), 0));
    line.tell(|encoder| encoder.synced(sync, (0, 2), &[], false, true));
    assert_eq!((line.client.position(), line.client.conversations().count()), (2, 0));
    assert!(line.events().contains(&ClientEvent::ConversationRemoved { conversation: CHAT }));
}

#[test]
fn what_a_list_lost_is_not_known_though_its_messages_were_told() {
    let mut line = at_ten();
    line.cut();
    line.welcome();
    let (sync, _) = line.one();
    // A server that was just started, and has yet to announce the conversation.
    line.tell(|encoder| encoder.synced(sync, (0, 4), &[], false, true));
    assert_eq!(line.client.conversations().count(), 0);
    advance(&mut line, 4, 5, &[(CHAT, 5)]);
    let (sync, asked) = asks_next(&mut line);
    assert_eq!(asked, Asked::Sync(Some(4), 0));
    line.synced(sync, (4, 5), &[Summary { last_seq: 5, ..row(5) }]);
    assert_eq!((line.client.position(), line.client.conversations().count()), (5, 1));
}

#[test]
fn a_program_goes_on_from_what_it_stored() {
    let mut line = at_ten();
    let mut state = State::default();
    line.push(6);
    advance(&mut line, 10, 11, &[(CHAT, 6)]);
    // The list was told before: the snapshot has it all.
    for event in line.events() {
        state.apply(&event);
    }
    assert_eq!((state.position, &state.places), (11, &[(CHAT, 6)].into()));
    let stored = line.client.snapshot();
    assert_eq!((stored.position, &stored.places), (11, &state.places));
    let stored = State::decode(&stored.encode()).expect("it is whole");
    let mut next = Line::with_outbox(Follow::Behind(stored), 2, MemoryOutbox::default());
    assert_eq!(next.client.conversations().count(), 1, "the list is there before a connection");
    next.welcome();
    let (sync, asked) = next.one();
    assert_eq!(asked, Asked::Sync(Some(11), 0));
    next.synced(sync, (11, 13), &[Summary { last_seq: 8, ..row(13) }]);
    let (history, asked) = next.one();
    assert_eq!(asked, Asked::History(7));
    next.page(history, 7..=8, 8);
    assert_eq!(seqs(&next.events()), [7, 8]);
}

#[test]
fn a_device_that_stores_nothing_goes_on_behind_what_it_confirmed() {
    let mut line = Line::new(Follow::Stored, 1);
    line.welcome();
    let (sync, asked) = line.one();
    assert_eq!(asked, Asked::Sync(None, 0));
    line.synced(sync, (30, 31), &[Summary { last_seq: 9, ..row(31) }]);
    let (open, asked) = line.one();
    assert_eq!(asked, Asked::Open);
    let opened = trunkline_wire::message::Opened { last_seq: 9, delivered_seq: 7, ..line::opened() };
    line.tell(|encoder| encoder.opened(open, &opened));
    let (history, asked) = line.one();
    assert_eq!(asked, Asked::History(8));
    line.page(history, 8..=9, 9);
    assert_eq!(seqs(&line.events()), [8, 9]);
    // The position is stored once all that it describes is confirmed.
    line.client.mark_delivered(line.now_ms, CHAT, 8);
    let (report, asked) = line.one();
    assert_eq!(asked, Asked::Report(0, vec![(CHAT, 8, 0)]));
    line.tell(|encoder| encoder.done(report));
    line.client.mark_delivered(line.now_ms, CHAT, 9);
    line.wait();
    assert_eq!(line.one().1, Asked::Report(31, vec![(CHAT, 9, 0)]));
}

#[test]
fn a_device_of_which_nothing_is_stored_begins_now_and_stores_that() {
    let mut line = Line::new(Follow::Stored, 1);
    line.welcome();
    let (sync, _) = line.one();
    line.synced(sync, (30, 30), &[]);
    let (report, asked) = line.one();
    assert_eq!(asked, Asked::Report(30, vec![]));
    line.tell(|encoder| encoder.done(report));
    line.push(7);
    line.open(&trunkline_wire::message::Opened { last_seq: 7, ..line::opened() });
    assert_eq!(seqs(&line.events()), [7]);
}
