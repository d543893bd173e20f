//! The lists of users with the numbers of their changes, what devices reported, and what a crash leaves of both.

use std::collections::BTreeMap;

use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::message::{Summary, UserReceipt};

use super::super::dice::Dice;
use super::Device;

/// Counters of a server that was restored from a backup begin at a multiple of this.
const INCARNATION: u64 = 1 << 40;

#[derive(Clone, Copy, Debug)]
pub struct ListRow {
    pub last_seq: u64,
    pub joined: u64,
    pub left: u64,
    pub user_seq: u64,
    is_group: bool,
}

#[derive(Default)]
struct List {
    counter: u64,
    told: u64,
    rows: BTreeMap<ConversationId, ListRow>,
}

/// Delivered and read.
type Watermarks = (u64, u64);

#[derive(Default)]
pub struct Lists {
    lists: BTreeMap<UserId, List>,
    receipts: BTreeMap<(ConversationId, Device), Watermarks>,
    /// What of the receipts a crash leaves.
    kept: BTreeMap<(ConversationId, Device), Watermarks>,
    positions: BTreeMap<Device, u64>,
    incarnation: u64,
}

/// What Advanced says: from, to, and the places.
type Untold = (u64, u64, Vec<(ConversationId, u64)>);

/// What Synced says.
pub struct SyncPage {
    pub span: (u64, u64),
    pub rows: Vec<Summary<'static>>,
    pub more: bool,
    pub resync: bool,
}

impl Lists {
    /// A conversation of a user's list has changed.
    pub fn change(&mut self, user: UserId, id: ConversationId, (seq, joined, left): (u64, u64, u64), is_group: bool) {
        let list = self.lists.entry(user).or_default();
        list.counter += 1;
        let user_seq = list.counter;
        list.rows.insert(id, ListRow { last_seq: seq, joined, left, user_seq, is_group });
    }

    pub fn counter(&self, user: UserId) -> u64 {
        self.lists.get(&user).map_or(0, |list| list.counter)
    }

    pub fn rows(&self, user: UserId) -> BTreeMap<ConversationId, ListRow> {
        self.lists.get(&user).map(|list| list.rows.clone()).unwrap_or_default()
    }

    /// Whether a user is to be told of its list.
    pub fn is_untold(&self, user: UserId) -> bool {
        self.lists.get(&user).is_some_and(|list| list.counter > list.told)
    }

    /// What Advanced says of everything since the last one.
    pub fn untold(&mut self, user: UserId) -> Option<Untold> {
        let list = self.lists.get_mut(&user).filter(|list| list.counter > list.told)?;
        let (from, to) = (list.told, list.counter);
        list.told = to;
        let rows = list.rows.iter().filter(|(_, row)| row.user_seq > from);
        Some((from, to, rows.map(|(&id, row)| (id, row.last_seq)).collect()))
    }

    pub fn stored(&self, device: Device) -> Option<u64> {
        self.positions.get(&device).copied()
    }

    pub fn store(&mut self, device: Device, position: u64) {
        if position > 0 {
            let stored = self.positions.entry(device).or_default();
            *stored = position.max(*stored);
        }
    }

    /// A page of what changed behind a position (none: nothing is stored).
    pub fn page(&self, user: UserId, position: Option<u64>, below: u64, limit: usize) -> SyncPage {
        let to = self.counter(user);
        let Some(position) = position else {
            return SyncPage { span: (to, to), rows: Vec::new(), more: false, resync: false };
        };
        let resync = position > to || position > 0 && position < self.incarnation * INCARNATION;
        let from = if resync { 0 } else { position };
        let mut rows: Vec<(ConversationId, ListRow)> = self.rows(user).into_iter().collect();
        rows.retain(|(_, row)| row.user_seq > from && (below == 0 || row.user_seq < below));
        rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.user_seq));
        let more = rows.len() > limit;
        rows.truncate(limit);
        let summary = |(id, row): (ConversationId, ListRow)| Summary {
            conversation: id,
            kind: if row.is_group { 2 } else { 1 },
            peer: UserId(0),
            last_seq: row.last_seq,
            user_seq: row.user_seq,
            read_seq: self.of_user(id, user).1,
            joined_seq: row.joined,
            left_seq: if row.left == u64::MAX { 0 } else { row.left },
            title: "",
        };
        SyncPage { span: (from, to), rows: rows.into_iter().map(summary).collect(), more, resync }
    }

    /// A device is so far; says whether that is farther than before.
    pub fn receive(&mut self, id: ConversationId, device: Device, delivered: u64, read: u64) -> bool {
        let read_before = self.of_user(id, device.0).1;
        let known = self.receipts.entry((id, device)).or_default();
        let now = (known.0.max(delivered).max(read), known.1.max(read));
        let rises = now != *known;
        *known = now;
        if self.of_user(id, device.0).1 > read_before
            && let Some(list) = self.lists.get_mut(&device.0)
            && let Some(row) = list.rows.get_mut(&id)
        {
            list.counter += 1;
            row.user_seq = list.counter;
        }
        rises
    }

    pub fn of_device(&self, id: ConversationId, device: Device) -> Watermarks {
        self.receipts.get(&(id, device)).copied().unwrap_or_default()
    }

    /// The farthest of a user's devices.
    pub fn of_user(&self, id: ConversationId, user: UserId) -> Watermarks {
        let of_user = self.receipts.iter().filter(|((of, device), _)| *of == id && device.0 == user);
        of_user.fold((0, 0), |(delivered, read), (_, mark)| (delivered.max(mark.0), read.max(mark.1)))
    }

    pub fn receipt(&self, id: ConversationId, user: UserId) -> UserReceipt {
        let (delivered_seq, read_seq) = self.of_user(id, user);
        UserReceipt { user, delivered_seq, read_seq }
    }

    /// Receipts not yet stored may be lost. Counters go on above their ceilings, and sometimes as those of a server that was
    /// restored from a backup.
    pub fn crash(&mut self, dice: &mut Dice) {
        if dice.chance(50) {
            self.kept = self.receipts.clone();
        }
        self.receipts = self.kept.clone();
        let restored = dice.chance(15);
        if restored {
            self.incarnation += 1;
        }
        for list in self.lists.values_mut() {
            list.counter = (list.counter + dice.below(1_000)).max(self.incarnation * INCARNATION);
            list.told = list.counter;
            if restored {
                for row in list.rows.values_mut() {
                    list.counter += 1;
                    row.user_seq = list.counter;
                }
            }
        }
    }
}
