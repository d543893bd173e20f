//! Copies are taken while groups are written: each opens without a complaint, has all that was answered before it began,
//! group by group to one moment, and goes on where it ends.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::rows::*;
use trunkline_shards::store::{Load, Loaded};
use trunkline_storage::embedded::{self, CopyError, raise_incarnation};
use trunkline_storage::{Index, Log, Options};

/// Appends of two conversations in one group, so that a copy of half a group shows.
fn write(log: &mut dyn Log, seq: u64, padding: &[u8]) {
    let body = [format!("message {seq} ").as_bytes(), padding].concat();
    let rows = |number| append(key(number), vec![row(seq, &body)]);
    let answers = log.commit(&[rows(1), rows(2)]).expect("the disk works");
    assert_eq!(answers.len(), 2);
}

fn rows_of(index: &dyn Index, number: u8) -> u64 {
    let mut last_seq = 0;
    loop {
        let (key, from_seq) = (key(number), last_seq + 1);
        let load = Load::History { key, from_seq, backward: false, rows_max: 500, cost_bytes_max: u32::MAX };
        let Ok(Loaded::History(rows)) = index.load(&load) else { panic!("the rows are readable") };
        if rows.is_empty() {
            return last_seq;
        }
        for row in rows {
            assert_eq!(row.seq, last_seq + 1, "no row is missing");
            assert!(row.body.starts_with(format!("message {} ", row.seq).as_bytes()));
            last_seq = row.seq;
        }
    }
}

#[test]
fn a_copy_has_all_that_was_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut log, index) = embedded::open(&folder.path().join("store"), Options::default()).expect("a new store");
    let (answered, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Together more than what the tables have in memory: they are written out and merged meanwhile.
            let padding = vec![7; 20_000];
            for seq in 1.. {
                write(&mut log, seq, &padding);
                answered.store(seq, Ordering::SeqCst);
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
            }
        });
        for number in 0..4 {
            while answered.load(Ordering::SeqCst) < 300 * (number + 1) {
                std::thread::yield_now();
            }
            let at_least = answered.load(Ordering::SeqCst);
            let path = folder.path().join(format!("copy-{number}"));
            let copied = index.copy_to(&path).expect("a copy");
            assert!(copied.rows >= 2 * at_least && copied.group > at_least);
            let incarnation = raise_incarnation(&path, 10 * number).expect("a whole store");
            assert_eq!(incarnation, (10 * number).max(2));
            let (mut copy, copy_index) = embedded::open(&path, Options::default()).expect("a whole store");
            assert_eq!(copy.incarnation(), incarnation);
            let last_seq = rows_of(&*copy_index, 1);
            assert!(last_seq >= at_least, "{last_seq} rows, {at_least} were answered before");
            assert_eq!(rows_of(&*copy_index, 2), last_seq, "both or none of a group");
            write(&mut copy, last_seq + 1, b"");
            drop((copy, copy_index));
            let (_copy, copy_index) = embedded::open(&path, Options::default()).expect("a whole store");
            assert_eq!(rows_of(&*copy_index, 1), last_seq + 1);
        }
        is_over.store(true, Ordering::SeqCst);
    });
}

#[test]
fn a_copy_takes_no_folder_of_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_log, index) = embedded::open(&folder.path().join("store"), Options::default()).expect("a new store");
    let taken = folder.path().join("store");
    assert!(matches!(index.copy_to(&taken), Err(CopyError::Target(_))));
}
