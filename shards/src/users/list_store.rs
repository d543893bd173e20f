//! A store of lists, for tests, that keeps its promises and no more.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use trunkline_wire::ids::{ConversationId, DeviceId};

use crate::store::{ListChange, ListRow, Load, Loaded, Put, UserKey};

/// What is durable.
#[derive(Clone, Default)]
pub struct ListStore {
    pub rows: BTreeMap<(UserKey, ConversationId), ListRow>,
    pub ceilings: BTreeMap<UserKey, u64>,
    pub positions: BTreeMap<(UserKey, DeviceId), u64>,
    /// It gives fewer rows at a time than it is asked for; 0: it does not.
    pub rows_max: usize,
    /// Every number that was ever written, and of which row.
    pub given: BTreeMap<(UserKey, u64), ConversationId>,
}

impl ListStore {
    pub fn put(&mut self, put: &Put) {
        match put {
            Put::List { changes } => changes.iter().for_each(|change| self.change(change)),
            Put::Ceiling { key, ceiling } => {
                let held = self.ceilings.entry(*key).or_default();
                *held = (*held).max(*ceiling);
            }
            Put::Position { key, device, position } => {
                self.positions.insert((*key, *device), *position);
            }
            other => panic!("not of lists: {other:?}"),
        }
    }

    fn change(&mut self, change: &ListChange) {
        let key = change.key;
        assert!(change.user_seq <= self.ceilings[&key], "a number above the durable ceiling is written");
        let row_of_number = *self.given.entry((key, change.user_seq)).or_insert(change.conversation);
        assert_eq!(row_of_number, change.conversation, "a number is given twice");
        let row = self.rows.entry((key, change.conversation)).or_insert(ListRow {
            conversation: change.conversation,
            user_seq: 0,
            last_seq: 0,
            read_seq: 0,
            joined_seq: 1,
            left_seq: u64::MAX,
            about: change.about.clone(),
        });
        row.user_seq = row.user_seq.max(change.user_seq);
        row.last_seq = row.last_seq.max(change.last_seq);
        row.read_seq = row.read_seq.max(change.read_seq);
        if let Some((joined_seq, left_seq)) = change.window {
            if joined_seq > row.joined_seq {
                (row.joined_seq, row.left_seq) = (joined_seq, left_seq);
            } else if joined_seq == row.joined_seq {
                row.left_seq = row.left_seq.min(left_seq);
            }
        }
    }

    pub fn load(&self, load: &Load) -> Loaded {
        match load {
            Load::Ceiling { key } => Loaded::Ceiling(self.ceilings.get(key).copied().unwrap_or_default()),
            Load::Position { key, device } => Loaded::Position(self.positions.get(&(*key, *device)).copied()),
            Load::ListRow { key, conversation } => {
                Loaded::ListRow(self.rows.get(&(*key, *conversation)).cloned().map(Into::into))
            }
            Load::List { key, above, below, rows_max } => {
                let rows = self.rows.iter().filter(|((owner, _), _)| owner == key).map(|(_, row)| row);
                let asked = |row: &&ListRow| row.user_seq > *above && row.user_seq < *below;
                let mut rows: Vec<ListRow> = rows.filter(asked).cloned().collect();
                rows.sort_unstable_by_key(|row| core::cmp::Reverse(row.user_seq));
                let few = if self.rows_max == 0 { usize::MAX } else { self.rows_max };
                let rows_max = few.min(*rows_max as usize);
                let more = rows.len() > rows_max;
                rows.truncate(rows_max);
                Loaded::List(rows, more)
            }
            other => panic!("not of lists: {other:?}"),
        }
    }
}
