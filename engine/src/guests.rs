//! Connections that asked for something that shards do not serve, on their way to whoever does.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use trunkline_edge::transport::Transport;

/// Such a connection.
#[derive(Debug)]
pub struct Guest {
    /// Its socket; nobody else reads or writes it.
    pub socket: OwnedFd,
    /// What was read of it already: the beginning of a request.
    pub bytes: Vec<u8>,
    /// What came behind that, as it was on the socket.
    pub unread: Vec<u8>,
    /// What lies between the socket and the bytes.
    pub transport: Transport,
}

/// Where they go. It is called by shards and must not block.
#[derive(Clone)]
pub struct GuestDoor(Arc<dyn Fn(Guest) + Send + Sync>);

impl GuestDoor {
    /// A door that does this with each.
    pub fn new(receive: impl Fn(Guest) + Send + Sync + 'static) -> GuestDoor {
        GuestDoor(Arc::new(receive))
    }

    /// Hands one over.
    pub fn receive(&self, guest: Guest) {
        (self.0)(guest);
    }
}

impl fmt::Debug for GuestDoor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("GuestDoor")
    }
}
