//! The course of a run in which messages are followed: get ready, talk, come to an end; and what the processes used
//! meanwhile.

use std::ops::Range;

use crate::clock::{Clock, NS_PER_MS, NS_PER_S};
use crate::failure::Failure;
use crate::fleet::{Finite, Fleet, Patience, Traffic};
use crate::host::{CpuTimes, MachineTimes};
use crate::outlet::Outlet;

/// Longest wait of a turn in a closed loop.
const TURN_NS: u64 = 50 * NS_PER_MS;
/// How long a run may take to get ready without any progress.
const READY_PATIENCE_NS: u64 = 30 * NS_PER_S;

/// What happened so far.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Tally {
    /// Sends, repetitions included.
    pub sends: u64,
    /// Messages whose Ack came.
    pub acked: u64,
    /// Copies that came to recipients, right in place and body.
    pub delivered: u64,
    /// Refusals with `rate_limited`.
    pub rate_limited: u64,
    /// Other refusals that were repeated: `busy` above all.
    pub busy: u64,
}

/// A scenario in which messages are in flight. As [`Finite`] it is done when everybody may begin to talk.
pub trait Conversing: Finite {
    /// Talking begins; intended times in `window` count.
    fn begin(&mut self, outlet: &mut Outlet, window: Range<u64>, now_ns: u64);

    /// Open loop: what is due by now goes.
    fn start_due(&mut self, _outlet: &mut Outlet, _now_ns: u64) {}

    /// No new messages, except those that were already due.
    fn stop(&mut self, outlet: &mut Outlet, now_ns: u64);

    /// Does not send any more what is due.
    fn give_up_due(&mut self) {}

    /// Messages that are not both acked and delivered.
    fn in_flight(&self) -> u64;

    /// Messages that were due and not even sent, and refusals that wait to be asked again.
    fn waiting(&self) -> u64;

    /// When to ask again for what was refused.
    fn next_repeat_ns(&self) -> Option<u64>;

    /// Whether turns spin, since messages go at times of their own.
    fn is_open_loop(&self) -> bool {
        false
    }

    /// Counts so far.
    fn tally(&self) -> Tally;
}

/// How long a run takes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Spans {
    /// What comes before.
    pub warmup_s: f64,
    /// What is measured.
    pub seconds: f64,
    /// How long the last messages may take.
    pub patience_s: f64,
}

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
    /// Bytes in them.
    pub sent_bytes: u64,
    /// Open loop: time of turns with something to do, since the others only spin.
    pub busy_ns: u64,
}

impl Usage {
    /// Up to now, of a server's process and this one; without what only a course knows.
    #[must_use]
    pub fn now(clock: Clock, fleet: &Fleet, server_pid: Option<u32>) -> Usage {
        Usage {
            at_ns: clock.now_ns(),
            server: server_pid.map(CpuTimes::of).unwrap_or_default(),
            generator: CpuTimes::of(std::process::id()),
            machine: MachineTimes::now(),
            traffic: fleet.traffic,
            sends: fleet.outlet.sends,
            sent_bytes: fleet.outlet.bytes,
            ..Usage::default()
        }
    }
}

/// A run under way.
pub struct Course<S> {
    /// Who talks.
    pub scenario: S,
    /// Over what.
    pub fleet: Fleet,
    clock: Clock,
    spans: Spans,
    server_pid: Option<u32>,
    busy_ns: u64,
}

impl<S: Conversing> Course<S> {
    /// With all sessions open.
    pub fn new(scenario: S, fleet: Fleet, clock: Clock, spans: Spans, server_pid: Option<u32>) -> Course<S> {
        Course { scenario, fleet, clock, spans, server_pid, busy_ns: 0 }
    }

    /// From the first conversation to the last message: what was used at the beginning and the end of what is measured.
    ///
    /// # Errors
    /// Whatever makes the figures worthless: wrong bytes, lost messages, refusals that last.
    pub fn run(&mut self) -> Result<(Usage, Usage), Failure> {
        self.fleet.finish(&mut self.scenario, READY_PATIENCE_NS, "conversations to be opened")?;
        let usages = self.talk()?;
        self.end()?;
        Ok(usages)
    }

    /// Warm-up and measurement.
    fn talk(&mut self) -> Result<(Usage, Usage), Failure> {
        let start_ns = self.clock.now_ns();
        let from_ns = start_ns + ns(self.spans.warmup_s);
        let to_ns = from_ns + ns(self.spans.seconds);
        self.scenario.begin(&mut self.fleet.outlet, from_ns..to_ns, start_ns);
        let mut before = None;
        loop {
            let now_ns = self.clock.now_ns();
            if now_ns >= to_ns {
                break;
            }
            if before.is_none() && now_ns >= from_ns {
                before = Some(self.usage());
            }
            self.scenario.start_due(&mut self.fleet.outlet, now_ns.min(to_ns - 1));
            self.turn(now_ns, if before.is_some() { to_ns } else { from_ns })?;
        }
        let after = self.usage();
        self.scenario.stop(&mut self.fleet.outlet, to_ns - 1);
        Ok((before.unwrap_or_default(), after))
    }

    /// Lets the last messages arrive. Those that are due and unsent by then are counted, those in flight are lost.
    fn end(&mut self) -> Result<(), Failure> {
        let patience_s = self.spans.patience_s;
        self.turn_until_landed()?;
        if self.scenario.in_flight() > 0 && self.scenario.waiting() > 0 {
            // Overloaded: give up what is not sent yet, and wait for what is.
            self.scenario.give_up_due();
            self.turn_until_landed()?;
        }
        match self.scenario.in_flight() {
            0 => Ok(()),
            lost => {
                Err(Failure::Server(format!("{lost} messages got no Ack or were not delivered within {patience_s} s")))
            }
        }
    }

    fn turn_until_landed(&mut self) -> Result<(), Failure> {
        let until_ns = self.clock.now_ns() + ns(self.spans.patience_s);
        while self.scenario.in_flight() > 0 {
            let now_ns = self.clock.now_ns();
            if now_ns > until_ns {
                break;
            }
            self.turn(now_ns, until_ns)?;
        }
        Ok(())
    }

    fn turn(&mut self, now_ns: u64, deadline_ns: u64) -> Result<(), Failure> {
        self.scenario.repeat_due(&mut self.fleet.outlet, now_ns);
        let patience = if self.scenario.is_open_loop() {
            Patience::Spin
        } else {
            let next_repeat = self.scenario.next_repeat_ns().unwrap_or(u64::MAX);
            Patience::UpTo(deadline_ns.min(next_repeat).saturating_sub(now_ns).clamp(1, TURN_NS))
        };
        if self.fleet.turn(&mut self.scenario, patience)? && patience == Patience::Spin {
            self.busy_ns += self.clock.now_ns() - now_ns;
        }
        Ok(())
    }

    fn usage(&self) -> Usage {
        let usage = Usage::now(self.clock, &self.fleet, self.server_pid);
        Usage { tally: self.scenario.tally(), busy_ns: self.busy_ns, ..usage }
    }
}

/// Seconds in nanoseconds.
#[must_use]
pub fn ns(seconds: f64) -> u64 {
    (seconds * NS_PER_S as f64) as u64
}
