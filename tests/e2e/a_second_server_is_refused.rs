//! Set-up: a server, then another one on its port, then another one on its folder. Claim: each is refused with a line that
//! says what is taken, and the first one serves on.

use trunkline_tests::process::Ended;
use trunkline_tests::server::{Home, Server, free_address, run};

#[track_caller]
fn refused(second: &Ended, reason: &str) {
    assert_eq!(second.code, Some(1), "{second:?}");
    let line = second.stderr.lines().find(|line| line.contains(reason));
    assert!(line.is_some_and(|line| line.starts_with("trunkline: ")), "{second:?}");
    assert!(second.stdout.is_empty(), "{second:?}");
}

#[track_caller]
fn serves(server: &mut Server, name: &str) {
    server.add_user(name);
    server.run(["send", "--as", name, "--to", name, "still here"]).succeeded();
    assert!(server.runs());
}

#[test]
fn on_the_same_port() {
    for shards in ["1", "2"] {
        let mut server = Server::start(&["--shards", shards]);
        let other = Home::new();
        let second = run(&mut other.trunkline(["serve", "--listen", server.address(), "--shards", shards]));
        refused(&second, &format!("{} is taken, perhaps by another trunkline", server.address()));
        serves(&mut server, "alice");
    }
}

#[test]
fn on_the_same_folder() {
    let mut server = Server::start(&["--shards", "1"]);
    let second = run(&mut server.home().trunkline(["serve", "--listen", &free_address(), "--shards", "1"]));
    refused(&second, "another trunkline is using the folder");
    serves(&mut server, "alice");
    let second = run(&mut server.home().trunkline(["serve", "--listen", &free_address(), "--store", "memory"]));
    refused(&second, "a server runs with this data folder already");
    serves(&mut server, "bob");
}
