//! How a group becomes one batch of the database.

use fjall::{Keyspace, OwnedWriteBatch, PersistMode};
use trunkline_shards::store::UserKey;

use super::codec::{self, Group, Identity};
use super::tables::Tables;
use super::{keys, list_codec};
use crate::plan::{Change, ListChanged};
use crate::reads::slot_of;

/// What the journal adds to key and value.
const JOURNAL_ITEM_BYTES: u64 = 21;

impl Tables {
    /// Starts the batch of a group. The group's row is the first, see [`super::journal`].
    pub(crate) fn batch(&self, number: u64) -> Batch<'_> {
        let mut batch =
            Batch { tables: self, batch: self.db.batch().durability(Some(PersistMode::SyncData)), bytes: 0 };
        let group = Group { number, seqno_min: self.db.seqno() };
        batch.put(&self.store, keys::GROUP, codec::encode_group(self.store_id, group));
        batch
    }
}

/// A group on its way to the disk.
pub(crate) struct Batch<'a> {
    tables: &'a Tables,
    batch: OwnedWriteBatch,
    /// What it takes in the journal, about.
    bytes: u64,
}

impl Batch<'_> {
    pub(crate) fn put_identity(&mut self, identity: Identity) {
        self.put(&self.tables.store, keys::IDENTITY, codec::encode_identity(keys::IDENTITY, identity));
    }

    pub(crate) fn apply(&mut self, change: &Change<'_>) {
        let tables = self.tables;
        match change {
            &Change::Row(key, row, lsn) => {
                let key = keys::row(key, row.seq);
                self.put(&tables.messages, &key, codec::encode_row(&key, row, lsn));
            }
            &Change::Meta(key, meta) => {
                let key = keys::conversation(key);
                self.put(&tables.conversations, &key, codec::encode_meta(&key, meta));
            }
            &Change::User(key, row) => {
                let key = keys::user(key);
                self.put(&tables.users, &key, codec::encode_user(&key, row));
            }
            &Change::Handle(tenant, folded, user) => {
                let key = keys::handle(tenant, folded);
                self.put(&tables.handles, &key, codec::encode_owner(&key, user));
            }
            &Change::Checkpoint(key, as_of_seq, devices, members) => {
                let key = keys::conversation(key);
                self.put(&tables.checkpoints, &key, codec::encode_checkpoint(&key, as_of_seq, devices, members));
            }
            &Change::Mark(key, announced_seq) => self.put_mark(&keys::mark(slot_of(key), key), announced_seq),
            Change::Receipt(key, receipt) => {
                let key = keys::receipt(*key, receipt.user, receipt.device);
                self.put(&tables.receipts, &key, list_codec::encode_receipt(&key, receipt));
            }
            Change::List(key, changed) => self.put_list(*key, changed),
            &Change::Ceiling(key, ceiling) => {
                let key = keys::user(key);
                self.put(&tables.ceilings, &key, list_codec::encode_number(&key, ceiling));
            }
            Change::Contact(key, peer, row) => {
                let key = keys::contact(*key, *peer);
                match row {
                    Some(row) => self.put(&tables.contacts, &key, list_codec::encode_contact(&key, row)),
                    None => self.batch.remove(&tables.contacts, key),
                }
            }
            &Change::Position(key, device, position) => {
                let key = keys::device(key, device);
                self.put(&tables.positions, &key, list_codec::encode_number(&key, position));
            }
            Change::Revocation(revocation) => {
                let key = keys::revocation(revocation);
                self.put(&tables.revocations, &key, list_codec::encode_number(&key, revocation.issued_to_s));
            }
            Change::Outlived(revocation) => self.batch.remove(&tables.revocations, keys::revocation(revocation)),
        }
    }

    fn put_mark(&mut self, key: &[u8], announced_seq: Option<u64>) {
        let table = &self.tables.unannounced;
        match announced_seq {
            Some(seq) => self.put(table, key, list_codec::encode_number(key, seq)),
            None => self.batch.remove(table, key),
        }
    }

    fn put_list(&mut self, user: UserKey, ListChanged { row, old_user_seq }: &ListChanged) {
        let tables = self.tables;
        let key = keys::list_row(user, row.conversation);
        self.put(&tables.lists, &key, list_codec::encode_list_row(&key, row));
        if *old_user_seq == Some(row.user_seq) {
            return;
        }
        if let Some(old) = *old_user_seq {
            self.batch.remove(&tables.list_order, keys::list_order(user, old, row.conversation));
        }
        let order = keys::list_order(user, row.user_seq, row.conversation);
        self.put(&tables.list_order, &order, list_codec::encode_order(&order));
    }

    pub(super) fn put(&mut self, table: &Keyspace, key: &[u8], value: Vec<u8>) {
        self.bytes += JOURNAL_ITEM_BYTES + (key.len() + value.len()) as u64;
        self.batch.insert(table, key, value);
    }

    /// Writes and syncs. Bytes of journal that this took, about.
    pub(crate) fn commit(self) -> fjall::Result<u64> {
        self.batch.commit()?;
        Ok(self.bytes)
    }
}
