//! What was read, which the last seq of a row does not show, is found by whoever begins while it changes.

use alloc::vec::Vec;

use trunkline_wire::ids::ConversationId;
use trunkline_wire::message::{Answer, decode_answer};

use super::list::CEILING_STEP;
use super::rig::{Rig, TENANT, conversation, envelopes, user};
use crate::entry::Entry;
use crate::limits::Limits;
use crate::store::UserKey;

/// What a session was told of the list: (from, to, named).
type Told = (u64, u64, Vec<(ConversationId, u64)>);

/// The answers among what was posted to a connection.
fn heard<T>(rig: &Rig, connection: u32, of: impl Fn(Answer<'_>) -> Option<T>) -> Vec<T> {
    let frames = rig.posted.iter().filter_map(|entry| match entry {
        Entry::Push { connection: id, frame } | Entry::Resume { connection: id, frame } if id.slot == connection => {
            Some(frame)
        }
        _ => None,
    });
    let envelopes = frames.flat_map(|frame| envelopes(frame));
    envelopes.filter_map(|envelope| of(decode_answer(envelope).expect("an envelope").1)).collect()
}

fn told(rig: &Rig, connection: u32) -> Vec<Told> {
    heard(rig, connection, |answer| match answer {
        Answer::Advanced(advanced) => {
            let places = advanced.conversations().into_iter().flatten();
            let places = places.map(|place| (ConversationId(place.conversation().0), place.last_seq()));
            Some((advanced.from(), advanced.to(), places.collect()))
        }
        _ => None,
    })
}

/// A list in memory that has used up its numbers, of a conversation whose last seq is 9.
fn used_up() -> Rig {
    let mut rig = Rig::new(Limits::default(), 10_000, 1);
    rig.deliver(0, 9, &[user(0)], None);
    rig.settle();
    rig.pass(1_000);
    rig.settle();
    rig.shared.limits.cache_bytes_max = 1;
    rig.pass(0);
    rig.shared.limits.cache_bytes_max = 1 << 30;
    rig.sync(user(0), 1, Some(CEILING_STEP), 0, 10);
    rig.settle();
    assert_eq!(rig.take_synced(1).to, CEILING_STEP);
    rig
}

#[test]
fn a_tick_does_not_name_what_an_answer_could_not_have() {
    let mut rig = used_up();
    rig.read(0, user(0), 8);
    rig.start_session(user(0), 1);
    rig.sync(user(0), 2, Some(0), 0, 10);
    let ceiling = rig.asked.len() - 1;
    rig.answer(0, None);
    assert_eq!(ceiling, 1, "the ceiling is raised, and the store was asked for the list");
    rig.settle();
    let synced = rig.take_synced(2);
    assert_eq!((synced.to, synced.rows[0].last_seq), (CEILING_STEP, 9));
    rig.pass(1_000);
    assert_eq!(told(&rig, 1), [(CEILING_STEP + 1, CEILING_STEP + 1, Vec::new())]);
    rig.settle();
    rig.read(0, user(0), 9);
    rig.pass(1_000);
    let named = (CEILING_STEP + 1, CEILING_STEP + 2, [(conversation(0), 9)].to_vec());
    assert_eq!(told(&rig, 1)[1..], [named], "only this once");
}

#[test]
fn a_tick_names_what_waited_while_nobody_asked() {
    let mut rig = used_up();
    rig.start_session(user(0), 1);
    rig.read(0, user(0), 8);
    rig.settle();
    rig.pass(1_000);
    assert_eq!(told(&rig, 1).last().map(|told| told.2.len()), Some(1));
}

/// The frame with the watermark was dropped, and the position says nothing new to it.
#[test]
fn who_lagged_meanwhile_is_not_given_names() {
    let mut rig = used_up();
    rig.start_session(user(0), 1);
    rig.turn(|users, turn| users.session_lags(turn, user(0), Rig::address(1)));
    rig.read(0, user(0), 8);
    rig.turn(|users, turn| users.session_drained(turn, user(0), Rig::address(1)));
    assert_eq!(told(&rig, 1), [(CEILING_STEP, CEILING_STEP, Vec::new())]);
    rig.settle();
    rig.pass(1_000);
    assert_eq!(told(&rig, 1)[1..], [(CEILING_STEP + 1, CEILING_STEP + 1, Vec::new())]);
}

/// A session that syncs hears of what is read, and then gets the answer of a store that was asked before.
#[test]
fn a_tick_does_not_name_what_a_late_answer_does_not_have() {
    let mut rig = used_up();
    rig.start_session(user(0), 1);
    rig.sync(user(0), 2, Some(0), 0, 10);
    assert_eq!(rig.asked.len(), 1, "the store is asked");
    rig.read(0, user(0), 8);
    rig.answer(0, None);
    assert_eq!(rig.take_synced(2).rows[0].read_seq, 0);
    rig.settle();
    rig.pass(1_000);
    assert_eq!(told(&rig, 1), [(CEILING_STEP + 1, CEILING_STEP + 1, Vec::new())]);
}

/// Its users are many, so that it is handed out over several turns; a session begins between two of them.
#[test]
fn a_reader_is_told_in_the_step_that_changes_the_list() {
    let mut rig = Rig::new(Limits { list_every_ms: 1, ..Limits::default() }, 10_000, 1);
    let first = user(0).user.0;
    let users: Vec<UserKey> =
        (first..first + 300).map(|id| UserKey { tenant: TENANT, user: trunkline_wire::ids::UserId(id) }).collect();
    rig.deliver(0, 9, &users[..1], None);
    rig.settle();
    rig.pass(1);
    rig.settle();
    rig.read_among(0, &users, (users[0], 8));
    rig.turn(|users, turn| users.go_on_handing_out(turn));
    rig.start_session(users[0], 1);
    rig.sync(users[0], 1, Some(0), 0, 10);
    rig.pass(0);
    rig.settle();
    let is_synced = rig.take_synced(1).rows[0].read_seq == 8;
    let receipts = heard(&rig, 1, |answer| matches!(answer, Answer::Receipts(_)).then_some(()));
    assert!(is_synced || receipts.len() == 1, "it has neither been told nor found it");
}
