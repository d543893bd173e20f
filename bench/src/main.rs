//! The program `trunkline-bench`: options in, a table and JSON out; exit 0, or 1 for a fault of the server that was found.

use std::net::SocketAddrV4;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use serde_json::{Value, json};

use trunkline_bench::failure::Failure;
use trunkline_bench::host::{self, Facts};
use trunkline_bench::options::{
    Account, AccountMeasure, AccountPrepare, Command, DirectOptions, GroupOptions, IdleOptions, Options, Resume,
    ResumeMeasure, ResumePrepare, ServerOptions, UsersOptions,
};
use trunkline_bench::prepared::Prepared;
use trunkline_bench::report::{self, Report};
use trunkline_bench::users::{self, User};
use trunkline_bench::{account, direct, group, idle, resume};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let done = match Options::parse().command {
        Command::Users(options) => make_users(&options),
        Command::Idle(options) => run_idle(&options),
        Command::Direct(options) => run_direct(&options),
        Command::Group(options) => run_group(&options),
        Command::Resume(Resume::Prepare(options)) => prepare_resume(&options),
        Command::Resume(Resume::Measure(options)) => measure_resume(&options),
        Command::Account(Account::Prepare(options)) => prepare_account(&options),
        Command::Account(Account::Measure(options)) => measure_account(&options),
        Command::Median { files } => {
            report::medians(&files).map(|lines| lines.iter().for_each(|line| println!("{line}")))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("trunkline-bench: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn make_users(options: &UsersOptions) -> Result<(), Failure> {
    let users = users::ensure(&options.out, Some(&options.data), &options.prefix, options.count as usize)?;
    println!("{} users in {}", users.len(), options.out.display());
    Ok(())
}

fn run_idle(options: &IdleOptions) -> Result<(), Failure> {
    let target = Target::find(&options.server, options.connections)?;
    let outcome = idle::run(target.address, &target.users, &options.setting(target.pid))?;
    target.tell(&Report::of_idle(&outcome, options.seconds, target.pid.is_some()), &options.server)
}

fn run_direct(options: &DirectOptions) -> Result<(), Failure> {
    let users = options.setting(None).users()?;
    let target = Target::find(&options.server, users)?;
    let setting = options.setting(target.pid);
    let outcome = direct::run(target.address, &target.users, &setting)?;
    let cores = target.pid.map_or(0, host::cores_of);
    target.tell(&Report::of_direct(&setting, &outcome, cores), &options.server)
}

fn run_group(options: &GroupOptions) -> Result<(), Failure> {
    let users = options.setting(None).users()?;
    let target = Target::find(&options.server, users)?;
    let setting = options.setting(target.pid);
    let outcome = group::run(target.address, &target.users, &setting)?;
    let cores = target.pid.map_or(0, host::cores_of);
    target.tell(&Report::of_group(&setting, &outcome, cores), &options.server)
}

fn prepare_resume(options: &ResumePrepare) -> Result<(), Failure> {
    let setting = options.setting();
    setting.check()?;
    let target = Target::find(&options.server, setting.users)?;
    let prepared = resume::prepare(target.address, &target.users, &setting)?;
    prepared.write(&options.state)?;
    let (users, groups) = (setting.users, prepared.conversations.len());
    println!("{users} users in {groups} groups wait to come back, in {}", options.state.display());
    Ok(())
}

fn measure_resume(options: &ResumeMeasure) -> Result<(), Failure> {
    let prepared = Prepared::read(&options.state, resume::SCENARIO)?;
    let target = Target::find(&options.server, prepared.positions.len() as u32)?;
    let (rounds, connecting) = (options.rounds, options.server.connecting);
    let outcome = resume::measure(target.address, &target.users, &prepared, rounds, connecting, target.pid)?;
    let cores = target.pid.map(host::cores_of);
    let how = (options.from.name(), rounds, connecting);
    target.tell(&Report::of_resume(&prepared, &outcome, how, cores), &options.server)
}

fn prepare_account(options: &AccountPrepare) -> Result<(), Failure> {
    let setting = options.setting();
    let target = Target::find(&options.server, setting.users()?)?;
    let (prepared, took_s) = account::prepare(target.address, &target.users, &setting)?;
    prepared.write(&options.state)?;
    let conversations = setting.conversations;
    println!("{conversations} conversations made in {took_s:.1} s, in {}", options.state.display());
    Ok(())
}

fn measure_account(options: &AccountMeasure) -> Result<(), Failure> {
    let prepared = Prepared::read(&options.state, account::SCENARIO)?;
    let target = Target::find(&options.server, 1)?;
    let (repeats, of_all) = (options.repeats, options.repeats_of_all);
    let outcome = account::measure(target.address, &target.users, &prepared, repeats, of_all, target.pid)?;
    let report = Report::of_account(&prepared, &outcome, options.from.name(), target.pid.is_some());
    target.tell(&report, &options.server)
}

/// The server that is meant, and the users to load it with.
struct Target {
    address: SocketAddrV4,
    pid: Option<u32>,
    status: Value,
    users: Vec<User>,
}

impl Target {
    fn find(options: &ServerOptions, users: u32) -> Result<Target, Failure> {
        let status = options.data.as_deref().and_then(|data| users::ask(data, "status")).unwrap_or_default();
        let listen = status["listen"].as_str().and_then(|listen| listen.parse().ok());
        let address = options.server.or(listen).ok_or_else(|| match &options.data {
            Some(data) => Failure::Operator(format!("no server runs with --data {}: start one", data.display())),
            None => {
                Failure::Operator("which server? give --data of one that runs, or --server and --tokens".to_owned())
            }
        })?;
        let told = status["pid"].as_u64().and_then(|pid| pid.try_into().ok());
        let file = match (&options.tokens, &options.data) {
            (Some(tokens), _) => tokens.clone(),
            (None, Some(data)) => users::default_file(data),
            (None, None) => return Err(Failure::Operator("no tokens: give --tokens or --data".to_owned())),
        };
        let users = users::ensure(&file, options.data.as_deref(), &options.prefix, users as usize)?;
        // After the users are made, which takes several threads.
        options.pin.map_or(Ok(()), host::pin)?;
        Ok(Target { address, pid: options.pid.or(told), status, users })
    }

    fn tell(&self, report: &Report, options: &ServerOptions) -> Result<(), Failure> {
        let Facts { cores, memory_kib, kernel, commit, date } = Facts::collect();
        let circumstances = json!({
            "limits": options.limits,
            "commit": commit,
            "kernel": kernel,
            "cores": cores,
            "memory_kib": memory_kib,
            "date": date,
            "command": std::env::args().collect::<Vec<_>>(),
            "server_status": self.status,
            "server_counters": options.data.as_deref().map(counters),
            "server_command": self.pid.map(host::command_line),
            "server_sha256": self.pid.and_then(host::program_sha256),
            "generator_core": options.pin,
        });
        report.print(&circumstances);
        options.json.as_deref().map_or(Ok(()), |file| report.write(file, &circumstances))
    }
}

/// The server's counters that have counted something.
fn counters(data: &Path) -> Value {
    let all = users::ask(data, "counters").unwrap_or_default();
    let total = all["total"].as_object().into_iter().flatten();
    total.filter(|(_, count)| **count != 0).map(|(name, count)| (name.clone(), count.clone())).collect()
}
