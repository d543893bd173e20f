//! A damaged small value keeps back itself only: what it was of is loaded all the same.

use trunkline_shards::store::{
    About, ContactRow, ContactState, ConversationKey, ConversationMeta, DeviceReceipt, ListRow, Load, Loaded, Put, Row,
    StoreFault, UserKey,
};
use trunkline_wire::ids::{ConversationId, DeviceId, Lsn, MessageId, TenantId, UserId};

use super::tables::Tables;
use crate::contract::Write;
use crate::embedded::{Options, keys};
use crate::plan::{Change, Heads, ListChanged, plan};
use crate::reads::{load, slot_of};

const KEY: ConversationKey = ConversationKey { tenant: TenantId(3), conversation: ConversationId([9; 16]) };
const USER: UserKey = UserKey { tenant: TenantId(3), user: UserId(11) };

fn receipt(user: u64) -> DeviceReceipt {
    DeviceReceipt { user: UserId(user), device: DeviceId(1), delivered_seq: 7, read_seq: user }
}

fn list_row(byte: u8) -> ListRow {
    ListRow {
        conversation: ConversationId([byte; 16]),
        user_seq: u64::from(byte),
        last_seq: 1,
        read_seq: 0,
        joined_seq: 1,
        left_seq: u64::MAX,
        about: About { kind: 2, peer: UserId(0), title: "a group".to_owned() },
    }
}

/// A conversation with a row, three watermarks and a mark; a user with three rows of a list, a ceiling and a position.
fn tables(folder: &std::path::Path) -> Tables {
    let tables = Tables::open(folder, [1; 16], &Options::default()).expect("a new database");
    let meta = ConversationMeta { kind: 2, created_ms: 1, peers: vec![], title: "a group".to_owned() };
    let row = Row {
        seq: 1,
        epoch: 1,
        lsn: Lsn::default(),
        ts_ms: 1,
        sender: USER.user,
        device: DeviceId(1),
        client_seq: 1,
        message_id: MessageId(1),
        kind: 1,
        flags: 0,
        sent_at_ms: 0,
        ref_seq: 0,
        mls_epoch: 0,
        body: [].into(),
    };
    let mut batch = tables.batch(1);
    batch.apply(&Change::Meta(KEY, &meta));
    batch.apply(&Change::Row(KEY, &row, row.lsn));
    batch.apply(&Change::Mark(KEY, Some(1)));
    (1..=3).for_each(|user| batch.apply(&Change::Receipt(KEY, receipt(user))));
    for byte in 1..=3 {
        batch.apply(&Change::List(USER, ListChanged { row: list_row(byte), old_user_seq: None }));
    }
    batch.apply(&Change::Ceiling(USER, 1_024));
    batch.apply(&Change::Position(USER, DeviceId(1), 3));
    batch.commit().expect("written");
    tables
}

fn image(tables: &Tables) -> (Option<u64>, Vec<DeviceReceipt>) {
    match load(&tables.view(), &Load::Conversation { key: KEY }) {
        Ok(Loaded::Conversation(Some(image))) => (image.mark, image.receipts),
        other => panic!("{other:?}"),
    }
}

fn damage(tables: &Tables, table: &fjall::Keyspace, key: &[u8]) {
    let mut batch = tables.batch(2);
    batch.put(table, key, b"not what was written".to_vec());
    batch.commit().expect("written");
}

fn write(tables: &Tables, put: Put) {
    let writes = [Write::Put(Box::new(put))];
    let plan = plan(&tables.view(), &mut Heads::default(), 3, &writes).expect("no misuse");
    let mut batch = tables.batch(3);
    plan.changes.iter().for_each(|change| batch.apply(change));
    batch.commit().expect("written");
}

#[test]
fn a_damaged_mark_is_one_from_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let tables = tables(folder.path());
    assert_eq!(image(&tables).0, Some(1));
    damage(&tables, &tables.unannounced, &keys::mark(slot_of(KEY), KEY));
    assert_eq!(image(&tables), (Some(0), (1..=3).map(receipt).collect()));
    write(&tables, Put::Unmark { key: KEY });
    assert_eq!(image(&tables).0, None);
}

#[test]
fn a_damaged_watermark_is_left_out_until_it_rises() {
    let folder = tempfile::tempdir().expect("a folder");
    let tables = tables(folder.path());
    damage(&tables, &tables.receipts, &keys::receipt(KEY, UserId(2), DeviceId(1)));
    assert_eq!(image(&tables), (Some(1), vec![receipt(1), receipt(3)]));
    write(&tables, Put::Receipts { key: KEY, receipts: vec![receipt(2)] });
    assert_eq!(image(&tables).1, (1..=3).map(receipt).collect::<Vec<_>>());
}

#[test]
fn a_damaged_row_of_a_list_is_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let tables = tables(folder.path());
    let bad = list_row(2).conversation;
    damage(&tables, &tables.lists, &keys::list_row(USER, bad));
    let page = load(&tables.view(), &Load::List { key: USER, above: 0, below: u64::MAX, rows_max: 9 });
    assert_eq!(page, Ok(Loaded::List(vec![list_row(3), list_row(1)], false)));
    assert_eq!(load(&tables.view(), &Load::ListRow { key: USER, conversation: bad }), Ok(Loaded::ListRow(None)));
}

#[test]
fn a_damaged_contact_is_left_out_until_it_is_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let tables = tables(folder.path());
    let row = ContactRow { state: ContactState::Asked, blocked: false, changed_ms: 3 };
    let peers = [UserId(2), UserId(3)];
    peers.into_iter().for_each(|peer| write(&tables, Put::Contact { key: USER, peer, row: Some(row) }));
    damage(&tables, &tables.contacts, &keys::contact(USER, UserId(2)));
    let read = || match load(&tables.view(), &Load::Contact { key: USER, peer: UserId(2) }) {
        Ok(Loaded::Contact(row, counts)) => (row, counts.asked),
        other => panic!("{other:?}"),
    };
    assert_eq!(read(), (None, 1));
    write(&tables, Put::Contact { key: USER, peer: UserId(2), row: Some(row) });
    assert_eq!(read(), (Some(row), 2));
}

#[test]
fn numbers_of_users() {
    let folder = tempfile::tempdir().expect("a folder");
    let tables = tables(folder.path());
    damage(&tables, &tables.positions, &keys::device(USER, DeviceId(1)));
    let position = Load::Position { key: USER, device: DeviceId(1) };
    assert_eq!(load(&tables.view(), &position), Ok(Loaded::Position(Some(0))), "everything is told again");
    damage(&tables, &tables.ceilings, &keys::user(USER));
    assert_eq!(
        load(&tables.view(), &Load::Ceiling { key: USER }),
        Err(StoreFault::Unknown),
        "a guess gives numbers twice"
    );
}
