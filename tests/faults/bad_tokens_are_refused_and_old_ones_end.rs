//! Only a whole, unexpired token that this deployment signed opens a session, and it keeps it open no longer than it lasts
//! (SEC-5).
//!
//! Set-up: a server with default limits; tokens signed with its own key, with a foreign one, and texts that are none.
//! Claim: each bad token is answered with a typed error and closed with 4001 or 4002; a token that ends while connected ends
//! the connection with 4002 within 5 s; a Renew in time keeps it, a Renew with something else changes nothing; each is
//! counted; other people chat on.

use std::time::Duration;

use trunkline_tests::server::{Account, Server};
use trunkline_wire::message::ErrorCode;
use trunkline_wire::token::{Scopes, TokenKey};

use crate::ear::{Heard, Reply};
use crate::peer::{Late, Peer};
use crate::rig::{self, sign};

/// Hello with a token is answered with an error and a close.
fn refused(server: &Server, token: &str, error: ErrorCode, code: u16) {
    let mut peer = Peer::open(rig::address(server));
    peer.request(|encoder| encoder.hello(9, token, "faults"));
    assert_eq!(peer.error_to(9), error, "token {token:?}");
    peer.closed_with(code, error.name());
}

fn later(seconds: u64) -> u64 {
    rig::now().as_secs() + seconds
}

/// Texts that are no token of this server.
fn no_tokens(own: &TokenKey, account: &Account) -> Vec<String> {
    let good = &account.token;
    let (user, device) = (account.user, account.device.0);
    let foreign = TokenKey { id: own.id, secret: [0x5a; 32] };
    let unknown = TokenKey { id: own.id + 7, secret: own.secret };
    let mut texts = vec![
        String::new(),
        "token".to_owned(),
        good[..good.len() - 1].to_owned(),
        format!("{good}A"),
        good.replace("tl1_", "tl2_"),
        good.replace("tl1_", "TL1_"),
        format!(" {good}"),
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.".to_owned(),
        format!("tl1_{}", "A".repeat(92)),
        "x".repeat(3_000),
        "\u{1f511}".repeat(64),
        sign(&foreign, user, device, Scopes::USER, later(600)),
        sign(&unknown, user, device, Scopes::USER, later(600)),
    ];
    // Each character of a good token in turn is another one.
    for index in (4..good.len() - 1).step_by(7) {
        let other = if &good[index..=index] == "A" { "B" } else { "A" };
        texts.push(format!("{}{other}{}", &good[..index], &good[index + 1..]));
    }
    texts
}

#[test]
fn bad_tokens_are_refused() {
    let _shared = rig::among_others();
    let server = rig::serve(&[]);
    let users = server.add_users(3);
    let own = rig::keys(&server).remove(0);
    let (user, device) = (users[0].user, users[0].device.0);
    for token in no_tokens(&own, &users[0]) {
        rig::counted(&server, "violation.token_invalid", || refused(&server, &token, ErrorCode::TokenInvalid, 4001));
    }
    for expires_s in [0, 1, rig::now().as_secs() - 1, rig::now().as_secs()] {
        let token = sign(&own, user, device, Scopes::USER, expires_s);
        rig::counted(&server, "violation.token_expired", || refused(&server, &token, ErrorCode::TokenExpired, 4002));
    }
    rig::counted(&server, "error.forbidden", || {
        let token = sign(&own, user, device, Scopes::ADMIN, later(600));
        refused(&server, &token, ErrorCode::Forbidden, 1008);
    });
    // The same key signs a good one: what was refused was not refused for how this test signs.
    Peer::login(rig::address(&server), &sign(&own, user, device, Scopes::USER, later(600)));
    rig::assert_serves(&server, &users[1], &users[2]);
}

#[test]
fn a_session_ends_with_its_token_unless_it_is_renewed() {
    let _shared = rig::among_others();
    let server = rig::serve(&[]);
    let users = server.add_users(4);
    let own = rig::keys(&server).remove(0);
    let expires_s = later(4);
    let short = |account: &Account| sign(&own, account.user, account.device.0, Scopes::USER, expires_s);
    let mut left = Peer::login(rig::address(&server), &short(&users[0]));
    let mut renewed = Peer::login(rig::address(&server), &short(&users[1]));
    let until = later(600);
    let longer = sign(&own, users[1].user, users[1].device.0, Scopes::USER, until);
    let answer = renewed.ask(|encoder, request| encoder.renew(request, &longer));
    assert_eq!(answer, Reply::Renewed(until * 1_000));
    let another = sign(&own, users[0].user, users[0].device.0, Scopes::USER, until);
    let past = sign(&own, users[0].user, users[0].device.0, Scopes::USER, 1);
    for (token, code) in [
        (another.as_str(), ErrorCode::Forbidden),
        (past.as_str(), ErrorCode::TokenExpired),
        ("token", ErrorCode::TokenInvalid),
    ] {
        rig::counted(&server, &format!("error.{}", code.name()), || {
            match renewed.ask(|encoder, request| encoder.renew(request, token)) {
                Reply::Error { code: told, .. } => assert_eq!(told, code),
                other => panic!("Renew with a bad token was answered with {other:?}"),
            }
        });
    }
    rig::counted(&server, "violation.token_expired", || {
        left.closed_with(4002, "token_expired");
        let late = rig::now().saturating_sub(Duration::from_secs(expires_s));
        assert!(rig::now().as_secs() >= expires_s, "closed before its token ended");
        assert!(late < Duration::from_secs(5), "closed {late:?} after its token ended");
    });
    // Past the end of its first token by more than a tick of the server's clockwork.
    match renewed.hear_within(Duration::from_secs(1)) {
        Err(Late) | Ok(Some(Heard::Ping(_))) => {}
        other => panic!("the renewed session heard {other:?}"),
    }
    assert!(matches!(renewed.ask(|encoder, request| encoder.sync(request, Some(0), 0, 10)), Reply::Synced(_)));
    rig::assert_serves(&server, &users[2], &users[3]);
}
