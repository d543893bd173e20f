//! Loads, put together from ordered reads; every backend brings the reads and shares the rest.

mod people;

use std::collections::BTreeMap;

use trunkline_shards::members::Members;
use trunkline_shards::store::{
    ContactRow, ConversationImage, ConversationKey, ConversationMeta, DeviceHigh, DeviceReceipt, ListRow, Load, Loaded,
    Member, RECENT_COST_BYTES_MAX, RECENT_ROWS_MAX, Revocation, Row, StoreFault, UserKey, UserRow,
};
use trunkline_wire::ids::{ConversationId, DeviceId, HashSlot, TenantId, UserId};
use trunkline_wire::limits::message_cost_bytes;
use trunkline_wire::message::ContentKind;

/// How far the devices of a conversation were at a seq, and who was a member.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Checkpoint {
    pub(crate) as_of_seq: u64,
    pub(crate) devices: Vec<DeviceHigh>,
    pub(crate) members: Vec<Member>,
}

/// The hash slot a conversation's mark is kept under.
pub(crate) fn slot_of(key: ConversationKey) -> u16 {
    HashSlot::of_conversation(key.tenant, key.conversation).number()
}

type Read<T> = Result<T, StoreFault>;

/// Why something was not read, where that makes a difference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ReadFault {
    /// It is there, and its bytes are not what was written. Another attempt finds the same.
    Damaged,
    /// The read failed; nothing is known of what is there.
    Failed,
}

impl From<ReadFault> for StoreFault {
    fn from(_: ReadFault) -> StoreFault {
        StoreFault::Unknown
    }
}

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

    /// A damaged one is logged and none: the next watermark takes its place.
    fn receipt(&self, key: ConversationKey, user: UserId, device: DeviceId) -> Read<Option<DeviceReceipt>>;

    /// In order of (user, device). A damaged one is logged and left out.
    fn receipts(&self, key: ConversationKey) -> impl Iterator<Item = Read<DeviceReceipt>>;

    /// A damaged one is logged and 0: everything is announced again.
    fn mark(&self, key: ConversationKey) -> Read<Option<u64>>;

    /// Conversations with a mark in these hash slots, in order of (slot, key), from behind `after`. A damaged one is logged
    /// and left out.
    fn marks(&self, from: u16, to: u16, after: Option<ConversationKey>) -> impl Iterator<Item = Read<ConversationKey>>;

    fn list_row(&self, key: UserKey, conversation: ConversationId) -> Result<Option<ListRow>, ReadFault>;

    /// Numbers and conversations of a list with number in `from..=to`, descending, without their rows. A damaged one is
    /// logged and left out.
    fn list_down(&self, key: UserKey, from: u64, to: u64) -> impl Iterator<Item = Read<(u64, ConversationId)>>;

    /// 0: none.
    fn ceiling(&self, key: UserKey) -> Read<u64>;

    /// A damaged one is logged and 0: the device is told of everything.
    fn position(&self, key: UserKey, device: DeviceId) -> Read<Option<u64>>;

    /// In order, from behind `after`. One whose time is damaged is logged and counts for all tokens; one whose key is, is
    /// left out.
    fn revocations(&self, after: Option<Revocation>) -> impl Iterator<Item = Read<Revocation>>;

    /// A damaged one is logged and none: whoever changes it next writes it anew.
    fn contact(&self, key: UserKey, peer: UserId) -> Read<Option<ContactRow>>;

    /// In order of user. A damaged one is logged and left out.
    fn contacts_behind(&self, key: UserKey, after: UserId) -> impl Iterator<Item = Read<(UserId, ContactRow)>>;

    /// From this one on (itself included), in order of bytes. A damaged one is logged and left out.
    fn handles_from(&self, tenant: TenantId, first: &str) -> impl Iterator<Item = Read<(String, UserId)>>;

    /// Of the same tenant from this one on (itself included), in order of id. A damaged one is logged and left out.
    fn metas_from(&self, first: ConversationKey) -> impl Iterator<Item = Read<(ConversationId, ConversationMeta)>>;
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
        &Load::Contact { key, peer } => Loaded::Contact(reads.contact(key, peer)?, people::counts(reads, key)?),
        &Load::Contacts { key, after, rows_max } => {
            let (entries, more) = people::contacts(reads, key, after, rows_max as usize)?;
            Loaded::Contacts(entries, more)
        }
        &Load::Blocks { tenant, peers } => Loaded::Blocks(people::blocks(reads, tenant, &peers)?),
        Load::Handles { tenant, prefix, after, rows_max } => {
            let (handles, more) = people::handles(reads, *tenant, prefix, after, *rows_max as usize)?;
            Loaded::Handles(handles, more)
        }
        &Load::Conversations { tenant, after, rows_max } => {
            let (entries, more) = people::conversations(reads, tenant, after, rows_max as usize)?;
            Loaded::Conversations(entries, more)
        }
        Load::MissingUsers { tenant, users } => Loaded::MissingUsers(missing(reads, *tenant, users)?),
        &Load::Ceiling { key } => Loaded::Ceiling(reads.ceiling(key)?),
        &Load::Position { key, device } => Loaded::Position(reads.position(key, device)?),
        &Load::List { key, above, below, rows_max } => {
            let (rows, more) = list(reads, key, above, below, rows_max as usize)?;
            Loaded::List(rows, more)
        }
        &Load::ListRow { key, conversation } => Loaded::ListRow(list_row(reads, key, conversation)?.map(Box::new)),
        &Load::Marks { from_slot, to_slot, after, marks_max } => {
            let (marks, more) = first_of(reads.marks(from_slot, to_slot, after), marks_max as usize)?;
            Loaded::Marks(marks, more)
        }
        &Load::Revocations { after, revocations_max } => {
            let (revocations, more) = first_of(reads.revocations(after), revocations_max as usize)?;
            Loaded::Revocations(revocations, more)
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
    let checkpoint_seq = checkpoint.as_of_seq;
    let mut tail = Tail::from(checkpoint.devices);
    // Newest first: one pass serves the devices above the checkpoint and the recent rows, whichever reaches further down.
    for row in reads.rows_down(key, 0, u64::MAX) {
        let row = row?;
        let counted = row.seq <= checkpoint_seq;
        if !tail.take(row, counted) && counted {
            break;
        }
    }
    tail.recent.rows.reverse();
    let mut members = Members::from_list(checkpoint.members);
    // Members change in the order of the log, so these few rows are read again upwards: nothing is kept meanwhile.
    if let Some(first_seq) = tail.first_change_seq {
        for row in reads.rows_up(key, first_seq, tail.last_seq) {
            members.apply(&row?);
        }
    }
    Ok(Some(ConversationImage {
        blocks: people::blocks(reads, key.tenant, &meta.peers)?,
        meta,
        last_seq: tail.last_seq,
        devices: tail.devices.into_values().collect(),
        checkpoint_seq,
        members: members.to_list(),
        receipts: reads.receipts(key).collect::<Read<_>>()?,
        mark: reads.mark(key)?,
        recent: tail.recent.rows,
    }))
}

/// What the newest rows of a conversation come to.
struct Tail {
    last_seq: u64,
    devices: BTreeMap<(UserId, DeviceId), DeviceHigh>,
    /// The first row above the checkpoint that changes members.
    first_change_seq: Option<u64>,
    recent: Page,
    recent_is_full: bool,
}

impl Tail {
    fn from(devices: Vec<DeviceHigh>) -> Tail {
        Tail {
            last_seq: 0,
            devices: devices.into_iter().map(|high| ((high.user, high.device), high)).collect(),
            first_change_seq: None,
            recent: Page::new(RECENT_ROWS_MAX, RECENT_COST_BYTES_MAX),
            recent_is_full: false,
        }
    }

    /// Takes the next row downwards; `counted`: the checkpoint covers it. False: no more recent rows fit.
    fn take(&mut self, row: Row, counted: bool) -> bool {
        self.last_seq = self.last_seq.max(row.seq);
        // What the server wrote has no number of a device.
        if !counted && row.client_seq > 0 {
            let high =
                DeviceHigh { user: row.sender, device: row.device, high: row.client_seq, message_id: row.message_id };
            let known = self.devices.entry((row.sender, row.device)).or_insert(high);
            if known.high < high.high {
                *known = high;
            }
        }
        if !counted && row.kind == ContentKind::Membership as u8 {
            self.first_change_seq = Some(row.seq);
        }
        self.recent_is_full = self.recent_is_full || !self.recent.take(row);
        !self.recent_is_full
    }
}

fn missing(reads: &impl Reads, tenant: TenantId, users: &[UserId]) -> Read<Vec<UserId>> {
    let is_there = |user: UserId| reads.user(UserKey { tenant, user }).map(|row| row.is_some());
    let absent = users.iter().filter_map(|&user| match is_there(user) {
        Ok(true) => None,
        Ok(false) => Some(Ok(user)),
        Err(fault) => Some(Err(fault)),
    });
    absent.collect()
}

/// Reads the rows that it returns, and of all others nothing.
fn list(reads: &impl Reads, key: UserKey, above: u64, below: u64, rows_max: usize) -> Read<(Vec<ListRow>, bool)> {
    let (Some(from), Some(to)) = (above.checked_add(1), below.checked_sub(1)) else { return Ok((Vec::new(), false)) };
    let mut page = Vec::new();
    for listed in reads.list_down(key, from, to) {
        let (user_seq, conversation) = listed?;
        if page.len() >= rows_max {
            return Ok((page, true));
        }
        match list_row(reads, key, conversation)? {
            Some(row) if row.user_seq == user_seq => page.push(row),
            _ => tracing::error!("tenant {}: conversation {conversation} is listed but left out", key.tenant.0),
        }
    }
    Ok((page, false))
}

/// A damaged row counts as none: it must not keep its user from those behind it (REL-10). Where the read failed the row may
/// be whole, and a client that is told of a later position would miss it for good.
fn list_row(reads: &impl Reads, key: UserKey, conversation: ConversationId) -> Read<Option<ListRow>> {
    match reads.list_row(key, conversation) {
        Err(ReadFault::Damaged) => Ok(None),
        read => Ok(read?),
    }
}

/// The first so many, and whether there are more.
fn first_of<T>(mut found: impl Iterator<Item = Read<T>>, most: usize) -> Read<(Vec<T>, bool)> {
    let page = found.by_ref().take(most).collect::<Read<Vec<T>>>()?;
    Ok((page, found.next().transpose()?.is_some()))
}
