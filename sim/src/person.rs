//! One client process: the real SDK core over WebSocket frames over a pipe.

use std::cell::RefCell;
use std::io;
use std::ops::ControlFlow;
use std::rc::Rc;

use trunkline_client::core::{Client, ClientEvent, DisconnectReason, Follow, Link, Options};
use trunkline_client::outbox::{MemoryOutbox, Outbox, Record};
use trunkline_wire::ids::{ConversationId, MessageId, UserId};
use trunkline_wire::websocket::{
    Assembler, ClientHandshake, ClientRequest, FrameLimits, HandshakeLimits, HandshakeProgress, Incoming, Opcode, Role,
    encode_close, encode_frame,
};

use crate::network::LinkId;
use crate::options::Dice;
use crate::oracle::Shown;

/// An outbox that outlives the process which uses it.
#[derive(Clone, Default)]
pub struct KeptOutbox(Rc<RefCell<MemoryOutbox>>);

impl Outbox for KeptOutbox {
    fn load(&mut self) -> io::Result<Vec<Record>> {
        self.0.borrow_mut().load()
    }

    fn put(&mut self, records: &[Record]) -> io::Result<()> {
        self.0.borrow_mut().put(records)
    }

    fn remove(&mut self, message_ids: &[MessageId]) -> io::Result<()> {
        self.0.borrow_mut().remove(message_ids)
    }
}

impl KeptOutbox {
    /// Messages without an answer.
    pub fn message_ids(&self) -> Vec<MessageId> {
        self.0.borrow().records().iter().map(|record| record.message_id).collect()
    }
}

/// Where a connection is in its life, seen from the client.
enum Stage {
    Handshake(ClientHandshake),
    Frames(Assembler),
}

/// A connection, or an attempt at one.
struct Line {
    link: LinkId,
    stage: Stage,
}

/// What a client process wants of its world.
pub enum Wish {
    /// A connection.
    Connect,
    /// Bytes for the server.
    Send(LinkId, Vec<u8>),
    /// It no longer takes part in this connection.
    Drop(LinkId),
    /// Its SDK told it something.
    Event(ClientEvent),
}

/// A client process.
pub struct Person {
    /// Who.
    pub user: UserId,
    token: String,
    client: Client<KeptOutbox>,
    outbox: KeptOutbox,
    line: Option<Line>,
    dice: Dice,
    /// Which outbox it uses: another one after its state was lost.
    pub life: usize,
    /// What this process's stream was shown.
    pub shown: Shown,
    /// Conversations it has opened.
    pub opened: Vec<ConversationId>,
    /// The SDK has a session.
    pub connected: bool,
    /// Commands without an answer.
    pub asked: usize,
}

impl Person {
    /// A client process with an empty outbox.
    pub fn new(user: UserId, token: String, life: usize, mut dice: Dice) -> Person {
        let outbox = KeptOutbox::default();
        let client = new_client(&token, &outbox, &mut dice);
        Person {
            user,
            token,
            client,
            outbox,
            line: None,
            dice,
            life,
            shown: Shown::default(),
            opened: Vec::new(),
            connected: false,
            asked: 0,
        }
    }

    /// The process dies and is started again; its connection, if any, is returned. With a new life its outbox is lost, and
    /// what that held is returned too.
    pub fn restart(&mut self, new_life: Option<usize>) -> (Option<LinkId>, Vec<MessageId>) {
        let mut lost = Vec::new();
        if let Some(life) = new_life {
            lost = self.outbox.message_ids();
            self.outbox = KeptOutbox::default();
            self.life = life;
        }
        self.client = new_client(&self.token, &self.outbox, &mut self.dice);
        self.shown = Shown::default();
        self.opened.clear();
        self.asked = 0;
        self.connected = false;
        (self.line.take().map(|line| line.link), lost)
    }

    /// Asks for something through the SDK.
    pub fn ask<T>(&mut self, ask: impl FnOnce(&mut Client<KeptOutbox>) -> T) -> T {
        ask(&mut self.client)
    }

    /// When the SDK wants to be called, in milliseconds.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.client.poll_timeout()
    }

    /// A connection was made for it.
    pub fn linked(&mut self, link: LinkId) -> Vec<u8> {
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&self.dice.bytes()[..16]);
        let request = ClientRequest { host: "sim", path: trunkline_shards::PATH, origin: None, protocols: None, nonce };
        let mut head = Vec::new();
        let handshake = ClientHandshake::new(HandshakeLimits::DEFAULT, &request, &mut head).expect("a valid request");
        self.line = Some(Line { link, stage: Stage::Handshake(handshake) });
        head
    }

    /// There is no server.
    pub fn refused(&mut self, now_ms: u64) {
        self.client.handle_disconnected(now_ms, DisconnectReason::ConnectFailed);
    }

    /// Its connection broke.
    pub fn cut(&mut self, now_ms: u64) {
        if self.line.take().is_some() {
            self.connected = false;
            self.client.handle_disconnected(now_ms, DisconnectReason::Lost);
        }
    }

    /// The connection it takes part in.
    pub fn link(&self) -> Option<LinkId> {
        self.line.as_ref().map(|line| line.link)
    }

    /// Bytes came from the server; what is to be answered by the transport is returned.
    pub fn received(&mut self, now_ms: u64, mut bytes: &mut [u8]) -> Vec<Wish> {
        let Some(line) = &mut self.line else { return Vec::new() };
        let link = line.link;
        if let Stage::Handshake(handshake) = &mut line.stage {
            match handshake.receive(bytes).expect("a Trunkline server shakes hands") {
                HandshakeProgress::NeedMore => return Vec::new(),
                HandshakeProgress::Done { consumed, .. } => {
                    line.stage = Stage::Frames(Assembler::new(Role::Client));
                    self.client.handle_connected(now_ms);
                    bytes = &mut bytes[consumed..];
                }
            }
        }
        self.received_frames(now_ms, link, bytes)
    }

    fn received_frames(&mut self, now_ms: u64, link: LinkId, bytes: &mut [u8]) -> Vec<Wish> {
        let Person { client, dice, line, .. } = &mut *self;
        let Some(Line { stage: Stage::Frames(assembler), .. }) = line else { return Vec::new() };
        let limits = FrameLimits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20, ..FrameLimits::DEFAULT };
        let (mut wishes, mut closed) = (Vec::new(), None);
        let outcome = assembler.receive(&limits, bytes, &mut |incoming| {
            match incoming {
                Incoming::Binary(envelope) => client.handle_envelope(now_ms, envelope),
                Incoming::Ping(payload) => {
                    client.handle_activity(now_ms);
                    let mut pong = Vec::new();
                    encode_frame(Opcode::Pong, payload, Some(mask(dice)), &mut pong);
                    wishes.push(Wish::Send(link, pong));
                }
                Incoming::Pong(_) | Incoming::Text(_) => {}
                Incoming::Close { code, .. } => {
                    let mut answer = Vec::new();
                    encode_close(code, "", Some(mask(dice)), &mut answer);
                    wishes.push(Wish::Send(link, answer));
                    closed = Some(code.map(|code| code.value()));
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        outcome.unwrap_or_else(|violation| panic!("the server breaks RFC 6455: {violation}"));
        if let Some(code) = closed {
            self.line = None;
            self.connected = false;
            self.client.handle_disconnected(now_ms, DisconnectReason::Closed(code));
            wishes.push(Wish::Drop(link));
        }
        wishes
    }

    /// The next thing it wants.
    pub fn poll(&mut self) -> Option<Wish> {
        match self.client.poll_link() {
            Some(Link::Connect) => return Some(Wish::Connect),
            Some(Link::Close) => {
                self.connected = false;
                if let Some(line) = self.line.take() {
                    return Some(Wish::Drop(line.link));
                }
            }
            None => {}
        }
        if let Some(Line { link, stage: Stage::Frames(_) }) = &self.line {
            let link = *link;
            if let Some(envelope) = self.client.poll_transmit() {
                let mut frame = Vec::new();
                encode_frame(Opcode::Binary, &envelope, Some(mask(&mut self.dice)), &mut frame);
                return Some(Wish::Send(link, frame));
            }
        }
        self.client.poll_event().map(Wish::Event)
    }
}

fn new_client(token: &str, outbox: &KeptOutbox, dice: &mut Dice) -> Client<KeptOutbox> {
    let options = Options {
        token: token.to_owned(),
        client_name: "sim".to_owned(),
        follow: Follow::FromStart,
        echo_own: true,
        seed: dice.bytes(),
    };
    Client::new(options, outbox.clone()).expect("memory can be read")
}

fn mask(dice: &mut Dice) -> [u8; 4] {
    let bytes = dice.bytes();
    [bytes[0], bytes[1], bytes[2], bytes[3]]
}
