//! Set-up: bob makes groups and talks with alice; she lists, reads on one device, is removed, and lists again, before and
//! after a kill of the server. Claim: `list` prints one line a conversation, the latest change first, with what is unread and
//! until when she was a member; with `--count` the first so many of these lines.

use serde_json::Value;
use trunkline_tests::server::Server;
use trunkline_wire::ids::ConversationId;

use crate::output::{lines, members, send};
use crate::people::{enroll, listed, login, restart, serve};
use crate::shards::for_shards;

const SETTINGS: &[&str] = &["limits.list_every_ms=20", "limits.receipts_every_ms=20"];

fn list(server: &Server, arguments: &[&str]) -> Vec<Value> {
    let ended = server.run([&["list", "--as", "alice"], arguments].concat()).succeeded();
    lines(&ended.stdout)
}

/// (title or peer, last_seq, unread, left_seq) of each line.
fn told(server: &Server) -> Vec<(String, u64, u64, Option<u64>)> {
    let row = |line: &Value| {
        let name = line["title"].as_str().or(line["peer"].as_str()).expect("a title or a peer");
        let number = |name: &str| line[name].as_u64();
        (name.to_owned(), number("last_seq").unwrap_or(0), number("unread").unwrap_or(0), number("left_seq"))
    };
    list(server, &[]).iter().map(row).collect()
}

#[test]
fn with_what_is_unread() {
    for_shards([1, 2], |shards| {
        let mut server = serve(shards, SETTINGS);
        let [alice, bob] = enroll(&server, ["alice", "bob"]);
        assert_eq!(list(&server, &[]), [] as [Value; 0]);
        let group = |title: &str| {
            let made = server.run(["group", "create", "--as", "bob", title, "alice"]).succeeded();
            ConversationId::parse(lines(&made.stdout)[0]["conversation"].as_str().expect("an id")).expect("an id")
        };
        let groups = ["one", "two", "three"].map(group);
        let mut of_alice = login(&server, &alice);
        groups.iter().for_each(|group| drop(listed(&mut of_alice, *group, |row| row.last_seq == 1)));
        send(&server, "bob", "alice", "hello");
        listed(&mut of_alice, ConversationId::direct(trunkline_wire::ids::TenantId(0), alice.user, bob.user), |_| true);
        send(&server, "bob", &groups[0].to_text(), "news of one");
        listed(&mut of_alice, groups[0], |row| row.last_seq == 2);

        let bob_name = bob.user.to_string();
        let row = |name: &str, last: u64, unread: u64| (name.to_owned(), last, unread, None);
        let wanted = [row("one", 2, 2), row(&bob_name, 1, 1), row("three", 1, 1), row("two", 1, 1)];
        assert_eq!(told(&server), wanted);
        let lines = list(&server, &["--count", "2"]);
        assert_eq!(lines, list(&server, &[])[..2]);
        let names = [
            "conversation",
            "joined_seq",
            "kind",
            "last_seq",
            "left_seq",
            "peer",
            "read_seq",
            "title",
            "unread",
            "user_seq",
        ];
        assert_eq!(members(&lines[0]), names);
        assert_eq!([&lines[0]["kind"], &lines[1]["kind"]], ["group", "direct"]);

        of_alice.report(0, &[trunkline_tests::ear::receipt(groups[2], 1, 1)]).expect("a report");
        listed(&mut of_alice, groups[2], |row| row.read_seq == 1);
        server.run(["group", "remove", "--as", "bob", &groups[1].to_text(), "alice"]).succeeded();
        listed(&mut of_alice, groups[1], |row| row.left_seq == 2);
        let gone = ("two".to_owned(), 2, 2, Some(2));
        let wanted = [gone, row("three", 1, 0), row("one", 2, 2), row(&bob_name, 1, 1)];
        assert_eq!(told(&server), wanted);
        // All of it is stored, and nothing has to be announced again: the order stays.
        std::thread::sleep(std::time::Duration::from_millis(500));
        restart(&mut server, shards, SETTINGS);
        assert_eq!(told(&server), wanted);
    });
}
