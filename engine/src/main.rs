//! The one binary, `trunkline`: a server, its operator's commands, and the terminal client.
#![forbid(unsafe_code)]

mod backup;
mod export;
mod identity;
mod import;
mod offline;
mod operator;
mod reach;
mod top;
mod watched;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use trunkline_cli::stderr_log::Format;
use trunkline_cli::{Failure, duration, folders, stderr_log};
use trunkline_engine::{ConfigError, Settings};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Real-time chat: server and terminal client.
#[derive(Debug, Parser)]
#[command(name = "trunkline", version, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a server until SIGTERM or Ctrl-C.
    Serve(ServeArgs),
    /// Print every setting with its value, as TOML for --config; takes what serve takes.
    Config(ServeArgs),
    /// Make users and tokens for their devices, look at users, and keep them out.
    #[command(subcommand)]
    User(UserCommand),
    /// Look at conversations.
    #[command(subcommand)]
    Conversation(operator::ConversationCommand),
    /// Bring in what was said elsewhere, from a file with an object of JSON per line.
    Import(ImportArgs),
    /// Print everything that was said, as lines that can be imported.
    Export(DataArgs),
    /// Print the counters of the running server as JSON.
    Stats(DataArgs),
    /// Show what each shard of the running server does, every second.
    Top(TopArgs),
    /// Copy everything of a server into a new folder, also while it runs.
    Backup(BackupArgs),
    /// Make a data folder from a backup.
    Restore(RestoreArgs),
    #[command(flatten)]
    Client(trunkline_cli::Command),
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// Where clients connect [default: 127.0.0.1:7400]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    #[command(flatten)]
    data: DataArgs,
    /// Threads that serve [default: one per core]
    #[arg(long, value_name = "N")]
    shards: Option<String>,
    /// Where messages are kept: embedded (on disk) or memory (gone with the process) [default: embedded]
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// Do not tie each shard to a core
    #[arg(long)]
    no_pin: bool,
    /// Settings in TOML; the environment (TRUNKLINE__KEY) counts before them, and what is given here before both
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Any setting, as limits.send_per_s=20
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Debug, Args)]
struct DataArgs {
    /// The server's folder [default: $TRUNKLINE_DATA, else $XDG_DATA_HOME/trunkline, else ~/.local/share/trunkline]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ImportArgs {
    /// Lines as {"conversation":"#ships","sender":"Zoë","sent_at":"2019-05-04T12:30:00Z","text":"ahoy"}
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// At most this many messages a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    speed: Option<u64>,
    /// Let the user with this handle see all of it; may be given again
    #[arg(long = "member", value_name = "HANDLE")]
    members: Vec<String>,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, Args)]
struct TopArgs {
    /// Print the rates of one second as text, and end; so it does where stdout is no terminal
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, Args)]
struct BackupArgs {
    /// A folder that is not there yet, or empty
    #[arg(value_name = "TO")]
    to: PathBuf,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, Args)]
struct RestoreArgs {
    /// A folder that `backup` made
    #[arg(value_name = "FROM")]
    from: PathBuf,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Make a user with a first device, and print its token.
    Add(UserArgs),
    /// Make another device of a user, and print its token.
    Token(UserArgs),
    /// Sign a device of a user out, or all of them.
    Revoke(RevokeArgs),
    /// Print all users.
    List(operator::UserListArgs),
    /// Print a user with its devices.
    Show(operator::UserNamedArgs),
    /// Keep a user out: it cannot sign in or renew its tokens.
    Suspend(operator::UserNamedArgs),
    /// Let a user in again.
    Unsuspend(operator::UserNamedArgs),
}

#[derive(Debug, Args)]
struct UserArgs {
    /// The handle
    name: String,
    /// How long the token lasts: 1s to 10 years [default: 30d]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    ttl: Option<Duration>,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, Args)]
struct RevokeArgs {
    /// The handle
    name: String,
    /// Which device [default: all]
    device: Option<u32>,
    #[command(flatten)]
    data: DataArgs,
}

impl DataArgs {
    fn folder(self) -> Result<PathBuf, Failure> {
        self.data.map_or_else(folders::data, Ok)
    }
}

impl ServeArgs {
    /// Defaults, then the file, the environment, `--set`, then the other flags.
    fn settings(self) -> Result<Settings, ConfigError> {
        let mut settings = Settings::default();
        self.config.as_deref().map_or(Ok(()), |file| settings.take_file(file))?;
        settings.take_environment(std::env::vars_os())?;
        self.set.iter().try_for_each(|assignment| settings.take_assignment(assignment))?;
        let pin = self.no_pin.then(|| "false".to_owned());
        for (key, value) in [("listen", self.listen), ("shards", self.shards), ("store", self.store), ("pin", pin)] {
            value.map_or(Ok(()), |value| settings.take_flag(key, &value))?;
        }
        if let Some(data) = self.data.data {
            settings.take_data_flag(data);
        }
        settings.checked()?;
        Ok(settings)
    }
}

fn refused(error: &ConfigError) -> ! {
    CommandLine::command().error(ErrorKind::ValueValidation, error).exit()
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    if !matches!(line.command, Command::Serve(_)) {
        stderr_log::install(Format::Text, tracing::Level::WARN);
    }
    match line.command {
        Command::Serve(args) => {
            let settings = args.settings().unwrap_or_else(|error| refused(&error));
            let config = settings.checked().unwrap_or_else(|error| refused(&error));
            stderr_log::install(config.log_format, config.log_level);
            identity::serve(config)
        }
        Command::Config(args) => {
            let toml = args.settings().and_then(|settings| settings.to_toml());
            print_settings(&toml.unwrap_or_else(|error| refused(&error)))
        }
        Command::User(UserCommand::Add(args)) => finish(user(args, identity::user_add)),
        Command::User(UserCommand::Token(args)) => finish(user(args, identity::user_token)),
        Command::User(UserCommand::Revoke(RevokeArgs { name, device, data })) => {
            finish(data.folder().and_then(|data| identity::user_revoke(&data, name, device)))
        }
        Command::User(UserCommand::List(args)) => finish(operator::users(args)),
        Command::User(UserCommand::Show(args)) => finish(operator::show_user(args)),
        Command::User(UserCommand::Suspend(args)) => finish(operator::suspend_user(args)),
        Command::User(UserCommand::Unsuspend(args)) => finish(operator::unsuspend_user(args)),
        Command::Conversation(command) => finish(operator::conversation(command)),
        Command::Import(ImportArgs { file, speed, members, data }) => {
            let order = import::Order { file, speed, members };
            finish(data.folder().and_then(|data| import::run(&data, &order)))
        }
        Command::Export(data) => finish(data.folder().and_then(|data| export::run(&data))),
        Command::Stats(data) => finish(data.folder().and_then(|data| identity::stats(&data))),
        Command::Top(TopArgs { once, data }) => finish(data.folder().and_then(|data| top::run(&data, once))),
        Command::Backup(BackupArgs { to, data }) => finish(data.folder().and_then(|data| backup::backup(&data, &to))),
        Command::Restore(RestoreArgs { from, data }) => {
            finish(data.folder().and_then(|data| backup::restore(&from, &data)))
        }
        Command::Client(command) => trunkline_cli::run(command),
    }
}

fn print_settings(toml: &str) -> ExitCode {
    // Whoever reads this may have seen enough.
    let _ = std::io::stdout().lock().write_all(toml.as_bytes());
    ExitCode::SUCCESS
}

type UserDeed = fn(&std::path::Path, String, Option<u64>) -> Result<(), Failure>;

fn user(args: UserArgs, deed: UserDeed) -> Result<(), Failure> {
    deed(&args.data.folder()?, args.name, args.ttl.map(|ttl| ttl.as_secs()))
}

fn finish(result: Result<(), Failure>) -> ExitCode {
    result.map_or_else(|failure| failure.report(), |()| ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(words: &[&str]) -> Result<trunkline_engine::Config, ConfigError> {
        let line = CommandLine::try_parse_from([&["trunkline", "serve"], words].concat()).unwrap();
        let Command::Serve(args) = line.command else { panic!("{words:?}") };
        args.settings().and_then(|settings| settings.checked().cloned())
    }

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn flags_count_before_settings_and_those_before_the_file() {
        let file = std::env::temp_dir().join(format!("trunkline-main-{}.toml", std::process::id()));
        std::fs::write(&file, "listen = \"127.0.0.1:1\"\nshards = 1\ndata = \"/of-file\"\n").unwrap();
        let path = file.to_str().unwrap();
        let all = ["--config", path, "--set", "listen=127.0.0.1:2", "--set", "shards=2", "--shards", "3", "--no-pin"];
        let config = config(&all).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!((config.listen.as_str(), config.shards, config.pin), ("127.0.0.1:2", 3, false));
        if std::env::var_os("TRUNKLINE_DATA").is_none() {
            assert_eq!(config.data, PathBuf::from("/of-file"));
        }
    }

    #[test]
    fn settings_that_are_none_are_refused() {
        assert!(config(&["--set", "nothing"]).is_err());
        assert!(config(&["--store", "tape"]).is_err());
        assert!(config(&["--shards", "0"]).is_err());
    }
}
