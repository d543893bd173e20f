//! What an operator asks a deployment, as lines of JSON: one request per line, one answer per line.
//!
//! `{"op":"user_add","name":"alice","ttl_s":3600}`, `{"op":"user_token","name":"alice"}` (`ttl_s` may be left out),
//! `{"op":"user_revoke","name":"alice","device":2}` (without `device`: all) and the others of [`Request`], `{"op":"counters"}`,
//! `{"op":"status"}`, `{"op":"backup","to":"/absolute"}`, and those of [`crate::archive`]. A refusal is
//! `{"error":CODE,"message":...}`.

mod client;
mod counting;
mod looking;
mod socket;

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use trunkline_wire::ids::DeviceId;
use trunkline_wire::message::ErrorCode;
use trunkline_wire::token::TokenKeys;

use crate::accounts::{AccountError, Accounts, Issued, ask_code};
use crate::archive::{self, Archive, KnownSenders};
use crate::ask::{AskError, Shards};
use crate::sign_in::SignInError;

pub use client::{AdminClient, Numbers, Told};
pub use socket::{ADMIN_SOCKET, AdminSocket, SocketError};

/// A request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// Make a user. Answered with [`Token`].
    UserAdd {
        /// The handle.
        name: String,
        /// Seconds the token lasts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ttl_s: Option<u64>,
    },
    /// Make another device of a user. Answered with [`Token`].
    UserToken {
        /// The handle.
        name: String,
        /// Seconds the token lasts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ttl_s: Option<u64>,
    },
    /// Sign a device of a user out, or all of them. Answered with [`Revoked`].
    UserRevoke {
        /// The handle.
        name: String,
        /// Which device; none: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<u32>,
    },
    /// A page of users, in order of handle: `{"users":[...],"more":...,"after":...}`.
    UserList {
        /// How their handles begin.
        #[serde(default)]
        prefix: String,
        /// What the page before said.
        #[serde(default)]
        after: String,
        /// Most of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
    },
    /// One user.
    UserShow {
        /// The handle.
        name: String,
    },
    /// Keep a user out. Answered as [`Request::UserShow`].
    UserSuspend {
        /// The handle.
        name: String,
    },
    /// Let it in again. Answered as [`Request::UserShow`].
    UserUnsuspend {
        /// The handle.
        name: String,
    },
    /// A page of conversations, in order of id: `{"conversations":[...],"more":...,"after":...}`.
    ConversationList {
        /// What the page before said.
        #[serde(default)]
        after: String,
        /// Most of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
    },
    /// One conversation and its members.
    ConversationShow {
        /// Which, 32 hex digits.
        conversation: String,
    },
    /// Import lines. Answered with [`archive::Imported`].
    Import(archive::ImportLines),
    /// What was imported so far? Answered with [`archive::Checked`].
    ImportCheck(archive::ImportCheck),
    /// Let users see an imported conversation. Answered with an empty object.
    ImportMembers(archive::ImportMembers),
    /// Which conversations are there? Answered with [`archive::Conversations`].
    ExportConversations(archive::ExportConversations),
    /// What was said in one? Answered with [`archive::Exported`].
    ExportRows(archive::ExportRows),
    /// The counters: `{"total":{NAME:NUMBER,...},"shards":[{...},...],"store":{...}}`.
    Counters,
    /// What runs here: [`Facts`] and `uptime_s`.
    Status,
    /// Copy all that is durable now into a new folder. Answered by the [`Copier`].
    Backup {
        /// An absolute path.
        to: PathBuf,
    },
}

/// Makes a backup in a folder, and says what is in it.
pub type Copier = Box<dyn Fn(&Path) -> Result<Value, Refusal> + Send + Sync>;

/// A token, and whom it names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Token {
    /// The handle.
    pub handle: String,
    /// The user, 16 hex digits.
    pub user: String,
    /// The user's device.
    pub device: u32,
    /// The token.
    pub token: String,
    /// When it ends, in seconds since 1970.
    pub expires_s: u64,
}

/// Whose device was signed out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Revoked {
    /// The handle.
    pub handle: String,
    /// The user, 16 hex digits.
    pub user: String,
    /// Which device; none: all.
    pub device: Option<u32>,
}

impl From<Issued> for Token {
    fn from(issued: Issued) -> Token {
        Token {
            handle: issued.handle.as_str().to_owned(),
            user: issued.user.to_string(),
            device: issued.device.0,
            token: issued.token,
            expires_s: issued.expires_s,
        }
    }
}

/// Why a request has no answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// A name for scripts: an [`ErrorCode`]'s where there is one.
    pub error: String,
    /// A sentence for people.
    pub message: String,
}

impl Refusal {
    /// Of such a name and sentence.
    pub fn new(error: &str, message: impl Into<String>) -> Refusal {
        Refusal { error: error.to_owned(), message: message.into() }
    }
}

impl From<AccountError> for Refusal {
    fn from(error: AccountError) -> Refusal {
        Refusal::new(error.code(), error.to_string())
    }
}

impl From<SignInError> for Refusal {
    fn from(error: SignInError) -> Refusal {
        Refusal::new(error.code(), error.to_string())
    }
}

impl From<AskError> for Refusal {
    fn from(error: AskError) -> Refusal {
        Refusal::new(ask_code(&error), error.to_string())
    }
}

/// What runs here; it does not change while it runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Facts {
    /// Version of the program.
    pub version: &'static str,
    /// Number of the process.
    pub pid: u32,
    /// How many shards there are.
    pub shards: u16,
    /// Which store there is.
    pub store: String,
    /// Where clients connect.
    pub listen: String,
    /// Where metrics and health are asked for; none: nowhere.
    pub admin_listen: Option<String>,
    /// Where accounts have a port of their own; none: they are on the port for clients.
    pub http_listen: Option<String>,
}

#[derive(Serialize)]
struct Status<'a> {
    #[serde(flatten)]
    facts: &'a Facts,
    uptime_s: u64,
}

/// Answers requests; any number of threads share it.
pub struct Admin<S> {
    shards: S,
    keys: TokenKeys,
    facts: Facts,
    since: Instant,
    known: KnownSenders,
    copier: Option<Copier>,
}

impl<S: Shards> Admin<S> {
    /// Asks these shards, and signs with these keys.
    pub fn new(shards: S, keys: TokenKeys, facts: Facts) -> Admin<S> {
        Admin { shards, keys, facts, since: Instant::now(), known: KnownSenders::default(), copier: None }
    }

    /// The same, and backups are made by this.
    #[must_use]
    pub fn with_copier(self, copier: Copier) -> Admin<S> {
        Admin { copier: Some(copier), ..self }
    }

    /// The answer to a line, without an end of line; waits for shards.
    pub fn answer_line(&self, line: &[u8]) -> String {
        let answer = match serde_json::from_slice(line) {
            Ok(request) => self.answer(&request),
            Err(error) => Err(Refusal::new(ErrorCode::Malformed.name(), format!("this is no request: {error}"))),
        };
        answer.unwrap_or_else(|refusal| to_value(&refusal)).to_string()
    }

    /// Answers a request; waits for shards.
    ///
    /// # Errors
    /// Why it has no answer.
    pub fn answer(&self, request: &Request) -> Result<Value, Refusal> {
        let accounts = Accounts { shards: &self.shards, keys: &self.keys, now_s: now_s() };
        match request {
            Request::UserAdd { name, ttl_s } => Ok(to_value(&Token::from(accounts.add(name, *ttl_s)?))),
            Request::UserToken { name, ttl_s } => Ok(to_value(&Token::from(accounts.token(name, *ttl_s)?))),
            Request::UserRevoke { name, device } => {
                let (handle, user) = accounts.known(name)?;
                accounts.sign_out(user, device.map(DeviceId))?;
                let handle = handle.as_str().to_owned();
                Ok(to_value(&Revoked { handle, user: user.to_string(), device: *device }))
            }
            Request::UserList { .. }
            | Request::UserShow { .. }
            | Request::UserSuspend { .. }
            | Request::UserUnsuspend { .. }
            | Request::ConversationList { .. }
            | Request::ConversationShow { .. } => looking::answer(&accounts, request),
            Request::Import(asked) => told(self.archive(accounts).import(asked)),
            Request::ImportCheck(asked) => told(self.archive(accounts).check(asked)),
            Request::ImportMembers(asked) => self.archive(accounts).admit(asked),
            Request::ExportConversations(asked) => told(self.archive(accounts).conversations(asked)),
            Request::ExportRows(asked) => told(self.archive(accounts).export(asked)),
            Request::Backup { to } => {
                let nothing = || Refusal::new(ErrorCode::Unsupported.name(), "there is nothing on a disk to copy");
                self.copier.as_ref().ok_or_else(nothing)?(to)
            }
            Request::Counters => counting::counters(&self.shards),
            Request::Status => Ok(to_value(&Status { facts: &self.facts, uptime_s: self.since.elapsed().as_secs() })),
        }
    }

    fn archive<'a>(&'a self, accounts: Accounts<'a, S>) -> Archive<'a, S> {
        Archive { accounts, known: &self.known }
    }
}

fn told(answer: Result<impl Serialize, Refusal>) -> Result<Value, Refusal> {
    answer.map(|answer| to_value(&answer))
}

fn to_value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).expect("plain structs have a JSON form")
}

/// The time, in seconds since 1970.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_shards::{TestShards, admin};

    fn ask(admin: &Admin<TestShards>, line: &str) -> Value {
        serde_json::from_str(&admin.answer_line(line.as_bytes())).unwrap()
    }

    #[test]
    fn users_get_tokens() {
        let admin = admin(2);
        let added = ask(&admin, r#"{"op":"user_add","name":"alice","ttl_s":60}"#);
        assert_eq!(added["device"], 1);
        assert_eq!(added["user"].as_str().unwrap().len(), 16);
        let expires_s = added["expires_s"].as_u64().unwrap();
        assert!((now_s() + 50..=now_s() + 60).contains(&expires_s));
        let again = ask(&admin, r#"{"op":"user_token","name":"alice"}"#);
        assert_eq!((&again["device"], &again["user"]), (&2.into(), &added["user"]));
        let taken = ask(&admin, r#"{"op":"user_add","name":"Alice"}"#);
        assert_eq!(taken["error"], "handle_taken");
    }

    #[test]
    fn devices_of_users_are_signed_out() {
        let admin = admin(2);
        let added = ask(&admin, r#"{"op":"user_add","name":"alice"}"#);
        let one = ask(&admin, r#"{"op":"user_revoke","name":"Alice","device":1}"#);
        assert_eq!((&one["user"], &one["device"]), (&added["user"], &1.into()));
        assert_eq!(ask(&admin, r#"{"op":"user_revoke","name":"alice"}"#)["device"], Value::Null);
        let [one, all] = admin.shards.revocations()[..] else { panic!("two") };
        assert_eq!((one.device, one.issued_to_s), (Some(DeviceId(1)), u64::MAX));
        assert!(all.device.is_none() && all.issued_to_s <= now_s());
        assert_eq!(ask(&admin, r#"{"op":"user_revoke","name":"bob"}"#)["error"], "unknown_handle");
        assert_eq!(ask(&admin, r#"{"op":"user_revoke","name":"alice","device":2}"#)["error"], "unknown_device");
    }

    #[test]
    fn counters_are_told_per_shard_and_in_sum() {
        let admin = admin(3);
        let counters = ask(&admin, r#"{"op":"counters"}"#);
        assert_eq!(counters["shards"].as_array().unwrap().len(), 3);
        assert_eq!(counters["shards"][1]["messages_stored"], 10);
        assert_eq!(counters["total"]["messages_stored"], 30);
        assert_eq!(counters["total"]["error.handle_taken"], 0);
    }

    #[test]
    fn status_says_what_runs() {
        let status = ask(&admin(3), r#"{"op":"status"}"#);
        assert_eq!((&status["shards"], &status["uptime_s"]), (&3.into(), &0.into()));
    }

    #[test]
    fn backups_are_made_by_who_can() {
        let line = r#"{"op":"backup","to":"/somewhere"}"#;
        assert_eq!(ask(&admin(1), line)["error"], "unsupported");
        let copier: Copier = Box::new(|to| Ok(to.display().to_string().into()));
        assert_eq!(ask(&admin(1).with_copier(copier), line), "/somewhere");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let admin = admin(1);
        for line in ["", "{}", "[]", "{\"op\":\"format_disk\"}", "{\"op\":\"user_add\"}", "\u{1}"] {
            assert_eq!(ask(&admin, line)["error"], "malformed", "{line}");
        }
    }
}
