//! Reads of conversations at large: which there are, what users are called, and what was said at a time.

use trunkline_shards::store::{ArchiveLoad, ArchiveLoaded, ConversationKey, Loaded, SenderName, StoreFault, UserKey};
use trunkline_wire::ids::{TenantId, UserId};

use super::{Read, Reads, first_of, history};

pub(super) fn load(reads: &impl Reads, load: &ArchiveLoad) -> Read<Loaded> {
    Ok(match load {
        &ArchiveLoad::HistoryAt { key, at_ms, within, backward, rows_max, cost_bytes_max } => {
            let (rows_max, cost_bytes_max) = (rows_max as usize, cost_bytes_max as usize);
            let from = first_at(reads, key, at_ms, within)?;
            let from = if backward { from.checked_sub(1).filter(|&seq| seq >= within.0) } else { Some(from) };
            let rows = from.filter(|&seq| seq <= within.1);
            Loaded::History(
                rows.map_or(Ok(Vec::new()), |seq| history(reads, key, seq, backward, rows_max, cost_bytes_max))?,
            )
        }
        ArchiveLoad::Names { tenant, users } => Loaded::Archive(ArchiveLoaded::Names(names(reads, *tenant, users)?)),
        &ArchiveLoad::Conversations { after, conversations_max } => {
            let (found, more) = first_of(reads.metas(after), conversations_max as usize)?;
            Loaded::Archive(ArchiveLoaded::Conversations(found, more))
        }
    })
}

/// The first seq of a range whose row is of that time or later, else the one behind the range: at most 64 rows are read, and
/// about 20 of a million.
fn first_at(reads: &impl Reads, key: ConversationKey, at_ms: u64, (first, last): (u64, u64)) -> Read<u64> {
    let (mut low, mut high) = (first, last.saturating_add(1));
    while low < high {
        let middle = low + (high - low) / 2;
        let row = reads.rows_up(key, middle, middle).next().unwrap_or(Err(StoreFault::Unknown))?;
        if row.ts_ms < at_ms {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

fn names(reads: &impl Reads, tenant: TenantId, users: &[UserId]) -> Read<Vec<SenderName>> {
    let name = |&user: &UserId| {
        let row = reads.user(UserKey { tenant, user }).transpose()?;
        Some(row.map(|row| SenderName { user, is_imported: row.devices == 0, name: row.handle }))
    };
    users.iter().filter_map(name).collect()
}
