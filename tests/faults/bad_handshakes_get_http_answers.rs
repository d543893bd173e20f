//! Whoever does not open a WebSocket at the right place is told so in HTTP, and nobody holds a connection without one.
//!
//! Set-up: a server with default limits, and one with `limits.handshake_ms=400`; plain sockets.
//! Claim: the status that HTTP has for it, then the end of the connection; a slow handshake is ended in time, one that only
//! comes in small pieces is not; each is counted; other people chat on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use trunkline_tests::server::Server;

use crate::peer::{PATIENCE, Peer};
use crate::rig;

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(rig::address(server)).expect("a server that listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.set_nodelay(true).expect("a socket");
    stream
}

/// Everything until the server closes.
fn read_all(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return String::from_utf8_lossy(&bytes).into_owned(),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                return String::from_utf8_lossy(&bytes).into_owned();
            }
            Err(error) => panic!("the server does not close ({error}) after {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
}

/// What is asked, the status that is due, and the violation that is counted.
fn bad_requests() -> Vec<(String, u16, &'static str)> {
    let head = |first: &str, rest: &str| format!("{first}\r\nHost: test\r\n{rest}\r\n");
    let get = "GET /v1/ws HTTP/1.1";
    let good = format!("{UPGRADE}{KEY}");
    let many: String = (0..70).map(|number| format!("X-{number}: y\r\n")).collect();
    let long = format!("X: {}\r\n", "y".repeat(9_000));
    vec![
        (head("POST /v1/ws HTTP/1.1", &good), 405, "method_not_get"),
        (head("OPTIONS /v1/ws HTTP/1.1", ""), 405, "method_not_get"),
        (head(get, ""), 426, "missing_upgrade"),
        (head(get, &format!("{}{KEY}", UPGRADE.replace("13", "12"))), 426, "unsupported_websocket_version"),
        (head(get, UPGRADE), 400, "missing_key"),
        (head(get, &format!("{UPGRADE}Sec-WebSocket-Key: short\r\n")), 400, "invalid_key"),
        (head(get, &format!("{good}{KEY}")), 400, "duplicate_header"),
        (head(get, &format!("{good}Content-Length: 5\r\n")), 400, "unexpected_body"),
        (format!("{get}\r\n{good}\r\n"), 400, "missing_host"),
        (head(get, &format!("{many}{good}")), 431, "too_many_headers"),
        (head(get, &format!("{long}{good}")), 431, "handshake_too_long"),
        (head("GET /v1/ws HTTP/1.0", &good), 505, "unsupported_http_version"),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned(), 400, "invalid_request_line"),
    ]
}

/// Requests for another path, where nobody else answers those.
fn misplaced_requests() -> Vec<(String, u16, &'static str)> {
    let lines = ["GET / HTTP/1.1", "GET /v1/ws/ HTTP/1.1", "GET /v1/../v1/ws HTTP/1.1"];
    let request = |line: &str| format!("{line}\r\nHost: test\r\n{UPGRADE}{KEY}\r\n");
    lines.map(|line| (request(line), 404, "path_not_found")).into()
}

#[test]
fn bad_handshakes_get_http_answers() {
    let _shared = rig::among_others();
    answers(&rig::serve(&[]), bad_requests());
}

#[test]
fn and_so_do_those_at_another_path() {
    let _shared = rig::among_others();
    answers(&rig::serve(&["ring.disable=fixed_fd_install"]), misplaced_requests());
}

fn answers(server: &Server, requests: Vec<(String, u16, &'static str)>) {
    let users = server.add_users(2);
    for (request, status, violation) in requests {
        rig::counted(server, &format!("violation.{violation}"), || {
            let mut stream = connect(server);
            // A server that has heard enough may close before all is written.
            let _ = stream.write_all(request.as_bytes());
            let answer = read_all(stream);
            let first = request.lines().next().unwrap_or_default();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{first:?}, {violation}: {answer:?}");
            assert!(answer.contains(violation), "{first:?}: the answer does not say {violation}: {answer:?}");
        });
    }
    rig::assert_serves(server, &users[0], &users[1]);
}

#[test]
fn slow_handshakes_are_ended_in_time() {
    let _shared = rig::among_others();
    let server = rig::serve(&["limits.handshake_ms=400"]);
    let users = server.add_users(2);
    let limit = Duration::from_millis(400);
    // One says nothing, one says a byte every 20 ms for longer than the limit.
    for says in [0, 200] {
        rig::counted(&server, "violation.handshake_timeout", || {
            let start = Instant::now();
            let mut stream = connect(&server);
            let head = "GET /v1/ws HTTP/1.1\r\nHost: test\r\nX: ".bytes().chain(std::iter::repeat(b'x'));
            for byte in head.take(says) {
                if stream.write_all(&[byte]).is_err() {
                    break;
                }
                thread::sleep(Duration::from_millis(20));
                if start.elapsed() > limit + Duration::from_secs(1) {
                    break;
                }
            }
            read_all(stream);
            let took = start.elapsed();
            let is_in_time = took >= limit * 8 / 10 && took < limit + Duration::from_secs(3);
            assert!(is_in_time, "a handshake of {says} bytes was ended after {took:?}, the limit is {limit:?}");
        });
    }
    rig::assert_serves(&server, &users[0], &users[1]);
}

/// The limit is for the slow: whoever is done in time is served, in pieces or not.
#[test]
fn a_handshake_in_pieces_is_served() {
    let _shared = rig::among_others();
    let server = rig::serve(&["limits.handshake_ms=5000"]);
    let users = server.add_users(2);
    let mut stream = connect(&server);
    let request = format!("GET /v1/ws HTTP/1.1\r\nHost: test\r\n{UPGRADE}{KEY}\r\n");
    for piece in request.as_bytes().chunks(9) {
        stream.write_all(piece).expect("the server listens");
        thread::sleep(Duration::from_millis(5));
    }
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 101");
    Peer::login(rig::address(&server), &users[0].token);
    rig::assert_serves(&server, &users[0], &users[1]);
}
