//! Values of users' lists and contacts, of watermarks and of marks, in the form of [`super::sealed`].

use trunkline_shards::store::{About, ContactRow, ContactState, DeviceReceipt, ListRow};
use trunkline_wire::ids::{ConversationId, DeviceId, UserId};

use super::sealed::{Reader, Writer};

/// A user's row of a conversation, which is the key's.
pub(crate) fn encode_list_row(key: &[u8], row: &ListRow) -> Vec<u8> {
    let head = Writer::new(53 + row.about.title.len()).u64(row.user_seq).u64(row.last_seq).u64(row.read_seq);
    let window = head.u64(row.joined_seq).u64(row.left_seq);
    window.u8(row.about.kind).u64(row.about.peer.0).text(&row.about.title).seal(key)
}

pub(crate) fn decode_list_row(key: &[u8], value: &[u8]) -> Option<ListRow> {
    let conversation = super::keys::list_conversation(key)?;
    let mut fields = Reader::open(key, value)?;
    let row = ListRow {
        conversation,
        user_seq: fields.u64()?,
        last_seq: fields.u64()?,
        read_seq: fields.u64()?,
        joined_seq: fields.u64()?,
        left_seq: fields.u64()?,
        about: About { kind: fields.u8()?, peer: UserId(fields.u64()?), title: fields.text()? },
    };
    fields.end(row)
}

/// That a list's row has a number; the key says it all.
pub(crate) fn encode_order(key: &[u8]) -> Vec<u8> {
    Writer::new(0).seal(key)
}

/// The number, and whose it is.
pub(crate) fn decode_order(key: &[u8], value: &[u8]) -> Option<(u64, ConversationId)> {
    let listed = super::keys::listed_at(key)?;
    Reader::open(key, value)?.end(listed)
}

/// A ceiling, a position, the announced seq of a mark, or the time of a revocation.
pub(crate) fn encode_number(key: &[u8], number: u64) -> Vec<u8> {
    Writer::new(8).u64(number).seal(key)
}

pub(crate) fn decode_number(key: &[u8], value: &[u8]) -> Option<u64> {
    let mut fields = Reader::open(key, value)?;
    let number = fields.u64()?;
    fields.end(number)
}

/// A device's watermarks; whose is the key's.
pub(crate) fn encode_receipt(key: &[u8], receipt: &DeviceReceipt) -> Vec<u8> {
    Writer::new(16).u64(receipt.delivered_seq).u64(receipt.read_seq).seal(key)
}

pub(crate) fn decode_receipt(key: &[u8], value: &[u8]) -> Option<DeviceReceipt> {
    let (user, device): (UserId, DeviceId) = super::keys::receipt_device(key)?;
    let mut fields = Reader::open(key, value)?;
    let receipt = DeviceReceipt { user, device, delivered_seq: fields.u64()?, read_seq: fields.u64()? };
    fields.end(receipt)
}

/// What a user is to another; who they are is the key's.
pub(crate) fn encode_contact(key: &[u8], row: &ContactRow) -> Vec<u8> {
    Writer::new(10).u8(row.state as u8).u8(row.blocked.into()).u64(row.changed_ms).seal(key)
}

pub(crate) fn decode_contact(key: &[u8], value: &[u8]) -> Option<ContactRow> {
    let mut fields = Reader::open(key, value)?;
    let state = ContactState::from_number(fields.u8()?)?;
    let row = ContactRow { state, blocked: fields.u8()? != 0, changed_ms: fields.u64()? };
    fields.end(row)
}

/// The same, and with whom.
pub(crate) fn decode_contact_of(key: &[u8], value: &[u8]) -> Option<(UserId, ContactRow)> {
    Some((super::keys::contact_peer(key)?, decode_contact(key, value)?))
}
