//! A core that echoes raw TCP, what it has seen, and clients for it.
#![allow(dead_code, reason = "each test uses a part")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use trunkline_engine::{Config, Server, StoreKind};
use trunkline_shards::contract::{AdminAnswer, Bytes, ConnectionId, Core, Effect, Effects, Event, Now};

/// Bytes that wait for a peer beyond which it is cut off.
pub const OUTBOX_BYTES_MAX: usize = 2 << 20;
/// The first byte of a chunk that asks the server to close.
pub const CLOSE_ME: u8 = 0xff;

/// What all echo cores of a server have seen.
#[derive(Debug, Default)]
pub struct Seen {
    pub accepted: AtomicU64,
    pub closed: AtomicU64,
    pub received: AtomicU64,
    pub cut_off: AtomicU64,
    pub broken_sends: AtomicU64,
    pub highest_slot: AtomicU64,
    pub turns: AtomicU64,
}

#[derive(Debug, Default)]
struct Peer {
    id: Option<ConnectionId>,
    last_generation: u32,
    outbox: Vec<u8>,
    sending: bool,
    dirty: bool,
    ended: bool,
    closing: bool,
}

/// Echoes; checks on the way that no event is about a connection it does not have.
#[derive(Debug)]
pub struct Echo {
    peers: Vec<Peer>,
    dirty: Vec<u32>,
    open: usize,
    draining: bool,
    seen: Arc<Seen>,
}

impl Echo {
    pub fn new(seen: Arc<Seen>) -> Echo {
        Echo { peers: Vec::new(), dirty: Vec::new(), open: 0, draining: false, seen }
    }

    fn peer(&mut self, id: ConnectionId) -> &mut Peer {
        let peer = &mut self.peers[id.slot as usize];
        assert_eq!(peer.id, Some(id), "an event is about the slot's present connection");
        peer
    }

    fn accept(&mut self, id: ConnectionId) {
        let index = id.slot as usize;
        if self.peers.len() <= index {
            self.peers.resize_with(index + 1, Peer::default);
        }
        let peer = &mut self.peers[index];
        assert_eq!(peer.id, None, "a slot is given out only when it is free");
        assert_ne!(peer.last_generation, id.generation, "successive users of a slot differ");
        *peer = Peer { id: Some(id), last_generation: id.generation, ..Peer::default() };
        self.open += 1;
        self.seen.accepted.fetch_add(1, SeqCst);
        self.seen.highest_slot.fetch_max(u64::from(id.slot), SeqCst);
        if self.draining {
            self.mark(id);
        }
    }

    fn mark(&mut self, id: ConnectionId) {
        let peer = self.peer(id);
        if !std::mem::replace(&mut peer.dirty, true) {
            self.dirty.push(id.slot);
        }
    }

    fn close(peer: &mut Peer, effects: &mut Effects) {
        if !std::mem::replace(&mut peer.closing, true) {
            effects.push(Effect::Close { connection: peer.id.unwrap() });
        }
    }

    fn flush(&mut self, slot: u32, effects: &mut Effects) {
        let (draining, seen) = (self.draining, Arc::clone(&self.seen));
        let peer = &mut self.peers[slot as usize];
        peer.dirty = false;
        let Some(connection) = peer.id.filter(|_| !peer.closing) else { return };
        if draining {
            Echo::close(peer, effects);
        } else if peer.outbox.len() > OUTBOX_BYTES_MAX {
            seen.cut_off.fetch_add(1, SeqCst);
            Echo::close(peer, effects);
        } else if !peer.sending && !peer.outbox.is_empty() {
            peer.sending = true;
            effects.push(Effect::Send { connection, bytes: Bytes::Owned(std::mem::take(&mut peer.outbox)) });
        } else if !peer.sending && peer.ended {
            Echo::close(peer, effects);
        }
    }
}

impl Core for Echo {
    fn apply(&mut self, _now: Now, event: Event<'_>, effects: &mut Effects) {
        match event {
            Event::Accepted { connection, .. } | Event::Returned { connection, .. } => self.accept(connection),
            Event::Received { connection, bytes } => {
                self.seen.received.fetch_add(bytes.len() as u64, SeqCst);
                let close = bytes[0] == CLOSE_ME;
                let peer = self.peer(connection);
                peer.outbox.extend_from_slice(bytes);
                if close {
                    Echo::close(peer, effects);
                }
                self.mark(connection);
            }
            Event::Sent { connection, complete, buffer } => {
                self.seen.broken_sends.fetch_add(u64::from(!complete), SeqCst);
                let peer = self.peer(connection);
                assert!(std::mem::replace(&mut peer.sending, false), "a send ends once");
                if !complete {
                    Echo::close(peer, effects);
                } else if peer.outbox.is_empty() {
                    peer.outbox = buffer.unwrap();
                    peer.outbox.clear();
                }
                self.mark(connection);
            }
            Event::Ended { connection } => {
                let peer = self.peer(connection);
                assert!(!std::mem::replace(&mut peer.ended, true), "a stream ends once");
                self.mark(connection);
            }
            Event::Closed { connection } => {
                let peer = self.peer(connection);
                assert!(peer.closing && !peer.sending, "a connection closes when asked, and after its send");
                peer.id = None;
                self.open -= 1;
                self.seen.closed.fetch_add(1, SeqCst);
            }
            Event::Admin { ticket, .. } => effects.push(Effect::Answer { ticket, answer: AdminAnswer::Busy }),
            Event::Drain => {
                self.draining = true;
                let all: Vec<_> = self.peers.iter().filter_map(|peer| peer.id).collect();
                all.into_iter().for_each(|id| self.mark(id));
            }
            Event::Posted { .. } | Event::Credit { .. } | Event::Stored { .. } => unreachable!("nobody asked"),
        }
    }

    fn work(&mut self, _now: Now, _budget: u32, effects: &mut Effects) -> bool {
        self.seen.turns.fetch_add(1, SeqCst);
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.drain(..).for_each(|slot| self.flush(slot, effects));
        self.dirty = dirty;
        if self.draining && self.open == 0 {
            // Once: nobody is open afterwards either.
            self.draining = false;
            effects.push(Effect::Drained);
        }
        false
    }

    fn next_deadline(&self) -> Option<u64> {
        None
    }
}

/// A configuration for tests: any port, no disk, two shards that go where they like.
pub fn config() -> Config {
    Config { listen: "127.0.0.1:0".into(), store: StoreKind::Memory, shards: 2, pin: false, ..Config::default() }
}

/// Starts an echo server.
pub fn start(config: &Config) -> (Server, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let cores = Arc::clone(&seen);
    let server =
        Server::start(config, move |_| Echo::new(Arc::clone(&cores))).unwrap_or_else(|error| panic!("{error}"));
    (server, seen)
}

/// Stops a server and expects it to be done in time.
pub fn stop(server: Server) {
    assert!(server.stop(Instant::now() + Duration::from_secs(5)), "drained in time");
}

/// Connects; reads give up after 10 s.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Connects; the kernel takes in little that is not read.
pub fn connect_deaf(address: SocketAddr) -> TcpStream {
    let stream = connect(address);
    rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 4096).unwrap();
    stream
}

/// Sends and expects the same back.
pub fn echo(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).unwrap();
    assert!(back == bytes, "the echo is what was sent");
}

/// Waits until something holds, at most 20 s: a busy machine is no fault.
pub fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// CPU time of this process so far.
pub fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Makes the next close of a stream a reset.
pub fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
}

/// Small deterministic random numbers (splitmix64).
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % bound as u64) as usize
    }

    /// Bytes without [`CLOSE_ME`].
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.below(255) as u8).collect()
    }
}
