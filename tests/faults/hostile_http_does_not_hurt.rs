//! Set-up: a server whose admin port gets what no scraper sends: garbage, endless and slow heads, bodies, wrong methods and
//! paths, more connections than it takes. Claim: each gets its HTTP error or is closed in time, a scraper that comes then is
//! served, and clients of the server notice nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use trunkline_tests::http::{connect, exchange, get, port_of};
use trunkline_tests::rig;

/// A head may take 2 s; somewhat more for a machine that is busy.
const HEAD_PATIENCE: Duration = Duration::from_secs(20);

#[track_caller]
fn answered(port: SocketAddr, request: &[u8], status: &str) {
    let answer = exchange(port, request);
    assert!(answer.starts_with(status), "no {status:?}: {:?}", &answer[..answer.len().min(200)]);
}

#[test]
fn mistakes_get_their_status() {
    let _machine = rig::among_others();
    let server = rig::serve(&[]);
    let port = port_of(&server);
    answered(port, b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 404");
    answered(
        port,
        b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 405",
    );
    answered(port, b"\x16\x03\x01 no http at all\r\n\r\n", "HTTP/1.1 400");
    answered(port, b"GET /metrics HTTP/1.1\r\nHost x\r\n\r\n", "HTTP/1.1 400");
    let many: String = (0..200).map(|number| format!("X-{number}: y\r\n")).collect();
    answered(port, format!("GET /metrics HTTP/1.1\r\n{many}\r\n").as_bytes(), "HTTP/1.1 431");
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(1 << 20));
    let answer = exchange(port, long.as_bytes());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer:?}");
    assert_eq!(get(port, "/readyz").status, 200);
}

#[test]
fn slow_and_many_connections_end() {
    let _machine = rig::among_others();
    let server = rig::serve(&[]);
    let (alice, bob) = (server.add_user("alice"), server.add_user("bob"));
    let port = port_of(&server);
    let half = |_| {
        let mut stream = connect(port);
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost:").expect("a socket takes some bytes");
        stream
    };
    let mut slow: Vec<TcpStream> = (0..100).map(half).collect();
    rig::assert_serves(&server, &alice, &bob);
    let began = Instant::now();
    assert_eq!(get(port, "/metrics").status, 200);
    assert!(began.elapsed() < 4 * HEAD_PATIENCE, "a scraper waits for {:?}", began.elapsed());
    let first = &mut slow[0];
    let mut rest = Vec::new();
    // Closed with or without a 408: both end it.
    let _ = first.read_to_end(&mut rest);
    assert!(began.elapsed() < 4 * HEAD_PATIENCE);
    rig::assert_serves(&server, &alice, &bob);
}
