//! The tables in fjall: which there are, how they are read at one moment, and how a group becomes one batch.

use std::path::Path;

use fjall::config::CompressionPolicy;
use fjall::{
    AbstractTree, CompressionType, Database, Guard, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode,
    Readable, Snapshot, UserValue,
};
use trunkline_shards::store::{ConversationKey, ConversationMeta, Row, StoreFault, UserKey, UserRow};
use trunkline_wire::ids::{ConversationId, TenantId, UserId};

use super::Options;
use super::codec::{self, Group, Identity};
use super::keys;
use crate::limits::{JOURNAL_BYTES_MAX, MEMTABLE_BYTES_MAX};
use crate::plan::Change;
use crate::reads::{Checkpoint, Reads};

/// One less than what a commit is stopped for: at most one memtable is sealed per commit.
const SEALED_MEMTABLES_MAX: usize = 3;
/// Two less than what a commit is stopped for.
const LEVEL_0_RUNS_MAX: usize = 28;

/// An open database. Dropping it waits for its threads and frees its lock.
pub(crate) struct Tables {
    store_id: [u8; 16],
    /// (tenant, conversation, seq) -> row.
    messages: Keyspace,
    /// (tenant, conversation) -> meta.
    conversations: Keyspace,
    /// (tenant, conversation) -> checkpoint.
    conversation_devices: Keyspace,
    /// (tenant, user, conversation), the list of each user.
    user_conversations: Keyspace,
    /// (tenant, user) -> account.
    users: Keyspace,
    /// (tenant, folded handle) -> user.
    handles: Keyspace,
    /// What is said of the store itself.
    store: Keyspace,
    // Last: the keyspaces let go before the database waits for its threads.
    db: Database,
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
            conversation_devices: table("conversation_devices")?,
            user_conversations: table("user_conversations")?,
            users: table("users")?,
            handles: table("handles")?,
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
        let tables = [&self.messages, &self.conversations, &self.conversation_devices, &self.user_conversations];
        let others = [&self.users, &self.handles, &self.store];
        tables.into_iter().chain(others).any(|table| {
            table.sealed_memtable_count() >= SEALED_MEMTABLES_MAX || table.tree.l0_run_count() >= LEVEL_0_RUNS_MAX
        })
    }

    /// Starts the batch of a group. The group's row is the first, see [`super::journal`].
    pub(crate) fn batch(&self, number: u64) -> Batch<'_> {
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncData));
        let group = Group { number, seqno_min: self.db.seqno() };
        batch.insert(&self.store, keys::GROUP, codec::encode_group(self.store_id, group));
        Batch { tables: self, batch }
    }
}

/// A group on its way to the disk.
pub(crate) struct Batch<'a> {
    tables: &'a Tables,
    batch: OwnedWriteBatch,
}

impl Batch<'_> {
    pub(crate) fn put_identity(&mut self, identity: Identity) {
        self.put(&self.tables.store, keys::IDENTITY, codec::encode_identity(keys::IDENTITY, identity));
    }

    pub(crate) fn apply(&mut self, change: &Change<'_>) {
        let tables = self.tables;
        match *change {
            Change::Row(key, row, lsn) => {
                let key = keys::row(key, row.seq);
                self.put(&tables.messages, &key, codec::encode_row(&key, row, lsn));
            }
            Change::Meta(key, meta) => {
                let key = keys::conversation(key);
                self.put(&tables.conversations, &key, codec::encode_meta(&key, meta));
            }
            Change::Listed(user, conversation) => {
                let key = keys::listed(user, conversation);
                self.put(&tables.user_conversations, &key, codec::encode_listed(&key));
            }
            Change::User(key, row) => {
                let key = keys::user(key);
                self.put(&tables.users, &key, codec::encode_user(&key, row));
            }
            Change::Handle(tenant, folded, user) => {
                let key = keys::handle(tenant, folded);
                self.put(&tables.handles, &key, codec::encode_owner(&key, user));
            }
            Change::Checkpoint(key, as_of_seq, devices) => {
                let key = keys::conversation(key);
                self.put(&tables.conversation_devices, &key, codec::encode_checkpoint(&key, as_of_seq, devices));
            }
        }
    }

    fn put(&mut self, table: &Keyspace, key: &[u8], value: Vec<u8>) {
        self.batch.insert(table, key, value);
    }

    /// Writes and syncs.
    pub(crate) fn commit(self) -> fjall::Result<()> {
        self.batch.commit()
    }
}

/// The tables as they were at one moment.
pub(crate) struct View<'a> {
    tables: &'a Tables,
    snapshot: Snapshot,
}

/// What cannot be read or decoded is named in the log and unknown to the caller.
fn unreadable(table: &Keyspace, key: &[u8], reason: &dyn std::fmt::Display) -> StoreFault {
    let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    log::error!("table {}, key {key}: {reason}; check the disk (dmesg, smartctl)", &**table.name());
    StoreFault::Unknown
}

impl View<'_> {
    /// The number of the newest group; 0: none.
    pub(crate) fn group(&self) -> Result<u64, StoreFault> {
        let decode = |_: &[u8], value: &[u8]| codec::decode_group(self.tables.store_id, value);
        Ok(self.get(&self.tables.store, keys::GROUP, decode)?.map_or(0, |group| group.number))
    }

    pub(crate) fn identity(&self) -> Result<Option<Identity>, StoreFault> {
        self.get(&self.tables.store, keys::IDENTITY, codec::decode_identity)
    }

    fn get<T>(
        &self,
        table: &Keyspace,
        key: &[u8],
        decode: impl FnOnce(&[u8], &[u8]) -> Option<T>,
    ) -> Result<Option<T>, StoreFault> {
        let value: Option<UserValue> = self.snapshot.get(table, key).map_err(|error| unreadable(table, key, &error))?;
        let Some(value) = value else { return Ok(None) };
        match decode(key, &value) {
            None => Err(unreadable(table, key, &"the value is damaged")),
            decoded => Ok(decoded),
        }
    }

    /// What lies under the keys `from..=to`; nothing where they are the wrong way round.
    fn range(&self, table: &Keyspace, from: &[u8], to: &[u8]) -> impl DoubleEndedIterator<Item = Guard> + use<> {
        (from <= to).then(|| self.snapshot.range(table, from..=to)).into_iter().flatten()
    }

    fn row(&self, guard: Guard) -> Result<Row, StoreFault> {
        let table = &self.tables.messages;
        let (key, value) = guard.into_inner().map_err(|error| unreadable(table, &[], &error))?;
        codec::decode_row(&key, &value).ok_or_else(|| unreadable(table, &key, &"the row is damaged"))
    }
}

impl Reads for View<'_> {
    fn meta(&self, key: ConversationKey) -> Result<Option<ConversationMeta>, StoreFault> {
        self.get(&self.tables.conversations, &keys::conversation(key), codec::decode_meta)
    }

    fn checkpoint(&self, key: ConversationKey) -> Result<Option<Checkpoint>, StoreFault> {
        self.get(&self.tables.conversation_devices, &keys::conversation(key), codec::decode_checkpoint)
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
        keys::row_seq(&last).ok_or_else(|| unreadable(table, &last, &"the key is damaged"))
    }

    fn user(&self, key: UserKey) -> Result<Option<UserRow>, StoreFault> {
        self.get(&self.tables.users, &keys::user(key), codec::decode_user)
    }

    fn handle(&self, tenant: TenantId, folded: &str) -> Result<Option<UserId>, StoreFault> {
        self.get(&self.tables.handles, &keys::handle(tenant, folded), codec::decode_owner)
    }

    fn listed(
        &self,
        key: UserKey,
        after: Option<ConversationId>,
    ) -> impl Iterator<Item = Result<ConversationId, StoreFault>> {
        let table = &self.tables.user_conversations;
        let from = keys::listed(key, after.unwrap_or(ConversationId([0; 16])));
        let listed = self.range(table, &from, &keys::listed(key, ConversationId([0xff; 16])));
        let conversations = listed.map(move |guard| {
            let found = guard.key().map_err(|error| unreadable(table, &from, &error))?;
            keys::listed_conversation(&found).ok_or_else(|| unreadable(table, &found, &"the key is damaged"))
        });
        conversations.filter(move |conversation| after.is_none() || *conversation != after.ok_or(StoreFault::Unknown))
    }
}
