//! The server's side of one TLS connection, without I/O: ciphertext in, plaintext out, and back.
//!
//! The only place that knows the interface of the library which keeps no bytes of its own; an idle connection has no
//! buffers.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic,
};

use crate::limits::TLS_HANDSHAKE_BYTES_MAX;

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The handshake goes on; nothing can be sealed yet.
    Handshake,
    /// Both sides speak.
    Open,
    /// The peer has said that it says no more.
    Closed,
}

/// What a peer did wrong in TLS; the connection is over.
#[derive(Clone, PartialEq, Debug)]
pub enum TlsFault {
    /// More bytes than any handshake needs.
    HandshakeTooLong,
    /// What the library says of it.
    Broken(rustls::Error),
    /// So much was sealed with one key that no more may be.
    Exhausted,
}

impl fmt::Display for TlsFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsFault::HandshakeTooLong => {
                write!(formatter, "a TLS handshake of more than {TLS_HANDSHAKE_BYTES_MAX} bytes")
            }
            TlsFault::Broken(error) => error.fmt(formatter),
            TlsFault::Exhausted => formatter.write_str("the keys of a TLS connection are used up"),
        }
    }
}

impl std::error::Error for TlsFault {}

/// One connection.
pub struct Tls {
    connection: UnbufferedServerConnection,
    /// The beginning of a record, or of a message of the handshake, whose rest has not come.
    unread: Vec<u8>,
    handshake_bytes: usize,
    stage: Stage,
    fault: Option<TlsFault>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").field("stage", &self.stage).field("fault", &self.fault).finish_non_exhaustive()
    }
}

impl Tls {
    /// Of a socket that was just accepted.
    pub(super) fn accept(config: Arc<ServerConfig>) -> Tls {
        let connection =
            UnbufferedServerConnection::new(config).expect("the configuration was checked when it was read");
        Tls { connection, unread: Vec::new(), handshake_bytes: 0, stage: Stage::Handshake, fault: None }
    }

    /// Bytes that it keeps beside itself, for a record that is not whole.
    pub fn unread_bytes(&self) -> usize {
        self.unread.capacity()
    }

    /// How far it is.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Takes bytes of the socket, in any pieces: what they say is added to `plain`, what has to be sent to `out`. They are
    /// decrypted in place.
    ///
    /// # Errors
    /// The peer's fault, of which `out` tells it; again at every further call.
    pub fn receive(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<Stage, TlsFault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let read = self.read(bytes, plain, out);
        if let Err(fault) = &read {
            self.fault = Some(fault.clone());
            self.unread = Vec::new();
        }
        read.map(|()| self.stage)
    }

    fn read(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), TlsFault> {
        if self.stage == Stage::Closed {
            return Ok(());
        }
        if self.stage == Stage::Handshake {
            self.handshake_bytes += bytes.len();
            if self.handshake_bytes > TLS_HANDSHAKE_BYTES_MAX {
                return Err(TlsFault::HandshakeTooLong);
            }
        }
        if self.unread.is_empty() {
            let taken = self.process(bytes, plain, out)?;
            self.unread.extend_from_slice(&bytes[taken..]);
            return Ok(());
        }
        let mut unread = std::mem::take(&mut self.unread);
        unread.extend_from_slice(bytes);
        let taken = self.process(&mut unread, plain, out)?;
        if taken < unread.len() {
            unread.drain(..taken);
            self.unread = unread;
        }
        Ok(())
    }

    /// Works off whole records; how many bytes need not be seen again.
    fn process(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<usize, TlsFault> {
        let mut taken = 0;
        loop {
            let UnbufferedStatus { mut discard, state, .. } = self.connection.process_tls_records(&mut bytes[taken..]);
            let mut more = true;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(TlsFault::Broken)?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, out),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.stage = Stage::Closed,
                Ok(ConnectionState::WriteTraffic(_)) => {
                    if self.stage == Stage::Handshake {
                        self.stage = Stage::Open;
                    }
                    more = false;
                }
                Ok(_) => more = false,
                Err(error) => {
                    self.tell(&mut bytes[taken + discard..], out);
                    return Err(TlsFault::Broken(error));
                }
            }
            taken += discard;
            if !more {
                return Ok(taken);
            }
        }
    }

    /// Adds the alert that tells the peer what it did wrong. The library asserts that it tells that once, so it must not
    /// look at the broken bytes again: it does so only where it has nothing to tell.
    fn tell(&mut self, rest: &mut [u8], out: &mut Vec<u8>) {
        while self.connection.wants_write() {
            match self.connection.process_tls_records(rest).state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, out),
                _ => return,
            }
        }
    }

    /// Encrypts what is to be said, and adds it to `out`, behind what has to be sent before.
    ///
    /// # Errors
    /// Nothing more can be said over this connection.
    ///
    /// # Panics
    /// The handshake is not done.
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), TlsFault> {
        let silent = self.stage == Stage::Handshake && self.fault.is_none();
        assert!(!silent, "whoever has heard nothing says nothing");
        self.write(out, |traffic, room| traffic.encrypt(plain, room))
    }

    /// Adds the word that nothing more will be said, if the handshake is done and nothing went wrong.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if self.stage != Stage::Handshake && self.fault.is_none() {
            // Whoever can be told nothing is told nothing.
            let _ = self.write(out, |traffic, room| traffic.queue_close_notify(room));
        }
    }

    fn write(
        &mut self,
        out: &mut Vec<u8>,
        mut write: impl FnMut(&mut WriteTraffic<'_, ServerConnectionData>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<(), TlsFault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        loop {
            // The library wants to see what it has not used up, also where it is to write.
            match self.connection.process_tls_records(&mut self.unread).state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, out),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let written = fill(out, |room| match write(&mut traffic, room) {
                        Ok(count) => Ok(Some(count)),
                        Err(EncryptError::InsufficientSize(error)) => Err(error),
                        Err(EncryptError::EncryptExhausted) => Ok(None),
                    });
                    return written.ok_or(TlsFault::Exhausted);
                }
                Ok(_) => return Err(TlsFault::Exhausted),
                Err(error) => return Err(TlsFault::Broken(error)),
            }
        }
    }
}

/// Adds a message that the library has ready.
fn encode(data: &mut EncodeTlsData<'_, ServerConnectionData>, out: &mut Vec<u8>) {
    fill(out, |room| match data.encode(room) {
        Ok(count) => Ok(Some(count)),
        Err(EncodeError::InsufficientSize(error)) => Err(error),
        Err(EncodeError::AlreadyEncoded) => Ok(None),
    });
}

/// Lets something write behind what is there, with as much room as it asks for; nothing is added where it has nothing.
fn fill(
    out: &mut Vec<u8>,
    mut write: impl FnMut(&mut [u8]) -> Result<Option<usize>, InsufficientSizeError>,
) -> Option<()> {
    let before = out.len();
    loop {
        match write(&mut out[before..]) {
            Ok(count) => {
                out.truncate(before + count.unwrap_or_default());
                return count.map(drop);
            }
            Err(InsufficientSizeError { required_size }) => out.resize(before + required_size, 0),
        }
    }
}
