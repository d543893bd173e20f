//! Sessions that say nothing: how fast they come, and what each costs the server while it is only there.
//!
//! A ring's table of connections is bounded by the limit of descriptors, so there are several, each with a thread of its own.

use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use crate::clock::{Clock, NS_PER_MS, NS_PER_S};
use crate::course::ns;
use crate::failure::Failure;
use crate::fleet::{Connected, Fleet, Patience, Route, Silence};
use crate::host::{CpuTimes, Memory, tcp_bytes};
use crate::users::User;

const TURN_NS: u64 = 100 * NS_PER_MS;
/// Time for the server to finish what connecting left behind, before its memory is read.
const SETTLE_NS: u64 = NS_PER_S;

/// What the server has at a moment.
#[derive(Clone, Default, Debug)]
pub struct Holding {
    /// When.
    pub at_ns: u64,
    /// Its memory.
    pub memory: Memory,
    /// Kernel memory of TCP, of both ends.
    pub tcp_bytes: u64,
    /// CPU time it has used.
    pub server: CpuTimes,
    /// CPU time the generator has used.
    pub generator: CpuTimes,
}

/// What is to be held.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Setting {
    /// How long.
    pub seconds: f64,
    /// Connects at a time, of all rings together.
    pub connecting_max: u32,
    /// Sessions of a ring.
    pub per_ring: u32,
    /// Process of the server, to read its CPU time and memory.
    pub server_pid: Option<u32>,
}

/// What a run found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How connecting went.
    pub connected: Connected,
    /// Rings of the generator.
    pub fleets: u32,
    /// Before the first connect.
    pub before: Holding,
    /// A second after the last Welcome.
    pub begin: Holding,
    /// After the time that the sessions were held.
    pub end: Holding,
}

/// Opens one session per user, holds them, and answers pings meanwhile.
///
/// # Errors
/// A refusal, or a session that is lost.
pub fn run(server: SocketAddrV4, users: &[User], setting: &Setting) -> Result<Outcome, Failure> {
    let Setting { seconds, connecting_max, per_ring, server_pid } = *setting;
    let clock = Clock::start();
    let sessions = users.len() as u32;
    let fleets = sessions.div_ceil(per_ring);
    let routes = Route::new(server, sessions)?.parts(fleets);
    let connecting_each = connecting_max.div_ceil(fleets);
    let is_over = AtomicBool::new(false);
    let (told, tidings) = mpsc::channel::<Result<u64, Failure>>();
    thread::scope(|scope| {
        let before = Holding::now(clock, server_pid);
        for (route, users) in routes.iter().zip(users.chunks(per_ring as usize)) {
            let (is_over, told) = (&is_over, told.clone());
            scope.spawn(move || {
                let ended = hold(route, users, clock, connecting_each, is_over, &told);
                if let Err(failure) = ended {
                    // Nobody listens any more after another fleet's failure.
                    let _ = told.send(Err(failure));
                }
            });
        }
        drop(told);
        let of_all = (|| {
            let mut since_ns = u64::MAX;
            for _ in 0..fleets {
                since_ns = since_ns.min(tidings.recv().expect("a fleet tells of its sessions, or why there are none")?);
            }
            let connected = Connected { sessions, took_ns: clock.now_ns() - since_ns };
            let wait = |span_ns: u64| {
                let until_ns = clock.now_ns() + span_ns;
                while clock.now_ns() < until_ns {
                    let left = Duration::from_nanos(until_ns - clock.now_ns());
                    if let Ok(told) = tidings.recv_timeout(left) {
                        told?;
                    }
                }
                Ok(())
            };
            wait(SETTLE_NS)?;
            let begin = Holding::now(clock, server_pid);
            wait(ns(seconds))?;
            let end = Holding::now(clock, server_pid);
            Ok(Outcome { connected, fleets, before, begin, end })
        })();
        is_over.store(true, Ordering::Release);
        of_all
    })
}

/// One fleet, on a thread of its own: opens its sessions, tells since when, and is there until all is over.
fn hold(
    route: &Route,
    users: &[User],
    clock: Clock,
    connecting_max: u32,
    is_over: &AtomicBool,
    told: &Sender<Result<u64, Failure>>,
) -> Result<(), Failure> {
    let mut fleet = Fleet::new(route, users, 0, clock)?;
    let since_ns = clock.now_ns();
    fleet.connect(connecting_max)?;
    // Whoever waits for it may have given up.
    let _ = told.send(Ok(since_ns));
    while !is_over.load(Ordering::Acquire) {
        fleet.turn(&mut Silence, Patience::UpTo(TURN_NS))?;
    }
    Ok(())
}

impl Holding {
    fn now(clock: Clock, server_pid: Option<u32>) -> Holding {
        Holding {
            at_ns: clock.now_ns(),
            memory: server_pid.map(Memory::of).unwrap_or_default(),
            tcp_bytes: tcp_bytes(),
            server: server_pid.map(CpuTimes::of).unwrap_or_default(),
            generator: CpuTimes::of(std::process::id()),
        }
    }
}
