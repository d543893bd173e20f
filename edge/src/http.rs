//! The admin port: `/metrics`, `/healthz` and `/readyz` over HTTP/1.1, on one thread of its own that no shard waits for.
//!
//! Connections, their time, heads and questions under way are bounded ([`crate::limits`]); bodies are not read.

mod port;
mod routes;
mod worker;

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::ask::Shards;
use crate::limits::READY_ANSWER_MS;
use crate::metrics::{Snapshot, ask_all};

pub use port::HttpPort;
pub(crate) use port::bind;
pub(crate) use routes::health;
pub(crate) use worker::{Worker, serve};

/// Why there is no admin port.
#[derive(Debug)]
pub enum HttpError {
    /// The address means nothing.
    Address(&'static str, String, io::Error),
    /// Something else listens there.
    Taken(&'static str, String),
    /// The system refused something.
    System(String, io::Error),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpError::Address(key, address, error) => write!(
                f,
                "`{key}` = `{address}` is no address to listen on ({error}): give HOST:PORT, such as \
                 127.0.0.1:7401, or nothing for no such port"
            ),
            HttpError::Taken(key, address) => write!(
                f,
                "{address}, which is `{key}`, is taken, perhaps by another trunkline: choose another one with \
                 --set {key}=HOST:PORT (port 0: any free one), or none with --set {key}="
            ),
            HttpError::System(address, error) => {
                write!(f, "can't open a port on {address}: {error}; choose another one")
            }
        }
    }
}

impl std::error::Error for HttpError {}

/// The server that the port tells of.
pub trait Watched: Shards + Send + Sync {
    /// Whether it drains, or has ended.
    fn is_draining(&self) -> bool;
}

/// What is known of a server, before it runs and while it does.
pub struct Watch {
    version: &'static str,
    since: Instant,
    server: OnceLock<Box<dyn Watched>>,
}

impl Watch {
    /// Of a server that starts now.
    pub fn new(version: &'static str) -> Arc<Watch> {
        Arc::new(Watch { version, since: Instant::now(), server: OnceLock::new() })
    }

    /// It runs. Only the first call counts.
    pub fn runs(&self, server: impl Watched + 'static) {
        let _ = self.server.set(Box::new(server));
    }

    fn is_draining(&self) -> bool {
        self.server.get().is_some_and(|server| server.is_draining())
    }

    /// Why nothing should be sent here, if so; asks every shard.
    fn why_not_ready(&self) -> Option<String> {
        let Some(server) = self.server.get() else { return Some("starting: the store is being opened".to_owned()) };
        if server.is_draining() {
            return Some("draining".to_owned());
        }
        let asked = ask_all(&**server, Duration::from_millis(READY_ANSWER_MS));
        asked.err().map(|(shard, error)| format!("shard {shard}: {error}"))
    }

    /// What is counted now; without counters of shards before they run, and when one does not answer.
    fn snapshot(&self) -> Result<Snapshot, String> {
        let mut snapshot = Snapshot {
            version: self.version,
            uptime: self.since.elapsed(),
            is_draining: self.is_draining(),
            ..Snapshot::default()
        };
        if let Some(server) = self.server.get() {
            let asked = ask_all(&**server, Duration::from_millis(READY_ANSWER_MS));
            snapshot.shards = asked.map_err(|(shard, error)| format!("shard {shard}: {error}"))?;
            snapshot.store = server.store();
        }
        Ok(snapshot)
    }
}
