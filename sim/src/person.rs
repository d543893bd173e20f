//! One client process: the real SDK core over WebSocket frames over a pipe, and the program that uses it.

mod kept;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use trunkline_client::core::{Client, ClientEvent, DisconnectReason, Follow, Link, Options};
use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, UserId};
use trunkline_wire::websocket::{
    Assembler, ClientHandshake, ClientRequest, FrameLimits, HandshakeLimits, HandshakeProgress, Incoming, Opcode, Role,
    encode_close, encode_frame,
};

pub use kept::{Habit, Kept, Recall};

use crate::network::LinkId;
use crate::options::Dice;
use crate::oracle::streams::Shown;
use crate::oracle::watermarks::Mark;
use crate::tap::{Ears, Heard, Tap};
use kept::KeptOutbox;

/// Where a connection is in its life, seen from the client.
enum Stage {
    Handshake(ClientHandshake),
    Frames(Assembler),
}

/// A connection, or an attempt at one.
struct Line {
    link: LinkId,
    stage: Stage,
    tap: Tap,
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

/// The SDK as the programs here use it.
pub type Sdk = Client<KeptOutbox>;

/// How far users are in conversations.
pub type Receipts = BTreeMap<(ConversationId, UserId), Mark>;

/// A client process.
pub struct Person {
    /// Who.
    pub user: UserId,
    /// On which of the user's devices.
    pub device: DeviceId,
    /// What it does between two starts, and of its own accord.
    pub habit: Habit,
    token: String,
    client: Sdk,
    outbox: KeptOutbox,
    line: Option<Line>,
    dice: Dice,
    /// Which outbox it uses: another one after its state was lost.
    pub life: usize,
    /// What the program has, and what of that is stored.
    pub kept: Kept,
    /// Conversations it has heard of.
    pub known: Vec<ConversationId>,
    /// The SDK has a session.
    pub connected: bool,
    /// The SDK caught up in this process.
    pub synced: bool,
    /// Its device had no stored position when it asked for that.
    pub began_now: bool,
    /// What was there when its device first came, as the program of a listener keeps it.
    pub began: Option<BTreeMap<ConversationId, u64>>,
    /// It knew that when it was started.
    knew_its_beginning: bool,
    /// Conversations that it opened without having confirmed anything of them.
    unconfirmed: BTreeSet<ConversationId>,
    /// Conversations of the first list it read.
    listed: BTreeSet<ConversationId>,
    /// Whether it says how far it is.
    pub reports: bool,
    /// How far others are, as its program was told.
    pub receipts: Receipts,
    /// Commands without an answer.
    pub asked: usize,
}

impl Person {
    /// A client process with an empty outbox.
    pub fn new((user, device): (UserId, DeviceId), habit: Habit, token: String, life: usize, mut dice: Dice) -> Person {
        let outbox = KeptOutbox::default();
        let client = new_client(&token, first_follow(habit), &outbox, &mut dice);
        let reports = dice.percent(75);
        Person {
            user,
            device,
            habit,
            token,
            client,
            outbox,
            line: None,
            dice,
            life,
            kept: Kept::default(),
            known: Vec::new(),
            connected: false,
            synced: false,
            began_now: false,
            began: None,
            knew_its_beginning: false,
            unconfirmed: BTreeSet::new(),
            listed: BTreeSet::new(),
            reports,
            receipts: Receipts::new(),
            asked: 0,
        }
    }

    /// The process dies and is started again; its connection, if any, is returned. With a new life its outbox and all else
    /// it stored are lost, and what the outbox held is returned too.
    pub fn restart(&mut self, new_life: Option<usize>, recall: Recall) -> (Option<LinkId>, Vec<MessageId>) {
        let mut lost = Vec::new();
        if let Some(life) = new_life {
            lost = self.outbox.message_ids();
            self.outbox = KeptOutbox::default();
            self.life = life;
            self.began = None;
        }
        let recall = if new_life.is_some() { Recall::Nothing } else { recall };
        self.kept.restart(self.habit, recall);
        let follow = match self.habit {
            Habit::Keeps => Follow::Behind(self.kept.state().clone()),
            Habit::Listens => self.began.clone().map_or(Follow::Stored, Follow::StoredSince),
            Habit::StartsAnew => first_follow(Habit::StartsAnew),
        };
        self.client = new_client(&self.token, follow, &self.outbox, &mut self.dice);
        self.knew_its_beginning = self.began.is_some();
        self.known.clear();
        self.receipts.clear();
        self.unconfirmed.clear();
        self.listed.clear();
        (self.asked, self.connected, self.synced, self.began_now) = (0, false, false, false);
        (self.line.take().map(|line| line.link), lost)
    }

    /// The SDK.
    pub fn client(&self) -> &Sdk {
        &self.client
    }

    /// Asks for something through the SDK.
    pub fn ask<T>(&mut self, ask: impl FnOnce(&mut Sdk) -> T) -> T {
        ask(&mut self.client)
    }

    /// When the SDK wants to be called, in milliseconds.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.client.poll_timeout()
    }

    /// The server said something of a conversation.
    pub fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Unconfirmed(id) => drop(self.unconfirmed.insert(id)),
            Heard::Listed(id) if !self.synced => drop(self.listed.insert(id)),
            Heard::Listed(_) => {}
        }
    }

    /// Whether nobody can tell where its stream of a conversation begins: the device has confirmed nothing of it, nobody
    /// knows what was there when it came, and its program opened it although the list did not say that it changed.
    pub fn begins_anywhere(&self, conversation: ConversationId) -> bool {
        let in_the_dark = self.unconfirmed.contains(&conversation) && !self.listed.contains(&conversation);
        in_the_dark && !self.knew_its_beginning
    }

    /// It has heard of a conversation.
    pub fn knows(&mut self, conversation: ConversationId) {
        if !self.known.contains(&conversation) {
            self.known.push(conversation);
        }
    }

    /// A connection was made for it.
    pub fn linked(&mut self, link: LinkId) -> Vec<u8> {
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&self.dice.bytes()[..16]);
        let request = ClientRequest { host: "sim", path: trunkline_shards::PATH, origin: None, protocols: None, nonce };
        let mut head = Vec::new();
        let handshake = ClientHandshake::new(HandshakeLimits::DEFAULT, &request, &mut head).expect("a valid request");
        let tap = Tap::new(self.user, self.device);
        self.line = Some(Line { link, stage: Stage::Handshake(handshake), tap });
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
    pub fn received(&mut self, now_ms: u64, mut bytes: &mut [u8], ears: &mut Ears<'_>) -> Vec<Wish> {
        let Some(line) = &mut self.line else { return Vec::new() };
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
        self.received_frames(now_ms, bytes, ears)
    }

    fn received_frames(&mut self, now_ms: u64, bytes: &mut [u8], ears: &mut Ears<'_>) -> Vec<Wish> {
        let Person { client, dice, line, .. } = &mut *self;
        let Some(Line { stage: Stage::Frames(assembler), link, tap }) = line else { return Vec::new() };
        let link = *link;
        let limits = FrameLimits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20, ..FrameLimits::DEFAULT };
        let (mut wishes, mut closed) = (Vec::new(), None);
        let outcome = assembler.receive(&limits, bytes, &mut |incoming| {
            match incoming {
                Incoming::Binary(envelope) => {
                    tap.hear_answer(ears, envelope);
                    client.handle_envelope(now_ms, envelope);
                }
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
    pub fn poll(&mut self, ears: &mut Ears<'_>) -> Option<Wish> {
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
        if let Some(Line { link, stage: Stage::Frames(_), tap }) = &mut self.line
            && let Some(envelope) = self.client.poll_transmit()
        {
            tap.hear_request(ears, &envelope);
            let mut frame = Vec::new();
            encode_frame(Opcode::Binary, &envelope, Some(mask(&mut self.dice)), &mut frame);
            return Some(Wish::Send(*link, frame));
        }
        self.client.poll_event().map(Wish::Event)
    }

    /// Sends a request past the SDK, as another program on this connection might: at most one at a time. `encode` is given
    /// its number and the highest position that was heard of here.
    pub fn send_raw(&mut self, ears: &mut Ears<'_>, encode: impl FnOnce(u32, u64) -> Vec<u8>) -> Option<Wish> {
        let Line { link, stage: Stage::Frames(_), tap } = self.line.as_mut().filter(|_| self.connected)? else {
            return None;
        };
        let request = tap.raw_request()?;
        let envelope = encode(request, tap.heard_position());
        tap.hear_request(ears, &envelope);
        let mut frame = Vec::new();
        encode_frame(Opcode::Binary, &envelope, Some(mask(&mut self.dice)), &mut frame);
        Some(Wish::Send(*link, frame))
    }

    /// What this process was handed so far.
    pub fn shown(&self) -> &Shown {
        self.kept.shown()
    }
}

fn first_follow(habit: Habit) -> Follow {
    match habit {
        Habit::StartsAnew => Follow::FromStart,
        Habit::Keeps => Follow::Behind(trunkline_client::core::State::default()),
        Habit::Listens => Follow::Stored,
    }
}

fn new_client(token: &str, follow: Follow, outbox: &KeptOutbox, dice: &mut Dice) -> Client<KeptOutbox> {
    let options =
        Options { token: token.to_owned(), client_name: "sim".to_owned(), follow, echo_own: true, seed: dice.bytes() };
    Client::new(options, outbox.clone()).expect("memory can be read")
}

fn mask(dice: &mut Dice) -> [u8; 4] {
    let bytes = dice.bytes();
    [bytes[0], bytes[1], bytes[2], bytes[3]]
}
