//! Entries: what one shard tells another over a lane.
//!
//! A *request* is answered by exactly one *answer*; its sender reserved room for that answer in the reverse lane before it
//! asked. A *push* is answered by nothing. Requests and pushes count against the sender's credit, answers do not: that is
//! why no lane is ever full when an entry is posted, and why no two shards can wait for each other.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, TenantId, UserId};
use trunkline_wire::message::{Change, ErrorCode};
use trunkline_wire::violation::Violation;

use crate::contract::{ConnectionId, ShardId};
use crate::store::{ConversationKey, ConversationMeta, DeviceReceipt, UserKey};

/// A connection of any shard.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Address {
    /// Its front shard.
    pub shard: ShardId,
    /// The connection there.
    pub connection: ConnectionId,
}

/// Who asks: the authenticated end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The tenant.
    pub tenant: TenantId,
    /// The user.
    pub user: UserId,
    /// The user's device.
    pub device: DeviceId,
    /// Where the answer goes in the end.
    pub address: Address,
}

/// What travels in a lane: at most 64 bytes, larger things are boxed.
#[derive(Debug)]
pub enum Entry {
    /// Asks a home.
    Request {
        /// The asker's name for it.
        ticket: u32,
        /// What is asked.
        request: Box<HomeRequest>,
    },
    /// Answers a request.
    Answer {
        /// From the request.
        ticket: u32,
        /// What the home says.
        answer: HomeAnswer,
    },
    /// Home of a conversation to the home of users: a seq is durable; for their lists, and for their sessions.
    Deliver(Box<Delivery>),
    /// Home of users to the home of a conversation: their lists have it durably, up to this delivery.
    Announced {
        /// The conversation.
        key: ConversationKey,
        /// The highest round that was delivered when all of this shard's users had theirs stored.
        round: u64,
    },
    /// Home of a conversation to the home of users: something that is not stored, for their sessions.
    Notice(Box<Notice>),
    /// Home of a user to the home of a conversation: how far a device is.
    Receipt {
        /// The conversation.
        key: ConversationKey,
        /// How far.
        receipt: DeviceReceipt,
    },
    /// Home of a user to a front shard: a frame for one connection.
    Push {
        /// The connection.
        connection: ConnectionId,
        /// A whole WebSocket frame.
        frame: Arc<[u8]>,
    },
    /// Front shard to the home of a user: this connection takes no more frames now; it drops them until [`Entry::Resume`].
    SessionLags {
        /// Whose.
        key: UserKey,
        /// The connection.
        address: Address,
    },
    /// Front shard to the home of a user: a lagging connection has room again.
    SessionDrained {
        /// Whose.
        key: UserKey,
        /// The connection.
        address: Address,
    },
    /// Home of a user to a front shard: a lagging connection takes frames again, this one first; it says where to sync.
    Resume {
        /// The connection.
        connection: ConnectionId,
        /// A whole WebSocket frame.
        frame: Arc<[u8]>,
    },
    /// Front shard to the home of a user: this connection is gone.
    SessionEnded {
        /// Whose.
        key: UserKey,
        /// The connection.
        address: Address,
    },
    /// Home of a user to a front shard: close this connection.
    EndSession {
        /// The connection.
        connection: ConnectionId,
        /// Why.
        violation: Violation,
    },
}

impl Entry {
    /// Answers travel in reserved room; everything else counts against the sender's credit.
    pub fn is_answer(&self) -> bool {
        matches!(self, Entry::Answer { .. })
    }
}

/// A durable seq on its way to the lists and sessions of its recipients.
#[derive(Debug)]
pub struct Delivery {
    /// The conversation.
    pub key: ConversationKey,
    /// What it is.
    pub meta: Arc<ConversationMeta>,
    /// The seq.
    pub seq: u64,
    /// Which delivery of its conversation it is: one that is handed on later has a higher one. A seq may come in several.
    pub round: u64,
    /// The message, one encoding for all recipients; none: only the lists are told.
    pub frame: Option<Arc<[u8]>>,
    /// When the message was accepted, in monotonic nanoseconds; 0 where nobody waits for it.
    pub accepted_ns: u64,
    /// Recipients whose home the receiving shard is.
    pub users: Arc<[UserId]>,
    /// (user, joined_seq, left_seq) of those of them whose window this seq changed, or may have.
    pub windows: Vec<(UserId, u64, u64)>,
    /// The connection that sent it, which gets the ack only.
    pub except: Option<Address>,
}

/// A frame that is not stored, on its way to the sessions of its recipients; those that lag do not get it.
#[derive(Debug)]
pub struct Notice {
    /// The conversation.
    pub key: ConversationKey,
    /// What it is.
    pub meta: Arc<ConversationMeta>,
    /// One encoding for all recipients.
    pub frame: Arc<[u8]>,
    /// Recipients whose home the receiving shard is.
    pub users: Arc<[UserId]>,
    /// (user, read_seq) of those of them who have read further, in order of users: their lists change.
    pub read: Vec<(UserId, u64)>,
    /// The connection it comes from.
    pub except: Option<Address>,
}

/// A message of a Send, checked and owned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutgoingMessage {
    /// The device's number for it.
    pub client_seq: u64,
    /// The client's name for it.
    pub message_id: MessageId,
    /// What the body is.
    pub kind: u8,
    /// Reserved bits of the content.
    pub flags: u16,
    /// The seq it speaks of, or 0.
    pub ref_seq: u64,
    /// Epoch of an encrypted conversation's group, or 0.
    pub mls_epoch: u64,
    /// Why the front refuses it, whatever the conversation says.
    pub refusal: Option<ErrorCode>,
    /// The content.
    pub body: Arc<[u8]>,
}

/// What a front shard asks a home. `request` is the client's number, for the frame of the answer.
#[derive(Debug)]
pub enum HomeRequest {
    /// Home of a user: this connection is one of the user's devices from now on.
    StartSession {
        /// Whose.
        caller: Caller,
        /// When its token was issued, in seconds since 1970.
        issued_s: u64,
    },
    /// Home of a user: does the user exist?
    CheckUser {
        /// Who.
        key: UserKey,
    },
    /// Home of the asking user: may this handle be looked up?
    AdmitLookup {
        /// Who asks.
        key: UserKey,
        /// The handle as it is unique, hashed.
        handle_hash: u64,
    },
    /// Any home: who has this handle?
    Resolve {
        /// Who asks.
        caller: Caller,
        /// The client's number.
        request: u32,
        /// The handle as it is unique.
        folded: String,
    },
    /// Home of a conversation: its state and the device's numbers in it.
    Open {
        /// Who asks.
        caller: Caller,
        /// The client's number.
        request: u32,
        /// Which.
        conversation: ConversationId,
        /// The other end of a 1:1 that may not exist yet; known to exist as a user.
        peer: Option<UserId>,
    },
    /// Home of a conversation: messages.
    Send {
        /// Who sends.
        caller: Caller,
        /// The client's number.
        request: u32,
        /// Where to.
        conversation: ConversationId,
        /// In order.
        messages: Vec<OutgoingMessage>,
    },
    /// Home of a conversation: a page.
    History {
        /// Who asks.
        caller: Caller,
        /// The client's number.
        request: u32,
        /// Which.
        conversation: ConversationId,
        /// Where to begin; 0 with `backward`: the newest.
        from_seq: u64,
        /// Downwards.
        backward: bool,
        /// At most so many messages.
        limit: u16,
    },
    /// Home of the asking user: what changed in the user's list.
    Sync {
        /// Who asks.
        caller: Caller,
        /// The client's number.
        request: u32,
        /// Changes behind this position; none: behind the one that the device has stored.
        position: Option<u64>,
        /// Only changes below this number; 0: all.
        below: u64,
        /// At most so many conversations.
        limit: u16,
    },
    /// Home of the asking user: what a device has.
    Report {
        /// Who asks.
        caller: Caller,
        /// The client's number.
        request: u32,
        /// It has stored everything up to here; 0: it says nothing of that.
        position: u64,
        /// (conversation, delivered_seq, read_seq).
        receipts: Vec<(ConversationId, u64, u64)>,
    },
    /// Home of a conversation: make this group.
    CreateGroup {
        /// Who asks, its admin.
        caller: Caller,
        /// The client's number.
        request: u32,
        /// Its id, made from the client's nonce.
        conversation: ConversationId,
        /// Its title, checked.
        title: String,
        /// Its other members, ascending, without the caller.
        members: Vec<UserId>,
    },
    /// Home of a conversation: change its members.
    ChangeMembers {
        /// Who asks.
        caller: Caller,
        /// The client's number.
        request: u32,
        /// Which.
        conversation: ConversationId,
        /// Added or removed.
        change: Change,
        /// Ascending, at least one.
        users: Vec<UserId>,
    },
    /// Home of a conversation: a page of its members.
    Members {
        /// Who asks.
        caller: Caller,
        /// The client's number.
        request: u32,
        /// Which.
        conversation: ConversationId,
        /// Begin behind this one.
        after: UserId,
        /// At most so many.
        limit: u16,
    },
    /// Home of a conversation: the caller types.
    Typing {
        /// Who.
        caller: Caller,
        /// The client's number.
        request: u32,
        /// Where.
        conversation: ConversationId,
    },
}

impl HomeRequest {
    /// The conversation it is about, for requests to a conversation's home.
    pub fn conversation_key(&self) -> Option<ConversationKey> {
        match self {
            HomeRequest::Open { caller, conversation, .. }
            | HomeRequest::Send { caller, conversation, .. }
            | HomeRequest::History { caller, conversation, .. }
            | HomeRequest::CreateGroup { caller, conversation, .. }
            | HomeRequest::ChangeMembers { caller, conversation, .. }
            | HomeRequest::Members { caller, conversation, .. }
            | HomeRequest::Typing { caller, conversation, .. } => {
                Some(ConversationKey { tenant: caller.tenant, conversation: *conversation })
            }
            _ => None,
        }
    }
}

/// What a home answers.
#[derive(Debug)]
pub enum HomeAnswer {
    /// A whole WebSocket frame for the connection that asked.
    Frame(Vec<u8>),
    /// The session exists under this number.
    SessionStarted(u64),
    /// Whether the user exists.
    UserExists(bool),
    /// The look-up may go on.
    LookupAdmitted,
    /// Refused, again after so many milliseconds (0: never).
    Refused(ErrorCode, u32),
}

const _: () = assert!(size_of::<Entry>() <= 64);
