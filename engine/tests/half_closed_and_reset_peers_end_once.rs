//! Set-up: peers that close their sending half and go on reading, and peers that reset, at rest and in the middle of a send.
//! Claim: the former get everything they are owed and then the end; all are closed once (the core checks).

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crate::echo;

#[test]
fn half_closed_and_reset_peers_end_once() {
    let (server, seen) = echo::start(&echo::config());
    let sent = echo::Random(3).bytes(1 << 20);
    for _ in 0..20 {
        let mut peer = echo::connect(server.address());
        // Everything is with the server, or on its way, before anything is read.
        let mut writer = peer.try_clone().unwrap();
        let bytes = sent.clone();
        let writing = std::thread::spawn(move || {
            writer.write_all(&bytes).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        std::thread::sleep(Duration::from_millis(5));
        let mut back = Vec::new();
        peer.read_to_end(&mut back).unwrap();
        writing.join().unwrap();
        assert!(back == sent, "{} of {} bytes came back", back.len(), sent.len());
    }
    for round in 0..100 {
        let mut peer = echo::connect(server.address());
        if round % 2 == 0 {
            echo::echo(&mut peer, b"at rest");
        } else {
            // Never read: the server's send is stuck when the reset comes.
            peer.write_all(&sent[..400_000]).unwrap();
        }
        echo::reset(peer);
    }
    echo::eventually("all closed", || seen.closed.load(SeqCst) == 120);
    assert_eq!((seen.accepted.load(SeqCst), seen.cut_off.load(SeqCst)), (120, 0));
    echo::stop(server);
}
