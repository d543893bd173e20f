//! What an operator looks at and changes, printed as lines of JSON: `user list`, `show`, `suspend`, `unsuspend`, and
//! `conversation`.

use std::path::Path;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;
use trunkline_cli::Failure;
use trunkline_edge::admin::Request;

use crate::DataArgs;
use crate::identity::{ask, print_line};

/// `user list`
#[derive(Debug, Args)]
pub struct UserListArgs {
    /// Only those whose handles begin so
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    #[command(flatten)]
    data: DataArgs,
}

/// `user show`, `user suspend` and `user unsuspend`
#[derive(Debug, Args)]
pub struct UserNamedArgs {
    /// The handle
    name: String,
    #[command(flatten)]
    data: DataArgs,
}

/// `conversation`
#[derive(Debug, Subcommand)]
pub enum ConversationCommand {
    /// Print all conversations.
    List(DataArgs),
    /// Print a conversation, and who is and was a member.
    Show(ConversationArgs),
}

/// `conversation show`
#[derive(Debug, Args)]
pub struct ConversationArgs {
    /// Its 32 hex digits
    conversation: String,
    #[command(flatten)]
    data: DataArgs,
}

/// A page of whatever is listed.
#[derive(Deserialize)]
struct Page {
    #[serde(alias = "users", alias = "conversations")]
    entries: Vec<Value>,
    more: bool,
    after: Option<String>,
}

/// `user list`
///
/// # Errors
/// What the server or the store refused, or that neither can be had.
pub fn users(args: UserListArgs) -> Result<(), Failure> {
    let UserListArgs { prefix, data } = args;
    list(&data.folder()?, |after| Request::UserList { prefix: prefix.clone(), after, limit: None })
}

/// `user show`
///
/// # Errors
/// As [`users`].
pub fn show_user(args: UserNamedArgs) -> Result<(), Failure> {
    show(&args.data.folder()?, &Request::UserShow { name: args.name })
}

/// `user suspend`
///
/// # Errors
/// As [`users`].
pub fn suspend_user(args: UserNamedArgs) -> Result<(), Failure> {
    show(&args.data.folder()?, &Request::UserSuspend { name: args.name })
}

/// `user unsuspend`
///
/// # Errors
/// As [`users`].
pub fn unsuspend_user(args: UserNamedArgs) -> Result<(), Failure> {
    show(&args.data.folder()?, &Request::UserUnsuspend { name: args.name })
}

/// `conversation`
///
/// # Errors
/// As [`users`].
pub fn conversation(command: ConversationCommand) -> Result<(), Failure> {
    match command {
        ConversationCommand::List(data) => {
            list(&data.folder()?, |after| Request::ConversationList { after, limit: None })
        }
        ConversationCommand::Show(ConversationArgs { conversation, data }) => {
            show(&data.folder()?, &Request::ConversationShow { conversation })
        }
    }
}

fn show(data: &Path, request: &Request) -> Result<(), Failure> {
    print_line(&ask::<Value>(data, request)?.to_string());
    Ok(())
}

/// Prints page after page.
fn list(data: &Path, request: impl Fn(String) -> Request) -> Result<(), Failure> {
    let mut after = String::new();
    loop {
        let page: Page = ask(data, &request(after))?;
        page.entries.iter().for_each(|entry| print_line(&entry.to_string()));
        match page.after {
            Some(last) if page.more => after = last,
            _ => return Ok(()),
        }
    }
}
