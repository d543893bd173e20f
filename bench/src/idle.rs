//! Sessions that say nothing: how fast they come, and what each costs the server while it is only there.

use std::net::SocketAddrV4;

use crate::clock::{Clock, NS_PER_MS, NS_PER_S};
use crate::failure::Failure;
use crate::fleet::{Connected, Fleet, Patience, Silence};
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

/// What a run found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How connecting went.
    pub connected: Connected,
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
pub fn run(
    server: SocketAddrV4,
    users: &[User],
    seconds: f64,
    connecting_max: u32,
    server_pid: Option<u32>,
) -> Result<Outcome, Failure> {
    let clock = Clock::start();
    let mut fleet = Fleet::new(server, users, 0, clock)?;
    let hold = |fleet: &mut Fleet, span_ns: u64| {
        let until_ns = clock.now_ns() + span_ns;
        while clock.now_ns() < until_ns {
            let left_ns = until_ns - clock.now_ns();
            fleet.turn(&mut Silence, Patience::UpTo(left_ns.clamp(1, TURN_NS)))?;
        }
        Ok(())
    };
    let before = Holding::now(clock, server_pid);
    let connected = fleet.connect(connecting_max)?;
    hold(&mut fleet, SETTLE_NS)?;
    let begin = Holding::now(clock, server_pid);
    hold(&mut fleet, (seconds * NS_PER_S as f64) as u64)?;
    let end = Holding::now(clock, server_pid);
    Ok(Outcome { connected, before, begin, end })
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
