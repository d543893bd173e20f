//! Values of conversations, accounts and the store itself, in the form of [`super::sealed`].

use std::sync::Arc;

use trunkline_shards::store::{ConversationMeta, DeviceHigh, Member, Row, UserRow};
use trunkline_wire::ids::{DeviceId, Lsn, MessageId, UserId};

use super::sealed::{Reader, Writer};
use crate::reads::Checkpoint;

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
    let head = Writer::new(13 + meta.title.len() + 8 * meta.peers.len());
    let head = head.u8(meta.kind).u64(meta.created_ms).text(&meta.title);
    meta.peers.iter().fold(head, |value, peer| value.u64(peer.0)).seal(key)
}

pub(crate) fn decode_meta(key: &[u8], value: &[u8]) -> Option<ConversationMeta> {
    let mut fields = Reader::open(key, value)?;
    let (kind, created_ms, title) = (fields.u8()?, fields.u64()?, fields.text()?);
    let (peers, []) = fields.rest().as_chunks::<8>() else { return None };
    let peers = peers.iter().map(|id| UserId(u64::from_le_bytes(*id))).collect();
    Some(ConversationMeta { kind, created_ms, peers, title })
}

const DEVICE_HIGH_BYTES: usize = 28;
const MEMBER_BYTES: usize = 25;

pub(crate) fn encode_checkpoint(key: &[u8], as_of_seq: u64, devices: &[DeviceHigh], members: &[Member]) -> Vec<u8> {
    let head = Writer::new(16 + DEVICE_HIGH_BYTES * devices.len() + MEMBER_BYTES * members.len());
    let head = head.u64(as_of_seq).u32(devices.len() as u32).u32(members.len() as u32);
    let device = |value: Writer, device: &DeviceHigh| {
        value.u64(device.user.0).u32(device.device.0).u64(device.high).u64(device.message_id.0)
    };
    let member = |value: Writer, member: &Member| {
        value.u64(member.user.0).u8(member.role).u64(member.joined_seq).u64(member.left_seq)
    };
    members.iter().fold(devices.iter().fold(head, device), member).seal(key)
}

pub(crate) fn decode_checkpoint(key: &[u8], value: &[u8]) -> Option<Checkpoint> {
    let mut fields = Reader::open(key, value)?;
    let (as_of_seq, device_count, member_count) = (fields.u64()?, fields.u32()? as usize, fields.u32()? as usize);
    let devices = fields.records::<DEVICE_HIGH_BYTES, _>(device_count, |fields| {
        Some(DeviceHigh {
            user: UserId(fields.u64()?),
            device: DeviceId(fields.u32()?),
            high: fields.u64()?,
            message_id: MessageId(fields.u64()?),
        })
    })?;
    let members = fields.records::<MEMBER_BYTES, _>(member_count, |fields| {
        Some(Member {
            user: UserId(fields.u64()?),
            role: fields.u8()?,
            joined_seq: fields.u64()?,
            left_seq: fields.u64()?,
        })
    })?;
    fields.end(Checkpoint { as_of_seq, devices, members })
}

pub(crate) fn encode_user(key: &[u8], row: &UserRow) -> Vec<u8> {
    Writer::new(24 + row.handle.len() + row.account.len())
        .u64(row.created_ms)
        .u32(row.devices)
        .u64(row.version)
        .text(&row.handle)
        .bytes(&row.account)
        .seal(key)
}

pub(crate) fn decode_user(key: &[u8], value: &[u8]) -> Option<UserRow> {
    let mut fields = Reader::open(key, value)?;
    let (created_ms, devices, version) = (fields.u64()?, fields.u32()?, fields.u64()?);
    Some(UserRow { handle: fields.text()?, created_ms, devices, version, account: fields.rest().to_vec() })
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
