//! What goes wrong: cuts, stalls, crashes, full disks, clocks that jump, backups that are put back.

use std::hash::Hasher;

use trunkline_shards::{Event, ShardId};

use super::World;
use crate::options::Faults;
use crate::person::{Habit, Recall};
use crate::process::Process;

impl World {
    pub(super) fn fail_something(&mut self) {
        let faults = self.faults;
        let mut comes = |rate: usize| rate > 0 && self.dice.below(10_000) < rate;
        let (cut, crash, client_crash) = (comes(faults.cut), comes(faults.crash), comes(faults.client_crash));
        let (lost_state, stall, full) = (comes(faults.lost_state), comes(faults.stall), comes(faults.disk_full));
        let (clock, drain, restore) = (comes(faults.clock_jump), comes(faults.drain), comes(faults.restore));
        if cut {
            self.cut_link();
        }
        if (crash || restore) && self.process.is_some() {
            self.mark(if restore { "restores" } else { "crashes" });
            self.incarnation += u64::from(restore);
            self.crash_process();
        }
        if client_crash || lost_state {
            self.crash_person(lost_state);
        }
        if stall && let Some(id) = self.pick_link(|_| true) {
            let until = self.mono_ns + self.dice.below(40_000) as u64 * 1_000_000;
            if let Some(link) = self.links.get_mut(&id) {
                link.stalled_until_ns = until;
            }
        }
        if full {
            self.store.full = !self.store.full;
            self.mark("disk_turns");
        }
        if clock {
            self.wall_offset_ms = self.dice.below(7_200_000) as u64;
            self.mark("clock_jumps");
        }
        if drain && self.process.is_some() && !self.draining {
            self.mark("drains");
            self.begin_drain();
        }
    }

    fn crash_person(&mut self, lose_state: bool) {
        self.mark(if lose_state { "lost_states" } else { "client_crashes" });
        let number = self.dice.below(self.persons.len());
        let recall = match self.dice.below(10) {
            0..7 => Recall::Newest,
            7..9 => Recall::Older,
            _ => Recall::Nothing,
        };
        self.restart_person(number, lose_state, recall);
    }

    pub(super) fn restart_person(&mut self, number: usize, lose_state: bool, recall: Recall) {
        let person = &self.persons[number];
        match (person.habit, recall) {
            (Habit::Keeps, Recall::Newest) if person.kept.has_stored() => self.mark("persons_resumed"),
            (Habit::Keeps, Recall::Older) if person.kept.has_stored() => self.mark("persons_resumed_older"),
            (Habit::Keeps, _) => self.mark("persons_forgot"),
            _ => {}
        }
        let new_life = lose_state.then(|| {
            self.lives += 1;
            self.lives
        });
        let (link, lost) = self.persons[number].restart(new_life, recall);
        self.oracle.texts.abandoned(&lost);
        self.count_as_confirmed(number);
        if let Some(link) = link {
            self.leave(link, true);
        }
        self.poll_person(number);
    }

    /// What a device has stored it has: its position may be reported, whatever its program says of messages.
    fn count_as_confirmed(&mut self, number: usize) {
        let person = &self.persons[number];
        for (&conversation, &seq) in &person.kept.state().places {
            let known = self.confirmed.entry((person.user, person.device, conversation)).or_default();
            *known = (*known).max(seq);
        }
    }

    fn begin_drain(&mut self) {
        self.draining = true;
        let shards = self.process.as_ref().map_or(0, |process| process.shards.len());
        for shard in 0..shards {
            self.apply(shard as ShardId, Event::Drain);
        }
    }

    pub(super) fn is_drained(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.drained.iter().all(|&drained| drained))
    }

    pub(super) fn start_process(&mut self) {
        let shards = if self.report.events == 0 { self.options.shards } else { self.dice.between(1, 4) as u16 };
        let now = self.now();
        let count = (shards, self.incarnation);
        let mut process = Process::start(&self.options, count, &self.keys, now, &mut self.dice);
        process.tells = self.trace;
        self.process = Some(process);
        self.draining = false;
        self.forget_blocking();
    }

    /// The process dies, and with it what was not durable.
    pub(super) fn crash_process(&mut self) {
        self.end_process();
        self.store.crash(&mut self.dice);
    }

    /// The process is gone, and every connection with it.
    pub(super) fn end_process(&mut self) {
        let Some(process) = self.process.take() else { return };
        self.draining = false;
        self.report.events += process.events;
        self.report.digest = self.report.digest.rotate_left(7) ^ process.trace.finish();
        self.report.mark_counters(&process.counters());
        self.report.mark("ceilings_crossed", process.ceilings_crossed);
        self.links.clear();
        self.oracle.lists.begin_anew();
        let now_ms = self.now_ms();
        for number in 0..self.persons.len() {
            self.persons[number].cut(now_ms);
            if self.violation.is_none() {
                self.poll_person(number);
            }
        }
    }

    /// No fault from here on.
    pub(super) fn heal(&mut self) {
        self.healed = true;
        self.faults = Faults::default();
        self.store.full = false;
        self.store.unknown_percent = 0;
        self.texts_left = 0;
        for link in self.links.values_mut() {
            link.stalled_until_ns = 0;
        }
        if self.process.is_none() {
            self.start_process();
        }
    }
}
