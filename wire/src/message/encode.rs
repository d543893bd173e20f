//! Fields to the bytes of an envelope.

use alloc::sync::Arc;
use alloc::vec::Vec;

use flatbuffers::{FlatBufferBuilder, WIPOffset};

use super::{ErrorCode, Op, schema};
use crate::ids::{ConversationId, DeviceId, MessageId, UserId};
use crate::limits::ENVELOPE_HEADER_BYTES;
use crate::websocket::encode_binary_server;

/// What Welcome says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Welcome {
    pub user: UserId,
    pub device: DeviceId,
    pub session: u64,
    pub server_time_ms: u64,
    pub token_expires_ms: u64,
    pub heartbeat_ms: u32,
}

/// What Opened says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Opened<'a> {
    pub conversation: ConversationId,
    pub kind: u8,
    pub epoch: u64,
    pub last_seq: u64,
    pub high: u64,
    pub high_message_id: u64,
    pub peer: UserId,
    pub title: &'a str,
    pub members: u32,
    pub role: u8,
    pub joined_seq: u64,
    pub left_seq: u64,
    pub delivered_seq: u64,
    pub read_seq: u64,
}

/// One message of a Send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Outgoing<'a> {
    pub client_seq: u64,
    pub message_id: MessageId,
    pub kind: u8,
    pub body: &'a [u8],
}

/// What Ack says. `accepted` holds (client_seq, seq, ts_ms).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Ack<'a> {
    pub conversation: ConversationId,
    pub epoch: u64,
    pub accepted: &'a [(u64, u64, u64)],
    pub refusal: Option<ErrorCode>,
    pub high: u64,
    pub high_message_id: u64,
    pub retry_after_ms: u32,
}

/// A message as every recipient gets it: no field speaks of who that is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Message<'a> {
    pub epoch: u64,
    pub seq: u64,
    pub ts_ms: u64,
    pub sender: UserId,
    pub device: DeviceId,
    pub message_id: MessageId,
    pub kind: u8,
    pub flags: u16,
    pub body: &'a [u8],
    pub sent_at_ms: u64,
    pub ref_seq: u64,
    pub mls_epoch: u64,
}

/// Builds envelopes, one at a time, in a buffer it keeps.
#[derive(Default)]
pub struct Encoder {
    builder: FlatBufferBuilder<'static>,
}

/// One envelope, until the next is built.
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a> {
    op: Op,
    request: u32,
    body: &'a [u8],
}

impl Encoded<'_> {
    /// Length of the envelope in bytes.
    pub fn envelope_bytes(&self) -> usize {
        ENVELOPE_HEADER_BYTES + self.body.len()
    }

    /// Appends the envelope: the payload of a binary message.
    pub fn write_envelope(&self, out: &mut Vec<u8>) {
        out.reserve(self.envelope_bytes());
        out.extend_from_slice(&self.op.number().to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&self.request.to_le_bytes());
        out.extend_from_slice(self.body);
    }

    /// Appends the envelope as one unmasked binary frame, as servers send it.
    pub fn write_server_frame(&self, out: &mut Vec<u8>) {
        let header = encode_binary_server(self.envelope_bytes());
        out.reserve(header.as_slice().len() + self.envelope_bytes());
        out.extend_from_slice(header.as_slice());
        self.write_envelope(out);
    }

    /// The envelope as one unmasked binary frame that many connections share.
    pub fn to_shared_frame(&self) -> Arc<[u8]> {
        let mut frame = Vec::with_capacity(self.envelope_bytes() + 10);
        self.write_server_frame(&mut frame);
        frame.into()
    }
}

impl Encoder {
    /// An empty builder; it allocates with its first envelope.
    pub fn new() -> Encoder {
        Encoder::default()
    }

    pub(super) fn finish<T>(&mut self, op: Op, request: u32, root: WIPOffset<T>) -> Encoded<'_> {
        self.builder.finish_minimal(root);
        Encoded { op, request, body: self.builder.finished_data() }
    }

    /// Hello with a token and the client's own name.
    pub fn hello(&mut self, request: u32, token: &str, client: &str) -> Encoded<'_> {
        let b = self.start();
        let (token, client) = (b.create_string(token), b.create_string(client));
        let root = schema::Hello::create(
            b,
            &schema::HelloArgs { protocol: crate::limits::PROTOCOL_VERSION, token: Some(token), client: Some(client) },
        );
        self.finish(Op::Hello, request, root)
    }

    /// Resolve of a handle.
    pub fn resolve(&mut self, request: u32, handle: &str) -> Encoded<'_> {
        let b = self.start();
        let handle = b.create_string(handle);
        let root = schema::Resolve::create(b, &schema::ResolveArgs { handle: Some(handle) });
        self.finish(Op::Resolve, request, root)
    }

    /// Open of a conversation by id.
    pub fn open(&mut self, request: u32, conversation: ConversationId) -> Encoded<'_> {
        let b = self.start();
        let root = schema::Open::create(
            b,
            &schema::OpenArgs { conversation: Some(&schema::ConversationId(conversation.0)), peer: 0 },
        );
        self.finish(Op::Open, request, root)
    }

    /// Open of the 1:1 with a peer.
    pub fn open_peer(&mut self, request: u32, peer: UserId) -> Encoded<'_> {
        let b = self.start();
        let root = schema::Open::create(b, &schema::OpenArgs { conversation: None, peer: peer.0 });
        self.finish(Op::Open, request, root)
    }

    /// Send of messages with consecutive numbers.
    pub fn send(&mut self, request: u32, conversation: ConversationId, messages: &[Outgoing<'_>]) -> Encoded<'_> {
        let b = self.start();
        let tables: Vec<_> = messages
            .iter()
            .map(|message| {
                let body = b.create_vector(message.body);
                schema::Outgoing::create(
                    b,
                    &schema::OutgoingArgs {
                        client_seq: message.client_seq,
                        message_id: message.message_id.0,
                        kind: message.kind,
                        body: Some(body),
                        ..Default::default()
                    },
                )
            })
            .collect();
        let messages = b.create_vector(&tables);
        let root = schema::Send::create(
            b,
            &schema::SendArgs { conversation: Some(&schema::ConversationId(conversation.0)), messages: Some(messages) },
        );
        self.finish(Op::Send, request, root)
    }

    /// Renew with a newer token.
    pub fn renew(&mut self, request: u32, token: &str) -> Encoded<'_> {
        let b = self.start();
        let token = b.create_string(token);
        let root = schema::Renew::create(b, &schema::RenewArgs { token: Some(token) });
        self.finish(Op::Renew, request, root)
    }

    /// Welcome.
    pub fn welcome(&mut self, request: u32, welcome: &Welcome) -> Encoded<'_> {
        let b = self.start();
        let root = schema::Welcome::create(
            b,
            &schema::WelcomeArgs {
                protocol: crate::limits::PROTOCOL_VERSION,
                user: welcome.user.0,
                device: welcome.device.0,
                session: welcome.session,
                server_time_ms: welcome.server_time_ms,
                token_expires_ms: welcome.token_expires_ms,
                heartbeat_ms: welcome.heartbeat_ms,
                body_bytes_max: crate::limits::BODY_BYTES_MAX as u32,
                send_messages_max: crate::limits::SEND_MESSAGES_MAX as u16,
                requests_outstanding_max: crate::limits::REQUESTS_OUTSTANDING_MAX as u16,
            },
        );
        self.finish(Op::Welcome, request, root)
    }

    /// Resolved to a user.
    pub fn resolved(&mut self, request: u32, user: UserId) -> Encoded<'_> {
        let b = self.start();
        let root = schema::Resolved::create(b, &schema::ResolvedArgs { user: user.0 });
        self.finish(Op::Resolved, request, root)
    }

    /// Opened.
    pub fn opened(&mut self, request: u32, opened: &Opened<'_>) -> Encoded<'_> {
        let b = self.start();
        let title = (!opened.title.is_empty()).then(|| b.create_string(opened.title));
        let root = schema::Opened::create(
            b,
            &schema::OpenedArgs {
                conversation: Some(&schema::ConversationId(opened.conversation.0)),
                kind: opened.kind,
                epoch: opened.epoch,
                last_seq: opened.last_seq,
                high: opened.high,
                high_message_id: opened.high_message_id,
                peer: opened.peer.0,
                title,
                members: opened.members,
                role: opened.role,
                joined_seq: opened.joined_seq,
                left_seq: opened.left_seq,
                delivered_seq: opened.delivered_seq,
                read_seq: opened.read_seq,
            },
        );
        self.finish(Op::Opened, request, root)
    }

    /// Ack.
    pub fn ack(&mut self, request: u32, ack: &Ack<'_>) -> Encoded<'_> {
        let b = self.start();
        let rows: Vec<_> =
            ack.accepted.iter().map(|&(client_seq, seq, ts)| schema::Accepted::new(client_seq, seq, ts)).collect();
        let accepted = b.create_vector(&rows);
        let root = schema::Ack::create(
            b,
            &schema::AckArgs {
                conversation: Some(&schema::ConversationId(ack.conversation.0)),
                epoch: ack.epoch,
                accepted: Some(accepted),
                refusal: ack.refusal.map_or(0, ErrorCode::number),
                high: ack.high,
                high_message_id: ack.high_message_id,
                retry_after_ms: ack.retry_after_ms,
            },
        );
        self.finish(Op::Ack, request, root)
    }

    /// A message, pushed.
    pub fn message(&mut self, conversation: ConversationId, message: &Message<'_>) -> Encoded<'_> {
        let b = self.start();
        let root = message_table(b, Some(&schema::ConversationId(conversation.0)), message);
        self.finish(Op::Message, 0, root)
    }

    /// Error of a request (0: of the connection), with one line for people.
    pub fn error(&mut self, request: u32, code: ErrorCode, message: &str, retry_after_ms: u32) -> Encoded<'_> {
        let b = self.start();
        let message = b.create_string(message);
        let root = schema::Error::create(
            b,
            &schema::ErrorArgs { code: code.number(), message: Some(message), retry_after_ms },
        );
        self.finish(Op::Error, request, root)
    }

    /// Renewed until a time.
    pub fn renewed(&mut self, request: u32, token_expires_ms: u64) -> Encoded<'_> {
        let b = self.start();
        let root = schema::Renewed::create(b, &schema::RenewedArgs { token_expires_ms });
        self.finish(Op::Renewed, request, root)
    }

    /// GoAway with the reason's code.
    pub fn go_away(&mut self, reason: ErrorCode, retry_after_ms: u32) -> Encoded<'_> {
        let b = self.start();
        let root = schema::GoAway::create(b, &schema::GoAwayArgs { reason: reason.number(), retry_after_ms });
        self.finish(Op::GoAway, 0, root)
    }

    pub(super) fn start(&mut self) -> &mut FlatBufferBuilder<'static> {
        self.builder.reset();
        &mut self.builder
    }
}

pub(super) fn message_table(
    b: &mut FlatBufferBuilder<'static>,
    conversation: Option<&schema::ConversationId>,
    message: &Message<'_>,
) -> WIPOffset<schema::Message<'static>> {
    let body = b.create_vector(message.body);
    let offset = schema::Message::create(
        b,
        &schema::MessageArgs {
            conversation,
            epoch: message.epoch,
            seq: message.seq,
            ts_ms: message.ts_ms,
            sender: message.sender.0,
            device: message.device.0,
            message_id: message.message_id.0,
            kind: message.kind,
            flags: message.flags,
            body: Some(body),
            sent_at_ms: message.sent_at_ms,
            ref_seq: message.ref_seq,
            mls_epoch: message.mls_epoch,
        },
    );
    WIPOffset::new(offset.value())
}
