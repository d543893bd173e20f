//! What every store promises, one case per promise; a backend runs all of them with [`contract_cases`].

use crate::rows::*;
use trunkline_shards::store::{
    Append, ConversationKey, ConversationMeta, Put, PutOutcome, RECENT_COST_BYTES_MAX, RECENT_ROWS_MAX, Row,
    StoreResult, UserKey,
};
use trunkline_storage::{Misuse, Write};
use trunkline_wire::ids::{Lsn, TenantId, UserId};
use trunkline_wire::limits::{BODY_BYTES_MAX, message_cost_bytes};

/// Makes a test of each case; `$open` gives a new store.
#[macro_export]
macro_rules! contract_cases {
    ($open:expr) => {
        $crate::contract_cases!($open; cases;
            rows_come_back_as_they_were, a_conversation_that_is_not_there_is_none, seqs_are_dense_over_appends,
            a_gap_is_refused, a_first_row_above_one_is_refused, a_gap_inside_an_append_is_refused,
            an_append_without_rows_is_refused, another_row_with_a_seq_is_refused, first_rows_need_meta,
            another_meta_is_refused, another_title_is_refused, an_append_again_is_a_no_op, an_append_again_with_more_rows_adds_those,
            an_append_twice_in_a_group_is_once, two_appends_of_a_conversation_share_a_group,
            conversations_in_a_group_are_apart, lsns_rise_over_groups_and_rows, an_empty_group_is_nothing,
            answers_come_in_order_of_writes, a_first_claim_wins, a_claim_race_in_a_group_has_one_owner,
            a_claim_again_is_the_owners, handles_of_tenants_are_apart, accounts_are_overwritten,
            identical_ids_of_tenants_are_apart, history_forward_is_bounded, history_backward_is_bounded,
            history_beyond_the_ends_is_what_there_is, a_history_page_is_bounded_in_bytes,
            a_history_page_has_at_least_one_row, find_send_sees_its_range_only, find_send_tells_devices_apart,
            devices_come_from_rows_without_checkpoint, devices_merge_checkpoint_and_rows, a_checkpoint_never_goes_back,
            recent_rows_are_bounded_in_number, recent_rows_are_bounded_in_bytes, recent_rows_reach_below_the_checkpoint,
            bodies_of_any_kind_come_back, the_largest_seq_has_no_successor);
        $crate::contract_cases!($open; index_cases;
            a_mark_comes_with_its_rows, an_append_alone_has_no_mark, a_mark_stays_until_it_is_unmarked,
            the_lower_mark_stays, marks_of_a_group_are_set_in_order, an_append_again_keeps_its_mark,
            marks_are_in_order_of_slots, marks_are_paged, marks_of_tenants_are_apart,
            ceilings_never_go_down, the_last_position_counts,
            revocations_are_in_order_of_their_ends, revocations_are_forgotten_when_they_have_ended, receipts_never_go_down, receipts_are_in_order,
            missing_users_are_named, members_come_from_rows, members_come_from_checkpoint_and_rows,
            a_change_below_the_checkpoint_is_counted_once, members_of_many_rows_are_folded_in_order,
            rows_of_the_server_have_no_device, a_checkpoint_of_a_group_never_goes_back);
        $crate::contract_cases!($open; people_cases;
            the_last_contact_counts, contacts_are_paged_in_order_of_user, a_1_1_comes_with_what_is_blocked,
            handles_are_paged_by_their_beginning, conversations_are_paged_in_order_of_id);
        $crate::contract_cases!($open; list_cases;
            a_new_row_begins_open, numbers_of_a_row_never_go_down, a_late_change_brings_no_name_back,
            a_later_join_wins, of_the_same_join_the_end_wins, an_earlier_window_is_nothing,
            changes_of_a_group_are_merged, lists_are_in_order_of_changes, lists_are_paged_downwards,
            list_bounds_are_outside, a_row_is_listed_once, lists_of_users_and_tenants_are_apart,
            an_empty_change_of_lists_is_nothing, rows_of_the_same_number_are_both_listed, lists_agree_with_a_model);
    };
    ($open:expr; $cases:ident; $($case:ident),* $(,)?) => {
        $(#[test] fn $case() { $crate::$cases::$case(&mut $open()); })*
    };
}

pub fn rows_come_back_as_they_were(store: &mut Store) {
    let one =
        Row { epoch: 7, flags: 0xfffe, sent_at_ms: 3, ref_seq: 9, mls_epoch: u64::MAX, kind: 255, ..row(1, b"one") };
    let two = Row { epoch: 7, ts_ms: u64::MAX, message_id: row(3, b"").message_id, ..row(2, b"two") };
    let lsn = store.append(key(1), vec![one.clone(), two.clone()]);
    let second = Lsn { index: lsn.index + 1, ..lsn };
    assert_eq!(store.all(key(1)), [Row { lsn, ..one }, Row { lsn: second, ..two }]);
    assert_eq!(store.conversation(key(1)).expect("there").meta, meta());
}

pub fn a_conversation_that_is_not_there_is_none(store: &mut Store) {
    store.append(key(2), rows(1..=1));
    assert_eq!(store.conversation(key(1)), None);
    assert_eq!(store.all(key(1)), []);
    assert_eq!(store.list(user(UserId(1)), 0, u64::MAX, 10), (vec![], false));
    assert_eq!(store.account(user(ALICE)), None);
}

pub fn seqs_are_dense_over_appends(store: &mut Store) {
    store.append(key(1), rows(1..=3));
    store.append(key(1), rows(4..=4));
    store.append(key(1), rows(5..=9));
    assert_eq!(unplaced(&store.all(key(1))), rows(1..=9));
    assert_eq!(store.conversation(key(1)).expect("there").last_seq, 9);
}

pub fn a_gap_is_refused(store: &mut Store) {
    store.append(key(1), rows(1..=3));
    let misuse = store.misuse(&[append(key(1), rows(5..=5))]);
    assert_eq!(misuse, Misuse::Gap { key: key(1), last_seq: 3, seq: 5 });
    assert_eq!(seqs(&store.all(key(1))), [1, 2, 3]);
}

pub fn a_first_row_above_one_is_refused(store: &mut Store) {
    let write = Write::Append(Box::new(Append { key: key(1), meta: Some(meta()), mark: None, rows: rows(2..=2) }));
    assert_eq!(store.misuse(&[write]), Misuse::Gap { key: key(1), last_seq: 0, seq: 2 });
    assert_eq!(store.conversation(key(1)), None);
}

pub fn a_gap_inside_an_append_is_refused(store: &mut Store) {
    let misuse = store.misuse(&[append(key(2), rows(1..=1)), append(key(1), vec![row(1, b"a"), row(3, b"c")])]);
    assert_eq!(misuse, Misuse::Gap { key: key(1), last_seq: 1, seq: 3 });
    assert_eq!(store.conversation(key(2)), None, "nothing of the group is there");
}

pub fn an_append_without_rows_is_refused(store: &mut Store) {
    assert_eq!(store.misuse(&[append(key(1), vec![])]), Misuse::NoRows(key(1)));
}

pub fn another_row_with_a_seq_is_refused(store: &mut Store) {
    store.append(key(1), rows(1..=3));
    let misuse = store.misuse(&[append(key(1), vec![row(3, b"something else")])]);
    assert_eq!(misuse, Misuse::Overwrite { key: key(1), seq: 3 });
    assert_eq!(unplaced(&store.all(key(1))), rows(1..=3));
}

pub fn first_rows_need_meta(store: &mut Store) {
    let write = Write::Append(Box::new(Append { key: key(1), meta: None, mark: None, rows: rows(1..=1) }));
    assert_eq!(store.misuse(&[write]), Misuse::NoMeta(key(1)));
}

pub fn another_meta_is_refused(store: &mut Store) {
    store.append(key(1), rows(1..=1));
    let other = Some(ConversationMeta { created_ms: 1, ..meta() });
    let write = Write::Append(Box::new(Append { key: key(1), meta: other, mark: None, rows: rows(1..=1) }));
    assert_eq!(store.misuse(&[write]), Misuse::OtherMeta(key(1)));
}

pub fn another_title_is_refused(store: &mut Store) {
    store.append(key(1), rows(1..=1));
    let other = Some(ConversationMeta { title: "Éire".to_owned(), ..meta() });
    let write = Write::Append(Box::new(Append { key: key(1), meta: other, mark: None, rows: rows(1..=1) }));
    assert_eq!(store.misuse(&[write]), Misuse::OtherMeta(key(1)));
}

pub fn an_append_again_is_a_no_op(store: &mut Store) {
    let first = store.append(key(1), rows(1..=3));
    let before = store.all(key(1));
    assert_eq!(store.append(key(1), rows(1..=3)), first);
    assert_eq!(store.append(key(1), rows(2..=3)), before[1].lsn);
    assert_eq!(store.all(key(1)), before);
}

pub fn an_append_again_with_more_rows_adds_those(store: &mut Store) {
    let first = store.append(key(1), rows(1..=2));
    assert_eq!(store.append(key(1), rows(1..=4)), first);
    let all = store.all(key(1));
    assert_eq!(unplaced(&all), rows(1..=4));
    assert!(all[2].lsn > all[1].lsn);
}

pub fn an_append_twice_in_a_group_is_once(store: &mut Store) {
    let results = store.commit(&[append(key(1), rows(1..=2)), append(key(1), rows(1..=2))]);
    assert_eq!(results[0], results[1]);
    assert_eq!(unplaced(&store.all(key(1))), rows(1..=2));
    let misuse = store.misuse(&[append(key(1), rows(3..=3)), append(key(1), vec![row(3, b"something else")])]);
    assert_eq!(misuse, Misuse::Overwrite { key: key(1), seq: 3 });
}

pub fn two_appends_of_a_conversation_share_a_group(store: &mut Store) {
    store.commit(&[append(key(1), rows(1..=2)), append(key(1), rows(3..=3))]);
    assert_eq!(unplaced(&store.all(key(1))), rows(1..=3));
}

pub fn conversations_in_a_group_are_apart(store: &mut Store) {
    store.commit(&[append(key(1), rows(1..=2)), append(key(2), vec![row(1, b"two")])]);
    store.commit(&[append(key(2), vec![row(2, b"2")]), append(key(1), rows(3..=3))]);
    assert_eq!(unplaced(&store.all(key(1))), rows(1..=3));
    assert_eq!(unplaced(&store.all(key(2))), [row(1, b"two"), row(2, b"2")]);
}

pub fn lsns_rise_over_groups_and_rows(store: &mut Store) {
    store.commit(&[append(key(1), rows(1..=2)), append(key(2), rows(1..=2))]);
    store.commit(&[append(key(2), rows(3..=4)), append(key(1), rows(3..=3))]);
    let placed = [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (2, 3), (1, 2)];
    let all = [store.all(key(1)), store.all(key(2))];
    let lsns: Vec<Lsn> = placed.iter().map(|&(number, at)| all[number - 1][at].lsn).collect();
    assert!(lsns.is_sorted_by(|one, next| one < next), "{lsns:?}");
    assert_eq!((lsns[0].group, lsns[0].index, lsns[3].index), (lsns[3].group, 0, 3));
    assert_eq!((lsns[4].group, lsns[4].index), (lsns[0].group + 1, 0));
}

pub fn an_empty_group_is_nothing(store: &mut Store) {
    assert_eq!(store.commit(&[]), []);
    store.append(key(1), rows(1..=1));
    assert_eq!(store.commit(&[]), []);
}

pub fn answers_come_in_order_of_writes(store: &mut Store) {
    let writes = [claim("alice", ALICE), append(key(1), rows(1..=1)), account(user(ALICE), "Alice")];
    let results = store.commit(&writes);
    let lsn = store.all(key(1))[0].lsn;
    let expected = [
        StoreResult::Put(Ok(PutOutcome::Owner(ALICE))),
        StoreResult::Appended(Ok(lsn)),
        StoreResult::Put(Ok(PutOutcome::Done)),
    ];
    assert_eq!(results, expected);
}

pub fn a_first_claim_wins(store: &mut Store) {
    assert_eq!(store.handle(TENANT, "alice"), None);
    assert_eq!(store.put(claim("alice", ALICE)), PutOutcome::Owner(ALICE));
    assert_eq!(store.put(claim("alice", BOB)), PutOutcome::Owner(ALICE));
    assert_eq!(store.handle(TENANT, "alice"), Some(ALICE));
    assert_eq!(store.handle(TENANT, "alic"), None);
}

pub fn a_claim_race_in_a_group_has_one_owner(store: &mut Store) {
    let results = store.commit(&[claim("name", BOB), claim("other", ALICE), claim("name", ALICE)]);
    let owner = |user| StoreResult::Put(Ok(PutOutcome::Owner(user)));
    assert_eq!(results, [owner(BOB), owner(ALICE), owner(BOB)]);
    assert_eq!(store.handle(TENANT, "name"), Some(BOB));
}

pub fn a_claim_again_is_the_owners(store: &mut Store) {
    assert_eq!(store.put(claim("bob", BOB)), PutOutcome::Owner(BOB));
    assert_eq!(store.put(claim("bob", BOB)), PutOutcome::Owner(BOB));
}

pub fn handles_of_tenants_are_apart(store: &mut Store) {
    store.put(claim("alice", ALICE));
    let elsewhere = Put::ClaimHandle { tenant: TenantId(1), folded: "alice".to_owned(), user: BOB };
    assert_eq!(store.put(Write::Put(Box::new(elsewhere))), PutOutcome::Owner(BOB));
    assert_eq!(store.handle(TENANT, "alice"), Some(ALICE));
    assert_eq!(store.handle(TenantId(1), "alice"), Some(BOB));
    assert_eq!(store.handle(TenantId(2), "alice"), None);
}

pub fn accounts_are_overwritten(store: &mut Store) {
    store.put(account(user(ALICE), "Alice"));
    store.put(account(user(ALICE), "Älice 🦀"));
    assert_eq!(store.account(user(ALICE)).expect("there").handle, "Älice 🦀");
    assert_eq!(store.account(user(BOB)), None);
}

pub fn identical_ids_of_tenants_are_apart(store: &mut Store) {
    let other = ConversationKey { tenant: TenantId(9), ..key(1) };
    store.commit(&[append(key(1), rows(1..=3)), append(other, vec![row(1, b"other")])]);
    store.put(checkpoint(key(1), 3, vec![device_high(BOB, 4, 4)]));
    assert_eq!(unplaced(&store.all(key(1))), rows(1..=3));
    assert_eq!(unplaced(&store.all(other)), [row(1, b"other")]);
    let image = store.conversation(other).expect("there");
    assert_eq!((image.last_seq, image.checkpoint_seq), (1, 0));
    store.put(account(user(ALICE), "Alice"));
    assert_eq!(store.account(UserKey { tenant: TenantId(9), user: ALICE }), None);
}

pub fn history_forward_is_bounded(store: &mut Store) {
    store.append(key(1), rows(1..=20));
    assert_eq!(seqs(&store.history(key(1), 5, false, 3, u32::MAX)), [5, 6, 7]);
    assert_eq!(seqs(&store.history(key(1), 19, false, 3, u32::MAX)), [19, 20]);
    assert_eq!(seqs(&store.history(key(1), 20, false, 1, u32::MAX)), [20]);
}

pub fn history_backward_is_bounded(store: &mut Store) {
    store.append(key(1), rows(1..=20));
    assert_eq!(seqs(&store.history(key(1), 5, true, 3, u32::MAX)), [3, 4, 5]);
    assert_eq!(seqs(&store.history(key(1), 2, true, 3, u32::MAX)), [1, 2]);
    assert_eq!(seqs(&store.history(key(1), 1, true, 3, u32::MAX)), [1]);
}

pub fn history_beyond_the_ends_is_what_there_is(store: &mut Store) {
    store.commit(&[append(key(0), rows(1..=2)), append(key(1), rows(1..=4)), append(key(2), rows(1..=2))]);
    assert_eq!(seqs(&store.history(key(1), 0, false, 9, u32::MAX)), [1, 2, 3, 4]);
    assert_eq!(seqs(&store.history(key(1), 5, false, 9, u32::MAX)), []);
    assert_eq!(seqs(&store.history(key(1), u64::MAX, false, 9, u32::MAX)), []);
    assert_eq!(seqs(&store.history(key(1), u64::MAX, true, 2, u32::MAX)), [3, 4]);
    assert_eq!(seqs(&store.history(key(1), 9, true, 9, u32::MAX)), [1, 2, 3, 4]);
    assert_eq!(seqs(&store.history(key(1), 0, true, 9, u32::MAX)), []);
}

pub fn a_history_page_is_bounded_in_bytes(store: &mut Store) {
    store.append(key(1), (1..=9).map(|seq| row(seq, &[7; 1000])).collect());
    let three = 3 * message_cost_bytes(1000) as u32;
    assert_eq!(seqs(&store.history(key(1), 2, false, 50, three)), [2, 3, 4]);
    assert_eq!(seqs(&store.history(key(1), 2, false, 50, three - 1)), [2, 3]);
    assert_eq!(seqs(&store.history(key(1), 8, true, 50, three)), [6, 7, 8]);
    assert_eq!(seqs(&store.history(key(1), 8, true, 50, three - 1)), [7, 8]);
}

pub fn a_history_page_has_at_least_one_row(store: &mut Store) {
    store.append(key(1), (1..=3).map(|seq| row(seq, &[7; 1000])).collect());
    assert_eq!(seqs(&store.history(key(1), 2, false, 50, 1)), [2]);
    assert_eq!(seqs(&store.history(key(1), 2, true, 50, 1)), [2]);
    assert_eq!(seqs(&store.history(key(1), 2, true, 0, 0)), [2]);
}

pub fn find_send_sees_its_range_only(store: &mut Store) {
    store.append(key(1), rows(1..=10));
    assert_eq!(store.find_send(key(1), ALICE, 5, 1, 10), Some(5));
    assert_eq!(store.find_send(key(1), ALICE, 5, 5, 5), Some(5));
    assert_eq!(store.find_send(key(1), ALICE, 5, 6, 10), None);
    assert_eq!(store.find_send(key(1), ALICE, 5, 1, 4), None);
    assert_eq!(store.find_send(key(1), ALICE, 5, 0, u64::MAX), Some(5));
    assert_eq!(store.find_send(key(1), ALICE, 5, 10, 1), None, "a range the wrong way round is empty");
    assert_eq!(store.find_send(key(2), ALICE, 5, 1, 10), None);
}

pub fn find_send_tells_devices_apart(store: &mut Store) {
    let sent = vec![sent_row(1, BOB, 1, 1, b"b"), sent_row(2, ALICE, 2, 1, b"a2"), sent_row(3, ALICE, 1, 1, b"a1")];
    store.append(key(1), sent);
    assert_eq!(store.find_send(key(1), ALICE, 1, 1, 9), Some(3));
    assert_eq!(store.find_send(key(1), BOB, 1, 1, 9), Some(1));
    assert_eq!(store.find_send(key(1), ALICE, 2, 1, 9), None);
}

pub fn devices_come_from_rows_without_checkpoint(store: &mut Store) {
    let mut sent = vec![];
    for client_seq in 1..=150 {
        sent.push(sent_row(2 * client_seq - 1, BOB, 1, client_seq, b"b"));
        sent.push(sent_row(2 * client_seq, ALICE, 1 + (client_seq % 2) as u32, client_seq.div_ceil(2), b"a"));
    }
    store.append(key(1), sent);
    let image = store.conversation(key(1)).expect("there");
    let expected = [device_high(BOB, 1, 150), device_high(ALICE, 1, 75), device_high(ALICE, 2, 75)];
    assert_eq!((image.checkpoint_seq, image.last_seq, &image.devices[..]), (0, 300, &expected[..]));
}

pub fn devices_merge_checkpoint_and_rows(store: &mut Store) {
    store.append(key(1), rows(1..=400));
    let counted = vec![device_high(BOB, 7, 70), device_high(ALICE, 1, 300)];
    assert_eq!(store.put(checkpoint(key(1), 300, counted)), PutOutcome::Done);
    store.append(key(1), vec![sent_row(401, BOB, 8, 1, b"new device")]);
    let image = store.conversation(key(1)).expect("there");
    let expected = [device_high(BOB, 7, 70), device_high(BOB, 8, 1), device_high(ALICE, 1, 400)];
    assert_eq!((image.checkpoint_seq, image.last_seq, &image.devices[..]), (300, 401, &expected[..]));
}

pub fn a_checkpoint_never_goes_back(store: &mut Store) {
    store.append(key(1), rows(1..=9));
    store.put(checkpoint(key(1), 9, vec![device_high(BOB, 1, 5), device_high(ALICE, 1, 9)]));
    store.put(checkpoint(key(1), 4, vec![device_high(ALICE, 1, 4)]));
    let image = store.conversation(key(1)).expect("there");
    assert_eq!((image.checkpoint_seq, image.devices.len()), (9, 2));
}

pub fn recent_rows_are_bounded_in_number(store: &mut Store) {
    store.append(key(1), rows(1..=400));
    let image = store.conversation(key(1)).expect("there");
    assert_eq!(seqs(&image.recent), (401 - RECENT_ROWS_MAX as u64..=400).collect::<Vec<_>>());
    assert_eq!(unplaced(&image.recent), rows(401 - RECENT_ROWS_MAX as u64..=400));
}

pub fn recent_rows_are_bounded_in_bytes(store: &mut Store) {
    store.append(key(1), (1..=50).map(|seq| row(seq, &[1; 8000])).collect());
    let image = store.conversation(key(1)).expect("there");
    assert_eq!(image.recent.len(), RECENT_COST_BYTES_MAX / message_cost_bytes(8000));
    assert_eq!((image.recent.last().expect("some").seq, image.devices.len()), (50, 1));
}

pub fn recent_rows_reach_below_the_checkpoint(store: &mut Store) {
    store.append(key(1), rows(1..=20));
    store.put(checkpoint(key(1), 20, vec![device_high(ALICE, 1, 20)]));
    let image = store.conversation(key(1)).expect("there");
    assert_eq!(seqs(&image.recent), (1..=20).collect::<Vec<_>>());
    assert_eq!(image.devices, [device_high(ALICE, 1, 20)]);
}

pub fn bodies_of_any_kind_come_back(store: &mut Store) {
    let noise: Vec<u8> =
        (0..BODY_BYTES_MAX).map(|at| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[1]).collect();
    let bodies: [&[u8]; 8] = [
        b"",
        b" ",
        b"\0",
        "שלום, مرحبا, 👩‍👩‍👧‍👦, e\u{301}".as_bytes(),
        &[0; 4096],
        &[0; BODY_BYTES_MAX],
        &noise,
        &[0xff; 300],
    ];
    let sent: Vec<Row> = bodies.iter().enumerate().map(|(at, body)| row(at as u64 + 1, body)).collect();
    store.append(key(1), sent.clone());
    assert_eq!(unplaced(&store.all(key(1))), sent);
}

pub fn the_largest_seq_has_no_successor(store: &mut Store) {
    store.append(key(1), rows(1..=1));
    let misuse = store.misuse(&[append(key(1), rows(u64::MAX..=u64::MAX))]);
    assert_eq!(misuse, Misuse::Gap { key: key(1), last_seq: 1, seq: u64::MAX });
}
