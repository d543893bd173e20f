//! How a client's bytes are cut into segments changes nothing (REL-21).
//!
//! Set-up: a server with default limits; a client that writes one byte per segment (no delay, a pause behind each), others
//! that write 2, 3 and 7 bytes, and one whose peer is served meanwhile.
//! Claim: each opens, logs in, says something, pings and reads the history like anybody; nothing is counted as a violation.

use std::net::TcpStream;
use std::time::Duration;

use trunkline_wire::websocket::Opcode;

use crate::ear::{Heard, Reply};
use crate::peer::Peer;
use crate::rig;

#[test]
fn segments_do_not_matter() {
    let _shared = rig::among_others();
    let server = rig::serve(&[]);
    let users = server.add_users(2);
    let mut listener = Peer::login(rig::address(&server), &users[1].token);
    for (piece_bytes, said) in [1, 2, 3, 7].into_iter().zip(1..) {
        let stream = TcpStream::connect(rig::address(&server)).expect("a server that listens");
        let mut peer = Peer::open_in_pieces(stream, Some((piece_bytes, Duration::from_micros(100))));
        assert_eq!(peer.welcome(&users[0].token), users[0].user);
        let (conversation, high) = peer.open_peer(users[1].user);
        assert_eq!(high, said - 1, "the device's numbers go on");
        let body =
            format!("in pieces of {piece_bytes} bytes, so that it takes more than one length: {}", "x".repeat(200));
        let ack = peer.send(conversation, said, 100 + said, body.as_bytes());
        assert_eq!((ack.refusal, ack.accepted[0].1), (None, said));
        let (_, pushed) = listener.message();
        assert_eq!(pushed.body, body.as_bytes());
        peer.write_frame(Opcode::Ping, b"are you there");
        assert_eq!(peer.hear(), Some(Heard::Pong(b"are you there".to_vec())));
        assert_eq!(peer.history(conversation).last(), Some(&pushed));
        assert!(matches!(peer.ask(|encoder, request| encoder.sync(request, Some(0), 0, 10)), Reply::Synced(_)));
        peer.write_frame(Opcode::Close, &1000u16.to_be_bytes());
        assert_eq!(peer.hear(), Some(Heard::Close(Some(1000), String::new())));
        peer.ends();
    }
    let counters = server.counters();
    let total = counters["total"].as_object().expect("counters");
    let violations = total.iter().filter(|(name, value)| name.starts_with("violation.") && value.as_u64() != Some(0));
    assert_eq!(violations.count(), 0, "{counters}");
    rig::assert_serves(&server, &users[0], &users[1]);
}
