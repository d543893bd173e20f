//! A client made of a socket and the wire crate: it says whatever a test wants, lawful or not, and tells what it hears.

mod asking;

use std::fmt::Debug;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use trunkline_wire::ids::{ConversationId, MessageId, UserId};
use trunkline_wire::message::{ContentKind, Encoded, Encoder, ErrorCode, Outgoing};
use trunkline_wire::websocket::{
    ClientHandshake, ClientRequest, HandshakeLimits, HandshakeProgress, Opcode, encode_frame,
};

use crate::ear::{Ack, Ear, Heard, Reply, Row};

pub use asking::{Answered, List, Page};

/// How long a server may take for anything that has no limit of its own.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// The path of the WebSocket endpoint.
pub const PATH: &str = "/v1/ws";

const MASK: Option<[u8; 4]> = Some([0x37, 0xfa, 0x21, 0x3d]);

/// One connection.
pub struct Peer {
    /// The socket, for what a test does to it.
    pub stream: TcpStream,
    /// Whether pings are answered while something else is waited for.
    pub answers_pings: bool,
    /// Bytes of each write, and the pause behind it; none: all at once.
    pieces: Option<(usize, Duration)>,
    ear: Ear,
    encoder: Encoder,
    last_request: u32,
    /// Heard while something else was waited for.
    aside: Vec<Heard>,
}

impl Peer {
    /// Connects and opens the WebSocket.
    pub fn open(address: SocketAddr) -> Peer {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("no connection to {address}: {error}"));
        Peer::open_over(stream)
    }

    /// Opens the WebSocket over a connection.
    pub fn open_over(stream: TcpStream) -> Peer {
        Peer::open_in_pieces(stream, None)
    }

    /// The same; from the first byte on everything is written in pieces of so many bytes, with a pause behind each.
    pub fn open_in_pieces(mut stream: TcpStream, pieces: Option<(usize, Duration)>) -> Peer {
        stream.set_nodelay(true).expect("a socket");
        let mut head = Vec::new();
        let request = ClientRequest { host: "test", path: PATH, origin: None, protocols: None, nonce: [7; 16] };
        let handshake = ClientHandshake::new(HandshakeLimits::DEFAULT, &request, &mut head);
        let mut handshake = handshake.expect("a valid request");
        write_pieces(&mut stream, &head, pieces).expect("a server that listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut ear = Ear::new();
        let mut buffer = [0; 4096];
        loop {
            let count = stream.read(&mut buffer).expect("an answer to the handshake");
            assert!(count > 0, "the server closed during the handshake");
            let progress = handshake.receive(&buffer[..count]);
            let progress = progress.unwrap_or_else(|violation| panic!("the handshake was answered with {violation}"));
            if let HandshakeProgress::Done { consumed, .. } = progress {
                ear.feed(&mut buffer[consumed..count]);
                break;
            }
        }
        Peer { stream, answers_pings: true, pieces, ear, encoder: Encoder::new(), last_request: 0, aside: Vec::new() }
    }

    /// Connects and says who it is; the answer has to be Welcome.
    pub fn login(address: SocketAddr, token: &str) -> Peer {
        let mut peer = Peer::open(address);
        peer.welcome(token);
        peer
    }

    /// Says Hello, and expects Welcome.
    pub fn welcome(&mut self, token: &str) -> UserId {
        match self.ask(|encoder, request| encoder.hello(request, token, "faults")) {
            Reply::Welcome { user, .. } => user,
            other => panic!("Hello was answered with {other:?}"),
        }
    }

    /// Writes bytes as they are. A server that does not listen any more is no failure here.
    pub fn write(&mut self, bytes: &[u8]) {
        let _ = write_pieces(&mut self.stream, bytes, self.pieces);
    }

    /// Writes a frame as clients do.
    pub fn write_frame(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut bytes = Vec::new();
        encode_frame(opcode, payload, MASK, &mut bytes);
        self.write(&bytes);
    }

    /// Writes a request with a number of the test's choice.
    pub fn request(&mut self, make: impl FnOnce(&mut Encoder) -> Encoded<'_>) {
        let mut envelope = Vec::new();
        make(&mut self.encoder).write_envelope(&mut envelope);
        self.write_frame(Opcode::Binary, &envelope);
    }

    /// The bytes of a request with the next number, as one frame.
    pub fn frame_of(&mut self, make: impl FnOnce(&mut Encoder, u32) -> Encoded<'_>) -> (u32, Vec<u8>) {
        self.last_request += 1;
        let (mut envelope, mut bytes) = (Vec::new(), Vec::new());
        make(&mut self.encoder, self.last_request).write_envelope(&mut envelope);
        encode_frame(Opcode::Binary, &envelope, MASK, &mut bytes);
        (self.last_request, bytes)
    }

    /// Asks, and waits for the answer; what else is heard is kept aside.
    pub fn ask(&mut self, make: impl FnOnce(&mut Encoder, u32) -> Encoded<'_>) -> Reply {
        let (request, bytes) = self.frame_of(make);
        self.write(&bytes);
        self.answer_to(request)
    }

    /// Waits for the answer to a request.
    pub fn answer_to(&mut self, request: u32) -> Reply {
        let is_it = |heard: &Heard| matches!(heard, Heard::Reply(number, _) if *number == request);
        match self.hear_until(&format!("an answer to request {request}"), is_it) {
            Heard::Reply(_, reply) => reply,
            other => unreachable!("waited for a reply, not {other:?}"),
        }
    }

    /// The error a request was answered with.
    pub fn error_to(&mut self, request: u32) -> ErrorCode {
        match self.answer_to(request) {
            Reply::Error { code, .. } => code,
            other => panic!("request {request} was answered with {other:?}, not with an error"),
        }
    }

    /// Opens the 1:1 with a peer; says which it is, and the device's highest number there.
    pub fn open_peer(&mut self, user: UserId) -> (ConversationId, u64) {
        match self.ask(|encoder, request| encoder.open_peer(request, user)) {
            Reply::Opened(opened) => (opened.conversation, opened.high),
            other => panic!("Open was answered with {other:?}"),
        }
    }

    /// Sends one message.
    pub fn send(&mut self, conversation: ConversationId, client_seq: u64, message_id: u64, body: &[u8]) -> Ack {
        match self.ask(|encoder, request| encode_send(encoder, request, conversation, client_seq, message_id, body)) {
            Reply::Ack(ack) => ack,
            other => panic!("Send was answered with {other:?}"),
        }
    }

    /// The next pushed message.
    pub fn message(&mut self) -> (ConversationId, Row) {
        let is_message = |heard: &Heard| matches!(heard, Heard::Reply(0, Reply::Message(..)));
        match self.hear_until("a message", is_message) {
            Heard::Reply(_, Reply::Message(conversation, row)) => (conversation, row),
            other => unreachable!("waited for a message, not {other:?}"),
        }
    }

    /// All of a conversation.
    pub fn history(&mut self, conversation: ConversationId) -> Vec<Row> {
        let mut all: Vec<Row> = Vec::new();
        loop {
            let from_seq = all.last().map_or(1, |row| row.seq + 1);
            match self.ask(|encoder, request| encoder.history(request, conversation, from_seq, false, 50)) {
                Reply::Page { rows, more, .. } => {
                    assert!(!more || !rows.is_empty(), "an empty page says that there is more");
                    all.extend(rows);
                    if !more {
                        return all;
                    }
                }
                other => panic!("History was answered with {other:?}"),
            }
        }
    }

    /// The next thing that is heard; none when the server has closed the socket.
    pub fn hear(&mut self) -> Option<Heard> {
        self.hear_within(PATIENCE).unwrap_or_else(|Late| panic!("the server said nothing for {PATIENCE:?}"))
    }

    /// The same, or nothing within a time.
    pub fn hear_within(&mut self, patience: Duration) -> Result<Option<Heard>, Late> {
        if !self.aside.is_empty() {
            return Ok(Some(self.aside.remove(0)));
        }
        self.listen(Instant::now() + patience)
    }

    fn listen(&mut self, deadline: Instant) -> Result<Option<Heard>, Late> {
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(heard) = self.ear.next_heard() {
                if let (Heard::Ping(payload), true) = (&heard, self.answers_pings) {
                    let payload = payload.clone();
                    self.write_frame(Opcode::Pong, &payload);
                }
                return Ok(Some(heard));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Late);
            }
            self.stream.set_read_timeout(Some(left)).expect("a socket");
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(count) => self.ear.feed(&mut buffer[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Err(Late),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The server reset the connection: it is gone.
                Err(_) => return Ok(None),
            }
        }
    }

    /// Waits for something; what else is heard is kept aside.
    fn hear_until(&mut self, what: &str, is_it: impl Fn(&Heard) -> bool) -> Heard {
        if let Some(index) = self.aside.iter().position(&is_it) {
            return self.aside.remove(index);
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.listen(deadline) {
                Ok(Some(heard)) if is_it(&heard) => return heard,
                Ok(Some(heard)) => self.aside.push(heard),
                Ok(None) => panic!("the server closed; waited for {what}, heard {:?}", self.aside),
                Err(Late) => panic!("{what} did not come within {PATIENCE:?}, but {:?}", self.aside),
            }
        }
    }

    /// Waits until the server closes with a code and a reason, and says goodbye.
    pub fn told_of_close(&mut self, code: u16, reason: &str) {
        let is_close = |heard: &Heard| matches!(heard, Heard::Close(..));
        let close = self.hear_until(&format!("a close {code} {reason}"), is_close);
        assert_eq!(close, Heard::Close(Some(code), reason.to_owned()), "closed otherwise; before: {:?}", self.aside);
        self.write_frame(Opcode::Close, &code.to_be_bytes());
    }

    /// The same, and sees the socket end.
    pub fn closed_with(&mut self, code: u16, reason: &str) {
        self.told_of_close(code, reason);
        self.ends();
    }

    /// Waits until the server ends the stream.
    pub fn ends(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while let Some(heard) = self.listen(deadline).unwrap_or_else(|Late| panic!("the socket stays open")) {
            self.aside.push(heard);
        }
    }
}

fn write_pieces(stream: &mut TcpStream, bytes: &[u8], pieces: Option<(usize, Duration)>) -> io::Result<()> {
    let Some((piece_bytes, pause)) = pieces else { return stream.write_all(bytes) };
    for piece in bytes.chunks(piece_bytes) {
        stream.write_all(piece)?;
        thread::sleep(pause);
    }
    Ok(())
}

/// Nothing was heard in time.
#[derive(Debug)]
pub struct Late;

/// A Send of one text.
pub fn encode_send<'e>(
    encoder: &'e mut Encoder,
    request: u32,
    conversation: ConversationId,
    client_seq: u64,
    message_id: u64,
    body: &[u8],
) -> Encoded<'e> {
    let message = Outgoing { client_seq, message_id: MessageId(message_id), kind: ContentKind::Text as u8, body };
    encoder.send(request, conversation, &[message])
}

/// That something becomes as expected within a time.
pub fn soon<T: PartialEq + Debug>(what: &str, patience: Duration, expected: &T, look: impl Fn() -> T) {
    let deadline = Instant::now() + patience;
    loop {
        let found = look();
        if found == *expected {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: still {found:?} after {patience:?}, not {expected:?}");
        thread::sleep(Duration::from_millis(20));
    }
}
