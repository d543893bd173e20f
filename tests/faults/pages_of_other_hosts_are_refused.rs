//! Web pages open a WebSocket where they were served, or where the operator lets them; programs are no pages.
//!
//! Set-up: a server with default settings, one with a list of origins, one that takes every page; plain sockets.
//! Claim: a page of another host, scheme or port gets 403 and is counted, before it could say who it is; pages of the same
//! host, listed ones and clients without an `Origin` are served; other people chat on.

use std::io::{Read, Write};
use std::net::TcpStream;

use trunkline_tests::server::Server;

use crate::peer::PATIENCE;
use crate::rig;

/// What a handshake with these headers is answered with, up to the end of its head.
fn answer(server: &Server, host: &str, origin: Option<&str>) -> String {
    let mut stream = TcpStream::connect(rig::address(server)).expect("a server that listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let origin = origin.map_or_else(String::new, |origin| format!("Origin: {origin}\r\n"));
    let request = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: {host}\r\n{origin}Upgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("the server listens");
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("an answer") == 1 {
        answer.push(byte[0]);
    }
    String::from_utf8(answer).expect("a head is text")
}

fn served(server: &Server, host: &str, origin: Option<&str>) {
    let answer = answer(server, host, origin);
    assert!(answer.starts_with("HTTP/1.1 101 "), "{host}, {origin:?}: {answer:?}");
}

fn refused(server: &Server, host: &str, origin: &str) {
    rig::counted(server, "violation.origin_refused", || {
        let answer = answer(server, host, Some(origin));
        assert!(answer.starts_with("HTTP/1.1 403 "), "{host}, {origin}: {answer:?}");
    });
}

#[test]
fn pages_of_other_hosts_are_refused() {
    let _shared = rig::among_others();
    let server = rig::serve(&[]);
    let users = server.add_users(2);
    served(&server, "chat.example", None);
    served(&server, "chat.example", Some("https://chat.example"));
    served(&server, "chat.example:7400", Some("http://CHAT.example:7400"));
    for origin in ["https://evil.example", "https://chat.example:444", "null", "https://chat.example https://a.example"]
    {
        refused(&server, "chat.example", origin);
    }
    rig::assert_serves(&server, &users[0], &users[1]);
}

#[test]
fn unless_they_are_listed() {
    let _shared = rig::among_others();
    let server = rig::serve(&["http.origins=https://web.example,http://localhost:3000"]);
    for origin in ["https://web.example", "https://WEB.example:443", "http://localhost:3000", "http://chat.example"] {
        served(&server, "chat.example", Some(origin));
    }
    for origin in ["http://web.example", "http://localhost", "https://localhost:3000"] {
        refused(&server, "chat.example", origin);
    }
    let open = rig::serve(&["http.origins=*"]);
    served(&open, "chat.example", Some("null"));
    served(&open, "chat.example", Some("https://evil.example"));
}
