//! Who types, told to those who are there and kept nowhere.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use trunkline_wire::ids::UserId;

use super::notices::notice_of;
use crate::conversation::Conversation;
use crate::entry::{Caller, Entry, HomeAnswer};
use crate::router::Reply;
use crate::turn::Turn;

/// A member types: the others are told, unless they were of late or there are too many of them.
pub(super) fn typing(
    turn: &mut Turn<'_>,
    conversation: &mut Conversation,
    (reply, request): (Reply, u32),
    caller: &Caller,
) {
    let (now_ns, every_ns) = (turn.now.mono_ns, turn.shared.limits.typing_ms * 1_000_000 / 2);
    let is_small = conversation.roster.count() as u64 <= turn.shared.limits.notice_members_max;
    let is_heard = is_small && !conversation.blocks.refuse(caller.user);
    if is_heard && conversation.crowd.admits_typing(caller.user, now_ns, every_ns) {
        tell_typing(turn, conversation, caller);
    }
    let mut frame = Vec::new();
    turn.shared.encoder.done(request).write_server_frame(&mut frame);
    turn.answer(reply, HomeAnswer::Frame(frame));
}

/// Without credit towards a shard its users are not told: what is said is old soon.
fn tell_typing(turn: &mut Turn<'_>, conversation: &Conversation, caller: &Caller) {
    let (id, expires_ms) = (conversation.key.conversation, turn.shared.limits.typing_ms as u32);
    let frame = turn.shared.encoder.typing_now(id, caller.user, expires_ms).to_shared_frame();
    for (shard, users) in conversation.members_by_home(&turn.shared.router) {
        let others: Arc<[UserId]> = if users.contains(&caller.user) {
            users.iter().copied().filter(|&user| user != caller.user).collect()
        } else {
            users
        };
        if !others.is_empty() && turn.shared.router.has_credit(shard) {
            let notice = notice_of(conversation, frame.clone(), others, Vec::new(), Some(caller.address));
            let posted = turn.shared.router.try_post(shard, Entry::Notice(Box::new(notice)), turn.effects);
            assert!(posted, "there was credit");
        }
    }
}

#[cfg(test)]
mod tests {
    use trunkline_wire::message::{Change, ErrorCode};

    use super::super::rig::{Rig, caller, group_key};
    use super::*;
    use crate::entry::HomeRequest;

    #[test]
    fn typing_is_told_to_the_others_now_and_then() {
        let mut rig = Rig::with_group(1, &[2, 3], &[("typing_ms", 1_000)]);
        let conversation = group_key().conversation;
        let typing = |by| HomeRequest::Typing { caller: caller(by), request: 9, conversation };
        let first = rig.ask(typing(2));
        assert!(matches!(rig.answer(first), HomeAnswer::Frame(_)));
        rig.ask(typing(2));
        rig.pass_ms(499);
        rig.ask(typing(2));
        assert_eq!(rig.notices.len(), 1);
        assert_eq!(*rig.notices[0].1.users, [UserId(1), UserId(3)]);
        rig.pass_ms(1);
        rig.ask(typing(2));
        assert_eq!(rig.notices.len(), 2);
        rig.change(1, Change::Removed, &[2]);
        rig.settle();
        let (former, stranger) = (rig.ask(typing(2)), rig.ask(typing(9)));
        assert_eq!(rig.refusal(former), ErrorCode::Forbidden);
        assert_eq!(rig.refusal(stranger), ErrorCode::NotFound);
        assert_eq!(rig.notices.len(), 2);
    }
}
