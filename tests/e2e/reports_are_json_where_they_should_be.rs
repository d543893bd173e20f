//! Set-up: servers with `log.format=json` and with other levels, that start, make users, and drain. Claim: every line on stderr
//! is an object with a time, a level, a target and a message, and none holds a token or a key; a level leaves out what is less
//! urgent.

use std::fs;

use serde_json::Value;
use trunkline_tests::server::{Home, Server, run};

use crate::output::send;

#[track_caller]
fn objects(text: &str) -> Vec<Value> {
    let object = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}"));
    text.lines().map(object).collect()
}

/// A server's whole stderr, after it has made users, carried a message and drained.
fn stderr_of(settings: &[&str]) -> (String, Vec<String>) {
    let arguments: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let mut server = Server::start(&[&["--shards", "2"], &arguments[..]].concat());
    let mut secrets: Vec<String> = ["alice", "bob"].iter().map(|name| server.add_user(name).token).collect();
    send(&server, "alice", "bob", "the body of a message");
    let keys = fs::read_to_string(server.data().join("keys")).expect("the server has keys");
    secrets.extend(keys.split_whitespace().filter(|word| word.len() == 64).map(str::to_owned));
    secrets.push("the body of a message".to_owned());
    server.terminate();
    (server.ended().succeeded().stderr, secrets)
}

#[test]
fn each_line_is_an_object_without_secrets() {
    let (stderr, secrets) = stderr_of(&["log.format=json", "log.level=trace"]);
    let objects = objects(&stderr);
    for part in ["io_uring with", "metrics and health on", "stopping"] {
        let said = |object: &Value| object["message"].as_str().is_some_and(|message| message.contains(part));
        assert!(objects.iter().any(said), "no {part:?} in {stderr}");
    }
    for object in &objects {
        let [time, level, target] = ["timestamp", "level", "target"].map(|name| object[name].as_str());
        assert!(time.is_some_and(|time| time.ends_with('Z')) && level.is_some() && target.is_some(), "{object}");
    }
    assert!(secrets.len() >= 4);
    secrets.iter().for_each(|secret| assert!(!stderr.contains(secret), "{secret} is in {stderr}"));
}

#[test]
fn a_level_leaves_out_what_is_less_urgent() {
    let (warnings, _) = stderr_of(&["log.level=warn"]);
    assert_eq!(warnings, "", "nothing is wrong");
    let (told, _) = stderr_of(&[]);
    assert!(told.lines().all(|line| line.starts_with("trunkline: ")) && told.contains("io_uring with"), "{told}");
}

#[test]
fn what_stops_a_start_is_an_object_too() {
    let server = Server::start(&["--shards", "1"]);
    let settings = ["--shards", "1", "--set", "log.format=json", "--listen", server.address()];
    let refused = run(&mut Home::new().trunkline([&["serve"], &settings[..]].concat()));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let last = objects(&refused.stderr).pop().expect("it says why");
    assert_eq!(last["level"], "ERROR");
    assert!(last["message"].as_str().is_some_and(|message| message.contains("is taken")), "{last}");
    drop(server);
    let unknown = run(&mut Home::new().trunkline(["serve", "--set", "log.format=xml"]));
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    assert!(unknown.stderr.contains("text or json"), "{unknown:?}");
}
