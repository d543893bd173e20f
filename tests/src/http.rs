//! The admin port as its clients see it: plain HTTP/1.1 over a socket.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use crate::server::{PATIENCE, Server};

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// All before the body.
    pub head: String,
    /// The body.
    pub body: String,
}

/// Where a server's admin port is.
///
/// # Panics
/// It has none.
#[track_caller]
pub fn port_of(server: &Server) -> SocketAddr {
    let status = server.admin().ask(&json!({"op": "status"}));
    let address = status["admin_listen"].as_str().unwrap_or_else(|| panic!("no admin port in {status}"));
    address.parse().expect("the address has numbers")
}

/// A connection.
///
/// # Panics
/// Nobody listens.
#[track_caller]
pub fn connect(port: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(port).expect("the admin port listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket has a timeout");
    stream
}

/// Sends bytes and reads until the other end closes; what came, as far as it is text.
pub fn exchange(port: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(port);
    // Whoever is refused early closes while this is being written.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Asks for a path.
///
/// # Panics
/// The answer is no HTTP.
#[track_caller]
pub fn get(port: SocketAddr, path: &str) -> Response {
    let answer = exchange(port, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
    Response::parse(&answer)
}

/// Asks for a path with a body of JSON (null: none), as whoever has a token.
///
/// # Panics
/// The answer is no HTTP.
#[track_caller]
pub fn ask(port: SocketAddr, method: &str, path: &str, token: Option<&str>, body: &Value) -> Response {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let token = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    let head = "Host: x\r\nContent-Type: application/json\r\nConnection: close\r\n";
    let length = body.len();
    let request = format!("{method} {path} HTTP/1.1\r\n{head}{token}Content-Length: {length}\r\n\r\n{body}");
    Response::parse(&exchange(port, request.as_bytes()))
}

impl Response {
    /// The body, as JSON.
    ///
    /// # Panics
    /// It is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.body))
    }

    /// An answer whose connection was closed behind it.
    ///
    /// # Panics
    /// It is no HTTP.
    #[track_caller]
    pub fn parse(answer: &str) -> Response {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP: {answer:?}"));
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status: {head:?}"));
        Response { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }
}
