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
use crate::store::{ConversationKey, ConversationMeta, Load, Loaded, Member, StoreFault};
use crate::turn::Turn;

/// Members and former members there may be of a group, for each member that it may have.
const PLACES_PER_MEMBER: usize = 4;

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
        let now_ns = turn.now.mono_ns;
        if let Some(conversation) = self.here(key).filter(|conversation| !conversation.is_unborn()) {
            conversation.touch(now_ns);
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
        if let Some(conversation) = self.here(key) {
            conversation.touch(now_ns);
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
pub(super) fn take_change(
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

pub(super) fn answer_when_durable(turn: &mut Turn<'_>, conversation: &mut Conversation, change: WaitingChange) {
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
    let is_admin = |member: &Member| member.role == Role::Admin as u8 && member.left_seq == u64::MAX;
    if !standing.as_ref().is_some_and(is_admin) {
        // What takes the role away may still fail.
        let was_admin = roster.durable(caller).is_some_and(|member| is_admin(&member));
        return Err(if was_admin { ErrorCode::Busy } else { ErrorCode::Forbidden });
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
    // Those who left keep their places, for what they may still see: there is an end to these, too.
    let new = added.iter().filter(|&&user| roster.latest(user).is_none()).count();
    let members_max = limits.group_members_max as usize;
    let is_full = !added.is_empty() && roster.count() + added.len() > members_max
        || new > 0 && roster.places() + new > PLACES_PER_MEMBER * members_max;
    if is_full { Err(ErrorCode::GroupFull) } else { Ok(added) }
}

fn group_meta(turn: &Turn<'_>, title: String) -> ConversationMeta {
    let kind = ConversationKind::Group as u8;
    ConversationMeta { kind, created_ms: turn.now.wall_ms, peers: Vec::new(), title }
}
