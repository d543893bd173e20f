//! The listener of the admin port, and the thread that serves it.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

use super::routes::routes;
use super::worker::{Worker, serve};
use super::{HttpError, Watch};
use crate::limits::{
    ADMIN_ACCEPT_AGAIN_MS, HTTP_CONNECTION_MS, HTTP_CONNECTIONS_MAX, HTTP_HEAD_MS, HTTP_QUESTIONS_MAX,
};

/// An open admin port. Dropping it closes it.
#[derive(Debug)]
pub struct HttpPort {
    address: SocketAddr,
    _worker: Worker,
}

impl HttpPort {
    /// Listens, and answers about what is watched.
    ///
    /// # Errors
    /// See [`HttpError`]; its text says what to do.
    pub fn open(listen: &str, watch: Arc<Watch>) -> Result<HttpPort, HttpError> {
        let listener = bind("admin.listen", listen)?;
        let system = |error| HttpError::System(listen.to_owned(), error);
        let address = listener.local_addr().map_err(system)?;
        let runtime = runtime().map_err(system)?;
        let worker = Worker::spawn("http", runtime, accept_all(listener, routes(watch))).map_err(system)?;
        Ok(HttpPort { address, _worker: worker })
    }

    /// Where it listens, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().max_blocking_threads(HTTP_QUESTIONS_MAX).thread_name("http").build()
}

/// A listener for what a setting says.
pub(crate) fn bind(key: &'static str, listen: &str) -> Result<StdListener, HttpError> {
    let no_address = |error| HttpError::Address(key, listen.to_owned(), error);
    let mut addresses = listen.to_socket_addrs().map_err(no_address)?;
    let address = addresses.next().ok_or_else(|| no_address(io::ErrorKind::NotFound.into()))?;
    let listener = StdListener::bind(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => HttpError::Taken(key, address.to_string()),
        _ => HttpError::System(address.to_string(), error),
    })?;
    listener.set_nonblocking(true).map_err(|error| HttpError::System(address.to_string(), error))?;
    Ok(listener)
}

/// Accepts for ever. Where there is no seat, whoever comes waits in the kernel's queue until one is free.
async fn accept_all(listener: StdListener, routes: Router) {
    let listener = TcpListener::from_std(listener).expect("a listener on a runtime with I/O");
    let seats = Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX));
    loop {
        let seat = Arc::clone(&seats).acquire_owned().await.expect("nobody closes the semaphore");
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(ADMIN_ACCEPT_AGAIN_MS)).await;
            continue;
        };
        let serve = serve(stream, HTTP_HEAD_MS, routes.clone());
        tokio::spawn(async move {
            // An end in time or out of it: the client's affair in both cases.
            let _ = tokio::time::timeout(Duration::from_millis(HTTP_CONNECTION_MS), serve).await;
            drop(seat);
        });
    }
}
