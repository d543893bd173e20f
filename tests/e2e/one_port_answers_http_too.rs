//! Set-up: HTTP requests to the port where WebSockets are served, in pieces of any size, several on a connection, large,
//! wrong and unfinished ones; and a server that cannot hand connections over. Claim: accounts and health are served there,
//! errors are JSON that says what is wrong, WebSockets go on as ever; without the kernel's help accounts have a port of
//! their own, which the server names.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use trunkline_tests::http::{Response, connect, get};
use trunkline_tests::server::Server;

use crate::people::{enroll, login, serve};

const SETTINGS: &[&str] = &["accounts.password_memory_kib=64"];

fn port(server: &Server) -> SocketAddr {
    server.address().parse().expect("an address")
}

fn request(method: &str, path: &str, body: &Value) -> String {
    let body = body.to_string();
    let head = "Host: x\r\nContent-Type: application/json\r\nConnection: close\r\n";
    format!("{method} {path} HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// Sends a request in pieces, and reads the answer to its end.
fn exchange(port: SocketAddr, request: &str, piece: usize) -> Response {
    let mut stream = connect(port);
    for piece in request.as_bytes().chunks(piece) {
        stream.write_all(piece).expect("the server reads");
        if piece.len() < 10 {
            thread::sleep(Duration::from_micros(300));
        }
    }
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    Response::parse(&text)
}

fn refused(response: &Response, status: u16, code: &str) {
    assert_eq!(response.status, status, "{response:?}");
    let body: Value = serde_json::from_str(&response.body).expect("JSON");
    assert_eq!(body["error"], code, "{body}");
}

#[test]
fn in_whatever_pieces_it_comes() {
    let server = serve("2", SETTINGS);
    for (number, piece) in [1, 2, 7, 50, 1_000].into_iter().enumerate() {
        let account = json!({"handle": format!("user{number}"), "password": "correct horse"});
        let made = exchange(port(&server), &request("POST", "/v1/accounts", &account), piece);
        assert_eq!(made.status, 201, "{made:?}");
        let made: Value = serde_json::from_str(&made.body).expect("JSON");
        assert_eq!(made["handle"], format!("user{number}"));
    }
    assert_eq!((get(port(&server), "/healthz").status, get(port(&server), "/readyz").status), (200, 200));
    assert_eq!(server.counter("connections_handed_over"), 7);
    // Two requests on one connection.
    let mut stream = connect(port(&server));
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").expect("the server reads");
    let mut first = [0; 12];
    stream.read_exact(&mut first).expect("an answer");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("the server reads");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("an answer");
    assert_eq!((&first, rest.matches("HTTP/1.1 200 OK").count()), (b"HTTP/1.1 200", 1));
    let [alice, bob] = &enroll(&server, ["alice", "bob"]);
    let (mut of_alice, _of_bob) = (login(&server, alice), login(&server, bob));
    let (opened, _) = of_alice.open_peer(bob.user);
    assert_eq!(of_alice.say(opened, "as ever"), Ok(1));
}

#[test]
fn with_errors_that_say_what_is_wrong() {
    let server = serve("1", SETTINGS);
    let ask = |method, path, body: &Value| exchange(port(&server), &request(method, path, body), 10_000);
    let empty = json!({});
    refused(&ask("GET", "/nowhere", &empty), 404, "not_found");
    refused(&ask("GET", "/v1/login", &empty), 405, "method_not_allowed");
    refused(&ask("POST", "/v1/login", &empty), 422, "malformed");
    refused(&ask("POST", "/v1/login", &json!({"handle": "a", "password": "b", "admin": true})), 422, "malformed");
    refused(&ask("POST", "/v1/refresh", &json!({"refresh_token": "tlr_x"})), 401, "token_invalid");
    refused(&ask("GET", "/v1/devices", &empty), 401, "not_authenticated");
    let large = json!({"handle": "a", "password": "x".repeat(20_000)});
    refused(&ask("POST", "/v1/login", &large), 413, "malformed");
    let form = "POST /v1/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\na=b";
    refused(&exchange(port(&server), form, 1_000), 415, "malformed");
    // What is for the WebSocket's path, or no HTTP, is judged as ever.
    for (text, status) in [
        ("GET /v1/ws HTTP/1.1\r\nHost: x\r\n\r\n", 426),
        ("POST /v1/ws HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        ("nonsense\r\n\r\n", 400),
    ] {
        assert_eq!(exchange(port(&server), text, 1_000).status, status, "{text}");
    }
    // Whoever goes before the answer hurts nobody.
    for _ in 0..200 {
        let mut stream = connect(port(&server));
        stream.write_all(b"POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Le").expect("the server reads");
    }
    assert_eq!(get(port(&server), "/healthz").status, 200);
}

#[test]
fn or_another_port_where_the_kernel_is_old() {
    let server = serve("1", &["ring.disable=fixed_fd_install", "accounts.password_memory_kib=64"]);
    assert_eq!(exchange(port(&server), "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 1_000).status, 426);
    let status = server.admin().ask(&json!({"op": "status"}));
    let apart: SocketAddr = status["http_listen"].as_str().expect("a port").parse().expect("an address");
    assert!(server.stderr().text().contains(&format!("accounts on http://{apart}")), "{}", server.stderr().text());
    let account = json!({"handle": "alice", "password": "correct horse"});
    assert_eq!(exchange(apart, &request("POST", "/v1/accounts", &account), 3).status, 201);
}
