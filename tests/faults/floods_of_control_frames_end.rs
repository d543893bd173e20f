//! Pings are answered within their rate, and whoever floods is closed.
//!
//! Set-up: a server with default limits (40 control frames at once, then 20 a second); clients that are logged in.
//! Claim: each ping within the rate gets a pong with its payload; a flood of pings and one of pongs are closes 1008; pings
//! somewhat above the rate end nothing and the latest of them is answered; each end is counted; other people chat on.

use std::thread;
use std::time::{Duration, Instant};

use trunkline_wire::websocket::{Opcode, encode_frame};

use crate::ear::{Heard, Reply};
use crate::peer::Peer;
use crate::rig;

fn controls(opcode: Opcode, count: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    (0..count).for_each(|number| encode_frame(opcode, &number.to_be_bytes(), Some([5, 6, 7, 8]), &mut bytes));
    bytes
}

fn assert_pong(peer: &mut Peer, payload: &[u8]) {
    assert_eq!(peer.hear(), Some(Heard::Pong(payload.to_vec())));
}

#[test]
fn pings_within_the_rate_are_all_answered() {
    let _shared = rig::among_others();
    let server = rig::serve(&[]);
    let users = server.add_users(2);
    let mut peer = Peer::login(rig::address(&server), &users[0].token);
    // The burst, then the rate for a second and a half.
    peer.write(&controls(Opcode::Ping, 40));
    (0..40u32).for_each(|number| assert_pong(&mut peer, &number.to_be_bytes()));
    for number in 0..30u32 {
        thread::sleep(Duration::from_millis(55));
        let payload = [&number.to_be_bytes()[..], &[b'p'; 121]].concat();
        peer.write_frame(Opcode::Ping, &payload);
        assert_pong(&mut peer, &payload);
    }
    assert_eq!(server.counter("violation.control_flood"), 0);
    rig::assert_serves(&server, &users[0], &users[1]);
}

#[test]
fn pings_somewhat_above_the_rate_end_nothing() {
    let _shared = rig::among_others();
    let server = rig::serve(&[]);
    let users = server.add_users(2);
    let mut peer = Peer::login(rig::address(&server), &users[0].token);
    peer.write(&controls(Opcode::Ping, 60));
    (0..40u32).for_each(|number| assert_pong(&mut peer, &number.to_be_bytes()));
    // Those above it are owed one answer together, which goes out with the next thing that is heard when there is room.
    let deadline = Instant::now() + Duration::from_secs(5);
    let latest = Heard::Pong(59u32.to_be_bytes().to_vec());
    loop {
        thread::sleep(Duration::from_millis(200));
        let reply = peer.ask(|encoder, request| encoder.sync(request, Some(0), 0, 10));
        assert!(matches!(reply, Reply::Synced(_)), "{reply:?}");
        if let Ok(Some(heard)) = peer.hear_within(Duration::from_millis(50)) {
            assert_eq!(heard, latest);
            break;
        }
        assert!(Instant::now() < deadline, "the latest ping is never answered");
    }
    assert_eq!(server.counter("violation.control_flood"), 0);
    rig::assert_serves(&server, &users[0], &users[1]);
}

#[test]
fn a_flood_of_pings_is_closed() {
    let _shared = rig::among_others();
    let server = rig::serve(&[]);
    let users = server.add_users(3);
    // At once, and a few with each segment.
    for (segments, pings) in [(1, 1_000), (100, 5)] {
        rig::counted(&server, "violation.control_flood", || {
            let mut peer = Peer::login(rig::address(&server), &users[0].token);
            for _ in 0..segments {
                peer.write(&controls(Opcode::Ping, pings));
                thread::sleep(Duration::from_millis(1));
            }
            peer.closed_with(1008, "control_flood");
        });
    }
    rig::assert_serves(&server, &users[1], &users[2]);
}

#[test]
fn a_flood_of_pongs_is_closed() {
    let _shared = rig::among_others();
    let server = rig::serve(&[]);
    let users = server.add_users(3);
    for (segments, pongs) in [(1, 1_000), (100, 5)] {
        rig::counted(&server, "violation.control_flood", || {
            let mut peer = Peer::login(rig::address(&server), &users[0].token);
            for _ in 0..segments {
                peer.write(&controls(Opcode::Pong, pongs));
                thread::sleep(Duration::from_millis(1));
            }
            peer.closed_with(1008, "control_flood");
        });
    }
    rig::assert_serves(&server, &users[1], &users[2]);
}
