//! A Send is judged message by message: by its number, by its body, by whose conversation it is (REL-5).
//!
//! Set-up: a server with default limits, and one with `limits.repeat_rows_max=4`; two people with a 1:1, and a third.
//! Claim: each answer is the one that the protocol's table has, with `high` and its message's id, to the field; each refusal
//! is counted; nothing that was refused is in the history; the same conversation goes on behind it.

use trunkline_tests::server::{Account, Server};
use trunkline_wire::ids::{ConversationId, MessageId, UserId};
use trunkline_wire::message::{ContentKind, ErrorCode, Outgoing};

use crate::ear::{Ack, Reply};
use crate::peer::Peer;
use crate::rig;

const BODY_BYTES_MAX: usize = 60 * 1024;

/// A server, somebody who is logged in, and their 1:1 with somebody else.
fn begin(settings: &[&str]) -> (Server, Vec<Account>, Peer, ConversationId) {
    let server = rig::serve(settings);
    let users = server.add_users(3);
    let mut peer = Peer::login(rig::address(&server), &users[0].token);
    let (conversation, high) = peer.open_peer(users[1].user);
    assert_eq!(high, 0, "a new conversation");
    (server, users, peer, conversation)
}

/// An Ack without an accepted message.
fn refusal(code: ErrorCode, high: u64, high_message_id: u64) -> Ack {
    Ack { accepted: Vec::new(), refusal: Some(code), high, high_message_id, retry_after_ms: 0 }
}

fn counter(code: ErrorCode) -> String {
    format!("error.{}", code.name())
}

fn bodies(peer: &mut Peer, conversation: ConversationId) -> Vec<Vec<u8>> {
    peer.history(conversation).into_iter().map(|row| row.body).collect()
}

#[test]
fn numbers_are_judged_as_the_protocol_says() {
    let _shared = rig::among_others();
    let (server, users, mut peer, conversation) = begin(&[]);
    let first = peer.send(conversation, 1, 101, b"one");
    assert_eq!((first.refusal, first.high, first.high_message_id), (None, 1, 101));
    let second = peer.send(conversation, 2, 102, b"two");
    assert_eq!((second.accepted[0].1, second.high), (2, 2));
    // The first ack again, with the `high` of now.
    let again = peer.send(conversation, 1, 101, b"one");
    assert_eq!(again, Ack { high: 2, high_message_id: 102, ..first.clone() });
    for (client_seq, message_id, code) in [
        (1, 999, ErrorCode::ClientSeqConflict),
        (2, 101, ErrorCode::ClientSeqConflict),
        (4, 104, ErrorCode::OutOfOrder),
        (u64::MAX, 104, ErrorCode::OutOfOrder),
    ] {
        let answer = rig::counted(&server, &counter(code), || peer.send(conversation, client_seq, message_id, b"no"));
        assert_eq!(answer, refusal(code, 2, 102), "client_seq {client_seq}");
    }
    // What comes before the first refusal of a Send is stored, what comes behind it is not judged.
    let texts: [&[u8]; 3] = [b"three", b"", b"five"];
    let messages: Vec<Outgoing<'_>> = texts.iter().zip(3..).map(|(body, number)| outgoing(number, body)).collect();
    match peer.ask(|encoder, request| encoder.send(request, conversation, &messages)) {
        Reply::Ack(ack) => {
            assert_eq!(ack.accepted.iter().map(|one| (one.0, one.1)).collect::<Vec<_>>(), [(3, 3)]);
            assert_eq!((ack.refusal, ack.high, ack.high_message_id), (Some(ErrorCode::MessageInvalid), 3, 1_003));
        }
        other => panic!("Send was answered with {other:?}"),
    }
    assert_eq!(bodies(&mut peer, conversation), [&b"one"[..], b"two", b"three"]);
    rig::assert_serves(&server, &users[0], &users[1]);
}

fn outgoing(client_seq: u64, body: &[u8]) -> Outgoing<'_> {
    Outgoing { client_seq, message_id: MessageId(1_000 + client_seq), kind: ContentKind::Text as u8, body }
}

#[test]
fn what_is_too_old_to_look_up_is_expired() {
    let _shared = rig::among_others();
    // Rows of 30 KB, so that memory holds no more than two of them and the store is asked.
    let (server, users, mut peer, conversation) = begin(&["limits.repeat_rows_max=4"]);
    let acks: Vec<Ack> = (1..=12).map(|n| peer.send(conversation, n, 100 + n, &[b'a' + n as u8; 30_000])).collect();
    assert!(acks.iter().all(|ack| ack.refusal.is_none()), "{acks:?}");
    for client_seq in 8..=12u64 {
        let again = peer.send(conversation, client_seq, 100 + client_seq, b"the same");
        assert_eq!(
            again.accepted,
            acks[client_seq as usize - 1].accepted,
            "within the window: client_seq {client_seq}"
        );
    }
    for client_seq in [1, 7] {
        let answer = rig::counted(&server, "error.expired", || {
            peer.send(conversation, client_seq, 100 + client_seq, b"the same")
        });
        assert_eq!(answer, refusal(ErrorCode::Expired, 12, 112), "outside the window: client_seq {client_seq}");
    }
    assert_eq!(peer.history(conversation).len(), 12);
    rig::assert_serves(&server, &users[0], &users[1]);
}

#[test]
fn bodies_are_judged_by_size_and_kind() {
    let _shared = rig::among_others();
    let (server, users, mut peer, conversation) = begin(&[]);
    let mut listener = Peer::login(rig::address(&server), &users[1].token);
    let whole = vec![b'w'; BODY_BYTES_MAX];
    let ack = peer.send(conversation, 1, 101, &whole);
    assert_eq!(ack.refusal, None, "60 KiB are allowed");
    assert_eq!(listener.message().1.body, whole);
    let larger = vec![b'w'; BODY_BYTES_MAX + 1];
    let broken: [(&[u8], ErrorCode); 5] = [
        (&larger, ErrorCode::MessageTooLarge),
        (b"", ErrorCode::MessageInvalid),
        (b"\xff", ErrorCode::MessageInvalid),
        (b"half a character: \xe2\x82", ErrorCode::MessageInvalid),
        (b"\xed\xa0\x80 is a surrogate", ErrorCode::MessageInvalid),
    ];
    for (body, code) in broken {
        let answer = rig::counted(&server, &counter(code), || peer.send(conversation, 2, 102, body));
        assert_eq!(answer, refusal(code, 1, 101), "a body of {} bytes", body.len());
    }
    rig::counted(&server, "error.message_invalid", || {
        let picture = Outgoing { client_seq: 2, message_id: MessageId(102), kind: 77, body: b"of an unknown kind" };
        let answer = peer.ask(|encoder, request| encoder.send(request, conversation, &[picture]));
        assert_eq!(answer, Reply::Ack(refusal(ErrorCode::MessageInvalid, 1, 101)));
    });
    assert_eq!(listener.history(conversation).len(), 1, "what was refused is not there");
    assert_eq!(peer.send(conversation, 2, 102, b"the next takes the number").refusal, None);
    rig::assert_serves(&server, &users[0], &users[1]);
}

#[test]
fn sends_that_are_none_are_malformed() {
    let _shared = rig::among_others();
    let (server, users, mut peer, conversation) = begin(&[]);
    let half = vec![b'h'; BODY_BYTES_MAX / 2 + 1];
    let unnamed = Outgoing { message_id: MessageId(0), ..outgoing(1, b"x") };
    let sends: [(&str, Vec<Outgoing<'_>>); 6] = [
        ("no message", Vec::new()),
        ("17 messages", (1..=17).map(|number| outgoing(number, b"x")).collect()),
        ("the number 0", vec![outgoing(0, b"x")]),
        ("a gap", vec![outgoing(1, b"x"), outgoing(3, b"x")]),
        ("an id of 0", vec![unnamed]),
        ("too many bytes", vec![outgoing(1, &half), outgoing(2, &half)]),
    ];
    for (what, messages) in sends {
        rig::counted(&server, "error.malformed", || {
            match peer.ask(|encoder, request| encoder.send(request, conversation, &messages)) {
                Reply::Error { code, .. } => assert_eq!(code, ErrorCode::Malformed, "{what}"),
                other => panic!("{what} was answered with {other:?}"),
            }
        });
    }
    let messages: Vec<Outgoing<'_>> = (1..=16).map(|number| outgoing(number, b"x")).collect();
    match peer.ask(|encoder, request| encoder.send(request, conversation, &messages)) {
        Reply::Ack(ack) => assert_eq!((ack.accepted.len(), ack.refusal), (16, None), "16 are allowed"),
        other => panic!("a Send of 16 was answered with {other:?}"),
    }
    rig::assert_serves(&server, &users[0], &users[1]);
}

/// Unknown and forbidden answer alike.
#[test]
fn nobody_gets_into_a_conversation_of_others() {
    let _shared = rig::among_others();
    let (server, users, mut peer, conversation) = begin(&[]);
    assert_eq!(peer.send(conversation, 1, 101, b"between us").refusal, None);
    let mut stranger = Peer::login(rig::address(&server), &users[2].token);
    for id in [conversation, ConversationId([0; 16]), ConversationId([0xee; 16])] {
        let mut not_found = |what: &str, reply: &mut dyn FnMut(&mut Peer) -> Reply| {
            rig::counted(&server, "error.not_found", || match reply(&mut stranger) {
                Reply::Error { code, retry_after_ms } => {
                    assert_eq!((code, retry_after_ms), (ErrorCode::NotFound, 0), "{what} of {id}");
                }
                other => panic!("{what} of {id} was answered with {other:?}"),
            });
        };
        not_found("Open", &mut |peer| peer.ask(|encoder, request| encoder.open(request, id)));
        not_found("History", &mut |peer| peer.ask(|encoder, request| encoder.history(request, id, 0, true, 50)));
        not_found("Send", &mut |peer| peer.ask(|encoder, request| encoder.send(request, id, &[outgoing(1, b"hi")])));
    }
    rig::counted(&server, "error.unknown_peer", || {
        match stranger.ask(|encoder, request| encoder.open_peer(request, UserId(0xdead_beef))) {
            Reply::Error { code, .. } => assert_eq!(code, ErrorCode::UnknownPeer),
            other => panic!("Open of nobody was answered with {other:?}"),
        }
    });
    rig::counted(&server, "error.unknown_handle", || {
        match stranger.ask(|encoder, request| encoder.resolve(request, "nobody-at-all")) {
            Reply::Error { code, .. } => assert_eq!(code, ErrorCode::UnknownHandle),
            other => panic!("Resolve of nobody was answered with {other:?}"),
        }
    });
    assert_eq!(peer.history(conversation).len(), 1);
    rig::assert_serves(&server, &users[0], &users[1]);
}
