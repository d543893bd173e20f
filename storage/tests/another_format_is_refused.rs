//! A store of another version, or one that lost its database, is refused with what to do, and left as it is.

use trunkline_storage::{OpenError, Options, embedded};

fn refused(path: &std::path::Path) -> OpenError {
    embedded::open(path, Options::default()).err().expect("refused")
}

#[test]
fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(embedded::open(folder.path(), Options::default()).expect("a new store"));
    let format = folder.path().join("format");
    let written = std::fs::read_to_string(&format).expect("there");
    assert!(written.starts_with("trunkline-store 3 ") && written.len() == 51, "{written}");
    std::fs::write(&format, "trunkline-store 4\n").expect("writable");
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::OtherFormat { found: 4, known: 3, .. }), "{error}");
    assert!(error.to_string().contains("made by a newer version"), "{error}");
    std::fs::write(&format, "something else\n").expect("writable");
    assert!(refused(folder.path()).to_string().contains("does not name a format"));
    std::fs::write(&format, written).expect("writable");
    embedded::open(folder.path(), Options::default()).expect("as before");
}

#[test]
fn an_earlier_format_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(embedded::open(folder.path(), Options::default()).expect("a new store"));
    let format = folder.path().join("format");
    let written = std::fs::read_to_string(&format).expect("there");
    let earlier = written.replace("trunkline-store 3", "trunkline-store 2");
    std::fs::write(&format, &earlier).expect("writable");
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::OtherFormat { found: 2, known: 3, .. }), "{error}");
    assert!(error.to_string().contains("made by an earlier version"), "{error}");
    assert!(error.to_string().contains("another --data"), "{error}");
    assert_eq!(std::fs::read_to_string(&format).expect("there"), earlier, "it is left as it is");
}

#[test]
fn a_lost_database_is_not_replaced_by_an_empty_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut log, index) = embedded::open(folder.path(), Options::default()).expect("a new store");
    let claim = trunkline_shards::store::Put::ClaimHandle {
        tenant: trunkline_wire::ids::TenantId(0),
        folded: "alice".to_owned(),
        user: trunkline_wire::ids::UserId(1),
    };
    trunkline_storage::Log::commit(&mut log, &[trunkline_storage::Write::Put(Box::new(claim))]).expect("room");
    drop((log, index));
    std::fs::remove_dir_all(folder.path().join("fjall")).expect("removable");
    let error = refused(folder.path());
    assert!(matches!(&error, OpenError::Damaged(damaged) if damaged.high_water == 2), "{error}");
    assert!(!folder.path().join("fjall").exists());
}
