//! What a conversation's home answers: frames made from its state as far as that is durable, and as far as the caller sees it.

use alloc::vec::Vec;

use trunkline_wire::ids::UserId;
use trunkline_wire::limits::MEMBERS_PAGE_MAX;
use trunkline_wire::message::{self, ErrorCode};

use crate::archive::ImportAck;
use crate::conversation::{ChangeAnswer, Conversation, JudgedSend, Settled, WaitingChange};
use crate::entry::{Caller, HomeAnswer};
use crate::router::Reply;
use crate::store::{Member, Row};
use crate::turn::Turn;

/// A conversation as one of its members, past or present, sees it.
pub(super) fn answer_opened(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    (reply, request): (Reply, u32),
    caller: &Caller,
    member: &Member,
) {
    let (high, high_message_id) = conversation.durable_high(caller.user, caller.device);
    let is_member = member.left_seq == u64::MAX;
    let (_, last_seq) = conversation.window_of(member);
    let opened = message::Opened {
        conversation: conversation.key.conversation,
        kind: conversation.meta.kind,
        epoch: conversation.epoch,
        last_seq,
        high,
        high_message_id,
        peer: conversation.meta.peer_of(caller.user),
        title: &conversation.meta.title,
        // What became of the group since is not for those who left.
        members: if is_member { conversation.roster.durable_count() as u32 } else { 0 },
        role: if is_member { member.role } else { 0 },
        joined_seq: member.joined_seq,
        left_seq: if is_member { 0 } else { member.left_seq },
        delivered_seq: conversation.watermarks.of_device(caller.user, caller.device).delivered_seq,
        read_seq: conversation.watermarks.of_user(caller.user).read_seq,
    };
    let mut frame = Vec::new();
    turn.shared.encoder.opened(request, &opened).write_server_frame(&mut frame);
    turn.answer(reply, HomeAnswer::Frame(frame));
}

/// A Send is settled, and what it speaks of is durable.
pub(super) fn answer_send(turn: &mut Turn<'_>, conversation: &Conversation, send: JudgedSend) {
    let (high, high_message_id) = conversation.durable_high(send.caller.user, send.caller.device);
    let retry_after_ms = send.refusal.map_or(0, |code| turn.retry_after_ms(code));
    if let Some(code) = send.refusal {
        turn.shared.counters.count_error(code);
    }
    if let Reply::Administrator(_) = send.reply {
        let ack = ImportAck { accepted: send.accepted.len() as u64, refusal: send.refusal, high };
        return turn.answer(send.reply, HomeAnswer::Imported(ack));
    }
    let ack = message::Ack {
        conversation: conversation.key.conversation,
        epoch: if send.accepted.is_empty() { conversation.epoch } else { send.epoch },
        accepted: &send.accepted,
        refusal: send.refusal,
        high,
        high_message_id,
        retry_after_ms,
    };
    let mut frame = Vec::new();
    turn.shared.encoder.ack(send.request, &ack).write_server_frame(&mut frame);
    turn.answer(send.reply, HomeAnswer::Frame(frame));
}

/// A change of the members is durable.
pub(super) fn answer_change(turn: &mut Turn<'_>, conversation: &Conversation, change: &WaitingChange) {
    let WaitingChange { caller, reply, request, answer, .. } = change;
    match (answer, conversation.roster.durable(caller.user)) {
        (ChangeAnswer::Opened, Some(member)) => {
            answer_opened(turn, conversation, (*reply, *request), caller, &member);
        }
        (ChangeAnswer::Opened, None) => turn.refuse(*reply, ErrorCode::NotFound),
        (ChangeAnswer::Changed(seq), _) => {
            let mut frame = Vec::new();
            let (id, epoch) = (conversation.key.conversation, conversation.epoch);
            turn.shared.encoder.members_changed(*request, id, epoch, *seq).write_server_frame(&mut frame);
            turn.answer(*reply, HomeAnswer::Frame(frame));
        }
    }
}

/// Everybody who waited for an append that is durable, or (`is_stored` not) never will be.
pub(super) fn answer_settled(turn: &mut Turn<'_>, conversation: &Conversation, settled: Settled, is_stored: bool) {
    for send in settled.sends {
        answer_send(turn, conversation, send);
    }
    for change in &settled.changes {
        if is_stored {
            answer_change(turn, conversation, change);
        } else {
            turn.refuse(change.reply, ErrorCode::StorageFull);
        }
    }
}

/// A page of the present members, with how far they are.
pub(super) fn answer_members(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    (reply, request): (Reply, u32),
    after: UserId,
    limit: u16,
) {
    let limit = usize::from(limit).clamp(1, MEMBERS_PAGE_MAX);
    let mut members = conversation.roster.durable_after(after);
    let page: Vec<_> = members
        .by_ref()
        .take(limit)
        .map(|member| {
            let highest = conversation.watermarks.of_user(member.user);
            message::Member {
                user: member.user,
                role: member.role,
                joined_seq: member.joined_seq,
                delivered_seq: highest.delivered_seq,
                read_seq: highest.read_seq,
            }
        })
        .collect();
    let last = (members.next().is_some(), conversation.durable_seq);
    let (id, title) = (conversation.key.conversation, &conversation.meta.title);
    let mut frame = Vec::new();
    turn.shared.encoder.members_page(request, id, title, &page, last).write_server_frame(&mut frame);
    turn.answer(reply, HomeAnswer::Frame(frame));
}

/// A row as recipients see it.
pub(crate) fn fields_of(row: &Row) -> message::Message<'_> {
    message::Message {
        epoch: row.epoch,
        seq: row.seq,
        ts_ms: row.ts_ms,
        sender: row.sender,
        device: row.device,
        message_id: row.message_id,
        kind: row.kind,
        flags: row.flags,
        body: &row.body,
        sent_at_ms: row.sent_at_ms,
        ref_seq: row.ref_seq,
        mls_epoch: row.mls_epoch,
    }
}
