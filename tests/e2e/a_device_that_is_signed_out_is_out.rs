//! Set-up: users with several devices, each with connections on several shards; one device is signed out, by another one,
//! by itself, or because its refresh token was copied; the server is killed behind the answer, and started again with other
//! shards.
//! Claim: all connections of that device end within a second, it gets in nowhere any more, also after the kill; the others
//! go on.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trunkline_tests::ear::Heard;
use trunkline_tests::http::ask;
use trunkline_tests::peer::{Late, Peer};
use trunkline_tests::process::Process;
use trunkline_tests::rig;
use trunkline_tests::server::{PATIENCE, Server};
use trunkline_wire::message::ErrorCode;

use crate::people::{restart, serve};

const SETTINGS: &[&str] = &["accounts.password_memory_kib=64"];
/// So many connections may a device have.
const CONNECTIONS: usize = 4;
/// From the answer to the end of the last connection.
const OUT_MAX: Duration = Duration::from_secs(1);

/// A device that has signed in.
struct Device {
    number: u64,
    access: String,
    refresh: String,
}

impl Device {
    fn of(tokens: &Value) -> Device {
        let text = |name: &str| tokens[name].as_str().expect("a token").to_owned();
        let number = tokens["device"].as_u64().expect("a number");
        Device { number, access: text("access_token"), refresh: text("refresh_token") }
    }

    fn connect(&self, server: &Server) -> Vec<Peer> {
        (0..CONNECTIONS).map(|_| Peer::login(rig::address(server), &self.access)).collect()
    }

    fn is_refused(&self, server: &Server) {
        let mut peer = Peer::open(rig::address(server));
        peer.request(|encoder| encoder.hello(9, &self.access, "e2e"));
        assert_eq!(peer.error_to(9), ErrorCode::TokenInvalid);
        peer.closed_with(4001, "token_invalid");
        let listed = ask(rig::address(server), "GET", "/v1/devices", Some(&self.access), &Value::Null);
        assert_eq!(listed.status, 401, "{listed:?}");
    }
}

fn enter(server: &Server, path: &str, handle: &str) -> Device {
    let body = json!({"handle": handle, "password": "correct horse"});
    let answer = ask(rig::address(server), "POST", path, None, &body);
    assert!(answer.status < 300, "{answer:?}");
    Device::of(&answer.json())
}

/// A new user with two devices, and its handle.
fn enter_twice(server: &Server) -> (Device, Device, String) {
    static USERS: AtomicU32 = AtomicU32::new(0);
    let handle = format!("user{}", USERS.fetch_add(1, Ordering::Relaxed));
    (enter(server, "/v1/accounts", &handle), enter(server, "/v1/login", &handle), handle)
}

/// All of these end, soon.
fn end(peers: Vec<Peer>, since: Instant) {
    for mut peer in peers {
        peer.closed_with(4001, "token_invalid");
    }
    assert!(since.elapsed() < OUT_MAX, "after {:?}", since.elapsed());
}

fn goes_on(peers: &mut [Peer]) {
    for peer in peers {
        match peer.hear_within(Duration::from_millis(50)) {
            Err(Late) | Ok(Some(Heard::Ping(_))) => {}
            other => panic!("another device heard {other:?}"),
        }
    }
}

#[test]
fn within_a_second_and_for_good() {
    let mut server = serve("5", SETTINGS);
    let (phone, laptop) = (enter(&server, "/v1/accounts", "alice"), enter(&server, "/v1/login", "alice"));
    let tablet = enter(&server, "/v1/login", "alice");
    let [lost, mut kept, left] = [&phone, &laptop, &tablet].map(|device| device.connect(&server));
    let address = rig::address(&server);
    let begin = Instant::now();
    let path = format!("/v1/devices/{}", phone.number);
    let done = ask(address, "DELETE", &path, Some(&laptop.access), &Value::Null);
    assert_eq!(done.status, 204, "{done:?}");
    end(lost, begin);
    let begin = Instant::now();
    let done = ask(address, "POST", "/v1/logout", None, &json!({"refresh_token": tablet.refresh}));
    assert_eq!(done.status, 204, "{done:?}");
    end(left, begin);
    goes_on(&mut kept);
    for shards in ["5", "2", "7"] {
        for out in [&phone, &tablet] {
            out.is_refused(&server);
        }
        goes_on(&mut laptop.connect(&server)[..1]);
        restart(&mut server, shards, SETTINGS);
    }
    // Another user's devices are none of one's own.
    let mallory = enter(&server, "/v1/accounts", "mallory");
    let path = format!("/v1/devices/{}", laptop.number);
    let refused = ask(rig::address(&server), "DELETE", &path, Some(&mallory.access), &Value::Null);
    assert_eq!(refused.status, 404, "{refused:?}");
    goes_on(&mut laptop.connect(&server)[..1]);
}

#[test]
fn also_where_the_kill_comes_right_behind_the_answer() {
    let mut server = serve("3", SETTINGS);
    for round in 0..5 {
        let handle = format!("alice{round}");
        let (phone, laptop) = (enter(&server, "/v1/accounts", &handle), enter(&server, "/v1/login", &handle));
        let path = format!("/v1/devices/{}", phone.number);
        let done = ask(rig::address(&server), "DELETE", &path, Some(&laptop.access), &Value::Null);
        assert_eq!(done.status, 204, "{done:?}");
        restart(&mut server, "3", SETTINGS);
        phone.is_refused(&server);
        laptop.connect(&server);
    }
}

#[test]
fn by_the_command_line_too() {
    let server = serve("2", SETTINGS);
    for (command, device) in [("signup", "laptop"), ("login", "phone")] {
        let mut process = Process::start(&mut server.command([command, "alice", "--device", device]));
        process.write("correct horse\n");
        process.close_stdin();
        process.ended(PATIENCE).succeeded();
    }
    let devices = |arguments: &[&str]| server.run(["devices"].iter().chain(arguments).chain(&["--as", "alice"]));
    assert_eq!(devices(&["rename", "1", "old laptop"]).succeeded().stdout, "");
    let listed = devices(&[]).succeeded().stdout;
    assert!(listed.contains("\"old laptop\"") && listed.lines().count() == 2, "{listed}");
    assert!(devices(&["revoke", "9"]).stderr.contains("unknown_device"));
    devices(&["revoke", "1"]).succeeded();
    let listed = devices(&[]).succeeded().stdout;
    assert!(listed.contains("\"phone\"") && listed.lines().count() == 1, "{listed}");
    devices(&["revoke", "2"]).succeeded();
    let out = devices(&[]);
    assert!(out.stderr.contains("token_invalid") && out.stderr.contains("sign in again"), "{}", out.stderr);
}

#[test]
fn by_the_operator_with_a_server_and_without() {
    let mut server = serve("3", SETTINGS);
    let [one, two] = [(); 2].map(|()| enter_twice(&server));
    let address = rig::address(&server);
    let user = |arguments: &[&str]| server.run(["user", "revoke"].iter().chain(arguments));
    let (begin, lost) = (Instant::now(), one.0.connect(&server));
    user(&[&one.2, "1"]).succeeded();
    end(lost, begin);
    goes_on(&mut one.1.connect(&server));
    let (begin, lost) = (Instant::now(), two.1.connect(&server));
    user(&[&two.2]).succeeded();
    end(lost, begin);
    two.0.is_refused(&server);
    let again = ask(address, "POST", "/v1/refresh", None, &json!({"refresh_token": two.0.refresh}));
    assert_eq!(again.status, 401, "{again:?}");
    assert!(user(&["nobody"]).stderr.contains("unknown_handle"));
    assert!(user(&[&one.2, "3"]).stderr.contains("unknown_device"));
    server.stop();
    let at_rest = server.run(["user", "revoke", &one.2]).succeeded();
    assert!(at_rest.stderr.contains("all devices"), "{}", at_rest.stderr);
    server.start_again();
    one.1.is_refused(&server);
}
