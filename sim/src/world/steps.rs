//! What happens next: bytes, entries, writes and work move on, one at a time.

use trunkline_shards::contract::{Bytes, ConnectionId};
use trunkline_shards::{Event, Now, ShardId};

use super::World;
use crate::network::{Link, LinkId};
use crate::process::{Outcome, Process};

impl World {
    /// Something happens.
    pub(super) fn step(&mut self) {
        self.mono_ns += self.dice.below(60_000) as u64;
        self.fail_something();
        if self.process.is_none() {
            if self.healed || self.dice.percent(3) {
                self.start_process();
            }
        } else if self.draining && self.is_drained() {
            self.mark("drained");
            self.end_process();
            self.store.crash(&mut self.dice);
        }
        let attempts = if self.healed { 6 } else { 1 };
        let moved = (0..attempts).any(|_| self.move_something());
        let patient = if self.healed { 100 } else { 4 };
        if !moved && self.dice.percent(patient) && !self.is_busy() {
            self.advance();
        }
    }

    pub(super) fn move_something(&mut self) -> bool {
        match self.dice.below(100) {
            0..18 => self.move_to_server(),
            18..36 => self.move_to_client(),
            36..52 => self.move_lane(),
            52..60 => self.move_store(),
            60..68 => self.move_load(),
            68..80 => self.do_work(),
            80..88 => !self.healed && self.act(),
            88..94 => self.time_out_clients(),
            94..98 => self.close_link(),
            _ => false,
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        let moving = |link: &Link| {
            link.stalled_until_ns <= self.mono_ns
                && (!link.to_server.is_empty() || link.sending.is_some() || link.closing)
        };
        self.process.as_ref().is_some_and(Process::is_busy)
            || self.store.has_writes()
            || self.store.has_loads()
            || self.links.values().any(moving)
    }

    pub(super) fn move_to_server(&mut self) -> bool {
        let now_ns = self.mono_ns;
        let ready = |link: &Link| {
            link.stalled_until_ns <= now_ns
                && !link.closing
                && (!link.to_server.is_empty() || (!link.client_there && !link.end_told))
        };
        let Some(id) = self.pick_link(ready) else { return false };
        let segment = self.dice.between(1, self.options.segment_bytes_max);
        let Some(link) = self.links.get_mut(&id) else { return false };
        let (shard, connection) = (link.shard, link.connection);
        let mut bytes = link.take_to_server(segment);
        if bytes.is_empty() {
            link.end_told = true;
            self.apply(shard, Event::Ended { connection });
        } else {
            self.say(|| format!("link {id}: {} bytes to the server", bytes.len()));
            self.apply(shard, Event::Received { connection, bytes: &mut bytes });
        }
        true
    }

    pub(super) fn move_to_client(&mut self) -> bool {
        let now_ns = self.mono_ns;
        let Some(id) = self.pick_link(|link| link.stalled_until_ns <= now_ns && link.sending.is_some()) else {
            return false;
        };
        let segment = self.dice.between(1, self.options.segment_bytes_max);
        let Some(link) = self.links.get_mut(&id) else { return false };
        let (mut bytes, through) = link.take_to_client(segment);
        let (person, there, shard, connection) = (link.person, link.client_there, link.shard, link.connection);
        if let Some(bytes) = through {
            let buffer = match bytes {
                Bytes::Owned(buffer) => Some(buffer),
                Bytes::Shared(_) => None,
            };
            self.apply(shard, Event::Sent { connection, complete: there, buffer });
        }
        if there {
            let now_ms = self.now_ms();
            let wishes = self.with_person(person, |person, ears| person.received(now_ms, &mut bytes, ears));
            wishes.into_iter().for_each(|wish| self.grant(person, wish));
            self.poll_person(person);
        }
        true
    }

    pub(super) fn pick_link(&mut self, ready: impl Fn(&Link) -> bool) -> Option<LinkId> {
        let ids: Vec<LinkId> = self.links.iter().filter(|(_, link)| ready(link)).map(|(&id, _)| id).collect();
        self.dice.pick(&ids).copied()
    }

    pub(super) fn move_lane(&mut self) -> bool {
        let Some(process) = &mut self.process else { return false };
        let Some(&ends) = self.dice.pick(&process.busy_lanes()) else { return false };
        let now = Now { mono_ns: self.mono_ns, ..self.now() };
        let Some(process) = &mut self.process else { return false };
        let outcomes = process.step_lane(now, ends, &mut self.store, &mut self.dice);
        self.carry_out(outcomes);
        true
    }

    pub(super) fn move_store(&mut self) -> bool {
        if self.process.is_none() || !self.store.has_writes() {
            return false;
        }
        let answers = self.store.step(&mut self.dice);
        self.say(|| format!("store: {} writes answered", answers.len()));
        for (shard, ticket, result) in answers {
            self.apply(shard, Event::Stored { ticket, result });
        }
        true
    }

    pub(super) fn move_load(&mut self) -> bool {
        if self.process.is_none() || !self.store.has_loads() {
            return false;
        }
        let (shard, ticket, result) = self.store.answer_load(&mut self.dice);
        self.apply(shard, Event::Stored { ticket, result });
        true
    }

    pub(super) fn do_work(&mut self) -> bool {
        let Some(process) = &self.process else { return false };
        let due: Vec<ShardId> =
            (0..process.work_due.len()).filter(|&s| process.work_due[s]).map(|s| s as ShardId).collect();
        let Some(&shard) = self.dice.pick(&due) else { return false };
        let budget = self.dice.between(1, 8) as u32;
        let now = self.now();
        let Some(process) = &mut self.process else { return false };
        let outcomes = process.work(now, shard, budget, &mut self.store);
        self.carry_out(outcomes);
        true
    }

    pub(super) fn apply(&mut self, shard: ShardId, event: Event<'_>) {
        let now = self.now();
        let Some(process) = &mut self.process else { return };
        let outcomes = process.apply(now, shard, event, &mut self.store);
        self.carry_out(outcomes);
    }

    pub(super) fn carry_out(&mut self, outcomes: Vec<Outcome>) {
        for outcome in outcomes {
            match outcome {
                Outcome::Send(shard, connection, bytes) => {
                    let link = self.link_of(shard, connection);
                    assert!(link.sending.is_none() && !link.closing, "one send at a time, none after the close");
                    assert!(!bytes.as_slice().is_empty(), "a send sends something");
                    link.sending = Some((bytes, 0));
                }
                Outcome::Close(shard, connection) => {
                    let link = self.link_of(shard, connection);
                    assert!(!link.closing, "closed once");
                    link.closing = true;
                }
                Outcome::Answered(ticket, answer) => self.answered(ticket, &answer),
            }
        }
    }

    pub(super) fn link_of(&mut self, shard: ShardId, connection: ConnectionId) -> &mut Link {
        let process = self.process.as_ref().expect("effects come from a process");
        let id = process.links.get(&(shard, connection)).expect("effects speak of connections there are");
        self.links.get_mut(id).expect("a link is there until its slot is free")
    }
}
