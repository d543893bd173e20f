//! Set-up: one shard; ten peers send and never read, until the core cuts them off; another one echoes all the while.
//! Claim: the other one is served, cutting a peer off ends its send and frees its slot, and the slot serves again.

use std::io::Write;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use crate::echo;
use trunkline_engine::Config;

#[test]
fn a_deaf_peer_stops_nobody() {
    let (server, seen) = echo::start(&Config { shards: 1, ring_connections: 11, ..echo::config() });
    let mut listener = echo::connect(server.address());
    echo::echo(&mut listener, b"hello");
    let mut deaf: Vec<_> = (0..10).map(|_| echo::connect_deaf(server.address())).collect();
    let before = seen.received.load(SeqCst);
    for peer in &mut deaf {
        // More than the kernel keeps on its way back, so a send gets stuck.
        peer.write_all(&[1; 512 << 10]).unwrap();
    }
    echo::eventually("all received", || seen.received.load(SeqCst) == before + 10 * (512 << 10));
    // The turn that received the last byte also sends.
    std::thread::sleep(Duration::from_millis(50));
    for mut peer in deaf {
        std::thread::spawn(move || while peer.write_all(&[1; 65_536]).is_ok() {});
    }
    let mut worst = Duration::ZERO;
    while seen.cut_off.load(SeqCst) < 10 {
        let begin = Instant::now();
        echo::echo(&mut listener, b"are you there?");
        worst = worst.max(begin.elapsed());
    }
    println!("slowest echo beside deaf peers: {worst:?}");
    echo::eventually("the slots are free", || seen.closed.load(SeqCst) == 10);
    assert_eq!(seen.broken_sends.load(SeqCst), 10, "each had a send that could not go on");
    let mut again: Vec<_> = (0..10).map(|_| echo::connect(server.address())).collect();
    again.iter_mut().for_each(|client| echo::echo(client, b"once more"));
    echo::stop(server);
}
