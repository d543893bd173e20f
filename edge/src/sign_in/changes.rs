//! Accounts are read and changed: over the version that was read, again and again while others change them too.

use trunkline_shards::store::UserRow;
use trunkline_wire::ids::{DeviceId, UserId};

use super::SignInError;
use super::account::Account;
use crate::accounts::Accounts;
use crate::ask::Shards;
use crate::limits::{CHANGE_ATTEMPTS_MAX, TOKEN_TTL_MAX_S};

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

    /// Signs a device out, or all of the user's: first the account forgets it, so that no refresh token gets another access
    /// token, then those that were issued are revoked. To do it again is harmless.
    pub(crate) fn sign_out(&self, user: UserId, device: Option<DeviceId>) -> Result<(), SignInError> {
        // What an operator has issued is not in the account, and may last as long as any token does.
        let longest = self.now_s.saturating_add(TOKEN_TTL_MAX_S);
        let mut until_s = longest;
        let newest = self.change(user, false, |account, _| {
            until_s = longest;
            match device {
                None => account.devices.clear(),
                Some(device) => {
                    if let Some(device) = account.devices.remove(&device.0) {
                        until_s = device.access_to_s;
                    }
                }
            }
            Ok(())
        })?;
        if device.is_some_and(|device| !(1..=newest.0).contains(&device.0)) {
            return Err(SignInError::UnknownDevice);
        }
        Ok(self.revoke(user, device, until_s)?)
    }
}
