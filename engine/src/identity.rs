//! Who may come in: the server with its keys and admin socket, and the operator's commands that speak to it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Weak};

use trunkline_cli::{Failure, identity, time};
use trunkline_edge::admin::{Admin, AdminSocket, Facts, Refusal, Request, Revoked, Token};
use trunkline_edge::http::{HttpError, HttpPort, Watch};
use trunkline_edge::public::{self, Arrivals, Door, Public, TakesBack, WayBack};
use trunkline_edge::sign_in::{Policy, SignIn};
use trunkline_edge::{BoxedShards, keys};
use trunkline_engine::ring::Feature;
use trunkline_engine::{Config, Guest, GuestDoor, Server, ShardSetup, StoreKind};
use trunkline_shards::{Doorstep, LaneRoom, Shard, ShardConfig};
use trunkline_wire::token::TokenKeys;

use crate::backup;
use crate::reach::{Reach, connect};
use crate::watched::Running;

/// `serve`: runs a server to its exit code.
pub fn serve(config: &Config) -> ExitCode {
    let keys = match keys::open(&config.data) {
        Ok(keys) => keys,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let watch = Watch::new(env!("CARGO_PKG_VERSION"));
    // Before the store is opened: what takes long to start says so, and what is taken is refused first.
    let port = match open_port(config, &watch) {
        Ok(port) => port,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let keys_of_shards = keys.clone();
    let origins = config.http_origins.clone();
    let make_core = move |setup: ShardSetup| {
        let room = LaneRoom { pushes: setup.room.pushes, answers: setup.room.answers };
        let now = trunkline_engine::clock::now();
        let ShardSetup { shard, shards, limits, seed, incarnation, revocations, hands_over, secure, .. } = setup;
        let doorstep = Doorstep { hands_over, origins: origins.clone(), secure };
        let keys = keys_of_shards.clone();
        Shard::new(ShardConfig { shard, shards, keys, limits, room, seed, incarnation, revocations, doorstep, now })
    };
    let (porch, arrivals) = public::porch();
    let guests = GuestDoor::new(move |guest: Guest| {
        let Guest { socket, bytes, unread, transport } = guest;
        porch.receive(public::Guest { socket, bytes, unread, transport });
    });
    // All of them stay until the server has drained.
    let code = trunkline_engine::run(config, Some(guests), make_core, |server| {
        watch.runs(Running::of(server));
        let public = open_public(config, server, &keys, arrivals, &watch)?;
        let ports = [port.as_ref().map(HttpPort::address), public.address()];
        let socket = open_socket(config, server, keys, ports)?;
        Ok((public, socket))
    });
    drop(port);
    code
}

/// Where users sign up and in: behind the port of the shards, or where these can hand nothing over, on a port of its own.
fn open_public(
    config: &Config,
    server: &Server,
    keys: &TokenKeys,
    arrivals: Arrivals,
    watch: &Arc<Watch>,
) -> Result<Public, String> {
    let shards: BoxedShards = Box::new(Running::of(server));
    let sign_in = SignIn::new(shards, keys.clone(), policy(config)).map_err(|error| error.to_string())?;
    let apart = !server.features().has(Feature::FixedFdInstall);
    let listen = Some(config.http_listen.as_str()).filter(|listen| apart && !listen.is_empty());
    let way_back = WayBack {
        shards: Arc::clone(server.returns()) as Arc<dyn TakesBack>,
        origins: Arc::new(config.http_origins.clone()),
        secure: server.certificate().is_some(),
    };
    let (certificate, door) = (server.certificate().cloned(), Door::new(sign_in));
    let public = Public::open(arrivals, listen, certificate, door, way_back, Arc::clone(watch));
    let public = public.map_err(|error| error.to_string())?;
    if let Some(address) = public.address() {
        let scheme = if server.certificate().is_some() { "https" } else { "http" };
        tracing::warn!("this kernel cannot hand connections over (Linux 6.8 can): accounts on {scheme}://{address}");
    } else if apart {
        tracing::warn!("this kernel cannot hand connections over, and `http.listen` is empty: nobody can sign in");
    }
    Ok(public)
}

/// What is decided about accounts: look-ups over HTTP are as many as those on a connection.
fn policy(config: &Config) -> Policy {
    // Both are bounded far below.
    let number = |limit: u64| u32::try_from(limit).unwrap_or(u32::MAX);
    let (lookup_burst, lookup_every_s) = (number(config.limits.lookup_burst), config.limits.lookup_every_s);
    Policy { lookup_burst, lookup_every_s, ..config.accounts }
}

/// The admin port, unless it is off.
fn open_port(config: &Config, watch: &Arc<Watch>) -> Result<Option<HttpPort>, HttpError> {
    if config.admin_listen.is_empty() {
        return Ok(None);
    }
    let port = HttpPort::open(&config.admin_listen, Arc::clone(watch))?;
    tracing::info!("metrics and health on http://{}", port.address());
    Ok(Some(port))
}

fn open_socket(
    config: &Config,
    server: &Server,
    keys: TokenKeys,
    ports: [Option<SocketAddr>; 2],
) -> Result<AdminSocket, String> {
    let [admin_listen, http_listen] = ports.map(|address| address.map(|address| address.to_string()));
    let facts = Facts {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        shards: server.control().shards(),
        store: config.store.to_string(),
        listen: server.address().to_string(),
        admin_listen,
        http_listen,
    };
    let admin = Admin::new(Running::of(server), keys, facts);
    let admin = match config.store {
        StoreKind::Embedded => {
            admin.with_copier(backup::copier(config.data.clone(), Weak::clone(server.store_index())))
        }
        StoreKind::Memory => admin,
    };
    AdminSocket::open(&config.data, admin).map_err(|error| error.to_string())
}

/// `user add`: makes a user.
///
/// # Errors
/// What the server or the store refused, or that neither can be had.
pub fn user_add(data: &Path, name: String, ttl_s: Option<u64>) -> Result<(), Failure> {
    issue(data, &Request::UserAdd { name, ttl_s })
}

/// `user token`: makes another device of a user.
///
/// # Errors
/// As [`user_add`].
pub fn user_token(data: &Path, name: String, ttl_s: Option<u64>) -> Result<(), Failure> {
    issue(data, &Request::UserToken { name, ttl_s })
}

/// `user revoke`: signs a device of a user out, or all of them.
///
/// # Errors
/// As [`user_add`].
pub fn user_revoke(data: &Path, name: String, device: Option<u32>) -> Result<(), Failure> {
    let Revoked { handle, user, device } = Reach::open(data)?.ask(&Request::UserRevoke { name, device })?;
    let devices = device.map_or_else(|| "all devices".to_owned(), |device| format!("device {device}"));
    eprintln!("trunkline: {devices} of {handle} (user {user}) signed out");
    Ok(())
}

/// `stats`: prints the counters.
///
/// # Errors
/// No server runs, or it does not answer.
pub fn stats(data: &Path) -> Result<(), Failure> {
    let Some(mut client) = connect(data)? else {
        let text = format!("no server runs with {}; is that its --data?", data.display());
        return Err(Failure::new("not_running", text));
    };
    print_line(&client.counters().map_err(failure)?);
    Ok(())
}

fn issue(data: &Path, request: &Request) -> Result<(), Failure> {
    let Token { handle, user, device, expires_s, token } = Reach::open(data)?.ask(request)?;
    let until = time::day_and_time(expires_s);
    eprintln!("trunkline: {handle} is user {user}; the token of device {device} lasts until {until}");
    match identity::keep_token(&handle, &token) {
        Ok(path) => eprintln!("trunkline: kept in {}: use it with --as {handle}", path.display()),
        Err(failure) => failure.warn(),
    }
    print_line(&token);
    Ok(())
}

fn failure(refusal: Refusal) -> Failure {
    Failure::new(refusal.error, refusal.message)
}

/// A line for scripts.
pub fn print_line(text: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever asked may not listen any more; it is done all the same.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
