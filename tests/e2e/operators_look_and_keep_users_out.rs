//! Set-up: an operator at a server with users, one of whom signed up, and conversations; then at the folder with no server.
//! Claim: `user list`, `user show`, `conversation list` and `conversation show` print what there is, in pages that leave
//! nothing out; who is suspended gets in neither with the password nor with what a device has, over a restart too, until
//! that ends.

use serde_json::{Value, json};
use trunkline_tests::process::{Ended, Process};
use trunkline_tests::server::{PATIENCE, Server};

use crate::output::{error_of, lines, members, send};
use crate::people::{login, restart, serve};

const SETTINGS: &[&str] = &["accounts.password_memory_kib=64"];

/// A command with a password on stdin.
fn enter(server: &Server, words: &[&str], password: &str) -> Ended {
    let mut process = Process::start(&mut server.command(words));
    process.write(&format!("{password}\n"));
    process.close_stdin();
    process.ended(PATIENCE)
}

/// The operator's command prints these lines.
#[track_caller]
fn printed(server: &Server, words: &[&str]) -> Vec<Value> {
    let data = server.data();
    let words: Vec<&str> = words.iter().copied().chain(["--data", data.to_str().expect("UTF-8")]).collect();
    lines(&server.run(words).succeeded().stdout)
}

fn texts(lines: &[Value], name: &str) -> Vec<String> {
    lines.iter().map(|line| line[name].as_str().expect("a text").to_owned()).collect()
}

#[test]
fn users_and_conversations() {
    let mut server = serve("2", SETTINGS);
    let accounts = server.add_users(230);
    enter(&server, &["signup", "zoe", "--device", "desk"], "correct horse").succeeded();
    let [alice, bob] = [server.add_user("Al"), server.add_user("alba")];
    let mut wanted: Vec<String> = accounts.iter().map(|account| account.name.clone()).collect();
    wanted.extend(["zoe", "Al", "alba"].map(str::to_owned));
    wanted.sort_by_key(|name| name.to_lowercase());
    assert_eq!(texts(&printed(&server, &["user", "list"]), "handle"), wanted, "more than a page");
    assert_eq!(texts(&printed(&server, &["user", "list", "--prefix", "AL"]), "handle"), ["Al", "alba"]);
    let zoe = &printed(&server, &["user", "show", "ZOE"])[0];
    assert_eq!(
        (&zoe["devices"], &zoe["signed_in"][0]["name"], &zoe["suspended"]),
        (&json!(1), &json!("desk"), &json!(false))
    );
    assert!(!zoe.to_string().contains("argon2"), "no secret is shown: {zoe}");

    let mut of_alice = login(&server, &alice);
    let group = of_alice.create_group(7, "ships", &[bob.user]).expect("a group").conversation;
    of_alice.remove(group, &[bob.user]).expect("removed");
    let (direct, _) = of_alice.open_peer(bob.user);
    of_alice.say(direct, "hello").expect("an ack");
    let mut ids = [group.to_string(), direct.to_string()];
    ids.sort();
    assert_eq!(texts(&printed(&server, &["conversation", "list"]), "conversation"), ids);
    let show = |id: &str| printed(&server, &["conversation", "show", id])[0].clone();
    let shown = show(&group.to_string());
    assert_eq!((&shown["title"], &shown["last_seq"]), (&json!("ships"), &json!(2)));
    let left: Vec<&Value> =
        shown["members"].as_array().expect("members").iter().map(|member| &member["left_seq"]).collect();
    assert!(left.contains(&&json!(2)) && left.contains(&&Value::Null), "{shown}");
    let shown = show(&direct.to_string());
    assert_eq!((&shown["kind"], shown["members"].as_array().map(Vec::len)), (&json!("direct"), Some(2)));
    assert!(!members(&shown).contains(&"messages"), "what is said is nobody's but theirs");
    let data = server.data();
    let none = server.run(["conversation", "show", &"0".repeat(32), "--data", data.to_str().expect("UTF-8")]);
    assert_eq!(error_of(&none), "not_found");
    // Nobody serves: the folder is opened.
    server.stop();
    assert_eq!(texts(&printed(&server, &["user", "list", "--prefix", "al"]), "handle"), ["Al", "alba"]);
    assert_eq!(texts(&printed(&server, &["conversation", "list"]), "conversation"), ids);
}

#[test]
fn and_who_is_suspended_is_out() {
    let mut server = serve("2", SETTINGS);
    server.add_user("bob");
    enter(&server, &["signup", "alice"], "correct horse").succeeded();
    assert_eq!(send(&server, "alice", "bob", "hello"), 1);
    let mut ear = server.spawn(["listen", "--as", "alice"]);
    assert!(ear.stderr().line_with("trunkline: listening", PATIENCE).is_some(), "{}", ear.stderr().text());
    assert_eq!(printed(&server, &["user", "suspend", "Alice"])[0]["suspended"], true);
    let ended = ear.ended(PATIENCE);
    assert!(ended.stderr.contains("suspended") || ended.stderr.contains("token_invalid"), "{}", ended.stderr);
    for _ in 0..2 {
        assert_eq!(error_of(&enter(&server, &["login", "alice"], "correct horse")), "suspended");
        assert_eq!(error_of(&server.run(["profile", "--as", "alice"])), "token_invalid");
        restart(&mut server, "1", SETTINGS);
    }
    assert_eq!(printed(&server, &["user", "unsuspend", "alice"])[0]["suspended"], false);
    enter(&server, &["login", "alice"], "correct horse").succeeded();
    assert_eq!(send(&server, "alice", "bob", "back"), 2);
}
