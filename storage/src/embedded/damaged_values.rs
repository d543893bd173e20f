//! Every value comes back whole, and no flipped, cut, misplaced or made-up one comes back at all.

use std::fmt::Debug;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use trunkline_shards::store::{
    About, ConversationKey, ConversationMeta, DeviceHigh, DeviceReceipt, ListRow, Member, Row, UserKey, UserRow,
};
use trunkline_wire::ids::{ConversationId, DeviceId, Lsn, MessageId, TenantId, UserId};

use super::sealed::Writer;
use super::{codec, keys, list_codec};
use crate::reads::{Checkpoint, slot_of};

const CONVERSATION: ConversationKey = ConversationKey { tenant: TenantId(3), conversation: ConversationId([9; 16]) };
const USER: UserKey = UserKey { tenant: TenantId(3), user: UserId(11) };

/// Checks one kind of value: `value` under `key` decodes to `whole`, and nothing near it decodes.
fn check<T: PartialEq + Debug>(key: &[u8], value: &[u8], whole: &T, decode: impl Fn(&[u8], &[u8]) -> Option<T>) {
    assert_eq!(decode(key, value).as_ref(), Some(whole));
    for bit in 0..value.len() * 8 {
        let mut flipped = value.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(decode(key, &flipped), None, "bit {bit} of the value");
    }
    for bit in 0..key.len() * 8 {
        let mut flipped = key.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(decode(&flipped, value), None, "bit {bit} of the key");
    }
    for end in 0..value.len() {
        assert_eq!(decode(key, &value[..end]), None, "cut to {end}");
    }
    assert_eq!(decode(key, &[value, &[0]].concat()), None, "one byte more");
    check_garbage(key, value.len() - 9, decode);
}

/// Bytes with a right checksum that are no such value: decoding ends, whatever it comes to, and takes no memory for what
/// the bytes only claim.
fn check_garbage<T>(key: &[u8], len: usize, decode: impl Fn(&[u8], &[u8]) -> Option<T>) {
    let mut rng = ChaCha8Rng::seed_from_u64(len as u64);
    for round in 0..2_000 {
        let mut bytes = vec![0; rng.next_u64() as usize % (2 * len + 2)];
        rng.fill_bytes(&mut bytes);
        if round % 2 == 0 {
            bytes.iter_mut().for_each(|byte| *byte = if *byte > 99 { 0xff } else { *byte % 3 });
        }
        decode(key, &Writer::new(bytes.len()).bytes(&bytes).seal(key));
        decode(key, &bytes);
        decode(&bytes, &Writer::new(bytes.len()).bytes(&bytes).seal(&bytes));
    }
}

fn row(body: &[u8]) -> Row {
    Row {
        seq: 77,
        epoch: 2,
        lsn: Lsn { group: 5, index: 6 },
        ts_ms: 1_700_000_000_000,
        sender: UserId(11),
        device: DeviceId(12),
        client_seq: 13,
        message_id: MessageId(14),
        kind: 1,
        flags: 0x8001,
        sent_at_ms: 15,
        ref_seq: 0,
        mls_epoch: u64::MAX,
        body: Arc::from(body),
    }
}

#[test]
fn rows() {
    let key = keys::row(CONVERSATION, 77);
    for body in [&b""[..], &[0; 60 * 1024]] {
        let row = row(body);
        assert_eq!(codec::decode_row(&key, &codec::encode_row(&key, &row, row.lsn)), Some(row));
    }
    let row = row(b"hello");
    check(&key, &codec::encode_row(&key, &row, row.lsn), &row, codec::decode_row);
}

#[test]
fn metas() {
    let key = keys::conversation(CONVERSATION);
    let direct = ConversationMeta { kind: 1, created_ms: 7, peers: vec![UserId(1), UserId(2)], title: String::new() };
    check(&key, &codec::encode_meta(&key, &direct), &direct, codec::decode_meta);
    let group = ConversationMeta { kind: 2, created_ms: 7, peers: vec![], title: "Éire 🦀".to_owned() };
    check(&key, &codec::encode_meta(&key, &group), &group, codec::decode_meta);
}

#[test]
fn checkpoints() {
    let key = keys::conversation(CONVERSATION);
    let high = |user| DeviceHigh { user: UserId(user), device: DeviceId(1), high: 5, message_id: MessageId(6) };
    let member = |user| Member { user: UserId(user), role: 1, joined_seq: 2, left_seq: u64::MAX };
    for (devices, members) in [(0, 0), (3, 0), (0, 3), (2, 1)] {
        let whole = Checkpoint {
            as_of_seq: 9,
            devices: (0..devices).map(high).collect(),
            members: (0..members).map(member).collect(),
        };
        let value = codec::encode_checkpoint(&key, 9, &whole.devices, &whole.members);
        check(&key, &value, &whole, codec::decode_checkpoint);
    }
}

#[test]
fn accounts_and_handles() {
    let key = keys::user(USER);
    let (handle, account) = ("Älice".to_owned(), b"account".to_vec());
    let whole = UserRow { handle, created_ms: 5, devices: 3, version: 7, account };
    check(&key, &codec::encode_user(&key, &whole), &whole, codec::decode_user);
    let key = keys::handle(TenantId(3), "älice");
    check(&key, &codec::encode_owner(&key, UserId(8)), &UserId(8), codec::decode_owner);
}

#[test]
fn lists() {
    let key = keys::list_row(USER, ConversationId([9; 16]));
    let about = About { kind: 2, peer: UserId(4), title: "Éire 🦀".to_owned() };
    let whole = ListRow {
        conversation: ConversationId([9; 16]),
        user_seq: 1,
        last_seq: 2,
        read_seq: 3,
        joined_seq: 4,
        left_seq: u64::MAX,
        about,
    };
    check(&key, &list_codec::encode_list_row(&key, &whole), &whole, list_codec::decode_list_row);
    let key = keys::list_order(USER, 700, ConversationId([9; 16]));
    let whole = (700, ConversationId([9; 16]));
    check(&key, &list_codec::encode_order(&key), &whole, list_codec::decode_order);
}

#[test]
fn numbers() {
    let mark = keys::mark(slot_of(CONVERSATION), CONVERSATION);
    for key in [&keys::user(USER)[..], &keys::device(USER, DeviceId(2)), &mark] {
        check(key, &list_codec::encode_number(key, u64::MAX - 1), &(u64::MAX - 1), list_codec::decode_number);
    }
}

#[test]
fn receipts() {
    let key = keys::receipt(CONVERSATION, UserId(11), DeviceId(2));
    let whole = DeviceReceipt { user: UserId(11), device: DeviceId(2), delivered_seq: 9, read_seq: 8 };
    check(&key, &list_codec::encode_receipt(&key, &whole), &whole, list_codec::decode_receipt);
}

/// The slot in a mark's key must be the conversation's: it is the one thing that a reader of marks takes from the key alone.
#[test]
fn keys_of_marks() {
    let key = keys::mark(slot_of(CONVERSATION), CONVERSATION);
    assert_eq!(keys::mark_conversation(&key), Some(CONVERSATION));
    assert_eq!(keys::mark_conversation(&keys::mark(slot_of(CONVERSATION) ^ 1, CONVERSATION)), None);
    for end in 0..key.len() {
        assert_eq!(keys::mark_conversation(&key[..end]), None, "cut to {end}");
    }
    assert_eq!(keys::mark_conversation(&[&key[..], &[0]].concat()), None, "one byte more");
}
