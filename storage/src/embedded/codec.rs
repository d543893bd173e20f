//! Values of the tables: little-endian, with a version in front and a checksum over key and value behind.
//!
//! The checksum (XXH3-64) finds flipped bits and values that stand under a key that is not theirs. Whatever does not decode
//! is no value: a reader refuses it, and never makes one up.

use std::sync::Arc;

use trunkline_shards::store::{ConversationMeta, DeviceHigh, Row, UserRow};
use trunkline_wire::ids::{DeviceId, Lsn, MessageId, UserId};
use xxhash_rust::xxh3::Xxh3;

use crate::reads::Checkpoint;

const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 8;

/// Number of a group, and the lowest sequence number the journal can have given to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Group {
    pub(crate) number: u64,
    pub(crate) seqno_min: u64,
}

/// Which store this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    pub(crate) store_id: [u8; 16],
    pub(crate) incarnation: u64,
}

struct Writer(Vec<u8>);

impl Writer {
    fn new(bytes: usize) -> Writer {
        let mut value = Vec::with_capacity(1 + bytes + CHECKSUM_BYTES);
        value.push(VERSION);
        Writer(value)
    }

    fn u8(mut self, value: u8) -> Writer {
        self.0.push(value);
        self
    }

    fn u16(self, value: u16) -> Writer {
        self.bytes(&value.to_le_bytes())
    }

    fn u32(self, value: u32) -> Writer {
        self.bytes(&value.to_le_bytes())
    }

    fn u64(self, value: u64) -> Writer {
        self.bytes(&value.to_le_bytes())
    }

    /// Nothing for 0; the row's `present` bits say so.
    fn u64_if_any(self, value: u64) -> Writer {
        if value == 0 { self } else { self.u64(value) }
    }

    fn bytes(mut self, bytes: &[u8]) -> Writer {
        self.0.extend_from_slice(bytes);
        self
    }

    fn seal(self, key: &[u8]) -> Vec<u8> {
        let sum = checksum(key, &self.0);
        self.u64(sum).0
    }
}

fn checksum(key: &[u8], value: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(key);
    hash.update(value);
    hash.digest()
}

/// What is left to read of a value whose checksum and version are right.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn open(key: &[u8], value: &'a [u8]) -> Option<Reader<'a>> {
        let (value, sum) = value.split_last_chunk::<CHECKSUM_BYTES>()?;
        let (&version, fields) = value.split_first()?;
        (checksum(key, value) == u64::from_le_bytes(*sum) && version == VERSION).then_some(Reader(fields))
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn u64_if(&mut self, present: bool) -> Option<u64> {
        if present { self.u64() } else { Some(0) }
    }

    fn rest(self) -> &'a [u8] {
        self.0
    }

    /// `value`, if nothing is left behind it.
    fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

const SENT_AT_PRESENT: u8 = 1;
const REF_SEQ_PRESENT: u8 = 2;
const MLS_EPOCH_PRESENT: u8 = 4;
const ROW_BYTES_MAX: usize = 84;

/// The seq is the key's.
pub(crate) fn encode_row(key: &[u8], row: &Row, lsn: Lsn) -> Vec<u8> {
    let bit = |value: u64, bit: u8| if value == 0 { 0 } else { bit };
    let present = bit(row.sent_at_ms, SENT_AT_PRESENT)
        | bit(row.ref_seq, REF_SEQ_PRESENT)
        | bit(row.mls_epoch, MLS_EPOCH_PRESENT);
    Writer::new(ROW_BYTES_MAX + row.body.len())
        .u8(present)
        .u64(row.epoch)
        .u64(lsn.group)
        .u32(lsn.index)
        .u64(row.ts_ms)
        .u64(row.sender.0)
        .u32(row.device.0)
        .u64(row.client_seq)
        .u64(row.message_id.0)
        .u8(row.kind)
        .u16(row.flags)
        .u64_if_any(row.sent_at_ms)
        .u64_if_any(row.ref_seq)
        .u64_if_any(row.mls_epoch)
        .bytes(&row.body)
        .seal(key)
}

pub(crate) fn decode_row(key: &[u8], value: &[u8]) -> Option<Row> {
    let seq = super::keys::row_seq(key)?;
    let mut fields = Reader::open(key, value)?;
    let present = fields.u8()?;
    Some(Row {
        seq,
        epoch: fields.u64()?,
        lsn: Lsn { group: fields.u64()?, index: fields.u32()? },
        ts_ms: fields.u64()?,
        sender: UserId(fields.u64()?),
        device: DeviceId(fields.u32()?),
        client_seq: fields.u64()?,
        message_id: MessageId(fields.u64()?),
        kind: fields.u8()?,
        flags: fields.u16()?,
        sent_at_ms: fields.u64_if(present & SENT_AT_PRESENT != 0)?,
        ref_seq: fields.u64_if(present & REF_SEQ_PRESENT != 0)?,
        mls_epoch: fields.u64_if(present & MLS_EPOCH_PRESENT != 0)?,
        body: Arc::from(fields.rest()),
    })
}

pub(crate) fn encode_meta(key: &[u8], meta: &ConversationMeta) -> Vec<u8> {
    let head = Writer::new(9 + 8 * meta.members.len()).u8(meta.kind).u64(meta.created_ms);
    meta.members.iter().fold(head, |value, member| value.u64(member.0)).seal(key)
}

pub(crate) fn decode_meta(key: &[u8], value: &[u8]) -> Option<ConversationMeta> {
    let mut fields = Reader::open(key, value)?;
    let (kind, created_ms) = (fields.u8()?, fields.u64()?);
    let (members, []) = fields.rest().as_chunks::<8>() else { return None };
    let members = members.iter().map(|id| UserId(u64::from_le_bytes(*id))).collect();
    Some(ConversationMeta { kind, created_ms, members })
}

const DEVICE_HIGH_BYTES: usize = 28;

pub(crate) fn encode_checkpoint(key: &[u8], as_of_seq: u64, devices: &[DeviceHigh]) -> Vec<u8> {
    let head = Writer::new(8 + DEVICE_HIGH_BYTES * devices.len()).u64(as_of_seq);
    let one = |value: Writer, device: &DeviceHigh| {
        value.u64(device.user.0).u32(device.device.0).u64(device.high).u64(device.message_id.0)
    };
    devices.iter().fold(head, one).seal(key)
}

pub(crate) fn decode_checkpoint(key: &[u8], value: &[u8]) -> Option<Checkpoint> {
    let mut fields = Reader::open(key, value)?;
    let as_of_seq = fields.u64()?;
    let (devices, []) = fields.rest().as_chunks::<DEVICE_HIGH_BYTES>() else { return None };
    let one = |bytes: &[u8; DEVICE_HIGH_BYTES]| {
        let mut fields = Reader(bytes);
        Some(DeviceHigh {
            user: UserId(fields.u64()?),
            device: DeviceId(fields.u32()?),
            high: fields.u64()?,
            message_id: MessageId(fields.u64()?),
        })
    };
    Some(Checkpoint { as_of_seq, devices: devices.iter().map(one).collect::<Option<_>>()? })
}

pub(crate) fn encode_user(key: &[u8], row: &UserRow) -> Vec<u8> {
    let head = Writer::new(12 + row.handle.len()).u64(row.created_ms).u32(row.devices);
    head.bytes(row.handle.as_bytes()).seal(key)
}

pub(crate) fn decode_user(key: &[u8], value: &[u8]) -> Option<UserRow> {
    let mut fields = Reader::open(key, value)?;
    let (created_ms, devices) = (fields.u64()?, fields.u32()?);
    Some(UserRow { handle: str::from_utf8(fields.rest()).ok()?.to_owned(), created_ms, devices })
}

/// Whose a handle is.
pub(crate) fn encode_owner(key: &[u8], user: UserId) -> Vec<u8> {
    Writer::new(8).u64(user.0).seal(key)
}

pub(crate) fn decode_owner(key: &[u8], value: &[u8]) -> Option<UserId> {
    let mut fields = Reader::open(key, value)?;
    let user = UserId(fields.u64()?);
    fields.end(user)
}

/// That a conversation is in a user's list; the key says it all.
pub(crate) fn encode_listed(key: &[u8]) -> Vec<u8> {
    Writer::new(0).seal(key)
}

/// Groups are sealed with the store's id, which no client knows: a message that looks like a batch is none.
fn group_key(store_id: [u8; 16]) -> Vec<u8> {
    [super::keys::GROUP, &store_id].concat()
}

pub(crate) fn encode_group(store_id: [u8; 16], group: Group) -> Vec<u8> {
    Writer::new(16).u64(group.number).u64(group.seqno_min).seal(&group_key(store_id))
}

pub(crate) fn decode_group(store_id: [u8; 16], value: &[u8]) -> Option<Group> {
    let mut fields = Reader::open(&group_key(store_id), value)?;
    let group = Group { number: fields.u64()?, seqno_min: fields.u64()? };
    fields.end(group)
}

pub(crate) fn encode_identity(key: &[u8], identity: Identity) -> Vec<u8> {
    Writer::new(24).bytes(&identity.store_id).u64(identity.incarnation).seal(key)
}

pub(crate) fn decode_identity(key: &[u8], value: &[u8]) -> Option<Identity> {
    let mut fields = Reader::open(key, value)?;
    let identity = Identity { store_id: fields.array()?, incarnation: fields.u64()? };
    fields.end(identity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_shards::store::ConversationKey;
    use trunkline_wire::ids::{ConversationId, TenantId};

    fn row_and_key(body: &[u8]) -> (Row, [u8; 28]) {
        let key = ConversationKey { tenant: TenantId(3), conversation: ConversationId([9; 16]) };
        let row = Row {
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
        };
        (row, super::super::keys::row(key, 77))
    }

    #[test]
    fn rows_come_back_whole() {
        for body in [&b""[..], b"hello", &[0; 60 * 1024]] {
            let (row, key) = row_and_key(body);
            assert_eq!(decode_row(&key, &encode_row(&key, &row, row.lsn)), Some(row));
        }
    }

    #[test]
    fn every_flip_and_every_cut_is_no_row() {
        let (row, key) = row_and_key(b"hello");
        let value = encode_row(&key, &row, row.lsn);
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_row(&key, &flipped), None, "bit {bit}");
        }
        for end in 0..value.len() {
            assert_eq!(decode_row(&key, &value[..end]), None, "cut to {end}");
        }
        let mut other_key = key;
        other_key[27] += 1;
        assert_eq!(decode_row(&other_key, &value), None, "under the key of another row");
    }
}
