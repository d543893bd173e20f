//! What an envelope says, in words: every field of its typed view, one line each, nested tables indented.

use std::fmt::Display;

use trunkline_wire::ids::{ConversationId, MessageId, UserId};
use trunkline_wire::message::{
    Answer, Change, ContentKind, EnvelopeError, ErrorCode, Op, Request, decode_answer, decode_membership,
    decode_request, messages_of_page, peek_request, schema,
};

/// Decodes an envelope of either direction. Panics where it is none.
pub fn of_envelope(envelope: &[u8]) -> String {
    let (request, fields) = match decode_request(envelope) {
        Ok((request, view)) => (request, of_request(view)),
        Err(EnvelopeError::Unsupported { .. }) => {
            let (request, view) = decode_answer(envelope).expect("an envelope of a client or a server");
            (request, of_answer(view))
        }
        Err(error) => panic!("not an envelope: {error:?}"),
    };
    let (op, _) = peek_request(envelope).expect("a header");
    let name = Op::from_number(op).expect("an op");
    let header = line("op", format!("{op} {name:?}")) + &line("request", request);
    (header + &fields).trim_end().to_string()
}

fn of_request(view: Request<'_>) -> String {
    match view {
        Request::Hello(hello) => {
            line("protocol", hello.protocol()) + &text("token", hello.token()) + &text("client", hello.client())
        }
        Request::Resolve(resolve) => text("handle", resolve.handle()),
        Request::Open(open) => conversation(open.conversation()) + &line("peer", UserId(open.peer())),
        Request::Send(send) => {
            let messages = send.messages().into_iter().flatten().map(of_outgoing);
            conversation(send.conversation()) + &messages.collect::<String>()
        }
        Request::History(history) => {
            conversation(history.conversation())
                + &line("from_seq", history.from_seq())
                + &line("backward", history.backward())
                + &line("limit", history.limit())
                + &history_time(history.at_ms())
        }
        Request::Sync(sync) => {
            line("position", sync.position())
                + &line("below", sync.below())
                + &line("limit", sync.limit())
                + &line("stored", sync.stored())
        }
        Request::CreateGroup(group) => {
            line("nonce", format!("{:016x}", group.nonce())) + &text("title", group.title()) + &users(group.members())
        }
        Request::ChangeMembers(change) => {
            conversation(change.conversation()) + &of_change(change.change()) + &users(change.users())
        }
        Request::Members(members) => {
            conversation(members.conversation())
                + &line("after", UserId(members.after()))
                + &line("limit", members.limit())
        }
        Request::Report(report) => {
            let receipts = report.receipts().into_iter().flatten().map(|receipt| {
                let (delivered, read) = (receipt.delivered_seq(), receipt.read_seq());
                line("receipt", format!("{} delivered {delivered} read {read}", id(Some(receipt.conversation()))))
            });
            line("position", report.position()) + &receipts.collect::<String>()
        }
        Request::Typing(typing) => conversation(typing.conversation()),
        Request::Renew(renew) => text("token", renew.token()),
    }
}

fn of_answer(view: Answer<'_>) -> String {
    match view {
        Answer::Welcome(welcome) => of_welcome(welcome),
        Answer::Resolved(resolved) => line("user", UserId(resolved.user())),
        Answer::Opened(opened) => of_opened(opened),
        Answer::Ack(ack) => of_ack(ack),
        Answer::Message(message) => conversation(message.conversation()) + &of_message(message, ""),
        Answer::HistoryPage(page) => of_page(page),
        Answer::Synced(synced) => of_synced(synced),
        Answer::MembersChanged(changed) => {
            conversation(changed.conversation()) + &line("epoch", changed.epoch()) + &line("seq", changed.seq())
        }
        Answer::MembersPage(page) => of_members_page(page),
        Answer::Done(_) => String::new(),
        Answer::Advanced(advanced) => {
            let places = advanced.conversations().into_iter().flatten().map(|place| {
                line("place", format!("{} last_seq {}", id(Some(place.conversation())), place.last_seq()))
            });
            line("from", advanced.from()) + &line("to", advanced.to()) + &places.collect::<String>()
        }
        Answer::Receipts(receipts) => {
            let receipt = |r: &schema::UserReceipt| {
                line("user", format!("{} delivered {} read {}", UserId(r.user()), r.delivered_seq(), r.read_seq()))
            };
            let users = receipts.users().into_iter().flatten().map(receipt);
            conversation(receipts.conversation()) + &users.collect::<String>()
        }
        Answer::TypingNow(typing) => {
            conversation(typing.conversation())
                + &line("user", UserId(typing.user()))
                + &line("expires_ms", typing.expires_ms())
        }
        Answer::Error(error) => {
            code("code", error.code())
                + &text("message", error.message())
                + &line("retry_after_ms", error.retry_after_ms())
        }
        Answer::Renewed(renewed) => line("token_expires_ms", renewed.token_expires_ms()),
        Answer::GoAway(away) => code("reason", away.reason()) + &line("retry_after_ms", away.retry_after_ms()),
    }
}

fn of_outgoing(message: schema::Outgoing<'_>) -> String {
    line("message", "")
        + &line("  client_seq", message.client_seq())
        + &line("  message_id", MessageId(message.message_id()))
        + &line("  kind", message.kind())
        + &line("  flags", message.flags())
        + &body("  body", message.body().map(|body| body.bytes()))
        + &line("  sent_at_ms", message.sent_at_ms())
        + &line("  ref_seq", message.ref_seq())
        + &line("  mls_epoch", message.mls_epoch())
}

fn of_welcome(welcome: schema::Welcome<'_>) -> String {
    line("protocol", welcome.protocol())
        + &line("user", UserId(welcome.user()))
        + &line("device", welcome.device())
        + &line("session", format!("{:016x}", welcome.session()))
        + &line("server_time_ms", welcome.server_time_ms())
        + &line("token_expires_ms", welcome.token_expires_ms())
        + &line("heartbeat_ms", welcome.heartbeat_ms())
        + &line("body_bytes_max", welcome.body_bytes_max())
        + &line("send_messages_max", welcome.send_messages_max())
        + &line("requests_outstanding_max", welcome.requests_outstanding_max())
}

fn of_opened(opened: schema::Opened<'_>) -> String {
    conversation(opened.conversation())
        + &line("kind", opened.kind())
        + &line("epoch", opened.epoch())
        + &line("last_seq", opened.last_seq())
        + &line("high", opened.high())
        + &line("high_message_id", MessageId(opened.high_message_id()))
        + &line("peer", UserId(opened.peer()))
        + &text("title", opened.title())
        + &line("members", opened.members())
        + &line("role", opened.role())
        + &line("joined_seq", opened.joined_seq())
        + &line("left_seq", opened.left_seq())
        + &line("delivered_seq", opened.delivered_seq())
        + &line("read_seq", opened.read_seq())
}

fn of_ack(ack: schema::Ack<'_>) -> String {
    let accepted = ack.accepted().into_iter().flatten().map(|accepted| {
        let (client_seq, seq, ts_ms) = (accepted.client_seq(), accepted.seq(), accepted.ts_ms());
        line("accepted", format!("client_seq {client_seq} as seq {seq} at ts_ms {ts_ms}"))
    });
    conversation(ack.conversation())
        + &line("epoch", ack.epoch())
        + &accepted.collect::<String>()
        + &code("refusal", ack.refusal())
        + &line("high", ack.high())
        + &line("high_message_id", MessageId(ack.high_message_id()))
        + &line("retry_after_ms", ack.retry_after_ms())
}

fn of_message(message: schema::Message<'_>, indent: &str) -> String {
    let line = |name: &str, value: &dyn Display| line(&format!("{indent}{name}"), value);
    line("epoch", &message.epoch())
        + &line("seq", &message.seq())
        + &line("ts_ms", &message.ts_ms())
        + &line("sender", &UserId(message.sender()))
        + &line("device", &message.device())
        + &line("message_id", &MessageId(message.message_id()))
        + &line("kind", &message.kind())
        + &line("flags", &message.flags())
        + &of_content(indent, message)
        + &line("sent_at_ms", &message.sent_at_ms())
        + &line("ref_seq", &message.ref_seq())
        + &line("mls_epoch", &message.mls_epoch())
}

fn of_page(page: schema::HistoryPage<'_>) -> String {
    let messages = messages_of_page(&page).map(|message| {
        assert!(message.conversation().is_none(), "the page names it once");
        line("message", "") + &of_message(message, "  ")
    });
    conversation(page.conversation())
        + &line("epoch", page.epoch())
        + &line("more", page.more())
        + &line("last_seq", page.last_seq())
        + &messages.collect::<String>()
        + &page.names().into_iter().flatten().map(of_name).collect::<String>()
}

/// Said where it is given only: most pages are asked for by seq.
fn history_time(at_ms: u64) -> String {
    if at_ms == 0 { String::new() } else { line("at_ms", at_ms) }
}

fn of_name(name: schema::SenderName<'_>) -> String {
    line("name", UserId(name.user())) + &text("  name", name.name())
}

/// The body of a message: text, or what happened to the members.
fn of_content(indent: &str, message: schema::Message<'_>) -> String {
    let bytes = message.body().map(|body| body.bytes());
    if message.kind() != ContentKind::Membership as u8 {
        return body(&format!("{indent}body"), bytes);
    }
    let said = of_membership(bytes.expect("a change of the members has a body"));
    let said = said.lines().map(|said| format!("{indent}  {said}\n"));
    line(&format!("{indent}body"), "") + &said.collect::<String>()
}

/// The body of a message that speaks of the members.
pub fn of_membership(body: &[u8]) -> String {
    let view = decode_membership(body).expect("a change of the members");
    of_change(view.change()) + &text("title", view.title()) + &users(view.users())
}

fn of_synced(synced: schema::Synced<'_>) -> String {
    let summaries = synced.conversations().into_iter().flatten().map(of_summary);
    line("from", synced.from())
        + &line("to", synced.to())
        + &line("more", synced.more())
        + &line("resync", synced.resync())
        + &summaries.collect::<String>()
}

fn of_summary(summary: schema::Summary<'_>) -> String {
    line("conversation", id(summary.conversation()))
        + &line("  kind", summary.kind())
        + &line("  peer", UserId(summary.peer()))
        + &line("  last_seq", summary.last_seq())
        + &line("  user_seq", summary.user_seq())
        + &line("  read_seq", summary.read_seq())
        + &line("  joined_seq", summary.joined_seq())
        + &line("  left_seq", summary.left_seq())
        + &text("  title", summary.title())
}

fn of_members_page(page: schema::MembersPage<'_>) -> String {
    let members = page.members().into_iter().flatten().map(|member| {
        line("member", UserId(member.user()))
            + &line("  role", member.role())
            + &line("  joined_seq", member.joined_seq())
            + &line("  delivered_seq", member.delivered_seq())
            + &line("  read_seq", member.read_seq())
    });
    conversation(page.conversation())
        + &text("title", page.title())
        + &line("more", page.more())
        + &line("last_seq", page.last_seq())
        + &members.collect::<String>()
}

fn of_change(number: u8) -> String {
    let name = Change::from_number(number).map_or("none".into(), |change| format!("{change:?}"));
    line("change", format!("{number} {name}"))
}

fn users(users: Option<flatbuffers::Vector<'_, u64>>) -> String {
    users.into_iter().flatten().map(|user| line("user", UserId(user))).collect()
}

fn line(name: &str, value: impl Display) -> String {
    format!("{}\n", format!("{name}: {value}").trim_end())
}

fn id(id: Option<&schema::ConversationId>) -> String {
    id.map_or("none".into(), |id| ConversationId(id.0).to_text())
}

fn conversation(conversation: Option<&schema::ConversationId>) -> String {
    line("conversation", id(conversation))
}

fn text(name: &str, text: Option<&str>) -> String {
    line(name, text.map_or("none".into(), |text| format!("{text:?}")))
}

fn body(name: &str, body: Option<&[u8]>) -> String {
    text(name, body.map(|body| std::str::from_utf8(body).expect("bodies of the vectors are text")))
}

fn code(name: &str, number: u16) -> String {
    line(name, format!("{number} {}", ErrorCode::from_number(number).map_or("none", ErrorCode::name)))
}
