//! What a home of users promises of lists, case by case.

use alloc::vec;
use alloc::vec::Vec;

use trunkline_wire::ids::DeviceId;
use trunkline_wire::message::ErrorCode;

use super::list::CEILING_STEP;
use super::rig::{Asked, Rig, Row, conversation, user};
use crate::entry::{Entry, HomeAnswer, HomeRequest};
use crate::limits::Limits;
use crate::store::{Loaded, StoreFault};

fn rig() -> Rig {
    Rig::new(Limits::default(), 10_000, 1)
}

fn row(n: usize, user_seq: u64, last_seq: u64) -> Row {
    Row { conversation: conversation(n), user_seq, last_seq, read_seq: 0, window: (1, 0) }
}

#[test]
fn changes_wait_for_the_ceiling_and_numbers_go_on_above_it() {
    let mut rig = rig();
    for seq in 1..=3 {
        rig.deliver(0, seq, &[user(0)], None);
    }
    rig.deliver(1, 1, &[user(0)], None);
    rig.pass(5_000);
    assert_eq!(rig.asked.len(), 1, "only the ceiling is loaded, and nothing is written");
    rig.answer(0, None);
    assert_eq!(rig.asked.len(), 1, "only the ceiling is raised");
    rig.answer(0, Some(StoreFault::Unknown));
    rig.pass(99);
    assert!(rig.asked.is_empty(), "refused: not at once again");
    rig.pass(1);
    rig.settle();
    rig.pass(1_000);
    rig.settle();
    assert_eq!(rig.store.ceilings[&user(0)], CEILING_STEP);
    let stored = |n| {
        (rig.store.rows[&(user(0), conversation(n))].user_seq, rig.store.rows[&(user(0), conversation(n))].last_seq)
    };
    assert_eq!((stored(0), stored(1)), ((2, 3), (3, 1)));
    assert_eq!(rig.announced(), [(conversation(0), 3), (conversation(1), 1)]);
}

/// A tick takes two numbers, so that the ceiling is crossed; the store asserts that no two rows get the same number, and none
/// above the ceiling. In between the list is evicted and taken up again.
#[test]
fn crossing_ceilings_and_taking_up_again_gives_no_number_twice() {
    let mut rig = rig();
    let mut highest = 0;
    for round in 1..=CEILING_STEP {
        rig.deliver(0, round, &[user(0)], None);
        rig.deliver(1, round, &[user(0)], None);
        rig.pass(1_000);
        rig.settle();
        let given = rig.store.given.last_key_value().map_or(0, |(&(_, number), _)| number);
        assert!(given > highest || round % 500 <= 1 || given == rig.store.ceilings[&user(0)] - CEILING_STEP);
        highest = given;
        if round % 500 == 0 {
            rig.pass(1_000);
            rig.settle();
            rig.shared.limits.cache_bytes_max = 1;
            rig.pass(0);
            assert_eq!((rig.users.cached(), rig.shared.cache.bytes()), (0, 0));
            rig.shared.limits.cache_bytes_max = 1 << 30;
        }
    }
    rig.pass(1_000);
    rig.settle();
    assert_eq!((rig.shared.counters.users_evicted, rig.shared.counters.users_loaded), (2, 3));
    let numbers: Vec<u64> = rig.store.given.keys().map(|&(_, number)| number).collect();
    assert!(numbers.len() as u64 > 2 * CEILING_STEP - 20, "hardly any change was merged: {}", numbers.len());
    assert!((0..2).all(|n| rig.store.rows[&(user(0), conversation(n))].last_seq == CEILING_STEP));
}

#[test]
fn a_later_incarnation_begins_in_its_own_range() {
    let mut rig = Rig::new(Limits::default(), 1_000, 3);
    rig.deliver(0, 1, &[user(0)], None);
    rig.settle();
    rig.pass(1_000);
    rig.settle();
    let floor = 2 << 40;
    assert_eq!(rig.store.rows[&(user(0), conversation(0))].user_seq, floor + 1);
    rig.sync(user(0), 1, Some(floor - 5), 0, 10);
    rig.sync(user(0), 2, Some(floor + 2), 0, 10);
    rig.sync(user(0), 3, Some(floor), 0, 10);
    rig.settle();
    let (below, above, right) = (rig.take_synced(1), rig.take_synced(2), rig.take_synced(3));
    assert!(below.resync && above.resync && !right.resync);
    assert_eq!((below.from, above.from, right.from), (0, 0, floor));
    assert!([below, above, right].iter().all(|synced| synced.rows == [row(0, floor + 1, 1)] && synced.to == floor + 1));
}

#[test]
fn an_acknowledgement_waits_for_the_rows_of_all_users() {
    let mut limits = Limits::default();
    limits.set("list_rows_max", 2).expect("a limit");
    let mut rig = Rig::new(limits, 1_000, 1);
    let users: Vec<_> = (0..3).map(user).collect();
    rig.deliver(0, 7, &users, None);
    rig.settle();
    rig.pass(1_000);
    assert_eq!(rig.asked.len(), 2, "two rows in a write, and one");
    rig.answer(1, None);
    rig.answer(0, Some(StoreFault::Full));
    assert_eq!(rig.announced(), []);
    rig.pass(100);
    rig.deliver(0, 8, &users[..1], None);
    rig.settle();
    assert_eq!(rig.announced(), [], "a row is dirty again");
    rig.pass(1_000);
    rig.settle();
    assert_eq!(rig.announced(), [(conversation(0), 8)]);
    rig.deliver(0, 8, &users[..1], None);
    assert_eq!(rig.announced(), [(conversation(0), 8); 2], "what is stored is acknowledged at once");
    rig.pass(1_000);
    assert!(rig.asked.is_empty(), "and has given no number");
}

#[test]
fn acknowledgements_wait_for_credit_and_are_merged() {
    let mut rig = Rig::new(Limits::default(), 1, 1);
    rig.start_session(user(0), 1);
    rig.read(1, user(0), 1);
    assert_eq!(rig.uncredited, 1, "the credit is used");
    for seq in 1..=3 {
        rig.deliver_to(conversation(0), seq, &[user(1)], None, None);
        rig.settle();
        rig.pass(1_000);
        rig.settle();
    }
    assert_eq!(rig.announced(), []);
    while rig.credit() {}
    assert_eq!(rig.announced(), [(conversation(0), 3)]);
}

#[test]
fn what_is_read_changes_a_row_that_memory_does_not_have() {
    let mut rig = rig();
    rig.deliver(0, 9, &[user(0)], Some((4, u64::MAX)));
    rig.settle();
    rig.pass(1_000);
    rig.settle();
    rig.shared.limits.cache_bytes_max = 1;
    rig.pass(0);
    assert_eq!(rig.users.cached(), 0);
    rig.shared.limits.cache_bytes_max = 1 << 30;
    rig.read(0, user(0), 8);
    rig.settle();
    rig.sync(user(0), 1, Some(CEILING_STEP), 0, 10);
    assert!(!rig.asked.is_empty(), "memory does not have the whole row");
    rig.settle();
    let synced = rig.take_synced(1);
    let number = CEILING_STEP + 1;
    let whole = Row { conversation: conversation(0), user_seq: number, last_seq: 9, read_seq: 8, window: (4, 0) };
    assert_eq!(synced.rows, [whole]);
    rig.sync(user(0), 2, Some(CEILING_STEP), 0, 10);
    assert_eq!(rig.take_synced(2).rows, [whole], "from memory now");
    assert_eq!((rig.shared.counters.syncs_from_memory, rig.shared.counters.syncs_from_store), (2, 0));
    rig.pass(1_000);
    rig.settle();
    let stored = &rig.store.rows[&(user(0), conversation(0))];
    assert_eq!((stored.read_seq, stored.last_seq, stored.joined_seq), (8, 9, 4));
}

/// While the store is asked, the list goes from memory, its row changes, and a part of it comes back.
#[test]
fn a_late_page_does_not_fill_a_later_stay() {
    for is_trimmed in [false, true] {
        let mut rig = rig();
        let evict = |rig: &mut Rig| {
            rig.pass(1_000);
            let lists = |asked: &(_, Asked)| matches!(asked.1, Asked::Put(_) | Asked::Load(Loaded::Ceiling(_)));
            while let Some(index) = rig.asked.iter().position(lists) {
                rig.answer(index, None);
                rig.pass(1_000);
            }
            rig.shared.limits.cache_bytes_max = 1;
            rig.pass(0);
            rig.shared.limits.cache_bytes_max = 1 << 30;
        };
        if is_trimmed {
            rig.start_session(user(0), 1);
        }
        rig.deliver(0, 1, &[user(0)], None);
        evict(&mut rig);
        rig.sync(user(0), 1, Some(0), 0, 10);
        if !is_trimmed {
            rig.answer(0, None);
        }
        assert!(matches!(&rig.asked[..], [(_, Asked::Load(Loaded::List(rows, false)))] if rows.len() == 1));
        rig.deliver(0, 2, &[user(0)], None);
        evict(&mut rig);
        rig.read(0, user(0), 1);
        rig.pass(0);
        while rig.asked.len() > 1 {
            rig.answer(1, None);
        }
        rig.answer(0, None);
        rig.pass(0);
        rig.settle();
        assert_eq!(rig.take_synced(1).rows, [row(0, 2, 1)], "what was there when it was asked");
        rig.sync(user(0), 2, Some(2 * CEILING_STEP), 0, 10);
        rig.settle();
        let to = rig.take_synced(2).to;
        rig.sync(user(0), 3, Some(to - 1), 0, 10);
        rig.settle();
        let rows = rig.take_synced(3).rows;
        assert_eq!((rows[0].last_seq, rows[0].read_seq), (2, 1), "trimmed: {is_trimmed}");
    }
}

/// Pages of two: rows 0 to 4 are in the store, then memory changes some without having stored them.
#[test]
fn pages_of_a_sync_merge_memory_and_store() {
    let mut rig = rig();
    for n in 0..5 {
        rig.deliver(n, 1, &[user(0)], None);
    }
    rig.settle();
    rig.pass(1_000);
    rig.settle();
    rig.shared.limits.cache_bytes_max = 1;
    rig.pass(0);
    rig.shared.limits.cache_bytes_max = 1 << 30;
    rig.deliver(1, 2, &[user(0)], None);
    rig.deliver(5, 1, &[user(0)], None);
    rig.settle();
    let base = CEILING_STEP;
    rig.sync(user(0), 1, Some(0), 0, 2);
    rig.settle();
    let first = rig.take_synced(1);
    assert_eq!(first.rows, [row(5, base + 2, 1), row(1, base + 1, 2)]);
    assert!(first.more && (first.from, first.to) == (0, base + 2));
    rig.deliver(3, 2, &[user(0)], None);
    rig.sync(user(0), 2, Some(0), base + 1, 2);
    rig.settle();
    let second = rig.take_synced(2);
    assert_eq!(second.rows, [row(4, 6, 1), row(3, 5, 1)], "what moved up comes behind the first page's position too");
    assert!(second.more);
    rig.sync(user(0), 3, Some(0), 5, 2);
    rig.settle();
    let third = rig.take_synced(3);
    assert_eq!(third.rows, [row(2, 4, 1), row(1, 3, 1)]);
    rig.sync(user(0), 4, Some(0), 3, 2);
    rig.settle();
    let last = rig.take_synced(4);
    assert_eq!((last.rows, last.more), (vec![row(0, 2, 1)], false));
    rig.sync(user(0), 5, Some(first.to), 0, 2);
    rig.settle();
    assert_eq!(rig.take_synced(5).rows, [row(3, base + 3, 2)]);
}

#[test]
fn a_sync_without_a_stored_position_begins_with_what_comes() {
    let mut rig = rig();
    rig.deliver(0, 1, &[user(0)], None);
    rig.settle();
    rig.sync(user(0), 1, None, 0, 10);
    rig.settle();
    let synced = rig.take_synced(1);
    assert_eq!((synced.from, synced.to, synced.rows.len()), (2, 2, 0));
    let caller = Rig::caller(user(0), 1);
    let receipts = vec![(conversation(0), 1, 0)];
    rig.request(2, HomeRequest::Report { caller, request: 2, position: 2, receipts });
    assert!(matches!(rig.posted.last(), Some(Entry::Receipt { receipt, .. }) if receipt.delivered_seq == 1));
    assert!(rig.take_answer(2).is_none(), "not before it is stored");
    rig.settle();
    assert!(matches!(rig.take_answer(2), Some(HomeAnswer::Frame(_))));
    assert_eq!(rig.store.positions[&(user(0), DeviceId(1))], 2);
    rig.deliver(1, 1, &[user(0)], None);
    rig.sync(user(0), 3, None, 0, 10);
    rig.settle();
    assert_eq!(rig.take_synced(3).rows, [row(1, 3, 1)]);
}

/// Position 0 says nothing: a device that began with an empty list could not say so.
#[test]
fn an_empty_list_has_a_position_that_can_be_stored() {
    let mut rig = rig();
    rig.sync(user(0), 1, None, 0, 10);
    rig.settle();
    let synced = rig.take_synced(1);
    assert_eq!((synced.from, synced.to), (1, 1));
    rig.request(2, HomeRequest::Report { caller: Rig::caller(user(0), 1), request: 2, position: 1, receipts: vec![] });
    rig.settle();
    rig.deliver(0, 1, &[user(0)], None);
    rig.sync(user(0), 3, None, 0, 10);
    rig.settle();
    assert_eq!(rig.take_synced(3).rows, [row(0, 2, 1)]);
}

#[test]
fn a_report_that_a_lane_cannot_hold_waits_and_stops_the_next() {
    let mut rig = Rig::new(Limits::default(), 2, 1);
    let report = |rig: &mut Rig, ticket| {
        let receipts = (0..5).map(|n| (conversation(n), 1, 1)).collect();
        let caller = Rig::caller(user(0), 1);
        rig.request(ticket, HomeRequest::Report { caller, request: ticket, position: 0, receipts });
        rig.take_answer(ticket)
    };
    assert!(matches!(report(&mut rig, 1), Some(HomeAnswer::Frame(_))));
    assert!(matches!(report(&mut rig, 2), Some(HomeAnswer::Refused(ErrorCode::Busy, 1..))));
    assert_eq!(rig.posted.len(), 2);
    for posted in [3, 4, 5, 5, 5] {
        assert!(rig.credit());
        assert_eq!(rig.posted.len(), posted);
    }
    assert!(!rig.credit());
    assert!(matches!(report(&mut rig, 3), Some(HomeAnswer::Frame(_))));
}

#[test]
fn a_window_caps_what_its_user_sees() {
    let mut rig = rig();
    rig.deliver(0, 3, &[user(0)], Some((3, u64::MAX)));
    rig.deliver(0, 9, &[user(0)], Some((3, 8)));
    rig.settle();
    rig.sync(user(0), 1, Some(0), 0, 10);
    let left = Row { window: (3, 8), ..row(0, 2, 8) };
    assert_eq!(rig.take_synced(1).rows, [left]);
    rig.deliver(0, 12, &[user(0)], Some((12, u64::MAX)));
    rig.deliver(0, 8, &[user(0)], Some((3, 8)));
    rig.sync(user(0), 2, Some(0), 0, 10);
    assert_eq!(rig.take_synced(2).rows, [Row { window: (12, 0), ..row(0, 3, 12) }]);
}

#[test]
fn eviction_spares_what_is_not_stored_and_who_is_here() {
    let mut limits = Limits::default();
    limits.set("cache_bytes_max", 1).expect("a limit");
    let mut rig = Rig::new(limits, 1_000, 1);
    rig.deliver(0, 1, &[user(0), user(1)], None);
    rig.start_session(user(1), 1);
    let cached = |rig: &mut Rig| {
        rig.pass(0);
        rig.users.cached()
    };
    assert_eq!(cached(&mut rig), 2, "the ceiling is loaded");
    while !rig.asked.is_empty() {
        rig.answer(0, None);
        assert_eq!(cached(&mut rig), 2, "the ceiling is raised, or a tick is due");
    }
    rig.pass(1_000);
    assert_eq!(cached(&mut rig), 2, "the rows are written");
    rig.answer(0, Some(StoreFault::Unknown));
    assert_eq!(cached(&mut rig), 2, "they will be written again");
    rig.pass(100);
    rig.settle();
    assert_eq!((cached(&mut rig), rig.shared.counters.users_evicted), (1, 1), "one has a session");
    assert_eq!(rig.announced(), [(conversation(0), 1)]);
    rig.sync(user(1), 1, Some(0), 0, 10);
    assert_eq!(rig.asked.len(), 1, "its rows went all the same");
    rig.settle();
    assert_eq!(rig.take_synced(1).rows, [row(0, 2, 1)]);
    rig.turn(|users, turn| users.session_ended(turn, user(1), Rig::address(1)));
    assert_eq!((cached(&mut rig), rig.shared.cache.bytes()), (0, 0));
}

#[test]
fn a_cold_list_takes_only_so_many_who_wait() {
    let mut limits = Limits::default();
    limits.set("load_waiters_max", 2).expect("a limit");
    let mut rig = Rig::new(limits, 1_000, 1);
    (1..=3).for_each(|ticket| rig.sync(user(0), ticket, Some(0), 0, 10));
    assert!(matches!(rig.take_answer(3), Some(HomeAnswer::Refused(ErrorCode::Busy, 1..))));
    rig.answer(0, Some(StoreFault::Unknown));
    let refused = (1..=2).map(|ticket| rig.take_answer(ticket));
    assert!(
        refused
            .into_iter()
            .all(|answer| { matches!(answer, Some(HomeAnswer::Refused(ErrorCode::StorageUnavailable, 1..))) })
    );
    rig.sync(user(0), 4, Some(0), 0, 10);
    rig.pass(100);
    rig.settle();
    let synced = rig.take_synced(4);
    assert_eq!((synced.from, synced.to, synced.rows), (0, 1, Vec::new()));
}
