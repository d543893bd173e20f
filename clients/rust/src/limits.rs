//! The numbers this client keeps to, and how they relate to those of the protocol.

use trunkline_wire::limits::{
    BODY_BYTES_MAX, FRAME_BYTES_MAX, HISTORY_MESSAGES_MAX, REPORT_RECEIPTS_MAX, REQUESTS_OUTSTANDING_MAX,
    SEND_MESSAGES_MAX, SYNC_CONVERSATIONS_MAX,
};

/// A request without an answer for this long means that the connection is dead.
pub const REQUEST_TIMEOUT_MS: u64 = 10_000;
/// A connection that is not there after this long is given up.
pub const CONNECT_TIMEOUT_MS: u64 = 10_000;
/// Upper end of the first wait before connecting again; it doubles with each failure.
pub const BACKOFF_FIRST_MS: u64 = 500;
/// Upper end of all waits before connecting again.
pub const BACKOFF_MAX_MS: u64 = 60_000;
/// After a session that lived longer than this the first attempt to come back is made at once.
pub const STABLE_SESSION_MS: u64 = 60_000;
/// A connection that the server announced to close and did not is closed after this long.
pub const LEAVE_TIMEOUT_MS: u64 = 10_000;

/// Most requests at once that serve sending; each is of another conversation.
pub const SEND_REQUESTS_MAX: usize = 10;
/// Most requests at once that close gaps: pages of history, and what a conversation is.
pub const CATCH_UP_REQUESTS_MAX: usize = 4;
/// Most commands that wait for their turn or their answer.
pub const COMMANDS_WAITING_MAX: usize = 1024;
/// A command whose connection was lost this often fails.
pub const COMMAND_ATTEMPTS_MAX: u8 = 3;

/// Most messages without an answer, over all conversations.
pub const PENDING_MESSAGES_MAX: usize = 4096;
/// Most bytes of bodies without an answer.
pub const PENDING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Messages of ours that are still known as such after their answer, when they are pushed late.
pub const SENT_KNOWN_MAX: usize = 256;
/// Wait before a refused request is tried again, where the server names none.
pub const RETRY_FIRST_MS: u64 = 500;
/// Longest such wait; it doubles each time.
pub const RETRY_MAX_MS: u64 = 30_000;

/// Most messages of one conversation that wait for those before them.
pub const REORDER_MESSAGES_MAX: usize = 256;
/// Most bytes of bodies, over all conversations, that wait for those before them.
pub const REORDER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long a gap may close by itself before history is asked.
pub const GAP_GRACE_MS: u64 = 250;
/// Most conversations that are followed and listed; a server that lists more is not believed.
pub const FEEDS_MAX: usize = 100_000;
/// What the server said of its position and is not yet taken over, at most: with more of it the list is read.
pub const ADVANCED_WAITING_MAX: usize = 16;

/// Watermarks are reported together, and no sooner after a report than this.
pub const REPORT_EVERY_MS: u64 = 500;
/// Watermarks that were reported and are said again on the next connection.
pub const MARKS_KNOWN_MAX: usize = 1024;
/// Most conversations with watermarks that wait to be reported; what is marked beyond them is not.
pub const MARKS_MAX: usize = FEEDS_MAX;
/// Watermarks of others that are known, over all conversations; of those spoken of first the oldest are forgotten.
pub const WATERMARKS_MAX: usize = 65_536;
/// The server is told that the user types no sooner after the last time than this.
pub const TYPING_EVERY_MS: u64 = 3_000;
/// Longest time for which a server's word that somebody types is believed.
pub const TYPING_LONGEST_MS: u64 = 60_000;
/// Most others who type at the same time; more are not shown.
pub const TYPISTS_MAX: usize = 1024;
/// From this many events that nobody took on, pushed messages are left for history, which is asked when there is room.
pub const EVENTS_WAITING_MAX: usize = 1024;

/// Largest binary message that the transport accepts from a server.
pub const ENVELOPE_BYTES_MAX: usize = 4 * FRAME_BYTES_MAX;
/// Events between the transport's task and the stream that the program reads.
pub const STREAM_EVENTS_MAX: usize = 64;
/// Commands between handles and the transport's task.
pub const STREAM_COMMANDS_MAX: usize = 64;

/// Most outboxes of one identity, one for each process at a time.
pub const OUTBOX_FILES_MAX: usize = 64;
/// An outbox file that is larger than this and mostly answered is written anew.
pub const OUTBOX_COMPACT_BYTES: u64 = 256 * 1024;

/// Most messages asked for in one page.
pub(crate) const PAGE_MESSAGES: u16 = HISTORY_MESSAGES_MAX as u16;
/// Most conversations asked for in one page.
pub(crate) const PAGE_CONVERSATIONS: u16 = SYNC_CONVERSATIONS_MAX as u16;

const _: () = {
    // One slot is for Sync and one for Report; commands and Typing get whatever is free.
    assert!(SEND_REQUESTS_MAX + CATCH_UP_REQUESTS_MAX + 2 <= REQUESTS_OUTSTANDING_MAX);
    assert!(HISTORY_MESSAGES_MAX <= u16::MAX as usize);
    assert!(SYNC_CONVERSATIONS_MAX <= u16::MAX as usize);
    assert!(REPORT_RECEIPTS_MAX < MARKS_KNOWN_MAX && MARKS_KNOWN_MAX <= MARKS_MAX);
    assert!(HISTORY_MESSAGES_MAX < REORDER_MESSAGES_MAX && REORDER_MESSAGES_MAX < EVENTS_WAITING_MAX);
    assert!(PENDING_BYTES_MAX >= SEND_MESSAGES_MAX * BODY_BYTES_MAX);
    assert!(BACKOFF_FIRST_MS < BACKOFF_MAX_MS && RETRY_FIRST_MS < RETRY_MAX_MS);
};
