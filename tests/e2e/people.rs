//! People of a test by name, each with a connection that says exactly what the test wants.

use std::time::Duration;

use trunkline_tests::ear::{Reply, Summary};
use trunkline_tests::peer::{PATIENCE, Peer, soon};
use trunkline_tests::rig;
use trunkline_tests::server::{Account, Server};
use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::message::{ErrorCode, Role};

/// After this nothing more is on its way.
pub const QUIET: Duration = Duration::from_millis(300);
pub const ADMIN: u8 = Role::Admin as u8;
pub const MEMBER: u8 = Role::Member as u8;

/// A server with so many shards and these settings.
pub fn serve(shards: &str, settings: &[&str]) -> Server {
    Server::start(&rig::arguments(shards, settings))
}

/// Kills it, and starts it again with so many shards and these settings.
pub fn restart(server: &mut Server, shards: &str, settings: &[&str]) {
    rig::restart(server, shards, settings);
}

/// Makes users, whose tokens are kept for commands.
pub fn enroll<const N: usize>(server: &Server, names: [&str; N]) -> [Account; N] {
    names.map(|name| server.add_user(name))
}

/// A connection.
pub fn login(server: &Server, account: &Account) -> Peer {
    Peer::login(rig::address(server), &account.token)
}

/// One for each.
pub fn login_all<const N: usize>(server: &Server, accounts: &[Account; N]) -> [Peer; N] {
    accounts.each_ref().map(|account| login(server, account))
}

/// Their ids.
pub fn users(accounts: &[&Account]) -> Vec<UserId> {
    accounts.iter().map(|account| account.user).collect()
}

/// A deed is refused with a code, and that is counted.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(server: &Server, code: ErrorCode, deed: impl FnOnce() -> Result<T, ErrorCode>) {
    let counter = format!("error.{}", code.name());
    match rig::counted(server, &counter, deed) {
        Err(told) => assert_eq!(told, code),
        Ok(done) => panic!("{} is due, but it was done: {done:?}", code.name()),
    }
}

/// The members by name and role, in order of name.
#[track_caller]
pub fn roles<'a>(peer: &mut Peer, group: ConversationId, accounts: &'a [Account]) -> Vec<(&'a str, u8)> {
    let name = |user: UserId| {
        let account = accounts.iter().find(|account| account.user == user);
        account.unwrap_or_else(|| panic!("{user} is a member, and none of these")).name.as_str()
    };
    let members = peer.members(group).expect("a member sees the members");
    let mut roles: Vec<_> = members.iter().map(|member| (name(member.user), member.role)).collect();
    roles.sort_unstable();
    roles
}

/// Waits until a list has a conversation as wanted: lists follow somewhat behind the answer to whoever changed them.
#[track_caller]
pub fn listed(peer: &mut Peer, conversation: ConversationId, is_as_wanted: impl Fn(&Summary) -> bool) -> Summary {
    let peer = std::cell::RefCell::new(peer);
    let find = || peer.borrow_mut().sync(0).find(conversation).cloned();
    soon("the list is as wanted", PATIENCE, &true, || find().is_some_and(|row| is_as_wanted(&row)));
    find().expect("it was there")
}

/// Waits for a message of a conversation that says this.
#[track_caller]
pub fn hears(peer: &mut Peer, conversation: ConversationId, text: &str) -> u64 {
    peer.hear_push(&format!("{text:?}"), |reply| match reply {
        Reply::Message(named, row) if *named == conversation && row.body == text.as_bytes() => Some(row.seq),
        _ => None,
    })
}
