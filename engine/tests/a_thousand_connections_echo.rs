//! Set-up: two shards, 1,000 connections, ten rounds in which each sends 100 bytes and then each reads.
//! Claim: all are served, and all slots come back when the clients leave.

use std::io::{Read, Write};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

use crate::echo;

#[test]
fn a_thousand_connections_echo() {
    let (server, seen) = echo::start(&echo::config());
    let mut clients: Vec<_> = (0..1000).map(|_| echo::connect(server.address())).collect();
    let begin = Instant::now();
    for round in 0..10u8 {
        for client in &mut clients {
            client.write_all(&[round; 100]).unwrap();
        }
        for client in &mut clients {
            let mut back = [0; 100];
            client.read_exact(&mut back).unwrap();
            assert_eq!(back, [round; 100]);
        }
    }
    println!("10,000 echoes in {:?} from one blocking client thread", begin.elapsed());
    drop(clients);
    echo::eventually("all closed", || seen.closed.load(SeqCst) == 1000);
    assert_eq!(seen.accepted.load(SeqCst), 1000);
    echo::stop(server);
}
