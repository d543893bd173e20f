//! A peer that is gone without a word is found by its silence (REL-21).
//!
//! Set-up: a server with `limits.heartbeat_ms=200`; one client that reads but answers no ping, one that answers, one that
//! answers none but asks for something now and then.
//! Claim: the first is pinged and cut off within three intervals (and the ticks of the server's clockwork), which is counted;
//! the two others stay; other people chat on.

use std::thread;
use std::time::{Duration, Instant};

use crate::ear::{Heard, Reply};
use crate::peer::Peer;
use crate::rig;

const HEARTBEAT: Duration = Duration::from_millis(200);
/// The clockwork ticks every 134 ms, and this machine may be busy.
const GRACE: Duration = Duration::from_millis(1_000);

#[test]
fn silent_peers_are_found() {
    let _alone = rig::alone();
    let server = rig::serve(&["limits.heartbeat_ms=200"]);
    let users = server.add_users(3);
    rig::counted(&server, "violation.pong_timeout", || {
        let mut silent = Peer::login(rig::address(&server), &users[0].token);
        silent.answers_pings = false;
        let start = Instant::now();
        assert_eq!(silent.hear(), Some(Heard::Ping(Vec::new())), "asked whether it is there");
        let pinged = start.elapsed();
        silent.ends();
        let took = start.elapsed();
        assert!(pinged >= HEARTBEAT * 8 / 10, "asked after {pinged:?}: too soon");
        assert!(took >= HEARTBEAT * 16 / 10, "cut off after {took:?}: too soon");
        assert!(took <= HEARTBEAT * 3 + GRACE, "cut off after {took:?}, three intervals are {:?}", HEARTBEAT * 3);
    });
    rig::assert_serves(&server, &users[1], &users[2]);
}

#[test]
fn peers_with_a_sign_of_life_stay() {
    let _alone = rig::alone();
    let server = rig::serve(&["limits.heartbeat_ms=200"]);
    let users = server.add_users(2);
    let mut answers = Peer::login(rig::address(&server), &users[0].token);
    let mut asks = Peer::login(rig::address(&server), &users[1].token);
    asks.answers_pings = false;
    let end = Instant::now() + HEARTBEAT * 12;
    let mut pings = 0;
    while Instant::now() < end {
        while let Ok(heard) = answers.hear_within(Duration::from_millis(50)) {
            assert_eq!(heard, Some(Heard::Ping(Vec::new())), "a client that answers is left alone");
            pings += 1;
        }
        assert!(matches!(asks.ask(|encoder, request| encoder.sync(request, Some(0), 0, 10)), Reply::Synced(_)));
        thread::sleep(Duration::from_millis(10));
    }
    assert!(pings >= 3, "only {pings} pings in 12 intervals: what stayed was not asked");
    assert_eq!(server.counter("violation.pong_timeout"), 0);
    assert!(matches!(answers.ask(|encoder, request| encoder.sync(request, Some(0), 0, 10)), Reply::Synced(_)));
    rig::assert_serves(&server, &users[0], &users[1]);
}
