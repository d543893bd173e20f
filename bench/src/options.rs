//! What the operator asks for, from the command line.

mod two_steps;

use std::net::SocketAddrV4;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use trunkline_wire::limits::BODY_BYTES_MAX;

use crate::course::Spans;
use crate::direct::{IN_FLIGHT_MAX, Setting};
use crate::fleet::CONNECTIONS_PER_SOURCE;
use crate::group;
use crate::idle;

pub use two_steps::{Account, AccountMeasure, AccountPrepare, From, Resume, ResumeMeasure, ResumePrepare};

/// The load generator of Trunkline: real sessions, real tokens, every byte checked.
#[derive(Parser, Debug)]
#[command(name = "trunkline-bench", version)]
pub struct Options {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Make users over the admin socket and write their tokens
    Users(UsersOptions),
    /// Open sessions and hold them
    Idle(IdleOptions),
    /// Pairs of users chat 1:1
    Direct(DirectOptions),
    /// Some members of groups talk, all others listen
    Group(GroupOptions),
    /// Sessions come back and ask what changed
    #[command(subcommand)]
    Resume(Resume),
    /// An account with very many conversations asks what changed
    #[command(subcommand)]
    Account(Account),
    /// Print medians of the figures of several results
    Median {
        /// Results that --json wrote
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

/// `users`.
#[derive(Args, Debug)]
pub struct UsersOptions {
    /// The server's data folder
    #[arg(long)]
    pub data: PathBuf,
    /// How many
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub count: u32,
    /// Handles are this and a number
    #[arg(long, default_value = "bench")]
    pub prefix: String,
    /// Where to write them; those that are there are kept
    #[arg(long)]
    pub out: PathBuf,
}

/// Which server, with whose tokens, and where the result goes.
#[derive(Args, Debug)]
pub struct ServerOptions {
    /// The server's data folder: its admin socket tells the address and the process, and makes users
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Address of the server [default: what the admin socket says]
    #[arg(long)]
    pub server: Option<SocketAddrV4>,
    /// Process of the server, for CPU and memory [default: what the admin socket says]
    #[arg(long)]
    pub pid: Option<u32>,
    /// File of tokens, kept for the next run [default: beside the data folder]
    #[arg(long)]
    pub tokens: Option<PathBuf>,
    /// Handles are this and a number
    #[arg(long, default_value = "bench")]
    pub prefix: String,
    /// Connects at a time
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub connecting: u32,
    /// Keep the generator on this core
    #[arg(long)]
    pub pin: Option<usize>,
    /// The limits the server was started with, for the report
    #[arg(long, default_value = "not stated")]
    pub limits: String,
    /// Write the result here, too
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// `idle`.
#[derive(Args, Debug)]
pub struct IdleOptions {
    /// Which server.
    #[command(flatten)]
    pub server: ServerOptions,
    /// How many sessions, each of its own user
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub connections: u32,
    /// How long to hold them
    #[arg(long, default_value_t = 60.0, value_parser = span)]
    pub seconds: f64,
    /// Sessions of each ring of the generator; the limit of descriptors bounds it
    #[arg(long, default_value_t = CONNECTIONS_PER_SOURCE, value_parser = clap::value_parser!(u32).range(1..))]
    pub per_ring: u32,
}

impl IdleOptions {
    /// As the scenario takes it.
    #[must_use]
    pub fn setting(&self, server_pid: Option<u32>) -> idle::Setting {
        let IdleOptions { seconds, per_ring, .. } = *self;
        idle::Setting { seconds, connecting_max: self.server.connecting, per_ring, server_pid }
    }
}

/// `direct`.
#[derive(Args, Debug)]
pub struct DirectOptions {
    /// Which server.
    #[command(flatten)]
    pub server: ServerOptions,
    /// How many 1:1 conversations
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub pairs: u32,
    /// Conversations of each user, with one message in flight in each
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(IN_FLIGHT_MAX)))]
    pub in_flight: u32,
    /// Only one side of each pair talks
    #[arg(long)]
    pub one_way: bool,
    /// Bytes of a message's body
    #[arg(long, default_value_t = 100, value_parser = body_bytes)]
    pub body: usize,
    /// How long to measure
    #[arg(long, default_value_t = 30.0, value_parser = span)]
    pub seconds: f64,
    /// How long to talk before
    #[arg(long, default_value_t = 10.0, value_parser = span)]
    pub warmup: f64,
    /// Open loop: messages a second of all together; without it each next message waits for the one before
    #[arg(long, value_parser = rate)]
    pub rate: Option<f64>,
    /// Conversations whose history is read back and compared
    #[arg(long, default_value_t = 16)]
    pub samples: u32,
    /// How long the last messages may take, in seconds
    #[arg(long, default_value_t = 10.0, value_parser = span)]
    pub patience: f64,
}

impl DirectOptions {
    /// As the scenario takes it.
    #[must_use]
    pub fn setting(&self, server_pid: Option<u32>) -> Setting {
        Setting {
            pairs: self.pairs,
            in_flight: self.in_flight,
            is_one_way: self.one_way,
            body_bytes: self.body,
            seconds: self.seconds,
            warmup_s: self.warmup,
            rate: self.rate,
            samples: self.samples,
            patience_s: self.patience,
            connecting_max: self.server.connecting,
            server_pid,
        }
    }
}

/// `group`.
#[derive(Args, Debug)]
pub struct GroupOptions {
    /// Which server.
    #[command(flatten)]
    pub server: ServerOptions,
    /// How many groups
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub groups: u32,
    /// Members of each, each a user of its own
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=1024))]
    pub members: u32,
    /// Members of each that talk, with one message in flight
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub senders: u32,
    /// Bytes of a message's body
    #[arg(long, default_value_t = 100, value_parser = body_bytes)]
    pub body: usize,
    /// How long to measure
    #[arg(long, default_value_t = 30.0, value_parser = span)]
    pub seconds: f64,
    /// How long to talk before
    #[arg(long, default_value_t = 10.0, value_parser = span)]
    pub warmup: f64,
    /// Groups whose history is read back and compared
    #[arg(long, default_value_t = 4)]
    pub samples: u32,
    /// How long the last messages may take, in seconds
    #[arg(long, default_value_t = 10.0, value_parser = span)]
    pub patience: f64,
}

impl GroupOptions {
    /// As the scenario takes it.
    #[must_use]
    pub fn setting(&self, server_pid: Option<u32>) -> group::Setting {
        group::Setting {
            groups: self.groups,
            members: self.members,
            senders: self.senders,
            body_bytes: self.body,
            spans: Spans { warmup_s: self.warmup, seconds: self.seconds, patience_s: self.patience },
            samples: self.samples,
            connecting_max: self.server.connecting,
            server_pid,
        }
    }
}

fn span(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=86_400.0).contains(seconds));
    seconds.ok_or_else(|| "a number of seconds, a day at most".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.01..=1e8).contains(rate));
    rate.ok_or_else(|| "messages a second, from 0.01 to 100000000".to_owned())
}

fn body_bytes(text: &str) -> Result<usize, String> {
    let bytes = text.parse().ok().filter(|bytes| (1..=BODY_BYTES_MAX).contains(bytes));
    bytes.ok_or_else(|| format!("bytes, from 1 to {BODY_BYTES_MAX}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Options, clap::Error> {
        Options::try_parse_from(std::iter::once("trunkline-bench").chain(line.split_whitespace()))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn defaults_are_the_headline() {
        let Command::Direct(direct) = parse("direct --pairs 200 --data x").unwrap().command else { panic!() };
        let setting = direct.setting(Some(7));
        assert_eq!((setting.pairs, setting.in_flight, setting.body_bytes, setting.rate), (200, 1, 100, None));
        assert_eq!((setting.seconds, setting.warmup_s, setting.server_pid), (30.0, 10.0, Some(7)));
        assert_eq!((direct.server.limits.as_str(), direct.server.connecting), ("not stated", 200));
    }

    #[test]
    fn everything_can_be_said() {
        let line = "direct --server 127.0.0.1:1 --pid 3 --tokens t --pairs 400 --in-flight 16 --one-way --body 16384 \
                    --seconds 1.5 --warmup 0 --rate 2e4 --samples 0 --pin 1 --limits a=1,b=2 --json f";
        let Command::Direct(direct) = parse(line).unwrap().command else { panic!() };
        let setting = direct.setting(None);
        assert_eq!((setting.in_flight, setting.is_one_way, setting.rate), (16, true, Some(2e4)));
        assert_eq!((direct.server.pin, direct.server.limits.as_str()), (Some(1), "a=1,b=2"));
        assert!(matches!(parse("idle --connections 5").unwrap().command, Command::Idle(idle) if idle.connections == 5));
        assert!(matches!(parse("median a b").unwrap().command, Command::Median { files } if files.len() == 2));
    }

    #[test]
    fn groups_are_four_of_a_hundred() {
        let Command::Group(group) = parse("group --data x").unwrap().command else { panic!() };
        let setting = group.setting(None);
        assert_eq!((setting.groups, setting.members, setting.senders, setting.users()), (4, 100, 4, Ok(400)));
        let Command::Group(group) = parse("group --members 3 --senders 4").unwrap().command else { panic!() };
        assert!(group.setting(None).users().is_err());
    }

    #[test]
    fn preparations_and_measurements_share_a_file() {
        let prepare = parse("resume prepare --state s --users 200 --members 10").unwrap().command;
        let Command::Resume(Resume::Prepare(prepare)) = prepare else { panic!() };
        assert_eq!((prepare.setting().users, prepare.setting().members, prepare.setting().check()), (200, 10, Ok(())));
        let measure = parse("resume measure --state s --from store").unwrap().command;
        assert!(matches!(measure, Command::Resume(Resume::Measure(measure)) if measure.from == From::Store));
        let prepare = parse("account prepare --state s").unwrap().command;
        let Command::Account(Account::Prepare(prepare)) = prepare else { panic!() };
        assert_eq!((prepare.setting().conversations, prepare.setting().users()), (10_000, Ok(101)));
        let measure = parse("account measure --state s --from memory --repeats 7").unwrap().command;
        assert!(matches!(measure, Command::Account(Account::Measure(measure)) if measure.repeats == 7));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "",
            "direct",
            "direct --pairs 0",
            "direct --pairs 1 --in-flight 17",
            "direct --pairs 1 --body 0",
            "direct --pairs 1 --body 61441",
            "direct --pairs 1 --rate 0",
            "direct --pairs 1 --seconds NaN",
            "direct --pairs 1 --server [::1]:5",
            "idle --connections 0",
            "users --count 3 --out f",
            "group --members 1",
            "group --members 1025",
            "resume",
            "resume prepare",
            "resume measure --state s",
            "account measure --state s --from nowhere",
            "median",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
