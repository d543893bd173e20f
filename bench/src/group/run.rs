//! What groups are to do, a run of them, and what it found.

use std::net::SocketAddrV4;

use trunkline_wire::limits::MEMBERS_PAGE_MAX;

use super::{Groups, Spent};
use crate::clock::Clock;
use crate::course::{Course, Spans, Tally, Usage};
use crate::failure::Failure;
use crate::fleet::{Connected, Fleet, Route};
use crate::history::{self, Compared};
use crate::statistics::LatencyFigures;
use crate::users::User;

/// What is to be run.
#[derive(Clone, PartialEq, Debug)]
pub struct Setting {
    /// Groups.
    pub groups: u32,
    /// Members of each, each a user of its own; up to [`MEMBERS_PAGE_MAX`].
    pub members: u32,
    /// Members of each that talk, with one message in flight.
    pub senders: u32,
    /// Bytes of a body.
    pub body_bytes: usize,
    /// How long.
    pub spans: Spans,
    /// Groups whose history is compared.
    pub samples: u32,
    /// Connects at a time.
    pub connecting_max: u32,
    /// Process of the server, to read its CPU time.
    pub server_pid: Option<u32>,
}

impl Setting {
    /// How many users that takes.
    ///
    /// # Errors
    /// The operator's: numbers that do not go together.
    pub fn users(&self) -> Result<u32, Failure> {
        let Setting { groups, members, senders, .. } = *self;
        if members < 2 || members as usize > MEMBERS_PAGE_MAX || senders == 0 || senders > members {
            return Err(Failure::Operator(format!(
                "--members {members} and --senders {senders} do not go: a group has 2 to {MEMBERS_PAGE_MAX} members, of \
                 whom 1 or more talk"
            )));
        }
        Ok(groups * members)
    }
}

/// What a run found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How connecting went.
    pub connected: Connected,
    /// At the beginning of what is measured.
    pub before: Usage,
    /// At its end.
    pub after: Usage,
    /// From the send to the Ack.
    pub to_ack: LatencyFigures,
    /// From the send to each delivery.
    pub to_delivery: LatencyFigures,
    /// From the send to the last delivery.
    pub to_last: LatencyFigures,
    /// History that was compared.
    pub compared: Compared,
    /// Of the whole run.
    pub total: Tally,
}

/// Runs it against a server.
///
/// # Errors
/// Whatever makes the figures worthless: wrong bytes, lost copies, gaps, refusals that last.
pub fn run(server: SocketAddrV4, users: &[User], setting: &Setting) -> Result<Outcome, Failure> {
    assert_eq!(users.len(), setting.users()? as usize, "as many users as the setting says");
    let clock = Clock::start();
    let seed = getrandom::u64().map_err(|error| Failure::system("get a random number", error))?;
    let route = Route::new(server, users.len() as u32)?;
    let mut fleet = Fleet::new(&route, users, setting.body_bytes, clock)?;
    let connected = fleet.connect(setting.connecting_max)?;
    let groups = Groups::new(setting, users, seed);
    groups.make_all(&mut fleet.outlet);
    let mut course = Course::new(groups, fleet, clock, setting.spans, setting.server_pid);
    let (before, after) = course.run()?;
    course.scenario.check_whole()?;
    let compared = history::compare(&mut course.fleet, &course.scenario.samples())?;
    let Spent { to_ack, to_delivery, to_last } = &course.scenario.spent;
    Ok(Outcome {
        connected,
        before,
        after,
        to_ack: to_ack.figures(),
        to_delivery: to_delivery.figures(),
        to_last: to_last.figures(),
        compared,
        total: crate::course::Conversing::tally(&course.scenario),
    })
}
