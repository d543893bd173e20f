//! Owns the server's side of the opening handshake (RFC 6455 section 4.2): the request as it arrives, and the answers.

use alloc::string::String;
use alloc::vec::Vec;

use data_encoding::BASE64;
use sha1::{Digest, Sha1};

use super::head::{HeadLine, HeadReader, is_token, list_elements, list_has, set_once};
use super::limits::HandshakeLimits;
use crate::violation::Violation;

/// What the key is hashed with (RFC 6455 section 1.3).
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// How far a handshake is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandshakeProgress<T> {
    /// The head goes on in the bytes to come; all given bytes were taken.
    NeedMore,
    /// The head is complete and without violation.
    Done {
        /// How many of the bytes given last belong to the head; the rest are frames.
        consumed: usize,
        /// What it says.
        head: T,
    },
}

/// A valid `Sec-WebSocket-Key`: 16 bytes in base64 (RFC 6455 section 11.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeKey([u8; 24]);

impl HandshakeKey {
    /// The key of a client's 16 random bytes (RFC 6455 section 4.1).
    #[must_use]
    pub fn from_nonce(nonce: [u8; 16]) -> Self {
        let mut key = [0; 24];
        BASE64.encode_mut(&nonce, &mut key);
        Self(key)
    }

    /// The key in a header's value, if it is one.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let key = value.try_into().ok()?;
        let nonce = BASE64.decode(value).ok()?;
        (nonce.len() == 16).then_some(Self(key))
    }

    /// The header's value.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The `Sec-WebSocket-Accept` that proves that the key was read (RFC 6455 section 4.2.2).
    #[must_use]
    pub fn accept(&self) -> [u8; 28] {
        let digest = Sha1::new().chain_update(self.0).chain_update(ACCEPT_GUID).finalize();
        let mut accept = [0; 28];
        BASE64.encode_mut(&digest, &mut accept);
        accept
    }
}

/// What a client asks for (RFC 6455 section 4.2.1). The path is as sent: not percent-decoded, not normalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The path, which begins with `/`.
    pub path: String,
    /// What follows the `?`, or nothing.
    pub query: String,
    /// The value of Host.
    pub host: String,
    /// The value of Origin, which browsers always send (RFC 6455 section 10.2).
    pub origin: Option<String>,
    /// What the answer is made of.
    pub key: HandshakeKey,
    /// The offered subprotocols, separated by commas: bounded by the head however many there are.
    protocols: String,
}

impl Request {
    /// The offered subprotocols, the preferred one first (RFC 6455 section 11.3.4).
    pub fn protocols(&self) -> impl Iterator<Item = &str> {
        self.protocols.split(',').filter(|protocol| !protocol.is_empty())
    }
}

/// Reads a request as its bytes arrive, in memory bounded by [`HandshakeLimits`] (RFC 6455 section 4.2.1).
#[derive(Debug)]
pub struct ServerHandshake {
    reader: HeadReader,
    fields: Fields,
    violation: Option<Violation>,
    /// The only path whose requests are judged here.
    only: Option<&'static str>,
    other: Vec<u8>,
}

impl ServerHandshake {
    /// The state of a connection that was just accepted.
    #[must_use]
    pub fn new(limits: HandshakeLimits) -> Self {
        let (reader, fields) = (HeadReader::new(limits), Fields::default());
        Self { reader, fields, violation: None, only: None, other: Vec::new() }
    }

    /// The same, of a port where another server answers what is not for this path, whatever the method: such a request
    /// ends as [`Violation::PathNotFound`] with its first line, and [`ServerHandshake::take_other`] has its bytes.
    #[must_use]
    pub fn only(path: &'static str, limits: HandshakeLimits) -> Self {
        Self { only: Some(path), ..Self::new(limits) }
    }

    /// All bytes of a request for another path, those given last included; empty where it was no such request.
    #[must_use]
    pub fn take_other(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.other)
    }

    /// Takes the next bytes, in any segmentation. The handshake ends with `Done`, or with a violation, which is
    /// returned again by further calls.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<HandshakeProgress<Request>, Violation> {
        if let Some(violation) = self.violation {
            return Err(violation);
        }
        self.read(bytes).inspect_err(|violation| self.violation = Some(*violation))
    }

    fn read(&mut self, bytes: &[u8]) -> Result<HandshakeProgress<Request>, Violation> {
        let mut rest = bytes;
        while let Some(line) = self.reader.next_line(&mut rest)? {
            match line {
                HeadLine::Start(line) if self.only.is_some_and(|path| is_for_another(line, path)) => {
                    self.other = [line, b"\r\n", rest].concat();
                    return Err(Violation::PathNotFound);
                }
                HeadLine::Start(line) => self.fields.read_request_line(line)?,
                HeadLine::Field(name, value) => self.fields.read(name, value)?,
                HeadLine::End => {
                    let head = core::mem::take(&mut self.fields).finish()?;
                    return Ok(HandshakeProgress::Done { consumed: bytes.len() - rest.len(), head });
                }
            }
        }
        Ok(HandshakeProgress::NeedMore)
    }
}

/// The headers that matter, as they come.
#[derive(Debug, Default)]
struct Fields {
    path: String,
    query: String,
    host: Option<String>,
    origin: Option<String>,
    key: Option<HandshakeKey>,
    version: Option<()>,
    protocols: String,
    upgrade: bool,
    connection: bool,
}

impl Fields {
    /// `GET target HTTP/1.1` (RFC 9112 section 3).
    fn read_request_line(&mut self, line: &[u8]) -> Result<(), Violation> {
        let (method, target, version) = split_request_line(line).ok_or(Violation::InvalidRequestLine)?;
        if version != b"HTTP/1.1" {
            return Err(Violation::UnsupportedHttpVersion);
        }
        if method != b"GET" {
            return Err(Violation::MethodNotGet);
        }
        let target = origin_form(target).ok_or(Violation::InvalidRequestLine)?;
        let (path, query) = split_target(target);
        (self.path, self.query) = (path.into(), query.into());
        Ok(())
    }

    fn read(&mut self, name: &[u8], value: &[u8]) -> Result<(), Violation> {
        let is = |header: &str| name.eq_ignore_ascii_case(header.as_bytes());
        if is("host") {
            set_once(&mut self.host, text(value)?)?;
        } else if is("origin") {
            set_once(&mut self.origin, text(value)?)?;
        } else if is("upgrade") {
            self.upgrade |= list_has(value, "websocket");
        } else if is("connection") {
            self.connection |= list_has(value, "upgrade");
        } else if is("sec-websocket-key") {
            set_once(&mut self.key, HandshakeKey::parse(value).ok_or(Violation::InvalidKey)?)?;
        } else if is("sec-websocket-version") {
            set_once(&mut self.version, ())?;
            if value != b"13" {
                return Err(Violation::UnsupportedWebSocketVersion);
            }
        } else if is("sec-websocket-protocol") {
            self.read_protocols(value)?;
        } else if is("transfer-encoding") || (is("content-length") && value != b"0") {
            return Err(Violation::UnexpectedBody);
        }
        Ok(())
    }

    fn read_protocols(&mut self, value: &[u8]) -> Result<(), Violation> {
        for protocol in list_elements(value) {
            if !is_token(protocol) {
                return Err(Violation::MalformedHeader);
            }
            self.protocols.push_str(&text(protocol)?);
            self.protocols.push(',');
        }
        Ok(())
    }

    /// Judges what is missing.
    fn finish(self) -> Result<Request, Violation> {
        let host = self.host.ok_or(Violation::MissingHost)?;
        if !self.upgrade {
            return Err(Violation::MissingUpgrade);
        }
        if !self.connection {
            return Err(Violation::MissingConnectionUpgrade);
        }
        self.version.ok_or(Violation::UnsupportedWebSocketVersion)?;
        let key = self.key.ok_or(Violation::MissingKey)?;
        let Self { path, query, origin, protocols, .. } = self;
        Ok(Request { path, query, host, origin, key, protocols })
    }
}

/// Method, target and version of a request line (RFC 9112 section 3).
fn split_request_line(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return None;
    };
    let is_version = matches!(version, [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']);
    (is_version && is_token(method)).then_some((method, target, version))
}

/// Whether a request line is one of HTTP/1 for another path.
fn is_for_another(line: &[u8], path: &str) -> bool {
    let Some((_, target, [b'H', b'T', b'T', b'P', b'/', b'1', ..])) = split_request_line(line) else { return false };
    origin_form(target).is_some_and(|target| split_target(target).0 != path)
}

/// Path and query of a target.
fn split_target(target: &str) -> (&str, &str) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    (if path.is_empty() { "/" } else { path }, query)
}

/// The path and query of a target, which may be an absolute URI (RFC 9112 section 3.2); empty if that has no path.
fn origin_form(target: &[u8]) -> Option<&str> {
    let target = core::str::from_utf8(target).ok()?;
    if !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return None;
    }
    if target.starts_with('/') {
        return Some(target);
    }
    let (scheme, rest) = target.split_once("://")?;
    let known = ["http", "https", "ws", "wss"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let path = rest.find(['/', '?']).map_or("", |start| rest.split_at(start).1);
    (known && path.len() < rest.len()).then_some(path)
}

/// A value that is kept, which has to be ASCII.
fn text(value: &[u8]) -> Result<String, Violation> {
    match core::str::from_utf8(value) {
        Ok(text) if text.is_ascii() => Ok(text.into()),
        _ => Err(Violation::MalformedHeader),
    }
}

/// Appends the answer that opens the connection (RFC 6455 section 4.2.2). `protocol` is one of the offered ones.
pub fn accept_response(key: &HandshakeKey, protocol: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
    out.extend_from_slice(b"Sec-WebSocket-Accept: ");
    out.extend_from_slice(&key.accept());
    if let Some(protocol) = protocol {
        out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        out.extend_from_slice(protocol.as_bytes());
    }
    out.extend_from_slice(b"\r\n\r\n");
}

/// Appends the answer that refuses the handshake, after which the connection is closed (RFC 6455 section 4.2.2).
pub fn refuse_response(violation: Violation, out: &mut Vec<u8>) {
    // The headers are those that RFC 9110 asks for with the status; 426 names the version, too (RFC 6455 section 4.4).
    let (reason, headers) = match violation.http_status() {
        403 => ("403 Forbidden", "Connection: close\r\n"),
        404 => ("404 Not Found", "Connection: close\r\n"),
        405 => ("405 Method Not Allowed", "Connection: close\r\nAllow: GET\r\n"),
        408 => ("408 Request Timeout", "Connection: close\r\n"),
        426 => (
            "426 Upgrade Required",
            "Connection: close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        ),
        431 => ("431 Request Header Fields Too Large", "Connection: close\r\n"),
        505 => ("505 HTTP Version Not Supported", "Connection: close\r\n"),
        _ => ("400 Bad Request", "Connection: close\r\n"),
    };
    let hint = match violation {
        Violation::MissingUpgrade => ": a WebSocket is served here; connect with ws:// or wss://",
        _ => "",
    };
    let body_len = violation.name().len() + hint.len() + 1;
    out.extend_from_slice(
        alloc::format!(
            "HTTP/1.1 {reason}\r\n{headers}Content-Type: text/plain\r\nContent-Length: {body_len}\r\n\r\n{violation}{hint}\n"
        )
        .as_bytes(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_rfc_is_accepted_as_the_rfc_says() {
        let key = HandshakeKey::parse(b"dGhlIHNhbXBsZSBub25jZQ==").unwrap();
        assert_eq!(key, HandshakeKey::from_nonce(*b"the sample nonce"));
        assert_eq!(&key.accept(), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn what_is_for_another_path_is_handed_out_whole() {
        let request = b"POST /v1/login?a=b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
        for cut in 0..request.len() {
            let mut handshake = ServerHandshake::only("/v1/ws", HandshakeLimits::DEFAULT);
            let (before, behind) = request.split_at(cut);
            let first = handshake.receive(before);
            let mut all = handshake.take_other();
            if first.is_ok() {
                assert_eq!(handshake.receive(behind), Err(Violation::PathNotFound));
                all = handshake.take_other();
            } else {
                all.extend_from_slice(behind);
            }
            assert_eq!(all, request, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_for_this_path_or_no_http_is_judged_here() {
        for (line, violation) in [
            ("POST /v1/ws HTTP/1.1", Violation::MethodNotGet),
            ("GET /v1/ws HTTP/1.0", Violation::UnsupportedHttpVersion),
            ("PRI * HTTP/2.0", Violation::UnsupportedHttpVersion),
            ("GET /other HTTP/2.0", Violation::UnsupportedHttpVersion),
            ("OPTIONS * HTTP/1.1", Violation::MethodNotGet),
            ("GET * HTTP/1.1", Violation::InvalidRequestLine),
            ("hello", Violation::InvalidRequestLine),
        ] {
            let mut handshake = ServerHandshake::only("/v1/ws", HandshakeLimits::DEFAULT);
            assert_eq!(handshake.receive(alloc::format!("{line}\r\n").as_bytes()), Err(violation), "{line}");
            assert!(handshake.take_other().is_empty(), "{line}");
        }
    }

    #[test]
    fn a_target_may_be_absolute() {
        assert_eq!(origin_form(b"/a?b"), Some("/a?b"));
        assert_eq!(origin_form(b"http://host/a?b"), Some("/a?b"));
        assert_eq!(origin_form(b"WSS://host"), Some(""));
        assert_eq!(origin_form(b"https://host?b"), Some("?b"));
        for target in [b"".as_slice(), b"*", b"a/b", b"http://", b"http:///a", b"ftp://host/", b"/a#b", b"/\xe4"] {
            assert_eq!(origin_form(target), None, "{target:?}");
        }
    }
}
