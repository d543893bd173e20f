//! What an operator asks a deployment, as lines of JSON: one request per line, one answer per line.
//!
//! `{"op":"user_add","name":"alice","ttl_s":3600}`, `{"op":"user_token","name":"alice"}` (`ttl_s` may be left out),
//! `{"op":"counters"}`, `{"op":"status"}`, `{"op":"backup","to":"/absolute"}`. A refusal is `{"error":CODE,"message":...}`.

mod client;
mod socket;

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trunkline_shards::contract::{AdminAnswer, AdminRequest};
use trunkline_shards::counters::{Counters, StoreCounters};
use trunkline_wire::message::ErrorCode;
use trunkline_wire::token::TokenKeys;

use crate::accounts::{AccountError, Accounts, Issued, ask_code};
use crate::ask::{AskError, Shards, ask_patiently};

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
    copier: Option<Copier>,
}

impl<S: Shards> Admin<S> {
    /// Asks these shards, and signs with these keys.
    pub fn new(shards: S, keys: TokenKeys, facts: Facts) -> Admin<S> {
        Admin { shards, keys, facts, since: Instant::now(), copier: None }
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

    fn answer(&self, request: &Request) -> Result<Value, Refusal> {
        let accounts = Accounts { shards: &self.shards, keys: &self.keys, now_s: now_s() };
        let issued = match request {
            Request::UserAdd { name, ttl_s } => accounts.add(name, *ttl_s),
            Request::UserToken { name, ttl_s } => accounts.token(name, *ttl_s),
            Request::Counters => return self.counters(),
            Request::Status => {
                return Ok(to_value(&Status { facts: &self.facts, uptime_s: self.since.elapsed().as_secs() }));
            }
            Request::Backup { to } => {
                let nothing = || Refusal::new(ErrorCode::Unsupported.name(), "there is nothing on a disk to copy");
                return self.copier.as_ref().ok_or_else(nothing)?(to);
            }
        };
        Ok(to_value(&Token::from(issued?)))
    }

    fn counters(&self) -> Result<Value, Refusal> {
        let mut total = Counters::default();
        let mut shards = Vec::new();
        for shard in 0..self.shards.count() {
            match ask_patiently(&self.shards, shard, &AdminRequest::Counters)? {
                AdminAnswer::Counters(counters) => {
                    total.add(&counters);
                    shards.push(named(&counters));
                }
                answer => unreachable!("no answer to Counters: {answer:?}"),
            }
        }
        let mut answer = Map::new();
        answer.insert("total".to_owned(), named(&total));
        answer.insert("shards".to_owned(), Value::Array(shards));
        if let Some(store) = self.shards.store() {
            answer.insert("store".to_owned(), of_store(&store));
        }
        Ok(Value::Object(answer))
    }
}

fn named(counters: &Counters) -> Value {
    let mut names = Map::new();
    counters.each(|prefix, name, value| {
        names.insert(format!("{prefix}{name}"), value.into());
    });
    Value::Object(names)
}

fn of_store(store: &StoreCounters) -> Value {
    let StoreCounters { group_writes, group_bytes, commit_us } = store;
    let numbers = [
        ("groups", group_writes.count()),
        ("writes", group_writes.sum()),
        ("bytes", group_bytes.sum()),
        ("commit_us", commit_us.sum()),
    ];
    numbers.into_iter().map(|(name, number)| (name.to_owned(), number.into())).collect::<Map<_, _>>().into()
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
