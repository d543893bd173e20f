//! The server is killed with SIGKILL as soon as it has answered that somebody was added to a group, or removed, or that a
//! group was made: 100 times (REL-7, REL-10). More with TRUNKLINE_ADD_KILLS=1000.
//!
//! Set-up: two servers at the same time, one of one shard and one of two, each with half of the kills. `limits.list_every_ms`
//! at ten minutes, so that no list is stored before the kill; after every fifth kill the server runs with 5 ms, so that
//! stored lists and ones that are announced again are mixed. Ten people with two devices each in up to three groups.
//!
//! Claim: after every restart the list of each device of those who were added or removed has the group with the window that
//! the answer said, from the beginning and from the position that the device had before; every list is complete in the end.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use trunkline_tests::server::{Account, Server};
use trunkline_wire::ids::ConversationId;

use crate::dice::Dice;
use crate::peer::{PATIENCE, Peer};
use crate::rig;

const KILLS: u32 = 100;
const PEOPLE: usize = 10;
const GROUPS: usize = 3;
const LATE: &[&str] = &["limits.list_every_ms=600000", "limits.read_burst=100000"];
const SOON: &[&str] = &["limits.list_every_ms=5", "limits.read_burst=100000"];

/// Windows as a list shows them: (joined_seq, left_seq), by person and group.
type Windows = BTreeMap<(usize, ConversationId), (u64, u64)>;

/// Somebody with two devices.
struct Person {
    devices: [Account; 2],
    /// The position that each device had last.
    positions: [u64; 2],
}

struct Scene {
    server: Server,
    shards: &'static str,
    admin: Account,
    people: Vec<Person>,
    groups: Vec<ConversationId>,
    windows: Windows,
    dice: Dice,
}

impl Scene {
    fn new(shards: &'static str, dice: Dice) -> Scene {
        let mut server = rig::serve(LATE);
        rig::restart(&mut server, shards, LATE);
        let admin = server.add_user("admin");
        let devices = |number: usize| {
            let name = format!("person-{number}");
            [server.add_user(&name), server.add_device(&name)]
        };
        let people = (0..PEOPLE).map(|number| Person { devices: devices(number), positions: [0; 2] }).collect();
        Scene { server, shards, admin, people, groups: Vec::new(), windows: Windows::new(), dice }
    }

    fn login(&self, account: &Account) -> Peer {
        Peer::login(rig::address(&self.server), &account.token)
    }

    /// Notes a change; gives those whom it changed.
    fn note(&mut self, group: ConversationId, people: &[usize], seq: u64, is_add: bool) -> Vec<usize> {
        let mut changed = Vec::new();
        for &person in people {
            let window = self.windows.get(&(person, group)).copied();
            let is_in = window.is_some_and(|(_, left)| left == 0);
            if is_in != is_add {
                let joined = window.map_or(0, |(joined, _)| joined);
                self.windows.insert((person, group), if is_add { (seq, 0) } else { (joined, seq) });
                changed.push(person);
            }
        }
        changed
    }

    /// One change, and the kill right behind its answer. Gives those whom it changed.
    fn change_and_kill(&mut self) -> Vec<usize> {
        let mut admin = self.login(&self.admin);
        let count = 1 + self.dice.below(3) as usize;
        let mut people: Vec<usize> = (0..count).map(|_| self.dice.below(PEOPLE as u64) as usize).collect();
        people.sort_unstable();
        people.dedup();
        let users: Vec<_> = people.iter().map(|&person| self.people[person].devices[0].user).collect();
        if self.groups.len() < GROUPS {
            let made = admin.create_group(self.groups.len() as u64 + 1, "a group", &users).expect("a group");
            self.server.kill();
            self.groups.push(made.conversation);
            return self.note(made.conversation, &people, 1, true);
        }
        let group = self.groups[self.dice.below(GROUPS as u64) as usize];
        let is_in = |&person: &usize| self.windows.get(&(person, group)).is_some_and(|window| window.1 == 0);
        let is_add = !is_in(&people[0]);
        let seq = if is_add { admin.add(group, &users) } else { admin.remove(group, &users) };
        self.server.kill();
        self.note(group, &people, seq.expect("the admin changes the members"), is_add)
    }

    /// Each device of a person finds every group as it should be: in the whole list, and behind the position it had.
    fn check(&mut self, person: usize, is_concerned: bool) {
        let due: Vec<_> = self.windows.iter().filter(|((whose, _), _)| *whose == person).collect();
        let mut positions = [0; 2];
        for (device, account) in self.people[person].devices.iter().enumerate() {
            let mut peer = self.login(account);
            let before = self.people[person].positions[device];
            let deadline = Instant::now() + PATIENCE;
            loop {
                let list = peer.sync(0);
                let window = |&(&(_, group), &due): &(&(usize, ConversationId), &(u64, u64))| {
                    list.find(group).is_some_and(|row| (row.joined_seq, row.left_seq) == due)
                };
                let delta = peer.sync(before);
                // What changed since is behind the position: whoever goes on from there misses nothing.
                let changed = list.rows.iter().filter(|row| row.user_seq > before);
                let is_same = delta.rows.iter().map(|row| row.user_seq).eq(changed.map(|row| row.user_seq));
                let is_new = !is_concerned || !delta.rows.is_empty();
                if due.iter().all(window) && is_same && is_new {
                    positions[device] = list.to;
                    break;
                }
                let late = Instant::now() > deadline;
                assert!(!late, "{}: {due:?} is due, the list is {list:?}, behind {before} {delta:?}", account.name);
                thread::sleep(Duration::from_millis(5));
            }
        }
        self.people[person].positions = positions;
    }
}

fn kill_so_often(shards: &'static str, kills: u32, seed: u64) -> Duration {
    let mut scene = Scene::new(shards, Dice::new(seed));
    let mut restarts = Duration::ZERO;
    for kill in 1..=kills {
        let concerned = scene.change_and_kill();
        let start = Instant::now();
        rig::restart(&mut scene.server, scene.shards, if kill % 5 == 0 { SOON } else { LATE });
        restarts += start.elapsed();
        concerned.into_iter().for_each(|person| scene.check(person, true));
    }
    (0..PEOPLE).for_each(|person| scene.check(person, false));
    let marks = scene.server.counter("marks_replayed");
    assert!(marks > 0, "nothing had to be announced again: the lists were stored before the kills");
    restarts / kills
}

#[test]
fn a_kill_right_after_an_add_loses_no_list() {
    let _shared = rig::among_others();
    let kills = std::env::var("TRUNKLINE_ADD_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number of kills"));
    let seed = Dice::cast();
    println!("seed {seed:#x}");
    let took = thread::scope(|scope| {
        let sides = [("1", seed), ("2", seed ^ 1)];
        let sides = sides.map(|(shards, seed)| scope.spawn(move || kill_so_often(shards, kills.div_ceil(2), seed)));
        sides.map(|side| side.join().expect("one side is done"))
    });
    println!("{kills} kills, a restart took {took:?}");
}
