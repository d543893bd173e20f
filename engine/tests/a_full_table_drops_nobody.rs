//! Set-up: one shard with 16 slots and 40 peers; one with some more slots than are accepted in bulk, and more peers still.
//! Claim: peers beyond the table wait and are served when one leaves; nobody who was accepted is dropped; a full table costs
//! no CPU.

use std::io::{Read, Write};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crate::{child, echo};
use trunkline_engine::Config;

fn fill(slots: u32, peers: usize) {
    let (server, seen) = echo::start(&Config { shards: 1, ring_connections: slots, ..echo::config() });
    let mut clients: Vec<_> = (0..peers).map(|_| echo::connect(server.address())).collect();
    for client in &mut clients {
        client.write_all(b"?").unwrap();
    }
    echo::eventually("the table is full", || seen.accepted.load(SeqCst) == u64::from(slots));
    let before = echo::cpu_time();
    std::thread::sleep(Duration::from_millis(300));
    let spent = echo::cpu_time() - before;
    println!("{slots} slots: {spent:?} of CPU in 300 ms with a full table");
    assert!(spent < Duration::from_millis(60), "a full table spins");
    assert_eq!(seen.accepted.load(SeqCst), u64::from(slots));
    // In order of connecting, each is answered once those before it have left.
    for mut client in clients {
        let mut back = [0];
        client.read_exact(&mut back).unwrap();
    }
    echo::eventually("all closed", || seen.closed.load(SeqCst) == peers as u64);
    assert!(seen.highest_slot.load(SeqCst) < u64::from(slots));
    echo::stop(server);
}

#[test]
fn a_full_table_drops_nobody() {
    child::run_alone("a_full_table_drops_nobody::tables_fill");
}

#[test]
fn tables_fill() {
    if !child::is_child() {
        return;
    }
    fill(16, 40);
    fill(8_400, 8_500);
}
