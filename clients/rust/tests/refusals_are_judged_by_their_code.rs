//! Set-up: a client sends to a server that is the test.
//! Claim: each refusal has the effect that REL-5 gives it: retried as it is, renumbered, looked up, or failed visibly
//! together with what stands behind it.

use crate::line;
use crate::line::{Asked, CHAT, Line};
use trunkline_client::core::{ClientEvent, Follow, MessageId};
use trunkline_wire::ids::{DeviceId, UserId};
use trunkline_wire::message::{ErrorCode, Message, Page};

/// A client with these messages in flight, numbered from `high` + 1.
fn sending(texts: usize, high: u64, last_seq: u64) -> (Line, u32, Vec<MessageId>) {
    let mut line = Line::new(Follow::Nothing, 3);
    line.welcome();
    let ids: Vec<MessageId> =
        (0..texts).map(|index| line.client.send_text(line.now_ms, CHAT, &format!("{index}")).unwrap()).collect();
    let (open, asked) = line.one();
    assert_eq!(asked, Asked::Open);
    line.opened(open, high, last_seq, 1);
    let (send, asked) = line.one();
    assert_eq!(asked, Asked::Send(pairs(&ids, high + 1)));
    (line, send, ids)
}

fn pairs(ids: &[MessageId], from: u64) -> Vec<(u64, u64)> {
    ids.iter().zip(from..).map(|(id, number)| (number, id.0)).collect()
}

fn fates(line: &mut Line) -> Vec<(&'static str, MessageId)> {
    let fate = |event| match event {
        ClientEvent::Sent { message_id, .. } => Some(("sent", message_id)),
        ClientEvent::Failed { message_id, .. } => Some(("failed", message_id)),
        ClientEvent::Unknown { message_id, .. } => Some(("unknown", message_id)),
        _ => None,
    };
    line.events().into_iter().filter_map(fate).collect()
}

#[test]
fn busy_is_retried_as_it_is_after_the_time_asked() {
    let (mut line, send, ids) = sending(3, 4, 0);
    line.acked(send, &[(5, 1, 1)], Some(ErrorCode::Busy), 5);
    assert_eq!(line.asked(), []);
    let asked_at = line.now_ms;
    line.wait();
    assert!((100..=150).contains(&(line.now_ms - asked_at)), "{}", line.now_ms - asked_at);
    assert_eq!(line.one().1, Asked::Send(pairs(&ids[1..], 6)));
}

#[test]
fn an_unanswered_request_is_repeated_unchanged_on_the_next_connection() {
    let (mut line, _, ids) = sending(3, 4, 0);
    line.cut();
    line.welcome();
    let (open, _) = line.one();
    // The server has it all, and its numbers moved on: nothing is renumbered without an answer that asks for it.
    line.opened(open, 9, 9, 1);
    assert_eq!(line.one().1, Asked::Send(pairs(&ids, 5)));
}

#[test]
fn an_unanswered_request_is_repeated_unchanged_by_the_next_process() {
    let (line, _, ids) = sending(2, 4, 0);
    let mut next = Line::with_outbox(Follow::Nothing, 9, line.client.into_outbox());
    next.welcome();
    let (open, _) = next.one();
    next.opened(open, 4, 0, 1);
    assert_eq!(next.one().1, Asked::Send(pairs(&ids, 5)));
}

#[test]
fn a_conflict_renumbers_above_high() {
    let (mut line, send, ids) = sending(3, 4, 0);
    line.acked(send, &[(5, 1, 1)], Some(ErrorCode::ClientSeqConflict), 9);
    assert_eq!(line.one().1, Asked::Send(pairs(&ids[1..], 10)));
    assert_eq!(fates(&mut line), [("sent", ids[0])]);
}

#[test]
fn out_of_order_goes_back_to_high() {
    let (mut line, send, ids) = sending(2, 4, 0);
    line.acked(send, &[], Some(ErrorCode::OutOfOrder), 1);
    assert_eq!(line.one().1, Asked::Send(pairs(&ids, 2)));
}

#[test]
fn a_final_refusal_fails_what_had_a_number_and_frees_it() {
    let (mut line, send, ids) = sending(3, 4, 0);
    let later = line.client.send_text(line.now_ms, CHAT, "never had a number").unwrap();
    line.acked(send, &[(5, 1, 1)], Some(ErrorCode::Forbidden), 5);
    assert_eq!(fates(&mut line), [("sent", ids[0]), ("failed", ids[1]), ("failed", ids[2])]);
    assert_eq!(line.one().1, Asked::Send(vec![(6, later.0)]));
}

#[test]
fn an_error_for_the_whole_request_speaks_of_its_first_message() {
    let (mut line, send, ids) = sending(2, 4, 0);
    line.tell(|encoder| encoder.error(send, ErrorCode::StorageUnavailable, "", 0));
    line.wait();
    let (send, asked) = line.one();
    assert_eq!(asked, Asked::Send(pairs(&ids, 5)));
    line.tell(|encoder| encoder.error(send, ErrorCode::NotFound, "", 0));
    assert_eq!(fates(&mut line), [("failed", ids[0]), ("failed", ids[1])]);
}

/// An expired message whose history, behind what was there when it was first sent, is these rows.
fn look_up(rows: &[(u64, u64)], last_seq: u64) -> (Line, Vec<MessageId>) {
    let (mut line, send, ids) = sending(2, 4, 10);
    line.acked(send, &[], Some(ErrorCode::Expired), 2_000);
    let (history, asked) = line.one();
    assert_eq!(asked, Asked::History(11), "not before what was there when it was first sent");
    let row = |&(seq, message_id): &(u64, u64)| Message {
        sender: UserId(1),
        device: DeviceId(1),
        message_id: if message_id == 0 { ids[0] } else { MessageId(message_id) },
        ..line::message(seq)
    };
    let page = Page { conversation: CHAT, epoch: 1, more: false, last_seq };
    line.tell(|encoder| encoder.history_page(history, &page, rows.iter().map(row), &[]));
    (line, ids)
}

#[test]
fn expired_and_found_in_history_is_sent() {
    let (mut line, ids) = look_up(&[(11, 1), (12, 0)], 12);
    let events = line.events();
    assert!(
        matches!(events[..], [ClientEvent::Sent { message_id, seq: 12, .. }] if message_id == ids[0]),
        "{events:?}"
    );
    assert_eq!(line.one().1, Asked::Send(pairs(&ids[1..], 6)), "the next keeps its number");
}

#[test]
fn expired_and_absent_from_complete_history_is_renumbered() {
    let (mut line, ids) = look_up(&[(11, 1), (12, 2)], 12);
    assert_eq!(line.one().1, Asked::Send(pairs(&ids, 2_001)));
}

#[test]
fn expired_and_absent_from_cut_history_is_unknown() {
    let (mut line, ids) = look_up(&[(12, 2)], 12);
    assert_eq!(fates(&mut line), [("unknown", ids[0])]);
    assert_eq!(line.one().1, Asked::Send(pairs(&ids[1..], 6)));
}

#[test]
fn an_ack_that_speaks_of_other_messages_ends_the_connection() {
    let (mut line, send, ids) = sending(2, 4, 0);
    line.acked(send, &[(6, 1, 1)], None, 6);
    assert_eq!(line.client.poll_link(), Some(trunkline_client::core::Link::Close));
    assert_eq!(line.client.pending().map(|record| record.message_id).collect::<Vec<_>>(), ids);
}
