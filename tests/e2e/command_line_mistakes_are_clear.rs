//! Set-up: commands with one mistake each. Claim: wrong usage exits with 2 and says what it is; what fails exits with 1, with
//! nothing on stdout and one line of JSON on stderr that has a code for scripts and says to people what is wrong.

use std::fs;
use std::thread;
use std::time::Duration;

use trunkline_tests::process::{Ended, Process};
use trunkline_tests::server::{Home, PATIENCE, Server, run};

use crate::output::{lines, members};

/// A well-formed id that nobody has.
const NO_CONVERSATION: &str = "00112233445566778899aabbccddeeff";

/// How arguments are run.
type Way<'a> = &'a dyn Fn(&[&str]) -> Ended;

#[track_caller]
fn fails(ended: &Ended, code: &str, part: &str) {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    let errors: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with('{')).collect();
    assert_eq!(errors.len(), 1, "{ended:?}");
    let error = &lines(errors[0])[0];
    assert_eq!((members(error).as_slice(), &error["error"]), (&["error", "message"][..], &code.into()), "{ended:?}");
    assert!(error["message"].as_str().is_some_and(|message| message.contains(part)), "no {part:?} in {error}");
}

#[track_caller]
fn is_misuse(ended: &Ended, part: &str) {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
    assert!(ended.stderr.contains(part), "no {part:?} in {ended:?}");
}

fn server_of_two() -> Server {
    let server = Server::start(&["--shards", "2"]);
    ["alice", "bob"].iter().for_each(|name| drop(server.add_user(name)));
    server
}

#[test]
fn whose_token() {
    let server = server_of_two();
    let send = |identity: &[&str]| server.run([&["send", "--to", "bob", "hi"], identity].concat());
    fails(&send(&[]), "no_token", "there are tokens of: alice, bob");
    fails(&send(&["--as", "carol"]), "no_token", "trunkline user add carol");
    fails(&send(&["--as", "a b"]), "invalid_handle", "white space");
    fails(&send(&["--token", "nonsense"]), "token_invalid", "does not know this token");
    let nobody = run(&mut Home::new().trunkline(["history", "bob"]));
    fails(&nobody, "no_token", "trunkline user add NAME");
    let mut of_elsewhere = server_of_two().add_device("alice").token;
    fails(&send(&["--token", &of_elsewhere]), "token_invalid", "of another server?");
    of_elsewhere.pop();
    fails(&send(&["--token", &of_elsewhere]), "token_invalid", "does not know this token");
}

#[test]
fn a_token_that_has_ended() {
    let server = server_of_two();
    server.run(["user", "add", "carol", "--ttl", "1s"]).succeeded();
    thread::sleep(Duration::from_millis(2_100));
    for command in [&["send", "--to", "bob", "hi"][..], &["history", "bob"], &["listen"], &["chat", "bob"]] {
        let ended = server.run([command, &["--as", "carol"]].concat());
        fails(&ended, "token_expired", "trunkline user token NAME");
    }
    server.run(["user", "token", "carol"]).succeeded();
    server.run(["send", "--as", "carol", "--to", "bob", "hi"]).succeeded();
}

#[test]
fn to_whom() {
    let server = server_of_two();
    let to = |to: &str| server.run(["send", "--as", "alice", "--to", to, "hi"]);
    fails(&to("nobody"), "unknown_handle", "nobody has this handle");
    fails(&to(NO_CONVERSATION), "not_found", "no such conversation");
    // Hex digits that are too few, too many, or none are a handle.
    fails(&to(&NO_CONVERSATION[1..]), "unknown_handle", "nobody has this handle");
    fails(&to(&format!("{NO_CONVERSATION}0")), "unknown_handle", "nobody has this handle");
    fails(&to(&NO_CONVERSATION.replace('f', "g")), "unknown_handle", "nobody has this handle");
    is_misuse(&to("a b"), "white space");
    is_misuse(&to(""), "at least one character");
    let alices = ["history", "chat"].map(|command| server.run([command, "--as", "alice", NO_CONVERSATION]));
    alices.iter().for_each(|ended| fails(ended, "not_found", "no such conversation"));
    // A conversation of others is as good as none.
    let sent = server.run(["send", "--as", "alice", "--to", "bob", "secret"]).succeeded();
    let conversation = lines(&sent.stdout)[0]["conversation"].as_str().expect("an id").to_owned();
    server.add_user("mallory");
    let reads = server.run(["history", "--as", "mallory", &conversation]);
    fails(&reads, "not_found", "none of yours");
    let says = server.run(["send", "--as", "mallory", "--to", &conversation, "hi"]);
    fails(&says, "not_found", "none of yours");
}

#[test]
fn what_to_say() {
    let server = server_of_two();
    let say = |text: &str| server.run(["send", "--as", "alice", "--to", "bob", text]);
    fails(&say(""), "message_invalid", "empty");
    fails(&say(&"x".repeat(61_441)), "message_too_large", "61440");
    say(&"x".repeat(61_440)).succeeded();
    fails(&say("-"), "message_invalid", "empty");
    let mut endless = Process::start(&mut server.command(["send", "--as", "alice", "--to", "bob", "-"]));
    endless.write(&"x".repeat(100_000));
    endless.close_stdin();
    fails(&endless.ended(PATIENCE), "message_too_large", "61440");
}

#[test]
fn which_server() {
    let server = server_of_two();
    let at = |url: &str| server.run(["send", "--as", "alice", "--to", "bob", "--url", url, "--timeout", "1s", "hi"]);
    fails(&at("nonsense"), "invalid_url", "ws://");
    fails(&at("http://127.0.0.1:7400"), "invalid_url", "ws://");
    fails(&at("ftp://127.0.0.1:7400"), "invalid_url", "wss://");
    fails(&at("wss://127.0.0.1:1"), "unreachable", "Connection refused");
    fails(&at("ws://127.0.0.1:1"), "unreachable", "Connection refused");
    fails(&at(&format!("{}/elsewhere", server.url())), "unreachable", "404");
    let history = server.run(["history", "--as", "alice", "bob", "--url", "ws://127.0.0.1:1", "--timeout", "300ms"]);
    fails(&history, "unreachable", "Connection refused");
    let listen = server.run(["listen", "--as", "alice", "--url", "ws://127.0.0.1:1", "--timeout", "300ms"]);
    fails(&listen, "unreachable", "Connection refused");
    // What never left was withdrawn: nothing is sent by the next command.
    server.run(["send", "--as", "alice", "--to", "bob", "only this"]).succeeded();
    let told = server.run(["history", "--as", "alice", "bob"]).succeeded();
    assert_eq!(told.stdout.lines().count(), 1, "{told:?}");
}

#[test]
fn usage() {
    let home = Home::new();
    let misuses: [(&[&str], &str); 12] = [
        (&["sned"], "unrecognized subcommand"),
        (&[], "Usage: trunkline"),
        (&["send", "--as", "alice", "hi"], "--to"),
        (&["send", "--to", "bob"], "TEXT"),
        (&["history"], "CONVERSATION"),
        (&["listen", "--count", "0"], "--count"),
        (&["listen", "--from", "then"], "start"),
        (&["send", "--to", "bob", "hi", "--timeout", "soon"], "--timeout"),
        (&["user"], "Usage: trunkline user"),
        (&["user", "add"], "NAME"),
        (&["user", "add", "x", "--ttl", "1y"], "--ttl"),
        (&["serve", "--nothing"], "--nothing"),
    ];
    for (arguments, part) in misuses {
        is_misuse(&run(&mut home.trunkline(arguments)), part);
    }
    assert_eq!(fs::read_dir(home.path()).expect("a folder").count(), 0, "misuse leaves nothing behind");
}

#[test]
fn settings() {
    let home = Home::new();
    let serve = |arguments: &[&str]| run(&mut home.trunkline([&["serve"], arguments].concat()));
    is_misuse(&serve(&["--set", "nothing=1"]), "no setting `nothing`");
    is_misuse(&serve(&["--set", "limits.nothing=1"]), "no setting `limits.nothing`");
    is_misuse(&serve(&["--set", "limits.send_per_s=many"]), "`limits.send_per_s` can't be `many`");
    is_misuse(&serve(&["--set", "limits.send_per_s=0"]), "`limits.send_per_s` can't be `0`");
    is_misuse(&serve(&["--set", "nothing"]), "write key=value");
    is_misuse(&serve(&["--set", "ring.disable=foo"]), "multishot_accept");
    is_misuse(&serve(&["--shards", "0"]), "1 to 1024");
    is_misuse(&serve(&["--store", "tape"]), "embedded");
    is_misuse(&serve(&["--config", "/nowhere.toml"]), "can't read /nowhere.toml");
    let file = home.path().join("settings.toml");
    fs::write(&file, "[limits]\nsend_per_s = 1\nsend_per_m = 60\n").expect("a file");
    is_misuse(&serve(&["--config", file.to_str().expect("a path")]), "limits.send_per_m");
    fs::write(&file, "limits = [").expect("a file");
    is_misuse(&serve(&["--config", file.to_str().expect("a path")]), "settings.toml");
}

#[test]
fn where_to_listen() {
    let home = Home::new();
    for (listen, part) in [
        ("nonsense", "`nonsense` is no address to listen on"),
        ("127.0.0.1:99999", "give HOST:PORT"),
        ("192.0.2.1:0", "can't listen on 192.0.2.1:0"),
    ] {
        let ended = run(&mut home.trunkline(["serve", "--shards", "1", "--listen", listen]));
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        let told = ended.stderr.lines().any(|line| line.starts_with("trunkline: ") && line.contains(part));
        assert!(told, "no {part:?} in {ended:?}");
    }
}

#[test]
fn which_user() {
    let server = server_of_two();
    let offline = Home::new();
    run(&mut offline.trunkline(["user", "add", "alice"])).succeeded();
    let with_server = |arguments: &[&str]| server.run(arguments);
    let without = |arguments: &[&str]| run(&mut offline.trunkline(arguments));
    let ways: [Way<'_>; 2] = [&with_server, &without];
    for user in ways {
        fails(&user(&["user", "add", "alice"]), "handle_taken", "trunkline user token alice");
        fails(&user(&["user", "add", "ALICE"]), "handle_taken", "trunkline user token ALICE");
        fails(&user(&["user", "add", "a b"]), "invalid_handle", "white space");
        fails(&user(&["user", "add", ""]), "invalid_handle", "at least one character");
        fails(&user(&["user", "add", &"x".repeat(65)]), "invalid_handle", "64");
        fails(&user(&["user", "add", NO_CONVERSATION]), "invalid_handle", "32 hex digits");
        fails(&user(&["user", "add", "x", "--ttl", "0s"]), "invalid_ttl", "1 second");
        fails(&user(&["user", "token", "nobody"]), "unknown_handle", "trunkline user add nobody");
        // None of these claimed anything.
        user(&["user", "add", "x"]).succeeded();
    }
    fails(&run(&mut Home::new().trunkline(["stats"])), "not_running", "no server runs");
}
