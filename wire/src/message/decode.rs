//! Bytes of one binary message to a verified, typed view.
//!
//! Hot path, step 3 of 8.

use flatbuffers::{Follow, Verifiable, VerifierOptions};

use super::{Op, schema};
use crate::limits::{
    CLIENT_VERIFIER_TABLES_MAX, ENVELOPE_HEADER_BYTES, FRAME_BYTES_MAX, SERVER_VERIFIER_DEPTH_MAX,
    SERVER_VERIFIER_TABLES_MAX,
};

/// What a client asks.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Request<'a> {
    Hello(schema::Hello<'a>),
    Resolve(schema::Resolve<'a>),
    Open(schema::Open<'a>),
    Send(schema::Send<'a>),
    History(schema::History<'a>),
    Sync(schema::Sync<'a>),
    CreateGroup(schema::CreateGroup<'a>),
    ChangeMembers(schema::ChangeMembers<'a>),
    Members(schema::Members<'a>),
    Report(schema::Report<'a>),
    Typing(schema::Typing<'a>),
    Renew(schema::Renew<'a>),
}

/// What a server answers or pushes.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Answer<'a> {
    Welcome(schema::Welcome<'a>),
    Resolved(schema::Resolved<'a>),
    Opened(schema::Opened<'a>),
    Ack(schema::Ack<'a>),
    Message(schema::Message<'a>),
    HistoryPage(schema::HistoryPage<'a>),
    Synced(schema::Synced<'a>),
    MembersChanged(schema::MembersChanged<'a>),
    MembersPage(schema::MembersPage<'a>),
    Done(schema::Done<'a>),
    Advanced(schema::Advanced<'a>),
    Receipts(schema::Receipts<'a>),
    TypingNow(schema::TypingNow<'a>),
    Error(schema::Error<'a>),
    Renewed(schema::Renewed<'a>),
    GoAway(schema::GoAway<'a>),
}

/// What is wrong with an envelope.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EnvelopeError {
    /// No whole header, flags that are not 0, or a body that the verifier refuses: the peer does not speak this protocol.
    Malformed,
    /// A well-formed header with an op that this side does not take.
    Unsupported {
        /// The op's number.
        op: u16,
        /// The request it came with.
        request: u32,
    },
}

/// The op and the request of an envelope, when it has a whole header.
pub fn peek_request(bytes: &[u8]) -> Option<(u16, u32)> {
    let (header, _) = bytes.split_first_chunk::<ENVELOPE_HEADER_BYTES>()?;
    let [op0, op1, _, _, r0, r1, r2, r3] = *header;
    Some((u16::from_le_bytes([op0, op1]), u32::from_le_bytes([r0, r1, r2, r3])))
}

/// Verifies an envelope from a client: its request number and a typed view.
pub fn decode_request(bytes: &[u8]) -> Result<(u32, Request<'_>), EnvelopeError> {
    let (op, request, body) = split(bytes)?;
    let options = VerifierOptions {
        max_depth: SERVER_VERIFIER_DEPTH_MAX,
        max_tables: SERVER_VERIFIER_TABLES_MAX,
        max_apparent_size: FRAME_BYTES_MAX,
        ignore_missing_null_terminator: false,
    };
    let view = match Op::from_number(op) {
        Some(Op::Hello) => Request::Hello(root::<schema::Hello>(&options, body)?),
        Some(Op::Resolve) => Request::Resolve(root::<schema::Resolve>(&options, body)?),
        Some(Op::Open) => Request::Open(root::<schema::Open>(&options, body)?),
        Some(Op::Send) => Request::Send(root::<schema::Send>(&options, body)?),
        Some(Op::History) => Request::History(root::<schema::History>(&options, body)?),
        Some(Op::Sync) => Request::Sync(root::<schema::Sync>(&options, body)?),
        Some(Op::CreateGroup) => Request::CreateGroup(root::<schema::CreateGroup>(&options, body)?),
        Some(Op::ChangeMembers) => Request::ChangeMembers(root::<schema::ChangeMembers>(&options, body)?),
        Some(Op::Members) => Request::Members(root::<schema::Members>(&options, body)?),
        Some(Op::Report) => Request::Report(root::<schema::Report>(&options, body)?),
        Some(Op::Typing) => Request::Typing(root::<schema::Typing>(&options, body)?),
        Some(Op::Renew) => Request::Renew(root::<schema::Renew>(&options, body)?),
        _ => return Err(EnvelopeError::Unsupported { op, request }),
    };
    Ok((request, view))
}

/// Verifies an envelope from a server: the number of the request it answers (0: pushed) and a typed view.
pub fn decode_answer(bytes: &[u8]) -> Result<(u32, Answer<'_>), EnvelopeError> {
    let (op, request, body) = split(bytes)?;
    let options = VerifierOptions {
        max_depth: SERVER_VERIFIER_DEPTH_MAX,
        max_tables: CLIENT_VERIFIER_TABLES_MAX,
        max_apparent_size: 4 * FRAME_BYTES_MAX,
        ignore_missing_null_terminator: false,
    };
    let view = match Op::from_number(op) {
        Some(Op::Welcome) => Answer::Welcome(root::<schema::Welcome>(&options, body)?),
        Some(Op::Resolved) => Answer::Resolved(root::<schema::Resolved>(&options, body)?),
        Some(Op::Opened) => Answer::Opened(root::<schema::Opened>(&options, body)?),
        Some(Op::Ack) => Answer::Ack(root::<schema::Ack>(&options, body)?),
        Some(Op::Message) => Answer::Message(root::<schema::Message>(&options, body)?),
        Some(Op::HistoryPage) => Answer::HistoryPage(root::<schema::HistoryPage>(&options, body)?),
        Some(Op::Synced) => Answer::Synced(root::<schema::Synced>(&options, body)?),
        Some(Op::MembersChanged) => Answer::MembersChanged(root::<schema::MembersChanged>(&options, body)?),
        Some(Op::MembersPage) => Answer::MembersPage(root::<schema::MembersPage>(&options, body)?),
        Some(Op::Done) => Answer::Done(root::<schema::Done>(&options, body)?),
        Some(Op::Advanced) => Answer::Advanced(root::<schema::Advanced>(&options, body)?),
        Some(Op::Receipts) => Answer::Receipts(root::<schema::Receipts>(&options, body)?),
        Some(Op::TypingNow) => Answer::TypingNow(root::<schema::TypingNow>(&options, body)?),
        Some(Op::Error) => Answer::Error(root::<schema::Error>(&options, body)?),
        Some(Op::Renewed) => Answer::Renewed(root::<schema::Renewed>(&options, body)?),
        Some(Op::GoAway) => Answer::GoAway(root::<schema::GoAway>(&options, body)?),
        _ => return Err(EnvelopeError::Unsupported { op, request }),
    };
    Ok((request, view))
}

/// The messages of a page; each stands without its conversation, which the page names once.
pub fn messages_of_page<'a>(page: &schema::HistoryPage<'a>) -> impl Iterator<Item = schema::Message<'a>> {
    page.messages().into_iter().flatten()
}

/// Verifies the body of a message of kind [`Membership`](super::ContentKind::Membership).
pub fn decode_membership(body: &[u8]) -> Result<schema::MembershipChange<'_>, EnvelopeError> {
    let options = VerifierOptions {
        max_depth: SERVER_VERIFIER_DEPTH_MAX,
        max_tables: 1,
        max_apparent_size: FRAME_BYTES_MAX,
        ignore_missing_null_terminator: false,
    };
    root::<schema::MembershipChange>(&options, body)
}

fn split(bytes: &[u8]) -> Result<(u16, u32, &[u8]), EnvelopeError> {
    let (op, request) = peek_request(bytes).ok_or(EnvelopeError::Malformed)?;
    let flags = bytes.get(2..4);
    let body = bytes.get(ENVELOPE_HEADER_BYTES..).ok_or(EnvelopeError::Malformed)?;
    if flags != Some(&[0, 0]) { Err(EnvelopeError::Malformed) } else { Ok((op, request, body)) }
}

fn root<'a, T>(options: &VerifierOptions, body: &'a [u8]) -> Result<T::Inner, EnvelopeError>
where
    T: Follow<'a> + Verifiable + 'a,
{
    flatbuffers::root_with_opts::<T>(options, body).map_err(|_| EnvelopeError::Malformed)
}
