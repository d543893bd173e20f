//! Accounts are read and changed: over the version that was read, again and again while others change them too.

use trunkline_shards::store::UserRow;
use trunkline_wire::ids::{DeviceId, UserId};

use super::SignInError;
use super::account::Account;
use crate::accounts::Accounts;
use crate::ask::Shards;
use crate::limits::CHANGE_ATTEMPTS_MAX;

impl<S: Shards + ?Sized> Accounts<'_, S> {
    /// An account and what is in it; none: there is no such user.
    pub(crate) fn open(&self, user: UserId) -> Result<Option<(UserRow, Account)>, SignInError> {
        let Some(row) = self.read(user)? else { return Ok(None) };
        let account = Account::decode(&row.account).map_err(|error| SignInError::Damaged(user, error.to_string()))?;
        Ok(Some((row, account)))
    }

    /// Changes an account. `change` is told the number of the newest device, which is a new one where `adds_device`; what it
    /// refuses is not written, and neither is what it leaves as it was.
    pub(crate) fn change(
        &self,
        user: UserId,
        adds_device: bool,
        mut change: impl FnMut(&mut Account, DeviceId) -> Result<(), SignInError>,
    ) -> Result<DeviceId, SignInError> {
        for _ in 0..CHANGE_ATTEMPTS_MAX {
            let (row, mut account) = self.open(user)?.ok_or(SignInError::TokenInvalid)?;
            let (before, device) = (account.clone(), DeviceId(row.devices + u32::from(adds_device)));
            change(&mut account, device)?;
            if account == before && !adds_device {
                return Ok(device);
            }
            if let Some(device) = self.write(user, row.version, account.encode(), adds_device)? {
                return Ok(device);
            }
        }
        Err(SignInError::Busy)
    }
}
