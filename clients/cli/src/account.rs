//! What a server's accounts are asked over HTTP, next door to the WebSocket.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ureq::http::StatusCode;
use ureq::{Agent, Body, http};

use crate::failure::Failure;
use crate::limits::{ACCOUNT_ANSWER_BYTES_MAX, ACCOUNT_PATIENCE};
use crate::trust::Trust;

/// A server's accounts.
#[derive(Debug)]
pub(crate) struct Accounts {
    agent: Agent,
    base: String,
}

/// What a device has that is signed in, as the server says it.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub(crate) struct Tokens {
    pub handle: String,
    pub user: String,
    pub device: u32,
    pub access_token: String,
    pub access_expires_s: u64,
    pub refresh_token: String,
}

/// A device of the user, as `devices` prints it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Device {
    pub device: u32,
    pub name: String,
    pub since_s: u64,
    pub seen_s: u64,
}

#[derive(Deserialize)]
struct Devices {
    devices: Vec<Device>,
}

#[derive(Serialize)]
struct Credentials<'a> {
    handle: &'a str,
    password: &'a str,
    device_name: &'a str,
}

#[derive(Serialize)]
struct Refresh<'a> {
    refresh_token: &'a str,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    message: String,
}

impl Accounts {
    /// Those of the server at `base`, as `http://HOST:PORT` or `https://HOST`.
    pub fn at(base: &str, trust: &Trust) -> Accounts {
        let config = Agent::config_builder()
            .timeout_global(Some(ACCOUNT_PATIENCE))
            .timeout_connect(Some(Duration::from_secs(5)))
            .http_status_as_error(false)
            .max_redirects(0)
            .tls_config(trust.of_requests())
            .user_agent(concat!("trunkline-cli/", env!("CARGO_PKG_VERSION")))
            .build();
        Accounts { agent: config.into(), base: base.to_owned() }
    }

    /// Where the accounts of a session's server are.
    pub fn base_of(session_url: &str) -> String {
        let (scheme, address) = match session_url.strip_prefix("wss://") {
            Some(address) => ("https", address),
            None => ("http", session_url.strip_prefix("ws://").unwrap_or(session_url)),
        };
        format!("{scheme}://{}", address.split('/').next().unwrap_or(address))
    }

    pub fn sign_up(&self, handle: &str, password: &str, device_name: &str) -> Result<Tokens, Failure> {
        self.post("/v1/accounts", &Credentials { handle, password, device_name })
    }

    pub fn log_in(&self, handle: &str, password: &str, device_name: &str) -> Result<Tokens, Failure> {
        self.post("/v1/login", &Credentials { handle, password, device_name })
    }

    pub fn refresh(&self, refresh_token: &str) -> Result<Tokens, Failure> {
        self.post("/v1/refresh", &Refresh { refresh_token })
    }

    pub fn log_out(&self, refresh_token: &str) -> Result<(), Failure> {
        let url = format!("{}/v1/logout", self.base);
        let answer = self.agent.post(&url).send_json(Refresh { refresh_token });
        self.judge(answer).map(|_| ())
    }

    pub fn devices(&self, access_token: &str) -> Result<Vec<Device>, Failure> {
        let url = format!("{}/v1/devices", self.base);
        let answer = self.agent.get(&url).header("Authorization", format!("Bearer {access_token}")).call();
        let devices: Devices = self.read(self.judge(answer)?)?;
        Ok(devices.devices)
    }

    fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let url = format!("{}{path}", self.base);
        let answer = self.agent.post(&url).send_json(body);
        self.read(self.judge(answer)?)
    }

    /// An answer that says yes.
    fn judge(&self, answer: Result<http::Response<Body>, ureq::Error>) -> Result<http::Response<Body>, Failure> {
        let answer = answer.map_err(|error| {
            let text = format!("no answer from {}: {error}; does `trunkline serve` run there?", self.base);
            Failure::new("unreachable", text)
        })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        match self.read::<Refusal>(answer) {
            Ok(refusal) => Err(Failure::new(refusal.error, refusal.message)),
            Err(_) if status == StatusCode::NOT_FOUND => {
                let text = format!(
                    "{} serves no accounts; on an older kernel they have a port of their own: --http URL",
                    self.base
                );
                Err(Failure::new("no_accounts", text))
            }
            Err(_) => Err(Failure::new("unexpected", format!("{} answered {status}", self.base))),
        }
    }

    fn read<T: DeserializeOwned>(&self, answer: http::Response<Body>) -> Result<T, Failure> {
        let read = answer.into_body().into_with_config().limit(ACCOUNT_ANSWER_BYTES_MAX).read_json();
        read.map_err(|error| Failure::new("unexpected", format!("{} answered something else: {error}", self.base)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_next_door() {
        assert_eq!(Accounts::base_of("ws://127.0.0.1:7400/v1/ws"), "http://127.0.0.1:7400");
        assert_eq!(Accounts::base_of("wss://chat.example/v1/ws"), "https://chat.example");
        assert_eq!(Accounts::base_of("ws://[::1]:7400/x/y"), "http://[::1]:7400");
    }
}
