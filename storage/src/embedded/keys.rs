//! Keys of the tables: tenant first, never a shard, integers big-endian, so that order of keys is order of scans.

use trunkline_shards::store::{ConversationKey, UserKey};
use trunkline_wire::ids::{ConversationId, TenantId};

/// Name of the row that numbers the groups; a store's row, so without a tenant. First in every batch of the journal.
pub(crate) const GROUP: &[u8] = b"group";
/// Name of the row that says which store this is.
pub(crate) const IDENTITY: &[u8] = b"identity";

/// (tenant, conversation): the key of its meta and its checkpoint, and what its rows' keys begin with.
pub(crate) fn conversation(key: ConversationKey) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&key.tenant.0.to_be_bytes());
    bytes[4..].copy_from_slice(&key.conversation.0);
    bytes
}

/// (tenant, conversation, seq).
pub(crate) fn row(key: ConversationKey, seq: u64) -> [u8; 28] {
    let mut bytes = [0; 28];
    bytes[..20].copy_from_slice(&conversation(key));
    bytes[20..].copy_from_slice(&seq.to_be_bytes());
    bytes
}

/// The seq of a row's key.
pub(crate) fn row_seq(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(20..)?.try_into().ok()?))
}

/// (tenant, user).
pub(crate) fn user(key: UserKey) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&key.tenant.0.to_be_bytes());
    bytes[4..].copy_from_slice(&key.user.0.to_be_bytes());
    bytes
}

/// (tenant, user, conversation).
pub(crate) fn listed(key: UserKey, conversation: ConversationId) -> [u8; 28] {
    let mut bytes = [0; 28];
    bytes[..12].copy_from_slice(&user(key));
    bytes[12..].copy_from_slice(&conversation.0);
    bytes
}

/// The conversation of such a key.
pub(crate) fn listed_conversation(key: &[u8]) -> Option<ConversationId> {
    Some(ConversationId(key.get(12..)?.try_into().ok()?))
}

/// (tenant, folded handle).
pub(crate) fn handle(tenant: TenantId, folded: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + folded.len());
    bytes.extend_from_slice(&tenant.0.to_be_bytes());
    bytes.extend_from_slice(folded.as_bytes());
    bytes
}
