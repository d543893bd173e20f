//! Set-up: connections on which something else is asked for before the WebSocket, in the clear and with TLS, on one port
//! and on the port apart of an old kernel; all requests at once and in pieces. Claim: the same connection becomes a session
//! like any other, with nothing lost that came behind its handshake; handshakes are judged as ever; where no shard has room
//! that is said before the WebSocket is open; a drain says goodbye.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::json;
use trunkline_tests::ear::{Ear, Heard, Reply};
use trunkline_tests::http::connect;
use trunkline_tests::peer::{PATIENCE, Peer};
use trunkline_tests::rig;
use trunkline_tests::server::{Account, Server};
use trunkline_tests::tls::Authority;
use trunkline_wire::message::Encoder;
use trunkline_wire::websocket::{Opcode, encode_frame};

use crate::people::{enroll, serve};

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n";
const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// An answer, up to the end of its body of a known end.
fn answer(stream: &mut TcpStream, end: &str) -> String {
    let (mut answer, mut byte) = (String::new(), [0]);
    while !answer.ends_with(end) {
        stream.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error} behind {answer:?}"));
        answer.push(char::from(byte[0]));
    }
    answer
}

/// Asks whether the server lives, and keeps the connection.
fn ask(mut stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(HEALTH.as_bytes()).expect("the server listens");
    assert!(answer(&mut stream, "alive\n").starts_with("HTTP/1.1 200"));
    stream
}

/// A session on a connection on which something else was asked before.
fn session(stream: TcpStream, account: &Account) -> Peer {
    let mut peer = Peer::open_over(ask(ask(stream)));
    peer.welcome(&account.token);
    peer
}

fn chat(server: &Server, people: &[Account; 2], connect: impl Fn() -> TcpStream) {
    let [mut alice, mut bob] = people.each_ref().map(|account| session(connect(), account));
    let (opened, high) = alice.open_peer(people[1].user);
    let body = vec![b'x'; 50_000];
    assert_eq!(alice.send(opened, high + 1, 0xa0 + high, &body).refusal, None);
    assert!(bob.message().1.body == body);
    assert_eq!(bob.history(opened).len() as u64, high + 1);
    let mut third = Peer::login(rig::address(server), &people[0].token);
    assert_eq!(third.open_peer(people[1].user).0, opened, "others are served as ever");
}

fn port(server: &Server) -> SocketAddr {
    rig::address(server)
}

#[test]
fn in_the_clear() {
    let server = serve("2", &[]);
    let people = enroll(&server, ["alice", "bob"]);
    for _ in 0..3 {
        chat(&server, &people, || connect(port(&server)));
    }
    assert_eq!((server.counter("connections_returned"), server.counter("connections_handed_over")), (6, 6));
    // Slots and sessions end as others do.
    trunkline_tests::peer::soon("all connections end", PATIENCE, &0, || server.counter("connections_open"));
}

#[test]
fn with_tls() {
    let authority = Authority::new();
    let secured = authority.settings();
    let server = serve("2", &[&secured[0], &secured[1]]);
    let people = enroll(&server, ["alice", "bob"]);
    let chat = |piece| {
        let [mut alice, mut bob] =
            people.each_ref().map(|account| session(authority.tunnel(port(&server), piece), account));
        let (opened, high) = alice.open_peer(people[1].user);
        let body = vec![b'x'; 50_000];
        assert_eq!(alice.send(opened, high + 1, 0xa0 + high, &body).refusal, None);
        assert!(bob.message().1.body == body);
    };
    [usize::MAX, 1_000, 7].into_iter().for_each(chat);
    assert_eq!((server.counter("connections_returned"), server.counter("tls_failures")), (6, 0));
}

#[test]
fn on_the_port_of_an_old_kernel() {
    let disabled = "ring.disable=multishot_accept,multishot_receive,msg_ring,fixed_fd_install";
    let server = serve("2", &[disabled]);
    let people = enroll(&server, ["alice", "bob"]);
    let status = server.admin().ask(&json!({"op": "status"}));
    let apart: SocketAddr = status["http_listen"].as_str().expect("a port").parse().expect("an address");
    chat(&server, &people, || connect(apart));
    assert_eq!(server.counter("connections_returned"), 2);
}

/// All that a client says at once: it does not wait for answers.
fn all_at_once(token: &str) -> Vec<u8> {
    let mut bytes = format!("{HEALTH}{HEALTH}GET /v1/ws HTTP/1.1\r\nHost: test\r\n{UPGRADE}\r\n").into_bytes();
    let mut hello = Vec::new();
    Encoder::new().hello(1, token, "test").write_envelope(&mut hello);
    encode_frame(Opcode::Binary, &hello, Some([1, 2, 3, 4]), &mut bytes);
    bytes
}

#[test]
fn with_everything_said_at_once_or_in_pieces() {
    let authority = Authority::new();
    let secured = authority.settings();
    for (settings, is_secured) in [(vec![], false), (secured.iter().map(String::as_str).collect(), true)] {
        let server = serve("2", &settings);
        let alice = server.add_user("alice");
        let said = all_at_once(&alice.token);
        for piece in [1, 3, 40, said.len()] {
            let mut stream = match is_secured {
                true => authority.tunnel(port(&server), piece.max(5)),
                false => connect(port(&server)),
            };
            stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
            stream.set_nodelay(true).expect("a socket");
            for piece in said.chunks(piece) {
                stream.write_all(piece).expect("the server listens");
                std::thread::sleep(Duration::from_micros(200));
            }
            let healths = answer(&mut stream, "101 Switching Protocols");
            assert_eq!(healths.matches("HTTP/1.1 200").count(), 2, "{healths}");
            let head = answer(&mut stream, "\r\n\r\n").to_ascii_lowercase();
            assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
            let mut ear = Ear::new();
            let mut buffer = [0; 1_000];
            let heard = loop {
                let count = stream.read(&mut buffer).expect("an answer to Hello");
                assert!(count > 0, "the end instead of an answer to Hello");
                ear.feed(&mut buffer[..count]);
                if let Some(heard) = ear.next_heard() {
                    break heard;
                }
            };
            assert!(matches!(heard, Heard::Reply(1, Reply::Welcome { .. })), "in pieces of {piece}: {heard:?}");
        }
    }
}

#[test]
fn and_is_judged_as_ever() {
    let server = serve("1", &["http.origins=https://web.example", "ring.connections=20"]);
    let alice = server.add_user("alice");
    for (request, status, word) in [
        ("GET /v1/ws HTTP/1.1\r\nHost: test\r\n\r\n".to_owned(), 426, "missing_upgrade"),
        (format!("POST /v1/ws HTTP/1.1\r\nHost: test\r\n{UPGRADE}\r\n"), 405, "method_not_get"),
        (format!("GET /v1/ws HTTP/1.1\r\nHost: test\r\nOrigin: https://evil\r\n{UPGRADE}\r\n"), 403, "origin_refused"),
        (format!("GET /v1/ws HTTP/1.1\r\nHost: test\r\n{}\r\n", UPGRADE.replace("13", "12")), 426, "version"),
    ] {
        let mut stream = ask(connect(port(&server)));
        stream.write_all(request.as_bytes()).expect("the server listens");
        let mut told = String::new();
        stream.read_to_string(&mut told).expect("an answer, and the end");
        assert!(told.starts_with(&format!("HTTP/1.1 {status} ")) && told.contains(word), "{request}: {told}");
    }
    let listed = format!("GET /v1/ws HTTP/1.1\r\nHost: test\r\nOrigin: https://web.example\r\n{UPGRADE}\r\n");
    let mut stream = ask(connect(port(&server)));
    stream.write_all(listed.as_bytes()).expect("the server listens");
    assert!(answer(&mut stream, "\r\n\r\n").starts_with("HTTP/1.1 101"));
    drop(stream);
    // Where shards have no room, that is said before the WebSocket is open.
    let mut waiting = ask(connect(port(&server)));
    let all: Vec<Peer> = (0..4).map(|_| Peer::login(port(&server), &alice.token)).collect();
    waiting.write_all(listed.as_bytes()).expect("the server listens");
    let mut told = String::new();
    waiting.read_to_string(&mut told).expect("an answer, and the end");
    assert!(told.starts_with("HTTP/1.1 503") && told.to_ascii_lowercase().contains("retry-after: 1"), "{told}");
    drop(all);
}

#[test]
fn and_is_told_of_a_drain() {
    let mut server = serve("2", &[]);
    let alice = server.add_user("alice");
    let mut peer = session(connect(port(&server)), &alice);
    server.terminate();
    peer.closed_with(1012, "draining");
    server.ended().succeeded();
}
