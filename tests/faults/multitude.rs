//! A folder with 100,000 users and 100,000 conversations, written directly with the store, and what is in it.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use trunkline_shards::store::{
    About, Append, ConversationKey, ConversationMeta, ListChange, Put, Row, StoreResult, UserKey, UserRow,
};
use trunkline_storage::{Log, Options, Write, embedded};
use trunkline_wire::ids::{ConversationId, DeviceId, Lsn, MessageId, TenantId, UserId};
use trunkline_wire::message::{Change, ContentKind, ConversationKind, Encoder};

pub const USERS: u64 = 100_000;
pub const CONVERSATIONS: u64 = 100_000;
/// Users who have a direct conversation with many.
pub const HUBS: u64 = 100;
/// Conversations that are groups.
const GROUPS: u64 = 2_000;
/// Conversations of two.
pub const DIRECTS: u64 = CONVERSATIONS - GROUPS;
const GROUP_MEMBERS: u64 = 10;
/// Numbers of a list are given in steps of so many.
const CEILING: u64 = 1_024;
const SINCE_MS: u64 = 1_700_000_000_000;
/// Writes that become durable together.
const BATCH: usize = 4_000;
/// Rows in one write of lists.
const LIST_ROWS: usize = 250;
const TENANT: TenantId = TenantId(0);
const _: () = assert!(DIRECTS <= USERS - HUBS && DIRECTS.is_multiple_of(HUBS));

/// The user of a number.
pub fn user(number: u64) -> UserId {
    UserId((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// A conversation: the numbers of its members, the first of whom spoke first.
pub struct Conversation {
    pub id: ConversationId,
    pub members: Vec<u64>,
    pub is_group: bool,
}

/// The conversation of a number.
pub fn conversation(number: u64) -> Conversation {
    if number < DIRECTS {
        let (hub, peer) = (number % HUBS, HUBS + number);
        return Conversation {
            id: ConversationId::direct(TENANT, user(hub), user(peer)),
            members: vec![hub, peer],
            is_group: false,
        };
    }
    let first = (number - DIRECTS) * 37;
    let members: Vec<u64> = (0..GROUP_MEMBERS).map(|step| HUBS + (first + step * 4_999) % (USERS - HUBS)).collect();
    Conversation { id: ConversationId::group(TENANT, user(members[0]), number + 1), members, is_group: true }
}

/// What was said there: (seq, text).
pub fn texts(number: u64) -> [(u64, String); 2] {
    let first = if number < DIRECTS { 1 } else { 2 };
    [first, first + 1].map(|seq| (seq, format!("number {seq} of conversation {number}, which is about nothing at all")))
}

/// One of a hub's direct conversations.
pub fn direct_of_hub(hub: u64, index: u64) -> u64 {
    hub + HUBS * (index % (DIRECTS / HUBS))
}

/// The direct conversation of somebody who is no hub; there are fewer than users.
pub fn direct_of(peer: u64) -> u64 {
    peer - HUBS
}

struct Writer<L> {
    log: L,
    batch: Vec<Write>,
    changes: Vec<ListChange>,
    /// The numbers given in each list.
    counters: HashMap<u64, u64>,
}

impl<L: Log> Writer<L> {
    fn put(&mut self, put: Put) {
        self.batch.push(Write::Put(Box::new(put)));
        if self.batch.len() >= BATCH {
            self.commit();
        }
    }

    fn commit(&mut self) {
        let results = self.log.commit(&self.batch).expect("the store takes it");
        let refused =
            results.iter().find(|result| matches!(result, StoreResult::Appended(Err(_)) | StoreResult::Put(Err(_))));
        assert!(refused.is_none(), "a write was refused: {refused:?}");
        self.batch.clear();
    }

    fn write_user(&mut self, number: u64) {
        let row =
            UserRow { handle: format!("stored-{number}"), created_ms: SINCE_MS, devices: 1, ..UserRow::default() };
        self.put(Put::User { key: UserKey { tenant: TENANT, user: user(number) }, row });
    }

    fn write_conversation(&mut self, number: u64) {
        let Conversation { id, members, is_group } = conversation(number);
        let title = if is_group { format!("group {number}") } else { String::new() };
        let rows = rows(number, &members, is_group, &title);
        let last_seq = rows.len() as u64;
        let mut peers: Vec<UserId> = members.iter().map(|&member| user(member)).collect();
        peers.sort_unstable();
        let kind = if is_group { ConversationKind::Group } else { ConversationKind::Direct } as u8;
        let meta = ConversationMeta {
            kind,
            created_ms: SINCE_MS,
            peers: if is_group { Vec::new() } else { peers },
            title: title.clone(),
        };
        let key = ConversationKey { tenant: TENANT, conversation: id };
        // No mark: the lists have it.
        self.batch.push(Write::Append(Box::new(Append { key, meta: Some(meta), mark: None, rows })));
        for (index, &member) in members.iter().enumerate() {
            let counter = self.counters.entry(member).or_default();
            *counter += 1;
            let peer = if is_group { UserId(0) } else { user(members[1 - index]) };
            self.changes.push(ListChange {
                key: UserKey { tenant: TENANT, user: user(member) },
                conversation: id,
                user_seq: *counter,
                last_seq,
                read_seq: 0,
                window: is_group.then_some((1, u64::MAX)),
                about: About { kind, peer, title: title.clone() },
            });
        }
        if self.changes.len() >= LIST_ROWS {
            self.write_lists();
        }
    }

    fn write_lists(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        self.put(Put::List { changes });
    }

    fn write_ceilings(&mut self) {
        for (number, counter) in std::mem::take(&mut self.counters) {
            let ceiling = counter.next_multiple_of(CEILING);
            self.put(Put::Ceiling { key: UserKey { tenant: TENANT, user: user(number) }, ceiling });
        }
    }
}

fn rows(number: u64, members: &[u64], is_group: bool, title: &str) -> Vec<Row> {
    let row = |seq: u64, sender: u64, kind: ContentKind, body: Vec<u8>| Row {
        seq,
        epoch: 1,
        lsn: Lsn::default(),
        ts_ms: SINCE_MS + seq,
        sender: user(sender),
        device: DeviceId(1),
        client_seq: u64::from(kind == ContentKind::Text),
        message_id: MessageId(number * 4 + seq),
        kind: kind as u8,
        flags: 0,
        sent_at_ms: 0,
        ref_seq: 0,
        mls_epoch: 0,
        body: Arc::from(body),
    };
    let mut rows = Vec::new();
    if is_group {
        let others: Vec<UserId> = members[1..].iter().map(|&member| user(member)).collect();
        let created = Encoder::new().membership_change(Change::Created, &others, title);
        rows.push(row(1, members[0], ContentKind::Membership, created));
    }
    for ((seq, text), &sender) in texts(number).into_iter().zip(members) {
        rows.push(row(seq, sender, ContentKind::Text, text.into_bytes()));
    }
    rows
}

/// Writes all of it into the folder of a server that does not run, and leaves it as a kill would: what was synced is there,
/// and nothing was closed.
pub fn write(data: &Path) {
    let image = data.with_extension("image");
    let (log, index) = embedded::open(data, Options::default()).expect("the store opens");
    let mut writer = Writer { log, batch: Vec::new(), changes: Vec::new(), counters: HashMap::new() };
    (0..USERS).for_each(|number| writer.write_user(number));
    (0..CONVERSATIONS).for_each(|number| writer.write_conversation(number));
    writer.write_lists();
    writer.write_ceilings();
    writer.commit();
    copy(data, &image);
    drop((writer, index));
    fs::remove_dir_all(data).expect("it was written");
    fs::rename(&image, data).expect("the same file system");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    for entry in fs::read_dir(from).expect("readable") {
        let (entry, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?))).expect("readable");
        let target = to.join(entry.file_name().expect("a name"));
        if kind.is_dir() {
            copy(&entry, &target);
        } else {
            fs::copy(&entry, &target).expect("room");
        }
    }
}
