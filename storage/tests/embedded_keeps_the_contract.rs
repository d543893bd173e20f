//! The embedded store keeps every promise of the contract.

use crate::contract_cases;
use crate::rows;
use trunkline_storage::{Options, embedded};

fn open() -> rows::Store {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, index) = embedded::open(folder.path(), Options::default()).expect("a new store");
    rows::Store { log: Box::new(log), index, folder: Some(folder) }
}

contract_cases!(open);
