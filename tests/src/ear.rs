//! What a server says, out of its bytes: frames put together by the wire crate, envelopes as values that own their bytes.

mod reading;

use std::collections::VecDeque;
use std::ops::ControlFlow;

use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::message::{ErrorCode, Member, Receipt, UserReceipt, decode_answer};
use trunkline_wire::websocket::{Assembler, FrameLimits, Incoming, Role};

/// Something that a server said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// An envelope, with the number of the request it answers; 0 where it was pushed.
    Reply(u32, Reply),
    /// A ping with its payload.
    Ping(Vec<u8>),
    /// A pong with its payload.
    Pong(Vec<u8>),
    /// A close frame, with its code and its reason.
    Close(Option<u16>, String),
}

/// An envelope of a server, by the names that the protocol gives its fields.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Reply {
    Welcome { user: UserId, device: u32, heartbeat_ms: u32 },
    Resolved(UserId),
    Opened(Opened),
    Ack(Ack),
    Message(ConversationId, Row),
    Page { rows: Vec<Row>, more: bool, last_seq: u64 },
    Synced(Synced),
    MembersChanged { conversation: ConversationId, seq: u64 },
    Members(MembersPage),
    Done,
    Advanced(Advanced),
    Receipts(ConversationId, Vec<UserReceipt>),
    Typing { conversation: ConversationId, user: UserId, expires_ms: u32 },
    Error { code: ErrorCode, retry_after_ms: u32 },
    Renewed(u64),
    GoAway,
}

/// A conversation as one device sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Opened {
    pub conversation: ConversationId,
    pub kind: u8,
    pub last_seq: u64,
    pub high: u64,
    pub high_message_id: u64,
    pub peer: UserId,
    pub title: String,
    pub members: u32,
    pub role: u8,
    pub joined_seq: u64,
    pub left_seq: u64,
    pub delivered_seq: u64,
    pub read_seq: u64,
}

/// The answer to a Send. `accepted` holds (client_seq, seq, ts_ms).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Ack {
    pub accepted: Vec<(u64, u64, u64)>,
    pub refusal: Option<ErrorCode>,
    pub high: u64,
    pub high_message_id: u64,
    pub retry_after_ms: u32,
}

/// A message as a server tells it, live or by history.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub struct Row {
    pub epoch: u64,
    pub seq: u64,
    pub ts_ms: u64,
    pub sender: UserId,
    pub device: u32,
    pub message_id: u64,
    pub kind: u8,
    pub body: Vec<u8>,
}

/// A page of a user's list.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[allow(missing_docs)]
pub struct Synced {
    pub from: u64,
    pub to: u64,
    pub rows: Vec<Summary>,
    pub more: bool,
    pub resync: bool,
}

/// A conversation in a user's list.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Summary {
    pub conversation: ConversationId,
    pub kind: u8,
    pub peer: UserId,
    pub last_seq: u64,
    pub user_seq: u64,
    pub read_seq: u64,
    pub joined_seq: u64,
    pub left_seq: u64,
    pub title: String,
}

/// A page of a group's members.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct MembersPage {
    pub conversation: ConversationId,
    pub title: String,
    pub members: Vec<Member>,
    pub more: bool,
    pub last_seq: u64,
}

/// How the position moved. `places` holds (conversation, last_seq).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Advanced {
    pub from: u64,
    pub to: u64,
    pub places: Vec<(ConversationId, u64)>,
}

/// A watermark to report.
pub fn receipt(conversation: ConversationId, delivered_seq: u64, read_seq: u64) -> Receipt {
    Receipt { conversation, delivered_seq, read_seq }
}

/// Bytes in, in any segmentation; what they say out, in order.
pub struct Ear {
    assembler: Assembler,
    heard: VecDeque<Heard>,
}

impl Ear {
    /// One that has heard nothing.
    pub fn new() -> Ear {
        Ear { assembler: Assembler::new(Role::Client), heard: VecDeque::new() }
    }

    /// Takes bytes that came behind the handshake.
    ///
    /// # Panics
    /// The server breaks the protocol, which fails the test.
    pub fn feed(&mut self, bytes: &mut [u8]) {
        let limits = FrameLimits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20, ..FrameLimits::DEFAULT };
        let heard = &mut self.heard;
        let mut sink = |incoming: Incoming<'_>| {
            heard.push_back(read(incoming));
            ControlFlow::Continue(())
        };
        let outcome = self.assembler.receive(&limits, bytes, &mut sink);
        outcome.unwrap_or_else(|violation| panic!("the server broke RFC 6455: {violation}"));
    }

    /// The next thing that was heard.
    pub fn next_heard(&mut self) -> Option<Heard> {
        self.heard.pop_front()
    }
}

impl Default for Ear {
    fn default() -> Ear {
        Ear::new()
    }
}

fn read(incoming: Incoming<'_>) -> Heard {
    match incoming {
        Incoming::Binary(envelope) => {
            let decoded = decode_answer(envelope);
            let (request, answer) = decoded.unwrap_or_else(|error| panic!("the server sent no envelope: {error:?}"));
            Heard::Reply(request, reading::reply(&answer))
        }
        Incoming::Text(text) => panic!("the server sent text: {text:?}"),
        Incoming::Ping(payload) => Heard::Ping(payload.to_vec()),
        Incoming::Pong(payload) => Heard::Pong(payload.to_vec()),
        Incoming::Close { code, reason } => Heard::Close(code.map(|code| code.value()), reason.to_owned()),
    }
}
