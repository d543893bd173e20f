//! The tables in fjall: which there are, and how they are read at one moment.

use std::path::Path;

use fjall::config::CompressionPolicy;
use fjall::{
    AbstractTree, CompressionType, Database, Guard, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot,
    UserValue,
};
use trunkline_shards::store::{
    ContactRow, ConversationKey, ConversationMeta, DeviceReceipt, ListRow, Revocation, Row, StoreFault, UserKey,
    UserRow,
};
use trunkline_wire::ids::{ConversationId, DeviceId, TenantId, UserId};

use super::Options;
use super::codec::{self, Identity};
use super::table_faults::{damaged, decodable, decode_found, unreadable};
use super::{keys, list_codec};
use crate::limits::{JOURNAL_BYTES_MAX, MEMTABLE_BYTES_MAX};
use crate::reads::{Checkpoint, ReadFault, Reads, slot_of};

/// One less than what a commit is stopped for: at most one memtable is sealed per commit.
const SEALED_MEMTABLES_MAX: usize = 3;
/// Two less than what a commit is stopped for.
const LEVEL_0_RUNS_MAX: usize = 28;

/// An open database. Dropping it waits for its threads and frees its lock.
pub(crate) struct Tables {
    pub(super) store_id: [u8; 16],
    /// (tenant, conversation, seq) -> row.
    pub(super) messages: Keyspace,
    /// (tenant, conversation) -> meta.
    pub(super) conversations: Keyspace,
    /// (tenant, conversation) -> checkpoint.
    pub(super) checkpoints: Keyspace,
    /// (tenant, conversation, user, device) -> watermarks.
    pub(super) receipts: Keyspace,
    /// (hash slot, tenant, conversation) -> seq up to which it is announced.
    pub(super) unannounced: Keyspace,
    /// (tenant, user, conversation) -> the conversation in the user's list.
    pub(super) lists: Keyspace,
    /// (tenant, user, user_seq, conversation), the same in order of their latest changes: one key for each row of `lists`.
    pub(super) list_order: Keyspace,
    /// (tenant, user) -> ceiling of the list's numbers.
    pub(super) ceilings: Keyspace,
    /// (tenant, user, device) -> position.
    pub(super) positions: Keyspace,
    /// (tenant, user, other user) -> what they are to each other, as the first sees it.
    pub(super) contacts: Keyspace,
    /// (tenant, user) -> account.
    pub(super) users: Keyspace,
    /// (tenant, folded handle) -> user.
    pub(super) handles: Keyspace,
    /// (end, tenant, user, device) -> time of issue up to which tokens are revoked.
    pub(super) revocations: Keyspace,
    /// What is said of the store itself.
    pub(super) store: Keyspace,
    // Last: the keyspaces let go before the database waits for its threads.
    pub(super) db: Database,
}

impl Tables {
    /// Opens or makes the database in `folder`.
    pub(crate) fn open(folder: &Path, store_id: [u8; 16], options: &Options) -> fjall::Result<Tables> {
        let db = Database::builder(folder)
            .cache_size(options.cache_bytes)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .worker_threads(options.worker_threads.max(1))
            .open()?;
        let table = |name| {
            let compression = CompressionPolicy::all(CompressionType::Lz4);
            db.keyspace(name, || {
                KeyspaceCreateOptions::default()
                    .max_memtable_size(MEMTABLE_BYTES_MAX)
                    .data_block_compression_policy(compression)
            })
        };
        Ok(Tables {
            store_id,
            messages: table("messages")?,
            conversations: table("conversations")?,
            checkpoints: table("checkpoints")?,
            receipts: table("receipts")?,
            unannounced: table("unannounced")?,
            lists: table("lists")?,
            list_order: table("list_order")?,
            ceilings: table("ceilings")?,
            positions: table("positions")?,
            contacts: table("contacts")?,
            users: table("users")?,
            handles: table("handles")?,
            revocations: table("revocations")?,
            store: table("store")?,
            db,
        })
    }

    /// What is durable now.
    pub(crate) fn view(&self) -> View<'_> {
        View { tables: self, snapshot: self.db.snapshot() }
    }

    /// Whether a thread of the database failed, so that it takes no more writes.
    pub(crate) fn is_poisoned(&self) -> bool {
        matches!(self.db.persist(PersistMode::Buffer), Err(fjall::Error::Poisoned))
    }

    /// Whether writing out lags so far behind that the database would soon stop a commit until it has caught up. It does so
    /// in steps of 100 ms, and for ever if its threads failed: a caller waits here instead.
    pub(crate) fn is_behind(&self) -> bool {
        self.all().any(|table| {
            table.sealed_memtable_count() >= SEALED_MEMTABLES_MAX || table.tree.l0_run_count() >= LEVEL_0_RUNS_MAX
        })
    }

    /// Bytes that the journals take on the disk.
    pub(super) fn journal_bytes(&self) -> fjall::Result<u64> {
        self.db.journal_disk_space()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Keyspace> {
        let of_conversations =
            [&self.messages, &self.conversations, &self.checkpoints, &self.receipts, &self.unannounced];
        let of_lists = [&self.lists, &self.list_order, &self.ceilings, &self.positions];
        let of_users = [&self.contacts, &self.users, &self.handles, &self.revocations, &self.store];
        of_conversations.into_iter().chain(of_lists).chain(of_users)
    }
}

/// The tables as they were at one moment.
pub(crate) struct View<'a> {
    tables: &'a Tables,
    snapshot: Snapshot,
}

impl View<'_> {
    /// All rows of a table.
    pub(super) fn rows(&self, table: &Keyspace) -> fjall::Iter {
        self.snapshot.iter(table)
    }

    /// The number of the newest group; 0: none.
    pub(crate) fn group(&self) -> Result<u64, StoreFault> {
        let decode = |_: &[u8], value: &[u8]| codec::decode_group(self.tables.store_id, value);
        Ok(self.get(&self.tables.store, keys::GROUP, decode)?.map_or(0, |group| group.number))
    }

    pub(crate) fn identity(&self) -> Result<Option<Identity>, StoreFault> {
        self.get(&self.tables.store, keys::IDENTITY, codec::decode_identity)
    }

    fn find<T>(
        &self,
        table: &Keyspace,
        key: &[u8],
        decode: impl FnOnce(&[u8], &[u8]) -> Option<T>,
    ) -> Result<Option<T>, ReadFault> {
        let value: Option<UserValue> = self.snapshot.get(table, key).map_err(|error| unreadable(table, key, &error))?;
        value.map(|value| decode(key, &value).ok_or_else(|| damaged(table, key))).transpose()
    }

    fn get<T>(
        &self,
        table: &Keyspace,
        key: &[u8],
        decode: impl FnOnce(&[u8], &[u8]) -> Option<T>,
    ) -> Result<Option<T>, StoreFault> {
        Ok(self.find(table, key, decode)?)
    }

    /// The same, with something that stands for a damaged value.
    fn found_or<T>(
        &self,
        table: &Keyspace,
        key: &[u8],
        decode: impl FnOnce(&[u8], &[u8]) -> Option<T>,
        of_damaged: Option<T>,
    ) -> Result<Option<T>, StoreFault> {
        match self.find(table, key, decode) {
            Err(ReadFault::Damaged) => Ok(of_damaged),
            found => Ok(found?),
        }
    }

    /// What lies under the keys `from..=to`; nothing where they are the wrong way round.
    fn range(&self, table: &Keyspace, from: &[u8], to: &[u8]) -> impl DoubleEndedIterator<Item = Guard> + use<> {
        (from <= to).then(|| self.snapshot.range(table, from..=to)).into_iter().flatten()
    }

    fn row(&self, guard: Guard) -> Result<Row, StoreFault> {
        Ok(decode_found(&self.tables.messages, guard, codec::decode_row)??)
    }
}

impl Reads for View<'_> {
    fn meta(&self, key: ConversationKey) -> Result<Option<ConversationMeta>, StoreFault> {
        self.get(&self.tables.conversations, &keys::conversation(key), codec::decode_meta)
    }

    fn metas(
        &self,
        after: Option<ConversationKey>,
    ) -> impl Iterator<Item = Result<(ConversationKey, ConversationMeta), StoreFault>> {
        let table = &self.tables.conversations;
        let first = after.map_or([0; 20], keys::conversation);
        let found = self.range(table, &first, &[0xff; 20]).map(move |guard| {
            let decode =
                |key: &[u8], value: &[u8]| Some((keys::conversation_of(key)?, codec::decode_meta(key, value)?));
            Ok(decode_found(table, guard, decode)??)
        });
        found.filter(move |found| !found.as_ref().is_ok_and(|(key, _)| Some(*key) == after))
    }

    fn checkpoint(&self, key: ConversationKey) -> Result<Option<Checkpoint>, StoreFault> {
        self.get(&self.tables.checkpoints, &keys::conversation(key), codec::decode_checkpoint)
    }

    fn rows_up(&self, key: ConversationKey, from: u64, to: u64) -> impl Iterator<Item = Result<Row, StoreFault>> {
        self.range(&self.tables.messages, &keys::row(key, from), &keys::row(key, to)).map(|guard| self.row(guard))
    }

    fn rows_down(&self, key: ConversationKey, from: u64, to: u64) -> impl Iterator<Item = Result<Row, StoreFault>> {
        let rows = self.range(&self.tables.messages, &keys::row(key, from), &keys::row(key, to));
        rows.rev().map(|guard| self.row(guard))
    }

    fn last_seq(&self, key: ConversationKey) -> Result<u64, StoreFault> {
        let table = &self.tables.messages;
        let prefix = keys::conversation(key);
        let Some(last) = self.range(table, &keys::row(key, 0), &keys::row(key, u64::MAX)).next_back() else {
            return Ok(0);
        };
        let last = last.key().map_err(|error| unreadable(table, &prefix, &error))?;
        keys::row_seq(&last).ok_or_else(|| damaged(table, &last).into())
    }

    fn user(&self, key: UserKey) -> Result<Option<UserRow>, StoreFault> {
        self.get(&self.tables.users, &keys::user(key), codec::decode_user)
    }

    fn handle(&self, tenant: TenantId, folded: &str) -> Result<Option<UserId>, StoreFault> {
        self.get(&self.tables.handles, &keys::handle(tenant, folded), codec::decode_owner)
    }

    fn receipt(
        &self,
        key: ConversationKey,
        user: UserId,
        device: DeviceId,
    ) -> Result<Option<DeviceReceipt>, StoreFault> {
        self.found_or(&self.tables.receipts, &keys::receipt(key, user, device), list_codec::decode_receipt, None)
    }

    fn receipts(&self, key: ConversationKey) -> impl Iterator<Item = Result<DeviceReceipt, StoreFault>> {
        let table = &self.tables.receipts;
        let first = keys::receipt(key, UserId(0), DeviceId(0));
        let found = self.range(table, &first, &keys::receipt(key, UserId(u64::MAX), DeviceId(u32::MAX)));
        let found = found.map(|guard| decode_found(table, guard, list_codec::decode_receipt));
        // What lies behind a damaged block cannot be reached by this scan, and may be of many conversations.
        let found = found.take_while(|found| !matches!(found, Err(ReadFault::Damaged)));
        found.filter_map(|found| found.map(Result::ok).map_err(StoreFault::from).transpose())
    }

    fn mark(&self, key: ConversationKey) -> Result<Option<u64>, StoreFault> {
        self.found_or(&self.tables.unannounced, &keys::mark(slot_of(key), key), list_codec::decode_number, Some(0))
    }

    fn marks(
        &self,
        from: u16,
        to: u16,
        after: Option<ConversationKey>,
    ) -> impl Iterator<Item = Result<ConversationKey, StoreFault>> {
        let table = &self.tables.unannounced;
        let key = |tenant, byte| ConversationKey { tenant: TenantId(tenant), conversation: ConversationId([byte; 16]) };
        let first = keys::mark(from, key(0, 0));
        let first = after.map_or(first, |after| first.max(keys::mark(slot_of(after), after)));
        let found = self.range(table, &first, &keys::mark(to, key(u32::MAX, u8::MAX)));
        // The key says it all: a mark whose value is damaged is still one, and its conversation is to be looked after.
        let keys = found.filter_map(|guard| decodable(table, guard, |key, _| keys::mark_conversation(key)));
        keys.filter(move |key| after.is_none() || *key != after.ok_or(StoreFault::Unknown))
    }

    fn list_row(&self, key: UserKey, conversation: ConversationId) -> Result<Option<ListRow>, ReadFault> {
        self.find(&self.tables.lists, &keys::list_row(key, conversation), list_codec::decode_list_row)
    }

    fn list_down(
        &self,
        key: UserKey,
        from: u64,
        to: u64,
    ) -> impl Iterator<Item = Result<(u64, ConversationId), StoreFault>> {
        let table = &self.tables.list_order;
        let first = keys::list_order(key, from, ConversationId([0; 16]));
        let found = self.range(table, &first, &keys::list_order(key, to, ConversationId([0xff; 16])));
        found.rev().filter_map(|guard| decodable(table, guard, list_codec::decode_order))
    }

    fn ceiling(&self, key: UserKey) -> Result<u64, StoreFault> {
        Ok(self.get(&self.tables.ceilings, &keys::user(key), list_codec::decode_number)?.unwrap_or(0))
    }

    fn position(&self, key: UserKey, device: DeviceId) -> Result<Option<u64>, StoreFault> {
        self.found_or(&self.tables.positions, &keys::device(key, device), list_codec::decode_number, Some(0))
    }

    fn revocations(&self, after: Option<Revocation>) -> impl Iterator<Item = Result<Revocation, StoreFault>> {
        let table = &self.tables.revocations;
        let first = after.map_or(Vec::new(), |after| [&keys::revocation(&after)[..], &[0]].concat());
        let found = self.range(table, &first, &[0xff; 24]);
        found.filter_map(|guard| {
            decodable(table, guard, |key, value| {
                let revocation = keys::revoked(key)?;
                let Some(issued_to_s) = list_codec::decode_number(key, value) else {
                    // Rather one token too many than one that was to end.
                    damaged(table, key);
                    return Some(revocation);
                };
                Some(Revocation { issued_to_s, ..revocation })
            })
        })
    }

    fn contact(&self, key: UserKey, peer: UserId) -> Result<Option<ContactRow>, StoreFault> {
        self.found_or(&self.tables.contacts, &keys::contact(key, peer), list_codec::decode_contact, None)
    }

    fn contacts_behind(
        &self,
        key: UserKey,
        after: UserId,
    ) -> impl Iterator<Item = Result<(UserId, ContactRow), StoreFault>> {
        let table = &self.tables.contacts;
        let first = UserId(after.0.saturating_add(1));
        let found = self.range(table, &keys::contact(key, first), &keys::contact(key, UserId(u64::MAX)));
        found.filter_map(|guard| decodable(table, guard, list_codec::decode_contact_of))
    }

    fn handles_from(
        &self,
        tenant: TenantId,
        first: &str,
    ) -> impl Iterator<Item = Result<(String, UserId), StoreFault>> {
        let table = &self.tables.handles;
        // No text has such a byte.
        let last = [&tenant.0.to_be_bytes()[..], &[0xff]].concat();
        let decode =
            |key: &[u8], value: &[u8]| Some((keys::handle_text(key)?.to_owned(), codec::decode_owner(key, value)?));
        let found = self.range(table, &keys::handle(tenant, first), &last);
        found.filter_map(move |guard| decodable(table, guard, decode))
    }

    fn metas_from(
        &self,
        first: ConversationKey,
    ) -> impl Iterator<Item = Result<(ConversationId, ConversationMeta), StoreFault>> {
        let table = &self.tables.conversations;
        let last = ConversationKey { conversation: ConversationId([0xff; 16]), ..first };
        let decode = |key: &[u8], value: &[u8]| Some((keys::conversation_id(key)?, codec::decode_meta(key, value)?));
        let found = self.range(table, &keys::conversation(first), &keys::conversation(last));
        found.filter_map(move |guard| decodable(table, guard, decode))
    }
}
