//! What was written is there after a clean close, with the numbers going on, and a store in use is opened by nobody else.

use crate::rows::*;
use trunkline_shards::store::PutOutcome;
use trunkline_storage::{EmbeddedLog, Log, OpenError, Options, embedded};

fn open(path: &std::path::Path) -> (Store, [u8; 16]) {
    let (log, index) = embedded::open(path, Options::default()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(log.incarnation(), 1);
    let id = EmbeddedLog::store_id(&log);
    (Store { log: Box::new(log), index, folder: None }, id)
}

fn received(seq: u64) -> [trunkline_shards::store::DeviceReceipt; 1] {
    [receipt(BOB, 1, seq, 2)]
}

#[test]
fn a_closed_store_opens_with_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("deeper").join("store");
    let (mut store, id) = open(&path);
    let mut last = store.append(key(1), rows(1..=3));
    store.put(claim("alice", ALICE));
    store.put(account(user(ALICE), "Alice"));
    store.put(checkpoint(key(1), 3, vec![device_high(ALICE, 1, 3)]));
    store.commit(&[marked(key(2), 0, rows(1..=3)), marked(key(3), 0, rows(1..=1)), receipts(key(1), &received(3))]);
    store.commit(&[ceiling(user(ALICE), 1024), position(user(ALICE), 1, 2), unmark(key(3))]);
    store.commit(&[lists(vec![news(user(ALICE), 1, 1, 3), news(user(ALICE), 2, 2, 3)])]);
    drop(store);
    for round in 2..5 {
        let (mut store, same_id) = open(&path);
        assert_eq!(id, same_id);
        assert_eq!(unplaced(&store.all(key(1))), rows(1..=(round - 1) * 3));
        assert_eq!(store.handle(TENANT, "alice"), Some(ALICE));
        assert_eq!(store.put(claim("alice", BOB)), PutOutcome::Owner(ALICE));
        assert_eq!(store.account(user(ALICE)).expect("there").handle, "Alice");
        let image = store.conversation(key(1)).expect("there");
        assert_eq!((image.checkpoint_seq, &image.receipts[..]), (3, &received(3)[..]));
        assert_eq!(store.marks(0..=u16::MAX, None, 9), (vec![key(2)], false));
        assert_eq!((store.ceiling(user(ALICE)), store.position(user(ALICE), 1)), (1024, Some(round)));
        assert_eq!(store.list(user(ALICE), 1, u64::MAX, 9).0, [list_row(2, round, 3)]);
        store.commit(&[position(user(ALICE), 1, round + 1), lists(vec![news(user(ALICE), 2, round + 1, 3)])]);
        let lsn = store.append(key(1), rows(round * 3 - 2..=round * 3));
        assert!(lsn > last, "{lsn:?} follows {last:?}");
        last = lsn;
    }
}

#[test]
fn a_store_in_use_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = open(folder.path());
    let refused = embedded::open(folder.path(), Options::default()).err().expect("refused");
    assert!(matches!(&refused, OpenError::Locked { path } if path == folder.path()), "{refused}");
    assert!(refused.to_string().contains("another trunkline is using the folder"), "{refused}");
    // A reader that is still there keeps it in use.
    let Store { log, index, .. } = store;
    drop(log);
    assert!(matches!(embedded::open(folder.path(), Options::default()), Err(OpenError::Locked { .. })));
    drop(index);
    open(folder.path());
}

#[test]
fn a_kill_while_a_store_is_made_leaves_nothing_in_the_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let unfinished = folder.path().join("fjall.new");
    std::fs::create_dir(&unfinished).expect("a folder");
    std::fs::write(unfinished.join("0.jnl"), [0; 100]).expect("a file");
    std::fs::write(folder.path().join("format"), "trunkline-store 2\n").expect("a file");
    let (mut store, _) = open(folder.path());
    store.append(key(1), rows(1..=1));
}
