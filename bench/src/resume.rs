//! Sessions that come back: connect, Hello, and a Sync from the position that each had, in a closed loop.
//!
//! A preparation puts every user in a few groups, stores its position, lets the groups go on, and hangs up; the measurement
//! holds what each session is told against that.

use std::net::SocketAddrV4;
use std::thread;
use std::time::Duration;

use trunkline_wire::ids::UserId;

use crate::catch_up::{CatchUp, CatchingUp, PATIENCE_NS};
use crate::clock::Clock;
use crate::course::Usage;
use crate::failure::Failure;
use crate::fleet::{Finite, Fleet, Patience, Route};
use crate::outlet::Random;
use crate::preparation::{self, Errand, Founding};
use crate::prepared::Prepared;
use crate::statistics::{Latencies, LatencyFigures};
use crate::users::User;

/// The scenario's name in files.
pub const SCENARIO: &str = "resume";
/// Time for the server to store and tell what it puts off: lists, above all.
pub const SETTLE: Duration = Duration::from_secs(3);
/// Time for the server to notice that a round's connections are gone.
const PAUSE: Duration = Duration::from_millis(300);
const TURN_NS: u64 = 20 * crate::clock::NS_PER_MS;

/// What is to be prepared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Users, a multiple of `members`.
    pub users: u32,
    /// Members of a group.
    pub members: u32,
    /// Groups of each user.
    pub groups_each: u32,
    /// Messages in each group after the position.
    pub messages: u32,
    /// Connects at a time.
    pub connecting_max: u32,
}

impl Setting {
    /// Whether the numbers go together.
    ///
    /// # Errors
    /// The operator's.
    pub fn check(&self) -> Result<(), Failure> {
        let Setting { users, members, groups_each, .. } = *self;
        if members < 2 || !users.is_multiple_of(members) || groups_each > users / members {
            return Err(Failure::Operator(format!(
                "--users {users}, --members {members}, --groups-each {groups_each} do not go: users fill groups evenly, and \
                 are in each group once"
            )));
        }
        Ok(())
    }
}

/// The group in which a user is in a layer: each layer has every user once, in groups that cross those of other layers.
fn group_of(users: u32, members: u32, layer: u32, user: u32) -> u32 {
    let groups = users / members;
    layer * groups + (user / members + layer * (user % members)) % groups
}

/// Makes the groups, stores every user's position, and lets the groups go on.
///
/// # Errors
/// Refusals that last, or silence.
pub fn prepare(server: SocketAddrV4, users: &[User], setting: &Setting) -> Result<Prepared, Failure> {
    setting.check()?;
    let clock = Clock::start();
    let seed = getrandom::u64().map_err(|error| Failure::system("get a random number", error))?;
    let mut fleet = Fleet::new(&Route::new(server, setting.users)?, users, 0, clock)?;
    fleet.connect(setting.connecting_max)?;
    let mut errands = errands(users, setting, seed);
    let others = u64::from(setting.members - 1) * errands.len() as u64;
    // Who makes a group hears of that, too.
    let everybody = others + errands.len() as u64;
    preparation::run(&mut fleet, &mut errands, seed, everybody)?;
    let mut first = CatchingUp::new(&vec![0; users.len()]);
    first.run_and_report(&mut fleet, clock.now_ns())?;
    errands.iter_mut().for_each(|errand| errand.messages = setting.messages);
    preparation::run(&mut fleet, &mut errands, seed, others * u64::from(setting.messages))?;
    thread::sleep(SETTLE);
    Ok(Prepared {
        scenario: SCENARIO.to_owned(),
        positions: first.catch_ups.iter().map(|catch_up| catch_up.to).collect(),
        conversations: errands.iter().map(|errand| (errand.conversation, errand.last_seq)).collect(),
        changed: (0..errands.len()).collect(),
        members: setting.members,
        conversations_each: setting.groups_each,
    })
}

fn errands(users: &[User], setting: &Setting, seed: u64) -> Vec<Errand> {
    let count = users.len() as u32;
    let groups = count / setting.members * setting.groups_each;
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); groups as usize];
    for layer in 0..setting.groups_each {
        (0..count).for_each(|user| members[group_of(count, setting.members, layer, user) as usize].push(user));
    }
    let mut random = Random::new(seed);
    let errand = |(members, number): (Vec<u32>, usize)| {
        let others: Vec<UserId> = members[1..].iter().map(|user| users[*user as usize].id).collect();
        let founding = Founding { nonce: random.next_u64(), title: format!("group {number}"), others };
        Errand::new(members[0], founding, 0)
    };
    members.into_iter().zip(0..).map(errand).collect()
}

/// What a measurement found, all rounds together.
#[derive(Clone, Default, Debug)]
pub struct Outcome {
    /// Sessions that came back.
    pub resumes: u64,
    /// The time of all rounds.
    pub took_ns: u64,
    /// The server's CPU time in it.
    pub server_ns: u64,
    /// The server's busiest thread's, added up over rounds.
    pub busiest_ns: u64,
    /// The generator's.
    pub generator_ns: u64,
    /// From the begin of the connect to the last page of the Sync.
    pub to_synced: LatencyFigures,
    /// Bytes that came.
    pub bytes: u64,
    /// Bytes that went.
    pub sent_bytes: u64,
    /// Conversations they were told of.
    pub conversations: u64,
    /// Sessions whose position meant nothing to the server.
    pub resyncs: u64,
    /// Requests that were refused at first.
    pub refused: u64,
}

/// Lets all sessions come back, as often as there are rounds.
///
/// # Errors
/// A refusal, silence, or a session that was told something wrong.
pub fn measure(
    server: SocketAddrV4,
    users: &[User],
    prepared: &Prepared,
    rounds: u32,
    connecting_max: u32,
    server_pid: Option<u32>,
) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    let mut spent = Latencies::default();
    for round in 0..rounds {
        if round > 0 {
            thread::sleep(PAUSE);
        }
        let clock = Clock::start();
        let mut fleet = Fleet::new(&Route::new(server, users.len() as u32)?, users, 0, clock)?;
        let mut sessions = CatchingUp::new(&prepared.positions);
        sessions.spent = spent;
        let before = Usage::now(clock, &fleet, server_pid);
        come_back(&mut fleet, clock, &mut sessions, connecting_max)?;
        let after = Usage::now(clock, &fleet, server_pid);
        for (catch_up, user) in sessions.catch_ups.iter().zip(0..) {
            check(prepared, user, catch_up)?;
            outcome.conversations += catch_up.changed.len() as u64;
            outcome.resyncs += u64::from(catch_up.is_resync);
        }
        outcome.add(&before, &after, &sessions);
        spent = sessions.spent;
    }
    Ok(Outcome { to_synced: spent.figures(), ..outcome })
}

/// Connects and syncs, at most `connecting_max` at a time.
fn come_back(fleet: &mut Fleet, clock: Clock, sessions: &mut CatchingUp, connecting_max: u32) -> Result<(), Failure> {
    let mut progress = (0, clock.now_ns());
    let mut are_all_begun = false;
    while !are_all_begun || !sessions.is_done() {
        while !are_all_begun && sessions.under_way() < connecting_max {
            match fleet.start_next() {
                Some(connection) => sessions.begin(connection, clock.now_ns()),
                None => are_all_begun = true,
            }
        }
        fleet.turn(sessions, Patience::UpTo(TURN_NS))?;
        let now_ns = clock.now_ns();
        sessions.repeat_due(&mut fleet.outlet, now_ns);
        if sessions.progress() != progress.0 {
            progress = (sessions.progress(), now_ns);
        } else if now_ns - progress.1 > PATIENCE_NS {
            let under_way = sessions.under_way();
            return Err(Failure::Server(format!("{under_way} sessions neither came back nor were refused")));
        }
    }
    Ok(())
}

/// What a user is told is what changed in its groups, to the last seq.
fn check(prepared: &Prepared, user: u32, catch_up: &CatchUp) -> Result<(), Failure> {
    let users = prepared.positions.len() as u32;
    let groups = (0..prepared.conversations_each).map(|layer| group_of(users, prepared.members, layer, user));
    let expected = groups.map(|group| prepared.conversations[group as usize]).collect();
    if catch_up.changed == expected {
        return Ok(());
    }
    let (told, expected) = (&catch_up.changed, expected.len());
    let wrong =
        format!("user {user} was told of {} conversations instead of its {expected}, or other seqs", told.len());
    Err(Failure::Server(format!("a Sync from {}: {wrong}: {told:?}", catch_up.position)))
}

impl Outcome {
    fn add(&mut self, before: &Usage, after: &Usage, sessions: &CatchingUp) {
        self.resumes += u64::from(sessions.done);
        self.took_ns += after.at_ns - before.at_ns;
        self.server_ns += after.server.since(&before.server);
        self.busiest_ns += after.server.busiest_since(&before.server);
        self.generator_ns += after.generator.since(&before.generator);
        self.bytes += after.traffic.bytes - before.traffic.bytes;
        self.sent_bytes += after.sent_bytes - before.sent_bytes;
        self.refused += sessions.refusals.busy + sessions.refusals.rate_limited;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_wire::ids::ConversationId;

    const SETTING: Setting = Setting { users: 60, members: 12, groups_each: 5, messages: 1, connecting_max: 1 };

    fn users() -> Vec<User> {
        let user =
            |number: u64| User { handle: String::new(), id: UserId(number + 1), token: String::new(), expires_s: 0 };
        (0..u64::from(SETTING.users)).map(user).collect()
    }

    #[test]
    fn groups_are_full_and_every_user_is_in_as_many() {
        SETTING.check().unwrap();
        let errands = errands(&users(), &SETTING, 1);
        assert_eq!(errands.len(), 25);
        let mut memberships = vec![0; SETTING.users as usize];
        for Errand { connection, founding, .. } in &errands {
            let mut members: Vec<u64> = founding.iter().flat_map(|founding| &founding.others).map(|id| id.0).collect();
            members.push(u64::from(*connection) + 1);
            members.iter().for_each(|user| memberships[*user as usize - 1] += 1);
            members.sort_unstable();
            members.dedup();
            assert_eq!(members.len(), 12);
        }
        assert!(memberships.iter().all(|groups| *groups == SETTING.groups_each));
        for wrong in [Setting { users: 61, ..SETTING }, Setting { groups_each: 6, ..SETTING }] {
            assert!(wrong.check().is_err());
        }
    }

    #[test]
    fn a_session_is_told_of_its_own_groups() {
        let conversation = |number: u8| (ConversationId([number; 16]), u64::from(number) + 1);
        let prepared = Prepared {
            positions: vec![5; 60],
            conversations: (0..25).map(conversation).collect(),
            members: 12,
            conversations_each: 5,
            ..Prepared::default()
        };
        let groups = (0..5).map(|layer| group_of(60, 12, layer, 17) as u8);
        let mut catch_up = CatchUp::new(5);
        catch_up.changed = groups.map(conversation).collect();
        check(&prepared, 17, &catch_up).unwrap();
        assert!(check(&prepared, 18, &catch_up).is_err());
        *catch_up.changed.values_mut().next().unwrap() += 1;
        assert!(matches!(check(&prepared, 17, &catch_up), Err(Failure::Server(_))));
    }
}
