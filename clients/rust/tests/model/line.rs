//! One client whose server is the test: it reads the client's requests and answers them as it likes.

use trunkline_client::core::{Client, ClientEvent, DisconnectReason, Follow, Link, Options};
use trunkline_client::outbox::MemoryOutbox;
use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, UserId};
use trunkline_wire::message::{
    Ack, Encoded, Encoder, ErrorCode, Message, Opened, Page, Request, Summary, Welcome, decode_request,
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
    List,
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
                Request::List(_) => Asked::List,
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
        let peer = UserId(2);
        let opened = Opened { conversation: CHAT, kind: 1, epoch, last_seq, high, high_message_id: 0, peer };
        self.tell(|encoder| encoder.opened(request, &opened));
    }

    pub fn acked(&mut self, request: u32, accepted: &[(u64, u64, u64)], refusal: Option<ErrorCode>, high: u64) {
        let (epoch, retry_after_ms) = (1, 100);
        let ack = Ack { conversation: CHAT, epoch, accepted, refusal, high, high_message_id: 0, retry_after_ms };
        self.tell(|encoder| encoder.ack(request, &ack));
    }

    pub fn listed(&mut self, request: u32, last_seq: Option<u64>) {
        let summary = |last_seq| Summary { conversation: CHAT, kind: 1, peer: UserId(2), last_seq };
        let summaries: Vec<Summary> = last_seq.map(summary).into_iter().collect();
        self.tell(|encoder| encoder.listed(request, &summaries, false));
    }

    pub fn push(&mut self, seq: u64) {
        self.tell(|encoder| encoder.message(CHAT, &message(seq)));
    }

    /// Answers History with the messages of these numbers.
    pub fn page(&mut self, request: u32, seqs: std::ops::RangeInclusive<u64>, last_seq: u64) {
        let page = Page { conversation: CHAT, epoch: 1, more: *seqs.end() < last_seq, last_seq };
        self.tell(|encoder| encoder.history_page(request, &page, seqs.map(message)));
    }
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
