//! Set-up: a group from its making to its end by the commands `group create`, `add`, `remove`, `leave` and `show`, and talk in
//! it by `send` and `history`, with a kill of the server between. Claim: each prints one line of JSON with what it did, or
//! fails with the code of why it may not; the lines of `show` and of `history` are what was done.

use serde_json::{Value, json};
use trunkline_tests::server::{Account, Server};

use crate::output::{error_of, lines, members, send};
use crate::people::{enroll, restart, serve};
use crate::shards::for_shards;

/// What a command that works prints, which is one line.
#[track_caller]
fn line(server: &Server, arguments: &[&str]) -> Value {
    let ended = server.run(arguments).succeeded();
    let lines = lines(&ended.stdout);
    assert_eq!(lines.len(), 1, "{ended:?}");
    lines[0].clone()
}

/// Who `show` says is in it: by user the role and the seq that made it a member.
#[track_caller]
fn shown(server: &Server, by: &str, group: &str) -> Vec<(String, String, u64)> {
    let ended = server.run(["group", "show", "--as", by, group]).succeeded();
    let member = |line: &Value| {
        let names = members(line);
        assert_eq!(names, ["conversation", "delivered_seq", "joined_seq", "read_seq", "role", "user"]);
        let text = |name: &str| line[name].as_str().expect("a text").to_owned();
        assert_eq!(text("conversation"), group);
        (text("user"), text("role"), line["joined_seq"].as_u64().expect("a seq"))
    };
    lines(&ended.stdout).iter().map(member).collect()
}

/// The same, as it should be.
fn wanted(members: &[(&Account, &str, u64)]) -> Vec<(String, String, u64)> {
    let mut members: Vec<_> =
        members.iter().map(|(who, role, seq)| (who.user.to_string(), (*role).to_owned(), *seq)).collect();
    members.sort_unstable();
    members
}

#[test]
fn from_its_making_to_its_end() {
    for_shards([1, 2], |shards| {
        let mut server = serve(shards, &["limits.group_members_max=4"]);
        let accounts = enroll(&server, ["alice", "bob", "carol", "dave", "erin"]);
        let [alice, bob, carol, dave, erin] = &accounts;
        let made = line(&server, &["group", "create", "--as", "alice", "The Team", "bob", &carol.user.to_string()]);
        let group = made["conversation"].as_str().expect("an id").to_owned();
        assert_eq!(made, json!({"conversation": group, "kind": "group", "title": "The Team", "members": 3}));
        let first = [(alice, "admin", 1), (bob, "member", 1), (carol, "member", 1)];
        assert_eq!(shown(&server, "bob", &group), wanted(&first));

        let change = |by: &str, what: &str, whom: &str| server.run(["group", what, "--as", by, &group, whom]);
        assert_eq!(error_of(&change("bob", "add", "dave")), "forbidden");
        assert_eq!(error_of(&change("bob", "remove", "carol")), "forbidden");
        assert_eq!(error_of(&change("erin", "add", "erin")), "not_found");
        assert_eq!(error_of(&change("alice", "add", "nobody-at-all")), "unknown_handle");
        assert_eq!(error_of(&change("alice", "add", "00000000deadbeef")), "unknown_peer");
        assert_eq!(send(&server, "bob", &group, "hello all"), 2);
        assert_eq!(error_of(&server.run(["send", "--as", "erin", "--to", &group, "let me in"])), "not_found");
        let changed = |seq: Value, change: &str, whom: &Account| json!({"conversation": group, "seq": seq, "change": change, "users": [whom.user.to_string()]});
        assert_eq!(line(&server, &["group", "add", "--as", "alice", &group, "dave"]), changed(json!(3), "added", dave));
        assert_eq!(
            line(&server, &["group", "add", "--as", "alice", &group, "dave"]),
            changed(Value::Null, "added", dave)
        );
        assert_eq!(error_of(&change("alice", "add", "erin")), "group_full");
        let removed = line(&server, &["group", "remove", "--as", "alice", &group, "carol"]);
        assert_eq!(removed, changed(json!(4), "removed", carol));
        assert_eq!(error_of(&server.run(["group", "show", "--as", "carol", &group])), "forbidden");

        restart(&mut server, shards, &["limits.group_members_max=4"]);
        let left = line(&server, &["group", "leave", "--as", "alice", &group]);
        assert_eq!(left, changed(json!(5), "removed", alice));
        assert_eq!(line(&server, &["group", "leave", "--as", "alice", &group]), changed(Value::Null, "removed", alice));
        let last = [(bob, "admin", 1), (dave, "member", 3)];
        assert_eq!(shown(&server, "dave", &group), wanted(&last));
        assert_eq!(line(&server, &["group", "add", "--as", "bob", &group, "erin"]), changed(json!(6), "added", erin));
        history_tells_it(&server, &group, &accounts);
    });
}

fn history_tells_it(server: &Server, group: &str, accounts: &[Account; 5]) {
    let [alice, bob, carol, dave, erin] = accounts;
    let told = lines(&server.run(["history", "--as", "bob", group]).succeeded().stdout);
    let membership = |change: &str, by: &Account, whom: &[&Account], title: Option<&str>| {
        let mut users: Vec<String> = whom.iter().map(|account| account.user.to_string()).collect();
        users.sort_unstable();
        let mut line = json!({"kind": "membership", "change": change, "sender": by.user.to_string(), "users": users});
        if let Some(title) = title {
            line["title"] = json!(title);
        }
        line
    };
    let wanted = [
        membership("created", alice, &[bob, carol], Some("The Team")),
        json!({"kind": "text", "sender": bob.user.to_string(), "text": "hello all"}),
        membership("added", alice, &[dave], None),
        membership("removed", alice, &[carol], None),
        membership("removed", alice, &[alice], None),
        membership("added", bob, &[erin], None),
    ];
    assert_eq!(told.len(), wanted.len(), "{told:#?}");
    for ((line, wanted), seq) in told.iter().zip(wanted).zip(1u64..) {
        assert_eq!((line["seq"].as_u64(), line["conversation"].as_str()), (Some(seq), Some(group)));
        for (name, value) in wanted.as_object().expect("an object") {
            assert_eq!(&line[name], value, "seq {seq}: {line}");
        }
    }
}
