//! The store in memory keeps every promise but durability.

use std::sync::Arc;

use crate::contract_cases;
use crate::rows;
use trunkline_storage::MemoryStore;

fn open() -> rows::Store {
    let store = MemoryStore::new();
    rows::Store { log: Box::new(store.clone()), index: Arc::new(store), folder: None }
}

contract_cases!(open);
