//! The command line of the client commands.

mod people;
mod sign_in;

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use trunkline_wire::handle::Handle;
use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::limits::TITLE_BYTES_MAX;

use crate::duration;
use crate::failure::Failure;
use crate::folders;
use crate::identity::{Given, Identity};
use crate::limits::TIMEOUT_DEFAULT;
use crate::time;
use crate::trust::TrustArgs;

pub use people::{ContactArgs, ContactsArgs, ContactsCommand, ProfileArgs};
pub use sign_in::{DevicesArgs, DevicesCommand, LogoutArgs, SignInArgs};

/// A client command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send a message, and wait until it is stored.
    Send(SendArgs),
    /// Print the messages of a conversation.
    History(HistoryArgs),
    /// Print messages of all conversations as they come.
    Listen(ListenArgs),
    /// Talk: all your conversations on one screen; without a terminal, lines from stdin are sent.
    Chat(ChatArgs),
    /// Make groups, change and show who is in them.
    #[command(subcommand)]
    Group(GroupCommand),
    /// Print your conversations, the latest change first.
    List(ListArgs),
    /// Ask, accept, remove and block people.
    #[command(subcommand)]
    Contacts(ContactsCommand),
    /// Print or change what others see of you.
    Profile(ProfileArgs),
    /// Make an account, and sign this device in.
    Signup(SignInArgs),
    /// Sign this device in to an account.
    Login(SignInArgs),
    /// Sign this device out.
    Logout(LogoutArgs),
    /// Print the devices that are signed in to your account, rename them, or sign them out.
    Devices(DevicesArgs),
}

/// `group`
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// Make a group; you are its admin.
    Create(CreateArgs),
    /// Add users to a group.
    Add(ChangeArgs),
    /// Remove users from a group.
    Remove(ChangeArgs),
    /// Leave a group.
    Leave(GroupArgs),
    /// Print who is in a group, and how far each is.
    Show(GroupArgs),
}

/// Who speaks, and to which server.
#[derive(Debug, Args)]
pub struct IdentityArgs {
    /// The server [default: $TRUNKLINE_URL, else ws://127.0.0.1:7400]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Your token [default: $TRUNKLINE_TOKEN, else the token kept for --as]
    #[arg(long, value_name = "TOKEN", hide_short_help = true)]
    token: Option<String>,
    /// Speak as a user that has signed in here, or that `user add` or `user token` made on this machine
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    trust: TrustArgs,
}

impl IdentityArgs {
    pub(crate) fn resolve(&self) -> Result<Identity, Failure> {
        let [token, name, url] = [&self.token, &self.name, &self.url].map(Option::as_deref);
        Given { trust: self.trust.resolve()?, ..Given::with_environment(token, name, url) }.resolve(folders::config)
    }
}

/// A conversation as people name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// By its id.
    Conversation(ConversationId),
    /// The 1:1 with whoever has this handle.
    Peer(Handle),
}

/// 32 hex digits are a conversation, anything else is a handle.
pub(crate) fn target(text: &str) -> Result<Target, String> {
    match ConversationId::parse(text) {
        Some(conversation) => Ok(Target::Conversation(conversation)),
        None => Handle::parse(text).map(Target::Peer).map_err(|error| error.describe().to_owned()),
    }
}

/// A user as people name one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Who {
    /// By the id.
    User(UserId),
    /// Whoever has this handle.
    Named(Handle),
}

/// 16 hex digits are a user, anything else is a handle.
pub(crate) fn who(text: &str) -> Result<Who, String> {
    match UserId::parse(text) {
        Some(user) => Ok(Who::User(user)),
        None => Handle::parse(text).map(Who::Named).map_err(|error| error.describe().to_owned()),
    }
}

fn handle(text: &str) -> Result<Handle, String> {
    Handle::parse(text).map_err(|error| error.describe().to_owned())
}

fn group(text: &str) -> Result<ConversationId, String> {
    ConversationId::parse(text).ok_or_else(|| "a group goes by the 32 hex digits of its conversation".to_owned())
}

fn title(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("a group needs a title".to_owned()),
        title if title.len() > TITLE_BYTES_MAX => Err(format!("a title has at most {TITLE_BYTES_MAX} bytes")),
        title if title.chars().any(char::is_control) => Err("a title has no control characters".to_owned()),
        title => Ok(title.to_owned()),
    }
}

/// `group create`
#[derive(Debug, Args)]
pub struct CreateArgs {
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
    /// What the group is called
    #[arg(value_name = "TITLE", value_parser = title)]
    pub(crate) title: String,
    /// The others: handles, or 16 hex digits
    #[arg(value_name = "WHO", value_parser = who)]
    pub(crate) members: Vec<Who>,
    /// How long to wait for each answer of the server
    #[arg(long, value_name = "DURATION", default_value = TIMEOUT_DEFAULT, value_parser = duration::parse)]
    pub(crate) timeout: Duration,
}

/// `group add` and `group remove`
#[derive(Debug, Args)]
pub struct ChangeArgs {
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
    /// The 32 hex digits of the group
    #[arg(value_name = "CONVERSATION", value_parser = group)]
    pub(crate) conversation: ConversationId,
    /// Whom: handles, or 16 hex digits
    #[arg(value_name = "WHO", required = true, value_parser = who)]
    pub(crate) users: Vec<Who>,
    /// How long to wait for each answer of the server
    #[arg(long, value_name = "DURATION", default_value = TIMEOUT_DEFAULT, value_parser = duration::parse)]
    pub(crate) timeout: Duration,
}

/// `group leave` and `group show`
#[derive(Debug, Args)]
pub struct GroupArgs {
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
    /// The 32 hex digits of the group
    #[arg(value_name = "CONVERSATION", value_parser = group)]
    pub(crate) conversation: ConversationId,
    /// How long to wait for each answer of the server
    #[arg(long, value_name = "DURATION", default_value = TIMEOUT_DEFAULT, value_parser = duration::parse)]
    pub(crate) timeout: Duration,
}

/// `list`
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
    /// Print at most this many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// How long to wait for each answer of the server
    #[arg(long, value_name = "DURATION", default_value = TIMEOUT_DEFAULT, value_parser = duration::parse)]
    pub(crate) timeout: Duration,
}

/// `send`
#[derive(Debug, Args)]
pub struct SendArgs {
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
    /// A handle, or the 32 hex digits of a conversation
    #[arg(long, value_name = "CONVERSATION", value_parser = target)]
    pub(crate) to: Target,
    /// What to say; - reads it from stdin; what begins with - comes behind --
    pub(crate) text: String,
    /// How long to wait for the server's answer
    #[arg(long, value_name = "DURATION", default_value = TIMEOUT_DEFAULT, value_parser = duration::parse)]
    pub(crate) timeout: Duration,
}

/// `history`
#[derive(Debug, Args)]
pub struct HistoryArgs {
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
    /// A handle, or the 32 hex digits of a conversation
    #[arg(value_name = "CONVERSATION", value_parser = target)]
    pub(crate) conversation: Target,
    /// Begin with this message [default: the first; with --reverse the newest]
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) from: Option<u64>,
    /// Begin with the first message of this time, as 2019-05-04, 2019-05-04T12:30:00Z or a number; with --reverse with the
    /// last one before it
    #[arg(long, visible_alias = "since", value_name = "DATE", value_parser = time::parse, conflicts_with = "from")]
    pub(crate) at: Option<u64>,
    /// Print at most this many
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// The newest first
    #[arg(long)]
    pub(crate) reverse: bool,
    /// How long to wait for each answer of the server
    #[arg(long, value_name = "DURATION", default_value = TIMEOUT_DEFAULT, value_parser = duration::parse)]
    pub(crate) timeout: Duration,
}

/// Where `listen` begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum ListenFrom {
    /// With what comes from now on
    Now,
    /// With the first message of each conversation
    Start,
}

/// `listen`
#[derive(Debug, Args)]
pub struct ListenArgs {
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
    /// Where to begin [default: behind what this device has heard; a new device begins now]
    #[arg(long, value_name = "WHERE")]
    pub(crate) from: Option<ListenFrom>,
    /// Print also who has what, who types, and what changes in your list of conversations
    #[arg(long)]
    pub(crate) events: bool,
    /// End after this many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End after this time; with --count that is an error
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) timeout: Option<Duration>,
}

/// `chat`
#[derive(Debug, Args)]
pub struct ChatArgs {
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
    /// A handle, or the 32 hex digits of a conversation [default: the latest]
    #[arg(value_name = "CONVERSATION", value_parser = target)]
    pub(crate) conversation: Option<Target>,
    /// Line by line, also on a terminal
    #[arg(long)]
    pub(crate) plain: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    fn parse(words: &[&str]) -> Result<Command, clap::Error> {
        Line::try_parse_from([&["trunkline"], words].concat()).map(|line| line.command)
    }

    #[test]
    fn digits_are_a_conversation_and_all_else_a_handle() {
        let id = "00112233445566778899aabbccddeeff";
        assert_eq!(target(id), Ok(Target::Conversation(ConversationId::parse(id).unwrap())));
        assert_eq!(target("Bob"), Ok(Target::Peer(Handle::parse("Bob").unwrap())));
        assert_eq!(target(&id[1..]), Ok(Target::Peer(Handle::parse(&id[1..]).unwrap())));
        assert!(target("a b").is_err());
    }

    #[test]
    fn usage_is_as_written_down() {
        Line::command().debug_assert();
        let Command::Send(send) = parse(&["send", "--to", "bob", "-"]).unwrap() else { panic!() };
        assert_eq!((send.text.as_str(), send.timeout), ("-", Duration::from_secs(30)));
        let Command::Send(send) = parse(&["send", "--as", "a", "--to", "bob", "--timeout", "1s", "--", "-x"]).unwrap()
        else {
            panic!()
        };
        assert_eq!((send.text.as_str(), send.timeout), ("-x", Duration::from_secs(1)));
        let Command::History(history) = parse(&["history", "bob", "--from", "3", "--reverse"]).unwrap() else {
            panic!()
        };
        assert_eq!((history.from, history.limit, history.reverse), (Some(3), None, true));
        let Command::History(history) = parse(&["history", "bob", "--since", "2019-05-04"]).unwrap() else { panic!() };
        assert_eq!((history.from, history.at), (None, Some(1_556_928_000_000)));
        let Command::Listen(listen) = parse(&["listen", "--count", "2"]).unwrap() else { panic!() };
        assert_eq!((listen.from, listen.count, listen.timeout), (None, Some(2), None));
        let id = "00112233445566778899aabbccddeeff";
        let Command::Group(GroupCommand::Create(create)) =
            parse(&["group", "create", " Our team ", "bob", "00000000000000ff"]).unwrap()
        else {
            panic!()
        };
        let members = [Who::Named(Handle::parse("bob").unwrap()), Who::User(UserId(0xff))];
        assert_eq!((create.title.as_str(), &create.members[..]), ("Our team", &members[..]));
        parse(&["group", "add", id, "bob"]).unwrap();
        parse(&["chat"]).unwrap();
        parse(&["chat", "--plain", id]).unwrap();
        parse(&["group", "leave", id]).unwrap();
        parse(&["list", "--count", "3"]).unwrap();
        parse(&["signup", "alice", "--device", "my phone"]).unwrap();
        parse(&["logout", "--as", "alice"]).unwrap();
        for wrong in [
            &["send", "text"][..],
            &["send", "--to", "bob"],
            &["send", "--to", "a b", "text"],
            &["history"],
            &["history", "bob", "--from", "0"],
            &["history", "bob", "--at", "1969-12-31"],
            &["history", "bob", "--at", "yesterday"],
            &["history", "bob", "--at", "2019-05-04", "--from", "7"],
            &["listen", "--from", "then"],
            &["listen", "--count", "0"],
            &["group"],
            &["group", "create"],
            &["group", "create", " ", "bob"],
            &["group", "create", "a\tb", "bob"],
            &["group", "add", "00112233445566778899aabbccddeeff"],
            &["group", "add", "bob", "eve"],
            &["group", "show"],
            &["list", "--count", "0"],
            &["signup"],
            &["login", "a b"],
            &["logout"],
        ] {
            assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }
}
