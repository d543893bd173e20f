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

/// How something is changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Method {
    Post,
    Put,
    Patch,
    Delete,
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

#[derive(Serialize)]
struct DeviceName<'a> {
    name: &'a str,
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
        let devices: Devices = self.look(access_token, "/v1/devices", &[])?;
        Ok(devices.devices)
    }

    pub fn rename_device(&self, access_token: &str, device: u32, name: &str) -> Result<(), Failure> {
        let path = format!("/v1/devices/{device}");
        self.send(access_token, Method::Patch, &path, Some(&DeviceName { name })).map(drop)
    }

    pub fn revoke_device(&self, access_token: &str, device: u32) -> Result<(), Failure> {
        self.tell(access_token, Method::Delete, &format!("/v1/devices/{device}"))
    }

    /// Looks something up for whoever has the token.
    pub fn look<T: DeserializeOwned>(&self, token: &str, path: &str, query: &[(&str, &str)]) -> Result<T, Failure> {
        let asked = self.agent.get(format!("{}{path}", self.base)).query_pairs(query.iter().copied());
        let answer = asked.header("Authorization", bearer(token)).call();
        self.read(self.judge(answer)?)
    }

    /// Changes something for whoever has the token; what it is then.
    pub fn change<T: DeserializeOwned>(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, Failure> {
        self.read(self.send(token, method, path, body)?)
    }

    /// The same where there is nothing to be told of it.
    pub fn tell(&self, token: &str, method: Method, path: &str) -> Result<(), Failure> {
        self.send(token, method, path, None::<&()>).map(drop)
    }

    fn send(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<http::Response<Body>, Failure> {
        let url = format!("{}{path}", self.base);
        let bearer = bearer(token);
        let request = match method {
            Method::Post => self.agent.post(&url),
            Method::Put => self.agent.put(&url),
            Method::Patch => self.agent.patch(&url),
            Method::Delete => return self.judge(self.agent.delete(&url).header("Authorization", bearer).call()),
        };
        let request = request.header("Authorization", bearer);
        self.judge(match body {
            Some(body) => request.send_json(body),
            None => request.send_empty(),
        })
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

/// A header that says who asks (RFC 6750, 2.1).
fn bearer(access_token: &str) -> String {
    format!("Bearer {access_token}")
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
