//! Keys of the tables: tenant first, never a shard, integers big-endian, so that order of keys is order of scans.

use trunkline_shards::store::{ConversationKey, Revocation, UserKey};
use trunkline_wire::ids::{ConversationId, DeviceId, TenantId, UserId};

use crate::reads::slot_of;

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

/// (tenant, user, device).
pub(crate) fn device(key: UserKey, device: DeviceId) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..12].copy_from_slice(&user(key));
    bytes[12..].copy_from_slice(&device.0.to_be_bytes());
    bytes
}

/// (tenant, user, other user).
pub(crate) fn contact(key: UserKey, peer: UserId) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[..12].copy_from_slice(&user(key));
    bytes[12..].copy_from_slice(&peer.0.to_be_bytes());
    bytes
}

/// The other user of such a key.
pub(crate) fn contact_peer(key: &[u8]) -> Option<UserId> {
    Some(UserId(u64::from_be_bytes(key.get(12..)?.try_into().ok()?)))
}

/// The conversation of the key of a meta.
pub(crate) fn conversation_id(key: &[u8]) -> Option<ConversationId> {
    Some(ConversationId(key.get(4..)?.try_into().ok()?))
}

/// The folded handle of such a key.
pub(crate) fn handle_text(key: &[u8]) -> Option<&str> {
    str::from_utf8(key.get(4..)?).ok()
}

/// (tenant, user, conversation): the key of a list's row.
pub(crate) fn list_row(key: UserKey, conversation: ConversationId) -> [u8; 28] {
    let mut bytes = [0; 28];
    bytes[..12].copy_from_slice(&user(key));
    bytes[12..].copy_from_slice(&conversation.0);
    bytes
}

/// The conversation of such a key.
pub(crate) fn list_conversation(key: &[u8]) -> Option<ConversationId> {
    Some(ConversationId(key.get(12..)?.try_into().ok()?))
}

/// (tenant, user, user_seq, conversation): rows of a list in order of their latest change.
pub(crate) fn list_order(key: UserKey, user_seq: u64, conversation: ConversationId) -> [u8; 36] {
    let mut bytes = [0; 36];
    bytes[..12].copy_from_slice(&user(key));
    bytes[12..20].copy_from_slice(&user_seq.to_be_bytes());
    bytes[20..].copy_from_slice(&conversation.0);
    bytes
}

/// (user_seq, conversation) of such a key.
pub(crate) fn listed_at(key: &[u8]) -> Option<(u64, ConversationId)> {
    let (user_seq, conversation) = key.get(12..)?.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*user_seq), ConversationId(conversation.try_into().ok()?)))
}

/// (tenant, conversation, user, device).
pub(crate) fn receipt(key: ConversationKey, user: UserId, device: DeviceId) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..20].copy_from_slice(&conversation(key));
    bytes[20..28].copy_from_slice(&user.0.to_be_bytes());
    bytes[28..].copy_from_slice(&device.0.to_be_bytes());
    bytes
}

/// (user, device) of such a key.
pub(crate) fn receipt_device(key: &[u8]) -> Option<(UserId, DeviceId)> {
    let (user, device) = key.get(20..)?.split_first_chunk::<8>()?;
    Some((UserId(u64::from_be_bytes(*user)), DeviceId(u32::from_be_bytes(device.try_into().ok()?))))
}

/// (hash slot, tenant, conversation).
pub(crate) fn mark(slot: u16, key: ConversationKey) -> [u8; 22] {
    let mut bytes = [0; 22];
    bytes[..2].copy_from_slice(&slot.to_be_bytes());
    bytes[2..].copy_from_slice(&conversation(key));
    bytes
}

/// The conversation of such a key, which lies in its own slot.
pub(crate) fn mark_conversation(bytes: &[u8]) -> Option<ConversationKey> {
    let (slot, key) = bytes.split_first_chunk::<2>()?;
    let (tenant, conversation) = key.split_first_chunk::<4>()?;
    let tenant = TenantId(u32::from_be_bytes(*tenant));
    let key = ConversationKey { tenant, conversation: ConversationId(conversation.try_into().ok()?) };
    (slot_of(key) == u16::from_be_bytes(*slot)).then_some(key)
}

/// (end, tenant, user, device): device 0 stands for all, since devices count from 1.
pub(crate) fn revocation(revocation: &Revocation) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&revocation.until_s.to_be_bytes());
    bytes[8..].copy_from_slice(&device(revocation.key, revocation.device.unwrap_or(DeviceId(0))));
    bytes
}

/// The revocation of such a key, of all tokens.
pub(crate) fn revoked(key: &[u8]) -> Option<Revocation> {
    let (until_s, key) = key.split_first_chunk::<8>()?;
    let (tenant, key) = key.split_first_chunk::<4>()?;
    let (user, device) = key.split_first_chunk::<8>()?;
    let key = UserKey { tenant: TenantId(u32::from_be_bytes(*tenant)), user: UserId(u64::from_be_bytes(*user)) };
    let device = u32::from_be_bytes(device.try_into().ok()?);
    let device = (device != 0).then_some(DeviceId(device));
    Some(Revocation { until_s: u64::from_be_bytes(*until_s), key, device, issued_to_s: u64::MAX })
}

/// (tenant, folded handle).
pub(crate) fn handle(tenant: TenantId, folded: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + folded.len());
    bytes.extend_from_slice(&tenant.0.to_be_bytes());
    bytes.extend_from_slice(folded.as_bytes());
    bytes
}
