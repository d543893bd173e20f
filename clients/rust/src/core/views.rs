//! Reads what the schema leaves open in a server's envelopes.

use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::message::{ErrorCode, schema};

/// The server does not keep to the protocol: the connection is closed and another one is made after a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Misbehaved;

pub(super) fn id_of(id: Option<&schema::ConversationId>) -> Result<ConversationId, Misbehaved> {
    id.map(|id| ConversationId(id.0)).ok_or(Misbehaved)
}

pub(super) fn peer_of(peer: u64) -> Option<UserId> {
    (peer != 0).then_some(UserId(peer))
}

pub(super) fn title_of(title: Option<&str>) -> Option<String> {
    title.filter(|title| !title.is_empty()).map(str::to_owned)
}

/// The end of a window; 0 says that there is none.
pub(super) fn left_of(left_seq: u64) -> Result<Option<u64>, Misbehaved> {
    Ok(Some(number_of(left_seq)?).filter(|&left_seq| left_seq > 0))
}

/// A code this version does not know is as final as one it knows to be.
pub(super) fn code_of(number: u16) -> ErrorCode {
    ErrorCode::from_number(number).unwrap_or(ErrorCode::Unsupported)
}

/// What a refusal of a message, or of a request that serves it, means for the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Judgement {
    /// Nothing: the same again later.
    Later,
    /// The number is another message's.
    Conflict,
    /// The number is not the next: the server was restored from a backup.
    OutOfOrder,
    /// The number is used, and it is not known for what.
    Expired,
    /// It is not taken.
    Final,
}

/// Every code has its place here; those that speak of the connection leave the message as it is.
pub(super) fn judge(code: ErrorCode) -> Judgement {
    match code {
        ErrorCode::Busy
        | ErrorCode::RateLimited
        | ErrorCode::StorageUnavailable
        | ErrorCode::TooManyRequests
        | ErrorCode::Draining
        | ErrorCode::NotAuthenticated
        | ErrorCode::TokenInvalid
        | ErrorCode::TokenExpired
        | ErrorCode::ProtocolVersion => Judgement::Later,
        ErrorCode::ClientSeqConflict => Judgement::Conflict,
        ErrorCode::OutOfOrder => Judgement::OutOfOrder,
        ErrorCode::Expired => Judgement::Expired,
        ErrorCode::Unsupported
        | ErrorCode::Malformed
        | ErrorCode::NotFound
        | ErrorCode::UnknownPeer
        | ErrorCode::UnknownHandle
        | ErrorCode::HandleTaken
        | ErrorCode::MessageTooLarge
        | ErrorCode::MessageInvalid
        | ErrorCode::StorageFull
        | ErrorCode::Forbidden
        | ErrorCode::GroupFull => Judgement::Final,
    }
}

/// A seq or a client_seq: far from where adding to it could overflow.
pub(super) fn number_of(number: u64) -> Result<u64, Misbehaved> {
    if number <= 1 << 62 { Ok(number) } else { Err(Misbehaved) }
}

/// The seq of a message: from 1.
pub(super) fn seq_of(seq: u64) -> Result<u64, Misbehaved> {
    if seq > 0 { number_of(seq) } else { Err(Misbehaved) }
}
