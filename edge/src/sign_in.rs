//! Signing up and in: passwords and refresh tokens become access tokens. Everything here may wait for a shard and for
//! Argon2, so it runs on threads that may.

pub(crate) mod account;
mod attempts;
mod changes;
mod error;
mod passwords;
mod refresh;
mod suspension;

use std::net::IpAddr;

use trunkline_wire::handle::Handle;
use trunkline_wire::ids::{DeviceId, UserId};
use trunkline_wire::token::{Claims, Scopes, TokenKeys};

use crate::accounts::{Accounts, TENANT};
use crate::ask::Shards;
use crate::limits::{DEVICE_NAME_BYTES_MAX, DEVICES_MAX};
use crate::people::Paces;

use account::{Account, Device};
use attempts::Attempts;
use passwords::Passwords;
use refresh::{Family, RefreshToken, Standing};

pub use error::SignInError;

/// What an operator decides about signing in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Whether anybody may sign up.
    pub sign_up: bool,
    /// Seconds an access token lasts.
    pub access_ttl_s: u64,
    /// Seconds a refresh token lasts that is not used.
    pub refresh_ttl_s: u64,
    /// KiB of memory that comparing a password takes.
    pub password_memory_kib: u32,
    /// Passes over that memory.
    pub password_passes: u32,
    /// Look-ups by handle that a user may make at once.
    pub lookup_burst: u32,
    /// Seconds after which one more is allowed.
    pub lookup_every_s: u64,
}

impl Default for Policy {
    /// 15 minutes, 90 days, and what OWASP asks of Argon2id at least: 19 MiB, 2 passes; look-ups as on a connection.
    fn default() -> Policy {
        Policy {
            sign_up: true,
            access_ttl_s: 15 * 60,
            refresh_ttl_s: 90 * 86_400,
            password_memory_kib: 19 * 1024,
            password_passes: 2,
            lookup_burst: 100,
            lookup_every_s: 90,
        }
    }
}

/// A device that is signed in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedIn {
    /// The handle as shown.
    pub handle: String,
    /// The user.
    pub user: UserId,
    /// The user's device.
    pub device: DeviceId,
    /// What a session begins with.
    pub access_token: String,
    /// When that ends, in seconds since 1970.
    pub access_expires_s: u64,
    /// What the next access token is got with, once.
    pub refresh_token: String,
}

/// A device as its user sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceInfo {
    /// Its number.
    pub device: DeviceId,
    /// As its user calls it.
    pub name: String,
    /// When it signed in, in seconds since 1970.
    pub since_s: u64,
    /// When it got its last access token, in seconds since 1970.
    pub seen_s: u64,
}

/// Who wants to sign in: what was typed, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Typed<'a> {
    /// The handle.
    pub handle: &'a str,
    /// The password.
    pub password: &'a str,
    /// What the device is to be called.
    pub device_name: &'a str,
    /// Where it comes from.
    pub from: IpAddr,
}

/// Signs users up and in.
pub struct SignIn<S> {
    shards: S,
    keys: TokenKeys,
    policy: Policy,
    passwords: Passwords,
    attempts: Attempts,
    pub(crate) paces: Paces,
}

impl<S: Shards> SignIn<S> {
    /// Over these shards, with the keys that sign.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new(shards: S, keys: TokenKeys, policy: Policy) -> Result<SignIn<S>, SignInError> {
        let passwords = Passwords::new(policy.password_memory_kib, policy.password_passes)?;
        Ok(SignIn { shards, keys, policy, passwords, attempts: Attempts::new(), paces: Paces::new(&policy) })
    }

    /// Makes a user, and signs its first device in.
    ///
    /// # Errors
    /// See [`SignInError`].
    pub fn sign_up(&self, now_s: u64, typed: &Typed<'_>) -> Result<SignedIn, SignInError> {
        if !self.policy.sign_up {
            return Err(SignInError::SignUpClosed);
        }
        let handle = Handle::parse(typed.handle).map_err(SignInError::Handle)?;
        Passwords::check(typed.password)?;
        let name = device_name(typed.device_name)?;
        self.attempts.sign_up(typed.from)?;
        let accounts = self.accounts(now_s);
        if accounts.find(&handle)?.is_some() {
            return Err(SignInError::Taken);
        }
        let (secret, family) = Family::begin(now_s, random_secret()?);
        let device = Device { name, since_s: now_s, access_to_s: self.access_to_s(now_s), family };
        let password = Some(self.passwords.hash(typed.password)?);
        // The first device of a user has the number 1.
        let account = Account { password, devices: [(1, device)].into(), ..Account::default() };
        let (user, device) = accounts.create(&handle, account.encode())?;
        Ok(self.signed_in(now_s, handle.as_str(), RefreshToken { user, device, secret }))
    }

    /// Signs a device in with a password. Whether the handle or the password is wrong is not told, by the time neither.
    ///
    /// # Errors
    /// See [`SignInError`].
    pub fn sign_in(&self, now_s: u64, typed: &Typed<'_>) -> Result<SignedIn, SignInError> {
        let name = device_name(typed.device_name)?;
        let handle = Handle::parse(typed.handle).ok();
        let folded = handle.as_ref().map(Handle::fold).unwrap_or_default();
        self.attempts.sign_in(&folded, typed.from)?;
        let user = match &handle {
            Some(handle) => self.accounts(now_s).find(handle)?,
            None => None,
        };
        let found = match user {
            Some(user) => Some((user, self.accounts(now_s).open(user)?.ok_or(SignInError::Wrong)?)),
            None => None,
        };
        let kept = found.as_ref().and_then(|(_, (_, account))| account.password.as_deref());
        let is_right = self.passwords.is_right(typed.password, kept);
        let Some((user, (row, _))) = found.filter(|_| is_right) else { return Err(SignInError::Wrong) };
        let (secret, family) = Family::begin(now_s, random_secret()?);
        let device = self.accounts(now_s).change(user, true, |account, device| {
            account.check_not_suspended()?;
            account.forget_silent(now_s, self.policy.refresh_ttl_s);
            if account.devices.len() >= DEVICES_MAX {
                return Err(SignInError::TooManyDevices);
            }
            let access_to_s = self.access_to_s(now_s);
            let new = Device { name: name.clone(), since_s: now_s, access_to_s, family: family.clone() };
            account.devices.insert(device.0, new);
            Ok(())
        })?;
        Ok(self.signed_in(now_s, &row.handle, RefreshToken { user, device, secret }))
    }

    /// Gets the next tokens for a device. A token that was used before ends the device's family.
    ///
    /// # Errors
    /// See [`SignInError`].
    pub fn refresh(&self, now_s: u64, token: &str) -> Result<SignedIn, SignInError> {
        let used = RefreshToken::parse(token).ok_or(SignInError::TokenInvalid)?;
        let secret = random_secret()?;
        let mut is_copied = false;
        self.accounts(now_s).change(used.user, false, |account, _| {
            account.check_not_suspended()?;
            let device = account.devices.get_mut(&used.device.0).ok_or(SignInError::TokenInvalid)?;
            match device.family.standing_of(&used.secret, now_s, self.policy.refresh_ttl_s) {
                Standing::Good => {
                    device.family.renew(&used.secret, now_s, &secret);
                    device.access_to_s = device.access_to_s.max(self.access_to_s(now_s));
                }
                Standing::Unknown => return Err(SignInError::TokenInvalid),
                Standing::Copied => is_copied = true,
            }
            Ok(())
        })?;
        if is_copied {
            self.accounts(now_s).sign_out(used.user, Some(used.device))?;
            return Err(SignInError::TokenCopied);
        }
        let (row, _) = self.accounts(now_s).open(used.user)?.ok_or(SignInError::TokenInvalid)?;
        Ok(self.signed_in(now_s, &row.handle, RefreshToken { secret, ..used }))
    }

    /// Signs a device out: its tokens are worth nothing any more, and its sessions end.
    ///
    /// # Errors
    /// See [`SignInError`].
    pub fn sign_out(&self, now_s: u64, token: &str) -> Result<(), SignInError> {
        let used = RefreshToken::parse(token).ok_or(SignInError::TokenInvalid)?;
        let (_, account) = self.accounts(now_s).open(used.user)?.ok_or(SignInError::TokenInvalid)?;
        let device = account.devices.get(&used.device.0).ok_or(SignInError::TokenInvalid)?;
        match device.family.standing_of(&used.secret, now_s, self.policy.refresh_ttl_s) {
            Standing::Unknown => Err(SignInError::TokenInvalid),
            Standing::Good | Standing::Copied => self.accounts(now_s).sign_out(used.user, Some(used.device)),
        }
    }

    /// Whose access token this is; it is none of a device that was signed out.
    ///
    /// # Errors
    /// See [`SignInError`].
    pub fn authenticate(&self, now_s: u64, access_token: &str) -> Result<Claims, SignInError> {
        let claims = self.keys.verify(access_token, now_s).map_err(|_| SignInError::TokenInvalid)?;
        let worthless = !claims.scopes.contains(Scopes::USER) || self.accounts(now_s).is_revoked(&claims)?;
        if worthless { Err(SignInError::TokenInvalid) } else { Ok(claims) }
    }

    /// The devices that a user has signed in, whoever asks with one of its access tokens.
    ///
    /// # Errors
    /// See [`SignInError`].
    pub fn devices(&self, now_s: u64, access_token: &str) -> Result<Vec<DeviceInfo>, SignInError> {
        let claims = self.authenticate(now_s, access_token)?;
        let (_, mut account) = self.accounts(now_s).open(claims.user)?.ok_or(SignInError::TokenInvalid)?;
        account.forget_silent(now_s, self.policy.refresh_ttl_s);
        let info = |(number, device): (u32, Device)| DeviceInfo {
            device: DeviceId(number),
            name: device.name,
            since_s: device.since_s,
            seen_s: device.family.renewed_s,
        };
        Ok(account.devices.into_iter().map(info).collect())
    }

    /// Calls a device of the user something else.
    ///
    /// # Errors
    /// See [`SignInError`].
    pub fn rename_device(
        &self,
        now_s: u64,
        access_token: &str,
        device: DeviceId,
        name: &str,
    ) -> Result<(), SignInError> {
        let claims = self.authenticate(now_s, access_token)?;
        let name = device_name(name)?;
        self.accounts(now_s).change(claims.user, false, |account, _| {
            let device = account.devices.get_mut(&device.0).ok_or(SignInError::UnknownDevice)?;
            device.name.clone_from(&name);
            Ok(())
        })?;
        Ok(())
    }

    /// Signs another device of the user out, or this one. One with a token by an operator is not among those that have
    /// signed in, and is signed out all the same. To do it again is harmless.
    ///
    /// # Errors
    /// See [`SignInError`].
    pub fn revoke_device(&self, now_s: u64, access_token: &str, device: DeviceId) -> Result<(), SignInError> {
        let claims = self.authenticate(now_s, access_token)?;
        self.accounts(now_s).sign_out(claims.user, Some(device))
    }

    /// When an access token that is issued now ends.
    fn access_to_s(&self, now_s: u64) -> u64 {
        now_s.saturating_add(self.policy.access_ttl_s)
    }

    pub(crate) fn accounts(&self, now_s: u64) -> Accounts<'_, S> {
        Accounts { shards: &self.shards, keys: &self.keys, now_s }
    }

    pub(crate) fn shards(&self) -> &S {
        &self.shards
    }

    fn signed_in(&self, now_s: u64, handle: &str, refresh: RefreshToken) -> SignedIn {
        let RefreshToken { user, device, .. } = refresh;
        let expires_s = self.access_to_s(now_s);
        let claims = Claims { tenant: TENANT, user, device, scopes: Scopes::USER, issued_s: now_s, expires_s };
        SignedIn {
            handle: handle.to_owned(),
            user,
            device,
            access_token: self.keys.sign(&claims),
            access_expires_s: expires_s,
            refresh_token: refresh.to_text(),
        }
    }
}

/// What a device is called: one line.
fn device_name(name: &str) -> Result<String, SignInError> {
    let name = name.trim();
    if name.len() > DEVICE_NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(SignInError::DeviceName);
    }
    Ok(name.to_owned())
}

fn random_secret() -> Result<[u8; 32], SignInError> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| SignInError::Random(error.to_string()))?;
    Ok(secret)
}

#[cfg(test)]
mod tests;
