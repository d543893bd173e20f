//! What the model and the session say to each other: wishes, answers, and how the connection is.

use trunkline_client::core::{ConversationId, HistoryPage, MembersPage, Opened};

use crate::args::{Target, Who};
use crate::failure::Failure;

/// What the session is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Wish {
    Send(ConversationId, String),
    /// A page of messages below a seq; 0: the newest.
    Page(ConversationId, u64),
    Members(ConversationId),
    Delivered(ConversationId, u64),
    Read(ConversationId, u64),
    Typing(ConversationId),
    Open(Target),
    Group(String, Vec<Who>),
    /// The list of conversations.
    List,
    /// All of the screen anew.
    Redraw,
    Quit,
}

/// What the session answered.
#[derive(Debug)]
pub(super) enum Answer {
    Page(ConversationId, Result<HistoryPage, Failure>),
    Members(ConversationId, Result<MembersPage, Failure>),
    /// A conversation that was asked for, with what its other user is called.
    Opened(Option<String>, Result<Opened, Failure>),
}

/// Whether there is a connection. Times are those of the session's clock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Link {
    Connecting,
    Up,
    Draining { retry_at_ms: u64 },
    Down { retry_at_ms: u64, why: String },
}

/// A word on the last line, until the next key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Note {
    pub text: String,
    pub is_bad: bool,
}
