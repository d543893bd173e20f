//! The numbers the commands keep to, and how they relate.

use std::time::Duration;

use trunkline_wire::limits::{BODY_BYTES_MAX, HISTORY_MESSAGES_MAX, MEMBERS_PAGE_MAX, SYNC_CONVERSATIONS_MAX};

/// How long `send` and `history` wait for the server where nothing else is asked for.
pub const TIMEOUT_DEFAULT: &str = "30s";
/// From Ctrl-C to the end, where a command is stuck.
pub const INTERRUPT_PATIENCE: Duration = Duration::from_secs(4);
/// How long the end of a session may take.
pub const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// How long the server gets, at the end of a command, to take what is marked as delivered or read.
pub const REPORT_PATIENCE: Duration = Duration::from_secs(1);
/// How long commands other than `send` wait for messages of earlier commands to be delivered.
pub const LEFTOVERS_PATIENCE: Duration = Duration::from_secs(5);
/// Wait before a question that failed for the moment is asked again, where the server names none.
pub const ASK_AGAIN: Duration = Duration::from_millis(200);
/// How long messages in flight get to be answered when a chat is left by Ctrl-C.
pub const GOODBYE_PATIENCE: Duration = Duration::from_millis(500);

/// How long a server's accounts get to answer; comparing passwords takes its time.
pub const ACCOUNT_PATIENCE: Duration = Duration::from_secs(30);
/// Longest answer of a server's accounts, in bytes.
pub const ACCOUNT_ANSWER_BYTES_MAX: u64 = 256 * 1024;
/// Longest password, in bytes; a server may want it shorter.
pub const PASSWORD_BYTES_MAX: usize = 1_024;
/// Wait before a token that could not be renewed is tried again.
pub const RENEW_AGAIN: Duration = Duration::from_secs(2);

/// Longest text from stdin, in bytes, its end of line included.
pub const STDIN_TEXT_BYTES_MAX: usize = BODY_BYTES_MAX + 2;
/// Messages of a page of history.
pub const PAGE_MESSAGES: u16 = HISTORY_MESSAGES_MAX as u16;
/// Members of a page.
pub const PAGE_MEMBERS: u16 = MEMBERS_PAGE_MAX as u16;
/// Conversations of a page.
pub const PAGE_CONVERSATIONS: u16 = SYNC_CONVERSATIONS_MAX as u16;
/// Messages of ours whose ticks `chat` still waits for.
pub const CHAT_UNREAD_MAX: usize = 1_000;
/// Messages that `chat` shows of what was said before.
pub const CHAT_BACKLOG: u16 = 20;
/// Lines that `chat` has read and not yet sent.
pub const CHAT_LINES_MAX: usize = 64;

/// Code points of a character that are shown; a family with colours of skin has 11.
pub const CLUSTER_CHARS_MAX: usize = 12;
/// Lines for stderr that wait while a full screen is shown.
pub const HELD_LINES_MAX: usize = 200;
/// Conversations that a full screen lists.
pub const LISTED_MAX: usize = 1_000;
/// Conversations whose messages a full screen has in memory.
pub const TIMELINES_MAX: usize = 32;
/// Messages that stay of a conversation that is not looked at any more.
pub const TIMELINE_KEPT: usize = 200;
/// Messages of a conversation that is looked at, from which on the oldest are let go.
pub const TIMELINE_MESSAGES_MAX: usize = 5_000;
/// Bytes of texts of a conversation beyond which nothing older is loaded.
pub const TIMELINE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Between two frames of a full screen.
pub const FRAME_EVERY: Duration = Duration::from_millis(25);
/// How often a full screen shows the time that is left.
pub const COUNT_EVERY: Duration = Duration::from_secs(1);

const _: () = {
    assert!(TIMELINE_KEPT < TIMELINE_MESSAGES_MAX && TIMELINES_MAX < LISTED_MAX);
    assert!(HISTORY_MESSAGES_MAX <= u16::MAX as usize && CHAT_BACKLOG <= PAGE_MESSAGES);
    assert!(MEMBERS_PAGE_MAX <= u16::MAX as usize);
    assert!(SYNC_CONVERSATIONS_MAX <= u16::MAX as usize);
    assert!(
        GOODBYE_PATIENCE.as_millis() + REPORT_PATIENCE.as_millis() + CLOSE_PATIENCE.as_millis()
            < INTERRUPT_PATIENCE.as_millis()
    );
};
