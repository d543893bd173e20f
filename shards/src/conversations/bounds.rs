//! Nothing that clients can make more of is without an end, and nobody takes the room of all others.

use alloc::vec;
use alloc::vec::Vec;

use trunkline_wire::ids::UserId;
use trunkline_wire::message::{Change, ErrorCode};

use super::rig::{Asked, Rig, TENANT, direct_key, group_key};
use crate::desk::Purpose;
use crate::store::{Put, UserKey};

/// The first users from `first` on whose home is shard 1.
fn users_of_shard_1(rig: &Rig, first: u64, count: usize) -> Vec<u64> {
    let is_there = |&user: &u64| rig.shared.router.home_of_user(UserKey { tenant: TENANT, user: UserId(user) }) == 1;
    (first..1_000).filter(is_there).take(count).collect()
}

fn give_back(rig: &mut Rig, shard: u16, entries: u32) {
    rig.shared.router.credit(shard, entries);
    rig.conversations.unblock(shard);
}

fn is_unmark(asked: &Asked) -> bool {
    matches!(asked, Asked::Put(put) if matches!(**put, Put::Unmark { .. }))
}

#[test]
fn handing_on_ends_with_the_budget() {
    let mut rig = Rig::with_group(1, &[2, 3, 4], &[]);
    for client_seq in 1..=3 {
        rig.send(group_key(), 1, client_seq);
        rig.store_next();
    }
    // Four recipients each: the second goes beyond the budget, the third has to wait.
    let left = rig.act(|conversations, turn| conversations.fan_out(turn, 5));
    assert_eq!((left, rig.deliveries.len()), (0, 2));
    let left = rig.act(|conversations, turn| conversations.fan_out(turn, 5));
    assert_eq!((left, rig.deliveries.len()), (1, 3));
}

#[test]
fn handing_on_goes_on_with_the_next_shard() {
    let members: Vec<u64> = (2..40).collect();
    let mut rig = Rig::with_group(4, &members, &[]);
    rig.send(group_key(), 1, 1);
    rig.store_next();
    let mut turns = 0;
    while rig.act(|conversations, turn| conversations.fan_out(turn, 1)) == 0 {
        turns += 1;
        assert_eq!(rig.deliveries.len(), turns.min(4));
    }
    assert_eq!(turns, 4);
    let all: Vec<_> = (1..40).map(|user| (user, 2)).collect();
    assert_eq!(rig.delivered(true), all, "once to everybody");
}

#[test]
fn announcements_are_not_too_large_to_be_bounded() {
    let members: Vec<u64> = (2..=2_100).collect();
    let limits = [("group_members_max", 3_000), ("fan_out_members_max", 2), ("large_announce_ms", 10)];
    let mut rig = Rig::with_group(1, &members, &limits);
    rig.send(group_key(), 1, 1);
    rig.store_next();
    rig.pass_ms(10);
    let sizes: Vec<_> = rig.deliveries.iter().map(|(_, delivery)| delivery.users.len()).collect();
    assert_eq!(sizes, [1, 1_024, 1_024, 52]);
    for index in 0..3 {
        rig.acknowledge(index);
    }
    rig.work();
    assert!(rig.asked.is_empty());
    rig.acknowledge(3);
    rig.work();
    assert!(rig.is_unmark_next());
}

#[test]
fn receipts_leave_half_of_the_reads_to_what_is_asked() {
    let mut rig = Rig::new(1, 1, &[("loads_max", 6)]);
    rig.settle();
    for peer in 2..=4 {
        rig.open_direct(1, peer);
    }
    assert_eq!(rig.asked.len(), 3);
    rig.receipt(group_key(), 1, 1, 1, 1);
    assert_eq!(rig.asked.len(), 3, "half of the room is taken");
    rig.open(group_key(), 1);
    assert_eq!(rig.asked.len(), 4);
}

#[test]
fn receipts_of_strangers_keep_nothing_in_memory() {
    let mut first = Rig::with_group(1, &[2], &[]);
    first.settle();
    let mut rig = Rig::new(1, 1, &[]);
    rig.images = first.images;
    for (user, is_touched) in [(9, false), (2, true)] {
        rig.receipt(group_key(), user, 1, 1, 1);
        rig.settle();
        assert_eq!(rig.conversations.here(group_key()).unwrap().residence.touched, is_touched);
    }
}

#[test]
fn former_members_are_not_too_many() {
    let mut rig = Rig::with_group(1, &[2], &[("group_members_max", 2)]);
    for user in 3..=8 {
        rig.change(1, Change::Removed, &[user - 1]);
        rig.settle();
        let added = rig.change(1, Change::Added, &[user]);
        rig.settle();
        assert!(rig.changed(added) > 0);
    }
    rig.change(1, Change::Removed, &[8]);
    rig.settle();
    let added = rig.change(1, Change::Added, &[9]);
    rig.settle();
    assert_eq!(rig.refusal(added), ErrorCode::GroupFull, "8 places for 2 members");
    let back = rig.change(1, Change::Added, &[3]);
    rig.settle();
    assert!(rig.changed(back) > 0, "it has its place");
}

#[test]
fn former_members_are_told_one_by_one() {
    // One entry of room towards the other shard.
    let mut rig = Rig::new(2, 1, &[]);
    let former = users_of_shard_1(&rig, 2, 5);
    rig.create(&former);
    rig.settle();
    give_back(&mut rig, 1, 1);
    rig.change(1, Change::Removed, &former);
    rig.settle();
    give_back(&mut rig, 1, 1);
    for &user in &former {
        rig.receipt(group_key(), user, 1, 2, 2);
    }
    rig.receipt(group_key(), 1, 1, 2, 2);
    for round in 1.. {
        rig.pass_ms(600);
        rig.settle();
        assert_eq!(rig.notices.iter().filter(|(shard, _)| *shard == 1).count(), round, "one fits");
        if !rig.images[&group_key()].receipts.is_empty() {
            break;
        }
        give_back(&mut rig, 1, 1);
    }
    assert_eq!(rig.images[&group_key()].receipts.len(), 6, "all are told, and then stored");
    let mut told: Vec<_> = rig.notices.iter().flat_map(|(_, notice)| notice.read.clone()).collect();
    told.sort_unstable();
    let mut all: Vec<_> = former.iter().chain(&[1]).map(|&user| (UserId(user), 2)).collect();
    all.sort_unstable();
    assert_eq!(told, all, "once each");
}

/// 1:1s of user 1 with one message each that is handed on and acknowledged: their marks may go.
fn with_marks(peers: core::ops::Range<u64>, limits: &[(&str, u64)]) -> Rig {
    let mut rig = Rig::new(1, 1, limits);
    for peer in peers {
        let key = rig.open_direct(1, peer);
        rig.settle_loads();
        rig.send(key, 1, 1);
        while rig.asked.iter().any(|(_, asked)| !matches!(asked, Asked::Put(_))) {
            rig.store_next();
        }
        rig.act(|conversations, turn| conversations.fan_out(turn, 1_000));
    }
    for index in 0..rig.deliveries.len() {
        rig.acknowledge(index);
    }
    rig
}

#[test]
fn marks_leave_room_to_lists() {
    for (puts_max, unmarks) in [(64, 30), (24, 12), (10, 5), (2, 1), (1, 1)] {
        let mut rig = with_marks(2..32, &[("puts_max", puts_max)]);
        rig.work();
        assert_eq!(rig.asked.len(), unmarks, "of {puts_max}");
        rig.settle();
        assert!(rig.images.values().all(|image| image.mark.is_none()));
    }
}

#[test]
fn one_mark_goes_whatever_lists_write() {
    let mut rig = with_marks(2..4, &[("puts_max", 24)]);
    // Somebody else has taken all the room but one.
    let other = || Put::Checkpoint { key: direct_key(), as_of_seq: 1, devices: vec![], members: vec![] };
    for _ in 0..23 {
        rig.act(|_, turn| turn.shared.desk.put(Purpose::Checkpoint, other(), turn.effects));
    }
    rig.work();
    assert_eq!(rig.asked.iter().filter(|(_, asked)| is_unmark(asked)).count(), 1);
}

#[test]
fn marks_and_watermarks_take_turns() {
    let mut rig = with_marks(2..12, &[("puts_max", 2)]);
    let keys: Vec<_> = rig.images.keys().copied().collect();
    for &key in &keys[..5] {
        rig.receipt(key, 1, 1, 1, 1);
    }
    let mut unmarks = Vec::new();
    for _ in 0..10 {
        rig.work();
        assert_eq!(rig.asked.len(), 1);
        unmarks.push(is_unmark(&rig.asked[0].1));
        rig.store_next();
    }
    assert_eq!(unmarks.iter().filter(|&&unmark| unmark).count(), 5);
    assert!(unmarks.windows(2).all(|two| two[0] != two[1]));
}

#[test]
fn who_left_takes_no_place_among_those_who_watch() {
    let mut rig = Rig::with_group(1, &[2, 3, 4], &[("fan_out_members_max", 2)]);
    rig.change(1, Change::Removed, &[4]);
    rig.settle();
    rig.pass_ms(rig.shared.limits.large_watch_ms);
    rig.settle();
    for user in [4, 2, 3] {
        rig.open(group_key(), user);
    }
    rig.deliveries.clear();
    rig.send(group_key(), 2, 1);
    rig.settle();
    assert_eq!(rig.delivered(true), [(2, 3), (3, 3)]);
}

#[test]
fn rows_that_wait_for_room_in_a_lane_are_counted() {
    let rate = 1_000_000_000;
    let limits = [
        ("conversation_pending_max", 4_096),
        ("conversation_pending_bytes_max", 1_024),
        ("conversation_send_burst", rate),
        ("conversation_send_per_s", rate),
    ];
    let mut rig = Rig::new(2, 1, &limits);
    let other = users_of_shard_1(&rig, 2, 1)[0];
    rig.create(&[other]);
    rig.settle();
    // There is no room in the lane now; every message has 4 bytes.
    for client_seq in 1..=257 {
        let send = rig.send(group_key(), 1, client_seq);
        rig.settle();
        let refusal = (client_seq == 257).then_some(ErrorCode::Busy);
        assert_eq!(rig.ack(send).1, refusal, "message {client_seq}");
    }
    give_back(&mut rig, 1, 1);
    rig.settle();
    let send = rig.send(group_key(), 1, 257);
    rig.settle();
    assert_eq!(rig.ack(send).1, None, "one was handed on");
}
