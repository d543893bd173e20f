//! Groups: made, and their members changed, by rows of their log.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use trunkline_wire::ids::{MessageId, UserId};
use trunkline_wire::message::{Change, ConversationKind, ErrorCode, Role};

use super::Conversations;
use super::answers::{answer_change, answer_opened};
use crate::conversation::{ChangeAnswer, Conversation, WaitingChange};
use crate::desk::Purpose;
use crate::entry::{Caller, HomeRequest};
use crate::limits::Limits;
use crate::router::Reply;
use crate::store::{ConversationKey, ConversationMeta, Load, Loaded, StoreFault};
use crate::turn::Turn;

impl Conversations {
    /// Makes a group, once it is known that its members are users. One that exists already is its creator's retry.
    pub(super) fn create_group(
        &mut self,
        turn: &mut Turn<'_>,
        key: ConversationKey,
        reply: Reply,
        request: HomeRequest,
    ) {
        let HomeRequest::CreateGroup { caller, request: number, members, .. } = &request else {
            unreachable!("the request makes a group");
        };
        if let Some(conversation) = self.here(key).filter(|conversation| !conversation.is_unborn()) {
            return answer_created(turn, conversation, reply, caller, *number);
        }
        if members.len() as u64 >= turn.shared.limits.group_members_max {
            return turn.refuse(reply, ErrorCode::GroupFull);
        }
        if !members.is_empty() && !turn.shared.desk.can_load(&turn.shared.limits) {
            return turn.refuse(reply, ErrorCode::Busy);
        }
        if self.here(key).is_none() {
            let meta = group_meta(turn, String::new());
            self.insert(turn, Conversation::new(key, meta, turn.shared.incarnation));
        }
        if members.is_empty() {
            return self.found_group(turn, key, reply, request);
        }
        let users = members.clone();
        self.check_users(turn, key, reply, users, request);
    }

    /// Writes the first row of a group.
    fn found_group(&mut self, turn: &mut Turn<'_>, key: ConversationKey, reply: Reply, request: HomeRequest) {
        let HomeRequest::CreateGroup { caller, request: number, title, members, .. } = request else {
            unreachable!("the request makes a group");
        };
        let conversation = self.here(key).expect("an unborn group stays until it is decided on");
        let body = turn.shared.encoder.membership_change(Change::Created, &members, &title);
        let change = (caller, reply, number, ChangeAnswer::Opened);
        conversation.meta = group_meta(turn, title).into();
        if let Err(code) = take_change(turn, conversation, change, body) {
            turn.refuse(reply, code);
        }
        self.drop_unborn(turn, key);
        self.append_next(turn, key);
    }

    /// Changes the members of a group, if the caller may; new ones are looked up first.
    pub(super) fn change_members(
        &mut self,
        turn: &mut Turn<'_>,
        key: ConversationKey,
        reply: Reply,
        request: HomeRequest,
    ) {
        let HomeRequest::ChangeMembers { caller, change, users, .. } = &request else {
            unreachable!("the request changes members");
        };
        let conversation = self.here(key).expect("a conversation stays while it is asked");
        match plan_change(conversation, caller.user, *change, users, &turn.shared.limits) {
            Err(code) => turn.refuse(reply, code),
            Ok(added) if *change == Change::Added && !added.is_empty() => {
                if turn.shared.desk.can_load(&turn.shared.limits) {
                    self.check_users(turn, key, reply, added, request);
                } else {
                    turn.refuse(reply, ErrorCode::Busy);
                }
            }
            Ok(changed) => self.carry_out_change(turn, key, reply, &request, &changed),
        }
    }

    fn check_users(
        &mut self,
        turn: &mut Turn<'_>,
        key: ConversationKey,
        reply: Reply,
        users: Vec<UserId>,
        request: HomeRequest,
    ) {
        self.here(key).expect("a conversation stays while it is asked").residence.lookups += 1;
        let purpose = Purpose::ChangeMembers(key, reply, Box::new(request));
        turn.shared.desk.load(purpose, Load::MissingUsers { tenant: key.tenant, users }, turn.effects);
    }

    /// The store says which of the new members are no users. Whether the caller may is judged again: time has passed.
    pub fn members_checked(
        &mut self,
        turn: &mut Turn<'_>,
        key: ConversationKey,
        reply: Reply,
        request: HomeRequest,
        loaded: Result<Loaded, StoreFault>,
    ) {
        let conversation = self.here(key).expect("a conversation stays while users are looked up for it");
        conversation.residence.lookups -= 1;
        match (loaded, &request) {
            (Ok(Loaded::MissingUsers(missing)), _) if !missing.is_empty() => turn.refuse(reply, ErrorCode::UnknownPeer),
            (Ok(Loaded::MissingUsers(_)), HomeRequest::CreateGroup { caller, request: number, .. }) => {
                if conversation.is_unborn() {
                    self.found_group(turn, key, reply, request);
                } else {
                    answer_created(turn, conversation, reply, caller, *number);
                }
            }
            (Ok(Loaded::MissingUsers(_)), HomeRequest::ChangeMembers { caller, change, users, .. }) => {
                match plan_change(conversation, caller.user, *change, users, &turn.shared.limits) {
                    Ok(changed) => self.carry_out_change(turn, key, reply, &request, &changed),
                    Err(code) => turn.refuse(reply, code),
                }
            }
            _ => turn.refuse(reply, ErrorCode::StorageUnavailable),
        }
        self.drop_unborn(turn, key);
        self.recharge(turn, key);
    }

    /// Writes the row of a change. Where there is nothing to change the answer still waits for what made it so.
    fn carry_out_change(
        &mut self,
        turn: &mut Turn<'_>,
        key: ConversationKey,
        reply: Reply,
        request: &HomeRequest,
        changed: &[UserId],
    ) {
        let &HomeRequest::ChangeMembers { caller, request: number, change, .. } = request else {
            unreachable!("the request changes members");
        };
        let conversation = self.here(key).expect("a conversation stays while it is asked");
        if changed.is_empty() {
            let need_seq = conversation.roster.pending_seq();
            let answer = ChangeAnswer::Changed(0);
            return answer_when_durable(
                turn,
                conversation,
                WaitingChange { caller, reply, request: number, answer, need_seq },
            );
        }
        let body = turn.shared.encoder.membership_change(change, changed, "");
        if let Err(code) = take_change(turn, conversation, (caller, reply, number, ChangeAnswer::Changed(0)), body) {
            return turn.refuse(reply, code);
        }
        self.append_next(turn, key);
    }

    /// A group that was not made, and that nobody looks up users for any more, is nothing.
    pub(super) fn drop_unborn(&mut self, turn: &mut Turn<'_>, key: ConversationKey) {
        let is_nothing =
            |conversation: &&mut Conversation| conversation.is_unborn() && !conversation.is_pinned(turn.now.mono_ns);
        if self.here(key).filter(is_nothing).is_some() {
            self.remove(turn, key);
        }
    }
}

/// Gives a change the next seq, and lets its caller wait; or says why there is no room.
fn take_change(
    turn: &mut Turn<'_>,
    conversation: &mut Conversation,
    (caller, reply, request, answer): (Caller, Reply, u32, ChangeAnswer),
    body: Vec<u8>,
) -> Result<(), ErrorCode> {
    let can_append = turn.shared.desk.can_append(&turn.shared.limits);
    if let Some(code) = conversation.refuses_row(body.len(), turn.now, &turn.shared.limits, can_append) {
        return Err(code);
    }
    let message_id = MessageId(turn.random_id());
    let seq = conversation.change_members(&caller, message_id, body, turn.now);
    let answer = if answer == ChangeAnswer::Opened { answer } else { ChangeAnswer::Changed(seq) };
    conversation.wait_for_change(WaitingChange { caller, reply, request, answer, need_seq: seq });
    Ok(())
}

fn answer_when_durable(turn: &mut Turn<'_>, conversation: &mut Conversation, change: WaitingChange) {
    if change.need_seq <= conversation.durable_seq {
        answer_change(turn, conversation, &change);
    } else {
        conversation.wait_for_change(change);
    }
}

/// A group that exists is asked for again: its creator sees it as it is, once it is durable.
fn answer_created(turn: &mut Turn<'_>, conversation: &mut Conversation, reply: Reply, caller: &Caller, request: u32) {
    if !conversation.is_group() {
        return turn.refuse(reply, ErrorCode::Forbidden);
    }
    if let Some(member) = conversation.roster.durable(caller.user) {
        return answer_opened(turn, conversation, (reply, request), caller, &member);
    }
    let need_seq = conversation.roster.pending_seq();
    let answer = ChangeAnswer::Opened;
    answer_when_durable(turn, conversation, WaitingChange { caller: *caller, reply, request, answer, need_seq });
}

/// Which of `users` a change really changes, or why the caller may not.
fn plan_change(
    conversation: &Conversation,
    caller: UserId,
    change: Change,
    users: &[UserId],
    limits: &Limits,
) -> Result<Vec<UserId>, ErrorCode> {
    if !conversation.is_group() {
        return Err(ErrorCode::Forbidden);
    }
    let roster = &conversation.roster;
    let standing = roster.latest(caller).filter(|member| member.left_seq == u64::MAX);
    if change == Change::Removed && users == [caller] {
        return Ok(standing.map(|member| member.user).into_iter().collect());
    }
    if standing.is_none_or(|member| member.role != Role::Admin as u8) {
        return Err(ErrorCode::Forbidden);
    }
    if change == Change::Removed {
        return Ok(users.iter().copied().filter(|&user| roster.is_member(user)).collect());
    }
    let added: Vec<UserId> = users.iter().copied().filter(|&user| !roster.is_member(user)).collect();
    // Rows that are still to be handed on go by the window that ended: it has to last until they are.
    let is_needed = |left_seq| left_seq > conversation.fan_out.done_seq || !conversation.announcing.due.is_empty();
    if added.iter().filter_map(|&user| roster.latest(user)).any(|member| is_needed(member.left_seq)) {
        return Err(ErrorCode::Busy);
    }
    let is_full = !added.is_empty() && (roster.count() + added.len()) as u64 > limits.group_members_max;
    if is_full { Err(ErrorCode::GroupFull) } else { Ok(added) }
}

fn group_meta(turn: &Turn<'_>, title: String) -> ConversationMeta {
    let kind = ConversationKind::Group as u8;
    ConversationMeta { kind, created_ms: turn.now.wall_ms, peers: Vec::new(), title }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::super::rig::{Rig, caller, group_key, users};
    use super::*;
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
        // All of it is judged before anything is durable, and handed on afterwards.
        rig.send(key, 1, 1);
        rig.change(1, Change::Removed, &[2]);
        rig.send(key, 1, 2);
        rig.change(1, Change::Added, &[4]);
        rig.store_next();
        rig.send(key, 1, 3);
        rig.settle();
        let expected = [(1, 2), (2, 2), (3, 2), (1, 3), (2, 3), (3, 3), (1, 4), (3, 4), (1, 5), (3, 5)];
        assert!(rig.delivered(true).starts_with(&expected), "{:?}", rig.delivered(true));
        let last = rig.delivered(true).split_off(expected.len());
        // User 4 was looked up before it was added, so the last text may come before or behind it.
        let seq_of_four = rig.images[&key].members.iter().find(|member| member.user == UserId(4)).unwrap().joined_seq;
        let seen: Vec<_> = (6..=6).flat_map(|seq| [(1, seq), (3, seq), (4, seq)]).collect();
        let text_first = seq_of_four == 6;
        assert_eq!(last, if text_first { seen } else { vec![(4, 5), (1, 6), (3, 6), (4, 6)] });
        let windows: Vec<_> = rig.deliveries.iter().flat_map(|(_, delivery)| delivery.windows.clone()).collect();
        assert_eq!(windows, [(UserId(2), 1, 3), (UserId(4), seq_of_four, u64::MAX)]);
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
}
