//! One simulated world: a server process, client processes, a network, a store, two clocks, and a die that decides what
//! happens next.

mod acts;
mod blocking;
mod faults;
mod lines;
mod rest;
mod steps;
mod told;

use std::collections::BTreeMap;

use trunkline_shards::Now;
use trunkline_shards::store::{Put, UserKey, UserRow};
use trunkline_wire::ids::{ConversationId, DeviceId, UserId};
use trunkline_wire::token::{Claims, Scopes, TokenKey, TokenKeys};

use crate::network::{Link, LinkId};
use crate::options::{Dice, Faults, Options};
use crate::oracle::logs::Made;
use crate::oracle::{Oracle, TENANT};
use crate::person::{Habit, Person};
use crate::process::Process;
use crate::report::Report;
use crate::store::Store;
use crate::tap::Ears;

use blocking::Blocking;

const WALL_START_MS: u64 = 1_700_000_000_000;

/// A world.
pub struct World {
    seed: u64,
    options: Options,
    dice: Dice,
    trace: bool,
    mono_ns: u64,
    wall_offset_ms: u64,
    keys: TokenKeys,
    store: Store,
    incarnation: u64,
    process: Option<Process>,
    draining: bool,
    persons: Vec<Person>,
    links: BTreeMap<LinkId, Link>,
    next_link: LinkId,
    lives: usize,
    oracle: Oracle,
    /// What devices without a store of their own have confirmed, or need not be told since it was there when they began.
    confirmed: BTreeMap<(UserId, DeviceId, ConversationId), u64>,
    texts_left: usize,
    groups_left: usize,
    changes_left: usize,
    blocking: Blocking,
    faults: Faults,
    healed: bool,
    report: Report,
    violation: Option<String>,
}

impl World {
    /// A world as its options say.
    pub fn new(seed: u64, options: Options, trace: bool) -> World {
        let keys = TokenKeys::new(vec![TokenKey { id: 1, secret: [7; 32] }]).expect("one key");
        let mut world = World {
            seed,
            dice: Dice::new(seed, 2),
            trace,
            mono_ns: 1_000_000_000,
            wall_offset_ms: 0,
            store: Store::new(options.profile, options.faults.unknown_percent),
            incarnation: 1,
            process: None,
            draining: false,
            persons: Vec::new(),
            links: BTreeMap::new(),
            next_link: 0,
            lives: 0,
            oracle: Oracle::new(options.limits.group_members_max),
            confirmed: BTreeMap::new(),
            texts_left: options.texts,
            groups_left: options.groups,
            changes_left: options.changes,
            blocking: Blocking::default(),
            faults: options.faults,
            healed: false,
            report: Report { seed, ..Report::default() },
            violation: None,
            keys,
            options,
        };
        world.populate();
        world.start_process();
        world
    }

    fn users(&self) -> Vec<UserId> {
        (1..=self.options.users as u64).map(|n| UserId(n * 0x1111)).collect()
    }

    fn populate(&mut self) {
        let users = self.users();
        for (index, &user) in users.iter().enumerate() {
            let row = UserRow { handle: format!("user{index}"), created_ms: 0, devices: 3, ..UserRow::default() };
            self.store.write_now(Put::User { key: UserKey { tenant: TENANT, user }, row });
            let tabs = self.options.tabs.min(self.options.limits.sessions_per_device_max as usize);
            for number in 0..self.options.persons_per_user {
                self.add_person(user, DeviceId(1 + (number / tabs) as u32));
            }
            for &other in &users[index..] {
                let peers = if user == other { vec![user] } else { vec![user, other] };
                self.oracle.logs.add(ConversationId::direct(TENANT, user, other), Made::Direct(peers));
            }
        }
    }

    fn add_person(&mut self, user: UserId, device: DeviceId) {
        let claims = Claims {
            tenant: TENANT,
            user,
            device,
            scopes: Scopes::USER,
            issued_s: 0,
            expires_s: WALL_START_MS / 1_000 + 1_000_000_000,
        };
        self.lives += 1;
        let dice = Dice::new(self.seed, 100 + self.persons.len() as u8);
        // The position that the server keeps is the device's: who listens by it shares it with nobody who stores his own.
        let of_device = self.persons.iter().find(|person| (person.user, person.device) == (user, device));
        let habit = match (self.dice.below(10), of_device.map(|person| person.habit)) {
            (_, Some(Habit::Listens)) | (8.., None) => Habit::Listens,
            (0..3, _) => Habit::StartsAnew,
            _ => Habit::Keeps,
        };
        self.persons.push(Person::new((user, device), habit, self.keys.sign(&claims), self.lives, dice));
    }

    /// Runs to the end.
    pub fn run(mut self) -> Report {
        for _ in 0..self.options.steps {
            self.step();
            if self.violation.is_some() {
                return self.finish();
            }
        }
        self.heal();
        self.come_to_rest();
        self.finish()
    }

    fn finish(mut self) -> Report {
        self.end_process();
        self.report.mark("texts_sent", self.oracle.texts.count_sent());
        self.report.mark("texts_stored_though_given_up", self.oracle.texts.count_late(&self.oracle.logs));
        self.report.violation = self.violation.take();
        self.report
    }

    /// Runs something with a client process whose connection is tapped.
    fn with_person<T>(&mut self, number: usize, run: impl FnOnce(&mut Person, &mut Ears<'_>) -> T) -> T {
        let mut ears = Ears {
            oracle: &mut self.oracle,
            store: &self.store,
            typing_ms: self.options.limits.typing_ms,
            numbers_floor: ((self.incarnation - 1) << 40).max(1),
            began_now: None,
            heard: Vec::new(),
            marks: Vec::new(),
            tells: self.trace,
            violation: None,
        };
        let result = run(&mut self.persons[number], &mut ears);
        let Ears { began_now, heard, marks, violation, .. } = ears;
        heard.into_iter().for_each(|heard| self.persons[number].hear(heard));
        if let Some(now) = began_now {
            self.report.mark(if now { "listeners_began" } else { "listeners_resumed" }, 1);
            self.persons[number].began_now = now;
        }
        marks.into_iter().for_each(|mark| self.report.mark(mark, 1));
        self.break_off(violation.map_or(Ok(()), Err));
        result
    }

    /// The first broken promise ends the run.
    fn break_off(&mut self, verdict: Result<(), String>) {
        if let Err(violation) = verdict {
            self.violation.get_or_insert(violation);
        }
    }

    // ---- time

    fn now(&self) -> Now {
        Now { mono_ns: self.mono_ns, wall_ms: WALL_START_MS + self.wall_offset_ms + self.mono_ns / 1_000_000 }
    }

    fn now_ms(&self) -> u64 {
        self.mono_ns / 1_000_000
    }

    /// On to the next time at which somebody wants to act.
    fn advance(&mut self) {
        let of_clients = self.persons.iter().filter_map(|person| person.next_deadline_ms()).min();
        let of_shards = self.process.as_ref().and_then(Process::next_deadline);
        let of_stalls = self.links.values().map(|link| link.stalled_until_ns).filter(|&at| at > self.mono_ns).min();
        let next = [of_clients.map(|ms| ms * 1_000_000), of_shards, of_stalls].into_iter().flatten().min();
        let next = next.unwrap_or(self.mono_ns + 1_000_000_000);
        self.mono_ns = next.max(self.mono_ns + 1_000);
        if let Some(process) = &mut self.process {
            process.wake(self.mono_ns);
        }
    }

    // ---- telling

    fn mark(&mut self, mark: &'static str) {
        self.report.mark(mark, 1);
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>14} {}", self.mono_ns / 1_000, what());
        }
    }
}
