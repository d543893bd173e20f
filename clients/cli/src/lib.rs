//! The terminal client: `send`, `history`, `listen`, `chat`, `group`, `list`, `contacts`,
//! `profile`, `signup`, `login`, `logout` and `devices`, and
//! what the other commands of the binary share with them.
//!
//! Scripts read one JSON object per line on stdout; errors are `{"error":CODE,"message":...}` on stderr with exit code 1.
#![forbid(unsafe_code)]

mod account;
pub mod args;
mod aside;
mod began;
mod chat;
pub mod duration;
pub mod failure;
pub mod folders;
mod group;
mod history;
pub mod identity;
mod kept;
pub mod limits;
mod list;
mod listen;
mod output;
mod people;
mod screen;
mod send;
mod session;
mod shared_outbox;
mod sign_in;
pub mod stderr_log;
mod ticks;
pub mod time;
mod trust;

use std::future::Future;
use std::process::ExitCode;

pub use args::Command;
pub use failure::Failure;

use crate::output::Output;

/// Runs a command to its exit code.
pub fn run(command: Command) -> ExitCode {
    // The session has a thread of its own, so that it stays alive while stdout makes this one wait.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return Failure::new("system", format!("no thread or timer to be had: {error}")).report(),
    };
    let mut out = Output::new();
    let result = runtime.block_on(interruptible(dispatch(command, &mut out)));
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read this has seen enough.
        Err(_) if out.is_closed() => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn dispatch(command: Command, out: &mut Output) -> Result<(), Failure> {
    match command {
        Command::Send(args) => send::run(args, out).await,
        Command::History(args) => history::run(args, out).await,
        Command::Listen(args) => listen::run(args, out).await,
        Command::Chat(args) => chat::run(args, out).await,
        Command::Group(command) => group::run(command, out).await,
        Command::List(args) => list::run(args, out).await,
        // These speak HTTP, and make their thread wait.
        Command::Signup(args) => sign_in::sign_up(&args, out),
        Command::Login(args) => sign_in::log_in(&args, out),
        Command::Logout(args) => sign_in::log_out(&args),
        Command::Contacts(command) => people::contacts(&command, out),
        Command::Profile(args) => people::profile(&args, out),
        Command::Devices(args) => sign_in::devices(&args, out),
    }
}

/// Commands see Ctrl-C themselves where they wait; this ends them where they cannot, as in a write to a full pipe.
async fn interruptible<T>(command: impl Future<Output = T>) -> T {
    tokio::spawn(async {
        if tokio::signal::ctrl_c().await.is_ok() {
            tokio::time::sleep(limits::INTERRUPT_PATIENCE).await;
            screen::give_back_if_taken();
            std::process::exit(i32::from(failure::EXIT_INTERRUPTED));
        }
    });
    command.await
}
