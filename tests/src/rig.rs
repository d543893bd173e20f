//! What these tests do with a server beside attacking it: start it, see what it counts, see that it still serves.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use trunkline_wire::ids::{DeviceId, TenantId, UserId};
use trunkline_wire::token::{Claims, Scopes, TokenKey, TokenKeys};

use crate::peer::{PATIENCE, Peer, soon};
use crate::server::{Account, Home, Server};

static MACHINE: RwLock<()> = RwLock::new(());

/// Held by a test that measures: it has the machine for itself.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

/// Held by the other tests, so that they leave the machine to those that measure.
pub fn among_others() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

/// The arguments of a server: how many shards, and settings.
pub fn arguments<'a>(shards: &'a str, settings: &[&'a str]) -> Vec<&'a str> {
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    ["--no-pin", "--shards", shards].into_iter().chain(settings).collect()
}

/// A server with two shards and these settings.
pub fn serve(settings: &[&str]) -> Server {
    Server::start(&arguments("2", settings))
}

/// The same in folders that are there.
pub fn serve_in(home: Home, settings: &[&str]) -> Server {
    Server::start_in(home, &arguments("2", settings))
}

/// Kills it if it runs, and starts it again with as many shards and these settings.
pub fn restart(server: &mut Server, shards: &str, settings: &[&str]) {
    server.kill();
    // The kernel ends the rings of a killed process behind its back: its listeners live some milliseconds longer.
    let address = address(server);
    soon("the address of the killed server is free", PATIENCE, &true, || TcpListener::bind(address).is_ok());
    server.restart(&arguments(shards, settings));
}

/// Where clients connect.
pub fn address(server: &Server) -> SocketAddr {
    server.address().parse().expect("the address has numbers")
}

/// That a deed makes a counter go up by one.
pub fn counted<T>(server: &Server, counter: &str, deed: impl FnOnce() -> T) -> T {
    let before = server.counter(counter);
    let result = deed();
    soon(&format!("the counter {counter}"), PATIENCE, &(before + 1), || server.counter(counter));
    result
}

/// That the server lives on: somebody says something to somebody, who gets it live and finds it in the history.
pub fn assert_serves(server: &Server, one: &Account, other: &Account) {
    let address = address(server);
    let (mut speaker, mut listener) = (Peer::login(address, &one.token), Peer::login(address, &other.token));
    let (conversation, high) = speaker.open_peer(other.user);
    let body = format!("still there after {high}");
    let ack = speaker.send(conversation, high + 1, 0x5e0 + high, body.as_bytes());
    assert_eq!(ack.refusal, None, "a plain message is refused");
    let (pushed_in, pushed) = listener.message();
    assert_eq!((pushed_in, pushed.body.as_slice()), (conversation, body.as_bytes()));
    let history = listener.history(conversation);
    assert_eq!(history.last(), Some(&pushed), "history and the live message are not the same");
    let seqs: Vec<u64> = history.iter().map(|row| row.seq).collect();
    assert_eq!(seqs, (1..=history.len() as u64).collect::<Vec<_>>(), "the history has gaps");
}

/// The keys of a server.
pub fn keys(server: &Server) -> Vec<TokenKey> {
    let text = fs::read_to_string(server.data().join("keys")).expect("the server has keys");
    let read = |line: &str| {
        let (id, hex) = line.split_once(' ')?;
        let mut secret = [0; 32];
        for (byte, digits) in secret.iter_mut().zip(hex.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(TokenKey { id: id.parse().ok()?, secret })
    };
    text.lines().map(|line| read(line).unwrap_or_else(|| panic!("no key: {line}"))).collect()
}

/// A token, signed with a key.
pub fn sign(key: &TokenKey, user: UserId, device: u32, scopes: Scopes, expires_s: u64) -> String {
    let keys = TokenKeys::new(vec![key.clone()]).expect("there is a key");
    let (tenant, device) = (TenantId(0), DeviceId(device));
    keys.sign(&Claims { tenant, user, device, scopes, issued_s: expires_s.saturating_sub(60), expires_s })
}

/// The time in seconds since 1970, with its fraction.
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set")
}
