//! What is kept of a user's list.

use alloc::string::String;

use trunkline_wire::ids::{ConversationId, UserId};

use super::UserKey;

/// What a list says of a conversation beside numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct About {
    /// A [`trunkline_wire::message::ConversationKind`] by number.
    pub kind: u8,
    /// The other end of a 1:1, else 0.
    pub peer: UserId,
    /// Of a group.
    pub title: String,
}

/// A conversation in a user's list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListRow {
    /// Which.
    pub conversation: ConversationId,
    /// Number of its latest change in this list.
    pub user_seq: u64,
    /// Its newest seq that this user may see.
    pub last_seq: u64,
    /// What the user has read.
    pub read_seq: u64,
    /// The user sees the messages of `joined_seq..=left_seq`.
    pub joined_seq: u64,
    /// [`u64::MAX`]: a member.
    pub left_seq: u64,
    /// What it is.
    pub about: About,
}

/// A change of a user's list. The store takes the higher `user_seq`, `last_seq` and `read_seq`, and the window that joined
/// later or, of the same join, left; a row that is not there begins with `joined_seq` 1, not left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListChange {
    /// Whose list.
    pub key: UserKey,
    /// Which conversation.
    pub conversation: ConversationId,
    /// The change's number.
    pub user_seq: u64,
    /// Its newest seq, as announced; 0: nothing new.
    pub last_seq: u64,
    /// What was read; 0: nothing new.
    pub read_seq: u64,
    /// (joined_seq, left_seq), if these changed.
    pub window: Option<(u64, u64)>,
    /// What it is.
    pub about: About,
}
