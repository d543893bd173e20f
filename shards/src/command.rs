//! What a client asked, taken out of its bytes: checked, owned, and free of the buffer it came in.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use trunkline_wire::handle::Handle;
use trunkline_wire::ids::{ConversationId, MessageId, UserId};
use trunkline_wire::limits::{
    BODY_BYTES_MAX, CLIENT_NAME_BYTES_MAX, MEMBERS_PAGE_MAX, REPORT_RECEIPTS_MAX, SEND_BYTES_MAX, SEND_MESSAGES_MAX,
    TITLE_BYTES_MAX,
};
use trunkline_wire::message::{Change, ContentKind, EnvelopeError, ErrorCode, Request, decode_request, schema};
use trunkline_wire::violation::Violation;

use crate::entry::OutgoingMessage;

/// One envelope of a client. Each carries the client's number for it.
#[derive(Debug)]
pub(crate) enum Command {
    Hello {
        request: u32,
        protocol: u16,
        token: String,
    },
    Resolve {
        request: u32,
        folded: String,
    },
    OpenPeer {
        request: u32,
        peer: UserId,
    },
    Open {
        request: u32,
        conversation: ConversationId,
    },
    Send {
        request: u32,
        conversation: ConversationId,
        messages: Vec<OutgoingMessage>,
    },
    History {
        request: u32,
        conversation: ConversationId,
        from_seq: u64,
        at_ms: u64,
        backward: bool,
        limit: u16,
    },
    Sync {
        request: u32,
        position: Option<u64>,
        below: u64,
        limit: u16,
    },
    CreateGroup {
        request: u32,
        nonce: u64,
        title: String,
        members: Vec<UserId>,
    },
    ChangeMembers {
        request: u32,
        conversation: ConversationId,
        change: Change,
        users: Vec<UserId>,
    },
    Members {
        request: u32,
        conversation: ConversationId,
        after: UserId,
        limit: u16,
    },
    Report {
        request: u32,
        position: u64,
        receipts: Vec<(ConversationId, u64, u64)>,
    },
    Typing {
        request: u32,
        conversation: ConversationId,
    },
    Renew {
        request: u32,
        token: String,
    },
    /// Well formed, but it says nothing that can be done.
    Refused {
        request: u32,
        code: ErrorCode,
    },
}

/// Reads an envelope. What is no envelope at all is a violation.
pub(crate) fn read(bytes: &[u8]) -> Result<Command, Violation> {
    let (request, view) = match decode_request(bytes) {
        Ok(decoded) => decoded,
        Err(EnvelopeError::Unsupported { request, .. }) if request != 0 => {
            return Ok(Command::Refused { request, code: ErrorCode::Unsupported });
        }
        Err(_) => return Err(Violation::MalformedEnvelope),
    };
    // 0 is what the server pushes: an answer could not be told from that.
    if request == 0 {
        return Err(Violation::MalformedEnvelope);
    }
    let command = match view {
        Request::Hello(hello) => read_hello(request, &hello),
        Request::Resolve(resolve) => read_resolve(request, &resolve),
        Request::Open(open) => read_open(request, &open),
        Request::Send(send) => read_send(request, &send),
        Request::History(history) => read_history(request, &history),
        Request::Sync(sync) => {
            let position = (!sync.stored()).then_some(sync.position());
            Ok(Command::Sync { request, position, below: sync.below(), limit: sync.limit() })
        }
        Request::CreateGroup(group) => read_create_group(request, &group),
        Request::ChangeMembers(change) => read_change_members(request, &change),
        Request::Members(members) => match members.conversation() {
            Some(id) => {
                let after = UserId(members.after());
                Ok(Command::Members { request, conversation: ConversationId(id.0), after, limit: members.limit() })
            }
            None => Err(ErrorCode::Malformed),
        },
        Request::Report(report) => read_report(request, &report),
        Request::Typing(typing) => match typing.conversation() {
            Some(id) => Ok(Command::Typing { request, conversation: ConversationId(id.0) }),
            None => Err(ErrorCode::Malformed),
        },
        Request::Renew(renew) => match renew.token() {
            Some(token) => Ok(Command::Renew { request, token: token.to_string() }),
            None => Err(ErrorCode::Malformed),
        },
    };
    Ok(command.unwrap_or_else(|code| Command::Refused { request, code }))
}

fn read_hello(request: u32, hello: &schema::Hello<'_>) -> Result<Command, ErrorCode> {
    let token = hello.token().unwrap_or_default().to_string();
    if hello.client().unwrap_or_default().len() > CLIENT_NAME_BYTES_MAX {
        return Err(ErrorCode::Malformed);
    }
    Ok(Command::Hello { request, protocol: hello.protocol(), token })
}

fn read_resolve(request: u32, resolve: &schema::Resolve<'_>) -> Result<Command, ErrorCode> {
    let handle = Handle::parse(resolve.handle().unwrap_or_default()).map_err(|_| ErrorCode::UnknownHandle)?;
    Ok(Command::Resolve { request, folded: handle.fold() })
}

fn read_open(request: u32, open: &schema::Open<'_>) -> Result<Command, ErrorCode> {
    match (open.conversation(), open.peer()) {
        (Some(conversation), 0) => Ok(Command::Open { request, conversation: ConversationId(conversation.0) }),
        (None, peer) if peer != 0 => Ok(Command::OpenPeer { request, peer: UserId(peer) }),
        _ => Err(ErrorCode::Malformed),
    }
}

fn read_history(request: u32, history: &schema::History<'_>) -> Result<Command, ErrorCode> {
    let conversation = ConversationId(history.conversation().ok_or(ErrorCode::Malformed)?.0);
    if history.from_seq() != 0 && history.at_ms() != 0 {
        return Err(ErrorCode::Malformed);
    }
    Ok(Command::History {
        request,
        conversation,
        from_seq: history.from_seq(),
        at_ms: history.at_ms(),
        backward: history.backward(),
        limit: history.limit(),
    })
}

fn read_create_group(request: u32, group: &schema::CreateGroup<'_>) -> Result<Command, ErrorCode> {
    let title = group.title().unwrap_or_default();
    let is_title = (1..=TITLE_BYTES_MAX).contains(&title.len()) && !title.chars().any(char::is_control);
    if group.nonce() == 0 || !is_title {
        return Err(ErrorCode::Malformed);
    }
    let members = read_users(group.members().into_iter().flatten())?;
    Ok(Command::CreateGroup { request, nonce: group.nonce(), title: title.to_string(), members })
}

fn read_change_members(request: u32, change: &schema::ChangeMembers<'_>) -> Result<Command, ErrorCode> {
    let conversation = ConversationId(change.conversation().ok_or(ErrorCode::Malformed)?.0);
    let users = read_users(change.users().into_iter().flatten())?;
    match Change::from_number(change.change()) {
        Some(kind @ (Change::Added | Change::Removed)) if !users.is_empty() => {
            Ok(Command::ChangeMembers { request, conversation, change: kind, users })
        }
        _ => Err(ErrorCode::Malformed),
    }
}

/// Ascending, each once.
fn read_users(users: impl Iterator<Item = u64>) -> Result<Vec<UserId>, ErrorCode> {
    let mut users: Vec<UserId> = users.take(MEMBERS_PAGE_MAX + 1).map(UserId).collect();
    users.sort_unstable();
    users.dedup();
    let bad = users.len() > MEMBERS_PAGE_MAX || users.first() == Some(&UserId(0));
    if bad { Err(ErrorCode::Malformed) } else { Ok(users) }
}

fn read_report(request: u32, report: &schema::Report<'_>) -> Result<Command, ErrorCode> {
    let views = report.receipts().into_iter().flatten();
    let receipts: Vec<_> = views
        .take(REPORT_RECEIPTS_MAX + 1)
        .map(|r| (ConversationId(r.conversation().0), r.delivered_seq(), r.read_seq()))
        .collect();
    if receipts.len() > REPORT_RECEIPTS_MAX {
        return Err(ErrorCode::Malformed);
    }
    Ok(Command::Report { request, position: report.position(), receipts })
}

/// The numbers of a Send are consecutive and begin at 1 or above; ids are not 0. A message that can be told to be bad
/// without its conversation carries its refusal along: it is judged in its turn, so that a repetition of something
/// accepted is never refused.
fn read_send(request: u32, send: &schema::Send<'_>) -> Result<Command, ErrorCode> {
    let conversation = ConversationId(send.conversation().ok_or(ErrorCode::Malformed)?.0);
    let views = send.messages().ok_or(ErrorCode::Malformed)?;
    if views.is_empty() || views.len() > SEND_MESSAGES_MAX {
        return Err(ErrorCode::Malformed);
    }
    let mut messages = Vec::with_capacity(views.len());
    let mut bytes = 0;
    let mut due = Some(views.get(0).client_seq());
    for view in views {
        if Some(view.client_seq()) != due || view.client_seq() == 0 || view.message_id() == 0 {
            return Err(ErrorCode::Malformed);
        }
        due = view.client_seq().checked_add(1);
        let message = read_outgoing(&view);
        bytes += message.body.len();
        messages.push(message);
    }
    if bytes > SEND_BYTES_MAX && messages.len() > 1 {
        return Err(ErrorCode::Malformed);
    }
    Ok(Command::Send { request, conversation, messages })
}

fn read_outgoing(view: &schema::Outgoing<'_>) -> OutgoingMessage {
    let body = view.body().map(|body| body.bytes()).unwrap_or_default();
    let refusal = if body.len() > BODY_BYTES_MAX {
        Some(ErrorCode::MessageTooLarge)
    } else {
        let admitted = ContentKind::from_number(view.kind()).is_some_and(|kind| kind.admits(body));
        let reserved = view.ref_seq() | view.mls_epoch() | view.sent_at_ms() | u64::from(view.flags());
        (!admitted || reserved != 0).then_some(ErrorCode::MessageInvalid)
    };
    OutgoingMessage {
        client_seq: view.client_seq(),
        message_id: MessageId(view.message_id()),
        kind: view.kind(),
        flags: view.flags(),
        ref_seq: view.ref_seq(),
        mls_epoch: view.mls_epoch(),
        refusal,
        imported: None,
        body: body.into(),
    }
}
