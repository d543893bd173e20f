//! Accounts: new users and devices, and the tokens that name them. The same for a running server and a folder at rest.

use std::fmt;

use trunkline_shards::contract::{AdminAnswer, AdminRequest, ShardId};
use trunkline_shards::directory::{DirectoryAnswer, DirectoryRequest};
use trunkline_shards::store::{Revocation, UserKey, UserRow};
use trunkline_wire::handle::{Handle, HandleError};
use trunkline_wire::ids::{DeviceId, HashSlot, TenantId, UserId};
use trunkline_wire::message::ErrorCode;
use trunkline_wire::token::{Claims, Scopes, TokenKeys};

use crate::ask::{AskError, Shards, ask_patiently};
use crate::limits::{TOKEN_TTL_DEFAULT_S, TOKEN_TTL_MAX_S};

pub(crate) const TENANT: TenantId = TenantId(0);

/// A token, and whom it names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Issued {
    /// The user.
    pub user: UserId,
    /// The user's device.
    pub device: DeviceId,
    /// The handle, as it was asked for, in NFC.
    pub handle: Handle,
    /// The token.
    pub token: String,
    /// When it ends, in seconds since 1970.
    pub expires_s: u64,
}

/// Why there is no token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccountError {
    /// The name is no handle.
    Handle(HandleError),
    /// A token cannot last this many seconds.
    Ttl(u64),
    /// The handle belongs to somebody.
    Taken(Handle),
    /// Nobody has the handle.
    Unknown(Handle),
    /// Its user is suspended.
    Suspended(Handle),
    /// The shard was busy for seconds.
    Busy,
    /// The disk is full.
    StorageFull,
    /// The store failed; what was asked may have been done.
    StorageUnavailable,
    /// The system has no random numbers.
    Random(String),
    /// The shard did not answer.
    Ask(AskError),
}

impl AccountError {
    /// Its name in output for scripts; an [`ErrorCode`]'s where there is one.
    pub fn code(&self) -> &'static str {
        match self {
            AccountError::Handle(_) => "invalid_handle",
            AccountError::Ttl(_) => "invalid_ttl",
            AccountError::Taken(_) => ErrorCode::HandleTaken.name(),
            AccountError::Unknown(_) => ErrorCode::UnknownHandle.name(),
            AccountError::Suspended(_) => "suspended",
            AccountError::Busy => ErrorCode::Busy.name(),
            AccountError::StorageFull => ErrorCode::StorageFull.name(),
            AccountError::StorageUnavailable | AccountError::Random(_) => ErrorCode::StorageUnavailable.name(),
            AccountError::Ask(error) => ask_code(error),
        }
    }
}

/// The name of such an error in output for scripts.
pub(crate) fn ask_code(error: &AskError) -> &'static str {
    match error {
        AskError::Full => ErrorCode::Busy.name(),
        AskError::Late => "unconfirmed",
        AskError::Ended => ErrorCode::Draining.name(),
        AskError::Failed(_) => ErrorCode::StorageUnavailable.name(),
    }
}

impl fmt::Display for AccountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccountError::Handle(error) => f.write_str(error.describe()),
            AccountError::Ttl(ttl_s) => {
                write!(f, "a token lasts 1 second to 10 years ({TOKEN_TTL_MAX_S} seconds), not {ttl_s} seconds")
            }
            AccountError::Taken(handle) => {
                let handle = handle.as_str();
                write!(
                    f,
                    "the handle {handle} belongs to somebody; for another device of that user run: \
                     trunkline user token {handle}"
                )
            }
            AccountError::Unknown(handle) => {
                let handle = handle.as_str();
                write!(f, "nobody has the handle {handle}; to make that user run: trunkline user add {handle}")
            }
            AccountError::Suspended(handle) => {
                let handle = handle.as_str();
                write!(f, "{handle} is suspended; to end that run: trunkline user unsuspend {handle}")
            }
            AccountError::Busy => f.write_str("the server is too busy; try again"),
            AccountError::StorageFull => f.write_str("the disk is full, nothing was written; make room and try again"),
            AccountError::StorageUnavailable => f.write_str(
                "the store could not be read or written (its log says why); what was asked may have been done: where \
                 `user add` says next that the handle is taken, use `user token`",
            ),
            AccountError::Random(reason) => write!(f, "the system has no random numbers: {reason}"),
            AccountError::Ask(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AccountError {}

/// Makes accounts and devices.
pub struct Accounts<'a, S: ?Sized> {
    /// Who is asked.
    pub shards: &'a S,
    /// What signs.
    pub keys: &'a TokenKeys,
    /// The time, in seconds since 1970.
    pub now_s: u64,
}

impl<S: Shards + ?Sized> Accounts<'_, S> {
    /// Makes a user with a first device and a token for it; `ttl_s` is [`TOKEN_TTL_DEFAULT_S`] where it is not given.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn add(&self, name: &str, ttl_s: Option<u64>) -> Result<Issued, AccountError> {
        let (handle, ttl_s) = (Handle::parse(name).map_err(AccountError::Handle)?, check_ttl(ttl_s)?);
        // The claim decides; asking first only saves the account's row of a name that is taken.
        if self.find(&handle)?.is_some() {
            return Err(AccountError::Taken(handle));
        }
        let (user, device) = self.create(&handle, Vec::new())?;
        Ok(self.issue(handle, user, device, ttl_s))
    }

    /// Makes a user with a first device.
    pub(crate) fn create(&self, handle: &Handle, account: Vec<u8>) -> Result<(UserId, DeviceId), AccountError> {
        let (user, folded) = (random_user()?, handle.fold());
        let shown = handle.as_str().to_owned();
        let request = AdminRequest::CreateUser { tenant: TENANT, user, handle: shown, folded, account };
        match self.ask(self.home(user), &request)? {
            AdminAnswer::UserCreated(device) => Ok((user, device)),
            AdminAnswer::HandleTaken => Err(AccountError::Taken(handle.clone())),
            answer => unreachable!("no answer to CreateUser: {answer:?}"),
        }
    }

    /// An account as it is now; none: there is no such user.
    pub(crate) fn read(&self, user: UserId) -> Result<Option<UserRow>, AccountError> {
        match self.ask(self.home(user), &AdminRequest::ReadAccount { tenant: TENANT, user })? {
            AdminAnswer::Account(row) => Ok(Some(*row)),
            AdminAnswer::UnknownUser => Ok(None),
            answer => unreachable!("no answer to ReadAccount: {answer:?}"),
        }
    }

    /// Changes an account that has this version: the newest device then. None: it was changed meanwhile.
    pub(crate) fn write(
        &self,
        user: UserId,
        version: u64,
        account: Vec<u8>,
        adds_device: bool,
    ) -> Result<Option<DeviceId>, AccountError> {
        let request = AdminRequest::WriteAccount { tenant: TENANT, user, version, account, adds_device };
        match self.ask(self.home(user), &request)? {
            AdminAnswer::AccountWritten(device) => Ok(Some(device)),
            AdminAnswer::AccountChanged | AdminAnswer::UnknownUser => Ok(None),
            answer => unreachable!("no answer to WriteAccount: {answer:?}"),
        }
    }

    /// Makes the tokens of a user's device worthless, or of all devices: those that are issued up to now, the last of which
    /// ends at `until_s`. The number of a device is never given again, so of one device it is all there will ever be.
    pub(crate) fn revoke(&self, user: UserId, device: Option<DeviceId>, until_s: u64) -> Result<(), AccountError> {
        let key = UserKey { tenant: TENANT, user };
        let issued_to_s = if device.is_some() { u64::MAX } else { self.now_s };
        let revocation = Revocation { until_s, key, device, issued_to_s };
        match self.ask(self.home(user), &AdminRequest::Revoke(revocation))? {
            AdminAnswer::Revoked => Ok(()),
            answer => unreachable!("no answer to Revoke: {answer:?}"),
        }
    }

    /// Whether a token with these claims is worth nothing.
    pub(crate) fn is_revoked(&self, claims: &Claims) -> Result<bool, AccountError> {
        let key = UserKey { tenant: claims.tenant, user: claims.user };
        let request = AdminRequest::IsRevoked { key, device: claims.device, issued_s: claims.issued_s };
        match self.ask(self.home(claims.user), &request)? {
            AdminAnswer::IsRevoked(is_revoked) => Ok(is_revoked),
            answer => unreachable!("no answer to IsRevoked: {answer:?}"),
        }
    }

    /// Makes another device of a user and a token for it.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn token(&self, name: &str, ttl_s: Option<u64>) -> Result<Issued, AccountError> {
        let ttl_s = check_ttl(ttl_s)?;
        let (handle, user) = self.known(name)?;
        if self.is_suspended(user)? {
            return Err(AccountError::Suspended(handle));
        }
        match self.ask(self.home(user), &AdminRequest::CreateDevice { tenant: TENANT, user })? {
            AdminAnswer::DeviceCreated(device) => Ok(self.issue(handle, user, device, ttl_s)),
            AdminAnswer::UnknownUser => Err(AccountError::Unknown(handle)),
            answer => unreachable!("no answer to CreateDevice: {answer:?}"),
        }
    }

    /// The user with this name.
    pub(crate) fn known(&self, name: &str) -> Result<(Handle, UserId), AccountError> {
        let handle = Handle::parse(name).map_err(AccountError::Handle)?;
        match self.find(&handle)? {
            Some(user) => Ok((handle, user)),
            None => Err(AccountError::Unknown(handle)),
        }
    }

    pub(crate) fn find(&self, handle: &Handle) -> Result<Option<UserId>, AccountError> {
        let folded = handle.fold();
        let shard = HashSlot::of_handle(TENANT, &folded).shard(self.shards.count());
        match self.ask(shard, &AdminRequest::FindHandle { tenant: TENANT, folded })? {
            AdminAnswer::HandleFound(user) => Ok(user),
            answer => unreachable!("no answer to FindHandle: {answer:?}"),
        }
    }

    pub(crate) fn home(&self, user: UserId) -> ShardId {
        HashSlot::of_user(TENANT, user).shard(self.shards.count())
    }

    /// Asks what any shard answers.
    pub(crate) fn look(&self, request: DirectoryRequest) -> Result<DirectoryAnswer, AccountError> {
        match self.ask(0, &AdminRequest::Directory(request))? {
            AdminAnswer::Directory(answer) => Ok(answer),
            answer => unreachable!("no answer to a look at the directory: {answer:?}"),
        }
    }

    /// What every request may be answered with becomes an error.
    pub(crate) fn ask(&self, shard: ShardId, request: &AdminRequest) -> Result<AdminAnswer, AccountError> {
        match ask_patiently(self.shards, shard, request) {
            Ok(AdminAnswer::Busy) => Err(AccountError::Busy),
            Ok(AdminAnswer::StorageFull) => Err(AccountError::StorageFull),
            Ok(AdminAnswer::StorageUnavailable) => Err(AccountError::StorageUnavailable),
            Ok(answer) => Ok(answer),
            Err(error) => Err(AccountError::Ask(error)),
        }
    }

    fn issue(&self, handle: Handle, user: UserId, device: DeviceId, ttl_s: u64) -> Issued {
        let (issued_s, expires_s) = (self.now_s, self.now_s.saturating_add(ttl_s));
        let claims = Claims { tenant: TENANT, user, device, scopes: Scopes::USER, issued_s, expires_s };
        Issued { user, device, handle, token: self.keys.sign(&claims), expires_s }
    }
}

fn check_ttl(ttl_s: Option<u64>) -> Result<u64, AccountError> {
    let ttl_s = ttl_s.unwrap_or(TOKEN_TTL_DEFAULT_S);
    if (1..=TOKEN_TTL_MAX_S).contains(&ttl_s) { Ok(ttl_s) } else { Err(AccountError::Ttl(ttl_s)) }
}

fn random_user() -> Result<UserId, AccountError> {
    loop {
        match getrandom::u64() {
            Ok(0) => {}
            Ok(user) => return Ok(UserId(user)),
            Err(error) => return Err(AccountError::Random(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_shards::{TestShards, keys};

    const NOW_S: u64 = 1_000;

    fn accounts<'a>(shards: &'a TestShards, keys: &'a TokenKeys) -> Accounts<'a, TestShards> {
        Accounts { shards, keys, now_s: NOW_S }
    }

    #[test]
    fn tokens_name_the_user_and_each_time_another_device() {
        let (shards, keys) = (TestShards::new(3), keys());
        let accounts = accounts(&shards, &keys);
        let added = accounts.add("Alice", None).unwrap();
        let claims = keys.verify(&added.token, NOW_S).unwrap();
        assert_eq!((claims.user, claims.device, claims.tenant), (added.user, DeviceId(1), TENANT));
        assert_eq!((claims.issued_s, claims.expires_s), (NOW_S, NOW_S + TOKEN_TTL_DEFAULT_S));
        let other = accounts.token("aLICE", Some(60)).unwrap();
        let claims = keys.verify(&other.token, NOW_S).unwrap();
        assert_eq!((claims.user, claims.device, claims.expires_s), (added.user, DeviceId(2), NOW_S + 60));
    }

    #[test]
    fn names_are_taken_once_and_unknown_until_then() {
        let (shards, keys) = (TestShards::new(2), keys());
        let accounts = accounts(&shards, &keys);
        let unknown = accounts.token("bob", None).unwrap_err();
        assert_eq!(unknown.code(), "unknown_handle");
        assert!(unknown.to_string().contains("user add bob"));
        accounts.add("bob", None).unwrap();
        let taken = accounts.add("BOB", None).unwrap_err();
        assert_eq!(taken.code(), "handle_taken");
        assert!(taken.to_string().contains("user token BOB"));
    }

    #[test]
    fn what_is_no_name_or_no_life_of_a_token_is_refused() {
        let (shards, keys) = (TestShards::new(1), keys());
        let accounts = accounts(&shards, &keys);
        assert_eq!(accounts.add("a b", None), Err(AccountError::Handle(HandleError::Character)));
        for ttl_s in [0, TOKEN_TTL_MAX_S + 1] {
            assert_eq!(accounts.add("carol", Some(ttl_s)), Err(AccountError::Ttl(ttl_s)));
        }
        assert!(accounts.add("carol", Some(TOKEN_TTL_MAX_S)).is_ok());
    }

    #[test]
    fn a_busy_shard_is_asked_again() {
        let (shards, keys) = (TestShards::new(1), keys());
        shards.be_busy(3);
        assert!(accounts(&shards, &keys).add("dave", None).is_ok());
    }

    #[test]
    fn faults_are_told_as_what_they_are() {
        let (shards, keys) = (TestShards::new(1), keys());
        let accounts = accounts(&shards, &keys);
        for (answer, code) in [
            (Ok(AdminAnswer::StorageFull), "storage_full"),
            (Ok(AdminAnswer::StorageUnavailable), "storage_unavailable"),
            (Err(AskError::Late), "unconfirmed"),
            (Err(AskError::Ended), "draining"),
        ] {
            shards.answer_next(answer);
            assert_eq!(accounts.add("erin", None).unwrap_err().code(), code);
        }
    }
}
