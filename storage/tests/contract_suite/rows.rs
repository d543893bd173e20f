//! Builds writes and asks a store, in as few words as a test needs.

use std::sync::Arc;

use trunkline_shards::store::{
    About, Append, ConversationImage, ConversationKey, ConversationMeta, DeviceHigh, DeviceReceipt, ListChange,
    ListRow, Load, Loaded, Member, Put, PutOutcome, Revocation, Row, StoreFault, StoreResult, UserKey, UserRow,
};
use trunkline_storage::{Fatal, Index, Log, Misuse, Write};
use trunkline_wire::ids::{ConversationId, DeviceId, Lsn, MessageId, TenantId, UserId};
use trunkline_wire::message::{Change, ContentKind, Encoder, Role};

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
    ConversationMeta { kind: 1, created_ms: 1_700_000_000_000, peers: vec![BOB, ALICE], title: String::new() }
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
    Write::Append(Box::new(Append { key, meta, mark: None, rows }))
}

/// An append that comes with a mark.
pub fn marked(key: ConversationKey, announced_seq: u64, rows: Vec<Row>) -> Write {
    let meta = rows.first().is_some_and(|row| row.seq == 1).then(meta);
    Write::Append(Box::new(Append { key, meta, mark: Some(announced_seq), rows }))
}

pub fn put(put: Put) -> Write {
    Write::Put(Box::new(put))
}

pub fn unmark(key: ConversationKey) -> Write {
    put(Put::Unmark { key })
}

/// A change of members as the server writes it, without a number of a device.
pub fn change_row(seq: u64, sender: UserId, change: Change, users: &[UserId]) -> Row {
    let body = Encoder::new().membership_change(change, users, "");
    Row { kind: ContentKind::Membership as u8, ..sent_row(seq, sender, 1, 0, &body) }
}

pub fn member(user: UserId, role: Role, joined_seq: u64, left_seq: u64) -> Member {
    Member { user, role: role as u8, joined_seq, left_seq }
}

pub fn receipt(user: UserId, device: u32, delivered_seq: u64, read_seq: u64) -> DeviceReceipt {
    DeviceReceipt { user, device: DeviceId(device), delivered_seq, read_seq }
}

pub fn receipts(key: ConversationKey, receipts: &[DeviceReceipt]) -> Write {
    put(Put::Receipts { key, receipts: receipts.to_vec() })
}

pub fn ceiling(key: UserKey, ceiling: u64) -> Write {
    put(Put::Ceiling { key, ceiling })
}

pub fn position(key: UserKey, device: u32, position: u64) -> Write {
    put(Put::Position { key, device: DeviceId(device), position })
}

pub fn revoke(revocation: Revocation, now_s: u64) -> Write {
    put(Put::Revoke { revocation, now_s })
}

pub fn about() -> About {
    About { kind: 2, peer: UserId(0), title: "Éire 🦀".to_owned() }
}

/// That a conversation has news up to `last_seq`, in a user's list.
pub fn news(key: UserKey, number: u8, user_seq: u64, last_seq: u64) -> ListChange {
    let conversation = ConversationId([number; 16]);
    ListChange { key, conversation, user_seq, last_seq, read_seq: 0, window: None, about: about() }
}

/// What a list has of [`news`].
pub fn list_row(number: u8, user_seq: u64, last_seq: u64) -> ListRow {
    let conversation = ConversationId([number; 16]);
    let (joined_seq, left_seq) = (1, u64::MAX);
    ListRow { conversation, user_seq, last_seq, read_seq: 0, joined_seq, left_seq, about: about() }
}

pub fn lists(changes: Vec<ListChange>) -> Write {
    put(Put::List { changes })
}

pub fn claim(folded: &str, user: UserId) -> Write {
    Write::Put(Box::new(Put::ClaimHandle { tenant: TENANT, folded: folded.to_owned(), user }))
}

pub fn checkpoint(key: ConversationKey, as_of_seq: u64, devices: Vec<DeviceHigh>) -> Write {
    put(Put::Checkpoint { key, as_of_seq, devices, members: Vec::new() })
}

pub fn device_high(user: UserId, device: u32, high: u64) -> DeviceHigh {
    DeviceHigh { user, device: DeviceId(device), high, message_id: sent_row(1, user, device, high, b"").message_id }
}

pub fn account(key: UserKey, handle: &str) -> Write {
    let row = UserRow { handle: handle.to_owned(), created_ms: 5, devices: 1, ..UserRow::default() };
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
    #[expect(dead_code, reason = "it goes with the store")]
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

    /// What the mark of a conversation says.
    pub fn mark(&self, key: ConversationKey) -> Option<u64> {
        self.conversation(key).expect("there").mark
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

    /// The rows between two numbers, highest first, and whether there are more.
    pub fn list(&self, key: UserKey, above: u64, below: u64, rows_max: u32) -> (Vec<ListRow>, bool) {
        match self.load(Load::List { key, above, below, rows_max }) {
            Loaded::List(rows, more) => (rows, more),
            other => panic!("{other:?}"),
        }
    }

    pub fn list_row(&self, key: UserKey, number: u8) -> Option<ListRow> {
        match self.load(Load::ListRow { key, conversation: ConversationId([number; 16]) }) {
            Loaded::ListRow(row) => row.map(|row| *row),
            other => panic!("{other:?}"),
        }
    }

    pub fn ceiling(&self, key: UserKey) -> u64 {
        match self.load(Load::Ceiling { key }) {
            Loaded::Ceiling(ceiling) => ceiling,
            other => panic!("{other:?}"),
        }
    }

    pub fn position(&self, key: UserKey, device: u32) -> Option<u64> {
        match self.load(Load::Position { key, device: DeviceId(device) }) {
            Loaded::Position(position) => position,
            other => panic!("{other:?}"),
        }
    }

    pub fn revocations(&self, after: Option<Revocation>, revocations_max: u32) -> (Vec<Revocation>, bool) {
        match self.load(Load::Revocations { after, revocations_max }) {
            Loaded::Revocations(revocations, more) => (revocations, more),
            other => panic!("{other:?}"),
        }
    }

    pub fn missing(&self, users: &[UserId]) -> Vec<UserId> {
        match self.load(Load::MissingUsers { tenant: TENANT, users: users.to_vec() }) {
            Loaded::MissingUsers(missing) => missing,
            other => panic!("{other:?}"),
        }
    }

    pub fn marks(
        &self,
        slots: std::ops::RangeInclusive<u16>,
        after: Option<ConversationKey>,
        marks_max: u32,
    ) -> (Vec<ConversationKey>, bool) {
        let (from_slot, to_slot) = slots.into_inner();
        match self.load(Load::Marks { from_slot, to_slot, after, marks_max }) {
            Loaded::Marks(marks, more) => (marks, more),
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
