//! What imports and exports say to each other: lines, questions and answers, as JSON.

use std::fmt;

use serde::{Deserialize, Serialize};
use trunkline_wire::ids::{ConversationId, MessageId, UserId};
use trunkline_wire::limits::{BODY_BYTES_MAX, SENDER_NAME_BYTES_MAX, TITLE_BYTES_MAX};

use crate::accounts::TENANT;
use crate::limits::SENT_AT_MS_MAX;

/// What was said: a line of an import or of an export, without its conversation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Said {
    /// What the sender is called; of a user its handle.
    pub sender: String,
    /// When: milliseconds since 1970, not 0.
    pub sent_at_ms: u64,
    /// What; may be empty.
    pub text: String,
}

/// What is wrong with a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineError {
    /// The name of the conversation.
    Conversation,
    /// The name of the sender.
    Sender,
    /// The time.
    SentAt,
    /// The text.
    Text,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LineError::Conversation => {
                write!(f, "`conversation` has 1 to {TITLE_BYTES_MAX} bytes and no control characters")
            }
            LineError::Sender => write!(f, "`sender` has 1 to {SENDER_NAME_BYTES_MAX} bytes and no control characters"),
            LineError::SentAt => f.write_str("`sent_at` lies between the beginning of 1970 and the end of 9999"),
            LineError::Text => write!(f, "`text` has at most {BODY_BYTES_MAX} bytes"),
        }
    }
}

/// Whether something may be the name of a conversation.
///
/// # Errors
/// [`LineError::Conversation`].
pub fn check_conversation(name: &str) -> Result<(), LineError> {
    if is_name(name, TITLE_BYTES_MAX) { Ok(()) } else { Err(LineError::Conversation) }
}

fn is_name(name: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&name.len()) && !name.chars().any(char::is_control)
}

impl Said {
    /// Whether it can be imported.
    ///
    /// # Errors
    /// See [`LineError`].
    pub fn check(&self) -> Result<(), LineError> {
        if !is_name(&self.sender, SENDER_NAME_BYTES_MAX) {
            return Err(LineError::Sender);
        }
        if !(1..=SENT_AT_MS_MAX).contains(&self.sent_at_ms) {
            return Err(LineError::SentAt);
        }
        if self.text.len() > BODY_BYTES_MAX { Err(LineError::Text) } else { Ok(()) }
    }

    /// The message that this is as a line of a conversation.
    pub fn message_id(&self, conversation: ConversationId, number: u64) -> MessageId {
        let sender = UserId::imported(TENANT, &self.sender);
        MessageId::imported(conversation, number, sender, self.sent_at_ms, &self.text)
    }
}

/// The conversation that imports of a name go to.
pub fn conversation_of(name: &str) -> ConversationId {
    ConversationId::imported(TENANT, name)
}

/// Lines for a conversation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ImportLines {
    /// Its name.
    pub conversation: String,
    /// Number of the first of the lines in the conversation, from 1.
    pub first: u64,
    /// At most [`IMPORT_LINES_MAX`](crate::limits::IMPORT_LINES_MAX), and more than one only within [`SEND_BYTES_MAX`](trunkline_wire::limits::SEND_BYTES_MAX) bytes of text.
    pub lines: Vec<Said>,
}

/// What is durable of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Imported {
    /// So many of the first of them.
    pub accepted: u64,
    /// Name of the code why the next one is not, if any is not.
    pub refusal: Option<String>,
    /// The highest number of the conversation.
    pub high: u64,
}

/// What was imported into a conversation so far?
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ImportCheck {
    /// Its name.
    pub conversation: String,
    /// Begin with this seq, at first 1.
    pub from_seq: u64,
    /// Handles that somebody has to have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
}

/// The messages that were, in order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Checked {
    /// Their ids, 16 hex digits each.
    pub ids: Vec<String>,
    /// Where to go on; none: that is all.
    pub next_seq: Option<u64>,
}

/// Users are to see an imported conversation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ImportMembers {
    /// Its name.
    pub conversation: String,
    /// Their handles, at least one.
    pub handles: Vec<String>,
}

/// Which conversations are there?
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExportConversations {
    /// Begin behind this one, 32 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Some of the conversations.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Conversations {
    /// (id, name): of an imported one its name, else the id again.
    pub conversations: Vec<(String, String)>,
    /// Whether there are more behind them.
    pub more: bool,
}

/// What was said in a conversation?
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExportRows {
    /// Which, 32 hex digits.
    pub conversation: String,
    /// Begin with this seq, at first 1.
    pub from_seq: u64,
}

/// Some of it, in order; changes of members are left out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Exported {
    /// What was said.
    pub lines: Vec<Said>,
    /// Where to go on; none: that is all.
    pub next_seq: Option<u64>,
}
