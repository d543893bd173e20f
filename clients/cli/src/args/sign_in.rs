//! The command line of whoever signs in and out.

use clap::{Args, Subcommand};
use trunkline_wire::handle::Handle;

use super::{IdentityArgs, handle};
use crate::trust::TrustArgs;

/// `signup` and `login`
#[derive(Debug, Args)]
pub struct SignInArgs {
    /// Your handle; the password is asked for, or read from the first line of stdin
    #[arg(value_name = "HANDLE", value_parser = handle)]
    pub(crate) handle: Handle,
    /// What this device is to be called [default: the machine's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) device: Option<String>,
    /// The server [default: $TRUNKLINE_URL, else ws://127.0.0.1:7400]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Where its accounts are, as http://HOST:PORT [default: on the same port]
    #[arg(long, value_name = "URL", hide_short_help = true)]
    pub(crate) http: Option<String>,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
}

/// `logout`
#[derive(Debug, Args)]
pub struct LogoutArgs {
    /// Who is signed in here
    #[arg(long = "as", value_name = "NAME", value_parser = handle)]
    pub(crate) name: Handle,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
}

/// `devices`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DevicesArgs {
    #[command(subcommand)]
    pub(crate) command: Option<DevicesCommand>,
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
}

impl DevicesArgs {
    pub(crate) fn identity(&self) -> &IdentityArgs {
        match &self.command {
            None => &self.identity,
            Some(DevicesCommand::Rename { identity, .. } | DevicesCommand::Revoke { identity, .. }) => identity,
        }
    }
}

/// What is done with a device.
#[derive(Debug, Subcommand)]
pub enum DevicesCommand {
    /// Call a device something else.
    Rename {
        /// Its number
        device: u32,
        /// Its new name
        new_name: String,
        /// Whose
        #[command(flatten)]
        identity: IdentityArgs,
    },
    /// Sign a device out: its tokens are worth nothing any more, and its connections end.
    Revoke {
        /// Its number
        device: u32,
        /// Whose
        #[command(flatten)]
        identity: IdentityArgs,
    },
}
