//! Who and what is spoken of: ids, their text forms, and the hash slots that say which shard is home.

use alloc::string::String;
use core::fmt;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A deployment's tenant; 0 unless configured. First in every key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct TenantId(pub u32);

/// A user: random, never 0. Its text form is 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub u64);

/// One of a user's devices, counted from 1 per user.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DeviceId(pub u32);

/// A message as its client named it: random, never 0. Its text form is 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u64);

/// A conversation. Its text form is 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationId(pub [u8; 16]);

/// Position of a row in the order of the store's commits: (group number, index in the group).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Lsn {
    /// Number of the commit, from 1.
    pub group: u64,
    /// Index of the row in its commit.
    pub index: u32,
}

/// Number of hash slots; a slot maps to a shard, later to (node, shard). Never stored by shard number.
pub const HASH_SLOTS: u16 = 16_384;

/// Seed of the slot hash: XXH3-64 with this seed over (tenant, big-endian; kind byte; id bytes).
/// <https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>
pub const HASH_SLOT_SEED: u64 = u64::from_be_bytes(*b"trunkln1");

/// One of [`HASH_SLOTS`] hash slots.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HashSlot(u16);

impl HashSlot {
    /// The slot that is home of a user.
    pub fn of_user(tenant: TenantId, user: UserId) -> HashSlot {
        HashSlot::of(tenant, b'u', &user.0.to_be_bytes())
    }

    /// The slot that is home of a conversation.
    pub fn of_conversation(tenant: TenantId, conversation: ConversationId) -> HashSlot {
        HashSlot::of(tenant, b'c', &conversation.0)
    }

    /// The slot that is home of a folded handle (twice [`crate::limits::HANDLE_BYTES_MAX`] bytes count: folding lengthens).
    pub fn of_handle(tenant: TenantId, folded: &str) -> HashSlot {
        HashSlot::of(tenant, b'h', folded.as_bytes())
    }

    fn of(tenant: TenantId, kind: u8, id: &[u8]) -> HashSlot {
        let mut key = [0u8; 5 + 2 * crate::limits::HANDLE_BYTES_MAX];
        let len = id.len().min(key.len() - 5);
        key[..4].copy_from_slice(&tenant.0.to_be_bytes());
        key[4] = kind;
        key[5..5 + len].copy_from_slice(&id[..len]);
        HashSlot((xxh3_64_with_seed(&key[..5 + len], HASH_SLOT_SEED) % u64::from(HASH_SLOTS)) as u16)
    }

    /// The slot's number, below [`HASH_SLOTS`].
    pub fn number(self) -> u16 {
        self.0
    }

    /// The shard that owns this slot when there are `shards` of them (at least 1).
    pub fn shard(self, shards: u16) -> u16 {
        (u32::from(self.0) * u32::from(shards) / u32::from(HASH_SLOTS)) as u16
    }
}

impl ConversationId {
    /// The 1:1 of two users of a tenant: the same whoever asks, and not invertible.
    /// First 16 bytes of SHA-256("trunkline/1:1" | tenant | lower user | higher user), integers big-endian.
    pub fn direct(tenant: TenantId, one: UserId, other: UserId) -> ConversationId {
        let (low, high) = if one <= other { (one, other) } else { (other, one) };
        let digest = Sha256::new()
            .chain_update(b"trunkline/1:1")
            .chain_update(tenant.0.to_be_bytes())
            .chain_update(low.0.to_be_bytes())
            .chain_update(high.0.to_be_bytes())
            .finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        ConversationId(id)
    }

    /// The group that a user makes with a nonce: the same however often it is asked for, and in nobody else's reach.
    /// First 16 bytes of SHA-256("trunkline/group" | tenant | creator | nonce), integers big-endian.
    pub fn group(tenant: TenantId, creator: UserId, nonce: u64) -> ConversationId {
        let digest = Sha256::new()
            .chain_update(b"trunkline/group")
            .chain_update(tenant.0.to_be_bytes())
            .chain_update(creator.0.to_be_bytes())
            .chain_update(nonce.to_be_bytes())
            .finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        ConversationId(id)
    }

    /// The conversation that imports of a name go to.
    /// First 16 bytes of SHA-256("trunkline/import" | tenant | name), integers big-endian.
    pub fn imported(tenant: TenantId, name: &str) -> ConversationId {
        let digest = Sha256::new()
            .chain_update(b"trunkline/import")
            .chain_update(tenant.0.to_be_bytes())
            .chain_update(name.as_bytes())
            .finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        ConversationId(id)
    }

    /// Reads 32 hex digits, of either case.
    pub fn parse(text: &str) -> Option<ConversationId> {
        let bytes = HEXLOWER.decode(text.to_ascii_lowercase().as_bytes()).ok()?;
        Some(ConversationId(bytes.try_into().ok()?))
    }

    /// 32 lower-case hex digits.
    pub fn to_text(self) -> String {
        HEXLOWER.encode(&self.0)
    }
}

fn parse_u64_hex(text: &str) -> Option<u64> {
    (text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit())).then(|| u64::from_str_radix(text, 16).ok())?
}

/// The first 8 bytes of a digest as an id, which is never 0.
fn first_id(digest: &[u8]) -> u64 {
    let mut id = [0; 8];
    id.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(id).max(1)
}

impl UserId {
    /// Whoever had exactly this name where messages are imported from.
    /// First 8 bytes of SHA-256("trunkline/sender" | tenant | name), integers big-endian; 1 where these are 0.
    pub fn imported(tenant: TenantId, name: &str) -> UserId {
        let digest = Sha256::new()
            .chain_update(b"trunkline/sender")
            .chain_update(tenant.0.to_be_bytes())
            .chain_update(name.as_bytes())
            .finalize();
        UserId(first_id(&digest))
    }

    /// Reads 16 hex digits, of either case.
    pub fn parse(text: &str) -> Option<UserId> {
        parse_u64_hex(text).map(UserId)
    }
}

impl MessageId {
    /// A line of an import: the same line at the same place is the same message, and another one is another.
    /// First 8 bytes of SHA-256(conversation | number | sender | sent_at_ms | text), integers big-endian; 1 where these are 0.
    pub fn imported(
        conversation: ConversationId,
        number: u64,
        sender: UserId,
        sent_at_ms: u64,
        text: &str,
    ) -> MessageId {
        let digest = Sha256::new()
            .chain_update(conversation.0)
            .chain_update(number.to_be_bytes())
            .chain_update(sender.0.to_be_bytes())
            .chain_update(sent_at_ms.to_be_bytes())
            .chain_update(text.as_bytes())
            .finalize();
        MessageId(first_id(&digest))
    }

    /// Reads 16 hex digits, of either case.
    pub fn parse(text: &str) -> Option<MessageId> {
        parse_u64_hex(text).map(MessageId)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserId({self})")
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

impl fmt::Debug for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConversationId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn direct_is_symmetric_and_speaks_of_its_tenant() {
        let (a, b) = (UserId(7), UserId(9));
        let id = ConversationId::direct(TenantId(0), a, b);
        assert_eq!(id, ConversationId::direct(TenantId(0), b, a));
        assert_ne!(id, ConversationId::direct(TenantId(1), a, b));
        assert_ne!(id, ConversationId::direct(TenantId(0), a, a));
    }

    #[test]
    fn text_forms_round_trip() {
        let id = ConversationId::direct(TenantId(0), UserId(1), UserId(2));
        assert_eq!(ConversationId::parse(&id.to_text()), Some(id));
        assert_eq!(ConversationId::parse(&id.to_text().to_uppercase()), Some(id));
        assert_eq!(ConversationId::parse("12"), None);
        assert_eq!(UserId::parse(&UserId(0xab).to_string()), Some(UserId(0xab)));
        assert_eq!(UserId::parse("+000000000000001"), None);
    }

    #[test]
    fn slots_cover_all_shards_evenly() {
        for shards in [1u16, 2, 7, 64] {
            let mut counts = alloc::vec![0u32; usize::from(shards)];
            for user in 0..20_000 {
                counts[usize::from(HashSlot::of_user(TenantId(0), UserId(user)).shard(shards))] += 1;
            }
            let mean = 20_000 / u32::from(shards);
            assert!(counts.iter().all(|&c| c > mean * 7 / 10 && c < mean * 13 / 10), "{shards}: {counts:?}");
        }
    }
}
