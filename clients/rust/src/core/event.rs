//! What a client tells the program.

use std::fmt;

use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, UserId};
use trunkline_wire::message::ErrorCode;

use super::conversation::{ListPage, MembersPage, Opened, Summary};
use super::message::{HistoryPage, Message};

/// A command that gets an answer, as the client numbers it; never given twice in a process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

/// Why a command has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestError {
    /// The server refused it; `retry_after_ms` is 0 where that is for good.
    Refused {
        /// Why.
        code: ErrorCode,
        /// When the same request may be welcome.
        retry_after_ms: u32,
    },
    /// The connection was lost each time before an answer came, or the client was closed.
    Disconnected,
    /// Too many commands wait.
    Full,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::Refused { code, .. } => f.write_str(code.name()),
            RequestError::Disconnected => f.write_str("the connection was lost before an answer came"),
            RequestError::Full => f.write_str("too many requests wait for the server"),
        }
    }
}

impl std::error::Error for RequestError {}

/// How far a user is in a conversation: the farthest of the user's devices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UserReceipt {
    /// Who.
    pub user: UserId,
    /// What came to a device of the user.
    pub delivered_seq: u64,
    /// What the user read; never above `delivered_seq`.
    pub read_seq: u64,
}

/// What a client tells the program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientEvent {
    /// A session has begun.
    Connected {
        /// Who the token says this is.
        user: UserId,
        /// Which of the user's devices.
        device: DeviceId,
        /// The server's number of the session.
        session: u64,
        /// The server's clock: milliseconds since 1970.
        server_time_ms: u64,
        /// When the token ends.
        token_expires_ms: u64,
    },
    /// The connection, or the attempt at one, has ended. The client comes back by itself.
    Disconnected {
        /// When it tries again, on the clock of the inputs; `None` after [`ClientEvent::AuthFailed`] and closing.
        retry_at_ms: Option<u64>,
    },
    /// The server asks to come back later, and is about to end the connection. The client does so by itself.
    Draining {
        /// The earliest time at which it comes back, on the clock of the inputs.
        retry_at_ms: u64,
    },
    /// The token was refused: nothing happens before a `renew`.
    AuthFailed {
        /// Why.
        code: ErrorCode,
    },
    /// All that the server had when this connection began is delivered.
    Synced,
    /// A message: each exactly once and in order of seq per conversation.
    Message(Message),
    /// A conversation of the list is new, or not as it was: several changes may be told as one.
    ConversationChanged(Summary),
    /// A backup was restored on the server: the list no longer has this conversation.
    ConversationRemoved {
        /// Which.
        conversation: ConversationId,
    },
    /// All that the user's list held at this position was told by the events before this one. [`super::State`] stores it
    /// together with what it describes.
    Position {
        /// Number of a change of the user's list. It falls only when a backup was restored on the server.
        position: u64,
        /// The last seq that was told, of each conversation where that moved since the last such event.
        places: Vec<(ConversationId, u64)>,
    },
    /// Users are farther in a conversation than they were. Watermarks never fall.
    Receipts {
        /// Where.
        conversation: ConversationId,
        /// Those whose watermarks rose.
        users: Vec<UserReceipt>,
    },
    /// A user types.
    Typing {
        /// Where.
        conversation: ConversationId,
        /// Who.
        user: UserId,
        /// Until when that is worth showing, on the clock of the inputs.
        until_ms: u64,
    },
    /// A user no longer types: the time is over, or a message came.
    TypingEnded {
        /// Where.
        conversation: ConversationId,
        /// Who.
        user: UserId,
    },
    /// Messages that exist no more, or not for this user, were passed over.
    Missed {
        /// Where.
        conversation: ConversationId,
        /// The first of them.
        from_seq: u64,
        /// The last of them.
        to_seq: u64,
    },
    /// A backup was restored on the server: the conversation goes on from an earlier seq, in a new epoch.
    Rewound {
        /// Where.
        conversation: ConversationId,
        /// The new incarnation of its ordering.
        epoch: u64,
        /// The next seq to be delivered.
        seq: u64,
    },
    /// A message of ours is durable.
    Sent {
        /// As `send` named it.
        message_id: MessageId,
        /// Where it was said.
        conversation: ConversationId,
        /// Its number in the conversation.
        seq: u64,
        /// When it was accepted.
        ts_ms: u64,
    },
    /// A message of ours was refused for good, or stood behind such a one. It is not sent again by itself.
    Failed {
        /// As `send` named it.
        message_id: MessageId,
        /// Where it was to be said.
        conversation: ConversationId,
        /// Why.
        code: ErrorCode,
    },
    /// Whether a message of ours was stored can no longer be found out. It is not sent again by itself.
    Unknown {
        /// As `send` named it.
        message_id: MessageId,
        /// Where it was to be said.
        conversation: ConversationId,
    },
    /// A message of ours waits because the server asked for it.
    Delayed {
        /// As `send` named it.
        message_id: MessageId,
        /// Where it is to be said.
        conversation: ConversationId,
        /// Why.
        reason: ErrorCode,
        /// How long.
        retry_after_ms: u64,
    },
    /// The outbox could not be written: what waits is not sent before that works.
    OutboxFailed {
        /// The likely cause.
        error: String,
    },
    /// Answer to `resolve`.
    Resolved {
        /// The command.
        request: RequestId,
        /// Whose handle it is.
        user: UserId,
    },
    /// Answer to `open`, `open_peer` and `create_group`.
    Opened {
        /// The command.
        request: RequestId,
        /// The conversation.
        opened: Opened,
    },
    /// Answer to `history`.
    HistoryPage {
        /// The command.
        request: RequestId,
        /// The messages.
        page: HistoryPage,
    },
    /// Answer to `list`.
    Listed {
        /// The command.
        request: RequestId,
        /// The conversations.
        page: ListPage,
    },
    /// Answer to `change_members`.
    MembersChanged {
        /// The command.
        request: RequestId,
        /// Where.
        conversation: ConversationId,
        /// Seq of the message that says so; `None`: there was nothing to change.
        seq: Option<u64>,
    },
    /// Answer to `members`.
    MembersPage {
        /// The command.
        request: RequestId,
        /// The members.
        page: MembersPage,
    },
    /// Answer to `renew`.
    Renewed {
        /// The command.
        request: RequestId,
        /// When the new token ends.
        token_expires_ms: u64,
    },
    /// A command failed.
    RequestFailed {
        /// The command.
        request: RequestId,
        /// Why.
        error: RequestError,
    },
}
