//! What becomes of what cannot be read, or does not decode.

use fjall::{Guard, Keyspace};
use trunkline_shards::store::StoreFault;

use crate::reads::ReadFault;

/// What cannot be read or decoded is named in the log.
fn say(table: &Keyspace, key: &[u8], reason: &dyn std::fmt::Display) {
    let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    tracing::error!("table {}, key {key}: {reason}; check the disk (dmesg, smartctl)", &**table.name());
}

/// A read failed, or came to a block that is damaged: the database has checksums of its own.
pub(super) fn unreadable(table: &Keyspace, key: &[u8], error: &fjall::Error) -> ReadFault {
    say(table, key, error);
    match error {
        fjall::Error::Storage(fjall::LsmError::Io(_)) => ReadFault::Failed,
        fjall::Error::Storage(_) | fjall::Error::Decompress(_) => ReadFault::Damaged,
        _ => ReadFault::Failed,
    }
}

pub(super) fn damaged(table: &Keyspace, key: &[u8]) -> ReadFault {
    say(table, key, &"the value is damaged");
    ReadFault::Damaged
}

/// What a scan came to. The outer error ends it; the inner one is of a value that does not decode.
pub(super) fn decode_found<T>(
    table: &Keyspace,
    guard: Guard,
    decode: impl FnOnce(&[u8], &[u8]) -> Option<T>,
) -> Result<Result<T, ReadFault>, ReadFault> {
    let (key, value) = guard.into_inner().map_err(|error| unreadable(table, &[], &error))?;
    Ok(decode(&key, &value).ok_or_else(|| damaged(table, &key)))
}

/// The same without what does not decode: it hides nothing behind it (REL-10).
pub(super) fn decodable<T>(
    table: &Keyspace,
    guard: Guard,
    decode: impl FnOnce(&[u8], &[u8]) -> Option<T>,
) -> Option<Result<T, StoreFault>> {
    let found = decode_found(table, guard, decode).map_err(StoreFault::from);
    found.map(Result::ok).transpose()
}
