//! The numbers of this crate, and how they relate.

use trunkline_wire::limits::{BODY_BYTES_MAX, SEND_MESSAGES_MAX, message_cost_bytes};

/// Most bytes of one group commit; a single larger write is a group of its own.
pub const GROUP_BYTES_MAX: usize = 1024 * 1024;
/// What a write of the index counts for in a group, beside its rows.
pub const PUT_COST_BYTES: usize = 256;
/// What a short row of the index takes with its key and what the journal adds.
pub const ROW_COST_BYTES: usize = 96;
/// Conversations whose last seq the log remembers, so that an append needs no read: about 50 bytes each.
pub const HEADS_MAX: usize = 64 * 1024;

/// Bytes of rows that are kept in memory per table before they are written out as a file.
pub const MEMTABLE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Bytes of journals beyond which idle tables are written out, so that the oldest journal can go.
pub const JOURNAL_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Bytes of journals beyond which all tables are written out, so that the journals can go: a journal has room for so many,
/// and is ended beyond it.
pub const JOURNAL_LONG_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of journal that are not in tables, beyond which all tables are written out.
pub const UNWRITTEN_BYTES_MAX: u64 = 24 * 1024 * 1024;
/// How long the journals are is looked at after so many bytes.
pub const JOURNAL_CHECK_BYTES: u64 = 8 * 1024 * 1024;
/// A store that is closed with no more than this in its journals leaves it there.
pub const JOURNAL_KEPT_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// A close waits so many milliseconds for its tables to be written out; else the next start replays the journals.
pub const CLOSE_WRITE_OUT_MS_MAX: u64 = 5_000;
/// Least default of the free space below which writes are refused.
pub const RESERVE_BYTES_MIN: u64 = 256 * 1024 * 1024;
/// Free space is asked for again after this many milliseconds,
pub const SPACE_CHECK_MS: u64 = 100;
/// or after this many bytes were written.
pub const SPACE_CHECK_BYTES: u64 = 16 * 1024 * 1024;
/// Once the disk was full, writes go on when so much is free, whatever the reserve.
pub const SPACE_AFTER_FULL_BYTES: u64 = 16 * 1024 * 1024;
/// The high-water file is synced after this many milliseconds.
pub const HIGH_WATER_SYNC_MS: u64 = 1_000;

const _: () = {
    assert!(GROUP_BYTES_MAX >= message_cost_bytes(BODY_BYTES_MAX) + SEND_MESSAGES_MAX * message_cost_bytes(0));
    assert!(MEMTABLE_BYTES_MAX >= 16 * GROUP_BYTES_MAX as u64);
    assert!(JOURNAL_BYTES_MAX >= 4 * MEMTABLE_BYTES_MAX);
    assert!(JOURNAL_LONG_BYTES + JOURNAL_CHECK_BYTES <= JOURNAL_BYTES_MAX);
    assert!(RESERVE_BYTES_MIN >= 2 * JOURNAL_BYTES_MAX);
    assert!(SPACE_CHECK_BYTES * 4 <= RESERVE_BYTES_MIN);
};
