//! What a conversation is, whoever its members are.

use alloc::string::String;
use alloc::vec::Vec;

use trunkline_wire::ids::UserId;

/// What a conversation is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConversationMeta {
    /// A [`trunkline_wire::message::ConversationKind`] by number.
    pub kind: u8,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// Of a 1:1, ascending: two, or one who talks to itself. Of a group none: its members are what its log says.
    pub peers: Vec<UserId>,
    /// Of a group.
    pub title: String,
}

impl ConversationMeta {
    /// The other end of a 1:1, oneself included; 0: there is none.
    pub fn peer_of(&self, user: UserId) -> UserId {
        let other = self.peers.iter().copied().find(|&peer| peer != user);
        other.or(self.peers.first().copied()).unwrap_or(UserId(0))
    }
}
