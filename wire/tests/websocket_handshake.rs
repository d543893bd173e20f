//! The opening handshake takes what RFC 6455 section 4 allows and names what it refuses.
//!
//! Set-up: requests and responses with one thing changed, in one piece and byte by byte; tungstenite on the other end,
//! or reading the same bytes. Claim: each law has its violation, tungstenite's two ends and ours open connections with
//! each other, and a request taken here is taken there, but for the differences that `agree` lists.

use std::io::{self, Read, Write};

use crate::streams::{Random, mutate};
use trunkline_wire::violation::Violation;
use trunkline_wire::websocket::{
    ClientHandshake, ClientRequest, HandshakeKey, HandshakeLimits, HandshakeProgress, Request, Response,
    ServerHandshake, accept_response, refuse_response,
};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const LIMITS: HandshakeLimits = HandshakeLimits::DEFAULT;

/// The head that is complete, and how long it is.
fn request(bytes: &[u8], piece_len: usize) -> Result<Option<(Request, usize)>, Violation> {
    let mut handshake = ServerHandshake::new(LIMITS);
    let mut before = 0;
    for piece in bytes.chunks(piece_len) {
        match handshake.receive(piece) {
            Ok(HandshakeProgress::NeedMore) => before += piece.len(),
            Ok(HandshakeProgress::Done { consumed, head }) => return Ok(Some((head, before + consumed))),
            Err(violation) => {
                assert_eq!(handshake.receive(b""), Err(violation), "a violation stays");
                return Err(violation);
            }
        }
    }
    Ok(None)
}

fn response(handshake: &mut ClientHandshake, bytes: &[u8], piece_len: usize) -> Result<Response, Violation> {
    for piece in bytes.chunks(piece_len) {
        if let HandshakeProgress::Done { head, .. } = handshake.receive(piece)? {
            return Ok(head);
        }
    }
    panic!("the response is not whole");
}

/// A lawful request with one text replaced by another.
fn changed(from: &str, to: &str) -> Vec<u8> {
    let text = "GET /ws?v=1 HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: keep-alive, \
                Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://example.com\r\n\
                Sec-WebSocket-Protocol: trunkline.v2, trunkline.v1\r\nSec-WebSocket-Protocol: x\r\n\
                Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
                Sec-WebSocket-Version: 13\r\n\r\n";
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1).into_bytes()
}

#[test]
fn a_request_is_read_in_any_pieces() {
    let bytes = [changed("", "").as_slice(), b"\x82frames"].concat();
    for piece_len in [1, 2, 7, 100, 4_096] {
        let (head, consumed) = request(&bytes, piece_len).unwrap().unwrap();
        assert_eq!(consumed, bytes.len() - 7);
        assert_eq!((head.path.as_str(), head.query.as_str()), ("/ws", "v=1"));
        assert_eq!((head.host.as_str(), head.origin.as_deref()), ("server.example.com", Some("https://example.com")));
        assert!(head.protocols().eq(["trunkline.v2", "trunkline.v1", "x"]));
        assert_eq!(head.key.as_bytes(), KEY.as_bytes());
        let mut out = Vec::new();
        accept_response(&head.key, head.protocols().next(), &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("HTTP/1.1 101 ") && text.ends_with("\r\n\r\n"));
        assert!(text.contains(&format!("\r\nSec-WebSocket-Accept: {ACCEPT}\r\n")));
        assert!(text.contains("\r\nSec-WebSocket-Protocol: trunkline.v2\r\n"));
        assert!(!text.contains("Extensions"), "permessage-deflate is not agreed on");
    }
}

#[test]
fn every_prefix_needs_more() {
    let bytes = changed("", "");
    for len in 0..bytes.len() {
        assert_eq!(request(&bytes[..len], usize::MAX), Ok(None), "{len} bytes");
    }
}

#[test]
fn what_varies_lawfully_is_taken() {
    for (from, to) in [
        ("Upgrade: websocket", "uPGRADE:\t h2c , WebSocket"),
        ("keep-alive, Upgrade", "upgrade"),
        ("Connection: keep-alive, Upgrade", "Connection: keep-alive\r\nConnection: UPGRADE"),
        ("Origin: https://example.com\r\n", ""),
        ("Origin:", "Content-Length: 0\r\nOrigin:"),
        ("/ws?v=1", "http://server.example.com/ws?v=1"),
        ("Origin:", "Cookie: \u{e4}\r\nOrigin:"),
        ("trunkline.v2, trunkline.v1", ", ,"),
        ("/ws?v=1", "/%00"),
    ] {
        assert!(matches!(request(&changed(from, to), 1), Ok(Some(_))), "{to}");
    }
}

#[test]
fn each_broken_law_is_named() {
    let table = [
        ("GET ", "POST ", Violation::MethodNotGet, 405),
        ("GET ", "get ", Violation::MethodNotGet, 405),
        ("HTTP/1.1", "HTTP/1.0", Violation::UnsupportedHttpVersion, 505),
        ("HTTP/1.1", "HTTP/2.0", Violation::UnsupportedHttpVersion, 505),
        ("HTTP/1.1", "HTTP/1.10", Violation::InvalidRequestLine, 400),
        ("HTTP/1.1", "http/1.1", Violation::InvalidRequestLine, 400),
        (" HTTP/1.1", "", Violation::InvalidRequestLine, 400),
        (" HTTP/1.1", "  HTTP/1.1", Violation::InvalidRequestLine, 400),
        (" HTTP/1.1", "\tHTTP/1.1", Violation::InvalidRequestLine, 400),
        ("GET ", "\r\nGET ", Violation::InvalidRequestLine, 400),
        ("GET ", "G@T ", Violation::InvalidRequestLine, 400),
        ("/ws?", "ws?", Violation::InvalidRequestLine, 400),
        ("/ws?", "/ws#?", Violation::InvalidRequestLine, 400),
        ("/ws?", "/\u{e4}?", Violation::InvalidRequestLine, 400),
        ("/ws?v=1", "ftp://server/ws", Violation::InvalidRequestLine, 400),
        ("\r\nHost", "\nHost", Violation::BareLineFeed, 400),
        ("\r\nOrigin", "\nOrigin", Violation::BareLineFeed, 400),
        ("13\r\n\r\n", "13\r\n\n", Violation::BareLineFeed, 400),
        ("Host: ", "Host:\r\n ", Violation::FoldedHeader, 400),
        ("\r\nHost", "\r\n\tHost", Violation::FoldedHeader, 400),
        ("Host:", "Host :", Violation::MalformedHeader, 400),
        ("Host:", "Host", Violation::MalformedHeader, 400),
        ("Host:", ":", Violation::MalformedHeader, 400),
        ("Host:", "Ho(st:", Violation::MalformedHeader, 400),
        ("server.", "ser\rver.", Violation::MalformedHeader, 400),
        ("server.", "ser\0ver.", Violation::MalformedHeader, 400),
        ("https://", "https://\u{e4}", Violation::MalformedHeader, 400),
        ("trunkline.v2", "trunk line", Violation::MalformedHeader, 400),
        ("Origin:", "Host: other\r\nOrigin:", Violation::DuplicateHeader, 400),
        ("Origin:", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin:", Violation::DuplicateHeader, 400),
        ("Origin:", "Sec-WebSocket-Version: 13\r\nOrigin:", Violation::DuplicateHeader, 400),
        ("Origin:", "Origin: null\r\nOrigin:", Violation::DuplicateHeader, 400),
        ("Host: server.example.com\r\n", "", Violation::MissingHost, 400),
        ("Origin:", "Content-Length: 5\r\nOrigin:", Violation::UnexpectedBody, 400),
        ("Origin:", "Transfer-Encoding: chunked\r\nOrigin:", Violation::UnexpectedBody, 400),
        ("Upgrade: websocket\r\n", "", Violation::MissingUpgrade, 426),
        ("Upgrade: websocket", "Upgrade: h2c", Violation::MissingUpgrade, 426),
        ("Connection: keep-alive, Upgrade\r\n", "", Violation::MissingConnectionUpgrade, 400),
        ("keep-alive, Upgrade", "keep-alive", Violation::MissingConnectionUpgrade, 400),
        ("Sec-WebSocket-Version: 13\r\n", "", Violation::UnsupportedWebSocketVersion, 426),
        ("Version: 13", "Version: 8", Violation::UnsupportedWebSocketVersion, 426),
        ("Version: 13", "Version: 13, 8", Violation::UnsupportedWebSocketVersion, 426),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", Violation::MissingKey, 400),
        (KEY, "", Violation::InvalidKey, 400),
        (KEY, "dGhlIHNhbXBsZSBub25jZQ", Violation::InvalidKey, 400),
        (KEY, "dGhlIHNhbXBsZSBub25jZTE=", Violation::InvalidKey, 400),
        (KEY, "dGhlIHNhbXBsZSBub25j!Q==", Violation::InvalidKey, 400),
        (KEY, "dGhlIHNhbXBsZSBub25jZQ==AAAA", Violation::InvalidKey, 400),
    ];
    for (from, to, violation, status) in table {
        let bytes = changed(from, to);
        assert_eq!(request(&bytes, usize::MAX), Err(violation), "{to:?}");
        assert_eq!(request(&bytes, 1), Err(violation), "{to:?}, byte by byte");
        assert_eq!(violation.http_status(), status, "{violation}");
    }
}

#[test]
fn the_bounds_are_exact() {
    let base = changed("", "");
    let headers = base.windows(2).filter(|pair| pair == b"\r\n").count() - 2;
    for (count, expected) in [(64, None), (65, Some(Violation::TooManyHeaders))] {
        let bytes = changed("Origin:", &format!("{}Origin:", "X: y\r\n".repeat(count - headers)));
        assert_eq!(request(&bytes, usize::MAX).err(), expected, "{count} headers");
        assert_eq!(request(&bytes, 1).err(), expected, "{count} headers, byte by byte");
    }
    for (len, expected) in [(8_192, None), (8_193, Some(Violation::HandshakeTooLong))] {
        let bytes = changed("Origin:", &format!("X: {}\r\nOrigin:", "y".repeat(len - base.len() - 5)));
        assert_eq!(bytes.len(), len);
        assert_eq!(request(&bytes, usize::MAX).err(), expected, "{len} bytes");
        assert_eq!(request(&bytes, 1).err(), expected, "{len} bytes, byte by byte");
    }
    assert_eq!(request(&[b'x'; 9_000], 1), Err(Violation::HandshakeTooLong));
}

#[test]
fn refusals_are_complete_responses() {
    for violation in Violation::ALL {
        let mut out = Vec::new();
        refuse_response(violation, &mut out);
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {} ", violation.http_status())), "{head}");
        assert!(head.contains("\r\nConnection: close"));
        assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())));
        assert!(body.starts_with(violation.name()) && body.ends_with('\n'));
        let needs_version = violation.http_status() == 426;
        assert_eq!(head.contains("\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"), needs_version);
        assert_eq!(head.contains("\r\nAllow: GET\r\n"), violation.http_status() == 405);
    }
    assert_eq!(request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1), Err(Violation::MissingUpgrade));
    let mut out = Vec::new();
    refuse_response(Violation::MissingUpgrade, &mut out);
    assert!(String::from_utf8(out).unwrap().contains("wss://"));
}

fn client(protocols: Option<&str>) -> (ClientHandshake, Vec<u8>) {
    let mut out = Vec::new();
    let nonce = *b"the sample nonce";
    let asked = ClientRequest { host: "server.example.com", path: "/ws?v=1", origin: None, protocols, nonce };
    (ClientHandshake::new(LIMITS, &asked, &mut out).unwrap(), out)
}

#[test]
fn our_two_ends_open_a_connection() {
    for protocols in [None, Some("trunkline.v2,trunkline.v1")] {
        let (mut handshake, out) = client(protocols);
        let (head, consumed) = request(&out, 3).unwrap().unwrap();
        assert_eq!((consumed, head.path.as_str(), head.query.as_str()), (out.len(), "/ws", "v=1"));
        let mut answer = Vec::new();
        accept_response(&head.key, head.protocols().last(), &mut answer);
        let expected = protocols.map(|_| "trunkline.v1".to_owned());
        assert_eq!(response(&mut handshake, &answer, 1), Ok(Response { protocol: expected }));
        assert_eq!(handshake.status(), Some(101));
    }
}

#[test]
fn a_client_names_what_is_wrong_with_a_response() {
    let right = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    );
    let table = [
        ("HTTP/1.1", "HTTP/1.0", Violation::InvalidStatusLine),
        ("101", "1O1", Violation::InvalidStatusLine),
        ("101", "1010", Violation::InvalidStatusLine),
        ("101 Switching Protocols", "503 Busy", Violation::UpgradeRefused),
        ("101", "200", Violation::UpgradeRefused),
        ("Upgrade: websocket\r\n", "", Violation::MissingUpgrade),
        ("Connection: Upgrade\r\n", "", Violation::MissingConnectionUpgrade),
        ("Connection: Upgrade", "Connection: close", Violation::MissingConnectionUpgrade),
        ("s3pPL", "S3pPL", Violation::InvalidAccept),
        ("Sec-WebSocket-Accept", "X", Violation::InvalidAccept),
        ("Connection", "Sec-WebSocket-Extensions: permessage-deflate\r\nConnection", Violation::UnofferedExtension),
        ("Connection", "Sec-WebSocket-Protocol: chat\r\nConnection", Violation::UnofferedProtocol),
        ("Connection", "Sec-WebSocket-Protocol: V1\r\nConnection", Violation::UnofferedProtocol),
        ("Connection", "Sec-WebSocket-Protocol:\r\nConnection", Violation::UnofferedProtocol),
        ("\r\nConnection", "\nConnection", Violation::BareLineFeed),
    ];
    for piece_len in [1, usize::MAX] {
        for (from, to, violation) in table {
            assert!(right.contains(from), "{from}");
            let (mut handshake, _) = client(Some("v1,v2"));
            let bytes = right.replacen(from, to, 1);
            assert_eq!(response(&mut handshake, bytes.as_bytes(), piece_len), Err(violation), "{to:?}");
            assert_eq!(handshake.receive(b""), Err(violation), "a violation stays");
        }
    }
    let (mut handshake, _) = client(None);
    assert!(response(&mut handshake, b"HTTP/1.1 429\r\n", 1).is_err());
    assert_eq!(handshake.status(), Some(429));
}

#[test]
fn a_client_request_cannot_be_given_further_lines() {
    for (host, path, origin) in [("a\r\nX: y", "/", None), ("a", "/ HTTP/1.1", None), ("a", "", None)] {
        let asked = ClientRequest { host, path, origin, protocols: None, nonce: [0; 16] };
        let mut out = Vec::new();
        assert!(ClientHandshake::new(LIMITS, &asked, &mut out).is_none());
        assert!(out.is_empty());
    }
}

/// A socket that has some bytes to read, and keeps what is written.
struct Memory<'a> {
    input: &'a [u8],
    output: Vec<u8>,
}

impl Read for Memory<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.input.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            len => Ok(len),
        }
    }
}

impl Write for Memory<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What tungstenite's server answers; `None` if it refuses, or waits for more.
fn tungstenite_answer(input: &[u8]) -> Option<Vec<u8>> {
    let socket = tungstenite::accept(Memory { input, output: Vec::new() }).ok()?;
    Some(socket.get_ref().output.clone())
}

#[test]
fn our_client_opens_a_connection_with_the_server_of_tungstenite() {
    let (mut handshake, out) = client(None);
    let answer = tungstenite_answer(&out).unwrap();
    assert_eq!(response(&mut handshake, &answer, 1), Ok(Response { protocol: None }));
}

#[test]
fn the_client_of_tungstenite_opens_a_connection_with_our_server() {
    let memory = Memory { input: b"", output: Vec::new() };
    let Err(tungstenite::HandshakeError::Interrupted(mut waiting)) =
        tungstenite::client("ws://server.example.com/ws?v=1", memory)
    else {
        panic!("the client waits for the response");
    };
    let (head, _) = request(&waiting.get_ref().get_ref().output, 1).unwrap().unwrap();
    assert_eq!((head.path.as_str(), head.query.as_str()), ("/ws", "v=1"));
    let mut answer = Vec::new();
    accept_response(&head.key, None, &mut answer);
    waiting.get_mut().get_mut().input = &answer;
    assert!(waiting.handshake().is_ok());
}

/// Asserts that both take or refuse the request, or differ in a way that is meant; returns whether they differ.
fn agree(bytes: &[u8]) -> bool {
    let answer = tungstenite_answer(bytes);
    match (request(bytes, usize::MAX), answer) {
        (Ok(Some((head, consumed))), Some(answer)) => {
            assert_eq!(consumed, bytes.len());
            let accept = String::from_utf8(head.key.accept().to_vec()).unwrap();
            assert!(String::from_utf8(answer).unwrap().contains(&accept));
            false
        }
        // tungstenite takes no bytes behind the head, looks at the first Connection and Upgrade only, takes no list of
        // protocols to upgrade to and no bytes above ASCII in these; its URI parser knows fewer characters.
        (Ok(Some((head, consumed))), None) => {
            let text = String::from_utf8_lossy(bytes).to_lowercase();
            let target_differs = head.path.contains(['"', '<', '>', '\\', '^', '`', '{', '|', '}'])
                || head.query.contains(['"', '<', '>', '\\', '^', '`', '{', '|', '}']);
            let list = text.lines().any(|line| line.starts_with("upgrade:") && line.contains(','));
            let twice = ["\nconnection:", "\nupgrade:"].iter().any(|name| text.matches(name).count() > 1);
            assert!(consumed < bytes.len() || twice || list || target_differs || !bytes.is_ascii());
            true
        }
        // This layer asks for Host, refuses duplicates, bodies and bare line feeds, reads the lists it keeps, and
        // splits Connection at commas only.
        (Err(violation), Some(_)) => {
            let stricter = [
                Violation::MissingHost,
                Violation::DuplicateHeader,
                Violation::UnexpectedBody,
                Violation::BareLineFeed,
                Violation::MalformedHeader,
                Violation::InvalidRequestLine,
                Violation::MissingConnectionUpgrade,
            ];
            assert!(stricter.contains(&violation), "{violation}");
            true
        }
        (Ok(None) | Err(_), None) => false,
        (Ok(None), Some(_)) => panic!("tungstenite took a head that goes on"),
    }
}

#[test]
fn changed_requests_agree_with_tungstenite() {
    let (mut refused, mut differences) = (0, 0);
    for seed in 0..6_000 {
        let random = &mut Random(seed);
        let mut bytes = changed("", "");
        if random.one_in(2) {
            let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            let (from, to) = (1 + random.below(lines.len() - 2), 1 + random.below(lines.len() - 2));
            match random.below(3) {
                0 => drop(lines.remove(from)),
                1 => lines.insert(to, lines[from]),
                _ => lines.swap(from, to),
            }
            bytes = lines.concat();
        } else {
            mutate(random, &mut bytes);
        }
        refused += usize::from(request(&bytes, 1).is_err());
        assert_eq!(request(&bytes, 1), request(&bytes, usize::MAX), "seed {seed}");
        let outcome = std::panic::catch_unwind(|| agree(&bytes));
        let text = String::from_utf8_lossy(&bytes);
        differences += usize::from(outcome.unwrap_or_else(|_| panic!("seed {seed}: {text}")));
    }
    assert!(refused > 1_000 && differences > 100, "{refused} refused, {differences} differences");
}

#[test]
fn random_nonces_give_keys_that_are_taken() {
    let random = &mut Random(1);
    for _ in 0..1_000 {
        let nonce: [u8; 16] = random.bytes(16).try_into().unwrap();
        let key = HandshakeKey::from_nonce(nonce);
        assert_eq!(HandshakeKey::parse(key.as_bytes()), Some(key));
        let theirs = tungstenite::handshake::derive_accept_key(key.as_bytes());
        assert_eq!(theirs.as_bytes(), key.accept());
    }
}
