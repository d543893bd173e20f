//! Set-up: access tokens of four seconds; `listen` and `send` of people who have signed in, for the life of more than three
//! tokens, and a device whose refresh token somebody has copied and used. Claim: the session goes on without a break, and
//! what is kept is renewed; where a copy was used, the device is told to sign in again.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use trunkline_tests::process::Process;
use trunkline_tests::server::{PATIENCE, Server};

use crate::output::{send, texts};
use crate::people::serve;

const SETTINGS: &[&str] = &["accounts.access_ttl_s=4", "accounts.password_memory_kib=64"];

fn sign_up(server: &Server, name: &str) {
    let mut process = Process::start(&mut server.command(["signup", name]));
    process.write("correct horse\n");
    process.close_stdin();
    process.ended(PATIENCE).succeeded();
}

fn kept(server: &Server, name: &str) -> Value {
    let text = fs::read_to_string(server.home().config().join("tokens").join(name)).expect("what is kept");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn for_as_long_as_it_likes() {
    let server = serve("2", SETTINGS);
    sign_up(&server, "alice");
    sign_up(&server, "bob");
    let first = kept(&server, "bob");
    let mut ear = server.spawn(["listen", "--as", "bob", "--count", "14"]);
    assert!(ear.stderr().line_with("trunkline: listening", PATIENCE).is_some(), "{}", ear.stderr().text());
    let start = Instant::now();
    for number in 0..14 {
        send(&server, "alice", "bob", &format!("after {number} s"));
        thread::sleep(Duration::from_secs(1));
    }
    let heard = ear.ended(PATIENCE).succeeded();
    assert_eq!(texts(&heard.stdout).len(), 14);
    assert!(start.elapsed() > Duration::from_secs(13), "more than three tokens");
    assert!(!heard.stderr.contains("connection"), "without a break: {}", heard.stderr);
    let now = kept(&server, "bob");
    assert_ne!(first["refresh_token"], now["refresh_token"], "what is kept is the newest");
    assert_eq!(server.counter("error.token_expired"), 0);
}

#[test]
fn until_a_copy_of_its_refresh_token_is_used() {
    let server = serve("1", SETTINGS);
    sign_up(&server, "alice");
    let copied = kept(&server, "alice");
    thread::sleep(Duration::from_secs(4));
    server.run(["list", "--as", "alice"]).succeeded();
    let renewed = fs::read(server.home().config().join("tokens/alice")).expect("what is kept");
    assert_ne!(copied["refresh_token"], kept(&server, "alice")["refresh_token"]);
    // Beyond the time in which an answer may have been lost on its way.
    thread::sleep(Duration::from_secs(11));
    fs::write(server.home().config().join("tokens/alice"), copied.to_string()).expect("written");
    let thief = server.run(["list", "--as", "alice"]);
    assert!(thief.stderr.contains("token_invalid") && thief.stderr.contains("used before"), "{}", thief.stderr);
    fs::write(server.home().config().join("tokens/alice"), renewed).expect("written");
    let owner = server.run(["list", "--as", "alice"]);
    assert!(owner.stderr.contains("token_invalid") && owner.stderr.contains("login alice"), "{}", owner.stderr);
}
