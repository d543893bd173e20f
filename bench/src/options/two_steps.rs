//! Scenarios whose preparation and measurement are two commands, so that the server may be started anew in between.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::ServerOptions;
use crate::{account, resume};

/// What the server has in memory when it is measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub enum From {
    /// All: it has run since the preparation.
    Memory,
    /// Nothing: it was started anew.
    Store,
    /// Nothing, and neither has the kernel: its caches were dropped.
    Disk,
}

impl From {
    /// Its name in results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            From::Memory => "memory",
            From::Store => "store",
            From::Disk => "disk",
        }
    }
}

/// `resume`, in two steps, between which the server may be started anew.
#[derive(Subcommand, Debug)]
pub enum Resume {
    /// Make groups, store positions, let the groups go on, and hang up
    Prepare(ResumePrepare),
    /// Let all sessions come back
    Measure(ResumeMeasure),
}

/// `resume prepare`.
#[derive(Args, Debug)]
pub struct ResumePrepare {
    /// Which server.
    #[command(flatten)]
    pub server: ServerOptions,
    /// Where to write what the measurement needs
    #[arg(long)]
    pub state: PathBuf,
    /// How many users, a multiple of --members
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub users: u32,
    /// Members of a group
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=1024))]
    pub members: u32,
    /// Groups of each user
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub groups_each: u32,
    /// Messages in each group after the position
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub messages: u32,
}

impl ResumePrepare {
    /// As the scenario takes it.
    #[must_use]
    pub fn setting(&self) -> resume::Setting {
        let ResumePrepare { users, members, groups_each, messages, .. } = *self;
        resume::Setting { users, members, groups_each, messages, connecting_max: self.server.connecting }
    }
}

/// `resume measure`.
#[derive(Args, Debug)]
pub struct ResumeMeasure {
    /// Which server.
    #[command(flatten)]
    pub server: ServerOptions,
    /// What the preparation wrote
    #[arg(long)]
    pub state: PathBuf,
    /// What the server has in memory, for the report
    #[arg(long, value_enum)]
    pub from: From,
    /// How often all come back; more than once is from memory
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
}

/// `account`, in two steps, between which the server may be started anew.
#[derive(Subcommand, Debug)]
pub enum Account {
    /// Make the conversations, store the position, and let some go on
    Prepare(AccountPrepare),
    /// Sync from the position on, and then everything
    Measure(AccountMeasure),
}

/// `account prepare`.
#[derive(Args, Debug)]
pub struct AccountPrepare {
    /// Which server.
    #[command(flatten)]
    pub server: ServerOptions,
    /// Where to write what the measurement needs
    #[arg(long)]
    pub state: PathBuf,
    /// Conversations of the account
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub conversations: u32,
    /// Those of them that change after its position
    #[arg(long, default_value_t = 20)]
    pub changed: u32,
    /// Users who make them
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub helpers: u32,
}

impl AccountPrepare {
    /// As the scenario takes it.
    #[must_use]
    pub fn setting(&self) -> account::Setting {
        let AccountPrepare { conversations, changed, helpers, .. } = *self;
        account::Setting { conversations, changed, helpers, connecting_max: self.server.connecting }
    }
}

/// `account measure`.
#[derive(Args, Debug)]
pub struct AccountMeasure {
    /// Which server.
    #[command(flatten)]
    pub server: ServerOptions,
    /// What the preparation wrote
    #[arg(long)]
    pub state: PathBuf,
    /// What the server has in memory, for the report
    #[arg(long, value_enum)]
    pub from: From,
    /// Syncs from the position on
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub repeats: u32,
    /// Syncs of everything
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub repeats_of_all: u32,
}
