//! Set-up: people with a terminal and nothing else: no operator makes them, no token is copied. Claim: `signup` makes an
//! account and `--as` uses it; `login` makes another device of it elsewhere, `devices` shows both, `logout` ends one; what is
//! wrong gets a clear error and leaves no file; the server's restart changes nothing.

use serde_json::Value;
use trunkline_tests::home::Home;
use trunkline_tests::process::{Ended, Process};
use trunkline_tests::server::{PATIENCE, Server};

use crate::output::{lines, send, texts};
use crate::people::{restart, serve};

const SETTINGS: &[&str] = &["accounts.password_memory_kib=64"];

/// A command of somebody at a machine, with a password on stdin.
fn enter(server: &Server, home: &Home, words: &[&str], password: &str) -> Ended {
    let mut command = home.trunkline(words);
    command.env("TRUNKLINE_URL", server.url());
    let mut process = Process::start(&mut command);
    process.write(&format!("{password}\n"));
    process.close_stdin();
    process.ended(PATIENCE)
}

fn refused(ended: &Ended, code: &str, part: &str) {
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let last: Value = serde_json::from_str(ended.stderr.lines().last().unwrap_or_default()).expect("a line of JSON");
    assert_eq!(last["error"], code, "{last}");
    assert!(last["message"].as_str().unwrap_or_default().contains(part), "{part}: {last}");
}

fn devices(server: &Server, home: &Home) -> Vec<(u64, String)> {
    let ended = enter(server, home, &["devices", "--as", "alice"], "").succeeded();
    let named = |line: &Value| (line["device"].as_u64().unwrap_or(0), line["name"].as_str().unwrap_or("").to_owned());
    lines(&ended.stdout).iter().map(named).collect()
}

#[test]
fn with_a_password_and_nothing_else() {
    let mut server = serve("2", SETTINGS);
    let made = enter(&server, server.home(), &["signup", "Alice", "--device", "desk"], "correct horse").succeeded();
    let line = &lines(&made.stdout)[0];
    assert_eq!((line["handle"].as_str(), line["device"].as_u64()), (Some("Alice"), Some(1)));
    enter(&server, server.home(), &["signup", "bob"], "battery staple").succeeded();
    send(&server, "alice", "bob", "hello");
    let heard = server.run(["listen", "--as", "bob", "--from", "start", "--count", "1"]).succeeded();
    assert_eq!(texts(&heard.stdout), ["hello"]);

    restart(&mut server, "1", SETTINGS);
    let phone = Home::new();
    enter(&server, &phone, &["login", "aLICE", "--device", "phone"], "correct horse").succeeded();
    assert_eq!(devices(&server, &phone), [(1, "desk".to_owned()), (2, "phone".to_owned())]);
    let read = enter(&server, &phone, &["history", "--as", "alice", "bob"], "").succeeded();
    assert_eq!(texts(&read.stdout), ["hello"], "it is the same user");
    enter(&server, &phone, &["logout", "--as", "alice"], "").succeeded();
    refused(&enter(&server, &phone, &["list", "--as", "alice"], ""), "no_token", "login alice");
    assert_eq!(devices(&server, server.home()), [(1, "desk".to_owned())]);
}

#[test]
fn and_is_told_what_is_wrong() {
    let server = serve("1", SETTINGS);
    let try_to = |words: &[&str], password| enter(&server, server.home(), words, password);
    try_to(&["signup", "alice"], "correct horse").succeeded();
    for (words, password, code, part) in [
        (&["signup", "ALICE"][..], "other password", "handle_taken", "somebody has"),
        (&["signup", "bob"], "short", "invalid_password", "at least 8"),
        (&["signup", "bob"], "", "no_password", "first line of stdin"),
        (&["login", "alice"], "wrong horse", "wrong_handle_or_password", "not its password"),
        (&["login", "nobody"], "correct horse", "wrong_handle_or_password", "not its password"),
        (&["login", "alice", "--device", &"x".repeat(65)], "correct horse", "invalid_device_name", "at most 64"),
        (&["logout", "--as", "bob"], "", "no_token", "login bob"),
        (&["login", "alice", "--url", "ws://127.0.0.1:1"], "correct horse", "unreachable", "trunkline serve"),
    ] {
        refused(&try_to(words, password), code, part);
    }
    assert!(!server.home().config().join("tokens/bob").exists());
    let closed = serve("1", &["accounts.sign_up=false"]);
    refused(&enter(&closed, closed.home(), &["signup", "bob"], "long enough"), "sign_up_closed", "ask the operator");
    let added = closed.add_user("carol");
    closed.home().keep_token(&added);
    refused(&enter(&closed, closed.home(), &["logout", "--as", "carol"], ""), "not_signed_in", "token by an operator");
}
