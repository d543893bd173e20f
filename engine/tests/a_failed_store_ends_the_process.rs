//! Set-up: a log whose disk fails at its first commit, in a process of its own.
//! Claim: the process ends with code 70 and the reason on one line, and nothing is answered.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::child;
use trunkline_engine::store::{self, StoreWatch};
use trunkline_engine::wake::Doorbell;
use trunkline_shards::contract::Ticket;
use trunkline_shards::limits::Limits;
use trunkline_shards::store::{Put, StoreResult, UserKey, UserRow};
use trunkline_storage::{Fatal, Log, MemoryStore, Write};
use trunkline_wire::ids::{TenantId, UserId};

struct Broken;

impl Log for Broken {
    fn commit(&mut self, _writes: &[Write]) -> Result<Vec<StoreResult>, Fatal> {
        Err(Fatal::Disk { doing: "syncing", path: PathBuf::from("/data/log"), reason: "Input/output error".into() })
    }

    fn incarnation(&self) -> u64 {
        1
    }
}

#[test]
fn fails() {
    if !child::is_child() {
        return;
    }
    trunkline_cli::stderr_log::install(trunkline_cli::stderr_log::Format::Text, tracing::Level::INFO);
    let doorbells: Arc<[_]> = Arc::from([Arc::new(Doorbell::new().unwrap())]);
    let (mut ports, _threads) =
        store::start(Broken, Arc::new(MemoryStore::new()), &doorbells, &Limits::default(), &StoreWatch::default());
    let row = UserRow { handle: "h".into(), created_ms: 0, devices: 1, ..UserRow::default() };
    let key = UserKey { tenant: TenantId(0), user: UserId(1) };
    ports[0].write(Ticket(1), Write::Put(Box::new(Put::User { key, row })));
    ports[0].wake();
    std::thread::sleep(Duration::from_secs(10));
    panic!("still here, answered: {:?}", ports[0].take());
}

#[test]
fn a_failed_store_ends_the_process() {
    let output = child::child("a_failed_store_ends_the_process::fails").output().unwrap();
    assert_eq!(output.status.code(), Some(store::EXIT_STORE_FAILED));
    let said = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = said.lines().filter(|line| line.starts_with("trunkline: ")).collect();
    assert!(lines.len() == 1 && lines[0].contains("/data/log"), "{said}");
}
