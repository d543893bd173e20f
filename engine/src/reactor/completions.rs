//! What the kernel has done becomes events of the core.

use trunkline_shards::contract::{Bytes, ConnectionId, Core, Event, PeerAddress};

use super::connections::{Connection, Phase};
use super::{Leaving, Reactor};
use crate::guests::Guest;
use crate::ring::{Completion, Op, Tag};

impl<C: Core> Reactor<C> {
    /// Takes in all completions that are there; how many.
    pub(super) fn take_completions(&mut self) -> usize {
        let mut completions = std::mem::take(&mut self.completions);
        self.ring.reap(&mut completions);
        let count = completions.len();
        self.counts.completions += count as u64;
        for completion in completions.drain(..) {
            self.take_completion(completion);
        }
        self.completions = completions;
        self.ring.publish_buffers();
        count
    }

    fn take_completion(&mut self, completion: Completion) {
        match completion.tag().op {
            Op::Receive => self.received(completion),
            Op::Send => self.sent(completion),
            Op::AcceptMany | Op::AcceptOne => self.accepted(&completion),
            Op::Name => self.named(&completion),
            Op::Install => self.installed(completion),
            Op::Place => self.placed(completion),
            Op::Close => self.freed(&completion),
            Op::Cancel => self.cancelled(&completion),
            Op::Doorbell => self.ring.listen_to_doorbell(),
            Op::Ring => self.rang(&completion),
            Op::Rung => {}
        }
    }

    /// Bytes, the end of the stream, or no buffer to put bytes into.
    fn received(&mut self, completion: Completion) {
        let tag = completion.tag();
        let (result, more) = (completion.result(), completion.more());
        let Some(connection) = self.connections.of_tag(tag) else {
            self.ring.recycle(completion);
            return;
        };
        connection.receiving = more;
        let phase = connection.phase;
        let open = phase == Phase::Open;
        let secured = self.transports.has(tag.slot);
        let id = ConnectionId { slot: tag.slot, generation: tag.generation };
        if open && result > 0 && secured {
            self.received_records(id, &completion);
        } else if open && result > 0 {
            let bytes = self.ring.received(&completion);
            self.core.apply(self.now, Event::Received { connection: id, bytes }, &mut self.effects);
        } else if phase == Phase::Leaving
            && let Some(leaving) = self.leaving.get_mut(&tag.slot)
        {
            leaving.unread.extend_from_slice(self.ring.received(&completion));
        }
        self.ring.recycle(completion);
        if more {
            return;
        }
        if !open {
            self.free_if_quiet(tag.slot);
        } else if result > 0 || is_passing(-result) {
            // The buffers that ran out are recycled by the time the kernel sees this.
            self.arm_receive(tag.slot);
        } else {
            self.ended(id);
        }
    }

    fn sent(&mut self, completion: Completion) {
        let tag = completion.tag();
        let connection = self.connections.of_tag(tag).expect("a slot is freed only after its send");
        let open = connection.phase == Phase::Open;
        let go_on = open || connection.phase == Phase::Leaving;
        let Some((complete, bytes)) = self.ring.finish_send(completion, go_on) else { return };
        connection.sending = false;
        let buffer = match bytes {
            Bytes::Owned(buffer) => Some(buffer),
            Bytes::Shared(_) => None,
        };
        let id = ConnectionId { slot: tag.slot, generation: tag.generation };
        if self.transports.has(tag.slot) {
            self.sent_records(id, complete, buffer.unwrap_or_default());
        } else {
            self.core.apply(self.now, Event::Sent { connection: id, complete, buffer }, &mut self.effects);
        }
        if !open {
            self.free_if_quiet(tag.slot);
        }
    }

    fn accepted(&mut self, completion: &Completion) {
        let Some(slot) = self.acceptor.completed(completion, self.now.mono_ns) else { return };
        let id = self.connections.occupy(slot, Phase::Naming);
        if self.draining {
            self.forget(id);
        } else if completion.tag().op == Op::AcceptOne {
            self.open(id, self.ring.accepted_peer(completion));
        } else {
            self.ring.name_peer(slot);
        }
    }

    fn named(&mut self, completion: &Completion) {
        let id = self.connections.user(completion.tag().slot);
        assert_eq!(self.connections.at(id.slot).phase, Phase::Naming);
        match self.ring.named_peer(completion) {
            Some(peer) if !self.draining => self.open(id, peer),
            // Already gone again.
            _ => self.forget(id),
        }
    }

    fn open(&mut self, connection: ConnectionId, peer: PeerAddress) {
        self.connections.at(connection.slot).phase = Phase::Open;
        self.transports.accept(connection.slot);
        self.core.apply(self.now, Event::Accepted { connection, peer }, &mut self.effects);
        self.arm_receive(connection.slot);
    }

    pub(super) fn forget(&mut self, connection: ConnectionId) {
        self.connections.at(connection.slot).phase = Phase::Forgetting;
        self.ring.close(connection.slot, connection.generation);
    }

    fn freed(&mut self, completion: &Completion) {
        let slot = completion.tag().slot;
        assert!(completion.result() >= 0, "CLOSE of slot {slot} failed: {}", completion.result());
        let connection = self.connections.of_tag(completion.tag()).expect("a slot keeps its user until it is free");
        let known = connection.phase == Phase::Freeing;
        connection.phase = Phase::Free;
        self.transports.take(slot);
        self.acceptor.slot_freed();
        if known {
            let connection = self.connections.user(slot);
            self.core.apply(self.now, Event::Closed { connection }, &mut self.effects);
        }
    }

    /// A cancellation can miss an operation that is just being worked on; then it is repeated.
    fn cancelled(&mut self, completion: &Completion) {
        let tag = completion.tag();
        let Some(connection) = self.connections.of_tag(tag) else { return };
        connection.cancels = connection.cancels.saturating_sub(1);
        if matches!(connection.phase, Phase::Closing | Phase::Leaving) && connection.cancels == 0 {
            self.cancel_operations(tag.slot);
        }
    }

    /// A wake that another ring did not take: it must not be lost.
    fn rang(&mut self, completion: &Completion) {
        if completion.result() < 0 {
            self.links.life.press_all();
        }
    }

    pub(super) fn arm_receive(&mut self, slot: u32) {
        let connection = self.connections.at(slot);
        connection.receiving = true;
        self.ring.receive(slot, connection.generation);
    }

    /// Ends what is under way on a connection that the core has closed, or frees its slot.
    ///
    /// Cancelling serves as well as SHUTDOWN, which the kernel hands to a worker thread (0.7 to 5 ms); CLOSE then sends FIN.
    pub(super) fn cancel_operations(&mut self, slot: u32) {
        let connection = self.connections.at(slot);
        let Connection { generation, receiving, .. } = *connection;
        // What is sent before a connection leaves is short, and goes.
        let sending = connection.sending && connection.phase != Phase::Leaving;
        connection.cancels = u8::from(receiving) + u8::from(sending);
        if receiving {
            self.ring.cancel(Tag { op: Op::Receive, slot, generation });
        }
        if sending {
            self.ring.cancel(Tag { op: Op::Send, slot, generation });
        }
        self.free_if_quiet(slot);
    }

    /// Frees the slot of a closing connection, or lets one leave, as soon as nothing is under way there.
    fn free_if_quiet(&mut self, slot: u32) {
        let connection = self.connections.at(slot);
        match connection.phase {
            Phase::Closing if connection.is_quiet() => {
                connection.phase = Phase::Freeing;
                self.ring.close(slot, connection.generation);
            }
            Phase::Leaving if connection.is_quiet() => {
                connection.phase = Phase::Installing;
                self.ring.install(slot, connection.generation);
            }
            _ => {}
        }
    }

    /// Whoever answers other requests gets the socket, and the slot is freed; without a descriptor the connection ends.
    fn installed(&mut self, completion: Completion) {
        let Tag { slot, generation, .. } = completion.tag();
        let Leaving { bytes, unread } = self.leaving.remove(&slot).unwrap_or_default();
        let transport = self.transports.take(slot);
        if let (Some(socket), Some(guests)) = (self.ring.installed(completion), &self.links.guests) {
            guests.receive(Guest { socket, bytes, unread, transport });
        }
        self.connections.at(slot).phase = Phase::Freeing;
        self.ring.close(slot, generation);
    }
}

/// Errors of a receive after which there is more to come.
fn is_passing(error: i32) -> bool {
    matches!(error, libc::ENOBUFS | libc::EINTR | libc::EAGAIN | libc::ENOMEM)
}
