//! Set-up: a program that marks, and others who read and type, at a server that is the test.
//! Claim: marks are reported together, at most every half second, never lower, and again on the next connection; what
//! others do is told when it is more than before; typing is told seldom and ends by itself.

use crate::line::{Asked, CHAT, Line, ME, row};
use trunkline_client::core::{ClientEvent, Follow, UserReceipt};
use trunkline_client::limits::REPORT_EVERY_MS;
use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::limits::REPORT_RECEIPTS_MAX;
use trunkline_wire::message::{ErrorCode, Summary, UserReceipt as Told};

/// A client with ten messages that nobody has read.
fn with_ten() -> Line {
    let mut line = Line::new(Follow::FromNow, 1);
    line.welcome();
    let (sync, _) = line.one();
    line.synced(sync, (0, 1), &[Summary { last_seq: 10, ..row(1) }]);
    line.events();
    line
}

#[test]
fn marks_are_reported_together_and_never_fall() {
    let mut line = with_ten();
    line.client.mark_delivered(line.now_ms, CHAT, 3);
    let (first, asked) = line.one();
    assert_eq!(asked, Asked::Report(0, vec![(CHAT, 3, 0)]), "the first at once");
    line.client.mark_delivered(line.now_ms, CHAT, 7);
    line.client.mark_read(line.now_ms, CHAT, 5);
    line.client.mark_delivered(line.now_ms, CHAT, 6);
    assert_eq!(line.asked(), [], "one at a time");
    let reported_at = line.now_ms;
    line.tell(|encoder| encoder.done(first));
    line.wait();
    assert_eq!(line.now_ms - reported_at, REPORT_EVERY_MS);
    let (second, asked) = line.one();
    assert_eq!(asked, Asked::Report(0, vec![(CHAT, 7, 5)]));
    assert!(!line.client.is_reported());
    line.tell(|encoder| encoder.done(second));
    assert!(line.client.is_reported());
    line.client.mark_read(line.now_ms + 10_000, CHAT, 5);
    line.client.mark_delivered(line.now_ms, CHAT, 7);
    assert_eq!(line.asked(), [], "nothing new");
}

#[test]
fn what_was_read_no_longer_counts_as_unread() {
    let mut line = with_ten();
    assert_eq!(line.client.conversation(CHAT).unwrap().unread(), 10);
    line.client.mark_read(line.now_ms, CHAT, 4);
    assert_eq!(line.client.conversation(CHAT).unwrap().unread(), 6);
    // Another device of the user goes further.
    let receipt = Told { user: ME, delivered_seq: 9, read_seq: 9 };
    line.tell(|encoder| encoder.receipts(CHAT, &[receipt]));
    assert_eq!(line.client.conversation(CHAT).unwrap().unread(), 1);
}

#[test]
fn a_report_holds_as_many_as_it_may_and_the_rest_follows() {
    let mut line = with_ten();
    line.client.mark_delivered(line.now_ms, CHAT, 1);
    let (report, _) = line.one();
    for number in 0..REPORT_RECEIPTS_MAX as u16 + 10 {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&number.to_be_bytes());
        line.client.mark_delivered(line.now_ms, ConversationId(id), 1);
    }
    line.tell(|encoder| encoder.done(report));
    let mut lengths = Vec::new();
    for _ in 0..2 {
        line.wait();
        let (report, Asked::Report(0, receipts)) = line.one() else { panic!("no report") };
        lengths.push(receipts.len());
        line.tell(|encoder| encoder.done(report));
    }
    assert_eq!(lengths, [REPORT_RECEIPTS_MAX, 10]);
}

#[test]
fn a_refused_report_is_repeated_and_one_without_an_answer_too() {
    let mut line = with_ten();
    line.client.mark_read(line.now_ms, CHAT, 3);
    let (report, _) = line.one();
    line.tell(|encoder| encoder.error(report, ErrorCode::Busy, "", 700));
    let refused_at = line.now_ms;
    line.wait();
    assert!(line.now_ms - refused_at >= 700);
    let (report, asked) = line.one();
    assert_eq!(asked, Asked::Report(0, vec![(CHAT, 3, 3)]));
    line.tell(|encoder| encoder.done(report));
    line.cut();
    line.welcome();
    let asked = line.asked();
    let again = asked.iter().find(|(_, asked)| matches!(asked, Asked::Report(..)));
    assert_eq!(again.expect("it is said again").1, Asked::Report(0, vec![(CHAT, 3, 3)]), "the server may have lost it");
}

#[test]
fn watermarks_of_others_are_told_when_they_rise() {
    let mut line = with_ten();
    let mut tell = |delivered_seq, read_seq| {
        line.tell(|encoder| encoder.receipts(CHAT, &[Told { user: UserId(2), delivered_seq, read_seq }]));
        line.events()
    };
    let told = |delivered_seq, read_seq| {
        let users = vec![UserReceipt { user: UserId(2), delivered_seq, read_seq }];
        ClientEvent::Receipts { conversation: CHAT, users }
    };
    assert_eq!(tell(4, 2), [told(4, 2)]);
    assert_eq!(tell(4, 2), []);
    assert_eq!(tell(3, 3), [told(4, 3)]);
    assert_eq!(line.client.receipts(CHAT).count(), 1);
}

#[test]
fn typing_is_told_every_three_seconds_at_most() {
    let mut line = with_ten();
    let mut told = 0;
    for _ in 0..100 {
        line.client.typing(line.now_ms, CHAT);
        for (request, asked) in line.asked() {
            assert_eq!(asked, Asked::Typing);
            line.tell(|encoder| encoder.done(request));
            told += 1;
        }
        line.now_ms += 100;
    }
    assert_eq!(told, 4, "in ten seconds");
    line.cut();
    line.now_ms += 10_000;
    line.client.typing(line.now_ms, CHAT);
    line.welcome();
    assert!(!line.asked().iter().any(|(_, asked)| *asked == Asked::Typing), "it is too late then");
}

#[test]
fn who_types_no_longer_does_after_a_while_or_with_a_message() {
    let mut line = with_ten();
    let user = UserId(2);
    line.tell(|encoder| encoder.typing_now(CHAT, user, 5_000));
    let until_ms = line.now_ms + 5_000;
    assert_eq!(line.events(), [ClientEvent::Typing { conversation: CHAT, user, until_ms }]);
    line.wait();
    let ended = ClientEvent::TypingEnded { conversation: CHAT, user };
    assert_eq!((line.now_ms, line.events()), (until_ms, vec![ended.clone()]));
    line.tell(|encoder| encoder.typing_now(CHAT, user, 5_000));
    line.push(11);
    let events = line.events();
    assert!(matches!(
        events[..3],
        [ClientEvent::Typing { .. }, ClientEvent::TypingEnded { .. }, ClientEvent::Message(_)]
    ));
    assert_eq!(events[1], ended);
}
