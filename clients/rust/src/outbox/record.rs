//! The bytes of an outbox file: a magic, then frames of what was put and removed.
//!
//! A frame is {length u32, check of the header u32, check of the payload u64, payload}, little-endian; the checks are
//! XXH3 seeded with the frame's place in the file. One frame is one call, so that a call is there wholly or not at all.

use trunkline_wire::ids::{ConversationId, MessageId, UserId};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Record;

/// First bytes of each file.
pub(super) const MAGIC: [u8; 8] = *b"tl-obox1";

const HEADER_BYTES: usize = 16;
const RECORD_BYTES_MIN: usize = 57;

/// What a call did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Put(Vec<Record>),
    Remove(Vec<MessageId>),
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) changes: Vec<Change>,
    /// Where the next frame goes: what is behind was never finished.
    pub(super) end: usize,
}

/// A file that is damaged in a way that no crash explains.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Damaged {
    pub(super) at: usize,
}

/// Appends the frame of a change that goes to `place` in the file.
pub(super) fn encode(change: &Change, place: usize, out: &mut Vec<u8>) {
    let mut payload = Vec::new();
    match change {
        Change::Put(records) => {
            payload.push(1);
            for record in records {
                payload.extend_from_slice(&(record.body.len() as u32).to_le_bytes());
                payload.extend_from_slice(&record.message_id.0.to_le_bytes());
                payload.extend_from_slice(&record.conversation.0);
                for number in [record.peer.0, record.client_seq, record.floor_epoch, record.floor_seq] {
                    payload.extend_from_slice(&number.to_le_bytes());
                }
                payload.push(record.kind);
                payload.extend_from_slice(&record.body);
            }
        }
        Change::Remove(message_ids) => {
            payload.push(2);
            message_ids.iter().for_each(|id| payload.extend_from_slice(&id.0.to_le_bytes()));
        }
    }
    let length = (payload.len() as u32).to_le_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&header_check(length, place).to_le_bytes());
    out.extend_from_slice(&xxh3_64_with_seed(&payload, place as u64).to_le_bytes());
    out.extend_from_slice(&payload);
}

fn header_check(length: [u8; 4], place: usize) -> u32 {
    xxh3_64_with_seed(&length, place as u64) as u32
}

/// Reads a whole file. Unfinished bytes at its end are what a crash leaves; a bad frame with a good one behind it is not.
pub(super) fn decode(bytes: &[u8]) -> Result<Contents, Damaged> {
    let mut contents = Contents { changes: Vec::new(), end: 0 };
    let Some(behind) = bytes.strip_prefix(&MAGIC) else {
        let written = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let unfinished = bytes.get(..written).is_some_and(|written| MAGIC.starts_with(written));
        return if unfinished { Ok(contents) } else { Err(Damaged { at: 0 }) };
    };
    contents.end = MAGIC.len();
    let mut rest = behind;
    while let Some((change, length)) = frame(rest, contents.end) {
        contents.changes.push(change.ok_or(Damaged { at: contents.end })?);
        contents.end += length;
        rest = rest.get(length..).unwrap_or_default();
    }
    let later = (1..rest.len()).any(|skip| frame(&rest[skip..], contents.end + skip).is_some());
    if later { Err(Damaged { at: contents.end }) } else { Ok(contents) }
}

/// The frame at the start of `bytes`, when its checks are right, and its length; without a change when that is none of
/// ours.
fn frame(bytes: &[u8], place: usize) -> Option<(Option<Change>, usize)> {
    let mut rest = bytes;
    let length: [u8; 4] = take(&mut rest)?;
    if u32::from_le_bytes(take(&mut rest)?) != header_check(length, place) {
        return None;
    }
    let check = u64::from_le_bytes(take(&mut rest)?);
    let payload = rest.get(..u32::from_le_bytes(length) as usize)?;
    if xxh3_64_with_seed(payload, place as u64) != check {
        return None;
    }
    Some((change(payload), HEADER_BYTES + payload.len()))
}

fn change(payload: &[u8]) -> Option<Change> {
    let (&kind, mut rest) = payload.split_first()?;
    match kind {
        1 => {
            let mut records = Vec::new();
            while !rest.is_empty() {
                records.push(record(&mut rest)?);
            }
            Some(Change::Put(records))
        }
        2 => {
            let (ids, odd) = rest.as_chunks::<8>();
            odd.is_empty().then(|| Change::Remove(ids.iter().map(|id| MessageId(u64::from_le_bytes(*id))).collect()))
        }
        _ => None,
    }
}

fn record(rest: &mut &[u8]) -> Option<Record> {
    let body_bytes = u32::from_le_bytes(take(rest)?) as usize;
    let message_id = MessageId(u64::from_le_bytes(take(rest)?));
    let conversation = ConversationId(take(rest)?);
    let mut number = || take(rest).map(u64::from_le_bytes);
    let (peer, client_seq, floor_epoch, floor_seq) = (UserId(number()?), number()?, number()?, number()?);
    let [kind] = take(rest)?;
    let (body, behind) = rest.split_at_checked(body_bytes)?;
    *rest = behind;
    Some(Record { message_id, conversation, peer, client_seq, floor_epoch, floor_seq, kind, body: body.to_vec() })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

/// What a record takes in a file that holds nothing else, roughly.
pub(super) fn cost_bytes(record: &Record) -> u64 {
    (RECORD_BYTES_MIN + record.body.len()) as u64
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::outbox) fn record(id: u64, client_seq: u64, body: &str) -> Record {
        Record {
            message_id: MessageId(id),
            conversation: ConversationId([9; 16]),
            peer: UserId(4),
            client_seq,
            floor_epoch: 1,
            floor_seq: 17,
            kind: 1,
            body: body.as_bytes().to_vec(),
        }
    }

    fn changes() -> Vec<Change> {
        vec![
            Change::Put(vec![record(1, 5, "one"), record(2, 0, "")]),
            Change::Remove(vec![MessageId(1)]),
            Change::Put(vec![record(2, 6, "two")]),
        ]
    }

    /// A file and where its frames end.
    fn file() -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (MAGIC.to_vec(), vec![MAGIC.len()]);
        for change in changes() {
            let place = bytes.len();
            encode(&change, place, &mut bytes);
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    #[test]
    fn what_was_written_is_read() {
        let (bytes, ends) = file();
        let contents = decode(&bytes).unwrap();
        assert_eq!((contents.changes, contents.end), (changes(), ends[3]));
    }

    #[test]
    fn a_cut_anywhere_leaves_the_calls_before_it() {
        let (bytes, ends) = file();
        for cut in 0..bytes.len() {
            for tail in [vec![], vec![0; 100]] {
                let torn = [&bytes[..cut], &tail].concat();
                // Zeros may happen to be what was cut off.
                let whole = ends.iter().filter(|&&end| torn.get(..end) == Some(&bytes[..end])).count();
                let contents = decode(&torn).unwrap();
                assert_eq!(contents.changes, changes()[..whole.saturating_sub(1)], "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_changed_byte_before_the_last_frame_is_damage() {
        let (bytes, ends) = file();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            match decode(&changed) {
                Err(_) => assert!(at < ends[2], "byte {at}"),
                Ok(contents) => assert!(at >= ends[2] && contents.changes.len() == 2, "byte {at}"),
            }
        }
    }
}
