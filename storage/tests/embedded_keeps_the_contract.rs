//! The embedded store keeps every promise of the contract.

use trunkline_storage::{Options, embedded};

#[path = "contract_suite/cases.rs"]
mod cases;
#[path = "contract_suite/index_cases.rs"]
mod index_cases;
#[path = "contract_suite/list_cases.rs"]
mod list_cases;
#[path = "contract_suite/rows.rs"]
mod rows;

fn open() -> rows::Store {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, index) = embedded::open(folder.path(), Options::default()).expect("a new store");
    rows::Store { log: Box::new(log), index, folder: Some(folder) }
}

contract_cases!(open);
