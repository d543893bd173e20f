//! Marks that go and watermarks that are stored: they wait for each other in turn, and leave room for what lists write.

use super::Conversations;
use crate::desk::Purpose;
use crate::store::Put;
use crate::turn::Turn;

/// Marks and watermarks written in one turn at most.
const PUTS_PER_TURN: usize = 32;
/// Users that are told of watermarks in one turn, but for those that come with the last ones.
const TOLD_PER_TURN: usize = 1_024;
/// Room for writes that is left to lists and their ceilings, or half of it if there is little.
const RESERVED_PUTS: u64 = 12;

impl Conversations {
    /// Deletes marks and stores watermarks, as far as there is room; whether there is more of that to do at once.
    pub(super) fn write_to_index(&mut self, turn: &mut Turn<'_>) -> bool {
        let mut told = 0;
        for _ in 0..PUTS_PER_TURN {
            if !self.may_put(turn) || told >= TOLD_PER_TURN {
                break;
            }
            self.receipts_next = !self.receipts_next;
            if !self.flushes.is_empty() && (self.receipts_next || self.settles.is_empty()) {
                told += self.flush_next(turn);
            } else if !self.settle_next(turn) {
                return false;
            }
        }
        self.may_put(turn) && !(self.settles.is_empty() && self.flushes.is_empty())
    }

    /// Whether there is room beside what is reserved; one write is always allowed, so that nobody waits for ever.
    fn may_put(&self, turn: &Turn<'_>) -> bool {
        let (desk, limits) = (&turn.shared.desk, &turn.shared.limits);
        let reserved = RESERVED_PUTS.min(limits.puts_max / 2);
        desk.can_put(limits) && (self.puts == 0 || desk.puts_outstanding() + reserved < limits.puts_max)
    }

    /// Hands a write to the store.
    pub(super) fn put(&mut self, turn: &mut Turn<'_>, purpose: Purpose, put: Put) {
        self.puts += 1;
        turn.shared.desk.put(purpose, put, turn.effects);
    }
}
