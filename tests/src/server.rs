//! The real server in folders of its own, stopped and started again on them, and the commands that speak to it.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::admin::account_of;
use crate::process::{Ended, Process, Signal, Written};

pub use crate::admin::{Account, Admin};
pub use crate::home::Home;

/// How long a test waits for what has to happen, on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// A server has to end within 10 s of SIGTERM; somewhat more for the system to notice.
pub const STOP_PATIENCE: Duration = Duration::from_secs(15);
/// The first port that is tried: below those that the system gives to others by itself.
const PORT_FIRST: u32 = 17_400;
/// How many ports there are from there.
const PORTS: u32 = 15_000;
/// How many servers take turns until one finds a port that is free.
const PORT_ATTEMPTS: u32 = 100;
/// Connections to the admin socket over which users are made.
const ADMIN_CONNECTIONS: usize = 8;

/// A server that was started here; it ends with this at the latest.
#[derive(Debug)]
pub struct Server {
    /// Ended before its folders are removed.
    process: Process,
    home: Home,
    /// As the command line has it.
    listen: String,
    arguments: Vec<OsString>,
    users: AtomicU32,
}

impl Server {
    /// One that accepts connections, in folders of its own. `arguments` come behind `serve`.
    ///
    /// # Panics
    /// It does not start; its stderr is told.
    #[track_caller]
    pub fn start(arguments: &[&str]) -> Server {
        Server::start_in(Home::new(), arguments)
    }

    /// As [`Server::start`], in folders that are there.
    ///
    /// # Panics
    /// It does not start; its stderr is told.
    #[track_caller]
    pub fn start_in(home: Home, arguments: &[&str]) -> Server {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let mut refusal = String::new();
        for _ in 0..PORT_ATTEMPTS {
            let listen = free_address();
            match serve(&home, &listen, &arguments) {
                Ok(process) => return Server { home, listen, arguments, process, users: AtomicU32::new(0) },
                Err(stderr) if stderr.contains("is taken") => refusal = stderr,
                Err(stderr) => panic!("the server does not start:\n{stderr}"),
            }
        }
        panic!("no port is free:\n{refusal}");
    }

    /// Kills it if it runs, and starts it again on the same address and folders, with other arguments.
    ///
    /// # Panics
    /// It does not start; its stderr is told.
    #[track_caller]
    pub fn restart(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(OsString::from).collect();
        self.start_again();
    }

    /// Kills it if it runs, and starts it again as it was.
    ///
    /// # Panics
    /// It does not start; its stderr is told.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.kill();
        match serve(&self.home, &self.listen, &self.arguments) {
            Ok(process) => self.process = process,
            Err(stderr) => panic!("the server does not start again:\n{stderr}"),
        }
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        let secured = self.arguments.iter().any(|argument| argument.to_string_lossy().starts_with("tls.certificate="));
        format!("{}://{}", if secured { "wss" } else { "ws" }, self.listen)
    }

    /// HOST:PORT.
    pub fn address(&self) -> &str {
        &self.listen
    }

    /// Its folder.
    pub fn data(&self) -> PathBuf {
        self.home.data()
    }

    /// All folders.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The process as it runs now.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Its number as it runs now.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it wrote to stderr since it was started the last time.
    pub fn stderr(&self) -> &Written {
        self.process.stderr()
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        self.process.runs()
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGTERM; returns at once.
    pub fn terminate(&mut self) {
        self.process.signal(Signal::TERM);
    }

    /// Waits for its end after [`Server::terminate`] or what else ends it.
    ///
    /// # Panics
    /// It goes on for too long.
    #[track_caller]
    pub fn ended(&mut self) -> Ended {
        self.process.ended(STOP_PATIENCE)
    }

    /// SIGTERM, and it ends well.
    ///
    /// # Panics
    /// It does not.
    #[track_caller]
    pub fn stop(&mut self) {
        self.terminate();
        self.ended().succeeded();
    }

    /// Makes a user, and keeps the token for `--as NAME`.
    ///
    /// # Panics
    /// It is refused.
    #[track_caller]
    pub fn add_user(&self, name: &str) -> Account {
        let account = self.issue(&json!({"op": "user_add", "name": name}));
        self.home.keep_token(&account);
        account
    }

    /// Makes another device of a user; its token is kept nowhere.
    ///
    /// # Panics
    /// It is refused.
    #[track_caller]
    pub fn add_device(&self, name: &str) -> Account {
        self.issue(&json!({"op": "user_token", "name": name}))
    }

    /// Makes so many users, whose tokens are kept nowhere.
    ///
    /// # Panics
    /// One is refused.
    pub fn add_users(&self, count: usize) -> Vec<Account> {
        let first = self.users.fetch_add(count as u32, Ordering::Relaxed) as usize;
        let names: Vec<String> = (first..first + count).map(|number| format!("user-{number}")).collect();
        let part = names.len().div_ceil(ADMIN_CONNECTIONS).max(1);
        let add = |names: &[String]| -> Vec<Account> {
            let mut admin = Admin::connect(&self.data());
            names.iter().map(|name| account_of(&admin.ask(&json!({"op": "user_add", "name": name})))).collect()
        };
        thread::scope(|scope| {
            let threads: Vec<_> = names.chunks(part).map(|names| scope.spawn(move || add(names))).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("users are made")).collect()
        })
    }

    fn issue(&self, request: &Value) -> Account {
        account_of(&self.admin().ask(request))
    }

    /// A connection to its admin socket.
    ///
    /// # Panics
    /// Nobody answers there.
    pub fn admin(&self) -> Admin {
        Admin::connect(&self.data())
    }

    /// All counters: `{"total": {...}, "shards": [...]}`.
    ///
    /// # Panics
    /// It does not answer.
    pub fn counters(&self) -> Value {
        self.admin().ask(&json!({"op": "counters"}))
    }

    /// One counter, summed over the shards.
    ///
    /// # Panics
    /// It does not answer, or has no such counter.
    #[track_caller]
    pub fn counter(&self, name: &str) -> u64 {
        let counters = self.counters();
        counters["total"][name].as_u64().unwrap_or_else(|| panic!("no counter {name} in {counters}"))
    }

    /// A command that speaks to this server, to be run or started.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.home.trunkline(arguments);
        command.env("TRUNKLINE_URL", self.url());
        command
    }

    /// Runs a command to its end, with nothing on its stdin.
    ///
    /// # Panics
    /// It does not end in time.
    #[track_caller]
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ended {
        run(&mut self.command(arguments))
    }

    /// Starts a command and lets it run.
    pub fn spawn<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Process {
        Process::start(&mut self.command(arguments))
    }
}

/// Runs a program to its end, with nothing on its stdin.
///
/// # Panics
/// It does not end in time.
#[track_caller]
pub fn run(command: &mut Command) -> Ended {
    let mut process = Process::start(command);
    process.close_stdin();
    process.ended(PATIENCE)
}

/// A HOST:PORT of this machine on which most likely nobody listens: each process that runs tests has a loopback address of
/// its own, and each call another port.
pub fn free_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let port = PORT_FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS;
    format!("{}:{port}", host())
}

/// The host of [`free_address`].
pub fn host() -> String {
    let [_, a, b, c] = (std::process::id() + 0x100).to_be_bytes();
    format!("127.{a}.{b}.{c}")
}

/// A server that accepts, or its stderr.
fn serve(home: &Home, listen: &str, arguments: &[OsString]) -> Result<Process, String> {
    let mut command = home.trunkline(["serve", "--listen", listen]);
    let mut process = Process::start(command.args(arguments));
    if process.stdout().line_with("trunkline is ready: ", PATIENCE).is_some() {
        return Ok(process);
    }
    let end = if process.runs() { "it says nothing" } else { "it has ended" };
    process.kill();
    let ended = process.ended(PATIENCE);
    Err(format!("{end}, exit code {:?}\n{}", ended.code, ended.stderr))
}
