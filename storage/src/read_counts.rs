//! What loads and plans read: a page of a list its rows, an append nothing; and what becomes of a list with a bad row.

use std::cell::Cell;

use trunkline_shards::store::{
    About, Append, ContactRow, ConversationKey, ConversationMeta, DeviceReceipt, ListChange, ListRow, Load, Loaded,
    Put, Revocation, Row, StoreFault, StoreResult, UserKey, UserRow,
};
use trunkline_wire::ids::{ConversationId, DeviceId, Lsn, MessageId, TenantId, UserId};

use crate::contract::Write;
use crate::memory::Tables;
use crate::plan::{Heads, plan};
use crate::reads::{Checkpoint, ReadFault, Reads, load};

const USER: UserKey = UserKey { tenant: TenantId(0), user: UserId(1) };

type Read<T> = Result<T, StoreFault>;

/// Counts what is read of tables: single values, and items of scans.
struct Counted<'a> {
    tables: &'a Tables,
    values: Cell<usize>,
    items: Cell<usize>,
    /// This row of any list is not read.
    bad_row: Option<(ConversationId, ReadFault)>,
}

impl<'a> Counted<'a> {
    fn new(tables: &'a Tables) -> Counted<'a> {
        Counted { tables, values: Cell::new(0), items: Cell::new(0), bad_row: None }
    }

    fn value<T>(&self, value: T) -> T {
        self.values.update(|values| values + 1);
        value
    }

    fn items<T>(&self, items: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        items.inspect(|_| self.items.update(|items| items + 1))
    }

    fn counts(&self) -> (usize, usize) {
        (self.values.get(), self.items.get())
    }
}

impl Reads for Counted<'_> {
    fn meta(&self, key: ConversationKey) -> Read<Option<ConversationMeta>> {
        self.value(self.tables.meta(key))
    }

    fn checkpoint(&self, key: ConversationKey) -> Read<Option<Checkpoint>> {
        self.value(self.tables.checkpoint(key))
    }

    fn rows_up(&self, key: ConversationKey, from: u64, to: u64) -> impl Iterator<Item = Read<Row>> {
        self.items(self.tables.rows_up(key, from, to))
    }

    fn rows_down(&self, key: ConversationKey, from: u64, to: u64) -> impl Iterator<Item = Read<Row>> {
        self.items(self.tables.rows_down(key, from, to))
    }

    fn last_seq(&self, key: ConversationKey) -> Read<u64> {
        self.value(self.tables.last_seq(key))
    }

    fn user(&self, key: UserKey) -> Read<Option<UserRow>> {
        self.value(self.tables.user(key))
    }

    fn handle(&self, tenant: TenantId, folded: &str) -> Read<Option<UserId>> {
        self.value(self.tables.handle(tenant, folded))
    }

    fn receipt(&self, key: ConversationKey, user: UserId, device: DeviceId) -> Read<Option<DeviceReceipt>> {
        self.value(self.tables.receipt(key, user, device))
    }

    fn receipts(&self, key: ConversationKey) -> impl Iterator<Item = Read<DeviceReceipt>> {
        self.items(self.tables.receipts(key))
    }

    fn mark(&self, key: ConversationKey) -> Read<Option<u64>> {
        self.value(self.tables.mark(key))
    }

    fn marks(&self, from: u16, to: u16, after: Option<ConversationKey>) -> impl Iterator<Item = Read<ConversationKey>> {
        self.items(self.tables.marks(from, to, after))
    }

    fn list_row(&self, key: UserKey, conversation: ConversationId) -> Result<Option<ListRow>, ReadFault> {
        if let Some((_, fault)) = self.bad_row.filter(|(bad, _)| *bad == conversation) {
            return Err(fault);
        }
        self.value(self.tables.list_row(key, conversation))
    }

    fn list_down(&self, key: UserKey, from: u64, to: u64) -> impl Iterator<Item = Read<(u64, ConversationId)>> {
        self.items(self.tables.list_down(key, from, to))
    }

    fn ceiling(&self, key: UserKey) -> Read<u64> {
        self.value(self.tables.ceiling(key))
    }

    fn position(&self, key: UserKey, device: DeviceId) -> Read<Option<u64>> {
        self.value(self.tables.position(key, device))
    }

    fn revocations(&self, after: Option<Revocation>) -> impl Iterator<Item = Read<Revocation>> {
        self.items(self.tables.revocations(after))
    }

    fn contact(&self, key: UserKey, peer: UserId) -> Read<Option<ContactRow>> {
        self.value(self.tables.contact(key, peer))
    }

    fn contacts_behind(&self, key: UserKey, after: UserId) -> impl Iterator<Item = Read<(UserId, ContactRow)>> {
        self.items(self.tables.contacts_behind(key, after))
    }

    fn handles_from(&self, tenant: TenantId, first: &str) -> impl Iterator<Item = Read<(String, UserId)>> {
        self.items(self.tables.handles_from(tenant, first))
    }

    fn metas_from(&self, first: ConversationKey) -> impl Iterator<Item = Read<(ConversationId, ConversationMeta)>> {
        self.items(self.tables.metas_from(first))
    }
}

fn write(tables: &mut Tables, heads: &mut Heads, write: Write) -> (usize, usize) {
    let writes = [write];
    let counted = Counted::new(tables);
    let changes = plan(&counted, heads, 1, &writes).expect("no misuse").changes;
    let counts = counted.counts();
    changes.into_iter().for_each(|change| tables.apply(change));
    counts
}

fn news(number: u64, user_seq: u64) -> ListChange {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let about = About { kind: 1, peer: UserId(2), title: String::new() };
    let conversation = ConversationId(id);
    ListChange { key: USER, conversation, user_seq, last_seq: 1, read_seq: 0, window: None, about }
}

/// 10,000 conversations, of which 20 changed since.
#[test]
fn a_page_of_a_list_reads_its_rows() {
    let (mut tables, mut heads) = (Tables::default(), Heads::default());
    let all = (1..=10_000).map(|number| news(number, number)).collect();
    let lists = |changes| Write::Put(Box::new(Put::List { changes }));
    write(&mut tables, &mut heads, lists(all));
    let changed = (1..=20).map(|number| news(number * 500, 10_000 + number)).collect();
    assert_eq!(write(&mut tables, &mut heads, lists(changed)), (20, 0), "a change reads its row");

    let read = |above, below, rows_max| {
        let counted = Counted::new(&tables);
        let Ok(Loaded::List(rows, more)) = load(&counted, &Load::List { key: USER, above, below, rows_max }) else {
            panic!("not a list");
        };
        (rows.len(), more, counted.counts())
    };
    assert_eq!(read(10_000, u64::MAX, 200), (20, false, (20, 20)));
    assert_eq!(read(0, u64::MAX, 200), (200, true, (200, 201)));
    assert_eq!(read(0, 5_000, 50), (50, true, (50, 51)));
    assert_eq!(read(10_020, u64::MAX, 50), (0, false, (0, 0)));
}

/// A damaged row is left out of a page; where a read failed there is no page. A change of either is not made.
#[test]
fn a_bad_row_of_a_list() {
    let (mut tables, mut heads) = (Tables::default(), Heads::default());
    let changes = (1..=3).map(|number| news(number, number)).collect();
    write(&mut tables, &mut heads, Write::Put(Box::new(Put::List { changes })));
    for (fault, rows_left) in [(ReadFault::Damaged, Some(2)), (ReadFault::Failed, None)] {
        let bad = news(2, 2).conversation;
        let reads = Counted { bad_row: Some((bad, fault)), ..Counted::new(&tables) };
        let page = load(&reads, &Load::List { key: USER, above: 0, below: u64::MAX, rows_max: 9 });
        let one = load(&reads, &Load::ListRow { key: USER, conversation: bad });
        match rows_left {
            Some(left) => {
                assert!(matches!(page, Ok(Loaded::List(rows, false)) if rows.len() == left));
                assert_eq!(one, Ok(Loaded::ListRow(None)));
            }
            None => assert_eq!((page, one), (Err(StoreFault::Unknown), Err(StoreFault::Unknown))),
        }
        let writes = [Write::Put(Box::new(Put::List { changes: vec![news(1, 4), news(2, 5), news(3, 6)] }))];
        let plan = plan(&reads, &mut heads, 2, &writes).expect("no misuse");
        assert_eq!((plan.changes.len(), plan.results), (2, vec![StoreResult::Put(Err(StoreFault::Unknown))]));
    }
}

fn append(seq: u64, mark: Option<u64>) -> Write {
    let key = ConversationKey { tenant: TenantId(0), conversation: ConversationId([1; 16]) };
    let meta = ConversationMeta { kind: 1, created_ms: 1, peers: vec![UserId(1), UserId(2)], title: String::new() };
    let row = Row {
        seq,
        epoch: 1,
        lsn: Lsn::default(),
        ts_ms: 1,
        sender: UserId(1),
        device: DeviceId(1),
        client_seq: seq,
        message_id: MessageId(seq),
        kind: 1,
        flags: 0,
        sent_at_ms: 0,
        ref_seq: 0,
        mls_epoch: 0,
        body: [].into(),
    };
    Write::Append(Box::new(Append { key, meta: (seq == 1).then_some(meta), mark, rows: vec![row] }))
}

#[test]
fn an_append_reads_nothing_but_its_mark() {
    let (mut tables, mut heads) = (Tables::default(), Heads::default());
    assert_eq!(write(&mut tables, &mut heads, append(1, None)), (1, 0), "the last seq, once");
    assert_eq!(write(&mut tables, &mut heads, append(2, None)), (0, 0));
    assert_eq!(write(&mut tables, &mut heads, append(3, Some(2))), (1, 0));
    assert_eq!(write(&mut tables, &mut heads, append(4, None)), (0, 0));
}
