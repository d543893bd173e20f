//! Set-up: a core that hands each connection over at its first byte, while the peer goes on sending; behind the door a thread
//! per guest echoes. Claim: every byte comes back in order, whenever the connection left; the slots are used again; nothing
//! is handed over where the kernel cannot.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

use crate::echo;
use trunkline_engine::ring::{Feature, Features};
use trunkline_engine::{Config, Guest, GuestDoor, Server};
use trunkline_shards::contract::{ConnectionId, Core, Effect, Effects, Event, Now};

/// Hands everything over.
#[derive(Default)]
struct Porter {
    open: HashSet<ConnectionId>,
    /// All bytes of connections that are handed over at the end of the turn.
    heard: HashMap<ConnectionId, Vec<u8>>,
    leaving: HashSet<ConnectionId>,
    closed: Arc<AtomicU64>,
    draining: bool,
}

impl Core for Porter {
    fn apply(&mut self, _: Now, event: Event<'_>, effects: &mut Effects) {
        match event {
            Event::Accepted { connection, .. } => assert!(self.open.insert(connection)),
            Event::Received { connection, bytes } => {
                assert!(self.open.contains(&connection) && !self.leaving.contains(&connection), "nothing comes behind");
                self.heard.entry(connection).or_default().extend_from_slice(bytes);
            }
            Event::Ended { connection } if self.heard.contains_key(&connection) => {}
            Event::Ended { connection } => {
                assert!(self.leaving.insert(connection));
                effects.push(Effect::Close { connection });
            }
            Event::Closed { connection } => {
                assert!(self.open.remove(&connection) && self.leaving.remove(&connection), "closed once");
                self.closed.fetch_add(1, SeqCst);
            }
            Event::Drain => self.draining = true,
            other => unreachable!("{other:?}"),
        }
    }

    fn work(&mut self, _: Now, _: u32, effects: &mut Effects) -> bool {
        for (connection, bytes) in self.heard.drain() {
            assert!(self.leaving.insert(connection));
            effects.push(Effect::HandOver { connection, bytes });
        }
        if self.open.is_empty() && std::mem::take(&mut self.draining) {
            effects.push(Effect::Drained);
        }
        false
    }

    fn next_deadline(&self) -> Option<u64> {
        None
    }
}

/// Echoes until the peer has sent all.
fn echo_guest(guest: Guest) {
    thread::spawn(move || {
        let mut stream = TcpStream::from(guest.socket);
        assert!(!guest.bytes.is_empty(), "at least the byte at which it was handed over");
        stream.write_all(&[guest.bytes, guest.unread].concat()).unwrap();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            stream.write_all(&buffer[..count]).unwrap();
        }
    });
}

fn start(config: &Config) -> (Server, Arc<AtomicU64>) {
    let closed = Arc::new(AtomicU64::new(0));
    let of_cores = Arc::clone(&closed);
    let make = move |_| Porter { closed: Arc::clone(&of_cores), ..Porter::default() };
    let server = Server::start_with_guests(config, Some(GuestDoor::new(echo_guest)), make);
    (server.unwrap_or_else(|error| panic!("{error}")), closed)
}

/// Sends all of it in pieces, without waiting, and reads until the end.
fn everything_comes_back(address: std::net::SocketAddr, sent: &[u8], piece: usize) {
    let mut peer = echo::connect(address);
    let mut writer = peer.try_clone().unwrap();
    let mut back = Vec::new();
    thread::scope(|scope| {
        scope.spawn(move || {
            sent.chunks(piece).for_each(|piece| writer.write_all(piece).unwrap());
            writer.shutdown(Shutdown::Write).unwrap();
        });
        peer.read_to_end(&mut back).unwrap();
    });
    assert!(back == sent, "{} of {} bytes came back in pieces of {piece}", back.len(), sent.len());
}

#[test]
fn a_guest_leaves_with_every_byte() {
    for features in [Features::NONE, Features::NONE.with(Feature::MultishotReceive).with(Feature::DeferTaskrun)] {
        let (server, closed) = start(&Config { ring_disable: features, ring_connections: 40, ..echo::config() });
        if !server.features().has(Feature::FixedFdInstall) {
            println!("this kernel has no FIXED_FD_INSTALL: nothing to show");
            return echo::stop(server);
        }
        let sent = echo::Random(5).bytes(100_000);
        let pieces = [1, 2, 7, 100, 1_000, 30_000, 100_000];
        thread::scope(|scope| {
            for piece in pieces {
                let (address, sent) = (server.address(), &sent[..sent.len().min(piece * 2_000)]);
                scope.spawn(move || (0..20).for_each(|_| everything_comes_back(address, sent, piece)));
            }
        });
        echo::eventually("all slots are free", || closed.load(SeqCst) == 20 * pieces.len() as u64);
        echo::stop(server);
    }
}
