//! Why something about people was not answered, or not done.

use std::fmt;

use trunkline_wire::message::ErrorCode;

use crate::accounts::AccountError;
use crate::limits::{AVATAR_BYTES_MAX, DISPLAY_NAME_BYTES_MAX};
use crate::sign_in::SignInError;

/// Why something about people was not answered, or not done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PeopleError {
    /// There is no such user.
    UnknownUser,
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
