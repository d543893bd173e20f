//! What the public port answers beside WebSockets: signing up and in, health. Shards hand such connections over with what
//! they have read; where they cannot, a port of its own accepts them.
//!
//! One thread serves the connections, and a few more do what makes them wait: passwords and questions to shards. These have
//! a lower priority than the shards, so that a flood of log-ins takes what chatting leaves.

mod guest;
mod people;
mod routes;
mod seats;
mod upgrade;

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tower::ServiceExt as _;

use crate::http::{HttpError, Watch, Worker, bind, serve};
use crate::limits::{
    ADMIN_ACCEPT_AGAIN_MS, GUESTS_WAITING_MAX, PUBLIC_CONNECTION_MS, PUBLIC_HEAD_MS, SIGN_IN_THREADS_MAX,
};
use crate::transport::{Certificate, Transport};

use guest::Stream;
use seats::Seats;

pub use routes::Door;
pub use upgrade::{Returning, TakesBack, WayBack};

/// How much less than others the threads behind the port get of a core (nice(2)).
const NICE: i32 = 10;

/// A connection that a shard hands over.
#[derive(Debug)]
pub struct Guest {
    /// Its socket.
    pub socket: OwnedFd,
    /// What was read of it: the beginning of a request.
    pub bytes: Vec<u8>,
    /// What came behind that, as it was on the socket.
    pub unread: Vec<u8>,
    /// What lies between the socket and the bytes.
    pub transport: Transport,
}

/// Where shards put guests. It never makes them wait: where too many come at once, connections are closed.
#[derive(Clone, Debug)]
pub struct Porch(mpsc::Sender<Guest>);

impl Porch {
    /// Takes a guest.
    pub fn receive(&self, guest: Guest) {
        // One that finds no room is dropped, which closes its socket.
        let _ = self.0.try_send(guest);
    }
}

/// Guests on their way to a port that is opened later.
#[derive(Debug)]
pub struct Arrivals(mpsc::Receiver<Guest>);

/// A porch and its inside.
pub fn porch() -> (Porch, Arrivals) {
    let (sender, receiver) = mpsc::channel(GUESTS_WAITING_MAX);
    (Porch(sender), Arrivals(receiver))
}

/// The HTTP side of a server. Dropping it ends it.
#[derive(Debug)]
pub struct Public {
    address: Option<SocketAddr>,
    _worker: Worker,
}

impl Public {
    /// Serves guests, and who comes to `listen` where shards cannot hand anybody over.
    ///
    /// # Errors
    /// See [`HttpError`]; its text says what to do.
    pub fn open(
        arrivals: Arrivals,
        listen: Option<&str>,
        certificate: Option<Arc<Certificate>>,
        door: Door,
        way_back: WayBack,
        watch: Arc<Watch>,
    ) -> Result<Public, HttpError> {
        let listener = listen.map(|listen| bind("http.listen", listen)).transpose()?;
        let system = |error| HttpError::System(listen.unwrap_or("the public port").to_owned(), error);
        let address = listener.as_ref().map(StdListener::local_addr).transpose().map_err(system)?;
        let runtime = runtime().map_err(system)?;
        let routes = routes::routes(door, way_back, watch);
        let serving = async move {
            let seats = Seats::new();
            tokio::join!(welcome_all(arrivals, &seats, &routes), async {
                if let Some(listener) = listener {
                    accept_all(listener, certificate.as_deref(), &seats, &routes).await;
                }
            });
        };
        let worker = Worker::spawn("public", runtime, serving).map_err(system)?;
        Ok(Public { address, _worker: worker })
    }

    /// Where its own port listens, if it has one.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }
}

fn runtime() -> io::Result<Runtime> {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().max_blocking_threads(SIGN_IN_THREADS_MAX).thread_name("sign-in").on_thread_start(|| {
        // It is only kinder: without it, all goes on.
        let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
    });
    builder.build()
}

/// Serves guests until no shard has any more.
async fn welcome_all(mut arrivals: Arrivals, seats: &Seats, routes: &Router) {
    while let Some(guest) = arrivals.0.recv().await {
        if let Ok(stream) = Stream::of_guest(guest) {
            seat(stream, seats, routes);
        }
    }
}

async fn accept_all(listener: StdListener, certificate: Option<&Certificate>, seats: &Seats, routes: &Router) {
    let listener = TcpListener::from_std(listener).expect("a listener on a runtime with I/O");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let transport = certificate.map_or(Transport::Plain, Certificate::accept);
                seat(Stream::accepted(stream, peer, transport), seats, routes);
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(ADMIN_ACCEPT_AGAIN_MS)).await,
        }
    }
}

/// Serves a connection, if there is a seat for it.
fn seat(stream: Stream, seats: &Seats, routes: &Router) {
    let Some(seat) = seats.take(stream.peer().ip()) else { return };
    let peer = stream.peer();
    let routes = routes.clone().map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    tokio::spawn(async move {
        // An end in time or out of it: the client's affair in both cases.
        let _ =
            tokio::time::timeout(Duration::from_millis(PUBLIC_CONNECTION_MS), serve(stream, PUBLIC_HEAD_MS, routes))
                .await;
        drop(seat);
    });
}
