//! What is asked on the public port, and the answers: JSON, errors as `{"error":CODE,"message":...}`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequestParts, Path, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, patch, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use trunkline_shards::PATH;
use trunkline_wire::ids::DeviceId;

use super::upgrade::{WayBack, web_socket};
use crate::admin::now_s;
use crate::ask::BoxedShards;
use crate::http::{Watch, health};
use crate::limits::{PUBLIC_BODY_BYTES_MAX, SIGN_IN_THREADS_MAX, SIGN_IN_WAITING_MAX};
use crate::sign_in::{DeviceInfo, SignIn, SignInError, SignedIn, Typed};

/// Where users sign in.
#[derive(Clone)]
pub struct Door {
    sign_in: Arc<SignIn<BoxedShards>>,
    /// Who is being served, and who may wait for that.
    waiting: Arc<Semaphore>,
}

impl Door {
    /// Of this service.
    pub fn new(sign_in: SignIn<BoxedShards>) -> Door {
        let waiting = Arc::new(Semaphore::new(SIGN_IN_THREADS_MAX + SIGN_IN_WAITING_MAX));
        Door { sign_in: Arc::new(sign_in), waiting }
    }

    /// Does what makes a thread wait.
    pub(super) async fn ask<T, E>(
        &self,
        ask: impl FnOnce(&SignIn<BoxedShards>, u64) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Refusal>
    where
        T: Send + 'static,
        E: Into<Refusal> + Send + 'static,
    {
        let permit = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| SignInError::Busy)?;
        let sign_in = Arc::clone(&self.sign_in);
        let asked = tokio::task::spawn_blocking(move || {
            let answer = ask(&sign_in, now_s());
            drop(permit);
            answer
        });
        asked.await.map_err(|_| SignInError::Busy)?.map_err(E::into)
    }
}

/// The routes of the public port.
pub(super) fn routes(door: Door, way_back: WayBack, watch: Arc<Watch>) -> Router {
    let none = || async {
        Refusal::new(StatusCode::NOT_FOUND, "not_found", "nothing is served here; a WebSocket is at /v1/ws")
    };
    let other = || async { Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "not with this method") };
    Router::new()
        .route("/v1/accounts", post(sign_up))
        .route("/v1/login", post(login))
        .route("/v1/refresh", post(refresh))
        .route("/v1/logout", post(logout))
        .route("/v1/devices", get(devices))
        .route("/v1/devices/{device}", patch(rename_device).delete(revoke_device))
        .merge(super::people::routes())
        .with_state(door)
        .merge(Router::new().route(PATH, any(web_socket)).with_state(way_back))
        .merge(health(&watch))
        .fallback(none)
        .method_not_allowed_fallback(other)
        .layer(DefaultBodyLimit::max(PUBLIC_BODY_BYTES_MAX))
}

/// A handle with its password.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    handle: String,
    password: String,
    #[serde(default)]
    device_name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refresh {
    refresh_token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceName {
    name: String,
}

#[derive(Serialize)]
struct Tokens {
    handle: String,
    user: String,
    device: u32,
    access_token: String,
    access_expires_s: u64,
    refresh_token: String,
}

impl From<SignedIn> for Tokens {
    fn from(signed_in: SignedIn) -> Tokens {
        let SignedIn { handle, user, device, access_token, access_expires_s, refresh_token } = signed_in;
        Tokens { handle, user: user.to_string(), device: device.0, access_token, access_expires_s, refresh_token }
    }
}

#[derive(Serialize)]
struct Devices {
    devices: Vec<DeviceShown>,
}

#[derive(Serialize)]
struct DeviceShown {
    device: u32,
    name: String,
    since_s: u64,
    seen_s: u64,
}

impl From<DeviceInfo> for DeviceShown {
    fn from(info: DeviceInfo) -> DeviceShown {
        DeviceShown { device: info.device.0, name: info.name, since_s: info.since_s, seen_s: info.seen_s }
    }
}

pub(super) type Body<T> = Result<Json<T>, JsonRejection>;
type Numbered = Result<Path<u32>, PathRejection>;
type Peer = ConnectInfo<SocketAddr>;

type Sign = fn(&SignIn<BoxedShards>, u64, &Typed<'_>) -> Result<SignedIn, SignInError>;

async fn sign_up(door: State<Door>, peer: Peer, body: Body<Credentials>) -> Result<Response, Refusal> {
    Ok(secret(StatusCode::CREATED, enter(door, peer, body, SignIn::sign_up).await?))
}

async fn login(door: State<Door>, peer: Peer, body: Body<Credentials>) -> Result<Response, Refusal> {
    Ok(secret(StatusCode::OK, enter(door, peer, body, SignIn::sign_in).await?))
}

async fn enter(
    State(door): State<Door>,
    ConnectInfo(peer): Peer,
    body: Body<Credentials>,
    sign: Sign,
) -> Result<Tokens, Refusal> {
    let Json(Credentials { handle, password, device_name }) = body?;
    let ask = move |sign_in: &SignIn<_>, now_s| {
        let from = peer.ip();
        sign(sign_in, now_s, &Typed { handle: &handle, password: &password, device_name: &device_name, from })
    };
    Ok(door.ask(ask).await?.into())
}

async fn refresh(State(door): State<Door>, body: Body<Refresh>) -> Result<Response, Refusal> {
    let Json(Refresh { refresh_token }) = body?;
    let signed_in = door.ask(move |sign_in, now_s| sign_in.refresh(now_s, &refresh_token)).await?;
    Ok(secret(StatusCode::OK, Tokens::from(signed_in)))
}

async fn logout(State(door): State<Door>, body: Body<Refresh>) -> Result<Response, Refusal> {
    let Json(Refresh { refresh_token }) = body?;
    door.ask(move |sign_in, now_s| sign_in.sign_out(now_s, &refresh_token)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn devices(State(door): State<Door>, Bearer(token): Bearer) -> Result<Response, Refusal> {
    let devices = door.ask(move |sign_in, now_s| sign_in.devices(now_s, &token)).await?;
    Ok(secret(StatusCode::OK, Devices { devices: devices.into_iter().map(DeviceShown::from).collect() }))
}

async fn rename_device(
    State(door): State<Door>,
    device: Numbered,
    Bearer(token): Bearer,
    body: Body<DeviceName>,
) -> Result<Response, Refusal> {
    let (Json(DeviceName { name }), device) = (body?, device_of(device)?);
    door.ask(move |sign_in, now_s| sign_in.rename_device(now_s, &token, device, &name)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn revoke_device(State(door): State<Door>, device: Numbered, Bearer(token): Bearer) -> Result<Response, Refusal> {
    let device = device_of(device)?;
    door.ask(move |sign_in, now_s| sign_in.revoke_device(now_s, &token, device)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The device that a path names; what is no number is none that anybody has.
fn device_of(number: Numbered) -> Result<DeviceId, SignInError> {
    number.map(|Path(number)| DeviceId(number)).map_err(|_| SignInError::UnknownDevice)
}

/// An answer that nobody on the way may keep.
pub(super) fn secret(status: StatusCode, body: impl Serialize) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// The access token of a request (RFC 6750, 2.1).
pub(super) struct Bearer(pub String);

impl<S: Sync> FromRequestParts<S> for Bearer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Bearer, Refusal> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let token = match header.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            _ => "",
        };
        if token.is_empty() {
            let message = "say who you are: Authorization: Bearer ACCESS_TOKEN";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "not_authenticated", message));
        }
        Ok(Bearer(token.to_owned()))
    }
}

/// Why a request has no other answer.
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    pub(super) retry_after_s: Option<u64>,
}

#[derive(Serialize)]
struct Told<'a> {
    error: &'a str,
    message: &'a str,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status, code, message: message.into(), retry_after_s: None }
    }
}

impl From<SignInError> for Refusal {
    fn from(error: SignInError) -> Refusal {
        let (status, retry_after_s) = match &error {
            SignInError::Handle(_) | SignInError::PasswordLength | SignInError::DeviceName => {
                (StatusCode::BAD_REQUEST, None)
            }
            SignInError::Wrong | SignInError::TokenInvalid | SignInError::TokenCopied => {
                (StatusCode::UNAUTHORIZED, None)
            }
            SignInError::UnknownDevice => (StatusCode::NOT_FOUND, None),
            SignInError::SignUpClosed | SignInError::Suspended => (StatusCode::FORBIDDEN, None),
            SignInError::Taken | SignInError::TooManyDevices => (StatusCode::CONFLICT, None),
            SignInError::Attempts(seconds) => (StatusCode::TOO_MANY_REQUESTS, Some(*seconds)),
            SignInError::Damaged(..) => (StatusCode::INTERNAL_SERVER_ERROR, None),
            SignInError::Busy | SignInError::Random(_) | SignInError::Account(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, Some(1))
            }
        };
        if let SignInError::Damaged(..) = &error {
            // Whose account it is says nothing to whoever asked; it does to the operator.
            tracing::error!("{error}; restore it from a backup");
            return Refusal::new(status, error.code(), "the account cannot be read; ask the operator");
        }
        Refusal { status, code: error.code(), message: error.to_string(), retry_after_s }
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Refusal {
        Refusal::new(rejection.status(), "malformed", rejection.body_text())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = secret(self.status, Told { error: self.code, message: &self.message });
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
