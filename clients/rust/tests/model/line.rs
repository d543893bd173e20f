//! One client whose server is the test: it reads the client's requests and answers them as it likes.

use trunkline_client::core::{Client, ClientEvent, DisconnectReason, Follow, Link, Options};
use trunkline_client::outbox::MemoryOutbox;
use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, UserId};
use trunkline_wire::message::{
    Ack, Change, ContentKind, Encoded, Encoder, ErrorCode, Message, Opened, Page, Request, Summary, Welcome,
    decode_request, schema,
};

pub const CHAT: ConversationId = ConversationId([7; 16]);
pub const ME: UserId = UserId(1);
pub const HEARTBEAT_MS: u32 = 30_000;

/// A request as the test sees it, with its number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Asked {
    Hello(String),
    Open,
    Send(Vec<(u64, u64)>),
    History(u64),
    /// Behind a position, or (none) behind the stored one; below a number.
    Sync(Option<u64>, u64),
    CreateGroup(u64),
    ChangeMembers,
    Members,
    /// The position, and what was delivered and read.
    Report(u64, Vec<(ConversationId, u64, u64)>),
    Typing,
    Renew(String),
    Other,
}

pub struct Line {
    pub client: Client<MemoryOutbox>,
    pub now_ms: u64,
    encoder: Encoder,
}

impl Line {
    pub fn new(follow: Follow, seed: u8) -> Line {
        Line::with_outbox(follow, seed, MemoryOutbox::default())
    }

    pub fn with_outbox(follow: Follow, seed: u8, outbox: MemoryOutbox) -> Line {
        let options = Options { token: "t".into(), client_name: "c".into(), follow, echo_own: false, seed: [seed; 32] };
        Line { client: Client::new(options, outbox).unwrap(), now_ms: 1_000_000, encoder: Encoder::new() }
    }

    /// Passes time up to the next thing the client wants to do.
    pub fn wait(&mut self) {
        self.now_ms = self.now_ms.max(self.client.poll_timeout().expect("something is to be done"));
        self.client.handle_timeout(self.now_ms);
    }

    /// Connects, when the client wants to, and greets.
    pub fn welcome(&mut self) {
        loop {
            match self.client.poll_link() {
                Some(Link::Connect) => break,
                Some(Link::Close) => {}
                None => self.wait(),
            }
        }
        self.client.handle_connected(self.now_ms);
        let hello = self.asked();
        assert!(matches!(hello[..], [(_, Asked::Hello(_))]), "{hello:?}");
        let welcome = Welcome {
            user: ME,
            device: DeviceId(1),
            session: 1,
            server_time_ms: 0,
            token_expires_ms: 0,
            heartbeat_ms: HEARTBEAT_MS,
        };
        self.tell(|encoder| encoder.welcome(hello[0].0, &welcome));
        assert!(self.events().iter().any(|event| matches!(event, ClientEvent::Connected { .. })));
    }

    pub fn tell(&mut self, encode: impl FnOnce(&mut Encoder) -> Encoded<'_>) {
        let mut envelope = Vec::new();
        encode(&mut self.encoder).write_envelope(&mut envelope);
        self.client.handle_envelope(self.now_ms, &envelope);
    }

    pub fn cut(&mut self) {
        self.client.handle_disconnected(self.now_ms, DisconnectReason::Lost);
    }

    pub fn events(&mut self) -> Vec<ClientEvent> {
        std::iter::from_fn(|| self.client.poll_event()).collect()
    }

    /// What the client asked since the last time.
    pub fn asked(&mut self) -> Vec<(u32, Asked)> {
        let read = |envelope: Vec<u8>| {
            let (request, view) = decode_request(&envelope).expect("the client speaks the protocol");
            let asked = match view {
                Request::Hello(hello) => Asked::Hello(hello.token().unwrap_or_default().to_owned()),
                Request::Open(_) => Asked::Open,
                Request::Send(send) => Asked::Send(
                    send.messages().into_iter().flatten().map(|m| (m.client_seq(), m.message_id())).collect(),
                ),
                Request::History(history) => Asked::History(history.from_seq()),
                Request::Sync(sync) => Asked::Sync((!sync.stored()).then_some(sync.position()), sync.below()),
                Request::CreateGroup(group) => Asked::CreateGroup(group.nonce()),
                Request::ChangeMembers(_) => Asked::ChangeMembers,
                Request::Members(_) => Asked::Members,
                Request::Report(report) => {
                    let receipts = report.receipts().into_iter().flatten();
                    let receipt =
                        |r: &schema::Receipt| (ConversationId(r.conversation().0), r.delivered_seq(), r.read_seq());
                    Asked::Report(report.position(), receipts.map(receipt).collect())
                }
                Request::Typing(_) => Asked::Typing,
                Request::Renew(renew) => Asked::Renew(renew.token().unwrap_or_default().to_owned()),
                Request::Resolve(_) => Asked::Other,
            };
            (request, asked)
        };
        std::iter::from_fn(|| self.client.poll_transmit()).map(read).collect()
    }

    /// The one request since the last time.
    pub fn one(&mut self) -> (u32, Asked) {
        let mut asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked.remove(0)
    }

    pub fn opened(&mut self, request: u32, high: u64, last_seq: u64, epoch: u64) {
        let opened = Opened { epoch, last_seq, high, ..opened() };
        self.tell(|encoder| encoder.opened(request, &opened));
    }

    pub fn acked(&mut self, request: u32, accepted: &[(u64, u64, u64)], refusal: Option<ErrorCode>, high: u64) {
        let (epoch, retry_after_ms) = (1, 100);
        let ack = Ack { conversation: CHAT, epoch, accepted, refusal, high, high_message_id: 0, retry_after_ms };
        self.tell(|encoder| encoder.ack(request, &ack));
    }

    /// Answers Sync with a list, at position 1, that has the conversation with this seq, or nothing.
    pub fn listed(&mut self, request: u32, last_seq: Option<u64>) {
        let rows: Vec<Summary<'_>> = last_seq.map(|last_seq| Summary { last_seq, ..row(1) }).into_iter().collect();
        self.synced(request, (0, rows.len() as u64), &rows);
    }

    /// Answers Sync with the last page of what changed between two positions.
    pub fn synced(&mut self, request: u32, (from, to): (u64, u64), rows: &[Summary<'_>]) {
        self.tell(|encoder| encoder.synced(request, (from, to), rows, false, false));
    }

    pub fn push(&mut self, seq: u64) {
        self.tell(|encoder| encoder.message(CHAT, &message(seq)));
    }

    /// Answers the Open that the client asks now.
    pub fn open(&mut self, opened: &Opened<'_>) {
        let (request, asked) = self.one();
        assert_eq!(asked, Asked::Open);
        self.tell(|encoder| encoder.opened(request, opened));
    }

    /// Answers History with the messages of these numbers.
    pub fn page(&mut self, request: u32, seqs: std::ops::RangeInclusive<u64>, last_seq: u64) {
        let page = Page { conversation: CHAT, epoch: 1, more: *seqs.end() < last_seq, last_seq };
        self.tell(|encoder| encoder.history_page(request, &page, seqs.map(message), &[]));
    }
}

/// The conversation opened by a member, empty.
pub fn opened() -> Opened<'static> {
    Opened {
        conversation: CHAT,
        kind: 1,
        epoch: 1,
        last_seq: 0,
        high: 0,
        high_message_id: 0,
        peer: UserId(2),
        title: "",
        members: 2,
        role: 1,
        joined_seq: 1,
        left_seq: 0,
        delivered_seq: 0,
        read_seq: 0,
    }
}

/// The conversation in a list, empty.
pub fn row(user_seq: u64) -> Summary<'static> {
    Summary {
        conversation: CHAT,
        kind: 1,
        peer: UserId(2),
        last_seq: 0,
        user_seq,
        read_seq: 0,
        joined_seq: 1,
        left_seq: 0,
        title: "",
    }
}

/// A change of members, as the body of a message.
pub fn change(change: Change, users: &[UserId]) -> Vec<u8> {
    Encoder::new().membership_change(change, users, "")
}

/// A message of the server that changes members.
pub fn membership(seq: u64, body: &[u8]) -> Message<'_> {
    Message { kind: ContentKind::Membership as u8, body, ..message(seq) }
}

pub fn message(seq: u64) -> Message<'static> {
    Message {
        epoch: 1,
        seq,
        ts_ms: seq,
        sender: UserId(2),
        device: DeviceId(1),
        message_id: MessageId(seq),
        kind: 1,
        flags: 0,
        body: b"text",
        sent_at_ms: 0,
        ref_seq: 0,
        mls_epoch: 0,
    }
}

/// The numbers of the messages among these events.
pub fn seqs(events: &[ClientEvent]) -> Vec<u64> {
    let seq = |event: &ClientEvent| match event {
        ClientEvent::Message(message) => Some(message.seq),
        _ => None,
    };
    events.iter().filter_map(seq).collect()
}
