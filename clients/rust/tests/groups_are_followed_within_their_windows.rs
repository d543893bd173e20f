//! Set-up: a group whose members come and go, at a server that is the test.
//! Claim: a user is told what lies between joining and leaving, and nothing of the rest is called lost; a group is made
//! once, however often connections are lost.

use crate::line::{Asked, CHAT, Line, ME, change, membership, message, opened, row, seqs};
use trunkline_client::core::{Change, ClientEvent, ContentKind, Follow, RequestError, SendError};
use trunkline_wire::ids::UserId;
use trunkline_wire::message::{ErrorCode, Message, Opened, Page, Summary};

/// A client that follows everything, and what it is told of the group.
fn with(summary: Option<Summary<'static>>) -> Line {
    let mut line = Line::new(Follow::FromStart, 1);
    line.welcome();
    let (sync, _) = line.one();
    let rows: Vec<Summary<'_>> = summary.into_iter().collect();
    line.synced(sync, (0, 10), &rows);
    line
}

fn group(last_seq: u64, joined_seq: u64, left_seq: u64) -> Summary<'static> {
    Summary { kind: 2, last_seq, joined_seq, left_seq, title: "Team", ..row(10) }
}

fn changed(line: &mut Line, seq: u64, what: Change) {
    let body = change(what, &[ME]);
    line.tell(|encoder| encoder.message(CHAT, &membership(seq, &body)));
}

fn answer_history<'a>(line: &mut Line, request: u32, messages: &[Message<'a>], last_seq: u64) {
    let page = Page { conversation: CHAT, epoch: 1, more: false, last_seq };
    line.tell(|encoder| encoder.history_page(request, &page, messages.iter().copied(), &[]));
}

fn missed(events: &[ClientEvent]) -> bool {
    events.iter().any(|event| matches!(event, ClientEvent::Missed { .. }))
}

#[test]
fn a_feed_begins_where_the_user_joined() {
    let mut line = with(Some(group(12, 10, 0)));
    let (history, asked) = line.one();
    assert_eq!(asked, Asked::History(10));
    line.page(history, 10..=12, 12);
    let events = line.events();
    assert_eq!((seqs(&events), missed(&events)), (vec![10, 11, 12], false));
    let summary = line.client.conversation(CHAT).unwrap();
    assert_eq!((summary.unread(), summary.title.as_deref(), summary.is_member()), (3, Some("Team"), true));
}

#[test]
fn who_left_is_caught_up_to_there_and_no_further() {
    let mut line = with(Some(group(4, 1, 4)));
    let (history, asked) = line.one();
    assert_eq!(asked, Asked::History(1));
    line.page(history, 1..=4, 4);
    assert_eq!(seqs(&line.events()), [1, 2, 3, 4]);
    line.now_ms += 60_000;
    line.client.handle_timeout(line.now_ms);
    assert_eq!(line.asked(), []);
    assert!(!line.client.conversation(CHAT).unwrap().is_member());
}

#[test]
fn the_message_that_removes_is_the_last_one() {
    let mut line = with(Some(group(0, 1, 0)));
    line.push(1);
    changed(&mut line, 3, Change::Removed);
    // What claims to lie behind it does not exist for this user.
    line.tell(|encoder| encoder.advanced(10, 11, &[(CHAT, 3)]));
    line.now_ms += 250;
    line.client.handle_timeout(line.now_ms);
    let asked = line.asked();
    let history = asked.iter().find(|(_, asked)| *asked == Asked::History(2)).expect("2 is missing").0;
    let body = change(Change::Removed, &[ME]);
    answer_history(&mut line, history, &[message(2), membership(3, &body)], 3);
    let events = line.events();
    assert_eq!((seqs(&events), missed(&events)), (vec![1, 2, 3], false));
    let summary = line.client.conversation(CHAT).unwrap();
    assert_eq!((summary.last_seq, summary.left_seq), (3, Some(3)));
}

#[test]
fn what_was_said_while_the_user_was_out_is_not_called_lost() {
    let mut line = with(Some(group(0, 1, 0)));
    line.push(1);
    changed(&mut line, 2, Change::Removed);
    changed(&mut line, 8, Change::Added);
    line.push(9);
    let events = line.events();
    assert_eq!((seqs(&events), missed(&events), line.asked()), (vec![1, 2, 8, 9], false, vec![]));
    let summary = line.client.conversation(CHAT).unwrap();
    assert_eq!((summary.joined_seq, summary.left_seq, summary.last_seq), (8, None, 9));
}

#[test]
fn a_window_that_was_missed_altogether_is_not_called_lost_either() {
    // Removed at 3 and added at 8, and nobody said so before 9 came.
    let mut line = with(Some(group(0, 1, 0)));
    line.push(1);
    line.push(9);
    line.wait();
    let (history, asked) = line.one();
    assert_eq!(asked, Asked::History(2));
    let body = change(Change::Added, &[ME]);
    answer_history(&mut line, history, &[membership(8, &body), message(9)], 9);
    let events = line.events();
    assert_eq!((seqs(&events), missed(&events)), (vec![1, 8, 9], false));
    // The list says it as well.
    let mut line = with(Some(group(0, 1, 0)));
    line.push(1);
    line.cut();
    line.welcome();
    let (sync, _) = line.one();
    line.synced(sync, (10, 12), &[Summary { user_seq: 12, ..group(9, 8, 0) }]);
    let (history, asked) = line.one();
    assert_eq!(asked, Asked::History(8));
    line.page(history, 8..=9, 9);
    let events = line.events();
    assert_eq!((seqs(&events), missed(&events)), (vec![8, 9], false));
}

#[test]
fn history_that_is_forbidden_is_not_asked_again() {
    let mut line = with(Some(group(4, 1, 4)));
    let (history, _) = line.one();
    line.tell(|encoder| encoder.error(history, ErrorCode::Forbidden, "", 0));
    line.now_ms += 60_000;
    line.client.handle_timeout(line.now_ms);
    assert_eq!(line.asked(), []);
    let events = line.events();
    assert!(events.contains(&ClientEvent::Missed { conversation: CHAT, from_seq: 1, to_seq: 4 }), "{events:?}");
    assert!(events.contains(&ClientEvent::Synced));
}

#[test]
fn a_group_of_which_a_message_comes_first_is_opened_to_learn_where_it_begins() {
    let mut line = with(None);
    line.push(7);
    line.wait();
    let (open, asked) = line.one();
    assert_eq!((asked, seqs(&line.events())), (Asked::Open, vec![]));
    let opened = Opened { kind: 2, title: "Team", last_seq: 7, joined_seq: 6, ..opened() };
    line.tell(|encoder| encoder.opened(open, &opened));
    let (history, asked) = line.one();
    assert_eq!(asked, Asked::History(6));
    line.page(history, 6..=6, 7);
    let events = line.events();
    assert_eq!((seqs(&events), missed(&events)), (vec![6, 7], false));
    assert_eq!(line.client.conversation(CHAT).unwrap().title.as_deref(), Some("Team"));
}

#[test]
fn a_group_is_made_once() {
    let mut line = Line::new(Follow::Nothing, 1);
    let request = line.client.create_group(line.now_ms, "Team", &[UserId(2)]);
    let mut nonces = Vec::new();
    for _ in 0..10 {
        line.welcome();
        let (_, Asked::CreateGroup(nonce)) = line.one() else { panic!("it is asked for again") };
        nonces.push(nonce);
        line.cut();
    }
    nonces.dedup();
    assert!(nonces.len() == 1 && nonces[0] != 0, "{nonces:?}");
    line.client.create_group(line.now_ms, "Team", &[UserId(2)]);
    line.welcome();
    let asked = line.asked();
    let [(create, Asked::CreateGroup(_)), (_, Asked::CreateGroup(other))] = asked[..] else { panic!("{asked:?}") };
    assert_ne!(other, nonces[0], "another group");
    line.tell(|encoder| encoder.opened(create, &Opened { kind: 2, title: "Team", last_seq: 1, role: 2, ..opened() }));
    let events = line.events();
    let made = events.iter().find_map(|event| match event {
        ClientEvent::Opened { request: of, opened } if *of == request => Some(opened),
        _ => None,
    });
    assert_eq!(made.expect("it is made").title.as_deref(), Some("Team"), "{events:?}");
}

#[test]
fn changes_of_members_have_their_answers() {
    let mut line = with(Some(group(3, 1, 0)));
    let (history, _) = line.one();
    line.page(history, 1..=3, 3);
    line.events();
    line.client.change_members(line.now_ms, CHAT, Change::Added, &[UserId(5)]);
    let (request, asked) = line.one();
    assert_eq!(asked, Asked::ChangeMembers);
    line.tell(|encoder| encoder.members_changed(request, CHAT, 1, 4));
    assert!(matches!(line.events()[..], [ClientEvent::MembersChanged { seq: Some(4), .. }]));
    // The message that says so may come to the others only.
    line.wait();
    assert_eq!(line.one().1, Asked::History(4));
    line.client.change_members(line.now_ms, CHAT, Change::Added, &[UserId(6)]);
    let (request, _) = line.one();
    line.tell(|encoder| encoder.error(request, ErrorCode::GroupFull, "", 0));
    let refused = RequestError::Refused { code: ErrorCode::GroupFull, retry_after_ms: 0 };
    assert!(matches!(line.events()[..], [ClientEvent::RequestFailed { error, .. }] if error == refused));
}

#[test]
fn what_only_the_server_writes_is_not_taken() {
    let mut line = Line::new(Follow::Nothing, 1);
    let body = change(Change::Added, &[ME]);
    let refused = line.client.send(line.now_ms, CHAT, ContentKind::Membership, &body);
    assert!(matches!(refused, Err(SendError::Invalid)));
    assert_eq!(line.client.pending().count(), 0);
}
