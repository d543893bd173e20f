//! Envelopes and frames are the same in every version: the peers of a connection are of different age.
//!
//! Set-up: `vectors/frames.txt` has for each op one envelope or more, with its meaning in words and, for some, the
//! WebSocket frame of a server or a client. Claim: encoding gives exactly these bytes, decoding them gives exactly this
//! meaning, and no op is left out.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::ops::ControlFlow;

use crate::golden;
use crate::meaning;
use data_encoding::HEXLOWER;
use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, TenantId, UserId};
use trunkline_wire::message::{
    Ack, Change, Encoded, Encoder, ErrorCode, Member, Message, Op, Opened, Outgoing, Page, Receipt, Summary,
    UserReceipt, Welcome, peek_request,
};
use trunkline_wire::websocket::{
    Assembler, CloseCode, FrameLimits, Incoming, Opcode, Role, encode_close, encode_frame,
};

const CONVERSATION: ConversationId =
    ConversationId(*b"\x09\x6e\x29\x49\xd5\x71\xba\x16\x9a\x9a\x3d\x0b\xa3\x9c\x13\x2b");
const OTHER: ConversationId = ConversationId([0xab; 16]);
/// The group that ALICE of tenant 0 makes with NONCE.
const GROUP: ConversationId = ConversationId(*b"\x21\xf2\x9b\x3d\xd2\x1b\x64\x7a\x39\x11\xc0\x7e\x4a\xec\x15\xc0");
const NONCE: u64 = 7;
const ALICE: UserId = UserId(0x0123_4567_89ab_cdef);
const BOB: UserId = UserId(0xfedc_ba98_7654_3210);
const CAROL: UserId = UserId(0xffff_ffff_ffff_fffe);
/// As after a restored backup: counters go on above the second incarnation's beginning.
const POSITION: u64 = (1 << 40) + 17;
const MEMBERSHIPS: &[(u64, Change, &[UserId], &str)] = &[
    (1, Change::Created, &[BOB, CAROL], "Grüße 👋"),
    (2, Change::Added, &[BOB], ""),
    (3, Change::Removed, &[BOB, CAROL], ""),
    (4, Change::Admitted, &[BOB], ""),
];
const TS_MS: u64 = 1_700_000_000_123;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const TOKEN: &str = "tl1_AAAABwAAAAABI0VniavN7wAAAAIBAAAAAGVT8QAAAAAAZXt-AKy9hrIFCCPctdFroBpsyVK368rZ8pRBEGNEfzycvrjf";

/// Whose WebSocket frame stands beside the envelope.
#[derive(Clone, Copy, PartialEq)]
enum Framed {
    No,
    ByServer,
    ByClient,
}

/// Collects vectors as text.
#[derive(Default)]
struct Vectors {
    text: String,
}

impl Vectors {
    fn add(&mut self, name: &str, framed: Framed, encoded: Encoded<'_>) {
        let mut envelope = Vec::new();
        encoded.write_envelope(&mut envelope);
        self.line(&format!("\n[{name}]\n{}", meaning::of_envelope(&envelope)));
        self.bytes("envelope", &envelope);
        let mut frame = Vec::new();
        match framed {
            Framed::No => {}
            Framed::ByServer => {
                encoded.write_server_frame(&mut frame);
                self.bytes("frame of the server", &frame);
            }
            Framed::ByClient => {
                encode_frame(Opcode::Binary, &envelope, Some(MASK), &mut frame);
                self.bytes("frame of the client", &frame);
            }
        }
    }

    fn body(&mut self, name: &str, body: &[u8]) {
        self.line(&format!("\n[{name}]\n{}", meaning::of_membership(body).trim_end()));
        self.bytes("body", body);
    }

    fn control(&mut self, name: &str, role: Role, write: impl FnOnce(Option<[u8; 4]>, &mut Vec<u8>)) {
        let mut frame = Vec::new();
        write((role == Role::Client).then_some(MASK), &mut frame);
        let sender = if role == Role::Client { "client" } else { "server" };
        let meaning = meaning_of_frame(&frame, sender);
        self.line(&format!("\n[{name}]\n{meaning}"));
        self.bytes(&format!("frame of the {sender}"), &frame);
    }

    fn line(&mut self, line: &str) {
        writeln!(self.text, "{line}").expect("writing to a string");
    }

    fn bytes(&mut self, what: &str, bytes: &[u8]) {
        self.line(&format!("{what}, {} bytes:", bytes.len()));
        for row in bytes.chunks(32) {
            self.line(&format!("    {}", HEXLOWER.encode(row)));
        }
    }
}

/// What the receiver of a frame is handed.
fn unframe<T>(frame: &[u8], sender: &str, mut take: impl FnMut(Incoming<'_>) -> T) -> T {
    let receiver = if sender == "client" { Role::Server } else { Role::Client };
    let mut taken = None;
    let mut bytes = frame.to_vec();
    let received = Assembler::new(receiver).receive(&FrameLimits::DEFAULT, &mut bytes, &mut |incoming| {
        assert!(taken.replace(take(incoming)).is_none(), "a vector is one frame");
        ControlFlow::Continue(())
    });
    received.expect("a vector breaks no law");
    taken.expect("a vector is a whole frame")
}

fn meaning_of_frame(frame: &[u8], sender: &str) -> String {
    unframe(frame, sender, |incoming| match incoming {
        Incoming::Ping(payload) => format!("ping {:?}", String::from_utf8_lossy(payload)),
        Incoming::Pong(payload) => format!("pong {:?}", String::from_utf8_lossy(payload)),
        Incoming::Close { code, reason } => format!("close {} {reason:?}", code.map_or(0, CloseCode::value)),
        Incoming::Binary(envelope) => meaning::of_envelope(envelope),
        Incoming::Text(text) => format!("text {text:?}"),
    })
}

fn outgoing(client_seq: u64, body: &str) -> Outgoing<'_> {
    Outgoing { client_seq, message_id: MessageId(0xa0 + client_seq), kind: 1, body: body.as_bytes() }
}

fn message(seq: u64, sender: UserId, body: &str) -> Message<'_> {
    Message {
        epoch: 1,
        seq,
        ts_ms: TS_MS + seq,
        sender,
        device: DeviceId(2),
        message_id: MessageId(0xa0 + seq),
        kind: 1,
        flags: 0,
        body: body.as_bytes(),
        sent_at_ms: 0,
        ref_seq: 0,
        mls_epoch: 0,
    }
}

fn requests(vectors: &mut Vectors) {
    let encoder = &mut Encoder::new();
    let long = "0123456789".repeat(20);
    vectors.add("hello", Framed::ByClient, encoder.hello(1, TOKEN, "vectors/1"));
    vectors.add("resolve", Framed::No, encoder.resolve(2, "Grüße"));
    vectors.add("open by conversation", Framed::No, encoder.open(3, CONVERSATION));
    vectors.add("open by peer", Framed::No, encoder.open_peer(4, BOB));
    vectors.add("send of one", Framed::ByClient, encoder.send(5, CONVERSATION, &[outgoing(1, "Hi")]));
    let three = [outgoing(2, "Grüße 👋"), outgoing(3, "x"), outgoing(4, "line\nline")];
    vectors.add("send of three", Framed::No, encoder.send(6, CONVERSATION, &three));
    vectors.add("send of many bytes", Framed::ByClient, encoder.send(7, OTHER, &[outgoing(5, &long)]));
    vectors.add("history upwards", Framed::No, encoder.history(8, CONVERSATION, 17, false, 50));
    vectors.add("history from the newest", Framed::No, encoder.history(9, CONVERSATION, 0, true, 20));
    vectors.add("history from a time on", Framed::No, encoder.history_at(26, CONVERSATION, TS_MS, false, 50));
    vectors.add("history before a time", Framed::No, encoder.history_at(27, CONVERSATION, TS_MS, true, 50));
    vectors.add("renew", Framed::No, encoder.renew(u32::MAX, TOKEN));
}

fn answers(vectors: &mut Vectors) {
    let encoder = &mut Encoder::new();
    let welcome = Welcome {
        user: ALICE,
        device: DeviceId(2),
        session: 0x1122_3344_5566_7788,
        server_time_ms: TS_MS,
        token_expires_ms: TS_MS + 1,
        heartbeat_ms: 30_000,
    };
    vectors.add("welcome", Framed::ByServer, encoder.welcome(1, &welcome));
    vectors.add("resolved", Framed::No, encoder.resolved(2, BOB));
    let opened = Opened {
        conversation: CONVERSATION,
        kind: 1,
        epoch: 1,
        last_seq: 9,
        high: 4,
        high_message_id: 0xa4,
        peer: BOB,
        title: "",
        members: 0,
        role: 0,
        joined_seq: 0,
        left_seq: 0,
        delivered_seq: 0,
        read_seq: 0,
    };
    vectors.add("opened", Framed::No, encoder.opened(3, &opened));
    let empty = Opened { last_seq: 0, high: 0, high_message_id: 0, ..opened };
    vectors.add("opened, never written to", Framed::No, encoder.opened(4, &empty));
    let ack = Ack {
        conversation: CONVERSATION,
        epoch: 1,
        accepted: &[(2, 10, TS_MS), (3, 11, TS_MS + 1)],
        refusal: None,
        high: 0,
        high_message_id: 0,
        retry_after_ms: 0,
    };
    vectors.add("ack of all", Framed::No, encoder.ack(5, &ack));
    let busy = Ack { accepted: &[(2, 10, TS_MS)], refusal: Some(ErrorCode::Busy), retry_after_ms: 200, ..ack };
    vectors.add("ack of some", Framed::No, encoder.ack(6, &busy));
    let conflict = Some(ErrorCode::ClientSeqConflict);
    let none = Ack { accepted: &[], refusal: conflict, high: 4, high_message_id: 0xa4, ..ack };
    vectors.add("ack of none", Framed::No, encoder.ack(7, &none));
    vectors.add("error of a request", Framed::No, encoder.error(8, ErrorCode::RateLimited, "too fast", 250));
    vectors.add("error of the connection", Framed::No, encoder.error(0, ErrorCode::TokenInvalid, "no such key", 0));
    vectors.add("renewed", Framed::No, encoder.renewed(u32::MAX, TS_MS));
}

fn pages_and_pushes(vectors: &mut Vectors) {
    let encoder = &mut Encoder::new();
    vectors.add("message", Framed::ByServer, encoder.message(CONVERSATION, &message(10, BOB, "Grüße 👋")));
    let reserved = Message { flags: 3, sent_at_ms: TS_MS - 1, ref_seq: 4, mls_epoch: 5, ..message(11, ALICE, "all") };
    vectors.add("message with every field", Framed::No, encoder.message(CONVERSATION, &reserved));
    let page = Page { conversation: CONVERSATION, epoch: 1, more: true, last_seq: 12 };
    let messages = [message(10, BOB, "one"), message(11, ALICE, "two")];
    vectors.add("history page", Framed::No, encoder.history_page(9, &page, messages.into_iter(), &[]));
    let last = Page { more: false, last_seq: 0, ..page };
    vectors.add("history page, empty", Framed::No, encoder.history_page(10, &last, std::iter::empty(), &[]));
    let imported = Message { sent_at_ms: TS_MS, device: DeviceId(1), ..message(1, BOB, "") };
    let named = encoder.history_page(11, &last, [imported].into_iter(), &[(BOB, "Bób 👋")]);
    vectors.add("history page of an import", Framed::No, named);
    vectors.add("go away", Framed::ByServer, encoder.go_away(ErrorCode::Draining, 2_000));
}

fn of_groups(vectors: &mut Vectors) {
    let encoder = &mut Encoder::new();
    vectors.add("create group", Framed::ByClient, encoder.create_group(12, NONCE, "Grüße 👋", &[BOB, CAROL]));
    vectors.add("create group of oneself", Framed::No, encoder.create_group(13, u64::MAX, "x", &[]));
    let opened = Opened {
        conversation: GROUP,
        kind: 2,
        epoch: 1,
        last_seq: 9,
        high: 4,
        high_message_id: 0xa4,
        peer: UserId(0),
        title: "Grüße 👋",
        members: 3,
        role: 2,
        joined_seq: 1,
        left_seq: 0,
        delivered_seq: 8,
        read_seq: 7,
    };
    vectors.add("opened group", Framed::No, encoder.opened(12, &opened));
    let left = Opened { role: 0, joined_seq: 3, left_seq: 9, members: 2, ..opened };
    vectors.add("opened group, left", Framed::No, encoder.opened(14, &left));
    vectors.add("change members, add", Framed::No, encoder.change_members(15, GROUP, Change::Added, &[BOB, CAROL]));
    vectors.add("change members, remove", Framed::No, encoder.change_members(16, GROUP, Change::Removed, &[BOB]));
    vectors.add("members changed", Framed::No, encoder.members_changed(15, GROUP, 1, 10));
    vectors.add("members changed, nothing", Framed::No, encoder.members_changed(16, GROUP, 1, 0));
    vectors.add("members from the first", Framed::No, encoder.members(17, GROUP, UserId(0), 1_024));
    vectors.add("members from behind one", Framed::No, encoder.members(18, GROUP, BOB, 1));
    let members = [(ALICE, 2, 1, 9, 7), (BOB, 1, 3, 0, 0)].map(|(user, role, joined_seq, delivered_seq, read_seq)| {
        Member { user, role, joined_seq, delivered_seq, read_seq }
    });
    vectors.add("members page", Framed::No, encoder.members_page(17, GROUP, "Grüße 👋", &members, (true, 9)));
    vectors.add("members page, empty", Framed::No, encoder.members_page(18, GROUP, "x", &[], (false, 9)));
    for (seq, change, users, title) in MEMBERSHIPS {
        let body = encoder.membership_change(*change, users, title);
        vectors.body(&format!("membership body, {change:?}"), &body);
        let content = Message { kind: 2, body: &body, device: DeviceId(1), ..message(*seq, ALICE, "") };
        vectors.add(&format!("message of membership, {change:?}"), Framed::No, encoder.message(GROUP, &content));
    }
}

fn of_lists(vectors: &mut Vectors) {
    let encoder = &mut Encoder::new();
    vectors.add("sync of everything", Framed::No, encoder.sync(19, Some(0), 0, 200));
    vectors.add("sync from a position, next page", Framed::No, encoder.sync(20, Some(POSITION), POSITION + 9, 50));
    vectors.add("sync from the stored position", Framed::No, encoder.sync(21, None, 0, 200));
    let direct = Summary {
        conversation: CONVERSATION,
        kind: 1,
        peer: BOB,
        last_seq: 12,
        user_seq: POSITION + 9,
        read_seq: 11,
        joined_seq: 1,
        left_seq: 0,
        title: "",
    };
    let (peer, user_seq) = (UserId(0), POSITION + 4);
    let left =
        Summary { conversation: GROUP, kind: 2, peer, user_seq, joined_seq: 3, left_seq: 12, title: "x", ..direct };
    let range = (POSITION, POSITION + 9);
    vectors.add("synced", Framed::ByServer, encoder.synced(20, range, &[direct, left], true, false));
    vectors.add("synced, nothing", Framed::No, encoder.synced(21, (POSITION, POSITION), &[], false, false));
    vectors.add("synced, all of it", Framed::No, encoder.synced(22, (0, POSITION), &[direct], false, true));
    let receipt = |conversation, delivered_seq, read_seq| Receipt { conversation, delivered_seq, read_seq };
    let receipts = [receipt(CONVERSATION, 12, 11), receipt(GROUP, 9, 0)];
    vectors.add("report", Framed::ByClient, encoder.report(23, POSITION, &receipts));
    vectors.add("report of a position", Framed::No, encoder.report(24, POSITION, &[]));
    vectors.add("done", Framed::ByServer, encoder.done(23));
    let places = [(CONVERSATION, 12), (GROUP, 9)];
    vectors.add("advanced", Framed::ByServer, encoder.advanced(POSITION, POSITION + 2, &places));
    vectors.add("advanced, nothing named", Framed::No, encoder.advanced(POSITION, POSITION, &[]));
    let of_user = |user, delivered_seq, read_seq| UserReceipt { user, delivered_seq, read_seq };
    vectors.add("receipts", Framed::ByServer, encoder.receipts(GROUP, &[of_user(ALICE, 9, 7), of_user(BOB, 9, 9)]));
    vectors.add("typing", Framed::No, encoder.typing(25, GROUP));
    vectors.add("typing now", Framed::No, encoder.typing_now(GROUP, BOB, 5_000));
}

fn control_frames(vectors: &mut Vectors) {
    let ping = |mask, out: &mut Vec<u8>| encode_frame(Opcode::Ping, b"7", mask, out);
    vectors.control("ping of the server", Role::Server, ping);
    vectors.control("pong of the client", Role::Client, |mask, out| encode_frame(Opcode::Pong, b"7", mask, out));
    let slow = |mask, out: &mut Vec<u8>| encode_close(Some(CloseCode::SLOW_READER), "slow_reader", mask, out);
    vectors.control("close of the server", Role::Server, slow);
    let normal = |mask, out: &mut Vec<u8>| encode_close(Some(CloseCode::NORMAL), "", mask, out);
    vectors.control("close of the client", Role::Client, normal);
}

fn made() -> String {
    let mut vectors = Vectors::default();
    vectors.line(
        "# Envelopes (header {op u16, flags u16, request u32}, little-endian, then FlatBuffers) and WebSocket frames.",
    );
    vectors.line(
        "# Each vector: its meaning, field by field, then its bytes. Ids and numbers of ids are in hex; clients mask",
    );
    vectors.line("# with 37fa213d. Checked in both directions and written by wire/tests/vectors_frames.rs.");
    requests(&mut vectors);
    answers(&mut vectors);
    pages_and_pushes(&mut vectors);
    of_groups(&mut vectors);
    of_lists(&mut vectors);
    control_frames(&mut vectors);
    vectors.text
}

/// A vector as it is read from the file.
#[derive(Default)]
struct Vector {
    name: String,
    meaning: Vec<String>,
    /// (whose, bytes)
    bytes: Vec<(String, Vec<u8>)>,
}

fn parse(text: &str) -> Vec<Vector> {
    let mut vectors: Vec<Vector> = Vec::new();
    for line in golden::lines(text) {
        if let Some(name) = line.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            vectors.push(Vector { name: name.into(), ..Vector::default() });
            continue;
        }
        let vector = vectors.last_mut().expect("a name comes first");
        match (line.strip_prefix("    "), vector.bytes.last_mut()) {
            (Some(hex), Some((_, bytes))) => bytes.extend(HEXLOWER.decode(hex.as_bytes()).expect("hex")),
            _ if line.ends_with(" bytes:") => vector.bytes.push((line.into(), Vec::new())),
            _ => vector.meaning.push(line.into()),
        }
    }
    vectors
}

#[test]
fn encoding_gives_the_bytes_of_the_vectors() {
    golden::check("frames.txt", &made());
}

#[test]
fn decoding_the_vectors_gives_their_meaning() {
    let vectors = parse(&golden::check("frames.txt", &made()));
    let mut ops = BTreeSet::new();
    for Vector { name, meaning, bytes } in &vectors {
        for (what, bytes) in bytes {
            let declared = what.split([' ', ',']).rev().nth(1).and_then(|len| len.parse().ok());
            assert_eq!(declared, Some(bytes.len()), "{name}: {what}");
            let decoded = match what.split_once(',').expect("a length").0 {
                "envelope" => meaning::of_envelope(bytes),
                "body" => meaning::of_membership(bytes),
                frame => meaning_of_frame(bytes, frame.strip_prefix("frame of the ").expect("a frame")),
            };
            assert_eq!(decoded.lines().collect::<Vec<_>>(), *meaning, "{name}: {what}");
            ops.extend(peek_request(bytes).filter(|_| what.starts_with("envelope")).map(|(op, _)| op));
        }
        assert!(!bytes.is_empty(), "{name} has bytes");
    }
    assert!(ops.into_iter().eq(Op::ALL.map(Op::number)), "every op has a vector");
    assert_eq!(GROUP, ConversationId::group(TenantId(0), ALICE, NONCE));
}
