//! Loads, put together from ordered reads; every backend brings the reads and shares the rest.

use std::collections::BTreeMap;

use trunkline_shards::store::{
    ConversationImage, ConversationKey, ConversationMeta, DeviceHigh, ListedConversation, Load, Loaded,
    RECENT_COST_BYTES_MAX, RECENT_ROWS_MAX, Row, StoreFault, UserKey, UserRow,
};
use trunkline_wire::ids::{ConversationId, DeviceId, TenantId, UserId};
use trunkline_wire::limits::message_cost_bytes;

/// How far the devices of a conversation were at a seq.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Checkpoint {
    pub(crate) as_of_seq: u64,
    pub(crate) devices: Vec<DeviceHigh>,
}

type Read<T> = Result<T, StoreFault>;

/// Ordered reads of one consistent state.
pub(crate) trait Reads {
    fn meta(&self, key: ConversationKey) -> Read<Option<ConversationMeta>>;

    fn checkpoint(&self, key: ConversationKey) -> Read<Option<Checkpoint>>;

    /// Rows with seq in `from..=to`, ascending; either end may lie outside of what there is.
    fn rows_up(&self, key: ConversationKey, from: u64, to: u64) -> impl Iterator<Item = Read<Row>>;

    /// The same, descending.
    fn rows_down(&self, key: ConversationKey, from: u64, to: u64) -> impl Iterator<Item = Read<Row>>;

    /// 0: no rows.
    fn last_seq(&self, key: ConversationKey) -> Read<u64>;

    fn user(&self, key: UserKey) -> Read<Option<UserRow>>;

    fn handle(&self, tenant: TenantId, folded: &str) -> Read<Option<UserId>>;

    /// A user's conversations behind `after`, ascending.
    fn listed(&self, key: UserKey, after: Option<ConversationId>) -> impl Iterator<Item = Read<ConversationId>>;
}

/// Does a load.
pub(crate) fn load(reads: &impl Reads, load: &Load) -> Read<Loaded> {
    Ok(match load {
        Load::Conversation { key } => Loaded::Conversation(conversation(reads, *key)?.map(Box::new)),
        &Load::History { key, from_seq, backward, rows_max, cost_bytes_max } => {
            Loaded::History(history(reads, key, from_seq, backward, rows_max as usize, cost_bytes_max as usize)?)
        }
        &Load::FindSend { key, user, device, client_seq, from_seq, to_seq } => {
            let sent = |row: &Row| (row.sender, row.device, row.client_seq) == (user, device, client_seq);
            let mut rows = reads.rows_down(key, from_seq, to_seq);
            let found = rows.find(|row| row.as_ref().map_or(true, sent));
            Loaded::FoundSend(found.transpose()?.map(Box::new))
        }
        Load::User { key } => Loaded::User(reads.user(*key)?.map(Box::new)),
        Load::Handle { tenant, folded } => Loaded::Handle(reads.handle(*tenant, folded)?),
        &Load::Conversations { key, after, conversations_max } => {
            let (listed, more) = conversations(reads, key, after, conversations_max as usize)?;
            Loaded::Conversations(listed, more)
        }
    })
}

/// A page is what it takes until the next row does not fit; the first one always does.
struct Page {
    rows: Vec<Row>,
    rows_max: usize,
    cost_bytes: usize,
    cost_bytes_max: usize,
}

impl Page {
    fn new(rows_max: usize, cost_bytes_max: usize) -> Page {
        Page { rows: Vec::new(), rows_max, cost_bytes: 0, cost_bytes_max }
    }

    fn take(&mut self, row: Row) -> bool {
        let cost = message_cost_bytes(row.body.len());
        let fits = self.rows.len() < self.rows_max && self.cost_bytes + cost <= self.cost_bytes_max;
        if !fits && !self.rows.is_empty() {
            return false;
        }
        self.cost_bytes += cost;
        self.rows.push(row);
        true
    }
}

fn history(
    reads: &impl Reads,
    key: ConversationKey,
    from_seq: u64,
    backward: bool,
    rows_max: usize,
    cost_bytes_max: usize,
) -> Read<Vec<Row>> {
    let mut page = Page::new(rows_max, cost_bytes_max);
    if backward {
        fill(&mut page, reads.rows_down(key, 0, from_seq))?;
        page.rows.reverse();
    } else {
        fill(&mut page, reads.rows_up(key, from_seq, u64::MAX))?;
    }
    Ok(page.rows)
}

fn fill(page: &mut Page, rows: impl Iterator<Item = Read<Row>>) -> Read<()> {
    for row in rows {
        // A full page is known without decoding one more row.
        if !page.take(row?) || page.rows.len() >= page.rows_max {
            break;
        }
    }
    Ok(())
}

fn conversation(reads: &impl Reads, key: ConversationKey) -> Read<Option<ConversationImage>> {
    let Some(meta) = reads.meta(key)? else { return Ok(None) };
    let checkpoint = reads.checkpoint(key)?.unwrap_or_default();
    let by_device = |high: DeviceHigh| ((high.user, high.device), high);
    let mut devices: BTreeMap<(UserId, DeviceId), DeviceHigh> = checkpoint.devices.into_iter().map(by_device).collect();
    let mut recent = Page::new(RECENT_ROWS_MAX, RECENT_COST_BYTES_MAX);
    let mut recent_is_full = false;
    let mut last_seq = 0;
    // Newest first: one pass serves the devices above the checkpoint and the recent rows, whichever reaches further down.
    for row in reads.rows_down(key, 0, u64::MAX) {
        let row = row?;
        last_seq = last_seq.max(row.seq);
        let counted = row.seq <= checkpoint.as_of_seq;
        if !counted {
            let high =
                DeviceHigh { user: row.sender, device: row.device, high: row.client_seq, message_id: row.message_id };
            let known = devices.entry((row.sender, row.device)).or_insert(high);
            if known.high < high.high {
                *known = high;
            }
        }
        recent_is_full = recent_is_full || !recent.take(row);
        if recent_is_full && counted {
            break;
        }
    }
    recent.rows.reverse();
    Ok(Some(ConversationImage {
        meta,
        last_seq,
        devices: devices.into_values().collect(),
        checkpoint_seq: checkpoint.as_of_seq,
        recent: recent.rows,
    }))
}

fn conversations(
    reads: &impl Reads,
    user: UserKey,
    after: Option<ConversationId>,
    conversations_max: usize,
) -> Read<(Vec<ListedConversation>, bool)> {
    let mut page = Vec::new();
    for conversation in reads.listed(user, after) {
        let conversation = conversation?;
        if page.len() >= conversations_max {
            return Ok((page, true));
        }
        let key = ConversationKey { tenant: user.tenant, conversation };
        // One that cannot be read must not hide those behind it (REL-10).
        let (Ok(Some(meta)), Ok(last_seq)) = (reads.meta(key), reads.last_seq(key)) else {
            log::error!("tenant {}: conversation {conversation} is listed but cannot be read", key.tenant.0);
            continue;
        };
        page.push(ListedConversation { conversation, meta, last_seq });
    }
    Ok((page, false))
}
