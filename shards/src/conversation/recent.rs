//! The newest rows of a conversation: those that are pending or still to be handed on, and as many below as there is room.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use trunkline_wire::ids::{DeviceId, UserId};
use trunkline_wire::limits::{HISTORY_BYTES_MAX, message_cost_bytes};

use crate::entry::Address;
use crate::store::{RECENT_COST_BYTES_MAX, RECENT_ROWS_MAX, Row};

/// A row in memory, and which connection it came from: that one gets the ack, not the message.
#[derive(Debug)]
pub(crate) struct RecentRow {
    pub row: Row,
    pub origin: Option<Address>,
    /// When it was accepted, in monotonic nanoseconds; 0 where nobody waits for it.
    pub accepted_ns: u64,
}

/// Rows with dense seqs, ascending.
#[derive(Debug, Default)]
pub(crate) struct RecentRows {
    rows: VecDeque<RecentRow>,
    cost_bytes: usize,
}

impl RecentRows {
    /// As an image has them.
    pub fn from_rows(rows: Vec<Row>) -> RecentRows {
        let cost_bytes = rows.iter().map(|row| message_cost_bytes(row.body.len())).sum();
        RecentRows {
            rows: rows.into_iter().map(|row| RecentRow { row, origin: None, accepted_ns: 0 }).collect(),
            cost_bytes,
        }
    }

    /// Adds the next row.
    pub fn push(&mut self, recent: RecentRow) {
        self.cost_bytes += message_cost_bytes(recent.row.body.len());
        self.rows.push_back(recent);
    }

    /// Takes back every row above a seq.
    pub fn cut_above(&mut self, seq: u64) {
        while let Some(recent) = self.rows.pop_back_if(|recent| recent.row.seq > seq) {
            self.cost_bytes -= message_cost_bytes(recent.row.body.len());
        }
    }

    /// The lowest seq there is.
    pub fn first_seq(&self) -> Option<u64> {
        self.rows.front().map(|recent| recent.row.seq)
    }

    /// The row of a seq.
    pub fn find(&self, seq: u64) -> Option<&RecentRow> {
        self.rows.get(seq.checked_sub(self.first_seq()?)? as usize)
    }

    /// The row of a device's number.
    pub fn find_send(&self, sender: (UserId, DeviceId), client_seq: u64) -> Option<&Row> {
        let mut rows = self.rows.iter().rev().map(|recent| &recent.row);
        rows.find(|row| row.numbered_by() == sender && row.client_seq == client_seq)
    }

    /// Forgets the oldest rows above the bounds, but none from `pinned_from` on and not the last one.
    pub fn trim(&mut self, pinned_from: u64) {
        while self.rows.len() > RECENT_ROWS_MAX || self.cost_bytes > RECENT_COST_BYTES_MAX {
            if !self.forget_first(pinned_from) {
                break;
            }
        }
    }

    /// Forgets what can be had from the store: all but the last row and those from `pinned_from` on.
    pub fn shed(&mut self, pinned_from: u64) {
        while self.forget_first(pinned_from) {}
        self.rows.shrink_to_fit();
    }

    fn forget_first(&mut self, pinned_from: u64) -> bool {
        if self.rows.len() <= 1 {
            return false;
        }
        let forgotten = self.rows.pop_front_if(|first| first.row.seq < pinned_from);
        self.cost_bytes -= forgotten.as_ref().map_or(0, |first| message_cost_bytes(first.row.body.len()));
        forgotten.is_some()
    }

    /// The rows of `from..=to` that are here.
    pub fn between(&self, from: u64, to: u64) -> impl DoubleEndedIterator<Item = &Row> {
        let first = self.first_seq().unwrap_or(1);
        let end = (to.saturating_add(1).max(first) - first).min(self.rows.len() as u64);
        let start = (from.max(first) - first).min(end);
        self.rows.range(start as usize..end as usize).map(|recent| &recent.row)
    }

    /// A page of the rows of `low..=high` in ascending order, and whether its direction goes on behind it; none when memory
    /// does not reach back far enough.
    pub fn page(
        &self,
        (low, high): (u64, u64),
        from_seq: u64,
        backward: bool,
        limit: usize,
    ) -> Option<(Vec<&Row>, bool)> {
        let first = self.first_seq().unwrap_or(high.saturating_add(1));
        let mut page = PageRows { rows: Vec::new(), cost_bytes: 0, limit };
        if backward {
            let mut rows = self.between(first.max(low), from_seq.min(high)).rev();
            let full = rows.any(|row| !page.take(row)) || page.rows.len() == limit;
            if !full && first > low {
                return None;
            }
            page.rows.reverse();
            let more = page.rows.first().is_some_and(|row| row.seq > low);
            return Some((page.rows, more));
        }
        let from_seq = from_seq.max(low);
        if from_seq < first && from_seq <= high {
            return None;
        }
        let mut rows = self.between(from_seq, high);
        rows.any(|row| !page.take(row));
        let more = page.rows.last().is_some_and(|row| row.seq < high);
        Some((page.rows, more))
    }

    /// What the rows take, estimated.
    pub fn memory_bytes(&self) -> usize {
        self.cost_bytes + self.rows.capacity() * size_of::<RecentRow>()
    }
}

/// The rows of a page while it is filled.
struct PageRows<'a> {
    rows: Vec<&'a Row>,
    cost_bytes: usize,
    limit: usize,
}

impl<'a> PageRows<'a> {
    /// Takes a row while the page has room for it; the first always has.
    fn take(&mut self, row: &'a Row) -> bool {
        self.cost_bytes += message_cost_bytes(row.body.len());
        let takes = self.rows.len() < self.limit && (self.rows.is_empty() || self.cost_bytes <= HISTORY_BYTES_MAX);
        if takes {
            self.rows.push(row);
        }
        takes
    }
}
