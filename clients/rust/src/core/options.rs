//! What a client is told at the start.

use std::collections::BTreeMap;

use trunkline_wire::ids::ConversationId;

use super::state::State;

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

/// Which messages become events, and what of the user's list is known at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Follow {
    /// None, and no list: for programs that only send or ask.
    Nothing,
    /// Those that come after the first connection.
    FromNow,
    /// All that this user may see, from the first message of each conversation.
    FromStart,
    /// Those that the program does not have yet: behind its places, and all of conversations that it does not know.
    Behind(State),
    /// Those that this device has not confirmed with `mark_delivered`, as far as the server was told: for programs that
    /// store nothing. A device of which the server knows nothing begins now. The list of conversations holds only those
    /// that changed since.
    Stored,
    /// As [`Follow::Stored`], for a program that knows what was there when its device first came: the last seq of each
    /// conversation of the list of that time. Where nothing was confirmed, what was there then is not told, and all that
    /// came since is.
    StoredSince(BTreeMap<ConversationId, u64>),
}
