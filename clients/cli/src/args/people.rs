//! The command lines of `contacts` and `profile`.

use clap::{Args, Subcommand};

use super::{IdentityArgs, Who, who};

/// `contacts`
#[derive(Debug, Subcommand)]
pub enum ContactsCommand {
    /// Print your contacts, whom you have asked, who asks you, and whom you block.
    List(ContactsArgs),
    /// Ask somebody to be a contact; where they have asked you, accept.
    Request(ContactArgs),
    /// Accept somebody's request.
    Accept(ContactArgs),
    /// Withdraw a request, decline one, or remove a contact.
    Remove(ContactArgs),
    /// Refuse somebody's messages to you and their requests.
    Block(ContactArgs),
    /// Take somebody's messages and requests again.
    Unblock(ContactArgs),
}

/// `contacts list`
#[derive(Debug, Args)]
pub struct ContactsArgs {
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
}

/// `contacts` with a user
#[derive(Debug, Args)]
pub struct ContactArgs {
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
    /// Whom: a handle, or 16 hex digits
    #[arg(value_name = "WHO", value_parser = who)]
    pub(crate) who: Who,
}

/// `profile`
#[derive(Debug, Args)]
pub struct ProfileArgs {
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
    /// Whose: a handle, or 16 hex digits [default: yours]
    #[arg(value_name = "WHO", value_parser = who, conflicts_with_all = ["display_name", "avatar"])]
    pub(crate) who: Option<Who>,
    /// Be called this from now on; an empty text is for your handle
    #[arg(long, value_name = "TEXT")]
    pub(crate) display_name: Option<String>,
    /// Have this reference to a picture from now on; an empty one is for none
    #[arg(long, value_name = "REFERENCE")]
    pub(crate) avatar: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: crate::Command,
    }

    #[test]
    fn usage_is_as_written_down() {
        let parse = |words: &[&str]| Line::try_parse_from([&["trunkline"], words].concat()).map(|line| line.command);
        for right in [
            &["contacts", "list", "--as", "alice"][..],
            &["contacts", "request", "bob"],
            &["contacts", "accept", "00000000000000ff"],
            &["contacts", "remove", "bob"],
            &["contacts", "block", "bob"],
            &["contacts", "unblock", "bob"],
            &["profile"],
            &["profile", "bob"],
            &["profile", "--display-name", "", "--avatar", "blob:1"],
        ] {
            assert!(parse(right).is_ok(), "{right:?}");
        }
        for wrong in [
            &["contacts"][..],
            &["contacts", "request"],
            &["contacts", "request", "a b"],
            &["contacts", "list", "bob"],
            &["profile", "bob", "--display-name", "x"],
        ] {
            assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }
}
