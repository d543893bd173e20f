//! Why something about people was not answered, or not done.

use std::fmt;

use trunkline_shards::store::CONTACTS_MAX;
use trunkline_wire::message::ErrorCode;

use crate::accounts::AccountError;
use crate::limits::{AVATAR_BYTES_MAX, DISPLAY_NAME_BYTES_MAX};
use crate::sign_in::SignInError;

/// Why something about people was not answered, or not done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PeopleError {
    /// There is no such user.
    UnknownUser,
    /// There is no such conversation, or none of the caller's.
    UnknownConversation,
    /// It is the caller itself.
    Oneself,
    /// There is no request to accept.
    NoRequest,
    /// The caller blocks the user.
    Blocked,
    /// The caller has as many contacts as it may.
    ContactsFull,
    /// As many requests as may wait for the user.
    RequestsFull,
    /// What the user is to be called is too long, or more than a line.
    DisplayName,
    /// What the picture goes by is too long, or more than a word.
    Avatar,
    /// The user asks too often: how many seconds until it may again.
    TooOften(u64),
    /// The token, the account or a shard.
    Account(SignInError),
}

impl PeopleError {
    /// Its name for programs; an [`ErrorCode`]'s where there is one.
    pub fn code(&self) -> &'static str {
        match self {
            PeopleError::UnknownUser => "unknown_user",
            PeopleError::UnknownConversation => ErrorCode::NotFound.name(),
            PeopleError::Oneself => "oneself",
            PeopleError::NoRequest => "no_request",
            PeopleError::Blocked => "blocked",
            PeopleError::ContactsFull => "contacts_full",
            PeopleError::RequestsFull => "requests_full",
            PeopleError::DisplayName => "invalid_display_name",
            PeopleError::Avatar => "invalid_avatar",
            PeopleError::TooOften(_) => ErrorCode::RateLimited.name(),
            PeopleError::Account(error) => error.code(),
        }
    }
}

impl fmt::Display for PeopleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeopleError::UnknownUser => f.write_str("there is no such user"),
            PeopleError::UnknownConversation => f.write_str("there is no such conversation, or none of yours"),
            PeopleError::Oneself => f.write_str("nobody is a contact of their own"),
            PeopleError::NoRequest => f.write_str("this user does not ask to be a contact; perhaps no longer"),
            PeopleError::Blocked => f.write_str("you block this user; end that first"),
            PeopleError::ContactsFull => {
                write!(f, "you have {CONTACTS_MAX} contacts and blocked users; remove one first")
            }
            PeopleError::RequestsFull => f.write_str("too many requests wait for this user; try again another day"),
            PeopleError::DisplayName => {
                write!(f, "a display name is one line of at most {DISPLAY_NAME_BYTES_MAX} bytes")
            }
            PeopleError::Avatar => {
                write!(f, "an avatar is a reference of at most {AVATAR_BYTES_MAX} bytes without white space")
            }
            PeopleError::TooOften(seconds) => write!(f, "too many requests; try again in {seconds} s"),
            PeopleError::Account(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PeopleError {}

impl From<SignInError> for PeopleError {
    fn from(error: SignInError) -> PeopleError {
        PeopleError::Account(error)
    }
}

impl From<AccountError> for PeopleError {
    fn from(error: AccountError) -> PeopleError {
        PeopleError::Account(error.into())
    }
}
