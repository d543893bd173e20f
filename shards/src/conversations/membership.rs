//! Groups are made and change, and everybody sees exactly what is meant for it.

use alloc::vec;
use alloc::vec::Vec;

use super::rig::{Rig, caller, group_key, users};
use trunkline_wire::ids::UserId;
use trunkline_wire::message::{Change, ErrorCode, Role};

use crate::entry::HomeRequest;
use crate::store::{ConversationKey, StoreFault};

const FULL: StoreFault = StoreFault::Full;

fn members_of(rig: &mut Rig, by: u64) -> u32 {
    let conversation = group_key().conversation;
    rig.ask(HomeRequest::Members { caller: caller(by), request: 9, conversation, after: UserId(0), limit: 10 })
}

#[test]
fn a_window_hides_what_came_before_and_after_it() {
    let mut rig = Rig::with_group(1, &[2], &[]);
    let key: ConversationKey = group_key();
    rig.send(key, 1, 1);
    rig.settle();
    rig.change(1, Change::Added, &[3]);
    rig.settle();
    rig.send(key, 1, 2);
    rig.settle();
    rig.change(1, Change::Removed, &[2]);
    rig.settle();
    rig.send(key, 1, 3);
    rig.settle();
    // Rows: 1 created, 2 text, 3 three joins, 4 text, 5 two leaves, 6 text. Once from memory, once from the store.
    for shed in [false, true] {
        if shed {
            rig.conversations.here(key).unwrap().shed();
        }
        let pages = [
            (3, 0, true, 50, (vec![3, 4, 5, 6], false, 6)),
            (3, 0, true, 2, (vec![5, 6], true, 6)),
            (3, 4, true, 2, (vec![3, 4], false, 6)),
            (3, 2, true, 2, (vec![], false, 6)),
            (3, 1, false, 2, (vec![3, 4], true, 6)),
            (2, 0, true, 50, (vec![1, 2, 3, 4, 5], false, 5)),
            (2, 6, true, 2, (vec![4, 5], true, 5)),
            (2, 4, false, 50, (vec![4, 5], false, 5)),
            (2, 6, false, 50, (vec![], false, 5)),
        ];
        for (by, from_seq, backward, limit, expected) in pages {
            let page = rig.history(key, by, from_seq, backward, limit);
            rig.settle();
            assert_eq!(rig.page(page), expected, "user {by} from {from_seq} (backward: {backward}, shed: {shed})");
        }
    }
    let (member, former, stranger) = (rig.open(key, 3), rig.open(key, 2), rig.open(key, 4));
    assert_eq!(rig.opened(member), (Role::Member as u8, 3, 0, 6, 2));
    assert_eq!(rig.opened(former), (0, 1, 5, 5, 0));
    assert_eq!(rig.refusal(stranger), ErrorCode::NotFound);
    let pages = [(3, None), (2, Some(ErrorCode::Forbidden)), (4, Some(ErrorCode::NotFound))];
    for (by, refusal) in pages {
        let page = members_of(&mut rig, by);
        match refusal {
            Some(code) => assert_eq!(rig.refusal(page), code),
            None => assert!(matches!(rig.answer(page), crate::entry::HomeAnswer::Frame(_))),
        }
    }
}

#[test]
fn who_left_repeats_but_sends_nothing_new() {
    let mut rig = Rig::with_group(1, &[2], &[]);
    rig.send(group_key(), 2, 1);
    rig.settle();
    let left = rig.change(2, Change::Removed, &[2]);
    rig.settle();
    assert_eq!(rig.changed(left), 3);
    let (again, new) = (rig.send(group_key(), 2, 1), rig.send(group_key(), 2, 2));
    assert_eq!(rig.ack(again), (vec![2], None));
    assert_eq!(rig.ack(new), (vec![], Some(ErrorCode::Forbidden)));
    let left_again = rig.change(2, Change::Removed, &[2]);
    assert_eq!(rig.changed(left_again), 0);
    let add = rig.change(2, Change::Added, &[2]);
    assert_eq!(rig.refusal(add), ErrorCode::Forbidden);
}

#[test]
fn a_removal_counts_at_once_and_is_undone_if_the_disk_is_full() {
    let mut rig = Rig::with_group(1, &[2, 3], &[]);
    let key = group_key();
    let before: Vec<_> = rig.conversations.here(key).unwrap().roster.iter().collect();
    // The admin goes too, so that somebody is appointed: that is undone as well.
    let removal = rig.change(1, Change::Removed, &[1, 2]);
    let send = rig.send(key, 2, 1);
    assert!(!rig.is_answered(removal) && !rig.is_answered(send), "both wait until the removal is durable");
    let open = rig.open(key, 2);
    assert_eq!(rig.opened(open).2, 0, "what is not durable is not shown");
    let again = rig.change(1, Change::Removed, &[1]);
    assert!(!rig.is_answered(again), "that there is nothing to change is as little durable");
    rig.fail_next(FULL);
    assert_eq!(rig.refusal(removal), ErrorCode::StorageFull);
    assert_eq!(rig.refusal(again), ErrorCode::StorageFull);
    assert_eq!(rig.ack(send), (vec![], Some(ErrorCode::Busy)));
    let conversation = rig.conversations.here(key).unwrap();
    assert_eq!(conversation.roster.iter().collect::<Vec<_>>(), before);
    assert_eq!(conversation.roster.count(), 3);
    let send = rig.send(key, 2, 1);
    rig.settle();
    assert_eq!(rig.ack(send), (vec![2], None));
    assert_eq!(rig.delivered(true), [(1, 2), (2, 2), (3, 2)]);
}

#[test]
fn a_removal_that_becomes_durable_refuses_what_was_sent_behind_it() {
    let mut rig = Rig::with_group(1, &[2], &[]);
    rig.change(1, Change::Removed, &[2]);
    let send = rig.send(group_key(), 2, 1);
    rig.settle();
    assert_eq!(rig.ack(send), (vec![], Some(ErrorCode::Forbidden)));
}

#[test]
fn a_group_that_could_not_be_written_is_nothing() {
    let mut rig = Rig::new(1, 10, &[]);
    let (created, again) = (rig.create(&[2]), rig.create(&[2]));
    rig.store_next();
    rig.store_next();
    rig.store_next();
    assert!(rig.open(group_key(), 1) > 0 && rig.appends().len() == 1);
    rig.fail_next(FULL);
    assert_eq!(rig.refusal(created), ErrorCode::StorageFull);
    assert_eq!(rig.refusal(again), ErrorCode::StorageFull);
    assert_eq!((rig.conversations.cached(), rig.shared.cache.bytes()), (0, 0));
    let created = rig.create(&[2]);
    rig.settle();
    assert_eq!(rig.opened(created), (Role::Admin as u8, 1, 0, 1, 2));
    let again = rig.create(&[2]);
    assert_eq!(rig.opened(again).1, 1);
    assert_eq!(rig.images[&group_key()].last_seq, 1, "the same nonce is the same group");
}

#[test]
fn members_are_users_and_not_too_many() {
    let mut rig = Rig::new(1, 10, &[("group_members_max", 3)]);
    rig.missing_users = users(&[5]);
    let (missing, full) = (rig.create(&[5]), rig.create(&[2, 3, 4]));
    rig.settle();
    assert_eq!(rig.refusal(missing), ErrorCode::UnknownPeer);
    assert_eq!(rig.refusal(full), ErrorCode::GroupFull);
    assert_eq!(rig.conversations.cached(), 0, "nothing is left of a group that was not made");
    rig.create(&[2]);
    rig.settle();
    for (by, change, ids, refusal) in [
        (1, Change::Added, &[5][..], ErrorCode::UnknownPeer),
        (1, Change::Added, &[3, 4], ErrorCode::GroupFull),
        (2, Change::Added, &[3], ErrorCode::Forbidden),
        (2, Change::Removed, &[1], ErrorCode::Forbidden),
        (2, Change::Removed, &[1, 2], ErrorCode::Forbidden),
        (9, Change::Removed, &[9], ErrorCode::NotFound),
    ] {
        let refused = rig.change(by, change, ids);
        rig.settle();
        assert_eq!(rig.refusal(refused), refusal, "{by}: {change:?} {ids:?}");
    }
    let known = rig.change(1, Change::Added, &[1, 2]);
    assert_eq!(rig.changed(known), 0);
    assert_eq!(rig.images[&group_key()].last_seq, 1);
}

#[test]
fn each_seq_goes_to_those_whose_window_holds_it() {
    let mut rig = Rig::with_group(1, &[2, 3], &[]);
    let key = group_key();
    // Everything is judged before the second append is durable, and handed on afterwards.
    rig.send(key, 1, 1);
    rig.change(1, Change::Removed, &[2]);
    rig.send(key, 1, 2);
    rig.change(1, Change::Added, &[4]);
    rig.store_next();
    rig.settle_loads();
    rig.send(key, 1, 3);
    rig.settle();
    let expected = [
        (1, 2),
        (2, 2),
        (3, 2),
        (1, 3),
        (2, 3),
        (3, 3),
        (1, 4),
        (3, 4),
        (1, 5),
        (3, 5),
        (4, 5),
        (1, 6),
        (3, 6),
        (4, 6),
    ];
    assert_eq!(rig.delivered(true), expected);
    let windows: Vec<_> = rig.deliveries.iter().flat_map(|(_, delivery)| delivery.windows.clone()).collect();
    assert_eq!(windows, [(UserId(2), 1, 3), (UserId(4), 5, u64::MAX)]);
}

#[test]
fn targets_are_put_together_again_only_when_members_change() {
    let mut rig = Rig::with_group(1, &[2], &[]);
    rig.send(group_key(), 1, 1);
    rig.settle();
    rig.send(group_key(), 1, 2);
    rig.settle();
    rig.change(1, Change::Removed, &[2]);
    rig.settle();
    let lists: Vec<_> = rig.deliveries.iter().map(|(_, delivery)| delivery.users.as_ptr()).collect();
    assert_eq!(lists.len(), 3);
    assert_eq!(lists[0], lists[1], "the same list is shared");
}

#[test]
fn who_left_comes_back_only_when_what_it_may_see_is_handed_on() {
    // One entry of room towards the other shard.
    let mut rig = Rig::new(2, 1, &[]);
    let key = group_key();
    let there = |rig: &Rig, user: u64| {
        rig.shared.router.home_of_user(crate::store::UserKey { tenant: key.tenant, user: UserId(user) }) == 1
    };
    let other = (2..100).find(|&user| there(&rig, user)).unwrap();
    rig.create(&[other]);
    rig.settle();
    rig.change(1, Change::Removed, &[other]);
    rig.settle();
    assert!(!rig.delivered(true).contains(&(other, 2)), "there is no room for the row that removes it");
    let added = rig.change(1, Change::Added, &[other]);
    assert_eq!(rig.refusal(added), ErrorCode::Busy);
    rig.shared.router.credit(1, 1);
    rig.conversations.unblock(1);
    rig.settle();
    assert!(rig.delivered(true).contains(&(other, 2)));
    rig.shared.router.credit(1, 1);
    let added = rig.change(1, Change::Added, &[other]);
    rig.settle();
    assert_eq!(rig.changed(added), 3);
    assert!(rig.delivered(true).contains(&(other, 3)));
}
