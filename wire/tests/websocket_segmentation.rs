//! Any segmentation gives the same events and the same violation as one piece.
//!
//! Set-up: seeded streams, lawful, hostile and with changed bytes, in both roles. Claim: one piece, bytes one by one,
//! every single cut of a short stream and random cuts of any stream hand out the same.

use crate::streams::{LIMITS, Peer, Random, mutate, receive};
use trunkline_wire::websocket::{FrameLimits, Role};

#[test]
fn any_segmentation_hands_out_the_same() {
    let limits = FrameLimits { fragments_max: 4, ..LIMITS };
    let (mut events_seen, mut violations_seen) = (0, 0);
    for seed in 0..12_000 {
        let random = &mut Random(seed);
        let role = random.pick(&[Role::Server, Role::Client]);
        let hostile = random.pick(&[0, 0, 30, 8]);
        let mut stream = Peer { random, role, hostile, out: Vec::new() }.stream();
        if random.one_in(3) {
            mutate(random, &mut stream);
        }
        let whole = receive(role, &limits, &stream, |len| len);
        events_seen += whole.0.len();
        violations_seen += usize::from(whole.1.is_some());
        assert_eq!(receive(role, &limits, &stream, |_| 1), whole, "seed {seed}, byte by byte");
        for _ in 0..2 {
            let longest = random.pick(&[3, 20, 200]);
            let cut = receive(role, &limits, &stream, |_| 1 + random.below(longest));
            assert_eq!(cut, whole, "seed {seed}, random cuts");
        }
        if stream.len() < 40 {
            for first in 1..stream.len() {
                let cut = receive(role, &limits, &stream, |left| if left == stream.len() { first } else { left });
                assert_eq!(cut, whole, "seed {seed}, cut at {first}");
            }
        }
    }
    assert!(events_seen > 20_000 && violations_seen > 2_000, "{events_seen} events, {violations_seen} violations");
}
