//! Set-up: a client whose connections fail, end, are refused, or fall silent.
//! Claim: waits grow from 0.5 s to 60 s with full jitter; only after a stable session the first attempt is at once; what
//! the server asks for is respected; a dead connection is noticed in time; a refused token waits for another one.

use crate::line::{Asked, CHAT, HEARTBEAT_MS, Line};
use trunkline_client::core::{ClientEvent, DisconnectReason, Follow, Link};
use trunkline_client::limits::{BACKOFF_FIRST_MS, BACKOFF_MAX_MS, REQUEST_TIMEOUT_MS};
use trunkline_wire::message::ErrorCode;

/// The next attempt, and how long it took to come.
fn next_attempt(line: &mut Line) -> u64 {
    let before = line.now_ms;
    while line.client.poll_link() != Some(Link::Connect) {
        line.wait();
    }
    line.now_ms - before
}

#[test]
fn waits_grow_with_full_jitter() {
    let (mut sums, clients) = ([0; 12], 200);
    for seed in 0..clients {
        let mut line = Line::new(Follow::Nothing, seed);
        assert_eq!(next_attempt(&mut line), 0, "the first is at once");
        for (failure, sum) in sums.iter_mut().enumerate() {
            line.client.handle_disconnected(line.now_ms, DisconnectReason::ConnectFailed);
            let wait_ms = next_attempt(&mut line);
            assert!(wait_ms <= (BACKOFF_FIRST_MS << failure).min(BACKOFF_MAX_MS), "{failure}: {wait_ms}");
            *sum += wait_ms;
        }
    }
    for (failure, sum) in sums.into_iter().enumerate() {
        let (mean, upper) = (sum / u64::from(clients), (BACKOFF_FIRST_MS << failure).min(BACKOFF_MAX_MS));
        assert!((upper * 4 / 10..upper * 6 / 10).contains(&mean), "{failure}: {mean} of {upper}");
    }
}

#[test]
fn after_a_stable_session_the_first_attempt_is_at_once_and_only_then() {
    let mut line = Line::new(Follow::Nothing, 5);
    line.welcome();
    line.now_ms += 60_001;
    line.client.handle_disconnected(line.now_ms, DisconnectReason::Lost);
    assert_eq!(next_attempt(&mut line), 0);
    let mut waits = 0;
    for _ in 0..5 {
        line.client.handle_disconnected(line.now_ms, DisconnectReason::ConnectFailed);
        line.welcome();
        line.now_ms += 1_000;
        line.client.handle_disconnected(line.now_ms, DisconnectReason::Closed(Some(4009)));
        waits += next_attempt(&mut line);
    }
    assert!(waits > 1_000, "{waits}: short sessions do not make the waits short");
}

#[test]
fn the_servers_wish_is_respected() {
    let mut line = Line::new(Follow::Nothing, 5);
    line.welcome();
    line.now_ms += 100_000;
    line.tell(|encoder| encoder.go_away(ErrorCode::Draining, 7_000));
    line.client.send_text(line.now_ms, CHAT, "waits").unwrap();
    assert_eq!(line.asked(), [], "a server that goes away is asked for nothing");
    line.client.handle_disconnected(line.now_ms, DisconnectReason::Closed(Some(1001)));
    assert_eq!(next_attempt(&mut line), 7_000);
    line.client.handle_connected(line.now_ms);
    let (hello, _) = line.one();
    line.tell(|encoder| encoder.error(hello, ErrorCode::Busy, "", 90_000));
    assert_eq!(line.client.poll_link(), Some(Link::Close));
    assert_eq!(next_attempt(&mut line), 90_000);
}

#[test]
fn a_request_without_an_answer_ends_the_connection() {
    let mut line = Line::new(Follow::Nothing, 5);
    line.welcome();
    line.client.resolve(line.now_ms, "bob");
    let before = line.now_ms;
    for _ in 0..20 {
        line.now_ms += 1_000;
        line.client.handle_activity(line.now_ms);
        line.client.handle_timeout(line.now_ms);
        if line.client.poll_link() == Some(Link::Close) {
            break;
        }
    }
    assert_eq!(line.now_ms - before, REQUEST_TIMEOUT_MS);
    line.asked();
    line.welcome();
    assert_eq!(line.one().1, Asked::Other, "it is asked again");
}

#[test]
fn silence_ends_the_connection_and_pings_keep_it() {
    let mut line = Line::new(Follow::Nothing, 5);
    line.welcome();
    for _ in 0..10 {
        line.now_ms += u64::from(HEARTBEAT_MS);
        line.client.handle_activity(line.now_ms);
        line.client.handle_timeout(line.now_ms);
        assert_eq!(line.client.poll_link(), None);
    }
    let before = line.now_ms;
    line.wait();
    assert_eq!((line.now_ms - before, line.client.poll_link()), (75_000, Some(Link::Close)));
}

#[test]
fn a_refused_token_waits_for_another_one() {
    for refused_by_code in [true, false] {
        let mut line = Line::new(Follow::Nothing, 5);
        line.welcome();
        if refused_by_code {
            line.client.handle_disconnected(line.now_ms, DisconnectReason::Closed(Some(4002)));
        } else {
            line.tell(|encoder| encoder.error(0, ErrorCode::TokenExpired, "", 0));
            assert_eq!(line.client.poll_link(), Some(Link::Close));
        }
        assert!(line.events().contains(&ClientEvent::AuthFailed { code: ErrorCode::TokenExpired }));
        assert_eq!(line.client.poll_timeout(), None);
        line.client.renew(line.now_ms, "newer");
        assert_eq!(next_attempt(&mut line), 0);
        line.client.handle_connected(line.now_ms);
        assert_eq!(line.one().1, Asked::Hello("newer".into()));
    }
}

#[test]
fn a_newer_token_is_for_the_session_and_for_the_next_ones() {
    let mut line = Line::new(Follow::Nothing, 5);
    line.welcome();
    line.client.renew(line.now_ms, "newer");
    let (renew, asked) = line.one();
    assert_eq!(asked, Asked::Renew("newer".into()));
    line.tell(|encoder| encoder.renewed(renew, 77));
    assert!(matches!(line.events()[..], [ClientEvent::Renewed { token_expires_ms: 77, .. }]));
    line.cut();
    next_attempt(&mut line);
    line.client.handle_connected(line.now_ms);
    assert_eq!(line.one().1, Asked::Hello("newer".into()));
}

#[test]
fn a_token_that_ends_while_a_newer_one_is_on_its_way_is_no_failure() {
    for refused_by_code in [true, false] {
        let mut line = Line::new(Follow::Nothing, 5);
        line.welcome();
        line.client.renew(line.now_ms, "newer");
        line.asked();
        if refused_by_code {
            line.client.handle_disconnected(line.now_ms, DisconnectReason::Closed(Some(4002)));
        } else {
            line.tell(|encoder| encoder.error(0, ErrorCode::TokenExpired, "", 0));
        }
        assert!(!line.events().iter().any(|event| matches!(event, ClientEvent::AuthFailed { .. })));
        next_attempt(&mut line);
        line.client.handle_connected(line.now_ms);
        assert_eq!(line.one().1, Asked::Hello("newer".into()));
    }
}

#[test]
fn a_session_that_was_replaced_does_not_come_back_at_once() {
    let waits = (0..50).map(|seed| {
        let mut line = Line::new(Follow::Nothing, seed);
        line.welcome();
        line.now_ms += 100_000;
        line.client.handle_disconnected(line.now_ms, DisconnectReason::Closed(Some(4009)));
        next_attempt(&mut line)
    });
    assert!(waits.sum::<u64>() > 50 * BACKOFF_FIRST_MS / 4);
}
