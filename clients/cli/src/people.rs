//! `contacts` and `profile`: who people are, and what they are to each other.

use serde::{Deserialize, Serialize};
use trunkline_wire::ids::UserId;

use crate::account::{Accounts, Method};
use crate::args::{ContactArgs, ContactsArgs, ContactsCommand, IdentityArgs, ProfileArgs, Who};
use crate::failure::Failure;
use crate::identity::Identity;
use crate::kept::renewed;
use crate::output::Output;

/// Somebody, as `profile` prints it.
#[derive(Serialize, Deserialize)]
struct Person {
    user: String,
    handle: String,
    display_name: String,
    avatar: String,
}

/// One of those that `contacts list` prints.
#[derive(Serialize, Deserialize)]
struct Contact {
    user: String,
    handle: String,
    state: String,
    blocked: bool,
    changed_ms: u64,
}

#[derive(Deserialize)]
struct Page {
    contacts: Vec<Contact>,
    more: bool,
}

/// What the other commands of `contacts` print.
#[derive(Serialize)]
struct Changed<'a> {
    user: String,
    state: &'a str,
}

#[derive(Deserialize)]
struct State {
    state: String,
}

#[derive(Serialize)]
struct ProfilePatch<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar: Option<&'a str>,
}

/// Accounts, and who asks them.
struct Desk {
    accounts: Accounts,
    token: String,
}

impl Desk {
    fn of(identity: &IdentityArgs) -> Result<Desk, Failure> {
        let identity: Identity = identity.resolve()?;
        let http = match &identity.renewal {
            Some(path) => renewed(path, &identity.trust)?.http,
            None => Accounts::base_of(&identity.url),
        };
        Ok(Desk { accounts: Accounts::at(&http, &identity.trust), token: identity.token })
    }

    fn person(&self, who: &Who) -> Result<Person, Failure> {
        match who {
            Who::User(user) => self.accounts.look(&self.token, &format!("/v1/users/{user}"), &[]),
            Who::Named(handle) => self.accounts.look(&self.token, "/v1/users", &[("handle", handle.as_str())]),
        }
    }

    fn user(&self, who: &Who) -> Result<UserId, Failure> {
        if let Who::User(user) = who {
            return Ok(*user);
        }
        let text = self.person(who)?.user;
        UserId::parse(&text).ok_or_else(|| Failure::new("unexpected", format!("the server named the user {text:?}")))
    }
}

/// `contacts`
pub(crate) fn contacts(command: &ContactsCommand, out: &mut Output) -> Result<(), Failure> {
    match command {
        ContactsCommand::List(args) => list(args, out),
        ContactsCommand::Request(args) => ask(args, "", out),
        ContactsCommand::Accept(args) => ask(args, "/accept", out),
        ContactsCommand::Remove(args) => tell(args, Method::Delete, "contacts", "none", out),
        ContactsCommand::Block(args) => tell(args, Method::Put, "blocks", "blocked", out),
        ContactsCommand::Unblock(args) => tell(args, Method::Delete, "blocks", "unblocked", out),
    }
}

fn list(args: &ContactsArgs, out: &mut Output) -> Result<(), Failure> {
    let desk = Desk::of(&args.identity)?;
    let mut after = UserId(0).to_string();
    loop {
        let page: Page = desk.accounts.look(&desk.token, "/v1/contacts", &[("after", &after)])?;
        page.contacts.iter().try_for_each(|contact| out.json(contact))?;
        match page.contacts.into_iter().next_back() {
            Some(last) if page.more => after = last.user,
            _ => return Ok(()),
        }
    }
}

/// Asks or accepts, which has an answer.
fn ask(args: &ContactArgs, what: &str, out: &mut Output) -> Result<(), Failure> {
    let desk = Desk::of(&args.identity)?;
    let user = desk.user(&args.who)?;
    let path = format!("/v1/contacts/{user}{what}");
    let State { state } = desk.accounts.change(&desk.token, Method::Post, &path, None::<&()>)?;
    out.json(&Changed { user: user.to_string(), state: &state })
}

/// Says what has no answer but that it is so.
fn tell(args: &ContactArgs, method: Method, what: &str, state: &str, out: &mut Output) -> Result<(), Failure> {
    let desk = Desk::of(&args.identity)?;
    let user = desk.user(&args.who)?;
    desk.accounts.tell(&desk.token, method, &format!("/v1/{what}/{user}"))?;
    out.json(&Changed { user: user.to_string(), state })
}

/// `profile`
pub(crate) fn profile(args: &ProfileArgs, out: &mut Output) -> Result<(), Failure> {
    let desk = Desk::of(&args.identity)?;
    let (display_name, avatar) = (args.display_name.as_deref(), args.avatar.as_deref());
    let person: Person = match &args.who {
        Some(who) => desk.person(who)?,
        None if display_name.is_none() && avatar.is_none() => desk.accounts.look(&desk.token, "/v1/profile", &[])?,
        None => {
            let patch = ProfilePatch { display_name, avatar };
            desk.accounts.change(&desk.token, Method::Patch, "/v1/profile", Some(&patch))?
        }
    };
    out.json(&person)
}
