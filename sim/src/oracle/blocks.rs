//! Who blocks whom, as far as that is certain, and what a 1:1 may take and refuse because of it.

use std::collections::BTreeMap;

use trunkline_shards::store::{ContactRow, Load, Loaded, UserKey};
use trunkline_wire::ids::{MessageId, UserId};

use super::TENANT;
use crate::store::Store;

/// What is certain of one side, and after how many changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Certainty {
    /// Changes that were begun.
    changes: u64,
    /// Whether it blocks; none: a change is under way, or nobody knows what became of one.
    blocks: Option<bool>,
}

impl Certainty {
    /// Nobody ever blocked anybody.
    pub const OPEN: Certainty = Certainty { changes: 0, blocks: Some(false) };

    /// Whether nothing may be refused because of it.
    pub fn is_open(self) -> bool {
        self.blocks == Some(false)
    }
}

#[derive(Default)]
struct Side {
    under_way: usize,
    /// Nothing failed since none was under way.
    clean: bool,
    /// Of the changes that are told.
    newest: ContactRow,
    changes: u64,
    in_doubt: bool,
}

/// All sides that were ever changed, and when messages were sent first.
#[derive(Default)]
pub struct Blocks {
    /// By who blocks, and whom.
    sides: BTreeMap<(UserId, UserId), Side>,
    first_sent: BTreeMap<MessageId, Certainty>,
}

impl Blocks {
    /// Somebody asks for a change.
    pub fn begin(&mut self, blocker: UserId, peer: UserId) {
        let side = self.sides.entry((blocker, peer)).or_default();
        if side.under_way == 0 {
            side.clean = true;
        }
        side.changes += 1;
        side.under_way += 1;
    }

    /// A change is durable, and the home of the 1:1 was told.
    pub fn told(&mut self, blocker: UserId, peer: UserId, row: ContactRow) {
        let side = self.sides.get_mut(&(blocker, peer)).expect("it was begun");
        side.under_way -= 1;
        if row.changed_ms >= side.newest.changed_ms {
            side.newest = row;
        }
        if side.under_way == 0 {
            side.in_doubt = !side.clean;
        }
    }

    /// Nobody knows what became of a change.
    pub fn failed(&mut self, blocker: UserId, peer: UserId) {
        let side = self.sides.get_mut(&(blocker, peer)).expect("it was begun");
        side.under_way -= 1;
        (side.clean, side.in_doubt) = (false, true);
    }

    /// A process begins: what is durable holds.
    pub fn begin_anew(&mut self, store: &Store) {
        for (&(user, peer), side) in &mut self.sides {
            let Loaded::Contact(row, _) = store.read(&Load::Contact { key: UserKey { tenant: TENANT, user }, peer })
            else {
                unreachable!("a contact is one")
            };
            *side = Side { newest: row.unwrap_or_default(), changes: side.changes + 1, ..Side::default() };
        }
    }

    /// What is certain of one side now.
    pub fn certainty(&self, blocker: UserId, peer: UserId) -> Certainty {
        let Some(side) = self.sides.get(&(blocker, peer)) else { return Certainty::OPEN };
        let certain = side.under_way == 0 && !side.in_doubt;
        Certainty { changes: side.changes, blocks: certain.then_some(side.newest.blocked) }
    }

    /// A message leaves its sender, perhaps not for the first time.
    pub fn sent(&mut self, message_id: MessageId, now: Certainty) {
        self.first_sent.entry(message_id).or_insert(now);
    }

    /// Whether a message was taken all of whose sendings came behind a block that still holds.
    pub fn is_wrongly_taken(&self, message_id: MessageId, now: Certainty) -> bool {
        now.blocks == Some(true) && self.first_sent.get(&message_id) == Some(&now)
    }
}
