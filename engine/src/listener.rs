//! Sockets that clients connect to: one per shard on the same address, the kernel spreads connections over them.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, ipproto, listen, socket_with,
    sockopt::{set_socket_reuseaddr, set_socket_reuseport, set_socket_send_buffer_size, set_tcp_nodelay},
};

use crate::ring::out_of_descriptors;

/// Connections that wait to be accepted, per shard.
pub const BACKLOG: u32 = 4096;
/// What the kernel holds for a peer that does not read. By default it would take megabytes and hide every outbox rule.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// How long an address may stay taken: the kernel closes the sockets of a ring some time after its process was killed,
/// and a supervisor starts the next one at once.
const TAKEN_MAX: Duration = Duration::from_secs(2);
const TAKEN_AGAIN: Duration = Duration::from_millis(10);

/// Why there is no listener.
#[derive(Debug)]
pub enum ListenError {
    /// The address means nothing.
    Address(String, io::Error),
    /// Something else listens there.
    Taken(SocketAddr),
    /// The address can't be listened on.
    System(SocketAddr, io::Error),
}

impl fmt::Display for ListenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenError::Address(address, error) => {
                write!(
                    formatter,
                    "`{address}` is no address to listen on ({error}): give HOST:PORT, such as 127.0.0.1:7400"
                )
            }
            ListenError::Taken(address) => write!(
                formatter,
                "{address} is taken, perhaps by another trunkline: stop it (`ss -ltnp 'sport = :{port}'` shows who), or choose another --listen",
                port = address.port()
            ),
            ListenError::System(_, error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                formatter.write_str(&out_of_descriptors(error))
            }
            ListenError::System(address, error) => write!(formatter, "can't listen on {address}: {error}"),
        }
    }
}

impl std::error::Error for ListenError {}

/// Opens a listener per shard and says where they listen; port 0 means any one that is free.
///
/// The port is first bound without `SO_REUSEPORT`: with it, a second server would silently take half of the clients.
///
/// # Errors
/// See [`ListenError`].
pub fn open(address: &str, shards: u16) -> Result<(Vec<OwnedFd>, SocketAddr), ListenError> {
    let wanted = resolve(address)?;
    let chosen = free_address(wanted).map_err(|error| refused(wanted, error.into()))?;
    let listeners = (0..shards).map(|_| {
        let listener = socket(chosen, true)?;
        listen(&listener, BACKLOG as i32)?;
        Ok(listener)
    });
    let listeners = listeners.collect::<io::Result<_>>().map_err(|error| refused(chosen, error))?;
    Ok((listeners, chosen))
}

fn free_address(wanted: SocketAddr) -> rustix::io::Result<SocketAddr> {
    let give_up_at = Instant::now() + TAKEN_MAX;
    loop {
        match socket(wanted, false).and_then(|probe| getsockname(&probe)) {
            Err(Errno::ADDRINUSE) if Instant::now() < give_up_at => thread::sleep(TAKEN_AGAIN),
            bound => return bound.and_then(SocketAddr::try_from),
        }
    }
}

fn resolve(address: &str) -> Result<SocketAddr, ListenError> {
    let found = address.to_socket_addrs().and_then(|mut all| {
        all.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
    });
    found.map_err(|error| ListenError::Address(address.to_owned(), error))
}

fn refused(address: SocketAddr, error: io::Error) -> ListenError {
    match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::Taken(address),
        _ => ListenError::System(address, error),
    }
}

/// Gives a socket that was accepted elsewhere the options of those that are accepted here.
///
/// # Errors
/// The system's.
pub fn dress(socket: impl AsFd) -> rustix::io::Result<()> {
    set_tcp_nodelay(&socket, true)?;
    set_socket_send_buffer_size(&socket, SEND_BUFFER_BYTES)
}

/// Accepted sockets inherit the options.
fn socket(address: SocketAddr, shared: bool) -> rustix::io::Result<OwnedFd> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, Some(ipproto::TCP))?;
    set_socket_reuseaddr(&socket, true)?;
    set_socket_reuseport(&socket, shared)?;
    dress(&socket)?;
    bind(&socket, &address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shards_share_a_port_that_was_free() {
        let (listeners, address) = open("127.0.0.1:0", 3).unwrap();
        assert_eq!(listeners.len(), 3);
        assert_ne!(address.port(), 0);
        assert!(matches!(open(&address.to_string(), 1), Err(ListenError::Taken(taken)) if taken == address));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(matches!(open("7400", 1), Err(ListenError::Address(..))));
        assert!(matches!(open("192.0.2.1:0", 1), Err(ListenError::System(..))));
    }
}
