//! Connections come back: whoever answers other requests gives a shard the socket of a client that wants a WebSocket after
//! all.

use std::net::IpAddr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam::queue::ArrayQueue;
use rustix::net::{SendFlags, send};
use trunkline_edge::public::{Returning, TakesBack};
use trunkline_edge::transport::Transport;
use trunkline_shards::contract::PeerAddress;
use trunkline_wire::websocket::{CloseCode, encode_close};

use crate::listener;
use crate::wake::Doorbell;

/// Connections that wait at a shard.
const RETURNS_WAITING_MAX: usize = 64;

/// Where they wait at a shard.
#[derive(Debug)]
struct Desk {
    waiting: ArrayQueue<Returning>,
    has_room: AtomicBool,
    closed: AtomicBool,
    doorbell: Arc<Doorbell>,
}

impl Desk {
    fn takes(&self) -> bool {
        self.has_room.load(Ordering::Relaxed) && !self.waiting.is_full() && !self.closed.load(Ordering::SeqCst)
    }
}

/// The way back to the shards, for any thread that is none.
#[derive(Debug)]
pub struct ReturnDoor {
    desks: Box<[Arc<Desk>]>,
    next: AtomicUsize,
}

/// A shard's side.
#[derive(Debug)]
pub struct ReturnPort {
    desk: Arc<Desk>,
    /// What was said last, so that it is said only when it changes.
    has_room: bool,
}

/// A way to each of the shards behind the doorbells.
pub fn returns(doorbells: &[Arc<Doorbell>]) -> (Arc<ReturnDoor>, Vec<ReturnPort>) {
    let desk = |doorbell: &Arc<Doorbell>| {
        let waiting = ArrayQueue::new(RETURNS_WAITING_MAX);
        let (has_room, closed) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Desk { waiting, has_room, closed, doorbell: Arc::clone(doorbell) })
    };
    let desks: Box<[Arc<Desk>]> = doorbells.iter().map(desk).collect();
    let ports = desks.iter().map(|desk| ReturnPort { desk: Arc::clone(desk), has_room: false }).collect();
    (Arc::new(ReturnDoor { desks, next: AtomicUsize::new(0) }), ports)
}

impl ReturnDoor {
    /// The shards, beginning with the one whose turn it is.
    fn in_turn(&self) -> impl Iterator<Item = &Arc<Desk>> {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.desks.len();
        self.desks[first..].iter().chain(&self.desks[..first])
    }
}

impl TakesBack for ReturnDoor {
    fn has_room(&self) -> bool {
        self.desks.iter().any(|desk| desk.takes())
    }

    fn take_back(&self, mut returning: Returning) {
        for desk in self.in_turn().filter(|desk| desk.takes()) {
            match desk.waiting.push(returning) {
                Ok(()) => {
                    desk.doorbell.wake();
                    if desk.closed.load(Ordering::SeqCst) {
                        // Pushed beside the closing shard, so perhaps never looked at.
                        while let Some(late) = desk.waiting.pop() {
                            turn_away(late, CloseCode::SERVICE_RESTART);
                        }
                    }
                    return;
                }
                Err(back) => returning = back,
            }
        }
        turn_away(returning, CloseCode::TRY_AGAIN_LATER);
    }
}

impl ReturnPort {
    /// Whether one waits.
    pub fn has_waiting(&self) -> bool {
        !self.desk.waiting.is_empty()
    }

    /// The next one, with a socket as those that were accepted here.
    pub fn take(&mut self) -> Option<Returning> {
        let returning = self.desk.waiting.pop()?;
        // Without these it is only slower, or holds more memory of the kernel.
        let _ = listener::dress(&returning.socket);
        Some(returning)
    }

    /// Says whether more may come.
    pub fn set_room(&mut self, has_room: bool) {
        if std::mem::replace(&mut self.has_room, has_room) != has_room {
            self.desk.has_room.store(has_room, Ordering::Relaxed);
        }
    }
}

impl Drop for ReturnPort {
    fn drop(&mut self) {
        self.desk.closed.store(true, Ordering::SeqCst);
        while let Some(late) = self.desk.waiting.pop() {
            turn_away(late, CloseCode::SERVICE_RESTART);
        }
    }
}

/// Closes a connection that no shard takes, whose client was told that its WebSocket is open.
pub fn turn_away(mut returning: Returning, code: CloseCode) {
    let mut frame = Vec::new();
    let reason = if code == CloseCode::TRY_AGAIN_LATER { "busy" } else { "draining" };
    encode_close(Some(code), reason, None, &mut frame);
    let mut records = Vec::new();
    let bytes = match &mut returning.transport {
        Transport::Plain => frame,
        Transport::Tls(tls) => match tls.seal(&frame, &mut records) {
            Ok(()) => records,
            Err(_) => return,
        },
    };
    // If it cannot be said at once, the end of the connection says enough.
    let socket: BorrowedFd<'_> = returning.socket.as_fd();
    let _ = send(socket, &bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
}

/// An address as cores have it.
pub fn peer_of(ip: IpAddr) -> PeerAddress {
    let ip = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    PeerAddress { ip: ip.octets() }
}
