//! One account with very many conversations: what a Sync of the few that changed costs, and one of all.
//!
//! A preparation lets helping users make groups of two with the account, a message in each, stores the account's position,
//! and lets some of the groups go on.

use std::net::SocketAddrV4;
use std::thread;

use crate::catch_up::{CatchUp, CatchingUp, PATIENCE_NS};
use crate::clock::{Clock, NS_PER_S, seconds};
use crate::course::Usage;
use crate::failure::Failure;
use crate::fleet::{Fleet, Route};
use crate::outlet::Random;
use crate::preparation::{self, Errand, Founding};
use crate::prepared::Prepared;
use crate::resume::SETTLE;
use crate::statistics::{Latencies, LatencyFigures};
use crate::users::User;

/// The scenario's name in files.
pub const SCENARIO: &str = "account";

/// What is to be prepared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Conversations of the account.
    pub conversations: u32,
    /// Those of them that change after its position.
    pub changed: u32,
    /// Users who make them.
    pub helpers: u32,
    /// Connects at a time.
    pub connecting_max: u32,
}

impl Setting {
    /// How many users that takes: the account and its helpers.
    ///
    /// # Errors
    /// The operator's: numbers that do not go together.
    pub fn users(&self) -> Result<u32, Failure> {
        let Setting { conversations, changed, helpers, .. } = *self;
        if helpers == 0 || changed > conversations {
            let text =
                format!("--changed {changed} of --conversations {conversations} by --helpers {helpers} do not go");
            return Err(Failure::Operator(text));
        }
        Ok(1 + helpers)
    }
}

/// Makes the conversations, stores the account's position, and lets some go on: what the measurement needs, and how many
/// seconds the conversations took.
///
/// # Errors
/// Refusals that last, or silence.
pub fn prepare(server: SocketAddrV4, users: &[User], setting: &Setting) -> Result<(Prepared, f64), Failure> {
    assert_eq!(users.len(), setting.users()? as usize, "the account and its helpers");
    let clock = Clock::start();
    let seed = getrandom::u64().map_err(|error| Failure::system("get a random number", error))?;
    let mut fleet = Fleet::new(&Route::new(server, setting.helpers)?, &users[1..], 0, clock)?;
    fleet.connect(setting.connecting_max)?;
    let mut random = Random::new(seed);
    let account = users[0].id;
    let errand = |number: u32| {
        let founding = Founding { nonce: random.next_u64(), title: format!("group {number}"), others: vec![account] };
        Errand::new(number % setting.helpers, founding, 1)
    };
    let mut errands: Vec<Errand> = (0..setting.conversations).map(errand).collect();
    let since_ns = clock.now_ns();
    // Who makes a group hears of that.
    let to_hear = errands.len() as u64;
    preparation::run(&mut fleet, &mut errands, seed, to_hear)?;
    let took_s = seconds(clock.now_ns() - since_ns);
    thread::sleep(SETTLE);
    let position = first_position(server, &users[..1], &errands)?;
    let changed = spread(setting.conversations as usize, setting.changed as usize);
    changed.iter().for_each(|index| errands[*index].messages = 1);
    preparation::run(&mut fleet, &mut errands, seed, 0)?;
    thread::sleep(SETTLE);
    let prepared = Prepared {
        scenario: SCENARIO.to_owned(),
        positions: vec![position],
        conversations: errands.iter().map(|errand| (errand.conversation, errand.last_seq)).collect(),
        changed,
        members: 2,
        conversations_each: setting.conversations,
    };
    Ok((prepared, took_s))
}

/// So many indexes, evenly spread.
fn spread(of: usize, count: usize) -> Vec<usize> {
    (0..count).map(|number| number * of / count).collect()
}

/// The account's position when it knows of all its conversations; it is stored, too.
fn first_position(server: SocketAddrV4, account: &[User], errands: &[Errand]) -> Result<u64, Failure> {
    let clock = Clock::start();
    let mut fleet = Fleet::new(&Route::new(server, 1)?, account, 0, clock)?;
    fleet.connect(1)?;
    let mut session = CatchingUp::new(&[0]);
    session.run_and_report(&mut fleet, clock.now_ns())?;
    let all = errands.iter().map(|errand| (errand.conversation, errand.last_seq));
    check(&session.catch_ups[0], all)?;
    Ok(session.catch_ups[0].to)
}

/// Syncs of one kind.
#[derive(Clone, Default, Debug)]
pub struct Syncs {
    /// How long the first took, which may find the server cold.
    pub first_ns: u64,
    /// How long all took.
    pub spent: LatencyFigures,
    /// Bytes that came for one.
    pub bytes: u64,
    /// Pages of one.
    pub pages: u64,
    /// Conversations in one.
    pub conversations: u64,
    /// The server's CPU time of all.
    pub server_ns: u64,
}

/// What a measurement found.
#[derive(Clone, Default, Debug)]
pub struct Outcome {
    /// From the position on.
    pub changes: Syncs,
    /// Of everything.
    pub all: Syncs,
    /// The position meant nothing to the server.
    pub is_resync: bool,
}

/// The account's session syncs from its position on, and then everything, each several times.
///
/// # Errors
/// A refusal, silence, or a list that is not what it should be.
pub fn measure(
    server: SocketAddrV4,
    account: &[User],
    prepared: &Prepared,
    repeats: u32,
    repeats_of_all: u32,
    server_pid: Option<u32>,
) -> Result<Outcome, Failure> {
    let clock = Clock::start();
    let mut fleet = Fleet::new(&Route::new(server, 1)?, account, 0, clock)?;
    fleet.connect(1)?;
    let mut account = Account { fleet, clock, server_pid };
    let of = |index: &usize| prepared.conversations[*index];
    let (changes, is_resync) = account.sync(prepared.positions[0], repeats, || prepared.changed.iter().map(of))?;
    let (all, _) = account.sync(0, repeats_of_all, || prepared.conversations.iter().copied())?;
    Ok(Outcome { changes, all, is_resync })
}

struct Account {
    fleet: Fleet,
    clock: Clock,
    server_pid: Option<u32>,
}

impl Account {
    fn sync<I>(&mut self, position: u64, repeats: u32, expected: impl Fn() -> I) -> Result<(Syncs, bool), Failure>
    where
        I: Iterator<Item = (trunkline_wire::ids::ConversationId, u64)>,
    {
        let (mut spent, mut syncs, mut is_resync) = (Latencies::default(), Syncs::default(), false);
        let before = Usage::now(self.clock, &self.fleet, self.server_pid);
        for repeat in 0..repeats {
            let mut session = CatchingUp::new(&[position]);
            let (since_ns, bytes) = (self.clock.now_ns(), self.fleet.traffic.bytes);
            session.begin(0, since_ns);
            session.ask(&mut self.fleet.outlet, 0);
            self.fleet.finish(&mut session, PATIENCE_NS, "a list of conversations")?;
            let took_ns = self.clock.now_ns() - since_ns;
            spent.record(took_ns);
            let catch_up = &session.catch_ups[0];
            check(catch_up, expected())?;
            is_resync |= catch_up.is_resync && position > 0;
            if repeat == 0 {
                syncs.first_ns = took_ns;
            }
            syncs.bytes = self.fleet.traffic.bytes - bytes;
            (syncs.pages, syncs.conversations) = (catch_up.pages, catch_up.changed.len() as u64);
        }
        syncs.server_ns = Usage::now(self.clock, &self.fleet, self.server_pid).server.since(&before.server);
        syncs.spent = spent.figures();
        Ok((syncs, is_resync))
    }
}

/// What the account is told is what is to be told.
fn check(
    catch_up: &CatchUp,
    expected: impl Iterator<Item = (trunkline_wire::ids::ConversationId, u64)>,
) -> Result<(), Failure> {
    let expected: std::collections::BTreeMap<_, _> = expected.collect();
    let told = &catch_up.changed;
    if *told == expected {
        return Ok(());
    }
    let wrong = expected.iter().find(|(id, seq)| told.get(*id) != Some(*seq));
    let wrong = wrong.map_or_else(String::new, |(id, seq)| format!("; {id} is at {seq}, told {:?}", told.get(id)));
    let (position, told, expected) = (catch_up.position, told.len(), expected.len());
    let text = format!("a Sync from {position} told of {told} conversations, {expected} changed{wrong}");
    Err(Failure::Server(text))
}

impl Syncs {
    /// Conversations a second, from first request to last page, of the median.
    #[must_use]
    pub fn conversations_per_s(&self) -> f64 {
        let p50_s = self.spent.p50_us * 1e3 / NS_PER_S as f64;
        crate::statistics::per(self.conversations as f64, p50_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_wire::ids::ConversationId;

    #[test]
    fn changes_are_spread() {
        assert_eq!(spread(10_000, 4), [0, 2500, 5000, 7500]);
        assert_eq!(spread(3, 3), [0, 1, 2]);
        assert!(spread(3, 0).is_empty());
    }

    #[test]
    fn a_list_is_held_against_what_was_made() {
        let row = |number: u8| (ConversationId([number; 16]), u64::from(number));
        let mut catch_up = CatchUp::new(1);
        catch_up.changed = [row(1), row(2)].into();
        check(&catch_up, [row(2), row(1)].into_iter()).unwrap();
        for wrong in [vec![row(1)], vec![row(1), row(2), row(3)], vec![row(1), (row(2).0, 9)]] {
            assert!(matches!(check(&catch_up, wrong.into_iter()), Err(Failure::Server(_))));
        }
    }
}
