//! A small server in memory, one thread per connection, that can be told to misbehave.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::thread;

use trunkline_bench::course::Spans;
use trunkline_bench::direct::Setting;
use trunkline_bench::group;
use trunkline_bench::users::User;
use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, TenantId, UserId};
use trunkline_wire::message::{
    Ack, Change, Encoder, ErrorCode, Message, Opened, Page, Request, Summary, Welcome, decode_request, schema,
};
use trunkline_wire::websocket::{
    Assembler, FrameLimits, HandshakeLimits, HandshakeProgress, Incoming, Role, ServerHandshake, accept_response,
};

/// How the server misbehaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conduct {
    /// Not at all.
    Good,
    /// Refuses every fifth Send with `busy`, and every seventh with `rate_limited`.
    Busy,
    /// Changes the body of a message late in the run.
    Forges,
    /// Does not deliver one message.
    Swallows,
    /// Delivers one message twice.
    Repeats,
    /// Acks another seq than it delivers.
    Renumbers,
    /// Leaves one message out of history, and the last ones out of lists.
    Forgets,
    /// Knows no token.
    Mistrusts,
}

/// After how many messages the misdeed comes.
const MISDEED_AT: u64 = 100;
const PAGE_MESSAGES: usize = 50;
const PAGE_BYTES: usize = 60 * 1024;
/// Conversations in a page of a list: few, so that there are several pages.
const LIST_PAGE: usize = 7;

struct Row {
    sender: UserId,
    id: u64,
    kind: u8,
    body: Vec<u8>,
}

#[derive(Default)]
struct Conversation {
    rows: Vec<Row>,
    highs: HashMap<UserId, u64>,
    members: Vec<UserId>,
}

/// A user's conversations: number of the last change and last seq of each.
#[derive(Default)]
struct List {
    position: u64,
    rows: HashMap<ConversationId, (u64, u64)>,
}

struct State {
    conduct: Conduct,
    sends: u64,
    streams: HashMap<UserId, TcpStream>,
    conversations: HashMap<ConversationId, Conversation>,
    lists: HashMap<UserId, List>,
    encoder: Encoder,
}

/// Starts one on a free port.
pub fn start(conduct: Conduct) -> SocketAddrV4 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (streams, conversations, lists) = (HashMap::new(), HashMap::new(), HashMap::new());
    let state = State { conduct, sends: 0, streams, conversations, lists, encoder: Encoder::new() };
    let state = Arc::new(Mutex::new(state));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let state = Arc::clone(&state);
            thread::spawn(move || serve(stream.unwrap(), &state));
        }
    });
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

/// Users whose tokens are their numbers.
pub fn users(count: u32) -> Vec<User> {
    let user = |number: u32| User {
        handle: format!("u{number}"),
        id: UserId(u64::from(number) + 1),
        token: (number + 1).to_string(),
        expires_s: u64::MAX,
    };
    (0..count).map(user).collect()
}

/// A short run of ten pairs.
pub fn short() -> Setting {
    Setting {
        pairs: 10,
        in_flight: 1,
        is_one_way: false,
        body_bytes: 100,
        seconds: 0.5,
        warmup_s: 0.1,
        rate: None,
        samples: 10,
        patience_s: 2.0,
        connecting_max: 5,
        server_pid: Some(std::process::id()),
    }
}

/// A short run of two groups of five, in which two talk.
pub fn short_groups() -> group::Setting {
    group::Setting {
        groups: 2,
        members: 5,
        senders: 2,
        body_bytes: 100,
        spans: Spans { warmup_s: 0.1, seconds: 0.5, patience_s: 2.0 },
        samples: 2,
        connecting_max: 5,
        server_pid: Some(std::process::id()),
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = vec![0; 64 * 1024];
    let mut handshake = Some(ServerHandshake::new(HandshakeLimits::DEFAULT));
    let mut assembler = Assembler::new(Role::Server);
    let mut user = UserId(0);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        let mut consumed = 0;
        if let Some(shaking) = &mut handshake {
            match shaking.receive(&buffer[..count]).unwrap() {
                HandshakeProgress::NeedMore => continue,
                HandshakeProgress::Done { consumed: head_bytes, head } => {
                    let mut out = Vec::new();
                    accept_response(&head.key, None, &mut out);
                    stream.write_all(&out).unwrap();
                    (consumed, handshake) = (head_bytes, None);
                }
            }
        }
        let mut sink = |incoming: Incoming<'_>| {
            let Incoming::Binary(envelope) = incoming else { return ControlFlow::Break(()) };
            let (number, request) = decode_request(envelope).unwrap();
            state.lock().unwrap().answer(&stream, &mut user, number, &request);
            ControlFlow::Continue(())
        };
        assembler.receive(&FrameLimits::DEFAULT, &mut buffer[consumed..count], &mut sink).unwrap();
    }
}

impl State {
    fn answer(&mut self, stream: &TcpStream, user: &mut UserId, number: u32, request: &Request<'_>) {
        let mut out = Vec::new();
        match request {
            Request::Hello(hello) if self.conduct == Conduct::Mistrusts || hello.token() == Some("0") => {
                self.encoder.error(number, ErrorCode::TokenInvalid, "no", 0).write_server_frame(&mut out);
            }
            Request::Hello(hello) => {
                *user = UserId(hello.token().unwrap().parse().unwrap());
                self.streams.insert(*user, stream.try_clone().unwrap());
                let welcome = Welcome {
                    user: *user,
                    device: DeviceId(1),
                    session: 1,
                    server_time_ms: 0,
                    token_expires_ms: 0,
                    heartbeat_ms: 0,
                };
                self.encoder.welcome(number, &welcome).write_server_frame(&mut out);
            }
            Request::Open(open) => self.open(*user, number, open, &mut out),
            Request::Send(send) => self.send(*user, number, send, &mut out),
            Request::History(history) => self.history(number, history, &mut out),
            Request::CreateGroup(group) => self.create_group(*user, number, group, &mut out),
            Request::Sync(sync) => self.sync(*user, number, sync, &mut out),
            Request::Report(_) => self.encoder.done(number).write_server_frame(&mut out),
            other => panic!("not served here: {other:?}"),
        }
        // A generator that has seen enough is gone.
        let _ = (&mut &*stream).write_all(&out);
    }

    fn open(&mut self, user: UserId, number: u32, open: &schema::Open<'_>, out: &mut Vec<u8>) {
        let peer = UserId(open.peer());
        let id = ConversationId::direct(TenantId(0), user, peer);
        let conversation = self.conversations.entry(id).or_default();
        conversation.members = vec![user, peer];
        self.opened(user, number, id, peer, out);
    }

    fn opened(&mut self, user: UserId, number: u32, id: ConversationId, peer: UserId, out: &mut Vec<u8>) {
        let conversation = &self.conversations[&id];
        let opened = Opened {
            conversation: id,
            kind: 1 + u8::from(peer.0 == 0),
            epoch: 1,
            last_seq: conversation.rows.len() as u64,
            high: conversation.highs.get(&user).copied().unwrap_or(0),
            high_message_id: 0,
            peer,
            title: "",
            members: conversation.members.len() as u32,
            role: 1,
            joined_seq: 1,
            left_seq: 0,
            delivered_seq: 0,
            read_seq: 0,
        };
        self.encoder.opened(number, &opened).write_server_frame(out);
    }

    fn create_group(&mut self, user: UserId, number: u32, group: &schema::CreateGroup<'_>, out: &mut Vec<u8>) {
        let id = ConversationId::group(TenantId(0), user, group.nonce());
        let others = group.members().unwrap().iter().map(UserId);
        let members: Vec<UserId> = std::iter::once(user).chain(others).collect();
        let body = self.encoder.membership_change(Change::Created, &members, group.title().unwrap());
        let conversation = self.conversations.entry(id).or_default();
        assert!(conversation.rows.is_empty(), "each nonce makes a group");
        conversation.members = members;
        self.append(id, Row { sender: user, id: 1, kind: 2, body }, 1);
        self.opened(user, number, id, UserId(0), out);
    }

    /// Adds a row and sends it to everybody but a text's sender, so many times to the last; Advanced follows to everybody.
    fn append(&mut self, id: ConversationId, row: Row, times_to_last: usize) {
        let conversation = self.conversations.get_mut(&id).unwrap();
        let seq = conversation.rows.len() as u64 + 1;
        let mut push = Vec::new();
        self.encoder.message(id, &as_message(&row, seq)).write_server_frame(&mut push);
        // Changes of the members come to whoever asked for them, too.
        let recipients = conversation.members.iter().filter(|member| **member != row.sender || row.kind == 2);
        let last = recipients.clone().next_back();
        for recipient in recipients.clone() {
            let times = if Some(recipient) == last { times_to_last } else { 1 };
            if let Some(mut stream) = self.streams.get(recipient) {
                let _ = stream.write_all(&push.repeat(times));
            }
        }
        for member in &conversation.members {
            let list = self.lists.entry(*member).or_default();
            list.position += 1;
            list.rows.insert(id, (list.position, seq));
            if let Some(mut stream) = self.streams.get(member) {
                let mut advanced = Vec::new();
                let (from, to) = (list.position - 1, list.position);
                self.encoder.advanced(from, to, &[(id, seq)]).write_server_frame(&mut advanced);
                let _ = stream.write_all(&advanced);
            }
        }
        conversation.rows.push(row);
    }

    fn sync(&mut self, user: UserId, number: u32, sync: &schema::Sync<'_>, out: &mut Vec<u8>) {
        let list = self.lists.entry(user).or_default();
        let below = if sync.below() == 0 { u64::MAX } else { sync.below() };
        let changed = list.rows.iter().map(|(id, (user_seq, last_seq))| (*user_seq, (*id, *last_seq)));
        let changed: BTreeMap<u64, _> = changed.filter(|(at, _)| *at > sync.position() && *at < below).collect();
        let summary = |(user_seq, (conversation, last_seq)): (&u64, &(ConversationId, u64))| Summary {
            conversation: *conversation,
            kind: 2,
            peer: UserId(0),
            last_seq: last_seq - u64::from(self.conduct == Conduct::Forgets),
            user_seq: *user_seq,
            read_seq: 0,
            joined_seq: 1,
            left_seq: 0,
            title: "",
        };
        let page: Vec<Summary<'_>> = changed.iter().rev().take(LIST_PAGE).map(summary).collect();
        let more = page.len() < changed.len();
        let span = (sync.position(), list.position);
        self.encoder.synced(number, span, &page, more, false).write_server_frame(out);
    }

    fn send(&mut self, user: UserId, number: u32, send: &schema::Send<'_>, out: &mut Vec<u8>) {
        self.sends += 1;
        let id = ConversationId(send.conversation().unwrap().0);
        let outgoing = send.messages().unwrap().get(0);
        let (client_seq, mut body) = (outgoing.client_seq(), outgoing.body().unwrap().bytes().to_vec());
        let is_due = self.sends == MISDEED_AT;
        let refusal = match self.sends {
            sends if self.conduct == Conduct::Busy && sends % 5 == 0 => Some(ErrorCode::Busy),
            sends if self.conduct == Conduct::Busy && sends % 7 == 0 => Some(ErrorCode::RateLimited),
            _ => None,
        };
        let conversation = self.conversations.get_mut(&id).unwrap();
        let mut accepted = Vec::new();
        if refusal.is_none() {
            assert_eq!(
                client_seq,
                conversation.highs.insert(user, client_seq).unwrap_or(0) + 1,
                "client_seq has a gap"
            );
            let renumbered = u64::from(is_due && self.conduct == Conduct::Renumbers);
            accepted.push((client_seq, conversation.rows.len() as u64 + 1 + renumbered, 1));
        }
        let ack = Ack {
            conversation: id,
            epoch: 1,
            accepted: &accepted,
            refusal,
            high: client_seq,
            high_message_id: 0,
            retry_after_ms: 2,
        };
        self.encoder.ack(number, &ack).write_server_frame(out);
        if refusal.is_some() {
            return;
        }
        let times = match self.conduct {
            Conduct::Swallows if is_due => 0,
            Conduct::Repeats if is_due => 2,
            _ => 1,
        };
        if is_due && self.conduct == Conduct::Forges {
            body[50] ^= 1;
        }
        self.append(id, Row { sender: user, id: outgoing.message_id(), kind: 1, body }, times);
    }

    fn history(&mut self, number: u32, history: &schema::History<'_>, out: &mut Vec<u8>) {
        let id = ConversationId(history.conversation().unwrap().0);
        let rows = &self.conversations[&id].rows;
        let from = history.from_seq() as usize - 1;
        let fitting = rows.first().map_or(1, |row| PAGE_BYTES / (row.body.len() + 112)).min(PAGE_MESSAGES);
        let to = (from + fitting).min(rows.len());
        let page = Page { conversation: id, epoch: 1, more: to < rows.len(), last_seq: rows.len() as u64 };
        let forgotten = if self.conduct == Conduct::Forgets { 3 } else { 0 };
        let of_page = (from..to).map(|index| (index as u64 + 1, &rows[index]));
        let messages = of_page.filter(|(seq, _)| *seq != forgotten).map(|(seq, row)| as_message(row, seq));
        self.encoder.history_page(number, &page, messages, &[]).write_server_frame(out);
    }
}

fn as_message(row: &Row, seq: u64) -> Message<'_> {
    Message {
        epoch: 1,
        seq,
        ts_ms: 1,
        sender: row.sender,
        device: DeviceId(1),
        message_id: MessageId(row.id),
        kind: row.kind,
        flags: 0,
        body: &row.body,
        sent_at_ms: 0,
        ref_seq: 0,
        mls_epoch: 0,
    }
}
