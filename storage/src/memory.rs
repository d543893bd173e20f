//! A store in memory: every promise but durability.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use trunkline_shards::store::{
    ConversationKey, ConversationMeta, Load, Loaded, Row, StoreFault, StoreResult, UserKey, UserRow,
};
use trunkline_wire::ids::{ConversationId, TenantId, UserId};

use crate::contract::{Fatal, Index, Log, Write};
use crate::plan::{Change, Heads, plan};
use crate::reads::{self, Checkpoint, Reads};

/// A store in memory. Clones share their content: one is the log, the others read.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
}

#[derive(Debug, Default)]
struct Tables {
    group: u64,
    rows: BTreeMap<(ConversationKey, u64), Row>,
    metas: BTreeMap<ConversationKey, ConversationMeta>,
    checkpoints: BTreeMap<ConversationKey, Checkpoint>,
    listed: BTreeSet<(UserKey, ConversationId)>,
    users: BTreeMap<UserKey, UserRow>,
    handles: BTreeMap<(TenantId, String), UserId>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }
}

impl Log for MemoryStore {
    fn commit(&mut self, writes: &[Write]) -> Result<Vec<StoreResult>, Fatal> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let group = tables.group + 1;
        let plan = plan(&*tables, &mut Heads::default(), group, writes).map_err(Fatal::Caller)?;
        tables.group = group;
        for change in plan.changes {
            tables.apply(change);
        }
        Ok(plan.results)
    }

    fn incarnation(&self) -> u64 {
        1
    }
}

impl Index for MemoryStore {
    fn load(&self, load: &Load) -> Result<Loaded, StoreFault> {
        reads::load(&*self.tables.lock().unwrap_or_else(PoisonError::into_inner), load)
    }
}

impl Tables {
    fn apply(&mut self, change: Change<'_>) {
        match change {
            Change::Row(key, row, lsn) => {
                self.rows.insert((key, row.seq), Row { lsn, ..row.clone() });
            }
            Change::Meta(key, meta) => {
                self.metas.insert(key, meta.clone());
            }
            Change::Listed(key, conversation) => {
                self.listed.insert((key, conversation));
            }
            Change::User(key, row) => {
                self.users.insert(key, row.clone());
            }
            Change::Handle(tenant, folded, user) => {
                self.handles.insert((tenant, folded.to_owned()), user);
            }
            Change::Checkpoint(key, as_of_seq, devices) => {
                self.checkpoints.insert(key, Checkpoint { as_of_seq, devices: devices.to_vec() });
            }
        }
    }

    /// A range that is empty where `from` lies above `to`.
    fn range(&self, key: ConversationKey, from: u64, to: u64) -> impl DoubleEndedIterator<Item = &Row> {
        let range = (from <= to).then(|| self.rows.range((key, from)..=(key, to)));
        range.into_iter().flatten().map(|(_, row)| row)
    }
}

impl Reads for Tables {
    fn meta(&self, key: ConversationKey) -> Result<Option<ConversationMeta>, StoreFault> {
        Ok(self.metas.get(&key).cloned())
    }

    fn checkpoint(&self, key: ConversationKey) -> Result<Option<Checkpoint>, StoreFault> {
        Ok(self.checkpoints.get(&key).cloned())
    }

    fn rows_up(&self, key: ConversationKey, from: u64, to: u64) -> impl Iterator<Item = Result<Row, StoreFault>> {
        self.range(key, from, to).cloned().map(Ok)
    }

    fn rows_down(&self, key: ConversationKey, from: u64, to: u64) -> impl Iterator<Item = Result<Row, StoreFault>> {
        self.range(key, from, to).rev().cloned().map(Ok)
    }

    fn last_seq(&self, key: ConversationKey) -> Result<u64, StoreFault> {
        Ok(self.range(key, 0, u64::MAX).next_back().map_or(0, |row| row.seq))
    }

    fn user(&self, key: UserKey) -> Result<Option<UserRow>, StoreFault> {
        Ok(self.users.get(&key).cloned())
    }

    fn handle(&self, tenant: TenantId, folded: &str) -> Result<Option<UserId>, StoreFault> {
        Ok(self.handles.get(&(tenant, folded.to_owned())).copied())
    }

    fn listed(
        &self,
        key: UserKey,
        after: Option<ConversationId>,
    ) -> impl Iterator<Item = Result<ConversationId, StoreFault>> {
        let from = after.unwrap_or(ConversationId([0; 16]));
        let range = self.listed.range((key, from)..=(key, ConversationId([0xff; 16])));
        range.map(|&(_, conversation)| conversation).filter(move |id| Some(*id) != after).map(Ok)
    }
}
