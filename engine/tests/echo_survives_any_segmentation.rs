//! Set-up: two shards, eight clients that cut 1 MiB each into pieces of 1 to 5,000 bytes, writing while they read.
//! Claim: what comes back is what was sent, in order, whatever the pieces.

use std::io::{Read, Write};

use crate::echo;

#[test]
fn echo_survives_any_segmentation() {
    let (server, seen) = echo::start(&echo::config());
    let address = server.address();
    std::thread::scope(|scope| {
        for seed in 0..8 {
            scope.spawn(move || {
                let mut random = echo::Random(seed);
                let sent = random.bytes(1 << 20);
                let mut reader = echo::connect(address);
                let mut writer = reader.try_clone().unwrap();
                let writing = sent.clone();
                let writes = std::thread::spawn(move || {
                    let mut rest = writing.as_slice();
                    while !rest.is_empty() {
                        let most = if random.below(4) == 0 { 4 } else { 5_000 };
                        let (piece, later) = rest.split_at(rest.len().min(1 + random.below(most)));
                        writer.write_all(piece).unwrap();
                        rest = later;
                    }
                });
                let mut back = vec![0; sent.len()];
                reader.read_exact(&mut back).unwrap();
                writes.join().unwrap();
                assert!(back == sent);
            });
        }
    });
    assert_eq!(seen.cut_off.load(std::sync::atomic::Ordering::SeqCst), 0);
    echo::stop(server);
}
