//! On a disk of its own (a tmpfs) that is filled up: writes are refused as full, reads go on, and writes do when there is
//! room again, without a restart; with the reserve the database never meets the full disk, without it it does and recovers.

use std::path::Path;
use std::time::Duration;

use crate::rows::*;
use crate::tmpfs::Tmpfs;
use trunkline_shards::store::{Row, StoreFault, StoreResult};
use trunkline_storage::{Options, embedded};

const MIB: u64 = 1024 * 1024;
const FULL: [StoreResult; 1] = [StoreResult::Appended(Err(StoreFault::Full))];

fn open(path: &Path, reserve_bytes: u64) -> Store {
    let options = Options { reserve_bytes, ..Options::default() };
    let (log, index) = embedded::open(&path.join("store"), options).unwrap_or_else(|error| panic!("{error}"));
    Store { log: Box::new(log), index, folder: None }
}

/// A row that no compression makes smaller.
fn large_row(seq: u64) -> Row {
    let mut state = seq;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 56) as u8
    });
    row(seq, &noise.take(60_000).collect::<Vec<_>>())
}

/// Appends groups of 8 large rows until one is not taken; gives the number of rows acked, and the answer.
fn append_until_refused(store: &mut Store, mut acked: u64) -> (u64, Vec<StoreResult>) {
    loop {
        let results = store.commit(&[append(key(1), (acked + 1..=acked + 8).map(large_row).collect())]);
        if !matches!(results[..], [StoreResult::Appended(Ok(_))]) {
            return (acked, results);
        }
        acked += 8;
        assert!(acked < 10_000, "the disk never got full");
    }
}

fn wait_for_the_next_check() {
    std::thread::sleep(Duration::from_millis(130));
}

#[test]
fn below_the_reserve_writes_are_refused_and_reads_go_on() {
    let disk = Tmpfs::mount(96);
    let mut store = open(disk.path(), 24 * MIB);
    store.append(key(1), rows(1..=3));
    let ballast = disk.fill(20 * MIB);
    wait_for_the_next_check();
    let before = disk.free_bytes();
    for _ in 0..50 {
        assert_eq!(store.commit(&[append(key(1), rows(4..=4))]), FULL);
    }
    // What an earlier write of its group would have made true is refused with it; what is true already is not.
    let full = StoreResult::Put(Err(StoreFault::Full));
    let again = [append(key(1), rows(4..=4)), append(key(1), rows(4..=4)), append(key(1), rows(3..=3))];
    assert!(
        matches!(store.commit(&again)[..], [ref one, ref two, StoreResult::Appended(Ok(_))] if [one, two] == [&FULL[0]; 2])
    );
    let numbers = [ceiling(user(ALICE), 9), ceiling(user(ALICE), 8), claim("name", ALICE), claim("name", BOB)];
    assert_eq!(store.commit(&numbers), vec![full.clone(); 4]);
    let listed = |user_seq| lists(vec![news(user(ALICE), 1, user_seq, 1)]);
    assert_eq!(store.commit(&[listed(2), listed(1), unmark(key(1))]), vec![full; 3]);
    assert_eq!((store.ceiling(user(ALICE)), store.list_row(user(ALICE), 1)), (0, None));
    assert_eq!(disk.free_bytes(), before, "refusing takes no room");
    assert_eq!(unplaced(&store.all(key(1))), rows(1..=3));
    store.append(key(1), rows(2..=3));

    std::fs::remove_file(ballast).expect("removable");
    wait_for_the_next_check();
    store.append(key(1), rows(4..=4));
    drop(store);
    assert_eq!(unplaced(&open(disk.path(), 24 * MIB).all(key(1))), rows(1..=4));
}

#[test]
fn the_reserve_is_never_touched_by_much() {
    let disk = Tmpfs::mount(96);
    let mut store = open(disk.path(), 40 * MIB);
    let (acked, refused) = append_until_refused(&mut store, 0);
    assert_eq!(refused, FULL);
    let free = disk.free_bytes();
    // A check is due every 16 MiB; the database writes its tables out meanwhile.
    assert!(free > 8 * MIB, "{} KiB free after {acked} rows", free / 1024);
    assert_eq!(store.all(key(1)).len() as u64, acked);
}

#[test]
fn a_full_disk_inside_a_commit_is_recovered_in_place() {
    let disk = Tmpfs::mount(64);
    let mut store = open(disk.path(), 0);
    store.append(key(1), rows(1..=8).iter().map(|row| large_row(row.seq)).collect());
    let mut acked = 8;
    for round in 0..3 {
        let ballast = disk.fill(3 * MIB);
        let refused;
        (acked, refused) = append_until_refused(&mut store, acked);
        // Without the reserve it runs into the wall: this is what the reserve keeps it from.
        assert!(disk.free_bytes() < 2 * MIB, "round {round}: refused with {} KiB free", disk.free_bytes() / 1024);
        assert_eq!(refused, FULL, "round {round}");
        let there: Vec<u64> = seqs(&store.all(key(1)));
        assert_eq!(there, (1..=acked).collect::<Vec<_>>(), "round {round}: reads go on");
        assert_eq!(store.commit(&[append(key(1), vec![large_row(acked + 1)])]), FULL);

        std::fs::remove_file(ballast).expect("removable");
        wait_for_the_next_check();
        store.append(key(1), vec![large_row(acked + 1), large_row(acked + 2)]);
        acked += 2;
    }
    drop(store);
    let all = open(disk.path(), 0).all(key(1));
    assert_eq!(unplaced(&all), (1..=acked).map(large_row).collect::<Vec<_>>());
}

/// So much is written that the database's own threads run into the wall, while they write tables out.
#[test]
fn a_full_disk_under_the_databases_threads_is_recovered_in_place() {
    let disk = Tmpfs::mount(176);
    let mut store = open(disk.path(), 0);
    let mut acked = 0;
    for round in 0..3 {
        let ballast = disk.fill(if round == 0 { 90 * MIB } else { 2 * MIB });
        let refused;
        (acked, refused) = append_until_refused(&mut store, acked);
        println!("round {round}: {acked} acked, {refused:?}, {} KiB free", disk.free_bytes() / 1024);
        std::fs::remove_file(ballast).expect("removable");
        wait_for_the_next_check();
        // What was not acked may be there: a core reads before it goes on.
        if acked > 0 {
            store.append(key(1), vec![large_row(acked)]);
        }
        let last_seq = store.conversation(key(1)).map_or(0, |image| image.last_seq);
        assert!(last_seq == acked || last_seq == acked + 8, "round {round}: {acked} acked, {last_seq} there");
        acked = last_seq;
        store.append(key(1), (acked + 1..=acked + 8).map(large_row).collect());
        acked += 8;
    }
    assert_eq!(unplaced(&store.all(key(1))), (1..=acked).map(large_row).collect::<Vec<_>>());
}

/// A store opens on a disk without a single free byte, also after a kill.
#[test]
fn a_store_opens_on_a_full_disk() {
    let disk = Tmpfs::mount(32);
    let mut store = open(disk.path(), MIB);
    store.append(key(1), rows(1..=3));
    drop(store);
    std::fs::remove_file(disk.path().join("store/clean")).expect("closed cleanly");
    let ballast = disk.fill(0);
    let _ = std::fs::write(disk.path().join("last bytes"), vec![1; 1 << 20]);
    assert_eq!(disk.free_bytes(), 0);
    let mut store = open(disk.path(), MIB);
    assert_eq!(unplaced(&store.all(key(1))), rows(1..=3));
    assert_eq!(store.commit(&[append(key(1), rows(4..=4))]), FULL);
    std::fs::remove_file(ballast).expect("removable");
    wait_for_the_next_check();
    store.append(key(1), rows(4..=4));
}

/// What the tests above guard against: by itself the database stays shut after the room is back.
#[test]
fn without_the_counter_measure_a_full_disk_is_for_good() {
    let disk = Tmpfs::mount(64);
    let db = fjall::Database::builder(disk.path().join("store")).open().expect("a new database");
    let table = db.keyspace("rows", fjall::KeyspaceCreateOptions::default).expect("a table");
    let ballast = disk.fill(MIB);
    let commit = |seq: u64| {
        let mut batch = db.batch().durability(Some(fjall::PersistMode::SyncData));
        batch.insert(&table, seq.to_be_bytes(), &large_row(seq).body[..]);
        batch.commit()
    };
    let failed = (1..100).find_map(|seq| commit(seq).err()).expect("the disk gets full");
    assert!(matches!(&failed, fjall::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull), "{failed}");
    std::fs::remove_file(ballast).expect("removable");
    assert!(matches!(commit(100), Err(fjall::Error::Poisoned)));
}
