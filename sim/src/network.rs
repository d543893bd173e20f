//! Connections as pipes of bytes: any segmentation, stalls, cuts; what was sent before a cut may still arrive.

use std::collections::VecDeque;

use trunkline_shards::ShardId;
use trunkline_shards::contract::{Bytes, ConnectionId};

/// Number of a connection in its world; never given twice.
pub type LinkId = usize;

/// One connection.
pub struct Link {
    /// Its front shard.
    pub shard: ShardId,
    /// Its name there.
    pub connection: ConnectionId,
    /// The client process at its other end.
    pub person: usize,
    /// Bytes from the client that the server has not received.
    pub to_server: VecDeque<u8>,
    /// The server's outstanding send, and how much of it the client has.
    pub sending: Option<(Bytes, usize)>,
    /// The client takes part; else what it had sent may still arrive.
    pub client_there: bool,
    /// The server has been told that the client's stream ended.
    pub end_told: bool,
    /// The server asked to close it.
    pub closing: bool,
    /// No byte moves before this time (monotonic ns).
    pub stalled_until_ns: u64,
}

impl Link {
    /// A connection that was just accepted.
    pub fn new(shard: ShardId, connection: ConnectionId, person: usize) -> Link {
        Link {
            shard,
            connection,
            person,
            to_server: VecDeque::new(),
            sending: None,
            client_there: true,
            end_told: false,
            closing: false,
            stalled_until_ns: 0,
        }
    }

    /// The next bytes for the server, at most `bytes_max`.
    pub fn take_to_server(&mut self, bytes_max: usize) -> Vec<u8> {
        let count = bytes_max.min(self.to_server.len());
        self.to_server.drain(..count).collect()
    }

    /// The next bytes for the client, at most `bytes_max`; and the outstanding send when it is through.
    pub fn take_to_client(&mut self, bytes_max: usize) -> (Vec<u8>, Option<Bytes>) {
        let Some((bytes, done)) = &mut self.sending else { return (Vec::new(), None) };
        let rest = &bytes.as_slice()[*done..];
        let taken = rest[..bytes_max.min(rest.len())].to_vec();
        *done += taken.len();
        let through = *done == bytes.as_slice().len();
        let ended = if through { self.sending.take().map(|(bytes, _)| bytes) } else { None };
        (taken, ended)
    }
}
