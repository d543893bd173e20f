//! Accounts that their operator keeps out.

use trunkline_wire::ids::UserId;

use super::SignInError;
use super::account::Account;
use crate::accounts::{AccountError, Accounts};
use crate::ask::Shards;

impl<S: Shards + ?Sized> Accounts<'_, S> {
    /// Keeps a user out, or lets it in again: it signs in no device, no refresh token gets another access token, and nothing
    /// is done for it over HTTP. Whoever is kept out is signed out everywhere: afterwards each device signs in anew. To do it
    /// again is harmless.
    pub(crate) fn set_suspended(&self, user: UserId, suspended: bool) -> Result<(), SignInError> {
        self.change(user, false, |account, _| {
            account.suspended = suspended;
            Ok(())
        })?;
        if suspended { self.sign_out(user, None) } else { Ok(()) }
    }

    /// Whether a user is kept out. Of an account that cannot be read nobody knows.
    pub(crate) fn is_suspended(&self, user: UserId) -> Result<bool, AccountError> {
        let row = self.read(user)?;
        Ok(row.is_some_and(|row| Account::decode(&row.account).is_ok_and(|account| account.suspended)))
    }
}

impl Account {
    /// Refuses one that is kept out.
    pub(crate) fn check_not_suspended(&self) -> Result<(), SignInError> {
        if self.suspended { Err(SignInError::Suspended) } else { Ok(()) }
    }
}
