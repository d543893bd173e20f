//! `serve`: a server in the foreground, from its ready line to its exit code.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;
use signal_hook::iterator::Signals;
use trunkline_edge::transport::Certificate;
use trunkline_shards::contract::Core;

use crate::config::{Config, StoreKind};
use crate::guests::GuestDoor;
use crate::server::{Server, ShardSetup};

/// From the signal to the exit, at most.
const STOP_MAX: Duration = Duration::from_secs(10);
/// Of that, for leaving loops and closing the store.
const CLOSE_MAX: Duration = Duration::from_millis(1000);
/// Exit code where the server could not start.
const EXIT_FAILED: u8 = 1;
/// Exit code after a second signal.
const EXIT_IMPATIENT: i32 = 130;

/// Serves until SIGTERM or SIGINT, then drains; a second signal exits at once. `started` is called when the server runs and
/// before the ready line is printed; what it returns is kept until the server has stopped. Connections that ask for something
/// else go through `guests`.
pub fn run<C: Core, K>(
    config: &Config,
    guests: Option<GuestDoor>,
    make_core: impl Fn(ShardSetup) -> C + Send + Sync + 'static,
    started: impl FnOnce(&Server) -> Result<K, String>,
) -> ExitCode {
    abort_on_panic();
    let impatient = Arc::new(AtomicBool::new(false));
    let mut signals = match signals(&impatient) {
        Ok(signals) => signals,
        Err(error) => return fail(&format!("can't handle signals: {error}")),
    };
    let server = match Server::start_with_guests(config, guests, make_core) {
        Ok(server) => server,
        Err(error) => return fail(&error.to_string()),
    };
    report(config, &server);
    let kept = match started(&server) {
        Ok(kept) => kept,
        Err(reason) => return fail(&reason),
    };
    print_ready(config, &server);
    serve_until_stopped(&mut signals, &server);
    impatient.store(true, Ordering::SeqCst);
    tracing::info!("stopping, a second signal exits at once");
    exit_at(Instant::now() + STOP_MAX);
    let drained = server.stop(Instant::now() + STOP_MAX - CLOSE_MAX);
    drop(kept);
    if !drained {
        tracing::warn!("stopped without waiting for every client; what was acknowledged is safe");
    }
    ExitCode::SUCCESS
}

fn signals(impatient: &Arc<AtomicBool>) -> std::io::Result<Signals> {
    for signal in [SIGTERM, SIGINT] {
        register_conditional_shutdown(signal, EXIT_IMPATIENT, Arc::clone(impatient))?;
    }
    Signals::new([SIGTERM, SIGINT])
}

/// Reads the certificate again at each SIGHUP. Without one that signal is left alone, and ends the process.
fn serve_until_stopped(signals: &mut Signals, server: &Server) {
    if server.certificate().is_some()
        && let Err(error) = signals.add_signal(SIGHUP)
    {
        tracing::warn!("can't handle SIGHUP: {error}; a new certificate needs a new start");
    }
    for signal in signals.forever() {
        match server.certificate() {
            Some(certificate) if signal == SIGHUP => reload(certificate),
            _ => return,
        }
    }
}

fn reload(certificate: &Certificate) {
    match certificate.reload() {
        Ok(()) => tracing::info!("new connections get what is in {} now", certificate.files().certificate.display()),
        Err(error) => tracing::error!("the certificate stays as it was: {error}"),
    }
}

/// Whatever still hangs then does so after the drain, so nothing acknowledged is lost by leaving.
fn exit_at(deadline: Instant) {
    crate::thread::spawn("deadline", move || {
        std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
        tracing::warn!("stopped the hard way, the drain took too long");
        std::process::exit(0);
    });
}

fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}

fn report(config: &Config, server: &Server) {
    tracing::info!("io_uring with {}", server.features());
    let changed = config.changed();
    if !changed.is_empty() {
        tracing::info!("set: {}", changed.join(" "));
    }
}

fn print_ready(config: &Config, server: &Server) {
    let shards = if config.shards == 1 { "1 shard".to_owned() } else { format!("{} shards", config.shards) };
    let store = match config.store {
        StoreKind::Embedded => format!("embedded store in {}", config.data.display()),
        StoreKind::Memory => "memory store".to_owned(),
    };
    let scheme = if server.certificate().is_some() { "wss" } else { "ws" };
    let mut out = std::io::stdout().lock();
    // Whoever started it may not listen; the server serves all the same.
    let _ = writeln!(out, "trunkline is ready: {scheme}://{}/v1/ws ({shards}, {store})", server.address());
    let _ = out.flush();
}

fn fail(reason: &str) -> ExitCode {
    tracing::error!("{reason}");
    ExitCode::from(EXIT_FAILED)
}
