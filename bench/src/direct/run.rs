//! The course of a run: connect, open, talk, come to an end, compare; and what the processes used meanwhile.

use std::net::SocketAddrV4;

use super::{Direct, Direction, Setting, Stage, Tally};
use crate::clock::{Clock, NS_PER_MS, NS_PER_S};
use crate::failure::Failure;
use crate::fleet::{Connected, Fleet, Patience, Traffic};
use crate::history::{self, Compared};
use crate::host::{CpuTimes, MachineTimes};
use crate::statistics::LatencyFigures;
use crate::users::User;

/// Longest wait of a turn in a closed loop.
const TURN_NS: u64 = 50 * NS_PER_MS;
/// How long a run may take to open its conversations without any progress.
const OPEN_PATIENCE_NS: u64 = 30 * NS_PER_S;
/// Messages of an open loop started in one turn, so that receiving goes on.
const STARTS_PER_TURN: u64 = 512;

/// What was used up to a moment.
#[derive(Clone, Default, Debug)]
pub struct Usage {
    /// When.
    pub at_ns: u64,
    /// The server's CPU time.
    pub server: CpuTimes,
    /// The generator's.
    pub generator: CpuTimes,
    /// Everybody's.
    pub machine: MachineTimes,
    /// Messages.
    pub tally: Tally,
    /// Receives.
    pub traffic: Traffic,
    /// The generator's gathered sends.
    pub sends: u64,
    /// Open loop: time of turns with something to do, since the others only spin.
    pub busy_ns: u64,
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
    /// Refusals of the whole run.
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
    let mut fleet = Fleet::new(server, users, setting.body_bytes, clock)?;
    let connected = fleet.connect(setting.connecting_max)?;
    let mut course = Course { direct: Direct::new(setting, users, seed)?, fleet, clock, setting, due: 0, busy_ns: 0 };
    course.open()?;
    let (before, after) = course.talk()?;
    course.end()?;
    let compared = history::compare(&mut course.fleet, clock, &course.direct.samples())?;
    let Course { direct, due, .. } = course;
    Ok(Outcome {
        connected,
        before,
        after,
        to_ack: direct.to_ack.figures(),
        to_delivery: direct.to_delivery.figures(),
        due,
        unsent: direct.unsent(),
        compared,
        total: direct.tally,
    })
}

struct Course<'a> {
    direct: Direct,
    fleet: Fleet,
    clock: Clock,
    setting: &'a Setting,
    due: u64,
    busy_ns: u64,
}

impl Course<'_> {
    fn open(&mut self) -> Result<(), Failure> {
        self.direct.open_all(&mut self.fleet.outlet);
        let mut progress = (self.direct.unopened, self.clock.now_ns());
        while self.direct.unopened > 0 {
            self.fleet.turn(&mut self.direct, Patience::UpTo(TURN_NS))?;
            let now_ns = self.clock.now_ns();
            self.direct.repeat_due(&mut self.fleet.outlet, now_ns);
            if self.direct.unopened != progress.0 {
                progress = (self.direct.unopened, now_ns);
            } else if now_ns - progress.1 > OPEN_PATIENCE_NS {
                return Err(Failure::Server(format!("{} conversations were not opened", self.direct.unopened)));
            }
        }
        Ok(())
    }

    /// Warm-up and measurement.
    fn talk(&mut self) -> Result<(Usage, Usage), Failure> {
        let start_ns = self.clock.now_ns();
        let from_ns = start_ns + ns(self.setting.warmup_s);
        let to_ns = from_ns + ns(self.setting.seconds);
        self.direct.window = from_ns..to_ns;
        self.direct.stage = Stage::Talking;
        let mut plan = Plan::new(self.setting, start_ns);
        if plan.interval_ns.is_none() {
            plan.directions().for_each(|direction| self.direct.say(&mut self.fleet.outlet, direction, start_ns));
        }
        let mut before = None;
        loop {
            let now_ns = self.clock.now_ns();
            if now_ns >= to_ns {
                break;
            }
            if before.is_none() && now_ns >= from_ns {
                before = Some(self.usage());
            }
            while let Some((direction, intended_ns)) = plan.next_due(now_ns.min(to_ns - 1)) {
                self.due += 1;
                self.direct.say(&mut self.fleet.outlet, direction, intended_ns);
            }
            plan.begin_turn();
            self.turn(now_ns, if before.is_some() { to_ns } else { from_ns })?;
        }
        let after = self.usage();
        self.direct.stage = Stage::Ending;
        while let Some((direction, intended_ns)) = plan.next_due(to_ns - 1) {
            self.due += 1;
            self.direct.say(&mut self.fleet.outlet, direction, intended_ns);
            plan.begin_turn();
        }
        Ok((before.unwrap_or_default(), after))
    }

    /// Lets the last messages arrive. Those that are due and unsent by then are counted, those in flight are lost.
    fn end(&mut self) -> Result<(), Failure> {
        let patience_s = self.setting.patience_s;
        let until_ns = self.clock.now_ns() + ns(patience_s);
        while self.direct.in_flight > 0 {
            let now_ns = self.clock.now_ns();
            if now_ns > until_ns {
                break;
            }
            self.turn(now_ns, until_ns)?;
        }
        if self.direct.in_flight == 0 {
            return Ok(());
        }
        let unsent = self.direct.unsent();
        if unsent == 0 && self.direct.repeats.is_empty() {
            let lost = self.direct.in_flight;
            return Err(Failure::Server(format!(
                "{lost} messages got no Ack or were not delivered within {patience_s} s"
            )));
        }
        // Overloaded: give up what is not sent yet, and wait for what is.
        self.direct.give_up_due();
        let until_ns = self.clock.now_ns() + ns(patience_s);
        while self.direct.in_flight > 0 && self.clock.now_ns() < until_ns {
            self.turn(self.clock.now_ns(), until_ns)?;
        }
        let lost = self.direct.in_flight;
        if lost == 0 {
            Ok(())
        } else {
            Err(Failure::Server(format!("{lost} messages got no Ack or delivery in {patience_s} s")))
        }
    }

    fn turn(&mut self, now_ns: u64, deadline_ns: u64) -> Result<(), Failure> {
        self.direct.repeat_due(&mut self.fleet.outlet, now_ns);
        let patience = if self.direct.is_open_loop {
            Patience::Spin
        } else {
            let next_repeat = self.direct.next_repeat_ns().unwrap_or(u64::MAX);
            Patience::UpTo(deadline_ns.min(next_repeat).saturating_sub(now_ns).clamp(1, TURN_NS))
        };
        if self.fleet.turn(&mut self.direct, patience)? && patience == Patience::Spin {
            self.busy_ns += self.clock.now_ns() - now_ns;
        }
        Ok(())
    }

    fn usage(&self) -> Usage {
        Usage {
            at_ns: self.clock.now_ns(),
            server: self.setting.server_pid.map(CpuTimes::of).unwrap_or_default(),
            generator: CpuTimes::of(std::process::id()),
            machine: MachineTimes::now(),
            tally: self.direct.tally,
            traffic: self.fleet.traffic,
            sends: self.fleet.outlet.sends,
            busy_ns: self.busy_ns,
        }
    }
}

/// When which direction speaks in an open loop: at even intervals, in turn.
struct Plan {
    start_ns: u64,
    interval_ns: Option<f64>,
    next: u64,
    begun_this_turn: u64,
    directions: u32,
    step: u32,
}

impl Plan {
    fn new(setting: &Setting, start_ns: u64) -> Plan {
        let (directions, step) = if setting.is_one_way { (setting.pairs, 2) } else { (2 * setting.pairs, 1) };
        let interval_ns = setting.rate.map(|rate| NS_PER_S as f64 / rate);
        Plan { start_ns, interval_ns, next: 0, begun_this_turn: 0, directions, step }
    }

    fn directions(&self) -> impl Iterator<Item = Direction> + use<> {
        let step = self.step;
        (0..self.directions).map(move |index| index * step)
    }

    fn next_due(&mut self, now_ns: u64) -> Option<(Direction, u64)> {
        let intended_ns = self.start_ns + (self.next as f64 * self.interval_ns?) as u64;
        if intended_ns > now_ns || self.begun_this_turn >= STARTS_PER_TURN {
            return None;
        }
        let direction = (self.next % u64::from(self.directions)) as u32 * self.step;
        self.next += 1;
        self.begun_this_turn += 1;
        Some((direction, intended_ns))
    }

    fn begin_turn(&mut self) {
        self.begun_this_turn = 0;
    }
}

fn ns(seconds: f64) -> u64 {
    (seconds * NS_PER_S as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(pairs: u32, in_flight: u32) -> Setting {
        Setting {
            pairs,
            in_flight,
            is_one_way: false,
            body_bytes: 100,
            seconds: 1.0,
            warmup_s: 0.0,
            rate: None,
            samples: 4,
            patience_s: 1.0,
            connecting_max: 10,
            server_pid: None,
        }
    }

    #[test]
    fn every_user_is_in_as_many_pairs_as_are_in_flight() {
        for (pairs, in_flight, users) in [(200, 1, 400), (400, 16, 50), (6, 4, 3), (10, 4, 5)] {
            let setting = setting(pairs, in_flight);
            if users <= in_flight {
                assert!(setting.users().is_err());
                continue;
            }
            assert_eq!(setting.users().unwrap(), users);
            let members = setting.members().unwrap();
            assert_eq!(members.len(), pairs as usize);
            let mut unordered: Vec<_> = members.iter().map(|&(a, b)| (a.min(b), a.max(b))).collect();
            unordered.sort_unstable();
            unordered.dedup();
            assert_eq!(unordered.len(), members.len());
            for user in 0..users {
                let of_user = members.iter().filter(|&&(a, b)| a != b && (a == user || b == user)).count();
                assert_eq!(of_user, in_flight as usize);
            }
        }
        for (pairs, in_flight) in [(10, 3), (10, 18), (3, 4), (10, 0)] {
            assert!(setting(pairs, in_flight).users().is_err(), "{pairs} {in_flight}");
        }
    }

    #[test]
    fn an_open_loop_keeps_its_times_whatever_the_delay() {
        let mut open = setting(2, 1);
        open.rate = Some(1000.0);
        let mut plan = Plan::new(&open, 500);
        assert_eq!(plan.next_due(500), Some((0, 500)));
        assert_eq!(plan.next_due(500), None);
        let late: Vec<_> = std::iter::from_fn(|| plan.next_due(4_000_500)).collect();
        let expected: Vec<_> = (1..=4u32).map(|k| (k % 4, 500 + u64::from(k) * 1_000_000)).collect();
        assert_eq!(late, expected);
        open.is_one_way = true;
        assert_eq!(Plan::new(&open, 0).directions().collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn one_turn_does_not_start_everything() {
        let mut open = setting(2, 1);
        open.rate = Some(1e9);
        let mut plan = Plan::new(&open, 0);
        assert_eq!(std::iter::from_fn(|| plan.next_due(NS_PER_S)).count() as u64, STARTS_PER_TURN);
        plan.begin_turn();
        assert!(plan.next_due(NS_PER_S).is_some());
    }
}
