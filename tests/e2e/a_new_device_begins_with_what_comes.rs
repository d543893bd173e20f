//! Set-up: `listen` as a user runs it for the first time on a device, with an empty list and with old conversations, for
//! a moment only; then messages come while nobody listens. Claim: the next run prints what came since the first one, and
//! nothing that was there before.

use trunkline_tests::server::Server;

use crate::output::{lines, send, texts};
use crate::people::{enroll, restart, serve};

const NOTHING: [&str; 0] = [];

fn listen(server: &Server, arguments: &[&str]) -> Vec<String> {
    texts(&server.run([&["listen"], arguments].concat()).succeeded().stdout)
}

#[test]
fn though_its_list_is_empty() {
    let mut server = serve("2", &[]);
    enroll(&server, ["alice", "bob"]);
    assert_eq!(listen(&server, &["--as", "bob", "--timeout", "300ms"]), NOTHING);
    send(&server, "alice", "bob", "while nobody listened");
    assert_eq!(listen(&server, &["--as", "bob", "--count", "1"]), ["while nobody listened"]);
    restart(&mut server, "1", &[]);
    send(&server, "alice", "bob", "and later");
    assert_eq!(listen(&server, &["--as", "bob", "--count", "1"]), ["and later"]);
    assert_eq!(listen(&server, &["--as", "bob", "--timeout", "300ms"]), NOTHING);
}

#[test]
fn and_not_with_an_old_conversation_that_goes_on() {
    let server = serve("2", &[]);
    enroll(&server, ["alice", "bob", "carol"]);
    let second = server.add_device("bob");
    let second = ["--token", second.token.as_str()];
    for text in ["one", "two", "three"] {
        send(&server, "alice", "bob", text);
    }
    let made = server.run(["group", "create", "--as", "alice", "a group", "bob"]).succeeded();
    let group = lines(&made.stdout)[0]["conversation"].as_str().expect("an id").to_owned();
    send(&server, "alice", &group, "to all");
    for device in [["--as", "bob"], second] {
        assert_eq!(listen(&server, &[&device[..], &["--timeout", "500ms"]].concat()), NOTHING);
    }
    send(&server, "alice", "bob", "four");
    send(&server, "alice", &group, "to all again");
    send(&server, "carol", "bob", "new to you");
    for device in [["--as", "bob"], second] {
        let mut heard = listen(&server, &[&device[..], &["--count", "3"]].concat());
        heard.sort_unstable();
        assert_eq!(heard, ["four", "new to you", "to all again"]);
        assert_eq!(listen(&server, &[&device[..], &["--timeout", "300ms"]].concat()), NOTHING);
    }
}
