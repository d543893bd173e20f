//! Set-up: two people chat in a group over pipes, a third listens with `--events` and a fourth is a client that types. Claim:
//! both see who came and went, with what was said, in one order; whoever said something is told when all have it and when all
//! have read it; both, and who listens, hear that somebody types, and that it has ended.

use trunkline_tests::process::Process;
use trunkline_tests::server::PATIENCE;
use trunkline_wire::ids::ConversationId;

use crate::output::lines;
use crate::people::{enroll, login, serve};
use crate::shards::for_shards;

const SETTINGS: &[&str] = &["limits.receipts_every_ms=50", "limits.typing_ms=700"];

#[track_caller]
fn shown(chat: &Process, part: &str) {
    let (stdout, stderr) = (chat.stdout(), chat.stderr());
    assert!(stdout.line_with(part, PATIENCE).is_some(), "no {part:?} in\n{}\n{}", stdout.text(), stderr.text());
}

#[track_caller]
fn told(chat: &Process, part: &str) {
    let stderr = chat.stderr();
    assert!(stderr.line_with(part, PATIENCE).is_some(), "no {part:?} in\n{}", stderr.text());
}

#[test]
fn in_a_group() {
    for_shards([1, 2], |shards| {
        let server = serve(shards, SETTINGS);
        let [alice, bob, _carol, dave] = enroll(&server, ["alice", "bob", "carol", "dave"]);
        let made = server.run(["group", "create", "--as", "alice", "Lunch", "bob"]).succeeded();
        let group = lines(&made.stdout)[0]["conversation"].as_str().expect("an id").to_owned();
        let id = ConversationId::parse(&group).expect("an id");
        let short = |account: &trunkline_tests::server::Account| account.user.to_string()[..8].to_owned();
        let mut of_alice = server.spawn(["chat", "--as", "alice", &group]);
        let mut of_bob = server.spawn(["chat", "--as", "bob", &group]);
        shown(&of_alice, &format!("* alice made the group, with {}", short(&bob)));
        shown(&of_bob, &format!("* {} made the group, with bob", short(&alice)));

        of_alice.write("who is hungry?\n");
        shown(&of_alice, "alice: who is hungry? ✓");
        shown(&of_bob, &format!("{}: who is hungry?", short(&alice)));
        told(&of_alice, "✓✓ read up to message 2");
        server.run(["group", "add", "--as", "alice", &group, "carol", "dave"]).succeeded();
        shown(&of_alice, "* alice added ");
        shown(&of_bob, &format!("* {} added ", short(&alice)));

        let mut ear = server.spawn(["listen", "--as", "carol", "--from", "start", "--events"]);
        assert!(ear.stderr().line_with("trunkline: listening", PATIENCE).is_some(), "{}", ear.stderr().text());
        let mut of_dave = login(&server, &dave);
        of_dave.typing(id).expect("a member types");
        told(&of_bob, &format!("{} is typing", short(&dave)));
        told(&of_alice, &format!("{} is typing", short(&dave)));
        assert!(ear.stdout().line_with("\"event\":\"typing\"", PATIENCE).is_some(), "{}", ear.stdout().text());
        assert!(ear.stdout().line_with("\"event\":\"typing_ended\"", PATIENCE).is_some(), "{}", ear.stdout().text());
        server.run(["group", "leave", "--as", "dave", &group]).succeeded();
        shown(&of_bob, &format!("* {} left", short(&dave)));
        of_bob.write("me\n");
        shown(&of_bob, "bob: me ✓");
        shown(&of_alice, &format!("{}: me", short(&bob)));
        assert!(ear.stdout().line_with("\"event\":\"receipt\"", PATIENCE).is_some(), "{}", ear.stdout().text());
        assert!(ear.stdout().line_with("\"text\":\"me\"", PATIENCE).is_some(), "{}", ear.stdout().text());
        ear.kill();
        [&mut of_alice, &mut of_bob].into_iter().for_each(Process::close_stdin);
        [&mut of_alice, &mut of_bob].into_iter().for_each(|chat| drop(chat.ended(PATIENCE).succeeded()));
    });
}
