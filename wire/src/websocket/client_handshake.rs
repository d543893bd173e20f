//! Owns the client's side of the opening handshake (RFC 6455 section 4.1): the request, and the answer as it arrives.

use alloc::string::String;
use alloc::vec::Vec;

use super::handshake::{HandshakeKey, HandshakeProgress};
use super::head::{HeadLine, HeadReader, list_elements, list_has, set_once};
use super::limits::HandshakeLimits;
use crate::violation::Violation;

/// What to ask a server for (RFC 6455 section 4.1).
#[derive(Clone, Copy, Debug)]
pub struct ClientRequest<'a> {
    /// The host, with the port unless it is the default one.
    pub host: &'a str,
    /// The path with its query, beginning with `/`.
    pub path: &'a str,
    /// The Origin, if the client is a page.
    pub origin: Option<&'a str>,
    /// The offered subprotocols, separated by commas without spaces.
    pub protocols: Option<&'a str>,
    /// 16 random bytes.
    pub nonce: [u8; 16],
}

/// What a server that opened the connection said (RFC 6455 section 4.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The subprotocol it chose among the offered ones.
    pub protocol: Option<String>,
}

/// Reads a response as its bytes arrive, in memory bounded by [`HandshakeLimits`] (RFC 6455 section 4.1).
#[derive(Debug)]
pub struct ClientHandshake {
    reader: HeadReader,
    accept: [u8; 28],
    offered: String,
    fields: Fields,
    violation: Option<Violation>,
}

/// The headers that matter, as they come.
#[derive(Debug, Default)]
struct Fields {
    status: Option<u16>,
    protocol: Option<String>,
    accept: Option<()>,
    upgrade: bool,
    connection: bool,
}

impl ClientHandshake {
    /// Appends the request to `out` and waits for its response; `None` if an argument holds anything but visible
    /// ASCII, which could add lines to the request.
    #[must_use]
    pub fn new(limits: HandshakeLimits, request: &ClientRequest<'_>, out: &mut Vec<u8>) -> Option<Self> {
        let ClientRequest { host, path, origin, protocols, nonce } = *request;
        let optional = [("Origin", origin), ("Sec-WebSocket-Protocol", protocols)];
        let mut values = [Some(host), Some(path), origin, protocols].into_iter().flatten();
        if !path.starts_with('/') || !values.all(|value| value.bytes().all(|byte| byte.is_ascii_graphic())) {
            return None;
        }
        let key = HandshakeKey::from_nonce(nonce);
        let mut line = |parts: [&[u8]; 3]| {
            out.extend(parts.into_iter().flatten());
            out.extend_from_slice(b"\r\n");
        };
        line([b"GET ", path.as_bytes(), b" HTTP/1.1"]);
        line([b"Host", b": ", host.as_bytes()]);
        line([b"Upgrade", b": ", b"websocket"]);
        line([b"Connection", b": ", b"Upgrade"]);
        line([b"Sec-WebSocket-Key", b": ", key.as_bytes()]);
        line([b"Sec-WebSocket-Version", b": ", b"13"]);
        for (name, value) in optional {
            if let Some(value) = value {
                line([name.as_bytes(), b": ", value.as_bytes()]);
            }
        }
        line([b"", b"", b""]);
        Some(Self {
            reader: HeadReader::new(limits),
            accept: key.accept(),
            offered: protocols.unwrap_or_default().into(),
            fields: Fields::default(),
            violation: None,
        })
    }

    /// The HTTP status, once it arrived: why an upgrade was refused.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.fields.status
    }

    /// Takes the next bytes, in any segmentation. The handshake ends with `Done`, or with a violation, which is
    /// returned again by further calls.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<HandshakeProgress<Response>, Violation> {
        if let Some(violation) = self.violation {
            return Err(violation);
        }
        self.read(bytes).inspect_err(|violation| self.violation = Some(*violation))
    }

    fn read(&mut self, bytes: &[u8]) -> Result<HandshakeProgress<Response>, Violation> {
        let mut rest = bytes;
        while let Some(line) = self.reader.next_line(&mut rest)? {
            match line {
                HeadLine::Start(line) => self.fields.read_status_line(line)?,
                HeadLine::Field(name, value) => self.fields.read(name, value, &self.accept, &self.offered)?,
                HeadLine::End => {
                    let head = self.fields.finish()?;
                    return Ok(HandshakeProgress::Done { consumed: bytes.len() - rest.len(), head });
                }
            }
        }
        Ok(HandshakeProgress::NeedMore)
    }
}

impl Fields {
    /// `HTTP/1.1 101 reason` (RFC 9112 section 4).
    fn read_status_line(&mut self, line: &[u8]) -> Result<(), Violation> {
        let line = line.strip_prefix(b"HTTP/1.1 ").ok_or(Violation::InvalidStatusLine)?;
        let (digits, reason) = line.split_first_chunk::<3>().ok_or(Violation::InvalidStatusLine)?;
        if !digits.iter().all(u8::is_ascii_digit) || !matches!(reason, [] | [b' ', ..]) {
            return Err(Violation::InvalidStatusLine);
        }
        let status = digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
        self.status = Some(status);
        if status == 101 { Ok(()) } else { Err(Violation::UpgradeRefused) }
    }

    fn read(&mut self, name: &[u8], value: &[u8], accept: &[u8], offered: &str) -> Result<(), Violation> {
        let is = |header: &str| name.eq_ignore_ascii_case(header.as_bytes());
        if is("upgrade") {
            self.upgrade |= list_has(value, "websocket");
        } else if is("connection") {
            self.connection |= list_has(value, "upgrade");
        } else if is("sec-websocket-accept") {
            set_once(&mut self.accept, ())?;
            if value != accept {
                return Err(Violation::InvalidAccept);
            }
        } else if is("sec-websocket-protocol") {
            let chosen = offered.split(',').find(|offer| !offer.is_empty() && offer.as_bytes() == value);
            set_once(&mut self.protocol, chosen.ok_or(Violation::UnofferedProtocol)?.into())?;
        } else if is("sec-websocket-extensions") && list_elements(value).next().is_some() {
            return Err(Violation::UnofferedExtension);
        }
        Ok(())
    }

    /// Judges what is missing.
    fn finish(&mut self) -> Result<Response, Violation> {
        if !self.upgrade {
            return Err(Violation::MissingUpgrade);
        }
        if !self.connection {
            return Err(Violation::MissingConnectionUpgrade);
        }
        self.accept.ok_or(Violation::InvalidAccept)?;
        Ok(Response { protocol: self.protocol.take() })
    }
}
