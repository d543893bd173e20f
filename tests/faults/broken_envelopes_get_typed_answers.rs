//! Envelopes that say nothing are closed for, those that ask for nothing sensible are answered with an error.
//!
//! Set-up: a server with default limits; a client that is logged in says the wrong thing.
//! Claim: no envelope at all, and one with the request number 0, is a close 4004; an unknown op, a second Hello, an Open of
//! nothing and the 17th request without an answer are errors, after which the same connection is served; each is counted;
//! other people chat on.

use trunkline_tests::server::{Account, Server};
use trunkline_wire::message::{Encoder, ErrorCode, Op};
use trunkline_wire::websocket::Opcode;

use crate::ear::Reply;
use crate::peer::Peer;
use crate::rig;

fn login(server: &Server, account: &Account) -> Peer {
    Peer::login(rig::address(server), &account.token)
}

fn envelope(op: u16, flags: u16, request: u32, body: &[u8]) -> Vec<u8> {
    [&op.to_le_bytes()[..], &flags.to_le_bytes(), &request.to_le_bytes(), body].concat()
}

/// The body of a Sync, as the encoder has it.
fn sync_body() -> Vec<u8> {
    let mut bytes = Vec::new();
    Encoder::new().sync(1, Some(7), 0, 10).write_envelope(&mut bytes);
    bytes.split_off(8)
}

#[test]
fn what_is_no_envelope_is_closed_for() {
    let _shared = rig::among_others();
    let server = rig::serve(&[]);
    let sync = Op::Sync.number();
    let broken = [
        ("nothing", Vec::new()),
        ("half a header", envelope(sync, 0, 1, &[])[..5].to_vec()),
        ("no body", envelope(sync, 0, 1, &[])),
        ("a body of noise", envelope(sync, 0, 1, &[0xff; 64])),
        ("flags", envelope(sync, 1, 1, &sync_body())),
        ("a root that lies outside", envelope(sync, 0, 1, &[0xff, 0xff, 0, 0, 4, 0, 4, 0])),
        ("a Sync with the number 0", envelope(sync, 0, 0, &sync_body())),
        ("an unknown op with the number 0", envelope(999, 0, 0, &sync_body())),
        ("a Send that is a Sync", envelope(Op::Send.number(), 0, 1, &[0x10, 0, 0, 0, 1, 0, 0, 0])),
    ];
    let users = server.add_users(broken.len() + 2);
    // All of them first: the server gives each a second to read why.
    let closing = broken.iter().zip(&users).map(|((what, bytes), user)| {
        println!("{what}");
        let mut peer = login(&server, user);
        peer.write_frame(Opcode::Binary, bytes);
        peer.told_of_close(4004, "malformed_envelope");
        peer
    });
    let closing: Vec<Peer> = closing.collect();
    closing.into_iter().for_each(|mut peer| peer.ends());
    assert_eq!(server.counter("violation.malformed_envelope"), broken.len() as u64);
    let [.., one, other] = &users[..] else { unreachable!("there are two more") };
    rig::assert_serves(&server, one, other);
}

#[test]
fn unknown_ops_are_unsupported_and_the_connection_lives() {
    let _shared = rig::among_others();
    let server = rig::serve(&[]);
    let users = server.add_users(2);
    let mut peer = login(&server, &users[0]);
    // Unknown today, never given, and those that only servers say.
    let of_servers =
        [Op::Welcome, Op::Message, Op::Ack, Op::Synced, Op::MembersPage, Op::Done, Op::Advanced, Op::TypingNow];
    let next = Op::ALL.len() as u16 + 1;
    for op in [0, next, 999, u16::MAX].into_iter().chain(of_servers.map(Op::number)) {
        rig::counted(&server, "error.unsupported", || {
            peer.write_frame(Opcode::Binary, &envelope(op, 0, 77_000 + u32::from(op), &sync_body()));
            assert_eq!(peer.error_to(77_000 + u32::from(op)), ErrorCode::Unsupported, "op {op}");
        });
    }
    assert!(matches!(peer.ask(|encoder, request| encoder.sync(request, Some(0), 0, 10)), Reply::Synced(_)));
    rig::assert_serves(&server, &users[0], &users[1]);
}

#[test]
fn requests_that_are_none_get_errors_and_the_connection_lives() {
    let _shared = rig::among_others();
    let server = rig::serve(&[]);
    let users = server.add_users(2);
    let mut peer = login(&server, &users[0]);
    rig::counted(&server, "error.not_authenticated", || {
        peer.request(|encoder| encoder.hello(4_000, &users[0].token, "again"));
        assert_eq!(peer.error_to(4_000), ErrorCode::NotAuthenticated, "a second Hello");
    });
    rig::counted(&server, "error.malformed", || {
        peer.request(|encoder| encoder.open_peer(4_001, trunkline_wire::ids::UserId(0)));
        assert_eq!(peer.error_to(4_001), ErrorCode::Malformed, "an Open of nothing");
    });
    assert!(matches!(peer.ask(|encoder, request| encoder.sync(request, Some(0), 0, 10)), Reply::Synced(_)));
    rig::assert_serves(&server, &users[0], &users[1]);
}

#[test]
fn the_17th_request_without_an_answer_is_refused() {
    let _shared = rig::among_others();
    let server = rig::serve(&[]);
    let users = server.add_users(2);
    let mut peer = login(&server, &users[0]);
    // In one segment, so that none is answered before the last is read: a Resolve asks the store.
    let mut bytes = Vec::new();
    let requests: Vec<u32> = (0..17)
        .map(|_| {
            let (request, frame) = peer.frame_of(|encoder, request| encoder.resolve(request, &users[1].name));
            bytes.extend(frame);
            request
        })
        .collect();
    rig::counted(&server, "error.too_many_requests", || {
        peer.write(&bytes);
        match peer.answer_to(requests[16]) {
            Reply::Error { code: ErrorCode::TooManyRequests, retry_after_ms } => {
                assert!(retry_after_ms > 0, "it may be asked again, but is not told when");
            }
            other => panic!("the 17th request was answered with {other:?}"),
        }
        for &request in &requests[..16] {
            assert_eq!(peer.answer_to(request), Reply::Resolved(users[1].user), "request {request}");
        }
    });
    assert!(matches!(peer.ask(|encoder, request| encoder.sync(request, Some(0), 0, 10)), Reply::Synced(_)));
    rig::assert_serves(&server, &users[0], &users[1]);
}
