//! One connection as bytes: handshake, frame assembly, outbox and close. It knows nothing of Trunkline's
//! envelopes, so that any core can speak WebSocket with it.
//!
//! Hot path, steps 2 and 8 of 8 meet here: what came in is assembled, what goes out is gathered.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::ControlFlow;

use trunkline_wire::violation::Violation;
use trunkline_wire::websocket::{
    Assembler, CloseCode, FrameLimits, HandshakeLimits, HandshakeProgress, Incoming, Opcode, Origins, Role,
    ServerHandshake, accept_response, encode_close, encode_frame, refuse_response,
};

use crate::contract::Bytes;

/// What a connection heard, for the layer above. Pings and closes are answered here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard<'a> {
    /// The handshake is done.
    Opened,
    /// Instead of a handshake came a request for another path, of which this is all so far; nothing more is heard.
    Other(&'a [u8]),
    /// A binary message.
    Binary(&'a [u8]),
    /// A text message; only where [`FrameLimits::text_accepted`].
    Text(&'a str),
    /// A ping, with what it carries; to be answered with [`Connection::pong`].
    Ping(&'a [u8]),
    /// An answer to a ping.
    Pong,
}

/// The bounds of a connection, but for those of its frames.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConnectionLimits {
    /// Of the handshake.
    pub handshake: HandshakeLimits,
    /// Whose pages may connect beside the server's own.
    pub origins: Origins,
    /// Whether connections are encrypted, so that pages are expected to be.
    pub secure: bool,
    /// The only path that is served; none: every path.
    pub path: Option<&'static str>,
    /// Requests for other paths are for somebody else; else they are refused.
    pub others_are_handed_over: bool,
}

#[derive(Debug)]
enum Phase {
    Handshake(Box<ServerHandshake>),
    Open(Assembler),
    /// The refusal of a handshake is queued or sent.
    Refused,
    /// Somebody else answers.
    HandedOver,
    /// A close frame is queued or sent. `answered`: the peer's close frame came.
    Closing {
        assembler: Option<Assembler>,
        answered: bool,
    },
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    phase: Phase,
    outbox: Outbox,
}

impl Default for Connection {
    fn default() -> Connection {
        Connection::new(&ConnectionLimits::default())
    }
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(limits: &ConnectionLimits) -> Connection {
        let handshake = match limits.path.filter(|_| limits.others_are_handed_over) {
            Some(path) => ServerHandshake::only(path, limits.handshake),
            None => ServerHandshake::new(limits.handshake),
        };
        Connection { phase: Phase::Handshake(Box::new(handshake)), outbox: Outbox::default() }
    }

    /// A connection whose handshake was done elsewhere.
    pub fn opened() -> Connection {
        Connection { phase: Phase::Open(Assembler::new(Role::Server)), outbox: Outbox::default() }
    }

    /// Takes bytes from the socket and hands out what they complete, in order. An `Err` is what the peer did wrong: the
    /// answer to it is queued, the connection is closing.
    pub fn receive(
        &mut self,
        limits: &ConnectionLimits,
        frame: &FrameLimits,
        bytes: &mut [u8],
        sink: &mut impl FnMut(Heard<'_>) -> ControlFlow<()>,
    ) -> Result<(), Violation> {
        let mut stream = bytes;
        if let Phase::Handshake(handshake) = &mut self.phase {
            match handshake.receive(stream) {
                Ok(HandshakeProgress::NeedMore) => return Ok(()),
                Ok(HandshakeProgress::Done { consumed, head }) => {
                    if limits.path.is_some_and(|path| path != head.path) {
                        return Err(self.refuse_handshake(Violation::PathNotFound));
                    }
                    let allow = |origin: String| limits.origins.allow(&origin, &head.host, limits.secure);
                    if !head.origin.is_none_or(allow) {
                        return Err(self.refuse_handshake(Violation::OriginRefused));
                    }
                    self.outbox.append(|out| accept_response(&head.key, None, out));
                    self.phase = Phase::Open(Assembler::new(Role::Server));
                    stream = stream.get_mut(consumed..).unwrap_or_default();
                    if sink(Heard::Opened).is_break() {
                        return Ok(());
                    }
                }
                Err(violation) => {
                    let other = handshake.take_other();
                    if other.is_empty() {
                        return Err(self.refuse_handshake(violation));
                    }
                    self.phase = Phase::HandedOver;
                    let _ = sink(Heard::Other(&other));
                    return Ok(());
                }
            }
        }
        self.receive_frames(frame, stream, sink)
    }

    fn receive_frames(
        &mut self,
        frame: &FrameLimits,
        stream: &mut [u8],
        sink: &mut impl FnMut(Heard<'_>) -> ControlFlow<()>,
    ) -> Result<(), Violation> {
        let closing = matches!(self.phase, Phase::Closing { .. });
        let (Phase::Open(assembler) | Phase::Closing { assembler: Some(assembler), .. }) = &mut self.phase else {
            return Ok(());
        };
        let mut close = None;
        let outcome = assembler.receive(frame, stream, &mut |incoming| match incoming {
            Incoming::Close { code, .. } => {
                close = Some(code);
                ControlFlow::Break(())
            }
            _ if closing => ControlFlow::Continue(()),
            Incoming::Binary(message) => sink(Heard::Binary(message)),
            Incoming::Text(text) => sink(Heard::Text(text)),
            Incoming::Ping(payload) => sink(Heard::Ping(payload)),
            Incoming::Pong(_) => sink(Heard::Pong),
        });
        match (outcome, close) {
            (Ok(()), Some(code)) => self.answer_close(code),
            (Err(violation), _) => {
                self.close(violation.close_code(), violation.name());
                return Err(violation);
            }
            (Ok(()), None) => {}
        }
        Ok(())
    }

    fn refuse_handshake(&mut self, violation: Violation) -> Violation {
        self.outbox.append(|out| refuse_response(violation, out));
        self.phase = Phase::Refused;
        violation
    }

    fn answer_close(&mut self, code: Option<CloseCode>) {
        if matches!(self.phase, Phase::Open(_)) {
            self.outbox.append(|out| encode_close(code, "", None, out));
        }
        self.phase = Phase::Closing { assembler: None, answered: true };
    }

    /// Queues a close frame, if the handshake is done. Nothing that is queued later goes out.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        match core::mem::replace(&mut self.phase, Phase::Closing { assembler: None, answered: false }) {
            Phase::Open(assembler) => {
                self.outbox.append(|out| encode_close(Some(code), reason, None, out));
                let assembler = (!assembler.is_over()).then_some(assembler);
                self.phase = Phase::Closing { assembler, answered: false };
            }
            phase => self.phase = phase,
        }
    }

    /// Queues a whole frame that answers a request; dropped when the connection is closing.
    pub fn push_answer(&mut self, frame: Bytes, pool: &mut Vec<Vec<u8>>) {
        if self.is_open() {
            self.outbox.push(frame, pool);
        }
    }

    /// Queues a whole frame that nobody asked for, which counts to [`Connection::unasked_bytes`].
    pub fn push_unasked(&mut self, frame: Bytes, pool: &mut Vec<Vec<u8>>) {
        if self.is_open() {
            self.outbox.unasked_bytes += frame.as_slice().len() as u32;
            self.outbox.push(frame, pool);
        }
    }

    /// Queues an answer to a ping.
    pub fn pong(&mut self, payload: &[u8]) {
        self.push_control(Opcode::Pong, payload);
    }

    /// Queues a ping.
    pub fn ping(&mut self) {
        self.push_control(Opcode::Ping, &[]);
    }

    fn push_control(&mut self, opcode: Opcode, payload: &[u8]) {
        if self.is_open() {
            self.outbox.append(|out| encode_frame(opcode, payload, None, out));
        }
    }

    /// Whether the handshake is done and no close is under way.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// Whether the handshake is not done yet.
    pub fn is_in_handshake(&self) -> bool {
        matches!(self.phase, Phase::Handshake(_))
    }

    /// Whether a close is under way.
    pub fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing { .. } | Phase::Refused)
    }

    /// Whether a close is under way, all of it was sent, and the peer has closed too.
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Closing { answered: true, .. }) && self.outbox.is_empty()
    }

    /// Whether a handshake was refused.
    pub fn is_refusal(&self) -> bool {
        matches!(self.phase, Phase::Refused)
    }

    /// Whether a close of the peer would still be heard.
    pub fn still_listens(&self) -> bool {
        matches!(self.phase, Phase::Open(_) | Phase::Closing { assembler: Some(_), .. })
    }

    /// What to send now, if anything is queued and no send is outstanding. Every send ends with [`Connection::sent`].
    pub fn take_send(&mut self) -> Option<Bytes> {
        self.outbox.take()
    }

    /// A send has ended.
    pub fn sent(&mut self) {
        self.outbox.sending_bytes = 0;
        self.outbox.unasked_sending_bytes = 0;
    }

    /// Bytes that wait and that nobody asked for, those of an outstanding send included.
    pub fn unasked_bytes(&self) -> usize {
        self.outbox.unasked_bytes as usize + self.outbox.unasked_sending_bytes as usize
    }

    /// Bytes that wait, those of an outstanding send included.
    pub fn outbox_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    /// Whether a send is outstanding.
    pub fn is_sending(&self) -> bool {
        self.outbox.sending_bytes > 0
    }

    /// Heap memory that the connection holds beside itself.
    pub fn heap_bytes(&self) -> usize {
        let phase = match &self.phase {
            Phase::Handshake(_) => size_of::<ServerHandshake>(),
            Phase::Open(assembler) | Phase::Closing { assembler: Some(assembler), .. } => assembler.heap_bytes(),
            Phase::Closing { assembler: None, .. } | Phase::Refused | Phase::HandedOver => 0,
        };
        phase + self.outbox.bytes()
    }
}

/// What waits for the socket. One frame is kept by reference, more are gathered into one buffer, so that a connection
/// costs one send however many frames came together.
#[derive(Debug, Default)]
struct Outbox {
    queued: Queued,
    sending_bytes: u32,
    /// Of the queued ones.
    unasked_bytes: u32,
    /// Of those being sent.
    unasked_sending_bytes: u32,
}

#[derive(Debug, Default)]
enum Queued {
    #[default]
    Nothing,
    Shared(Arc<[u8]>),
    Owned(Vec<u8>),
}

impl Queued {
    fn len(&self) -> usize {
        match self {
            Queued::Nothing => 0,
            Queued::Shared(bytes) => bytes.len(),
            Queued::Owned(bytes) => bytes.len(),
        }
    }
}

impl Outbox {
    fn push(&mut self, bytes: Bytes, pool: &mut Vec<Vec<u8>>) {
        if let Queued::Nothing = self.queued {
            self.queued = match bytes {
                Bytes::Owned(bytes) => Queued::Owned(bytes),
                Bytes::Shared(bytes) => Queued::Shared(bytes),
            };
            return;
        }
        if let Queued::Shared(_) = self.queued {
            self.make_owned(pool.pop().unwrap_or_default());
        }
        if let Queued::Owned(queued) = &mut self.queued {
            queued.extend_from_slice(bytes.as_slice());
        }
    }

    fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.make_owned(Vec::new());
        if let Queued::Owned(queued) = &mut self.queued {
            write(queued);
        }
    }

    fn make_owned(&mut self, mut buffer: Vec<u8>) {
        match core::mem::take(&mut self.queued) {
            Queued::Nothing => self.queued = Queued::Owned(buffer),
            Queued::Shared(first) => {
                buffer.extend_from_slice(&first);
                self.queued = Queued::Owned(buffer);
            }
            owned @ Queued::Owned(_) => self.queued = owned,
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        if self.sending_bytes > 0 || self.queued.len() == 0 {
            return None;
        }
        let bytes = match core::mem::take(&mut self.queued) {
            Queued::Nothing => return None,
            Queued::Shared(bytes) => Bytes::Shared(bytes),
            Queued::Owned(bytes) => Bytes::Owned(bytes),
        };
        self.sending_bytes = bytes.as_slice().len() as u32;
        self.unasked_sending_bytes = core::mem::take(&mut self.unasked_bytes);
        Some(bytes)
    }

    fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    fn bytes(&self) -> usize {
        self.queued.len() + self.sending_bytes as usize
    }
}

const _: () = assert!(size_of::<Connection>() <= 80);
