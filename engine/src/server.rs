//! A server: shards on their threads, a store behind them, listeners in front; from start to drained.

mod opening;

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Barrier, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel;
use trunkline_edge::transport::{Certificate, CertificateError};
use trunkline_shards::contract::{Core, ShardId};
use trunkline_shards::limits::Limits;
use trunkline_shards::store::Revocation;
use trunkline_storage::embedded::{EmbeddedIndex, OpenError};

use crate::config::Config;
use crate::control::{Control, control};
use crate::guests::GuestDoor;
use crate::lane::{LaneRoom, mesh, room_of_mesh};
use crate::life::Life;
use crate::listener::{self, ListenError};
use crate::placement;
use crate::reactor::{Links, Reactor};
use crate::returns::{self, ReturnDoor};
use crate::ring::{Feature, Features, Ring, RingFault, RingOptions};
use crate::store::StoreWatch;
use crate::thread;
use crate::wake::Doorbell;

use opening::{OpenedStore, open_store};

/// What a core is made from.
#[derive(Clone, Debug, Default)]
pub struct ShardSetup {
    /// Its number.
    pub shard: ShardId,
    /// How many there are.
    pub shards: u16,
    /// Connections the shard can have at the same time.
    pub connections_max: u32,
    /// The limits in force.
    pub limits: Limits,
    /// Room of each lane to and from another shard.
    pub room: LaneRoom,
    /// The store's incarnation: no conversation goes on with an epoch below it.
    pub incarnation: u64,
    /// What was revoked before, of whatever users.
    pub revocations: Arc<[Revocation]>,
    /// Whether connections that ask for something else can be handed over.
    pub hands_over: bool,
    /// Whether connections are encrypted.
    pub secure: bool,
    /// Random, from the system.
    pub seed: [u8; 32],
}

/// Why a server did not start.
#[derive(Debug)]
pub enum StartError {
    /// No listener.
    Listen(ListenError),
    /// No ring, or another thing of the system is missing.
    Ring(RingFault),
    /// The store can't be opened.
    Store(OpenError),
    /// There is no certificate where there should be one.
    Certificate(CertificateError),
    /// Which devices are signed out cannot be read, so that nobody may be let in.
    Revocations(PathBuf),
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Listen(error) => error.fmt(formatter),
            StartError::Ring(error) => error.fmt(formatter),
            StartError::Store(error) => error.fmt(formatter),
            StartError::Certificate(error) => error.fmt(formatter),
            StartError::Revocations(data) => write!(
                formatter,
                "which devices are signed out cannot be read from {} (see above), so nobody can be let in; check the disk \
                 (dmesg, smartctl), or restore the folder from a backup",
                data.display()
            ),
        }
    }
}

impl std::error::Error for StartError {}

/// A running server. Dropping it ends it at once; [`Server::stop`] is the polite way.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    features: Features,
    control: Control,
    watch: StoreWatch,
    certificate: Option<Arc<Certificate>>,
    returns: Arc<ReturnDoor>,
    life: Arc<Life>,
    shards: Vec<JoinHandle<()>>,
    store: Vec<JoinHandle<()>>,
    index: Weak<EmbeddedIndex>,
}

/// What a shard's thread is started with.
struct Seat {
    options: RingOptions,
    v6: bool,
    core: Option<usize>,
    listener: OwnedFd,
    links: Links,
    all_out: Arc<Barrier>,
    ready: channel::Sender<Result<Features, RingFault>>,
}

impl Server {
    /// Starts a server: opens listeners and store, then a thread per shard that makes its core and serves. Returns when all
    /// shards accept.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running.
    pub fn start<C: Core>(
        config: &Config,
        make_core: impl Fn(ShardSetup) -> C + Send + Sync + 'static,
    ) -> Result<Server, StartError> {
        Server::start_with_guests(config, None, make_core)
    }

    /// The same, and connections that ask for something that shards do not serve go through a door.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running.
    pub fn start_with_guests<C: Core>(
        config: &Config,
        guests: Option<GuestDoor>,
        make_core: impl Fn(ShardSetup) -> C + Send + Sync + 'static,
    ) -> Result<Server, StartError> {
        raise_descriptor_limit();
        let certificate = certificate_of(config)?;
        let (listeners, address) = listener::open(&config.listen, config.shards).map_err(StartError::Listen)?;
        let doorbells = doorbells(config.shards)?;
        let watch = StoreWatch::default();
        // Before shards are pinned: threads of a store inherit what their maker may run on.
        let OpenedStore { ports: store_ports, threads: store, incarnation, revocations, index } =
            open_store(config, &doorbells, &watch)?;
        let (control, control_ports) = control(&doorbells);
        let (returns, return_ports) = returns::returns(&doorbells);
        let life = Arc::new(Life::new(Arc::clone(&doorbells)));
        let room = room_of_mesh(config.shards);
        let lanes = mesh(&doorbells, room);
        let all_out = Arc::new(Barrier::new(usize::from(config.shards)));
        let (ready, started) = channel::bounded(usize::from(config.shards));
        let make_core = Arc::new(make_core);
        let common = ShardSetup {
            shards: config.shards,
            limits: config.limits.clone(),
            room,
            incarnation,
            revocations,
            secure: certificate.is_some(),
            ..ShardSetup::default()
        };
        let mut shards = Vec::new();
        let ends = listeners
            .into_iter()
            .zip(lanes)
            .zip(store_ports)
            .zip(control_ports)
            .zip(return_ports)
            .zip(doorbells.iter());
        for (shard, (((((listener, port), store), control), returns), doorbell)) in (0..).zip(ends) {
            let seat = Seat {
                options: config.ring_options(),
                v6: address.is_ipv6(),
                core: config.pin.then(|| placement::core_of(&placement::cores(), shard)),
                listener,
                links: Links {
                    port,
                    store,
                    control,
                    guests: guests.clone(),
                    returns,
                    certificate: certificate.clone(),
                    doorbell: Arc::clone(doorbell),
                    life: Arc::clone(&life),
                },
                all_out: Arc::clone(&all_out),
                ready: ready.clone(),
            };
            let setup = ShardSetup { shard, seed: random_seed(), ..common.clone() };
            let make_core = Arc::clone(&make_core);
            shards.push(thread::spawn(&format!("shard-{shard}"), move || seat.run(setup, &*make_core)));
        }
        drop(ready);
        let mut server = Server {
            address,
            features: Features::NONE,
            control,
            watch,
            certificate,
            returns,
            life,
            shards,
            store,
            index,
        };
        server.features = server.wait_until_ready(&started).map_err(StartError::Ring)?;
        Ok(server)
    }

    /// Where clients connect to, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The features of io_uring in force.
    pub fn features(&self) -> Features {
        self.features
    }

    /// Asks shards things.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// What the store has counted.
    pub fn store_watch(&self) -> &StoreWatch {
        &self.watch
    }

    /// The way back to shards, for connections whose clients want a WebSocket after all.
    pub fn returns(&self) -> &Arc<ReturnDoor> {
        &self.returns
    }

    /// What connections are encrypted with, if they are.
    pub fn certificate(&self) -> Option<&Arc<Certificate>> {
        self.certificate.as_ref()
    }

    /// The store on this machine's disk, for as long as it is open; none of another.
    pub fn store_index(&self) -> &Weak<EmbeddedIndex> {
        &self.index
    }

    /// Whether it runs, drains, or has ended.
    pub fn life(&self) -> &Arc<Life> {
        &self.life
    }

    /// Stops: no connection is accepted any more, cores drain, shards and store end; at `deadline` they end anyway. True
    /// when all had drained.
    pub fn stop(mut self, deadline: Instant) -> bool {
        self.life.drain();
        let in_time = finished(&self.shards, deadline);
        self.life.end();
        join(&mut self.shards);
        // What was asked of the store is answered to nobody now, but it is done.
        join(&mut self.store);
        in_time
    }

    fn wait_until_ready(
        &self,
        started: &channel::Receiver<Result<Features, RingFault>>,
    ) -> Result<Features, RingFault> {
        let mut features = Features::all();
        for result in started.iter().take(self.shards.len()) {
            features = result?;
        }
        Ok(features)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.life.end();
        join(&mut self.shards);
        join(&mut self.store);
    }
}

impl Seat {
    /// The life of a shard's thread.
    fn run<C: Core>(self, mut setup: ShardSetup, make_core: &impl Fn(ShardSetup) -> C) {
        let Seat { options, v6, core, listener, links, all_out, ready } = self;
        if let Some(Err(error)) = core.map(placement::pin) {
            tracing::warn!("shard {} is not pinned to core {}: {error}", setup.shard, core.unwrap_or_default());
        }
        let doorbell = Arc::clone(&links.doorbell);
        let life = Arc::clone(&links.life);
        let ring = match Ring::new(options, Arc::clone(&doorbell), v6) {
            Ok(ring) => ring,
            Err(fault) => {
                // Whoever waits for the shards takes this and ends them all.
                let _ = ready.send(Err(fault));
                drop(links);
                all_out.wait();
                return;
            }
        };
        setup.connections_max = ring.slots();
        doorbell.set_ring(ring.wake_target());
        let features = ring.features();
        setup.hands_over = links.guests.is_some() && features.has(Feature::FixedFdInstall);
        let mut reactor = Reactor::new(make_core(setup), ring, listener, links);
        let _ = ready.send(Ok(features));
        drop(ready);
        reactor.run();
        debug_assert!(life.has_ended());
        // No ring goes while another shard may still send it a wake.
        doorbell.set_ring(None);
        all_out.wait();
    }
}

/// What connections are encrypted with, if they are.
fn certificate_of(config: &Config) -> Result<Option<Arc<Certificate>>, StartError> {
    let certificate = config.certificate_files().map(Certificate::open).transpose();
    Ok(certificate.map_err(StartError::Certificate)?.map(Arc::new))
}

fn doorbells(shards: u16) -> Result<Arc<[Arc<Doorbell>]>, StartError> {
    let doorbells = (0..shards).map(|_| Doorbell::new().map(Arc::new)).collect::<Result<_, _>>();
    doorbells.map_err(|error| StartError::Ring(RingFault::system("a shard gets no eventfd", &error)))
}

/// Connections count against the soft limit of descriptors, and nothing speaks for leaving it low.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // If it fails, the soft limit holds; the table is made from what is in force.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

fn random_seed() -> [u8; 32] {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).expect("the system has random bytes");
    seed
}

/// Whether all threads end before the deadline.
fn finished(threads: &[JoinHandle<()>], deadline: Instant) -> bool {
    while !threads.iter().all(JoinHandle::is_finished) {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

fn join(threads: &mut Vec<JoinHandle<()>>) {
    for thread in threads.drain(..) {
        thread.join().expect("a thread that panics takes the process along");
    }
}
