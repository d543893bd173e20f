//! People as users see each other: look-ups, profiles, contacts, and what their conversations are. Everything here may wait for a shard, so it runs on threads that
//! may.

mod contacts;
mod conversations;
mod error;
mod profile;

use std::time::Duration;

use trunkline_shards::store::UserRow;
use trunkline_wire::handle::Handle;
use trunkline_wire::ids::UserId;

use crate::accounts::Accounts;
use crate::ask::Shards;
use crate::limits::{CONTACT_REQUEST_EVERY_S, CONTACT_REQUESTS_BURST, PEOPLE_BURST, PEOPLE_PER_S};
use crate::pace::Pace;
use crate::sign_in::account::Profile;
use crate::sign_in::{Policy, SignIn, SignInError};

pub use contacts::Contact;
pub use conversations::ConversationShown;
pub use error::PeopleError;
pub use profile::ProfileChange;

/// How often a user may ask.
pub(crate) struct Paces {
    requests: Pace<UserId>,
    lookups: Pace<UserId>,
    contact_requests: Pace<UserId>,
}

impl Paces {
    pub fn new(policy: &Policy) -> Paces {
        Paces {
            requests: Pace::with_period(PEOPLE_BURST, Duration::from_secs(1) / PEOPLE_PER_S),
            lookups: Pace::new(policy.lookup_burst, policy.lookup_every_s),
            contact_requests: Pace::new(CONTACT_REQUESTS_BURST, CONTACT_REQUEST_EVERY_S),
        }
    }
}

/// A user as others see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Person {
    /// The user.
    pub user: UserId,
    /// Its handle as shown; empty: it has none, since it came with an import.
    pub handle: String,
    /// What it is called; empty: by its handle.
    pub display_name: String,
    /// What its picture goes by; empty: there is none.
    pub avatar: String,
}

impl Person {
    fn new(user: UserId, row: UserRow, profile: Profile) -> Person {
        let (handle, display_name) = match row.devices {
            // What the row of an imported user has is the name that its messages came with.
            0 => (String::new(), row.handle),
            _ => (row.handle, profile.display_name),
        };
        Person { user, handle, display_name, avatar: profile.avatar }
    }
}

/// What one user may ask about people.
pub struct People<'a, S> {
    sign_in: &'a SignIn<S>,
    now_s: u64,
    caller: UserId,
}

impl<S: Shards> SignIn<S> {
    /// For whoever has this access token.
    ///
    /// # Errors
    /// The token is none, its user asks too often, or is suspended.
    pub fn people(&self, now_s: u64, access_token: &str) -> Result<People<'_, S>, PeopleError> {
        let caller = self.authenticate(now_s, access_token)?.user;
        self.paces.requests.take(caller).map_err(PeopleError::TooOften)?;
        let (_, account) = self.accounts(now_s).open(caller)?.ok_or(SignInError::TokenInvalid)?;
        account.check_not_suspended()?;
        Ok(People { sign_in: self, now_s, caller })
    }
}

impl<S: Shards> People<'_, S> {
    fn accounts(&self) -> Accounts<'_, S> {
        self.sign_in.accounts(self.now_s)
    }

    /// A user by id.
    ///
    /// # Errors
    /// See [`PeopleError`].
    pub fn user(&self, user: UserId) -> Result<Person, PeopleError> {
        let (row, account) = self.accounts().open(user)?.ok_or(PeopleError::UnknownUser)?;
        Ok(Person::new(user, row, account.profile))
    }

    /// A user by handle. What is no handle is nobody's.
    ///
    /// # Errors
    /// See [`PeopleError`].
    pub fn named(&self, handle: &str) -> Result<Person, PeopleError> {
        self.sign_in.paces.lookups.take(self.caller).map_err(PeopleError::TooOften)?;
        let handle = Handle::parse(handle).map_err(|_| PeopleError::UnknownUser)?;
        let found = self.accounts().find(&handle)?;
        self.user(found.ok_or(PeopleError::UnknownUser)?)
    }
}

#[cfg(test)]
mod tests;
