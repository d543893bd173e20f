//! The driver's view of connections: which slot has which user, and what is still under way there.
//!
//! A slot is freed (CLOSE) only when neither a receive nor a send is under way, so a free slot never has an operation, and
//! neither its number nor its buffers are used again too early.

use trunkline_shards::contract::ConnectionId;

use crate::ring::Tag;

/// Where in its life a slot is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Phase {
    /// No connection.
    #[default]
    Free,
    /// Accepted; the kernel is asked who the peer is. The core does not know it yet.
    Naming,
    /// The core knows it.
    Open,
    /// The core has closed it; what is under way is being cancelled.
    Closing,
    /// The core has handed it over; its receive is being cancelled.
    Leaving,
    /// A descriptor is being made of it, for whoever it was handed over to.
    Installing,
    /// Nothing is under way but the freeing of the slot; the core knew it.
    Freeing,
    /// The same, of a connection the core never heard of.
    Forgetting,
}

/// One slot.
#[derive(Clone, Copy, Debug, Default)]
pub struct Connection {
    /// Of its present or last user; never 0 for one.
    pub generation: u32,
    /// Where in its life it is.
    pub phase: Phase,
    /// A receive is armed.
    pub receiving: bool,
    /// A send is in flight.
    pub sending: bool,
    /// Cancellations under way.
    pub cancels: u8,
}

const _: () = assert!(size_of::<Connection>() == 8, "eight connections per cache line");

impl Connection {
    /// Whether the slot may be freed.
    pub fn is_quiet(&self) -> bool {
        !self.receiving && !self.sending
    }
}

/// All slots that ever had a connection.
#[derive(Debug, Default)]
pub struct Connections {
    slots: Vec<Connection>,
}

impl Connections {
    /// A new connection in a slot; its id.
    pub fn occupy(&mut self, slot: u32, phase: Phase) -> ConnectionId {
        let index = slot as usize;
        if self.slots.len() <= index {
            self.slots.resize(index + 1, Connection::default());
        }
        let connection = &mut self.slots[index];
        assert_eq!(connection.phase, Phase::Free, "the kernel gives free slots only");
        let generation = connection.generation.wrapping_add(1).max(1);
        *connection = Connection { generation, phase, ..Connection::default() };
        ConnectionId { slot, generation }
    }

    /// The present user of a slot.
    pub fn user(&self, slot: u32) -> ConnectionId {
        ConnectionId { slot, generation: self.slots[slot as usize].generation }
    }

    /// The slot an operation was about, unless it has another user by now.
    pub fn of_tag(&mut self, tag: Tag) -> Option<&mut Connection> {
        self.slots.get_mut(tag.slot as usize).filter(|connection| connection.generation == tag.generation)
    }

    /// A slot.
    pub fn at(&mut self, slot: u32) -> &mut Connection {
        &mut self.slots[slot as usize]
    }

    /// An open connection that a core names.
    ///
    /// # Panics
    /// When there is none: the core has closed it, or never had it.
    pub fn open(&mut self, id: ConnectionId) -> &mut Connection {
        let connection = self.slots.get_mut(id.slot as usize);
        let connection = connection.filter(|connection| connection.generation == id.generation);
        connection.filter(|connection| connection.phase == Phase::Open).expect("a core names its open connections only")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Op;

    #[test]
    fn a_stale_tag_finds_nothing() {
        let mut connections = Connections::default();
        let first = connections.occupy(3, Phase::Open);
        let tag = Tag { op: Op::Receive, slot: 3, generation: first.generation };
        assert!(connections.of_tag(tag).is_some());
        connections.at(3).phase = Phase::Free;
        let second = connections.occupy(3, Phase::Open);
        assert_ne!(first, second);
        assert!(connections.of_tag(tag).is_none());
        assert!(connections.of_tag(Tag { slot: 9, ..tag }).is_none());
    }

    #[test]
    fn a_generation_is_never_zero() {
        let mut connections = Connections::default();
        connections.occupy(0, Phase::Open);
        connections.at(0).generation = u32::MAX;
        connections.at(0).phase = Phase::Free;
        assert_eq!(connections.occupy(0, Phase::Open).generation, 1);
    }
}
