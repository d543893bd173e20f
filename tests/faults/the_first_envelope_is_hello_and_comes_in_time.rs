//! Before it says who it is, a client can say nothing else, nothing large, and not nothing for long (SEC-1).
//!
//! Set-up: a server with `limits.hello_ms=400` and `limits.handshake_ms=400`; clients without a token.
//! Claim: anything but Hello, two of them at once and silence are closes with 4003, no envelope one with 4004, and more than
//! 4 KiB, whole, declared or in fragments, one with 1009; each is counted; other people chat on.

use std::time::{Duration, Instant};

use trunkline_wire::websocket::{Opcode, encode_header};

use crate::peer::Peer;
use crate::rig;

const HELLO_MS: u64 = 400;
const SETTINGS: &[&str] = &["limits.hello_ms=400", "limits.handshake_ms=400"];

#[test]
fn the_first_envelope_is_hello() {
    let _shared = rig::among_others();
    let server = rig::serve(&["limits.hello_ms=5000"]);
    let users = server.add_users(2);
    let address = rig::address(&server);
    rig::counted(&server, "violation.not_authenticated", || {
        let mut peer = Peer::open(address);
        peer.request(|encoder| encoder.sync(1, Some(0), 0, 10));
        peer.closed_with(4003, "not_authenticated");
    });
    rig::counted(&server, "violation.not_authenticated", || {
        let mut peer = Peer::open(address);
        let unknown_op = [99, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0];
        peer.write_frame(Opcode::Binary, &unknown_op);
        peer.closed_with(4003, "not_authenticated");
    });
    rig::counted(&server, "violation.malformed_envelope", || {
        let mut peer = Peer::open(address);
        peer.write_frame(Opcode::Binary, b"GET / HTTP/1.1");
        peer.closed_with(4004, "malformed_envelope");
    });
    rig::counted(&server, "violation.frame_too_large", || {
        let mut peer = Peer::open(address);
        peer.request(|encoder| encoder.hello(1, &users[0].token, &"x".repeat(4_096)));
        peer.closed_with(1009, "frame_too_large");
    });
    rig::counted(&server, "violation.frame_too_large", || {
        let mut peer = Peer::open(address);
        let mut header = Vec::new();
        encode_header(true, Opcode::Binary, 4_097, Some([1, 2, 3, 4]), &mut header);
        peer.write(&header);
        peer.closed_with(1009, "frame_too_large");
    });
    rig::counted(&server, "violation.message_too_large", || {
        let mut peer = Peer::open(address);
        let mut fragments = Vec::new();
        encode_header(false, Opcode::Binary, 4_000, Some([1, 2, 3, 4]), &mut fragments);
        fragments.resize(fragments.len() + 4_000, 0);
        encode_header(true, Opcode::Continuation, 97, Some([1, 2, 3, 4]), &mut fragments);
        peer.write(&fragments);
        peer.closed_with(1009, "message_too_large");
    });
    rig::counted(&server, "violation.not_authenticated", || {
        let mut peer = Peer::open(address);
        let (_, mut bytes) = peer.frame_of(|encoder, request| encoder.hello(request, &users[0].token, "one"));
        bytes.extend(peer.frame_of(|encoder, request| encoder.hello(request, &users[1].token, "two")).1);
        peer.write(&bytes);
        peer.closed_with(4003, "not_authenticated");
    });
    rig::assert_serves(&server, &users[0], &users[1]);
}

#[test]
fn hello_comes_in_time() {
    let _shared = rig::among_others();
    let server = rig::serve(SETTINGS);
    let users = server.add_users(2);
    rig::counted(&server, "violation.hello_timeout", || {
        let mut peer = Peer::open(rig::address(&server));
        let start = Instant::now();
        peer.closed_with(4003, "hello_timeout");
        assert_took(start);
    });
    // Pings are signs of life, but do not say who it is.
    rig::counted(&server, "violation.hello_timeout", || {
        let mut peer = Peer::open(rig::address(&server));
        let start = Instant::now();
        for _ in 0..5 {
            peer.write_frame(Opcode::Ping, b"alive");
            std::thread::sleep(Duration::from_millis(60));
        }
        peer.closed_with(4003, "hello_timeout");
        assert_took(start);
    });
    rig::assert_serves(&server, &users[0], &users[1]);
}

fn assert_took(start: Instant) {
    let took = start.elapsed();
    let limit = Duration::from_millis(HELLO_MS);
    assert!(took >= limit * 8 / 10 && took <= limit + Duration::from_secs(3), "closed after {took:?}, not {limit:?}");
}
