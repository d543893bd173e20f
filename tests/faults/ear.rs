//! What a server says, out of its bytes: frames put together by the wire crate, envelopes as values that own their bytes.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::message::{Answer, ErrorCode, decode_answer, messages_of_page, schema};
use trunkline_wire::websocket::{Assembler, FrameLimits, Incoming, Role};

/// Something that a server said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// An envelope, with the number of the request it answers; 0 where it was pushed.
    Reply(u32, Reply),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// A close frame, with its code and its reason.
    Close(Option<u16>, String),
}

/// An envelope of a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    Welcome { user: UserId, device: u32, heartbeat_ms: u32 },
    Resolved(UserId),
    Opened { conversation: ConversationId, last_seq: u64, high: u64, high_message_id: u64 },
    Ack(Ack),
    Message(ConversationId, Row),
    Page { rows: Vec<Row>, more: bool, last_seq: u64 },
    Listed,
    Error { code: ErrorCode, retry_after_ms: u32 },
    Renewed(u64),
    GoAway,
}

/// The answer to a Send. `accepted` holds (client_seq, seq, ts_ms).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ack {
    pub accepted: Vec<(u64, u64, u64)>,
    pub refusal: Option<ErrorCode>,
    pub high: u64,
    pub high_message_id: u64,
    pub retry_after_ms: u32,
}

/// A message as a server tells it, live or by history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    pub epoch: u64,
    pub seq: u64,
    pub ts_ms: u64,
    pub sender: UserId,
    pub device: u32,
    pub message_id: u64,
    pub body: Vec<u8>,
}

/// Bytes in, in any segmentation; what they say out, in order.
pub struct Ear {
    assembler: Assembler,
    heard: VecDeque<Heard>,
}

impl Ear {
    pub fn new() -> Ear {
        Ear { assembler: Assembler::new(Role::Client), heard: VecDeque::new() }
    }

    /// Takes bytes that came behind the handshake. A server that breaks the protocol fails the test.
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

    pub fn next(&mut self) -> Option<Heard> {
        self.heard.pop_front()
    }
}

fn read(incoming: Incoming<'_>) -> Heard {
    match incoming {
        Incoming::Binary(envelope) => {
            let decoded = decode_answer(envelope);
            let (request, answer) = decoded.unwrap_or_else(|error| panic!("the server sent no envelope: {error:?}"));
            Heard::Reply(request, reply(&answer))
        }
        Incoming::Text(text) => panic!("the server sent text: {text:?}"),
        Incoming::Ping(payload) => Heard::Ping(payload.to_vec()),
        Incoming::Pong(payload) => Heard::Pong(payload.to_vec()),
        Incoming::Close { code, reason } => Heard::Close(code.map(|code| code.value()), reason.to_owned()),
    }
}

fn reply(answer: &Answer<'_>) -> Reply {
    match answer {
        Answer::Welcome(welcome) => Reply::Welcome {
            user: UserId(welcome.user()),
            device: welcome.device(),
            heartbeat_ms: welcome.heartbeat_ms(),
        },
        Answer::Resolved(resolved) => Reply::Resolved(UserId(resolved.user())),
        Answer::Opened(opened) => Reply::Opened {
            conversation: conversation(opened.conversation()),
            last_seq: opened.last_seq(),
            high: opened.high(),
            high_message_id: opened.high_message_id(),
        },
        Answer::Ack(ack) => Reply::Ack(read_ack(ack)),
        Answer::Message(message) => Reply::Message(conversation(message.conversation()), row(message)),
        Answer::HistoryPage(page) => Reply::Page {
            rows: messages_of_page(page).map(|message| row(&message)).collect(),
            more: page.more(),
            last_seq: page.last_seq(),
        },
        Answer::Listed(_) => Reply::Listed,
        Answer::Error(error) => Reply::Error { code: code(error.code()), retry_after_ms: error.retry_after_ms() },
        Answer::Renewed(renewed) => Reply::Renewed(renewed.token_expires_ms()),
        Answer::GoAway(_) => Reply::GoAway,
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

fn row(message: &schema::Message<'_>) -> Row {
    Row {
        epoch: message.epoch(),
        seq: message.seq(),
        ts_ms: message.ts_ms(),
        sender: UserId(message.sender()),
        device: message.device(),
        message_id: message.message_id(),
        body: message.body().map(|body| body.bytes().to_vec()).unwrap_or_default(),
    }
}

fn conversation(id: Option<&schema::ConversationId>) -> ConversationId {
    ConversationId(id.expect("the server names the conversation").0)
}

fn code(number: u16) -> ErrorCode {
    ErrorCode::from_number(number).unwrap_or_else(|| panic!("the server answered with the unknown code {number}"))
}
