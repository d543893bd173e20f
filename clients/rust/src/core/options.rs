//! What a client is told at the start.

use std::collections::BTreeMap;

use trunkline_wire::ids::ConversationId;

/// What a client is told at the start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who this client is; see `Client::renew` for a newer one.
    pub token: String,
    /// The name it gives itself, for the operator's eyes: at most 128 bytes.
    pub client_name: String,
    /// Which messages become events.
    pub follow: Follow,
    /// Whether messages of this process become [`super::ClientEvent::Message`] in their place among the others, beside
    /// [`super::ClientEvent::Sent`].
    pub echo_own: bool,
    /// Seed of message ids and jitter. Real programs take it from the operating system: two clients with one seed make
    /// the same message ids.
    pub seed: [u8; 32],
}

/// Which messages become events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Follow {
    /// None: for programs that only send or ask.
    Nothing,
    /// Those that come after the first connection.
    FromNow,
    /// All, from the first message of each conversation.
    FromStart,
    /// Those behind the given seq of each conversation, and all of conversations not named.
    Behind(BTreeMap<ConversationId, u64>),
}
