//! A store in memory: every promise but durability.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use trunkline_shards::store::{
    ContactRow, ConversationKey, ConversationMeta, DeviceReceipt, ListRow, Load, Loaded, Revocation, Row, StoreFault,
    StoreResult, UserKey, UserRow,
};
use trunkline_wire::ids::{ConversationId, DeviceId, TenantId, UserId};

use crate::contract::{Fatal, Index, Log, Write};
use crate::plan::{Change, Heads, ListChanged, plan};
use crate::reads::{self, Checkpoint, ReadFault, Reads, slot_of};

/// A store in memory. Clones share their content: one is the log, the others read.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
}

#[derive(Debug, Default)]
pub(crate) struct Tables {
    group: u64,
    rows: BTreeMap<(ConversationKey, u64), Row>,
    metas: BTreeMap<ConversationKey, ConversationMeta>,
    checkpoints: BTreeMap<ConversationKey, Checkpoint>,
    /// By hash slot first.
    marks: BTreeMap<(u16, ConversationKey), u64>,
    receipts: BTreeMap<(ConversationKey, UserId, DeviceId), DeviceReceipt>,
    lists: BTreeMap<(UserKey, ConversationId), ListRow>,
    /// The same in order of their numbers.
    list_order: BTreeSet<(UserKey, u64, ConversationId)>,
    ceilings: BTreeMap<UserKey, u64>,
    positions: BTreeMap<(UserKey, DeviceId), u64>,
    contacts: BTreeMap<(UserKey, UserId), ContactRow>,
    users: BTreeMap<UserKey, UserRow>,
    handles: BTreeMap<(TenantId, String), UserId>,
    /// Whose they are, with the time of issue.
    revocations: BTreeMap<(u64, UserKey, Option<DeviceId>), u64>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// Writes a mark without the rows it is for, as a store that writes it before them may leave it.
    pub fn mark_alone(&self, key: ConversationKey, announced_seq: u64) {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = tables.marks.entry((slot_of(key), key)).or_insert(announced_seq);
        *mark = announced_seq.min(*mark);
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
    pub(crate) fn apply(&mut self, change: Change<'_>) {
        match change {
            Change::Row(key, row, lsn) => {
                self.rows.insert((key, row.seq), Row { lsn, ..row.clone() });
            }
            Change::Meta(key, meta) => {
                self.metas.insert(key, meta.clone());
            }
            Change::User(key, row) => {
                self.users.insert(key, row.clone());
            }
            Change::Handle(tenant, folded, user) => {
                self.handles.insert((tenant, folded.to_owned()), user);
            }
            Change::Checkpoint(key, as_of_seq, devices, members) => {
                let (devices, members) = (devices.to_vec(), members.to_vec());
                self.checkpoints.insert(key, Checkpoint { as_of_seq, devices, members });
            }
            Change::Mark(key, Some(announced_seq)) => {
                self.marks.insert((slot_of(key), key), announced_seq);
            }
            Change::Mark(key, None) => {
                self.marks.remove(&(slot_of(key), key));
            }
            Change::Receipt(key, receipt) => {
                self.receipts.insert((key, receipt.user, receipt.device), receipt);
            }
            Change::List(key, changed) => self.change_list(key, changed),
            Change::Ceiling(key, ceiling) => {
                self.ceilings.insert(key, ceiling);
            }
            Change::Contact(key, peer, Some(row)) => {
                self.contacts.insert((key, peer), row);
            }
            Change::Contact(key, peer, None) => {
                self.contacts.remove(&(key, peer));
            }
            Change::Position(key, device, position) => {
                self.positions.insert((key, device), position);
            }
            Change::Revocation(Revocation { until_s, key, device, issued_to_s }) => {
                self.revocations.insert((until_s, key, device), issued_to_s);
            }
            Change::Outlived(Revocation { until_s, key, device, .. }) => {
                self.revocations.remove(&(until_s, key, device));
            }
        }
    }

    fn change_list(&mut self, key: UserKey, ListChanged { row, old_user_seq }: ListChanged) {
        if let Some(old_user_seq) = old_user_seq {
            self.list_order.remove(&(key, old_user_seq, row.conversation));
        }
        self.list_order.insert((key, row.user_seq, row.conversation));
        self.lists.insert((key, row.conversation), row);
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

    fn receipt(
        &self,
        key: ConversationKey,
        user: UserId,
        device: DeviceId,
    ) -> Result<Option<DeviceReceipt>, StoreFault> {
        Ok(self.receipts.get(&(key, user, device)).copied())
    }

    fn receipts(&self, key: ConversationKey) -> impl Iterator<Item = Result<DeviceReceipt, StoreFault>> {
        let (first, last) = ((UserId(0), DeviceId(0)), (UserId(u64::MAX), DeviceId(u32::MAX)));
        let range = self.receipts.range((key, first.0, first.1)..=(key, last.0, last.1));
        range.map(|(_, receipt)| Ok(*receipt))
    }

    fn mark(&self, key: ConversationKey) -> Result<Option<u64>, StoreFault> {
        Ok(self.marks.get(&(slot_of(key), key)).copied())
    }

    fn marks(
        &self,
        from: u16,
        to: u16,
        after: Option<ConversationKey>,
    ) -> impl Iterator<Item = Result<ConversationKey, StoreFault>> {
        let key =
            |id: u32, byte: u8| ConversationKey { tenant: TenantId(id), conversation: ConversationId([byte; 16]) };
        let first = (from, key(0, 0));
        let first = after.map_or(first, |after| first.max((slot_of(after), after)));
        let last = (to, key(u32::MAX, u8::MAX));
        let range = (first <= last).then(|| self.marks.range(first..=last)).into_iter().flatten();
        range.map(|(&(_, key), _)| key).filter(move |key| Some(*key) != after).map(Ok)
    }

    fn list_row(&self, key: UserKey, conversation: ConversationId) -> Result<Option<ListRow>, ReadFault> {
        Ok(self.lists.get(&(key, conversation)).cloned())
    }

    fn list_down(
        &self,
        key: UserKey,
        from: u64,
        to: u64,
    ) -> impl Iterator<Item = Result<(u64, ConversationId), StoreFault>> {
        let (first, last) = ((key, from, ConversationId([0; 16])), (key, to, ConversationId([0xff; 16])));
        let range = (first <= last).then(|| self.list_order.range(first..=last)).into_iter().flatten();
        range.rev().map(|&(_, user_seq, conversation)| Ok((user_seq, conversation)))
    }

    fn ceiling(&self, key: UserKey) -> Result<u64, StoreFault> {
        Ok(self.ceilings.get(&key).copied().unwrap_or(0))
    }

    fn position(&self, key: UserKey, device: DeviceId) -> Result<Option<u64>, StoreFault> {
        Ok(self.positions.get(&(key, device)).copied())
    }

    fn revocations(&self, after: Option<Revocation>) -> impl Iterator<Item = Result<Revocation, StoreFault>> {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded((after.until_s, after.key, after.device)));
        let range = self.revocations.range((from, Bound::Unbounded));
        range.map(|(&(until_s, key, device), &issued_to_s)| Ok(Revocation { until_s, key, device, issued_to_s }))
    }

    fn contact(&self, key: UserKey, peer: UserId) -> Result<Option<ContactRow>, StoreFault> {
        Ok(self.contacts.get(&(key, peer)).copied())
    }

    fn contacts_behind(
        &self,
        key: UserKey,
        after: UserId,
    ) -> impl Iterator<Item = Result<(UserId, ContactRow), StoreFault>> {
        let first = UserId(after.0.saturating_add(1));
        self.contacts.range((key, first)..=(key, UserId(u64::MAX))).map(|(&(_, peer), &row)| Ok((peer, row)))
    }

    fn handles_from(
        &self,
        tenant: TenantId,
        first: &str,
    ) -> impl Iterator<Item = Result<(String, UserId), StoreFault>> {
        let found = self.handles.range((tenant, first.to_owned())..);
        let found = found.take_while(move |((of, _), _)| *of == tenant);
        found.map(|((_, folded), &user)| Ok((folded.clone(), user)))
    }

    fn metas_from(
        &self,
        first: ConversationKey,
    ) -> impl Iterator<Item = Result<(ConversationId, ConversationMeta), StoreFault>> {
        let found = self.metas.range(first..).take_while(move |(key, _)| key.tenant == first.tenant);
        found.map(|(key, meta)| Ok((key.conversation, meta.clone())))
    }
}
