//! Builds writes and asks a store, in as few words as a test needs.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::sync::Arc;

use trunkline_shards::store::{
    Append, ConversationImage, ConversationKey, ConversationMeta, DeviceHigh, ListedConversation, Load, Loaded, Put,
    PutOutcome, Row, StoreFault, StoreResult, UserKey, UserRow,
};
use trunkline_storage::{Fatal, Index, Log, Misuse, Write};
use trunkline_wire::ids::{ConversationId, DeviceId, Lsn, MessageId, TenantId, UserId};

pub const ALICE: UserId = UserId(0xa11ce);
pub const BOB: UserId = UserId(0xb0b);
pub const TENANT: TenantId = TenantId(0);

/// A conversation of tenant 0, by a small number.
pub fn key(number: u8) -> ConversationKey {
    ConversationKey { tenant: TENANT, conversation: ConversationId([number; 16]) }
}

pub fn user(user: UserId) -> UserKey {
    UserKey { tenant: TENANT, user }
}

pub fn meta() -> ConversationMeta {
    ConversationMeta { kind: 1, created_ms: 1_700_000_000_000, members: vec![BOB, ALICE] }
}

/// A row of Alice's first device whose `client_seq` is its seq.
pub fn row(seq: u64, body: &[u8]) -> Row {
    sent_row(seq, ALICE, 1, seq, body)
}

pub fn sent_row(seq: u64, sender: UserId, device: u32, client_seq: u64, body: &[u8]) -> Row {
    Row {
        seq,
        epoch: 1,
        lsn: Lsn::default(),
        ts_ms: seq.saturating_add(1_700_000_000_000),
        sender,
        device: DeviceId(device),
        client_seq,
        message_id: MessageId((sender.0 << 32 | u64::from(device) << 24) ^ client_seq),
        kind: 1,
        flags: 0,
        sent_at_ms: 0,
        ref_seq: 0,
        mls_epoch: 0,
        body: Arc::from(body),
    }
}

pub fn rows(seqs: std::ops::RangeInclusive<u64>) -> Vec<Row> {
    seqs.map(|seq| row(seq, format!("message {seq}").as_bytes())).collect()
}

/// An append; with the meta if it begins at seq 1.
pub fn append(key: ConversationKey, rows: Vec<Row>) -> Write {
    let meta = rows.first().is_some_and(|row| row.seq == 1).then(meta);
    Write::Append(Box::new(Append { key, meta, rows }))
}

pub fn claim(folded: &str, user: UserId) -> Write {
    Write::Put(Box::new(Put::ClaimHandle { tenant: TENANT, folded: folded.to_owned(), user }))
}

pub fn checkpoint(key: ConversationKey, as_of_seq: u64, devices: Vec<DeviceHigh>) -> Write {
    Write::Put(Box::new(Put::Checkpoint { key, as_of_seq, devices }))
}

pub fn device_high(user: UserId, device: u32, high: u64) -> DeviceHigh {
    DeviceHigh { user, device: DeviceId(device), high, message_id: sent_row(1, user, device, high, b"").message_id }
}

pub fn account(key: UserKey, handle: &str) -> Write {
    let row = UserRow { handle: handle.to_owned(), created_ms: 5, devices: 1 };
    Write::Put(Box::new(Put::User { key, row }))
}

/// Rows without what the store filled in.
pub fn unplaced(rows: &[Row]) -> Vec<Row> {
    rows.iter().map(|row| Row { lsn: Lsn::default(), ..row.clone() }).collect()
}

pub fn seqs(rows: &[Row]) -> Vec<u64> {
    rows.iter().map(|row| row.seq).collect()
}

/// Both sides of a store, and what must outlive it.
pub struct Store {
    pub log: Box<dyn Log>,
    pub index: Arc<dyn Index>,
    /// Goes last: the folder of an embedded store.
    pub folder: Option<tempfile::TempDir>,
}

impl Store {
    pub fn commit(&mut self, writes: &[Write]) -> Vec<StoreResult> {
        self.log.commit(writes).unwrap_or_else(|fatal| panic!("{fatal}"))
    }

    /// Commits rows in a group of their own; they must be taken.
    pub fn append(&mut self, key: ConversationKey, rows: Vec<Row>) -> Lsn {
        match self.commit(&[append(key, rows)])[..] {
            [StoreResult::Appended(Ok(lsn))] => lsn,
            ref other => panic!("not appended: {other:?}"),
        }
    }

    pub fn put(&mut self, put: Write) -> PutOutcome {
        match self.commit(&[put])[..] {
            [StoreResult::Put(Ok(outcome))] => outcome,
            ref other => panic!("not put: {other:?}"),
        }
    }

    /// The misuse a group is refused for.
    pub fn misuse(&mut self, writes: &[Write]) -> Misuse {
        match self.log.commit(writes) {
            Err(Fatal::Caller(misuse)) => misuse,
            other => panic!("not refused: {other:?}"),
        }
    }

    pub fn load(&self, load: Load) -> Loaded {
        self.index.load(&load).unwrap_or_else(|fault: StoreFault| panic!("{load:?}: {fault:?}"))
    }

    pub fn conversation(&self, key: ConversationKey) -> Option<ConversationImage> {
        match self.load(Load::Conversation { key }) {
            Loaded::Conversation(image) => image.map(|image| *image),
            other => panic!("{other:?}"),
        }
    }

    pub fn history(&self, key: ConversationKey, from_seq: u64, backward: bool, rows_max: u32, cost: u32) -> Vec<Row> {
        match self.load(Load::History { key, from_seq, backward, rows_max, cost_bytes_max: cost }) {
            Loaded::History(rows) => rows,
            other => panic!("{other:?}"),
        }
    }

    /// All rows, oldest first.
    pub fn all(&self, key: ConversationKey) -> Vec<Row> {
        self.history(key, 0, false, u32::MAX, u32::MAX)
    }

    /// The seq of what is found among `from..=to`.
    pub fn find_send(&self, key: ConversationKey, sender: UserId, client_seq: u64, from: u64, to: u64) -> Option<u64> {
        let device = DeviceId(1);
        match self.load(Load::FindSend { key, user: sender, device, client_seq, from_seq: from, to_seq: to }) {
            Loaded::FoundSend(row) => row.map(|row| row.seq),
            other => panic!("{other:?}"),
        }
    }

    pub fn list(&self, key: UserKey, after: Option<u8>, most: u32) -> (Vec<ListedConversation>, bool) {
        let after = after.map(|number| ConversationId([number; 16]));
        match self.load(Load::Conversations { key, after, conversations_max: most }) {
            Loaded::Conversations(listed, more) => (listed, more),
            other => panic!("{other:?}"),
        }
    }

    pub fn handle(&self, tenant: TenantId, folded: &str) -> Option<UserId> {
        match self.load(Load::Handle { tenant, folded: folded.to_owned() }) {
            Loaded::Handle(user) => user,
            other => panic!("{other:?}"),
        }
    }

    pub fn account(&self, key: UserKey) -> Option<UserRow> {
        match self.load(Load::User { key }) {
            Loaded::User(row) => row.map(|row| *row),
            other => panic!("{other:?}"),
        }
    }
}
