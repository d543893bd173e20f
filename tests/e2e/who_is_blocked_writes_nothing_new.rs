//! Set-up: two people in a 1:1 and in a group; one blocks the other, before they ever talked and while they do, with kills of
//! the server between. Claim: from the answer to the block on nothing new of the blocked one is taken in their 1:1, over
//! restarts and with any number of shards; the refusal is final for the message and says nothing else; what was said stays,
//! who blocks may write, groups go on, and after the block all is as before.

use trunkline_tests::server::Server;
use trunkline_wire::message::ErrorCode;

use crate::output::{error_of, history, send};
use crate::people::{enroll, login, refused, restart, serve};
use crate::shards::for_shards;

#[track_caller]
fn contacts(server: &Server, what: &str, by: &str, whom: &str) {
    server.run(["contacts", what, "--as", by, whom]).succeeded();
}

#[test]
fn in_their_1_1_until_the_block_ends() {
    for_shards([1, 3], |shards| {
        let mut server = serve(shards, &[]);
        let accounts = enroll(&server, ["alice", "bob"]);
        let [alice, bob] = &accounts;
        // Before they ever talked.
        contacts(&server, "block", "alice", "bob");
        let mut of_bob = login(&server, bob);
        let (direct, _) = of_bob.open_peer(alice.user);
        refused(&server, ErrorCode::Forbidden, || of_bob.say(direct, "let me in"));
        let mut of_alice = login(&server, alice);
        assert_eq!(of_alice.open_peer(bob.user).0, direct);
        assert_eq!(of_alice.say(direct, "you listen"), Ok(1));

        restart(&mut server, shards, &[]);
        let (mut of_alice, mut of_bob) = (login(&server, alice), login(&server, bob));
        of_bob.open_peer(alice.user);
        refused(&server, ErrorCode::Forbidden, || of_bob.say(direct, "still not"));
        assert_eq!(of_bob.history(direct).len(), 1, "what was said is read");
        let group = of_alice.create_group(7, "ships", &[bob.user]).expect("a group").conversation;
        assert_eq!(of_bob.say(group, "in the group"), Ok(2));

        contacts(&server, "unblock", "alice", "bob");
        assert_eq!(of_bob.say(direct, "thanks"), Ok(2));
        // While they talk, and each for itself.
        contacts(&server, "block", "alice", "bob");
        contacts(&server, "block", "bob", "alice");
        refused(&server, ErrorCode::Forbidden, || of_bob.say(direct, "no"));
        refused(&server, ErrorCode::Forbidden, || of_alice.say(direct, "no"));
        contacts(&server, "unblock", "alice", "bob");
        assert_eq!(of_bob.say(direct, "yes"), Ok(3));
        refused(&server, ErrorCode::Forbidden, || of_alice.say(direct, "no"));
        restart(&mut server, shards, &[]);
        let (mut of_alice, mut of_bob) = (login(&server, alice), login(&server, bob));
        of_alice.open_peer(bob.user);
        refused(&server, ErrorCode::Forbidden, || of_alice.say(direct, "no"));
        assert_eq!(of_bob.say(direct, "as ever"), Ok(4));
    });
}

#[test]
fn and_commands_say_so_and_keep_nothing() {
    let server = serve("2", &[]);
    enroll(&server, ["alice", "bob"]);
    assert_eq!(send(&server, "bob", "alice", "hello"), 1);
    contacts(&server, "block", "alice", "bob");
    assert_eq!(error_of(&server.run(["send", "--as", "bob", "--to", "alice", "again"])), "forbidden");
    assert_eq!(error_of(&server.run(["contacts", "request", "--as", "bob", "alice"])), "unknown_user");
    contacts(&server, "unblock", "alice", "bob");
    // The refused message was given up: it does not come behind this one.
    assert_eq!(send(&server, "bob", "alice", "back"), 2);
    assert_eq!(history(&server, "alice", "bob"), ["hello", "back"]);
}
