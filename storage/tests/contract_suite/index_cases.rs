//! Promises about what is kept beside messages: marks, ceilings, positions, watermarks, members.

use trunkline_shards::store::{
    Append, ConversationKey, ConversationMeta, Member, Put, PutOutcome, Revocation, Row, UserKey,
};
use trunkline_storage::Write;
use trunkline_wire::ids::{DeviceId, HASH_SLOTS, HashSlot, TenantId, UserId};
use trunkline_wire::message::{Change, Role};

use crate::rows::*;

const CAROL: UserId = UserId(0xca201);
const NO_END: u64 = u64::MAX;
const ALL_SLOTS: std::ops::RangeInclusive<u16> = 0..=HASH_SLOTS - 1;

fn slot(key: ConversationKey) -> u16 {
    HashSlot::of_conversation(key.tenant, key.conversation).number()
}

pub fn a_mark_comes_with_its_rows(store: &mut Store) {
    store.commit(&[marked(key(1), 0, rows(1..=2))]);
    assert_eq!(store.mark(key(1)), Some(0));
    assert_eq!(store.marks(ALL_SLOTS, None, 9), (vec![key(1)], false));
    assert_eq!(unplaced(&store.all(key(1))), rows(1..=2));
}

pub fn an_append_alone_has_no_mark(store: &mut Store) {
    store.append(key(1), rows(1..=2));
    assert_eq!(store.mark(key(1)), None);
    assert_eq!(store.marks(ALL_SLOTS, None, 9), (vec![], false));
}

pub fn a_mark_stays_until_it_is_unmarked(store: &mut Store) {
    store.commit(&[marked(key(1), 0, rows(1..=2)), append(key(2), rows(1..=1))]);
    store.append(key(1), rows(3..=4));
    assert_eq!(store.mark(key(1)), Some(0));
    assert_eq!(store.put(unmark(key(2))), PutOutcome::Done, "without a mark");
    assert_eq!(store.mark(key(1)), Some(0));
    assert_eq!(store.put(unmark(key(1))), PutOutcome::Done);
    assert_eq!(store.mark(key(1)), None);
    assert_eq!(store.marks(ALL_SLOTS, None, 9), (vec![], false));
    assert_eq!(store.put(unmark(key(1))), PutOutcome::Done, "and again");
    store.commit(&[marked(key(1), 4, rows(5..=5))]);
    assert_eq!(store.mark(key(1)), Some(4));
}

pub fn the_lower_mark_stays(store: &mut Store) {
    store.commit(&[marked(key(1), 0, rows(1..=5))]);
    store.commit(&[unmark(key(1))]);
    store.commit(&[marked(key(1), 5, rows(6..=6))]);
    store.commit(&[marked(key(1), 6, rows(7..=7))]);
    assert_eq!(store.mark(key(1)), Some(5));
    store.commit(&[marked(key(1), 3, rows(8..=8))]);
    assert_eq!(store.mark(key(1)), Some(3));
}

pub fn marks_of_a_group_are_set_in_order(store: &mut Store) {
    store.commit(&[marked(key(1), 0, rows(1..=5)), marked(key(1), 5, rows(6..=6))]);
    assert_eq!(store.mark(key(1)), Some(0));
    store.commit(&[unmark(key(1)), marked(key(1), 6, rows(7..=7))]);
    assert_eq!(store.mark(key(1)), Some(6));
    store.commit(&[marked(key(1), 2, rows(8..=8)), unmark(key(1))]);
    assert_eq!(store.mark(key(1)), None);
    store.commit(&[marked(key(1), 8, rows(9..=9)), unmark(key(1)), marked(key(1), 9, rows(10..=10))]);
    assert_eq!(store.mark(key(1)), Some(9));
    assert_eq!(store.marks(ALL_SLOTS, None, 9), (vec![key(1)], false));
}

/// An answer that was lost: the rows are there, and are asked for again.
pub fn an_append_again_keeps_its_mark(store: &mut Store) {
    store.commit(&[marked(key(1), 0, rows(1..=2))]);
    store.commit(&[marked(key(1), 0, rows(1..=2))]);
    assert_eq!(store.mark(key(1)), Some(0));
    store.commit(&[marked(key(1), 0, rows(1..=4))]);
    assert_eq!(store.mark(key(1)), Some(0));
    assert_eq!(unplaced(&store.all(key(1))), rows(1..=4));
}

fn many_marks(store: &mut Store) -> Vec<ConversationKey> {
    let mut keys: Vec<_> = (0..40).map(key).collect();
    let writes: Vec<Write> = keys.iter().map(|&key| marked(key, 0, rows(1..=1))).collect();
    store.commit(&writes);
    keys.sort_by_key(|&key| (slot(key), key));
    keys
}

pub fn marks_are_in_order_of_slots(store: &mut Store) {
    let keys = many_marks(store);
    assert_eq!(store.marks(ALL_SLOTS, None, 99), (keys.clone(), false));
    for range in [0..=HASH_SLOTS / 2, HASH_SLOTS / 2 + 1..=HASH_SLOTS - 1, slot(keys[7])..=slot(keys[7])] {
        let inside: Vec<_> = keys.iter().copied().filter(|&key| range.contains(&slot(key))).collect();
        assert_eq!(store.marks(range.clone(), None, 99), (inside, false), "{range:?}");
    }
    let (last, first) = (slot(keys[9]), slot(keys[0]));
    assert_eq!(store.marks(last..=first, None, 99), (vec![], false), "slots the wrong way round");
    store.put(unmark(keys[3]));
    assert_eq!(store.marks(ALL_SLOTS, None, 99).0.len(), 39);
}

pub fn marks_are_paged(store: &mut Store) {
    let keys = many_marks(store);
    let mut after = None;
    for (at, page) in keys.chunks(7).enumerate() {
        let is_last = (at + 1) * 7 >= keys.len();
        assert_eq!(store.marks(ALL_SLOTS, after, 7), (page.to_vec(), !is_last));
        after = page.last().copied();
    }
    assert_eq!(store.marks(ALL_SLOTS, after, 7), (vec![], false));
    // What was named last may have lost its mark since.
    store.put(unmark(keys[9]));
    assert_eq!(store.marks(ALL_SLOTS, Some(keys[9]), 2), (keys[10..12].to_vec(), true));
    let from = slot(keys[20]);
    assert_eq!(store.marks(from..=HASH_SLOTS - 1, Some(keys[2]), 2).0[0], keys[20], "an `after` before the range");
    assert_eq!(store.marks(0..=slot(keys[5]), Some(keys[20]), 2), (vec![], false), "and one behind it");
}

pub fn marks_of_tenants_are_apart(store: &mut Store) {
    let other = ConversationKey { tenant: TenantId(9), ..key(1) };
    store.commit(&[marked(key(1), 0, rows(1..=1)), marked(other, 0, rows(1..=1))]);
    store.put(unmark(key(1)));
    assert_eq!((store.mark(key(1)), store.mark(other)), (None, Some(0)));
    assert_eq!(store.marks(ALL_SLOTS, None, 9), (vec![other], false));
}

pub fn ceilings_never_go_down(store: &mut Store) {
    assert_eq!(store.ceiling(user(ALICE)), 0);
    store.put(ceiling(user(ALICE), 1024));
    assert_eq!(store.put(ceiling(user(ALICE), 1023)), PutOutcome::Done);
    assert_eq!(store.ceiling(user(ALICE)), 1024);
    store.commit(&[ceiling(user(ALICE), 3000), ceiling(user(ALICE), 2000), ceiling(user(BOB), 5)]);
    assert_eq!((store.ceiling(user(ALICE)), store.ceiling(user(BOB)), store.ceiling(user(CAROL))), (3000, 5, 0));
}

fn revocation(until_s: u64, user: UserKey, device: Option<u32>) -> Revocation {
    Revocation { until_s, key: user, device: device.map(DeviceId), issued_to_s: 7 }
}

pub fn revocations_are_in_order_of_their_ends(store: &mut Store) {
    assert_eq!(store.revocations(None, 9), (vec![], false));
    let other = UserKey { tenant: TenantId(9), ..user(ALICE) };
    let all = [
        revocation(100, user(ALICE), None),
        revocation(100, user(ALICE), Some(1)),
        revocation(100, user(ALICE), Some(u32::MAX)),
        revocation(100, other, None),
        revocation(u64::MAX, user(BOB), Some(3)),
    ];
    for at in [4, 1, 3, 0, 2] {
        store.put(revoke(all[at], 0));
    }
    assert_eq!(store.revocations(None, 9), (all.to_vec(), false));
    assert_eq!(store.revocations(None, 2), (all[..2].to_vec(), true));
    assert_eq!(store.revocations(Some(all[1]), 3), (all[2..].to_vec(), false));
    assert_eq!(store.revocations(Some(all[4]), 3), (vec![], false));
    let later = Revocation { issued_to_s: 8, ..all[1] };
    store.put(revoke(later, 0));
    assert_eq!(store.revocations(Some(all[0]), 1), (vec![later], true), "the last one counts");
}

pub fn revocations_are_forgotten_when_they_have_ended(store: &mut Store) {
    for until_s in 1..=20 {
        store.put(revoke(revocation(until_s, user(ALICE), Some(1)), 0));
    }
    let lasting = revocation(99, user(BOB), None);
    store.put(revoke(lasting, 5));
    assert_eq!(store.revocations(None, 99).0.len(), 16, "1 to 5 have ended");
    // Two of a group want to forget the same.
    store.commit(&[revoke(lasting, 20), revoke(revocation(98, user(BOB), None), 20)]);
    store.put(revoke(lasting, 20));
    assert_eq!(store.revocations(None, 99).0, [revocation(98, user(BOB), None), lasting]);
    // One that has ended already is there until the next one comes.
    store.put(revoke(revocation(3, user(BOB), Some(1)), 20));
    assert_eq!(store.revocations(None, 1).0, [revocation(3, user(BOB), Some(1))]);
}

pub fn the_last_position_counts(store: &mut Store) {
    assert_eq!(store.position(user(ALICE), 1), None);
    store.put(position(user(ALICE), 1, 9));
    store.put(position(user(ALICE), 1, 4));
    assert_eq!(store.position(user(ALICE), 1), Some(4));
    store.commit(&[position(user(ALICE), 1, 8), position(user(ALICE), 1, 0), position(user(ALICE), 2, 7)]);
    assert_eq!(store.position(user(ALICE), 1), Some(0), "0 is a position");
    assert_eq!((store.position(user(ALICE), 2), store.position(user(BOB), 1)), (Some(7), None));
}

pub fn receipts_never_go_down(store: &mut Store) {
    store.append(key(1), rows(1..=9));
    assert_eq!(store.conversation(key(1)).expect("there").receipts, []);
    store.put(receipts(key(1), &[receipt(ALICE, 1, 5, 3)]));
    store.put(receipts(key(1), &[receipt(ALICE, 1, 4, 4)]));
    assert_eq!(store.conversation(key(1)).expect("there").receipts, [receipt(ALICE, 1, 5, 4)]);
    store.commit(&[receipts(key(1), &[receipt(ALICE, 1, 9, 0)]), receipts(key(1), &[receipt(ALICE, 1, 7, 7)])]);
    assert_eq!(store.conversation(key(1)).expect("there").receipts, [receipt(ALICE, 1, 9, 7)]);
    assert_eq!(store.put(receipts(key(1), &[])), PutOutcome::Done);
}

pub fn receipts_are_in_order(store: &mut Store) {
    store.commit(&[append(key(1), rows(1..=9)), append(key(2), rows(1..=9))]);
    let of_one = [receipt(ALICE, 2, 1, 0), receipt(UserId(u64::MAX), u32::MAX, 9, 9), receipt(BOB, 300, 2, 1)];
    store.put(receipts(key(1), &of_one));
    store.put(receipts(key(2), &[receipt(ALICE, 2, 6, 6)]));
    store.put(receipts(key(1), &[receipt(BOB, 2, 3, 3)]));
    let sorted = [receipt(BOB, 2, 3, 3), of_one[2], of_one[0], of_one[1]];
    assert_eq!(store.conversation(key(1)).expect("there").receipts, sorted);
    assert_eq!(store.conversation(key(2)).expect("there").receipts, [receipt(ALICE, 2, 6, 6)]);
}

pub fn missing_users_are_named(store: &mut Store) {
    assert_eq!(store.missing(&[ALICE, BOB]), [ALICE, BOB]);
    store.put(account(user(ALICE), "Alice"));
    store.put(account(UserKey { tenant: TenantId(1), user: CAROL }, "Carol"));
    assert_eq!(store.missing(&[CAROL, ALICE, BOB]), [CAROL, BOB]);
    assert_eq!(store.missing(&[ALICE]), []);
    assert_eq!(store.missing(&[]), []);
}

fn group_meta() -> ConversationMeta {
    ConversationMeta { kind: 2, created_ms: 5, peers: vec![], title: "Éire 🦀".to_owned() }
}

fn make_group(store: &mut Store, number: u8) {
    let rows = vec![change_row(1, ALICE, Change::Created, &[BOB])];
    let append = Append { key: key(number), meta: Some(group_meta()), mark: Some(0), rows };
    store.commit(&[Write::Append(Box::new(append))]);
}

fn members(store: &Store, number: u8) -> Vec<Member> {
    store.conversation(key(number)).expect("there").members
}

fn group_checkpoint(as_of_seq: u64, members: &[Member]) -> Write {
    put(Put::Checkpoint { key: key(1), as_of_seq, devices: vec![], members: members.to_vec() })
}

pub fn members_come_from_rows(store: &mut Store) {
    make_group(store, 1);
    let image = store.conversation(key(1)).expect("there");
    assert_eq!((image.meta, image.mark), (group_meta(), Some(0)));
    assert_eq!(image.members, [member(BOB, Role::Member, 1, NO_END), member(ALICE, Role::Admin, 1, NO_END)]);
    store.append(key(1), vec![change_row(2, ALICE, Change::Added, &[CAROL, BOB]), row(3, b"hello")]);
    store.append(key(1), vec![change_row(4, ALICE, Change::Removed, &[BOB])]);
    let three = [
        member(BOB, Role::Member, 1, 4),
        member(ALICE, Role::Admin, 1, NO_END),
        member(CAROL, Role::Member, 2, NO_END),
    ];
    assert_eq!(members(store, 1), three);
    store.append(key(2), rows(1..=3));
    assert_eq!(members(store, 2), [], "a 1:1 has peers");
}

pub fn members_come_from_checkpoint_and_rows(store: &mut Store) {
    make_group(store, 1);
    store.append(key(1), vec![change_row(2, ALICE, Change::Removed, &[BOB])]);
    let counted = [member(BOB, Role::Member, 1, 2), member(ALICE, Role::Admin, 1, NO_END)];
    store.put(group_checkpoint(2, &counted));
    assert_eq!(members(store, 1), counted);
    // Added again, removed and added once more above it, the other one leaves: order is everything.
    let again = vec![
        change_row(3, ALICE, Change::Added, &[BOB]),
        change_row(4, BOB, Change::Removed, &[BOB]),
        change_row(5, ALICE, Change::Added, &[BOB, CAROL]),
        change_row(6, ALICE, Change::Removed, &[ALICE]),
    ];
    store.append(key(1), again);
    let three =
        [member(BOB, Role::Admin, 5, NO_END), member(ALICE, Role::Admin, 1, 6), member(CAROL, Role::Member, 5, NO_END)];
    assert_eq!(members(store, 1), three);
}

/// What a checkpoint says of the rows it covers counts, and not these rows.
pub fn a_change_below_the_checkpoint_is_counted_once(store: &mut Store) {
    make_group(store, 1);
    store.append(key(1), vec![change_row(2, ALICE, Change::Added, &[CAROL]), row(3, b"hello")]);
    let told = [member(UserId(7), Role::Admin, 1, NO_END)];
    store.put(group_checkpoint(3, &told));
    assert_eq!(members(store, 1), told);
    store.append(key(1), vec![change_row(4, ALICE, Change::Removed, &[UserId(7)])]);
    assert_eq!(members(store, 1), [member(UserId(7), Role::Admin, 1, 4)]);
}

/// More rows above the checkpoint than are recent.
pub fn members_of_many_rows_are_folded_in_order(store: &mut Store) {
    make_group(store, 1);
    let change = |seq: u64| {
        let change = if seq.is_multiple_of(2) { Change::Removed } else { Change::Added };
        if seq.is_multiple_of(5) { row(seq, &[7; 300]) } else { change_row(seq, ALICE, change, &[UserId(seq % 3)]) }
    };
    let rows: Vec<Row> = (2..=1200).map(change).collect();
    store.append(key(1), rows.clone());
    let mut expected = trunkline_shards::members::Members::default();
    expected.apply(&change_row(1, ALICE, Change::Created, &[BOB]));
    rows.iter().for_each(|row| expected.apply(row));
    assert_eq!(members(store, 1), expected.to_list());
    assert_eq!(expected.len(), 5);
}

pub fn rows_of_the_server_have_no_device(store: &mut Store) {
    make_group(store, 1);
    let image = store.conversation(key(1)).expect("there");
    assert_eq!((image.devices, image.last_seq, image.recent.len()), (vec![], 1, 1));
    store.append(key(1), vec![sent_row(2, BOB, 3, 1, b"hello"), change_row(3, BOB, Change::Removed, &[BOB])]);
    assert_eq!(store.conversation(key(1)).expect("there").devices, [device_high(BOB, 3, 1)]);
}

pub fn a_checkpoint_of_a_group_never_goes_back(store: &mut Store) {
    make_group(store, 1);
    store.append(key(1), vec![change_row(2, ALICE, Change::Added, &[CAROL])]);
    let two = [member(BOB, Role::Member, 1, NO_END), member(ALICE, Role::Admin, 1, NO_END)];
    let three = [two[0], two[1], member(CAROL, Role::Member, 2, NO_END)];
    store.commit(&[group_checkpoint(2, &three), group_checkpoint(1, &two)]);
    let image = store.conversation(key(1)).expect("there");
    assert_eq!((image.checkpoint_seq, &image.members[..]), (2, &three[..]));
    store.put(group_checkpoint(1, &two));
    assert_eq!(store.conversation(key(1)).expect("there").checkpoint_seq, 2);
}
