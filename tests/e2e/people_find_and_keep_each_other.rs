//! Set-up: people with the commands `profile` and `contacts`, and the same requests over plain HTTP, with a kill of the server
//! between. Claim: a profile is seen by others; a request, its acceptance and its end are seen by both sides; what is
//! unknown, foreign or too much gets its code; members see what their conversation is, and nobody else does.

use std::net::SocketAddr;

use serde_json::{Value, json};
use trunkline_tests::http::{Response, exchange};
use trunkline_tests::server::{Account, Server};
use trunkline_wire::ids::ConversationId;

use crate::output::{error_of, lines};
use crate::people::{enroll, login, restart, serve};
use crate::shards::for_shards;

/// One line of a command that works.
#[track_caller]
fn line(server: &Server, words: &[&str]) -> Value {
    let printed = lines(&server.run(words).succeeded().stdout);
    assert_eq!(printed.len(), 1, "{printed:?}");
    printed[0].clone()
}

/// (handle, state, blocked) of each contact, in order of handle.
#[track_caller]
fn contacts(server: &Server, of: &str) -> Vec<(String, String, bool)> {
    let printed = lines(&server.run(["contacts", "list", "--as", of]).succeeded().stdout);
    let text = |line: &Value, name: &str| line[name].as_str().expect("a text").to_owned();
    let mut contacts: Vec<_> = printed
        .iter()
        .map(|line| (text(line, "handle"), text(line, "state"), line["blocked"].as_bool().expect("yes or no")))
        .collect();
    contacts.sort();
    contacts
}

fn contact(handle: &str, state: &str, blocked: bool) -> (String, String, bool) {
    (handle.to_owned(), state.to_owned(), blocked)
}

/// Asks over plain HTTP.
fn ask(server: &Server, by: &Account, method: &str, path: &str) -> Response {
    let port: SocketAddr = server.address().parse().expect("an address");
    let head = format!("Host: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\n", by.token);
    Response::parse(&exchange(port, format!("{method} {path} HTTP/1.1\r\n{head}\r\n").as_bytes()))
}

#[track_caller]
fn refused(response: &Response, status: u16, code: &str) {
    let body: Value = serde_json::from_str(&response.body).expect("JSON");
    assert_eq!((response.status, body["error"].as_str()), (status, Some(code)), "{response:?}");
}

#[test]
fn with_commands() {
    for_shards([1, 3], |shards| {
        let mut server = serve(shards, &[]);
        let [alice, bob, _carol] = &enroll(&server, ["alice", "bob", "carol"]);
        let bare = json!({"user": alice.user.to_string(), "handle": "alice", "display_name": "", "avatar": ""});
        assert_eq!(line(&server, &["profile", "--as", "alice"]), bare);
        line(&server, &["profile", "--as", "alice", "--display-name", " Alice L. ", "--avatar", "blob:7"]);
        let state = |words: &[&str]| line(&server, words)["state"].as_str().expect("a state").to_owned();
        assert_eq!(state(&["contacts", "request", "--as", "alice", "BOB"]), "requested");
        assert_eq!(state(&["contacts", "request", "--as", "carol", &bob.user.to_string()]), "requested");
        assert_eq!(contacts(&server, "bob"), [contact("alice", "asked", false), contact("carol", "asked", false)]);
        assert_eq!(state(&["contacts", "accept", "--as", "bob", "ALICE"]), "accepted");
        assert_eq!(state(&["contacts", "remove", "--as", "bob", "carol"]), "none");
        assert_eq!(state(&["contacts", "block", "--as", "carol", "alice"]), "blocked");

        restart(&mut server, shards, &[]);
        assert_eq!(contacts(&server, "alice"), [contact("bob", "accepted", false)]);
        assert_eq!(contacts(&server, "bob"), [contact("alice", "accepted", false)]);
        assert_eq!(contacts(&server, "carol"), [contact("alice", "none", true)]);
        let seen = line(&server, &["profile", "--as", "bob", "alice"]);
        assert_eq!((&seen["display_name"], &seen["avatar"]), (&json!("Alice L."), &json!("blob:7")));
        let fails = |words: &[&str]| error_of(&server.run(words));
        assert_eq!(fails(&["contacts", "request", "--as", "alice", "carol"]), "unknown_user");
        assert_eq!(fails(&["contacts", "request", "--as", "alice", "nobody-at-all"]), "unknown_user");
        assert_eq!(fails(&["contacts", "request", "--as", "carol", "alice"]), "blocked");
        assert_eq!(fails(&["contacts", "accept", "--as", "bob", "carol"]), "no_request");
        assert_eq!(fails(&["contacts", "request", "--as", "bob", "bob"]), "oneself");
        assert_eq!(fails(&["profile", "--as", "bob", "--display-name", "two\nlines"]), "invalid_display_name");
        assert_eq!(fails(&["profile", "--as", "bob", "--avatar", "a b"]), "invalid_avatar");
        line(&server, &["contacts", "remove", "--as", "alice", "bob"]);
        line(&server, &["contacts", "unblock", "--as", "carol", "alice"]);
        assert_eq!((contacts(&server, "alice"), contacts(&server, "bob")), (vec![], vec![]));
    });
}

#[test]
fn over_http() {
    let server = serve("2", &["limits.lookup_burst=3"]);
    let accounts = enroll(&server, ["alice", "bob", "carol"]);
    let [alice, bob, carol] = &accounts;
    for (method, path, status, code) in [
        ("GET", "/v1/users/0123", 404, "unknown_user"),
        ("GET", "/v1/users/00000000deadbeef", 404, "unknown_user"),
        ("GET", "/v1/users", 400, "malformed"),
        ("GET", "/v1/users?handle=a&shoe=43", 400, "malformed"),
        ("GET", "/v1/contacts?after=x", 400, "malformed"),
        ("POST", "/v1/contacts/00000000deadbeef", 404, "unknown_user"),
        ("PUT", "/v1/blocks/00000000deadbeef", 404, "unknown_user"),
        ("PATCH", "/v1/profile", 415, "malformed"),
        ("PUT", "/v1/profile", 405, "method_not_allowed"),
        ("GET", "/v1/conversations/none", 404, "not_found"),
    ] {
        refused(&ask(&server, alice, method, path), status, code);
    }
    let stranger = Account { token: "none".to_owned(), ..alice.clone() };
    for path in ["/v1/profile", "/v1/users?handle=bob", "/v1/contacts", "/v1/conversations/x"] {
        let response = ask(&server, &stranger, "GET", path);
        assert_eq!(response.status, if path.ends_with('x') { 404 } else { 401 }, "{response:?}");
    }
    for _ in 0..3 {
        assert_eq!(ask(&server, alice, "GET", "/v1/users?handle=B%6fB").status, 200);
    }
    let response = ask(&server, alice, "GET", "/v1/users?handle=bob");
    refused(&response, 429, "rate_limited");
    assert!(response.head.to_lowercase().contains("retry-after: "), "{response:?}");
    assert_eq!(ask(&server, bob, "GET", "/v1/users?handle=alice").status, 200, "others may");

    let mut of_alice = login(&server, alice);
    let group = of_alice.create_group(7, "ships", &[bob.user]).expect("a group").conversation;
    let shown = |by: &Account, conversation: ConversationId| {
        ask(&server, by, "GET", &format!("/v1/conversations/{conversation}"))
    };
    let found: Value = serde_json::from_str(&shown(bob, group).body).expect("JSON");
    assert_eq!((&found["kind"], &found["title"], &found["members"]), (&json!("group"), &json!("ships"), &json!(2)));
    refused(&shown(carol, group), 404, "not_found");
    let (direct, _) = of_alice.open_peer(carol.user);
    refused(&shown(carol, direct), 404, "not_found");
    of_alice.say(direct, "hello").expect("an ack");
    let found: Value = serde_json::from_str(&shown(carol, direct).body).expect("JSON");
    assert_eq!((&found["kind"], &found["peer"]), (&json!("direct"), &json!(alice.user.to_string())));
    refused(&shown(bob, direct), 404, "not_found");
    of_alice.remove(group, &[bob.user]).expect("bob is removed");
    refused(&shown(bob, group), 404, "not_found");
}
