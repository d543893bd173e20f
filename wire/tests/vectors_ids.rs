//! Ids, hash slots and folded handles are the same in every version: they are keys of stored rows.
//!
//! Set-up: `vectors/ids.txt`, and values computed with Python's hashlib and xxhash. Claim: this code makes exactly
//! these, and reads the text forms back.

use std::fmt::Write;

use crate::golden;
use trunkline_wire::handle::Handle;
use trunkline_wire::ids::{ConversationId, HASH_SLOTS, HashSlot, MessageId, TenantId, UserId};

const TENANTS: [TenantId; 2] = [TenantId(0), TenantId(1)];
const USERS: [u64; 5] = [1, 2, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, u64::MAX];
const NONCES: [u64; 5] = [1, u64::MAX, 7, 0x0011_2233_4455_6677, 2];
const NAMES: [&str; 5] = ["#ubuntu", "Alice", "alice", "Zoë 👋", " "];
const HANDLES: &[&str] = &[
    "alice",
    "Alice",
    "BOB",
    "b0b",
    "Straße",
    "STRASSE",
    "Σίσυφος",
    "ΣΊΣΥΦΟΣ",
    "e\u{301}va",
    "Éva",
    "İstanbul",
    "ǅungla",
    "ﬁn",
    "李雷",
    "안녕",
    "🙂",
    "a.b-c_d",
    "@x",
];
const NO_HANDLES: &[&str] = &[
    "",
    "a b",
    "a\u{a0}b",
    "a\tb",
    "a\u{7f}",
    "a\u{200b}b",
    "a\u{202e}b",
    "\u{feff}a",
    "00112233445566778899AABBCCDDEEFF",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];

fn pairs() -> impl Iterator<Item = (UserId, UserId)> {
    let ids = USERS.map(UserId);
    (0..ids.len()).flat_map(move |one| (one..ids.len()).map(move |other| (ids[one], ids[other])))
}

fn made() -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    writeln!(out, "# Ids and the hash slots they fall into. Checked and written by wire/tests/vectors_ids.rs.")?;
    writeln!(out, "# Numbers of users are 16 hex digits, conversations 32; texts are in Rust's notation.")?;
    writeln!(out, "\n# direct TENANT USER USER = CONVERSATION")?;
    for tenant in TENANTS {
        for (one, other) in pairs() {
            writeln!(out, "direct {} {one} {other} = {}", tenant.0, ConversationId::direct(tenant, one, other))?;
        }
    }
    writeln!(out, "\n# group TENANT CREATOR NONCE = CONVERSATION")?;
    for tenant in TENANTS {
        for (creator, nonce) in USERS.map(UserId).into_iter().zip(NONCES) {
            writeln!(
                out,
                "group {} {creator} {nonce:016x} = {}",
                tenant.0,
                ConversationId::group(tenant, creator, nonce)
            )?;
        }
    }
    writeln!(out, "\n# imported TENANT NAME = CONVERSATION, sender USER, line 1 at 1 saying it too is MESSAGE")?;
    for tenant in TENANTS {
        for name in NAMES {
            let (id, user) = (ConversationId::imported(tenant, name), UserId::imported(tenant, name));
            let line = MessageId::imported(id, 1, user, 1, name);
            writeln!(out, "imported {} {name:?} = {id}, {user}, {line}", tenant.0)?;
        }
    }
    writeln!(out, "\n# slot of user TENANT USER = SLOT")?;
    for tenant in TENANTS {
        for user in USERS.map(UserId) {
            let slot = HashSlot::of_user(tenant, user);
            writeln!(out, "slot of user {} {user} = {}", tenant.0, slot.number())?;
        }
    }
    writeln!(out, "\n# slot of conversation TENANT CONVERSATION = SLOT")?;
    for tenant in TENANTS {
        for id in [[0; 16], [0xff; 16], *b"0123456789abcdef"].map(ConversationId) {
            let slot = HashSlot::of_conversation(tenant, id);
            writeln!(out, "slot of conversation {} {id} = {}", tenant.0, slot.number())?;
        }
    }
    writeln!(out, "\n# handle TEXT folds to TEXT, slots SLOT (tenant 0) SLOT (tenant 1)")?;
    for text in HANDLES {
        let folded = Handle::parse(text).expect("a handle").fold();
        let [zero, one] = TENANTS.map(|tenant| HashSlot::of_handle(tenant, &folded).number());
        writeln!(out, "handle {text:?} folds to {folded:?}, slots {zero} {one}")?;
    }
    writeln!(out, "\n# no handle TEXT: WHY")?;
    for text in NO_HANDLES {
        writeln!(out, "no handle {text:?}: {:?}", Handle::parse(text).expect_err("no handle"))?;
    }
    Ok(out)
}

#[test]
fn ids_are_those_of_the_vectors() {
    let kept = golden::check("ids.txt", &made().expect("writing to a string"));
    let mut directs = 0;
    for line in golden::lines(&kept).filter_map(|line| line.strip_prefix("direct ")) {
        let words: Vec<&str> = line.split(' ').collect();
        let [tenant, one, other, "=", text] = words[..] else { panic!("not a vector: {line}") };
        let tenant = TenantId(tenant.parse().expect("a tenant"));
        let users = [one, other].map(|user| UserId::parse(user).expect("a user"));
        let id = ConversationId::parse(text).expect("a conversation");
        assert_eq!(ConversationId::direct(tenant, users[1], users[0]), id);
        assert_eq!((id.to_text(), users[0].to_string()), (text.into(), one.into()));
        directs += 1;
    }
    assert_eq!(directs, TENANTS.len() * USERS.len() * (USERS.len() + 1) / 2);
}

/// `printf 'trunkline/1:1\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2' | sha256sum | head -c 32`, and the same with
/// tenant 1 and larger users from Python: `hashlib.sha256(b"trunkline/1:1" + struct.pack(">IQQ", tenant, low, high))`.
#[test]
fn direct_ids_are_those_of_sha256sum() {
    let direct = |tenant, one, other| ConversationId::direct(TenantId(tenant), UserId(one), UserId(other)).to_text();
    assert_eq!(direct(0, 1, 2), "096e2949d571ba169a9a3d0ba39c132b");
    assert_eq!(direct(1, USERS[2], USERS[3]), "a820de13ac1906f38b78ff536eedfa24");
}

/// Python: `hashlib.sha256(b"trunkline/group" + struct.pack(">IQQ", tenant, creator, nonce)).hexdigest()[:32]`.
#[test]
fn group_ids_are_those_of_sha256sum() {
    let group = |tenant, creator, nonce| ConversationId::group(TenantId(tenant), UserId(creator), nonce).to_text();
    assert_eq!(group(0, 1, 2), "9daa06c0dff097d00bbdd34427107701");
    assert_eq!(group(1, USERS[3], u64::MAX), "276cc32728b48d3858f57d5d1d7221ba");
    assert_ne!(group(0, 1, 2), group(0, 2, 1), "creator and nonce do not stand for each other");
}

/// Python: `hashlib.sha256(b"trunkline/import" + struct.pack(">I", tenant) + name.encode()).hexdigest()[:32]`, the same with
/// `b"trunkline/sender"` and 16 digits, and of a line `conversation + struct.pack(">QQQ", number, sender, sent_at_ms) + text`.
#[test]
fn imported_ids_are_those_of_sha256sum() {
    let id = ConversationId::imported(TenantId(0), "#ubuntu");
    assert_eq!(id.to_text(), "adda4f36b31b515a681949f862d4bf6e");
    let user = UserId::imported(TenantId(1), "Zoë");
    assert_eq!(user.to_string(), "69be0c7c365966ce");
    assert_eq!(MessageId::imported(id, 3, user, 5, "hé").to_string(), "6574bed3e9abcca2");
}

/// Python: `xxhash.xxh3_64_intdigest(struct.pack(">I", tenant) + kind + id, int.from_bytes(b"trunkln1")) % 16384`.
#[test]
fn slots_are_those_of_xxhash() {
    assert_eq!(HashSlot::of_user(TenantId(0), UserId(1)).number(), 13_254);
    let direct = ConversationId::direct(TenantId(0), UserId(1), UserId(2));
    assert_eq!(HashSlot::of_conversation(TenantId(0), direct).number(), 12_681);
    assert_eq!(HashSlot::of_handle(TenantId(1), "alice").number(), 10_504);
}

/// The rule in words: shard = slot x shards / 16,384.
#[test]
fn shards_follow_from_slots() {
    for user in 0..1_000 {
        let slot = HashSlot::of_user(TenantId(0), UserId(user));
        for shards in [1, 2, 3, 16, 255] {
            let expected = u64::from(slot.number()) * u64::from(shards) / u64::from(HASH_SLOTS);
            assert_eq!(u64::from(slot.shard(shards)), expected);
        }
    }
}
