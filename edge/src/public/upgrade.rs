//! A request for a WebSocket on a connection of the public port: judged as shards judge theirs, answered, and the
//! connection given back to one of them.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderValue, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWrite as _;
use trunkline_wire::violation::Violation;
use trunkline_wire::websocket::{HandshakeKey, HandshakeLimits, HandshakeProgress, Origins, ServerHandshake};

use super::guest::Stream;
use crate::transport::Transport;

/// A connection whose WebSocket is open.
#[derive(Debug)]
pub struct Returning {
    /// Its socket, which blocks.
    pub socket: OwnedFd,
    /// What was read behind the handshake.
    pub bytes: Vec<u8>,
    /// What lies between the socket and the bytes.
    pub transport: Transport,
    /// Its other end.
    pub peer: SocketAddr,
}

/// Shards that take such connections.
pub trait TakesBack: Send + Sync {
    /// Whether one that comes now has good prospects.
    fn has_room(&self) -> bool;

    /// Takes one; where there is no room after all, it is closed with 1013.
    fn take_back(&self, returning: Returning);
}

/// The way back to shards, and whose pages may go it.
#[derive(Clone)]
pub struct WayBack {
    /// Where it leads.
    pub shards: Arc<dyn TakesBack>,
    /// Whose pages may connect beside the server's own.
    pub origins: Arc<Origins>,
    /// Whether the port is encrypted.
    pub secure: bool,
}

impl fmt::Debug for WayBack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("WayBack").field("origins", &self.origins).finish_non_exhaustive()
    }
}

/// `/v1/ws`, with whatever method.
pub(super) async fn web_socket(State(way): State<WayBack>, mut request: Request) -> Response {
    let key = match judge(&way, &request) {
        Ok(key) => key,
        Err(violation) => return refusal(violation),
    };
    if !way.shards.has_room() {
        let head = [(CONNECTION, "close"), (RETRY_AFTER, "1")];
        return (StatusCode::SERVICE_UNAVAILABLE, head, "busy: no shard has room for a connection\n").into_response();
    }
    tokio::spawn(go_back(way, hyper::upgrade::on(&mut request)));
    let accept = HeaderValue::from_bytes(&key.accept()).expect("base64 is a value");
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// The judge is the one of the shards, so it reads what it is used to.
fn judge(way: &WayBack, request: &Request) -> Result<HandshakeKey, Violation> {
    let version = if request.version() == Version::HTTP_11 { "1.1" } else { "1.0" };
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let mut head = format!("{} {target} HTTP/{version}\r\n", request.method()).into_bytes();
    for (name, value) in request.headers() {
        head.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    head.extend_from_slice(b"\r\n");
    match ServerHandshake::new(HandshakeLimits::DEFAULT).receive(&head)? {
        HandshakeProgress::Done { head, .. } => {
            let allow = |origin: String| way.origins.allow(&origin, &head.host, way.secure);
            if head.origin.is_none_or(allow) { Ok(head.key) } else { Err(Violation::OriginRefused) }
        }
        HandshakeProgress::NeedMore => Err(Violation::MalformedHeader),
    }
}

/// As shards refuse one.
fn refusal(violation: Violation) -> Response {
    let status = StatusCode::from_u16(violation.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
    let head = [(CONNECTION, "close"), (CONTENT_TYPE, "text/plain")];
    let mut response = (status, head, format!("{violation}\n")).into_response();
    let headers = response.headers_mut();
    match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(ALLOW, HeaderValue::from_static("GET"));
        }
        StatusCode::UPGRADE_REQUIRED => {
            headers.insert(CONNECTION, HeaderValue::from_static("close, Upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        _ => {}
    }
    response
}

/// Waits until the answer is out, and gives the connection to a shard. One that breaks meanwhile is nobody's.
async fn go_back(way: WayBack, upgrade: OnUpgrade) {
    let Ok(upgraded) = upgrade.await else { return };
    let Some((mut stream, read)) = of_ours(upgraded) else { return };
    if poll_fn(|context| Pin::new(&mut stream).poll_flush(context)).await.is_err() {
        return;
    }
    if let Ok(returning) = stream.leave(&read) {
        way.shards.take_back(returning);
    }
}

/// The connection, and what was read of it behind the request.
fn of_ours(upgraded: Upgraded) -> Option<(Stream, Vec<u8>)> {
    let Parts { io, read_buf, .. } = upgraded.downcast::<TokioIo<Stream>>().ok()?;
    Some((io.into_inner(), read_buf.into()))
}
