//! The thread that serves an HTTP port, and how one connection is served.

use std::future::Future;
use std::io;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tower::Service;

use crate::limits::{HTTP_HEAD_BYTES_MAX, HTTP_HEADERS_MAX};

/// A thread with a runtime of its own. Dropping it ends what it does.
#[derive(Debug)]
pub(crate) struct Worker {
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Does this until it is done, or the worker is dropped.
    pub fn spawn(name: &str, runtime: Runtime, serve: impl Future<Output = ()> + Send + 'static) -> io::Result<Worker> {
        let (end, ended) = oneshot::channel();
        let run = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve => {}
                    _ = ended => {}
                }
            });
            // What a thread still waits for, an answer or a password, need not hold up the end.
            runtime.shutdown_background();
        };
        let thread = Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Worker { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Serves a connection to its end, which is the client's affair; a head, and the time to the next one, is bounded.
pub(crate) async fn serve<S>(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, head_ms: u64, service: S)
where
    S: Service<Request<Incoming>, Response = Response<Body>> + Clone,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(head_ms))
        .max_buf_size(HTTP_HEAD_BYTES_MAX)
        .max_headers(HTTP_HEADERS_MAX);
    let _ = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).with_upgrades().await;
}
