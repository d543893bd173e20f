//! TLS between the ring and the core: the core hears and says plaintext, the ring carries records.
//!
//! Without a certificate there is nothing here, and what the ring received goes to the core where it lies.

use std::sync::Arc;

use trunkline_edge::transport::{Certificate, Stage, Tls, TlsFault, Transport};
use trunkline_shards::contract::{Bytes, ConnectionId, Core, Event};

use super::Reactor;
use super::connections::Phase;
use crate::ring::Completion;

/// Buffers of records kept for the next ones, and the largest that is kept.
const SPARE_MAX: usize = 64;
const SPARE_BYTES_MAX: usize = 64 * 1024;

/// What of a send is the core's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Cores {
    /// Nothing: it is of the handshake, or an alert.
    #[default]
    Nothing,
    /// What it shares with other connections.
    Shared,
    /// What was its own; a buffer goes back for it.
    Owned,
}

/// One connection with TLS.
#[derive(Debug)]
struct Secured {
    tls: Box<Tls>,
    /// Records in the order in which they were sealed, while a send is under way.
    queued: Vec<u8>,
    queued_cores: Cores,
    flying_cores: Cores,
    /// The core was told that nothing more comes.
    over: bool,
}

/// All of a shard's connections with TLS.
#[derive(Debug)]
pub(super) struct Transports {
    certificate: Option<Arc<Certificate>>,
    /// By slot; empty without a certificate.
    slots: Vec<Option<Box<Secured>>>,
    /// What one receive says.
    plain: Vec<u8>,
    spare: Vec<Vec<u8>>,
    /// Connections whose core's bytes could not be sealed; it is told in the next turn.
    pub(super) unsent: Vec<ConnectionId>,
}

impl Transports {
    pub fn new(certificate: Option<Arc<Certificate>>) -> Transports {
        Transports { certificate, slots: Vec::new(), plain: Vec::new(), spare: Vec::new(), unsent: Vec::new() }
    }

    /// The transport of a connection that was just accepted.
    pub fn accept(&mut self, slot: u32) {
        if let Some(certificate) = &self.certificate {
            let transport = certificate.accept();
            self.put(slot, transport);
        }
    }

    /// A connection comes with its transport.
    pub fn put(&mut self, slot: u32, transport: Transport) {
        let Transport::Tls(tls) = transport else { return };
        let index = slot as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        assert!(self.slots[index].is_none(), "a slot has one connection at a time");
        self.slots[index] = Some(Box::new(Secured {
            tls,
            queued: Vec::new(),
            queued_cores: Cores::Nothing,
            flying_cores: Cores::Nothing,
            over: false,
        }));
    }

    /// A connection goes, with its transport or for good.
    pub fn take(&mut self, slot: u32) -> Transport {
        let taken = self.slots.get_mut(slot as usize).and_then(Option::take);
        taken.map_or(Transport::Plain, |secured| Transport::Tls(secured.tls))
    }

    /// Whether a connection speaks TLS.
    pub fn has(&self, slot: u32) -> bool {
        self.slots.get(slot as usize).is_some_and(Option::is_some)
    }

    fn at(&mut self, slot: u32) -> Option<&mut Secured> {
        self.slots.get_mut(slot as usize)?.as_deref_mut()
    }

    fn spare(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < SPARE_MAX && buffer.capacity() <= SPARE_BYTES_MAX {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

impl<C: Core> Reactor<C> {
    /// Bytes came in on a connection with TLS.
    pub(super) fn received_records(&mut self, id: ConnectionId, completion: &Completion) {
        let Some(secured) = self.transports.slots[id.slot as usize].as_deref_mut().filter(|secured| !secured.over)
        else {
            return;
        };
        let before = secured.tls.stage();
        let bytes = self.ring.received(completion);
        let read = secured.tls.receive(bytes, &mut self.transports.plain, &mut secured.queued);
        self.counts.tls_handshakes += u64::from(before == Stage::Handshake && read == Ok(Stage::Open));
        self.hear(id, read);
    }

    /// The core hears what was read of a connection before it came.
    pub(super) fn hear_before(&mut self, id: ConnectionId, bytes: &[u8], stage: Stage) {
        self.transports.plain.extend_from_slice(bytes);
        self.hear(id, Ok(stage));
    }

    /// The core hears what was said, and that it was the last of it.
    fn hear(&mut self, connection: ConnectionId, read: Result<Stage, TlsFault>) {
        if !self.transports.plain.is_empty() {
            let bytes = &mut self.transports.plain[..];
            self.core.apply(self.now, Event::Received { connection, bytes }, &mut self.effects);
            self.transports.plain.clear();
        }
        match read {
            Ok(Stage::Handshake | Stage::Open) => return self.send_queued(connection.slot),
            Ok(Stage::Closed) => {}
            Err(fault) => {
                self.counts.tls_failures += 1;
                tracing::debug!("a connection ends: {fault}");
            }
        }
        self.ended(connection);
    }

    /// The peer says no more, or the connection is broken. Told once.
    pub(super) fn ended(&mut self, connection: ConnectionId) {
        if let Some(secured) = self.transports.at(connection.slot)
            && std::mem::replace(&mut secured.over, true)
        {
            return;
        }
        self.core.apply(self.now, Event::Ended { connection }, &mut self.effects);
    }

    /// Seals what the core says.
    pub(super) fn send_sealed(&mut self, id: ConnectionId, bytes: Bytes) {
        let Transports { slots, spare, unsent, .. } = &mut self.transports;
        let secured = slots[id.slot as usize].as_deref_mut().expect("the caller has looked");
        if secured.queued.capacity() == 0 {
            secured.queued = spare.pop().unwrap_or_default();
        }
        if let Err(fault) = secured.tls.seal(bytes.as_slice(), &mut secured.queued) {
            tracing::debug!("a connection ends: {fault}");
            unsent.push(id);
            self.busy = true;
            return;
        }
        secured.queued_cores = Cores::Shared;
        if let Bytes::Owned(buffer) = bytes {
            secured.queued_cores = Cores::Owned;
            self.transports.spare(buffer);
        }
        self.send_queued(id.slot);
    }

    /// Sends the records that wait, unless a send is under way.
    pub(super) fn send_queued(&mut self, slot: u32) {
        let connection = self.connections.at(slot);
        let Some(secured) = self.transports.at(slot).filter(|secured| !secured.queued.is_empty()) else { return };
        if std::mem::replace(&mut connection.sending, true) {
            return;
        }
        secured.flying_cores = std::mem::take(&mut secured.queued_cores);
        let records = std::mem::take(&mut secured.queued);
        self.ring.send(slot, connection.generation, Bytes::Owned(records));
    }

    /// A send of records ended; `buffer` is what they were in.
    pub(super) fn sent_records(&mut self, connection: ConnectionId, complete: bool, buffer: Vec<u8>) {
        let phase = self.connections.at(connection.slot).phase;
        let secured = self.transports.at(connection.slot).expect("a connection keeps its transport while it sends");
        let flown = std::mem::take(&mut secured.flying_cores);
        // What is queued behind the last send of a connection that closes never goes.
        let grounded = phase == Phase::Closing && std::mem::take(&mut secured.queued_cores) != Cores::Nothing;
        let buffer = match flown {
            Cores::Owned => Some(buffer),
            Cores::Shared | Cores::Nothing => {
                self.transports.spare(buffer);
                None
            }
        };
        if flown != Cores::Nothing {
            self.core.apply(self.now, Event::Sent { connection, complete, buffer }, &mut self.effects);
        } else if grounded {
            let sent = Event::Sent { connection, complete: false, buffer: None };
            self.core.apply(self.now, sent, &mut self.effects);
        }
        if matches!(phase, Phase::Open | Phase::Leaving) {
            self.send_queued(connection.slot);
        }
    }

    /// Tells cores that what they said could not be sealed.
    pub(super) fn tell_unsent(&mut self) {
        for connection in std::mem::take(&mut self.transports.unsent) {
            let sent = Event::Sent { connection, complete: false, buffer: None };
            self.core.apply(self.now, sent, &mut self.effects);
        }
    }

    /// The last words of a connection that the core closes: an alert that waits, or that nothing more will be said. They go
    /// if the socket takes them at once.
    pub(super) fn say_last(&mut self, slot: u32) {
        if self.connections.at(slot).sending {
            return;
        }
        if let Some(secured) = self.transports.at(slot) {
            secured.tls.close(&mut secured.queued);
        }
        self.send_queued(slot);
    }

    /// Whether a core's bytes are still on their way.
    pub(super) fn carries_cores(&mut self, slot: u32) -> bool {
        let cores = |secured: &mut Secured| [secured.queued_cores, secured.flying_cores] != [Cores::Nothing; 2];
        self.transports.at(slot).map_or(self.connections.at(slot).sending, cores)
    }
}
