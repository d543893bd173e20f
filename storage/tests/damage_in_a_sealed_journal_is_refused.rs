//! A store so busy that a second journal was begun while the first still holds what is nowhere else (its last account, of
//! many): a flipped bit in the first one is refused, although the newest groups are all there.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use crate::folder;
use crate::rows::*;
use trunkline_storage::{OpenError, Options, embedded};
use trunkline_wire::ids::UserId;

fn open(path: &Path) -> Result<Store, OpenError> {
    let (log, index) = embedded::open(path, Options::default())?;
    Ok(Store { log: Box::new(log), index, folder: None })
}

fn body(seq: u64) -> Vec<u8> {
    let mut state = seq;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 24).to_le_bytes()
    });
    noise.take(60_000 / 8).flatten().collect()
}

/// Of the account that is written behind the row of this seq.
fn handle(seq: u64) -> String {
    format!("Alice{seq:05}")
}

/// Runs in a process of its own, which ends as if killed.
#[test]
fn writes_until_a_second_journal() {
    let Ok(path) = std::env::var("TRUNKLINE_TEST_STORE") else { return };
    let path = Path::new(&path);
    let mut store = open(path).expect("a new store");
    let mut last = 0;
    while folder::journals(path).len() < 2 {
        store.append(key(1), (last + 1..=last + 16).map(|seq| row(seq, &body(seq))).collect());
        last += 16;
        store.put(account(user(UserId(last)), &handle(last)));
        assert!(last < 6_000, "no second journal after {last} rows");
    }
    store.append(key(1), vec![row(last + 1, b"the last one")]);
    std::process::abort();
}

#[test]
fn damage_in_a_sealed_journal_is_refused() {
    // On a busy machine the tables may have caught up with the first journal.
    assert!((0..5).any(|_| is_refused()), "the last account of a first journal was always in a table");
}

/// Whether damage of the first journal is refused; false: what it holds is in a table as well, so it shows nothing.
fn is_refused() -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let (running, killed) = (folder.path().join("running"), folder.path().join("killed"));
    let child = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "damage_in_a_sealed_journal_is_refused::writes_until_a_second_journal"])
        .env("TRUNKLINE_TEST_STORE", &running)
        .status();
    assert_eq!(child.expect("a child").signal(), Some(6), "it ends as if killed");
    folder::copy(&running, &killed);
    let journals = folder::journals(&killed);
    assert_eq!(journals.len(), 2);
    let whole = fs::read(&journals[0]).expect("there");
    let found = whole.windows(5).rposition(|window| window == b"Alice").expect("in the first journal");
    let newest_there = String::from_utf8(whole[found..found + 10].to_vec()).expect("a handle");
    let account_at = found as u64;

    folder::flip(&journals[0], account_at, 0);
    let Err(OpenError::Damaged(damaged)) = open(&killed) else { panic!("came back") };
    assert_eq!(damaged.file, journals[0]);
    assert!(damaged.offset.is_some_and(|offset| offset < account_at), "{damaged}");
    // The whole group gone, so that what is left of the file looks like its end.
    fs::write(&journals[0], &whole[..damaged.offset.expect("known") as usize]).expect("writable");
    let Err(OpenError::Damaged(damaged)) = open(&killed) else { panic!("came back") };
    assert_eq!((damaged.file, damaged.offset), (journals[1].clone(), Some(0)));
    assert!(damaged.reason.contains("follows group"), "{}", damaged.reason);

    // The database by itself takes it, without the account.
    let db = fjall::Database::builder(killed.join("fjall")).open().expect("it takes it");
    let users = db.keyspace("users", fjall::KeyspaceCreateOptions::default).expect("a table");
    let is_of = |value: &[u8]| value.windows(10).any(|window| window == newest_there.as_bytes());
    let is_in_a_table = users.iter().any(|user| is_of(&user.value().expect("readable")));
    drop((users, db));
    if is_in_a_table {
        return false;
    }
    fs::remove_dir_all(&killed).expect("removable");

    let store = open(&running).expect("undamaged, it opens");
    let number = newest_there["Alice".len()..].parse().expect("a number");
    assert_eq!(store.account(user(UserId(number))).expect("there").handle, newest_there);
    let last = store.conversation(key(1)).expect("there").last_seq;
    let newest = store.history(key(1), last, true, 2, u32::MAX);
    assert_eq!(unplaced(&newest), [row(last - 1, &body(last - 1)), row(last, b"the last one")]);
    true
}
