//! Why nobody was signed in.

use std::fmt;

use trunkline_wire::handle::HandleError;
use trunkline_wire::ids::UserId;
use trunkline_wire::message::ErrorCode;

use crate::accounts::AccountError;
use crate::limits::{DEVICE_NAME_BYTES_MAX, DEVICES_MAX, PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN};

/// Why nobody was signed in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SignInError {
    /// The name is no handle.
    Handle(HandleError),
    /// The password is too short or too long.
    PasswordLength,
    /// The device's name is too long, or more than a line.
    DeviceName,
    /// The handle belongs to somebody.
    Taken,
    /// No such handle, or not its password.
    Wrong,
    /// The user has as many devices as it may.
    TooManyDevices,
    /// Nobody may sign up here.
    SignUpClosed,
    /// The operator keeps the user out.
    Suspended,
    /// Too many of these: how many seconds until another one is looked at.
    Attempts(u64),
    /// The token is none, is over, or was signed out.
    TokenInvalid,
    /// The user has no such device.
    UnknownDevice,
    /// The token was used before: its device is signed out.
    TokenCopied,
    /// The account cannot be read: whose, and why.
    Damaged(UserId, String),
    /// Others change the account all the time, or too many sign in.
    Busy,
    /// The system has no random numbers.
    Random(String),
    /// The account could not be had.
    Account(AccountError),
}

impl SignInError {
    /// Its name for programs; an [`ErrorCode`]'s where there is one.
    pub fn code(&self) -> &'static str {
        match self {
            SignInError::Handle(_) => "invalid_handle",
            SignInError::PasswordLength => "invalid_password",
            SignInError::DeviceName => "invalid_device_name",
            SignInError::Taken => ErrorCode::HandleTaken.name(),
            SignInError::Wrong => "wrong_handle_or_password",
            SignInError::TooManyDevices => "too_many_devices",
            SignInError::SignUpClosed => "sign_up_closed",
            SignInError::Suspended => "suspended",
            SignInError::Attempts(_) => ErrorCode::RateLimited.name(),
            SignInError::TokenInvalid | SignInError::TokenCopied => ErrorCode::TokenInvalid.name(),
            SignInError::UnknownDevice => "unknown_device",
            SignInError::Busy => ErrorCode::Busy.name(),
            SignInError::Damaged(..) | SignInError::Random(_) => ErrorCode::StorageUnavailable.name(),
            SignInError::Account(error) => error.code(),
        }
    }
}

impl fmt::Display for SignInError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SignInError::Handle(error) => f.write_str(error.describe()),
            SignInError::PasswordLength => {
                write!(
                    f,
                    "a password has at least {PASSWORD_CHARS_MIN} characters and at most {PASSWORD_BYTES_MAX} bytes"
                )
            }
            SignInError::DeviceName => {
                write!(f, "a device's name is one line of at most {DEVICE_NAME_BYTES_MAX} bytes")
            }
            SignInError::Taken => f.write_str("somebody has this handle"),
            SignInError::Wrong => f.write_str("there is no such handle, or this is not its password"),
            SignInError::TooManyDevices => {
                write!(f, "{DEVICES_MAX} devices are signed in; sign one of them out first")
            }
            SignInError::SignUpClosed => f.write_str("nobody may sign up here; ask the operator for an account"),
            SignInError::Suspended => f.write_str("this account is suspended; ask the operator"),
            SignInError::Attempts(seconds) => write!(f, "too many attempts; try again in {seconds} s"),
            SignInError::TokenInvalid => f.write_str("the token is not valid any more; sign in again"),
            SignInError::UnknownDevice => {
                f.write_str("you have no such device; `GET /v1/devices` lists those you have")
            }
            SignInError::TokenCopied => f.write_str(
                "the token was used before, so somebody may have a copy: the device is signed out; sign in again",
            ),
            SignInError::Damaged(user, reason) => write!(f, "the account of user {user} cannot be read: {reason}"),
            SignInError::Busy => f.write_str("the server is too busy; try again"),
            SignInError::Random(reason) => write!(f, "the system has no random numbers: {reason}"),
            SignInError::Account(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SignInError {}

impl From<AccountError> for SignInError {
    fn from(error: AccountError) -> SignInError {
        match error {
            AccountError::Taken(_) => SignInError::Taken,
            AccountError::Handle(error) => SignInError::Handle(error),
            AccountError::Busy => SignInError::Busy,
            other => SignInError::Account(other),
        }
    }
}
