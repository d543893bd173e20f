//! The store in memory keeps every promise but durability.

use std::sync::Arc;

use trunkline_storage::MemoryStore;

#[path = "contract_suite/cases.rs"]
mod cases;
#[path = "contract_suite/index_cases.rs"]
mod index_cases;
#[path = "contract_suite/list_cases.rs"]
mod list_cases;
#[path = "contract_suite/rows.rs"]
mod rows;

fn open() -> rows::Store {
    let store = MemoryStore::new();
    rows::Store { log: Box::new(store.clone()), index: Arc::new(store), folder: None }
}

contract_cases!(open);
