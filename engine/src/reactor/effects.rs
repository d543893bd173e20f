//! What the core has decided is done.

use trunkline_shards::contract::{Bytes, ConnectionId, Core, Effect};
use trunkline_storage::Write;

use super::connections::Phase;
use super::{Leaving, Reactor};

/// Operations queued before a wake above which the wake does not queue behind them: each is about 4 us of sending.
const WAKE_BEHIND_MAX: usize = 8;

impl<C: Core> Reactor<C> {
    /// Carries out all effects of the turn, in order, and wakes who was given something.
    pub(super) fn carry_out_effects(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain() {
            self.carry_out(effect);
        }
        self.effects = effects;
        self.links.store.wake();
        self.wake_shards();
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Send { connection, bytes } => self.send(connection, bytes),
            Effect::Close { connection } => self.close(connection),
            Effect::HandOver { connection, bytes } => self.hand_over(connection, bytes),
            Effect::Append { ticket, append } => self.links.store.write(ticket, Write::Append(append)),
            Effect::Put { ticket, put } => self.links.store.write(ticket, Write::Put(put)),
            Effect::Load { ticket, load } => self.links.store.load(ticket, load),
            Effect::Post { shard, entry } => self.links.port.post(shard, entry),
            Effect::Answer { ticket, mut answer } => {
                self.counts.tell(self.ring.entered(), &mut answer);
                self.links.control.answer(ticket, answer);
            }
            Effect::Drained => self.drained(),
        }
    }

    fn send(&mut self, id: ConnectionId, bytes: Bytes) {
        let connection = self.connections.open(id);
        if self.transports.has(id.slot) {
            return self.send_sealed(id, bytes);
        }
        connection.sending = true;
        self.ring.send(id.slot, id.generation, bytes);
    }

    fn close(&mut self, id: ConnectionId) {
        self.connections.open(id).phase = Phase::Closing;
        if self.transports.has(id.slot) {
            self.say_last(id.slot);
        }
        self.cancel_operations(id.slot);
    }

    fn hand_over(&mut self, id: ConnectionId, bytes: Vec<u8>) {
        self.connections.open(id).phase = Phase::Leaving;
        assert!(!self.carries_cores(id.slot), "a connection is handed over before anything is sent");
        self.leaving.insert(id.slot, Leaving { bytes, unread: Vec::new() });
        self.send_queued(id.slot);
        self.cancel_operations(id.slot);
    }

    /// This shard goes on serving the others until all have drained.
    fn drained(&mut self) {
        assert!(self.draining && !std::mem::replace(&mut self.drained, true), "a drain ends once");
        self.links.life.shard_drained();
    }

    fn wake_shards(&mut self) {
        let behind = self.ring.queued();
        for doorbell in self.links.port.sleepers() {
            match doorbell.ring() {
                Some(target) if behind <= WAKE_BEHIND_MAX => self.ring.wake(target),
                _ => doorbell.press(),
            }
        }
    }
}
