//! Whatever comes to a port that speaks TLS, nobody else notices.
//!
//! Set-up: a server with a certificate; plain sockets, an old client, handshakes that stop half-way, damaged records, and
//! clients whose records come a byte at a time.
//! Claim: each is ended, in time and with an alert where one can be told, and counted; other people chat on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use trunkline_tests::server::{Account, Server};
use trunkline_tests::tls::{Authority, TLS12, TLS13};

use crate::peer::{PATIENCE, Peer};
use crate::rig;

fn serve(authority: &Authority, settings: &[&str]) -> (Server, Vec<Account>) {
    let secured = authority.settings();
    let all: Vec<&str> = secured.iter().map(String::as_str).chain(settings.iter().copied()).collect();
    let server = rig::serve(&all);
    let users = server.add_users(2);
    (server, users)
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(rig::address(server)).expect("a server that listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.set_nodelay(true).expect("a socket");
    stream
}

/// What comes until the end of the connection.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => {
            panic!("the server does not close: {error}")
        }
        _ => bytes,
    }
}

/// Two people whose records are cut as the sockets like it say something to each other.
fn assert_serves(server: &Server, authority: &Authority, users: &[Account], piece: usize) {
    let mut peers = [0, 1].map(|user: usize| {
        let mut peer = Peer::open_over(authority.tunnel(rig::address(server), piece));
        peer.welcome(&users[user].token);
        peer
    });
    let (conversation, high) = peers[0].open_peer(users[1].user);
    let body = format!("still there after {high}");
    assert_eq!(peers[0].send(conversation, high + 1, 0x5e0 + high, body.as_bytes()).refusal, None);
    assert_eq!(peers[1].message().1.body, body.as_bytes());
}

fn first_message(authority: &Authority, server: &Server) -> Vec<u8> {
    let name = ServerName::from(rig::address(server).ip());
    let mut client = ClientConnection::new(authority.client(TLS13), name).expect("a configuration");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("memory takes everything");
    bytes
}

#[test]
fn what_is_no_tls_is_told_so_and_ended() {
    let _shared = rig::among_others();
    let authority = Authority::new();
    let (server, users) = serve(&authority, &[]);
    let ws = b"GET /v1/ws HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    for said in [&ws[..], b"\x00\x00\x00\x00\x00\x00\x00\x00", &[0xff; 5_000], b"\x17\x03\x03\x00\x01\x00"] {
        let answer = rig::counted(&server, "tls_failures", || {
            let mut stream = connect(&server);
            stream.write_all(said).expect("the server listens");
            rest(stream)
        });
        assert!(answer.first() == Some(&21) || answer.is_empty(), "an alert or nothing, not {answer:?}");
    }
    let old = rig::counted(&server, "tls_failures", || {
        let name = ServerName::from(rig::address(&server).ip());
        let client = ClientConnection::new(authority.client(TLS12), name).expect("a configuration");
        let mut stream = StreamOwned::new(client, connect(&server));
        stream.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").expect_err("an older version than 1.3")
    });
    assert!(old.to_string().contains("ProtocolVersion"), "{old}");
    assert_serves(&server, &authority, &users, usize::MAX);
}

#[test]
fn handshakes_that_stop_half_way_are_ended_in_time() {
    let _shared = rig::among_others();
    let authority = Authority::new();
    let (server, users) = serve(&authority, &["limits.handshake_ms=700"]);
    let hello = first_message(&authority, &server);
    let before = server.counter("violation.handshake_timeout");
    let start = Instant::now();
    let halves: Vec<TcpStream> = (0..60)
        .map(|number| {
            let mut stream = connect(&server);
            stream.write_all(&hello[..hello.len() * (number % 7) / 6]).expect("the server listens");
            stream
        })
        .collect();
    assert_serves(&server, &authority, &users, usize::MAX);
    halves.into_iter().for_each(|stream| drop(rest(stream)));
    assert!(start.elapsed() < Duration::from_secs(10), "ended after {:?}", start.elapsed());
    assert_eq!(server.counter("violation.handshake_timeout"), before + 60);
    // A handshake that grows without end ends by its size, not by time.
    rig::counted(&server, "tls_failures", || {
        let mut stream = connect(&server);
        let mut record = vec![0x16, 3, 1, 3, 0xe8, 1, 0, 0xff, 0];
        record.resize(1_005, 0);
        while stream.write_all(&record).is_ok() {
            record[5..9].fill(0);
        }
    });
    assert_serves(&server, &authority, &users, usize::MAX);
}

#[test]
fn damage_ends_one_connection_and_no_other() {
    let _shared = rig::among_others();
    let authority = Authority::new();
    let (server, users) = serve(&authority, &[]);
    rig::counted(&server, "tls_failures", || {
        let mut secured = authority.connect(rig::address(&server));
        secured.write_all(b"GET /v1/ws HTTP/1.1\r\n").expect("the server listens");
        secured.flush().expect("the server listens");
        // A record that nobody sealed.
        secured.sock.write_all(&[23, 3, 3, 0, 40]).expect("the server listens");
        secured.sock.write_all(&[7; 40]).expect("the server listens");
        let ended = secured.read(&mut [0; 100]).expect_err("the server tells what was wrong");
        assert!(ended.to_string().contains("BadRecordMac"), "{ended}");
    });
    // Whoever goes in the middle of anything hurts nobody.
    let hello = Arc::new(first_message(&authority, &server));
    for length in (0..hello.len()).step_by(16) {
        connect(&server).write_all(&hello[..length]).expect("the server listens");
    }
    for _ in 0..20 {
        let mut secured = authority.connect(rig::address(&server));
        secured.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").expect("the server listens");
    }
    assert_serves(&server, &authority, &users, usize::MAX);
}

#[test]
fn pieces_of_records_do_not_matter() {
    let _shared = rig::among_others();
    let authority = Authority::new();
    let (server, users) = serve(&authority, &[]);
    thread::scope(|scope| {
        scope.spawn(|| assert_serves(&server, &authority, &users, 1));
    });
    for piece in [2, 5, 23, 1_000] {
        assert_serves(&server, &authority, &users, piece);
    }
    assert_eq!(server.counter("tls_failures"), 0);
}
