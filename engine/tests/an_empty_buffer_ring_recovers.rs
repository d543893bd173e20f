//! Set-up: one shard with two receive buffers, 50 peers that send 200 KiB each at the same time.
//! Claim: the kernel runs out of buffers all the time, and every byte is echoed all the same.

use crate::echo;
use trunkline_engine::Config;

#[test]
fn an_empty_buffer_ring_recovers() {
    let (server, _) = echo::start(&Config { shards: 1, ring_buffers: 2, ..echo::config() });
    let address = server.address();
    let sent = echo::Random(11).bytes(200 << 10);
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                let mut client = echo::connect(address);
                for piece in sent.chunks(50 << 10) {
                    echo::echo(&mut client, piece);
                }
            });
        }
    });
    echo::stop(server);
}
