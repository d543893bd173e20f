//! Promises about users' lists.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use trunkline_shards::store::{About, ListChange, ListRow, PutOutcome, UserKey};
use trunkline_wire::ids::{ConversationId, TenantId, UserId};

use crate::rows::*;

fn window(change: ListChange, joined_seq: u64, left_seq: u64) -> ListChange {
    ListChange { window: Some((joined_seq, left_seq)), ..change }
}

fn titled(change: ListChange, title: &str) -> ListChange {
    ListChange { about: About { title: title.to_owned(), ..about() }, ..change }
}

/// Conversations and numbers, as they come.
fn places((rows, more): (Vec<ListRow>, bool)) -> (Vec<(u8, u64)>, bool) {
    (rows.iter().map(|row| (row.conversation.0[0], row.user_seq)).collect(), more)
}

pub fn a_new_row_begins_open(store: &mut Store) {
    assert_eq!(store.list_row(user(ALICE), 1), None);
    assert_eq!(store.put(lists(vec![news(user(ALICE), 1, 7, 3)])), PutOutcome::Done);
    assert_eq!(store.list_row(user(ALICE), 1), Some(list_row(1, 7, 3)));
    assert_eq!(store.list_row(user(ALICE), 2), None);
    let peer = About { kind: 1, peer: BOB, title: String::new() };
    store.put(lists(vec![window(ListChange { about: peer.clone(), read_seq: 2, ..news(user(ALICE), 2, 8, 5) }, 4, 6)]));
    let row = ListRow { read_seq: 2, joined_seq: 4, left_seq: 6, about: peer, ..list_row(2, 8, 5) };
    assert_eq!(store.list_row(user(ALICE), 2), Some(row));
}

pub fn numbers_of_a_row_never_go_down(store: &mut Store) {
    store.put(lists(vec![ListChange { read_seq: 4, ..news(user(ALICE), 1, 7, 9) }]));
    store.put(lists(vec![news(user(ALICE), 1, 5, 8)]));
    assert_eq!(store.list_row(user(ALICE), 1), Some(ListRow { read_seq: 4, ..list_row(1, 7, 9) }));
    store.put(lists(vec![ListChange { read_seq: 6, ..news(user(ALICE), 1, 6, 0) }]));
    assert_eq!(store.list_row(user(ALICE), 1), Some(ListRow { read_seq: 6, ..list_row(1, 7, 9) }));
    store.put(lists(vec![news(user(ALICE), 1, 8, 0)]));
    assert_eq!(store.list_row(user(ALICE), 1), Some(ListRow { read_seq: 6, ..list_row(1, 8, 9) }));
    assert_eq!(places(store.list(user(ALICE), 0, u64::MAX, 9)), (vec![(1, 8)], false));
}

pub fn a_late_change_brings_no_name_back(store: &mut Store) {
    store.put(lists(vec![titled(news(user(ALICE), 1, 7, 1), "new")]));
    store.put(lists(vec![titled(news(user(ALICE), 1, 6, 2), "old")]));
    let row = store.list_row(user(ALICE), 1).expect("there");
    assert_eq!((row.about.title.as_str(), row.user_seq, row.last_seq), ("new", 7, 2));
    store.put(lists(vec![titled(news(user(ALICE), 1, 8, 0), "")]));
    assert_eq!(store.list_row(user(ALICE), 1).expect("there").about.title, "");
}

fn windows(store: &mut Store, given: &[Option<(u64, u64)>]) -> (u64, u64) {
    for (user_seq, given) in (1..).zip(given) {
        store.put(lists(vec![ListChange { window: *given, ..news(user(ALICE), 1, user_seq, 1) }]));
    }
    let row = store.list_row(user(ALICE), 1).expect("there");
    (row.joined_seq, row.left_seq)
}

pub fn a_later_join_wins(store: &mut Store) {
    assert_eq!(windows(store, &[Some((3, u64::MAX)), Some((3, 9)), Some((20, u64::MAX)), None]), (20, u64::MAX));
}

pub fn of_the_same_join_the_end_wins(store: &mut Store) {
    assert_eq!(windows(store, &[Some((3, 9)), Some((3, u64::MAX)), None]), (3, 9));
}

pub fn an_earlier_window_is_nothing(store: &mut Store) {
    assert_eq!(windows(store, &[Some((20, u64::MAX)), Some((3, 9)), Some((3, u64::MAX))]), (20, u64::MAX));
}

pub fn changes_of_a_group_are_merged(store: &mut Store) {
    store.put(lists(vec![news(user(ALICE), 1, 3, 3)]));
    let one = lists(vec![news(user(ALICE), 1, 5, 7), news(user(BOB), 1, 1, 7)]);
    let late = lists(vec![ListChange { read_seq: 2, ..news(user(ALICE), 1, 4, 9) }]);
    let last = lists(vec![window(news(user(ALICE), 1, 6, 8), 1, 9), news(user(ALICE), 2, 7, 1)]);
    store.commit(&[one, late, last]);
    let row = ListRow { read_seq: 2, left_seq: 9, ..list_row(1, 6, 9) };
    assert_eq!(store.list_row(user(ALICE), 1), Some(row.clone()));
    assert_eq!(store.list(user(ALICE), 0, u64::MAX, 9), (vec![list_row(2, 7, 1), row], false));
    assert_eq!(store.list(user(BOB), 0, u64::MAX, 9), (vec![list_row(1, 1, 7)], false));
}

fn five(store: &mut Store) {
    let numbers = [(200, 3), (3, 12), (255, 1), (0, 7), (17, 256)];
    let changes = numbers.iter().map(|&(number, user_seq)| news(user(ALICE), number, user_seq, 1)).collect();
    store.put(lists(changes));
}

pub fn lists_are_in_order_of_changes(store: &mut Store) {
    five(store);
    let all = vec![(17, 256), (3, 12), (0, 7), (200, 3), (255, 1)];
    assert_eq!(places(store.list(user(ALICE), 0, u64::MAX, 9)), (all, false));
    store.put(lists(vec![news(user(ALICE), 255, 300, 2), news(user(ALICE), 3, 299, 2)]));
    let all = vec![(255, 300), (3, 299), (17, 256), (0, 7), (200, 3)];
    assert_eq!(places(store.list(user(ALICE), 0, u64::MAX, 5)), (all, false));
}

pub fn lists_are_paged_downwards(store: &mut Store) {
    five(store);
    assert_eq!(places(store.list(user(ALICE), 0, u64::MAX, 2)), (vec![(17, 256), (3, 12)], true));
    assert_eq!(places(store.list(user(ALICE), 0, 12, 2)), (vec![(0, 7), (200, 3)], true));
    assert_eq!(places(store.list(user(ALICE), 0, 3, 2)), (vec![(255, 1)], false));
    assert_eq!(places(store.list(user(ALICE), 1, 12, 2)), (vec![(0, 7), (200, 3)], false));
    assert_eq!(places(store.list(user(ALICE), 3, 12, 2)), (vec![(0, 7)], false));
}

pub fn list_bounds_are_outside(store: &mut Store) {
    five(store);
    assert_eq!(places(store.list(user(ALICE), 12, 256, 9)), (vec![], false));
    assert_eq!(places(store.list(user(ALICE), 11, 13, 9)), (vec![(3, 12)], false));
    assert_eq!(places(store.list(user(ALICE), 13, 11, 9)), (vec![], false), "bounds the wrong way round");
    assert_eq!(places(store.list(user(ALICE), u64::MAX, u64::MAX, 9)), (vec![], false));
    assert_eq!(places(store.list(user(ALICE), 0, 0, 9)), (vec![], false));
    assert_eq!(places(store.list(user(ALICE), 0, u64::MAX, 0)), (vec![], true));
    assert_eq!(places(store.list(user(ALICE), 256, u64::MAX, 0)), (vec![], false));
}

pub fn a_row_is_listed_once(store: &mut Store) {
    for user_seq in 1..=50 {
        store.put(lists(vec![news(user(ALICE), 1, user_seq, user_seq)]));
    }
    assert_eq!(store.list(user(ALICE), 0, u64::MAX, 1), (vec![list_row(1, 50, 50)], false), "nothing is behind it");
    assert_eq!(store.list(user(ALICE), 0, 50, 9), (vec![], false));
}

pub fn lists_of_users_and_tenants_are_apart(store: &mut Store) {
    let elsewhere = UserKey { tenant: TenantId(1), user: ALICE };
    let next = user(UserId(ALICE.0 + 1));
    store.put(lists(vec![news(user(ALICE), 1, 5, 1), news(elsewhere, 1, 6, 2), news(next, 1, 7, 3)]));
    for (key, user_seq, last_seq) in [(user(ALICE), 5, 1), (elsewhere, 6, 2), (next, 7, 3)] {
        assert_eq!(store.list(key, 0, u64::MAX, 9), (vec![list_row(1, user_seq, last_seq)], false));
        assert_eq!(store.list_row(key, 1), Some(list_row(1, user_seq, last_seq)));
    }
}

pub fn an_empty_change_of_lists_is_nothing(store: &mut Store) {
    assert_eq!(store.put(lists(vec![])), PutOutcome::Done);
    store.put(lists(vec![news(user(ALICE), 1, 5, 1)]));
    assert_eq!(store.put(lists(vec![news(user(ALICE), 1, 5, 1)])), PutOutcome::Done, "and the same again");
    assert_eq!(store.list(user(ALICE), 0, u64::MAX, 9), (vec![list_row(1, 5, 1)], false));
}

pub fn rows_of_the_same_number_are_both_listed(store: &mut Store) {
    store.put(lists(vec![news(user(ALICE), 1, 5, 1), news(user(ALICE), 2, 5, 1)]));
    assert_eq!(places(store.list(user(ALICE), 0, u64::MAX, 9)), (vec![(2, 5), (1, 5)], false));
}

type Model = BTreeMap<(UserKey, ConversationId), ListRow>;

fn change_model(model: &mut Model, change: &ListChange) {
    let fresh = ListRow { user_seq: 0, ..list_row(change.conversation.0[0], 0, 0) };
    let row = model.entry((change.key, change.conversation)).or_insert(fresh);
    row.user_seq = row.user_seq.max(change.user_seq);
    row.last_seq = row.last_seq.max(change.last_seq);
    row.read_seq = row.read_seq.max(change.read_seq);
    if let Some((joined_seq, left_seq)) = change.window {
        // The later join, and of the same one the end: the order of (joined, how early it ended).
        let given = (joined_seq, u64::MAX - left_seq);
        let best = given.max((row.joined_seq, u64::MAX - row.left_seq));
        (row.joined_seq, row.left_seq) = (best.0, u64::MAX - best.1);
    }
}

fn random_change(rng: &mut ChaCha8Rng, user_seq: u64) -> ListChange {
    let mut below = |bound: u64| rng.next_u64() % bound;
    let key = user([ALICE, BOB][below(2) as usize]);
    // A number that no other change has, and that may come late.
    let user_seq = user_seq * 8 - below(3) * 159;
    let change = news(key, below(12) as u8, user_seq, below(40));
    let window = [None, Some((1 + below(4) * 10, if below(2) == 0 { u64::MAX } else { 50 }))][below(2) as usize];
    ListChange { read_seq: below(30), window, ..change }
}

/// Changes in any order and grouping, read back in pages of any size.
pub fn lists_agree_with_a_model(store: &mut Store) {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut model = Model::new();
    let mut user_seq = 100;
    for round in 0..60 {
        let mut group = Vec::new();
        for _ in 0..=rng.next_u64() % 3 {
            let mut changes = BTreeMap::new();
            for _ in 0..=rng.next_u64() % 9 {
                user_seq += 1;
                let change = random_change(&mut rng, user_seq);
                changes.insert((change.key, change.conversation), change);
            }
            changes.values().for_each(|change| change_model(&mut model, change));
            group.push(lists(changes.into_values().collect()));
        }
        store.commit(&group);
        for key in [user(ALICE), user(BOB)] {
            let above = rng.next_u64() % (user_seq * 8);
            let rows = model.iter().filter(|(place, row)| place.0 == key && row.user_seq > above);
            let mut expected: Vec<ListRow> = rows.map(|(_, row)| row.clone()).collect();
            expected.sort_by_key(|row| std::cmp::Reverse((row.user_seq, row.conversation)));
            assert_eq!(paged(store, key, above, 1 + rng.next_u32() % 5), expected, "round {round}");
        }
    }
}

fn paged(store: &Store, key: UserKey, above: u64, rows_max: u32) -> Vec<ListRow> {
    let (mut all, mut below) = (Vec::new(), u64::MAX);
    loop {
        let (page, more) = store.list(key, above, below, rows_max);
        assert!(page.len() == rows_max as usize || !more, "a page is full if there are more");
        below = page.last().map_or(0, |row| row.user_seq);
        all.extend(page);
        if !more {
            return all;
        }
    }
}
