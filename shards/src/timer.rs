//! A timer wheel for connections: one deadline each, checked when its tick comes, put back when it moved on.

use alloc::vec::Vec;

use crate::contract::ConnectionId;

/// Length of a tick: 2^27 ns, about 134 ms.
const TICK_SHIFT: u32 = 27;
/// Ticks around the wheel: about 69 s. A later deadline is looked at once per round.
const SLOTS: usize = 512;

/// Hashed timing wheel (Varghese and Lauck, 1987, scheme 6), without cancellation: whoever is due is asked again.
#[derive(Debug)]
pub(crate) struct Wheel {
    slots: Vec<Vec<ConnectionId>>,
    /// A bit per slot: is anything in it?
    occupied: [u64; SLOTS / 64],
    /// The first tick that was not looked at yet.
    tick: u64,
}

impl Wheel {
    pub fn new(now_ns: u64) -> Wheel {
        Wheel { slots: (0..SLOTS).map(|_| Vec::new()).collect(), occupied: [0; SLOTS / 64], tick: now_ns >> TICK_SHIFT }
    }

    /// Asks to be told of `connection` at a deadline or up to a tick later; a far deadline is told of early. Says when.
    pub fn arm(&mut self, connection: ConnectionId, deadline_ns: u64) -> u64 {
        let due = Wheel::told_at(deadline_ns) >> TICK_SHIFT;
        let tick = due.clamp(self.tick, self.tick + SLOTS as u64 - 1);
        let slot = tick as usize % SLOTS;
        self.slots[slot].push(connection);
        self.occupied[slot / 64] |= 1 << (slot % 64);
        tick << TICK_SHIFT
    }

    /// When a near deadline is told of: at the end of its tick.
    pub fn told_at(deadline_ns: u64) -> u64 {
        (deadline_ns >> TICK_SHIFT).saturating_add(1).min(u64::MAX >> TICK_SHIFT) << TICK_SHIFT
    }

    /// Takes the connections of one tick that is due, if there is one.
    pub fn take_due(&mut self, now_ns: u64) -> Option<Vec<ConnectionId>> {
        let now = now_ns >> TICK_SHIFT;
        while self.tick <= now {
            let slot = self.tick as usize % SLOTS;
            self.tick = if self.is_empty() { now + 1 } else { self.tick + 1 };
            if self.occupied[slot / 64] & (1 << (slot % 64)) != 0 {
                self.occupied[slot / 64] &= !(1 << (slot % 64));
                return Some(core::mem::take(&mut self.slots[slot]));
            }
        }
        None
    }

    /// Gives the room of a tick back.
    pub fn recycle(&mut self, mut connections: Vec<ConnectionId>) {
        connections.clear();
        let slot = (self.tick as usize + SLOTS - 1) % SLOTS;
        if self.slots[slot].capacity() == 0 {
            self.slots[slot] = connections;
        }
    }

    /// When the next occupied tick is due.
    pub fn next_deadline(&self) -> Option<u64> {
        let start = self.tick as usize % SLOTS;
        (0..SLOTS).find_map(|ahead| {
            let slot = (start + ahead) % SLOTS;
            let set = self.occupied[slot / 64] & (1 << (slot % 64)) != 0;
            set.then(|| (self.tick + ahead as u64) << TICK_SHIFT)
        })
    }

    fn is_empty(&self) -> bool {
        self.occupied.iter().all(|&word| word == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(slot: u32) -> ConnectionId {
        ConnectionId { slot, generation: 1 }
    }

    #[test]
    fn tells_at_the_deadline_and_never_forgets() {
        let start = 12_345_678_901;
        let mut wheel = Wheel::new(start);
        let tick = 1u64 << TICK_SHIFT;
        for slot in 0..2_000u32 {
            wheel.arm(connection(slot), start + u64::from(slot) * tick / 8);
        }
        let mut told = alloc::vec![false; 2_000];
        let mut now = start;
        while let Some(deadline) = wheel.next_deadline() {
            assert!(deadline > now || wheel.tick << TICK_SHIFT <= now);
            now = now.max(deadline);
            while let Some(due) = wheel.take_due(now) {
                for id in &due {
                    let deadline = start + u64::from(id.slot) * tick / 8;
                    assert!(now >= deadline && now <= deadline + 2 * tick, "slot {}", id.slot);
                    assert!(!core::mem::replace(&mut told[id.slot as usize], true));
                }
                wheel.recycle(due);
            }
        }
        assert!(told.into_iter().all(|told| told));
    }

    #[test]
    fn a_deadline_beyond_the_round_is_told_of_early() {
        let mut wheel = Wheel::new(0);
        wheel.arm(connection(1), 1 << 40);
        let early = wheel.next_deadline().unwrap();
        assert!(early < 1 << 40);
        assert_eq!(wheel.take_due(early), Some(alloc::vec![connection(1)]));
        assert_eq!(wheel.next_deadline(), None);
    }
}
