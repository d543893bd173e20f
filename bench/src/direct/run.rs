//! A run of pairs, and what it found.

use std::net::SocketAddrV4;

use super::{Direct, Setting};
use crate::clock::Clock;
use crate::course::{Course, Tally, Usage};
use crate::failure::Failure;
use crate::fleet::{Connected, Fleet, Route};
use crate::history::{self, Compared};
use crate::statistics::LatencyFigures;
use crate::users::User;

/// What a run found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How connecting went.
    pub connected: Connected,
    /// At the beginning of what is measured.
    pub before: Usage,
    /// At its end.
    pub after: Usage,
    /// From the intended send to the Ack.
    pub to_ack: LatencyFigures,
    /// From the intended send to the delivery.
    pub to_delivery: LatencyFigures,
    /// Open loop: messages that were due, and those of them that were never sent.
    pub due: u64,
    /// See `due`.
    pub unsent: u64,
    /// History that was compared.
    pub compared: Compared,
    /// Of the whole run.
    pub total: Tally,
}

/// Runs it against a server.
///
/// # Errors
/// Whatever makes the figures worthless: wrong bytes, lost messages, refusals that last.
pub fn run(server: SocketAddrV4, users: &[User], setting: &Setting) -> Result<Outcome, Failure> {
    assert_eq!(users.len(), setting.users()? as usize, "as many users as the setting says");
    let clock = Clock::start();
    let seed = getrandom::u64().map_err(|error| Failure::system("get a random number", error))?;
    let route = Route::new(server, users.len() as u32)?;
    let mut fleet = Fleet::new(&route, users, setting.body_bytes, clock)?;
    let connected = fleet.connect(setting.connecting_max)?;
    let direct = Direct::new(setting, users, seed)?;
    direct.open_all(&mut fleet.outlet);
    let mut course = Course::new(direct, fleet, clock, setting.spans(), setting.server_pid);
    let (before, after) = course.run()?;
    let compared = history::compare(&mut course.fleet, &course.scenario.samples())?;
    let direct = course.scenario;
    Ok(Outcome {
        connected,
        before,
        after,
        to_ack: direct.to_ack.figures(),
        to_delivery: direct.to_delivery.figures(),
        due: direct.due(),
        unsent: direct.unsent(),
        compared,
        total: direct.counts(),
    })
}
