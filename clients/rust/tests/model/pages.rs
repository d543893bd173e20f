//! Which seqs a page of history holds.

use std::ops::Range;

use trunkline_wire::message::schema;

/// Those asked for, at most so many, of what there is from `first` to `last_seq`; and whether more follow.
pub fn span(history: &schema::History<'_>, page: u64, (first, last_seq): (u64, u64)) -> (Range<u64>, bool) {
    let count = page.min(history.limit().into());
    if history.backward() {
        let end = history.from_seq().min(last_seq) + 1;
        let from = end.saturating_sub(count).max(first).min(end);
        (from..end, from > first)
    } else {
        let from = history.from_seq().max(first);
        let end = (from + count).min(last_seq + 1);
        (from..end, end <= last_seq)
    }
}
