//! What an envelope says, in words: every field of its typed view, one line each, nested tables indented.

use std::fmt::Display;

use trunkline_wire::ids::{ConversationId, MessageId, UserId};
use trunkline_wire::message::{
    Answer, EnvelopeError, ErrorCode, Op, Request, decode_answer, decode_request, messages_of_page, peek_request,
    schema,
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
        }
        Request::List(list) => line("after", id(list.after())) + &line("limit", list.limit()),
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
        Answer::Listed(listed) => {
            let summaries = listed.conversations().into_iter().flatten().map(of_summary);
            line("more", listed.more()) + &summaries.collect::<String>()
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
        + &body(&format!("{indent}body"), message.body().map(|body| body.bytes()))
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
}

fn of_summary(summary: schema::Summary<'_>) -> String {
    line("conversation", id(summary.conversation()))
        + &line("  kind", summary.kind())
        + &line("  peer", UserId(summary.peer()))
        + &line("  last_seq", summary.last_seq())
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
