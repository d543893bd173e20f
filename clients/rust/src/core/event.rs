//! What a client tells the program.

use std::fmt;

use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, UserId};
use trunkline_wire::message::{ContentKind, ErrorCode, schema};

/// A command that gets an answer, as the client numbers it; never given twice in a process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

/// A message of a conversation. It is one of the conversation's dense row of `seq` from 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Where it was said.
    pub conversation: ConversationId,
    /// Incarnation of the conversation's ordering; rises when a backup is restored.
    pub epoch: u64,
    /// Its number in the conversation.
    pub seq: u64,
    /// When it was accepted: milliseconds since 1970, never decreasing along `seq`.
    pub ts_ms: u64,
    /// Who said it.
    pub sender: UserId,
    /// On which device.
    pub device: DeviceId,
    /// The sender's name for it.
    pub message_id: MessageId,
    /// Number of a [`ContentKind`]; this version may not know it.
    pub kind: u8,
    /// What its kind says.
    pub body: Vec<u8>,
}

impl Message {
    /// The text, when it is one.
    pub fn text(&self) -> Option<&str> {
        (self.kind == ContentKind::Text as u8).then(|| std::str::from_utf8(&self.body).ok())?
    }

    pub(super) fn of_view(conversation: ConversationId, view: &schema::Message<'_>) -> Message {
        Message {
            conversation,
            epoch: view.epoch(),
            seq: view.seq(),
            ts_ms: view.ts_ms(),
            sender: UserId(view.sender()),
            device: DeviceId(view.device()),
            message_id: MessageId(view.message_id()),
            kind: view.kind(),
            body: view.body().map(|body| body.bytes().to_vec()).unwrap_or_default(),
        }
    }
}

/// State of a conversation when it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Its id.
    pub conversation: ConversationId,
    /// Number of a `ConversationKind`.
    pub kind: u8,
    /// Incarnation of its ordering.
    pub epoch: u64,
    /// Seq of its newest message; 0: none.
    pub last_seq: u64,
    /// The other user, where there is one.
    pub peer: Option<UserId>,
}

/// One of the user's conversations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Its id.
    pub conversation: ConversationId,
    /// Number of a `ConversationKind`.
    pub kind: u8,
    /// The other user, where there is one.
    pub peer: Option<UserId>,
    /// Seq of its newest message; 0: none.
    pub last_seq: u64,
}

/// Part of a conversation, in ascending order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryPage {
    /// Whose messages they are.
    pub conversation: ConversationId,
    /// The messages.
    pub messages: Vec<Message>,
    /// Whether the direction asked for goes on behind this page.
    pub more: bool,
    /// Seq of the conversation's newest message.
    pub last_seq: u64,
}

/// Some of the user's conversations, in order of their ids.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListPage {
    /// The conversations.
    pub conversations: Vec<Summary>,
    /// Whether there are more behind the last one.
    pub more: bool,
}

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
    /// The token was refused: nothing happens before a `renew`.
    AuthFailed {
        /// Why.
        code: ErrorCode,
    },
    /// All that the server had when this connection began is delivered.
    Synced,
    /// A message: each exactly once and in order of seq per conversation.
    Message(Message),
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
    /// Answer to `open` and `open_peer`.
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
