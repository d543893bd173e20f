//! A start has little to replay: nothing after a clean close of a store that wrote much, and after a kill no more than a
//! journal and what is written until it is looked at, however much was written.

use std::fs;
use std::path::Path;

use crate::folder;
use crate::rows::*;
use trunkline_storage::{Options, embedded};

const BODY_BYTES: usize = 60_000;
const MIB: u64 = 1024 * 1024;

fn open(path: &Path) -> Store {
    let (log, index) = embedded::open(path, Options::default()).unwrap_or_else(|error| panic!("{error}"));
    Store { log: Box::new(log), index, folder: None }
}

/// A body that does not compress.
fn body(seq: u64) -> Vec<u8> {
    let mut state = seq;
    let next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 33) as u8
    };
    std::iter::repeat_with(next).take(BODY_BYTES).collect()
}

fn write(store: &mut Store, seqs: std::ops::RangeInclusive<u64>) {
    for seq in seqs {
        store.append(key(1), vec![row(seq, &body(seq))]);
    }
}

fn check(store: &Store, last: u64) {
    for seq in 1..=last {
        assert_eq!(store.history(key(1), seq, false, 1, u32::MAX)[0].body[..], body(seq)[..], "seq {seq}");
    }
}

/// Bytes of the journals but for the zeros that the newest ends in.
fn journal_bytes(path: &Path) -> u64 {
    let used = |path| folder::used_bytes(&fs::read(path).expect("readable")) as u64;
    folder::journals(path).into_iter().map(used).sum()
}

#[test]
fn a_clean_close_leaves_nothing_to_replay() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let mut store = open(&path);
    write(&mut store, 1..=10);
    drop(store);
    let small = journal_bytes(&path);
    assert!(small > 0, "it is not worth it");
    let mut store = open(&path);
    write(&mut store, 11..=100);
    drop(store);
    assert_eq!(journal_bytes(&path), 0);
    for seq in 101..=102 {
        let mut store = open(&path);
        check(&store, seq - 1);
        write(&mut store, seq..=seq);
    }
    check(&open(&path), 102);
}

#[test]
fn the_journals_stay_short() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, image) = (folder.path().join("store"), folder.path().join("image"));
    let mut store = open(&path);
    let mut most = 0;
    for round in 0..10 {
        write(&mut store, round * 200 + 1..=(round + 1) * 200);
        most = most.max(journal_bytes(&path));
    }
    println!("at most {most} bytes in the journals, of {} written", 2_000 * BODY_BYTES);
    assert!(most <= 96 * MIB, "{most} bytes in the journals");
    folder::copy(&path, &image);
    check(&open(&image), 2_000);
}
