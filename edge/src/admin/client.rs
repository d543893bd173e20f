//! The other end of the admin socket.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::socket::{ADMIN_SOCKET, SocketError, is_nobody, path_fits};
use super::{Refusal, Request};
use crate::limits::ADMIN_ANSWER_MS;

/// Longest answer, in bytes: the counters of very many shards.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Counters by name.
pub type Numbers = BTreeMap<String, u64>;

/// The counters as they are told.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Told {
    /// Of all shards.
    pub total: Numbers,
    /// Of each.
    pub shards: Vec<Numbers>,
    /// Of the store's log, where it is known.
    #[serde(default)]
    pub store: Option<Numbers>,
}

/// A connection to the server that runs with a data folder.
#[derive(Debug)]
pub struct AdminClient {
    stream: BufReader<UnixStream>,
}

impl AdminClient {
    /// Connects; none where no server listens.
    ///
    /// # Errors
    /// Somebody else's socket, or what the system says.
    pub fn connect(data: &Path) -> Result<Option<AdminClient>, SocketError> {
        let path = data.join(ADMIN_SOCKET);
        if !path_fits(&path) {
            return Ok(None);
        }
        let stream = match UnixStream::connect(&path) {
            Ok(stream) => stream,
            Err(error) if is_nobody(&error) => return Ok(None),
            Err(error) => return Err(SocketError::Io { doing: "connect to", path, error }),
        };
        let patience = Some(Duration::from_millis(ADMIN_ANSWER_MS));
        let ready = stream.set_read_timeout(patience).and_then(|()| stream.set_write_timeout(patience));
        ready.map_err(|error| SocketError::Io { doing: "use", path, error })?;
        Ok(Some(AdminClient { stream: BufReader::new(stream) }))
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The server's refusal, or `no_answer` where none can be read.
    pub fn ask<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T, Refusal> {
        let line = self.exchange(request).map_err(|error| {
            let late = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
            let reason = if late { "it took too long".to_owned() } else { error.to_string() };
            Refusal::new("no_answer", format!("the server did not answer on its admin socket: {reason}"))
        })?;
        if let Ok(refusal) = serde_json::from_slice::<Refusal>(&line) {
            return Err(refusal);
        }
        serde_json::from_slice(&line).map_err(|error| {
            let text = format!("the server's answer is not understood ({error}); is it of another version?");
            Refusal::new("no_answer", text)
        })
    }

    /// As [`AdminClient::ask`], for what takes as long as it takes.
    ///
    /// # Errors
    /// As [`AdminClient::ask`].
    pub fn ask_patiently<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T, Refusal> {
        let failed = |error: io::Error| Refusal::new("no_answer", error.to_string());
        self.stream.get_ref().set_read_timeout(None).map_err(failed)?;
        self.ask(request)
    }

    /// The counters, as one line of JSON.
    ///
    /// # Errors
    /// As [`AdminClient::ask`].
    pub fn counters(&mut self) -> Result<String, Refusal> {
        self.ask::<serde_json::Value>(&Request::Counters).map(|counters| counters.to_string())
    }

    /// The counters, taken apart.
    ///
    /// # Errors
    /// As [`AdminClient::ask`].
    pub fn told(&mut self) -> Result<Told, Refusal> {
        self.ask(&Request::Counters)
    }

    fn exchange(&mut self, request: &Request) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line)?;
        let mut answer = Vec::new();
        self.stream.by_ref().take(ANSWER_BYTES_MAX).read_until(b'\n', &mut answer)?;
        if answer.pop() == Some(b'\n') { Ok(answer) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}
