//! Bytes of the files that hold tables are flipped: what is there comes back right, and what is damaged is unknown to the
//! one who asks for it, or keeps the store shut; no read is ever wrong, and other conversations live on.

use std::path::Path;

use crate::folder;
use crate::rows::*;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use trunkline_shards::store::{Load, Loaded, StoreFault};
use trunkline_storage::{Index, Options, embedded};

const CONVERSATIONS: u8 = 8;
const ROWS: u64 = 60;

fn body(conversation: u8, seq: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(u64::from(conversation) << 32 | seq);
    (0..rng.next_u32() % 1500).map(|_| rng.next_u32() as u8).collect()
}

/// A store whose rows are in table files; the journal that also has them is emptied as if it had been let go.
fn store_in_tables(path: &Path) {
    let (log, index) = embedded::open(path, Options::default()).expect("a new store");
    let mut store = Store { log: Box::new(log), index, folder: None };
    for number in 0..CONVERSATIONS {
        store.append(key(number), (1..=ROWS).map(|seq| row(seq, &body(number, seq))).collect());
    }
    drop(store);
    folder::write_out(path);
}

#[test]
fn damaged_tables_are_never_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    store_in_tables(&path);
    let mut files = Vec::new();
    folder::table_files(&path.join("fjall"), &mut files);
    files.sort();
    let (bytes, messages) = files.last().expect("some").clone();
    assert!(bytes > 200_000, "the rows are in a table: {files:?}");

    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let (mut whole, mut unknown, mut shut) = (0, 0, 0);
    for trial in 0..40 {
        // The end of a table is its index and its filter.
        let byte = if trial % 4 == 0 { bytes - 1 - rng.next_u64() % 3000 } else { rng.next_u64() % bytes };
        folder::flip(&messages, byte, trial % 8);
        match embedded::open(&path, Options::default()) {
            Err(error) => {
                println!("byte {byte}: {error}");
                shut += 1;
            }
            Ok((log, index)) => {
                let faults = (0..CONVERSATIONS).filter(|number| !reads_right(&*index, *number)).count();
                if trial % 4 != 0 {
                    assert!(faults < usize::from(CONVERSATIONS), "byte {byte}: one bad place is not all of them");
                }
                if faults == 0 {
                    whole += 1
                } else {
                    unknown += 1
                }
                drop(log);
            }
        }
        folder::flip(&messages, byte, trial % 8);
    }
    println!("{whole} flips read right, {unknown} unknown to who asked, {shut} kept the store shut");
    assert!(unknown >= 20, "most damage is met when it is read: {unknown}");
    let (_log, index) = embedded::open(&path, Options::default()).expect("undamaged");
    assert!((0..CONVERSATIONS).all(|number| reads_right(&*index, number)));
}

/// False: some of it is unknown. Panics if anything is wrong.
fn reads_right(index: &dyn Index, number: u8) -> bool {
    (1..=ROWS).fold(true, |right, seq| {
        let one = Load::History { key: key(number), from_seq: seq, backward: false, rows_max: 1, cost_bytes_max: 1 };
        match index.load(&one) {
            Ok(Loaded::History(page)) => {
                assert_eq!(unplaced(&page), [row(seq, &body(number, seq))]);
                right
            }
            Err(StoreFault::Unknown) => false,
            other => panic!("{other:?}"),
        }
    })
}
