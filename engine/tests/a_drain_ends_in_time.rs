//! Set-up: two shards, 2,000 connections, 20 of them deaf with a send that can't go on; then a drain.
//! Claim: it ends within a second, every peer sees the end of its stream, and nobody is accepted any more.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use crate::echo;

#[test]
fn a_drain_ends_in_time() {
    let (server, seen) = echo::start(&echo::config());
    let address = server.address();
    let mut clients: Vec<_> = (0..20).map(|_| echo::connect_deaf(address)).collect();
    clients.extend((20..2_000).map(|_| echo::connect(address)));
    for deaf in &mut clients[..20] {
        // The server takes all of it and can give little of it back.
        deaf.write_all(&[1; 1 << 20]).unwrap();
    }
    echo::eventually("all accepted", || seen.accepted.load(SeqCst) == 2_000);
    echo::eventually("all received", || seen.received.load(SeqCst) == 20 << 20);
    // The turn that received the last byte also sends.
    std::thread::sleep(Duration::from_millis(50));
    let begin = Instant::now();
    let drained = server.stop(begin + Duration::from_secs(8));
    println!("drained 2,000 connections in {:?}", begin.elapsed());
    assert!(drained && begin.elapsed() < Duration::from_secs(1));
    assert_eq!(seen.closed.load(SeqCst), 2_000);
    assert_eq!(seen.broken_sends.load(SeqCst), 20);
    for client in &mut clients[20..] {
        assert_eq!(client.read(&mut [0; 8]).unwrap_or(0), 0);
    }
    assert!(TcpStream::connect(address).is_err());
}
