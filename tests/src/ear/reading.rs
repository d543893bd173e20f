//! Views of envelopes, read into values.

use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::message::{Answer, ErrorCode, Member, UserReceipt, messages_of_page, schema};

use super::{Ack, Advanced, MembersPage, Opened, Reply, Row, Summary, Synced};

pub(super) fn reply(answer: &Answer<'_>) -> Reply {
    match answer {
        Answer::Welcome(welcome) => Reply::Welcome {
            user: UserId(welcome.user()),
            device: welcome.device(),
            heartbeat_ms: welcome.heartbeat_ms(),
        },
        Answer::Resolved(resolved) => Reply::Resolved(UserId(resolved.user())),
        Answer::Opened(opened) => Reply::Opened(read_opened(opened)),
        Answer::Ack(ack) => Reply::Ack(read_ack(ack)),
        Answer::Message(message) => Reply::Message(conversation(message.conversation()), row(message)),
        Answer::HistoryPage(page) => Reply::Page {
            rows: messages_of_page(page).map(|message| row(&message)).collect(),
            more: page.more(),
            last_seq: page.last_seq(),
        },
        Answer::Synced(synced) => Reply::Synced(read_synced(synced)),
        Answer::MembersChanged(changed) => {
            Reply::MembersChanged { conversation: conversation(changed.conversation()), seq: changed.seq() }
        }
        Answer::MembersPage(page) => Reply::Members(read_members(page)),
        Answer::Done(_) => Reply::Done,
        Answer::Advanced(advanced) => Reply::Advanced(read_advanced(advanced)),
        Answer::Receipts(receipts) => Reply::Receipts(conversation(receipts.conversation()), read_receipts(receipts)),
        Answer::TypingNow(typing) => Reply::Typing {
            conversation: conversation(typing.conversation()),
            user: UserId(typing.user()),
            expires_ms: typing.expires_ms(),
        },
        Answer::Error(error) => Reply::Error { code: code(error.code()), retry_after_ms: error.retry_after_ms() },
        Answer::Renewed(renewed) => Reply::Renewed(renewed.token_expires_ms()),
        Answer::GoAway(_) => Reply::GoAway,
    }
}

fn read_opened(opened: &schema::Opened<'_>) -> Opened {
    Opened {
        conversation: conversation(opened.conversation()),
        kind: opened.kind(),
        last_seq: opened.last_seq(),
        high: opened.high(),
        high_message_id: opened.high_message_id(),
        peer: UserId(opened.peer()),
        title: opened.title().unwrap_or_default().to_owned(),
        members: opened.members(),
        role: opened.role(),
        joined_seq: opened.joined_seq(),
        left_seq: opened.left_seq(),
        delivered_seq: opened.delivered_seq(),
        read_seq: opened.read_seq(),
    }
}

fn read_ack(ack: &schema::Ack<'_>) -> Ack {
    let accepted = ack.accepted().into_iter().flatten();
    Ack {
        accepted: accepted.map(|one| (one.client_seq(), one.seq(), one.ts_ms())).collect(),
        refusal: (ack.refusal() != 0).then(|| code(ack.refusal())),
        high: ack.high(),
        high_message_id: ack.high_message_id(),
        retry_after_ms: ack.retry_after_ms(),
    }
}

fn read_synced(synced: &schema::Synced<'_>) -> Synced {
    let rows = synced.conversations().into_iter().flatten().map(|summary| Summary {
        conversation: conversation(summary.conversation()),
        kind: summary.kind(),
        peer: UserId(summary.peer()),
        last_seq: summary.last_seq(),
        user_seq: summary.user_seq(),
        read_seq: summary.read_seq(),
        joined_seq: summary.joined_seq(),
        left_seq: summary.left_seq(),
        title: summary.title().unwrap_or_default().to_owned(),
    });
    let rows = rows.collect();
    Synced { from: synced.from(), to: synced.to(), rows, more: synced.more(), resync: synced.resync() }
}

fn read_members(page: &schema::MembersPage<'_>) -> MembersPage {
    let members = page.members().into_iter().flatten().map(|member| Member {
        user: UserId(member.user()),
        role: member.role(),
        joined_seq: member.joined_seq(),
        delivered_seq: member.delivered_seq(),
        read_seq: member.read_seq(),
    });
    MembersPage {
        conversation: conversation(page.conversation()),
        title: page.title().unwrap_or_default().to_owned(),
        members: members.collect(),
        more: page.more(),
        last_seq: page.last_seq(),
    }
}

fn read_advanced(advanced: &schema::Advanced<'_>) -> Advanced {
    let places = advanced.conversations().into_iter().flatten();
    let places = places.map(|place| (ConversationId(place.conversation().0), place.last_seq())).collect();
    Advanced { from: advanced.from(), to: advanced.to(), places }
}

fn read_receipts(receipts: &schema::Receipts<'_>) -> Vec<UserReceipt> {
    let users = receipts.users().into_iter().flatten();
    let receipt = |one: &schema::UserReceipt| UserReceipt {
        user: UserId(one.user()),
        delivered_seq: one.delivered_seq(),
        read_seq: one.read_seq(),
    };
    users.map(receipt).collect()
}

fn row(message: &schema::Message<'_>) -> Row {
    Row {
        epoch: message.epoch(),
        seq: message.seq(),
        ts_ms: message.ts_ms(),
        sender: UserId(message.sender()),
        device: message.device(),
        message_id: message.message_id(),
        kind: message.kind(),
        body: message.body().map(|body| body.bytes().to_vec()).unwrap_or_default(),
    }
}

fn conversation(id: Option<&schema::ConversationId>) -> ConversationId {
    ConversationId(id.expect("the server names the conversation").0)
}

fn code(number: u16) -> ErrorCode {
    ErrorCode::from_number(number).unwrap_or_else(|| panic!("the server answered with the unknown code {number}"))
}
