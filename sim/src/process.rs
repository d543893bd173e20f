//! One life of the server process: its shards, and the lanes between them.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash};
use std::sync::Arc;

use trunkline_shards::contract::{AdminAnswer, ConnectionId, Effect, Ticket};
use trunkline_shards::counters::Counters;
use trunkline_shards::entry::Entry;
use trunkline_shards::store::{Load, Put, UserKey};
use trunkline_shards::{Core, Doorstep, Effects, Event, LaneRoom, Now, Shard, ShardConfig, ShardId};
use trunkline_wire::token::TokenKeys;

use crate::network::LinkId;
use crate::options::{Dice, Options};
use crate::store::Store;

/// Characters of a line of a trace.
const TOLD_CHARS: usize = 400;

/// A lane, with what its sender is owed for entries that were taken out.
#[derive(Default)]
struct Lane {
    entries: VecDeque<Entry>,
    credit_due: u32,
}

/// What happened outside of the shards.
pub enum Outcome {
    /// A shard wants bytes sent.
    Send(ShardId, ConnectionId, trunkline_shards::contract::Bytes),
    /// A shard wants a connection closed.
    Close(ShardId, ConnectionId),
    /// An administrator is answered.
    Answered(Ticket, AdminAnswer),
}

/// The shards of one process.
pub struct Process {
    pub shards: Vec<Shard>,
    lanes: BTreeMap<(ShardId, ShardId), Lane>,
    /// Shards whose `work` is owed.
    pub work_due: Vec<bool>,
    /// Shards that are done draining.
    pub drained: Vec<bool>,
    /// Links by shard and connection.
    pub links: BTreeMap<(ShardId, ConnectionId), LinkId>,
    next_slot: Vec<u32>,
    generation: u32,
    room: LaneRoom,
    effects: Effects,
    /// Highest ceilings written since their users were taken up.
    ceilings: BTreeMap<UserKey, u64>,
    /// Ceilings that were used up.
    pub ceilings_crossed: u64,
    /// Prints every effect.
    pub tells: bool,
    /// Events applied.
    pub events: u64,
    /// Hash over everything that went in and came out.
    pub trace: DefaultHasher,
}

impl Process {
    /// A process that was just started.
    pub fn start(
        options: &Options,
        (shards, incarnation): (u16, u64),
        keys: &TokenKeys,
        now: Now,
        dice: &mut Dice,
    ) -> Process {
        let config = |shard| ShardConfig {
            shard,
            shards,
            keys: keys.clone(),
            limits: options.limits.clone(),
            room: options.room,
            seed: dice.bytes(),
            incarnation,
            revocations: Arc::from([]),
            doorstep: Doorstep::default(),
            now,
        };
        let count = usize::from(shards);
        Process {
            shards: (0..shards).map(config).map(Shard::new).collect(),
            lanes: BTreeMap::new(),
            work_due: vec![true; count],
            drained: vec![false; count],
            links: BTreeMap::new(),
            next_slot: vec![0; count],
            generation: 0,
            room: options.room,
            effects: Effects::new(),
            ceilings: BTreeMap::new(),
            ceilings_crossed: 0,
            tells: false,
            events: 0,
            trace: DefaultHasher::new(),
        }
    }

    /// Applies an event and hands its effects to lanes and store; what is for the outside is returned.
    pub fn apply(&mut self, now: Now, shard: ShardId, event: Event<'_>, store: &mut Store) -> Vec<Outcome> {
        self.events += 1;
        (now.mono_ns, shard, std::mem::discriminant(&event)).hash(&mut self.trace);
        let mut effects = std::mem::take(&mut self.effects);
        self.shards[usize::from(shard)].apply(now, event, &mut effects);
        self.work_due[usize::from(shard)] = true;
        let outcomes = self.route(shard, &mut effects, store);
        self.effects = effects;
        outcomes
    }

    /// Lets a shard go on with what it put off.
    pub fn work(&mut self, now: Now, shard: ShardId, budget: u32, store: &mut Store) -> Vec<Outcome> {
        self.events += 1;
        (now.mono_ns, shard, budget).hash(&mut self.trace);
        let mut effects = std::mem::take(&mut self.effects);
        let more = self.shards[usize::from(shard)].work(now, budget, &mut effects);
        self.work_due[usize::from(shard)] = more;
        let outcomes = self.route(shard, &mut effects, store);
        self.effects = effects;
        outcomes
    }

    fn route(&mut self, shard: ShardId, effects: &mut Effects, store: &mut Store) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for effect in effects.drain() {
            if self.tells && !matches!(effect, Effect::Send { .. }) {
                println!("{:>14} shard {shard}: {}", "", brief(&effect));
            }
            match effect {
                Effect::Send { connection, bytes } => {
                    bytes.as_slice().hash(&mut self.trace);
                    outcomes.push(Outcome::Send(shard, connection, bytes));
                }
                Effect::HandOver { .. } => unreachable!("nobody else answers here"),
                Effect::Close { connection } => outcomes.push(Outcome::Close(shard, connection)),
                Effect::Append { ticket, append } => store.append(shard, ticket, append),
                Effect::Put { ticket, put } => {
                    self.note_put(&put);
                    store.put(shard, ticket, put);
                }
                Effect::Load { ticket, load } => {
                    if let Load::Ceiling { key } = &*load {
                        self.ceilings.remove(key);
                    }
                    store.load(shard, ticket, load);
                }
                Effect::Post { shard: to, entry } => self.post(shard, to, entry),
                Effect::Answer { ticket, answer } => outcomes.push(Outcome::Answered(ticket, answer)),
                Effect::Drained => self.drained[usize::from(shard)] = true,
            }
        }
        outcomes
    }

    fn note_put(&mut self, put: &Put) {
        if let Put::Ceiling { key, ceiling } = put {
            let before = self.ceilings.insert(*key, *ceiling);
            self.ceilings_crossed += u64::from(before.is_some_and(|before| before < *ceiling));
        }
    }

    fn post(&mut self, from: ShardId, to: ShardId, entry: Entry) {
        assert_ne!(from, to, "nothing is posted to oneself");
        let lane = self.lanes.entry((from, to)).or_default();
        lane.entries.push_back(entry);
        let answers = lane.entries.iter().filter(|entry| entry.is_answer()).count() as u32;
        let pushes = lane.entries.len() as u32 - answers + lane.credit_due;
        assert!(pushes <= self.room.pushes && answers <= self.room.answers, "a lane overflows: {pushes}, {answers}");
    }

    /// Lanes with entries or with credit to be returned.
    pub fn busy_lanes(&self) -> Vec<(ShardId, ShardId)> {
        let busy = |lane: &Lane| !lane.entries.is_empty() || lane.credit_due > 0;
        self.lanes.iter().filter(|(_, lane)| busy(lane)).map(|(&ends, _)| ends).collect()
    }

    /// Moves a lane on: an entry to its receiver, or credit to its sender.
    pub fn step_lane(
        &mut self,
        now: Now,
        ends: (ShardId, ShardId),
        store: &mut Store,
        dice: &mut Dice,
    ) -> Vec<Outcome> {
        let (from, to) = ends;
        let Some(lane) = self.lanes.get_mut(&ends) else { return Vec::new() };
        if lane.credit_due > 0 && (lane.entries.is_empty() || dice.percent(40)) {
            let entries = std::mem::take(&mut lane.credit_due);
            return self.apply(now, from, Event::Credit { shard: to, entries }, store);
        }
        let Some(entry) = lane.entries.pop_front() else { return Vec::new() };
        lane.credit_due += u32::from(!entry.is_answer());
        self.apply(now, to, Event::Posted { from, entry }, store)
    }

    /// A name for a new connection of a shard.
    pub fn connect(&mut self, shard: ShardId, link: LinkId, dice: &mut Dice) -> ConnectionId {
        self.generation += 1;
        let used: Vec<u32> = self.links.keys().filter(|(s, _)| *s == shard).map(|(_, id)| id.slot).collect();
        let highest = self.next_slot[usize::from(shard)];
        let free: Vec<u32> = (0..highest).filter(|slot| !used.contains(slot)).collect();
        let slot = dice.pick(&free).copied().unwrap_or_else(|| {
            self.next_slot[usize::from(shard)] += 1;
            highest
        });
        let connection = ConnectionId { slot, generation: self.generation };
        self.links.insert((shard, connection), link);
        connection
    }

    /// Shards that asked to be woken by now are to work.
    pub fn wake(&mut self, mono_ns: u64) {
        for (shard, due) in self.shards.iter().zip(&mut self.work_due) {
            *due |= shard.next_deadline().is_some_and(|deadline| deadline <= mono_ns);
        }
    }

    /// What all shards together counted.
    pub fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        self.shards.iter().for_each(|shard| counters.add(&shard.counters()));
        counters
    }

    /// Whether a lane or a shard has something to do now.
    pub fn is_busy(&self) -> bool {
        self.work_due.iter().any(|&due| due) || !self.busy_lanes().is_empty()
    }

    /// The earliest time at which a shard wants to work.
    pub fn next_deadline(&self) -> Option<u64> {
        self.shards.iter().filter_map(Core::next_deadline).min()
    }
}

/// The beginning of what is printed of something.
pub fn brief(what: &impl std::fmt::Debug) -> String {
    format!("{what:?}").chars().take(TOLD_CHARS).collect()
}
