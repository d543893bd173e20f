//! Lanes: bounded one-way queues of entries between two shards, with credit.
//!
//! A lane has room for `pushes` entries that count against its sender's credit and for `answers` that do not, because
//! whoever asked has reserved room for its answer. The sender's core counts, so a lane is never full when an entry is posted.
//! Credit comes back through one counter per lane that the receiver raises and the sender reads at the start of its turn.
//!
//! A sender that goes to sleep with less than half of its credit raises `wanted` before its `sleeping` flag; the receiver
//! raises the counter, passes a fence and looks at `wanted`. So either the receiver sees the wish and wakes, or the sender's
//! last look before it sleeps sees the counter: the argument of [`crate::wake`], one flag further.

mod mesh;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};

use crossbeam::utils::CachePadded;
use trunkline_shards::entry::Entry;

pub use mesh::{Port, mesh};
pub use trunkline_shards::LaneRoom;

/// All lanes of a process together take at most so many bytes, where the least room allows it.
pub const ALL_LANES_BYTES_MAX: usize = 8 << 20;
/// Least and most entries of each kind in a lane.
pub const LANE_ENTRIES: std::ops::RangeInclusive<usize> = 32..=1024;

/// The room of each lane in a mesh of so many shards.
pub fn room_of_mesh(shards: u16) -> LaneRoom {
    let shards = usize::from(shards);
    let lanes = (shards * shards.saturating_sub(1)).max(1);
    let fair = ALL_LANES_BYTES_MAX / lanes / size_of::<Entry>() / 2;
    let entries = fair.clamp(*LANE_ENTRIES.start(), *LANE_ENTRIES.end()) as u32;
    LaneRoom { pushes: entries, answers: entries }
}

/// What the ends of a lane share beside its queue.
#[derive(Debug, Default)]
struct Return {
    /// Entries taken out that count against credit, modulo 2^32. Written by the receiver only.
    taken: CachePadded<AtomicU32>,
    /// The sender sleeps and wants credit.
    wanted: CachePadded<AtomicBool>,
}

/// The end of a lane into which a shard posts.
#[derive(Debug)]
struct Sender {
    queue: rtrb::Producer<Entry>,
    returns: Arc<Return>,
    pushes_max: u32,
    /// Entries out that count against credit.
    pushes_out: u32,
    /// `taken` as it was last seen.
    taken_seen: u32,
}

impl Sender {
    fn post(&mut self, entry: Entry) {
        if !entry.is_answer() {
            assert!(self.pushes_out < self.pushes_max, "a core posts within its credit");
            self.pushes_out += 1;
        }
        assert!(self.queue.push(entry).is_ok(), "a core reserves room for the answers it asks for");
    }

    /// Credit that came back since the last time.
    fn take_credit(&mut self) -> u32 {
        if self.pushes_out == 0 {
            return 0;
        }
        let taken = self.returns.taken.load(Ordering::Acquire);
        let credit = taken.wrapping_sub(self.taken_seen);
        self.taken_seen = taken;
        assert!(credit <= self.pushes_out, "no more comes back than was out");
        self.pushes_out -= credit;
        credit
    }

    fn has_credit(&self) -> bool {
        self.pushes_out > 0 && self.returns.taken.load(Ordering::Relaxed) != self.taken_seen
    }

    /// Before the sender sleeps.
    fn want_credit(&self) {
        if self.pushes_out > self.pushes_max / 2 {
            self.returns.wanted.store(true, Ordering::SeqCst);
        }
    }
}

/// The end of a lane out of which a shard takes.
#[derive(Debug)]
struct Receiver {
    queue: rtrb::Consumer<Entry>,
    returns: Arc<Return>,
    taken: u32,
}

impl Receiver {
    fn has_entries(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Takes what is there now, so at most what the lane holds. True where the sender sleeps and wants the credit.
    fn take(&mut self, mut deliver: impl FnMut(Entry)) -> bool {
        let waiting = self.queue.slots();
        if waiting == 0 {
            return false;
        }
        let before = self.taken;
        for _ in 0..waiting {
            let entry = self.queue.pop().expect("only this end takes");
            self.taken = self.taken.wrapping_add(u32::from(!entry.is_answer()));
            deliver(entry);
        }
        if self.taken == before {
            return false;
        }
        self.returns.taken.store(self.taken, Ordering::Release);
        fence(Ordering::SeqCst);
        self.returns.wanted.load(Ordering::Relaxed) && self.returns.wanted.swap(false, Ordering::SeqCst)
    }
}

/// A lane's two ends.
fn lane(room: LaneRoom) -> (Sender, Receiver) {
    let (producer, consumer) = rtrb::RingBuffer::new((room.pushes + room.answers) as usize);
    let returns = Arc::new(Return::default());
    let sender = Sender {
        queue: producer,
        returns: Arc::clone(&returns),
        pushes_max: room.pushes,
        pushes_out: 0,
        taken_seen: 0,
    };
    (sender, Receiver { queue: consumer, returns, taken: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_shards::entry::HomeAnswer;

    fn push() -> Entry {
        let connection = trunkline_shards::contract::ConnectionId { slot: 0, generation: 0 };
        Entry::Push { connection, frame: Arc::from([0u8].as_slice()) }
    }

    fn answer(ticket: u32) -> Entry {
        Entry::Answer { ticket, answer: HomeAnswer::UserExists(true) }
    }

    #[test]
    fn all_lanes_stay_below_their_bound() {
        for shards in 2..=45u16 {
            let room = room_of_mesh(shards);
            let lanes = usize::from(shards) * usize::from(shards - 1);
            let bytes = lanes * (room.pushes + room.answers) as usize * size_of::<Entry>();
            assert!(bytes <= ALL_LANES_BYTES_MAX, "{shards} shards take {bytes}");
        }
        assert_eq!(room_of_mesh(1), LaneRoom { pushes: 1024, answers: 1024 });
        assert_eq!(room_of_mesh(2), LaneRoom { pushes: 1024, answers: 1024 });
        assert_eq!(room_of_mesh(1000), LaneRoom { pushes: 32, answers: 32 });
    }

    #[test]
    fn answers_use_no_credit() {
        let (mut sender, mut receiver) = lane(LaneRoom { pushes: 2, answers: 3 });
        for ticket in 0..3 {
            sender.post(answer(ticket));
        }
        sender.post(push());
        sender.post(push());
        let mut taken = 0;
        assert!(!receiver.take(|_| taken += 1), "nobody wants credit");
        assert_eq!((taken, sender.take_credit(), sender.take_credit()), (5, 2, 0));
    }

    #[test]
    fn a_sender_without_credit_is_woken_once() {
        let (mut sender, mut receiver) = lane(LaneRoom { pushes: 2, answers: 1 });
        sender.post(push());
        sender.want_credit();
        assert!(!receiver.take(drop), "it had half of its credit");
        sender.post(push());
        sender.want_credit();
        assert!(receiver.take(drop));
        assert!(sender.has_credit());
        assert_eq!(sender.take_credit(), 2);
        sender.post(push());
        assert!(!receiver.take(drop));
    }

    #[test]
    #[should_panic(expected = "within its credit")]
    fn posting_beyond_credit_is_a_bug() {
        let (mut sender, _receiver) = lane(LaneRoom { pushes: 1, answers: 1 });
        sender.post(push());
        sender.post(push());
    }
}
