//! 100,000 users and 100,000 conversations cost nothing until somebody asks for them, and then no more than the budget.
//!
//! Set-up: a folder with all of them, made with the store; 2,000 of the conversations are groups of ten, 100 users have 980
//! direct ones each. A server of two shards is started on it, and 10,000 times something is asked about a conversation drawn
//! by lot: opened, or its history read, by one of the 100, or by somebody else who logs in for it and syncs. First with a
//! budget (`limits.cache_bytes_max`, of each shard) of 1 MiB, which a tenth of that would fill, then with 32 MiB.
//!
//! Claim: every answer is right; the counted bytes stay within the budgets and what 32 requests under way may pin; with the
//! small budget users and conversations are evicted and taken up again; the process grows, from the 1,000th time on, by no more than
//! the budgets, the store's cache and 16 MiB, with the small budget as with the large one. The server is ready within 1 s
//! after a clean stop, and within 3 s as a kill left the folder, when this is built with `--release`; a build for development
//! reads journals many times more slowly, and has 5 s and 30 s. The figures are printed.

use std::fs;
use std::time::{Duration, Instant};

use trunkline_tests::server::Server;
use trunkline_wire::token::Scopes;

use crate::dice::Dice;
use crate::multitude::{DIRECTS, HUBS, USERS, conversation, direct_of, direct_of_hub, texts, user, write};
use crate::peer::Peer;
use crate::rig;

const TOUCHES: u64 = 10_000;
/// Of these the first, with which every thread comes to the memory it needs to work at all, about 30 MiB in sum.
const WARM_UP: u64 = 1_000;
/// Of these one in so many is somebody who logs in for it.
const LOGIN_EVERY: u64 = 5;
/// Ready within these times after a kill, and after a clean stop.
const READY_AFTER_KILL_MAX: Duration = Duration::from_secs(if cfg!(debug_assertions) { 30 } else { 3 });
const READY_MAX: Duration = Duration::from_secs(if cfg!(debug_assertions) { 5 } else { 1 });
const SHARDS: u64 = 2;
/// What is in the cache beyond its budget because something is under way, for each shard.
const PINNED_BYTES: u64 = 1024 * 1024;
const STORE_CACHE_KIB: u64 = 8 * 1024;
const SLACK_KIB: u64 = 16 * 1024;

/// What the process has of the machine's memory for itself.
fn proportional_kib(server: &Server) -> u64 {
    let path = format!("/proc/{}/smaps_rollup", server.pid());
    let text = fs::read_to_string(path).expect("the process tells of its memory");
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).expect("a line of Pss");
    line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
}

struct Visitors {
    tokens: Box<dyn Fn(u64) -> String>,
    hubs: Vec<Peer>,
    dice: Dice,
}

impl Visitors {
    fn new(server: &Server, dice: Dice) -> Visitors {
        let key = rig::keys(server).remove(0);
        let expires_s = rig::now().as_secs() + 3_600;
        let tokens = Box::new(move |number| rig::sign(&key, user(number), 1, Scopes::USER, expires_s));
        let hubs = (0..HUBS).map(|hub| Peer::login(rig::address(server), &tokens(hub))).collect();
        Visitors { tokens, hubs, dice }
    }

    fn touch(&mut self, server: &Server, count: u64) {
        if count.is_multiple_of(LOGIN_EVERY) {
            return self.visit(server);
        }
        let hub = self.dice.below(HUBS);
        let number = direct_of_hub(hub, self.dice.roll());
        let is_open = self.dice.below(2) == 0;
        check(&mut self.hubs[hub as usize], number, is_open);
    }

    /// Somebody comes, looks at the list and at a conversation, and goes.
    fn visit(&mut self, server: &Server) {
        let number = HUBS + self.dice.below(USERS - HUBS);
        let mut peer = Peer::login(rig::address(server), &(self.tokens)(number));
        let list = peer.sync(0);
        let direct = direct_of(number);
        let is_listed = list.find(conversation(direct).id).is_some_and(|row| row.last_seq == 2);
        assert_eq!(is_listed, direct < DIRECTS, "the list of user {number}: {list:?}");
        for row in list.rows.iter().filter(|row| row.kind == 2) {
            assert_eq!(peer.look(row.conversation).expect("a member").members, 10);
        }
        if is_listed {
            check(&mut peer, direct, true);
        }
    }
}

/// What is said of a direct conversation is what was stored.
fn check(peer: &mut Peer, number: u64, is_open: bool) {
    let id = conversation(number).id;
    if is_open {
        let opened = peer.look(id).expect("one of the two");
        assert_eq!((opened.last_seq, opened.high), (2, 1), "conversation {number}");
        return;
    }
    let told: Vec<_> = peer.history(id).into_iter().map(|row| (row.seq, row.body)).collect();
    let wanted = texts(number).map(|(seq, text)| (seq, text.into_bytes()));
    assert_eq!(told, wanted, "conversation {number}");
}

fn start(server: &mut Server, settings: &[&str]) -> Duration {
    let start = Instant::now();
    server.restart(&rig::arguments("2", settings));
    start.elapsed()
}

#[test]
fn cold_state_stays_within_its_budget() {
    let _alone = rig::alone();
    let mut server = rig::serve(&[]);
    server.stop();
    let began = Instant::now();
    write(&server.data());
    println!("written in {:?}", began.elapsed());
    let seed = Dice::cast();
    println!("seed {seed:#x}");
    let mut times = Vec::new();
    let starts = [("after a kill", READY_AFTER_KILL_MAX, 1, true), ("after a clean stop", READY_MAX, 32, false)];
    for (after, ready_max, budget_mib, is_small) in starts {
        let budget = format!("limits.cache_bytes_max={}", budget_mib * 1024 * 1024);
        let store_cache = format!("store.cache_bytes={}", STORE_CACHE_KIB * 1024);
        // Few receive buffers: those are touched one after the other, and would count as growth.
        let ready = start(&mut server, &[&budget, &store_cache, "ring.buffers=64"]);
        println!("ready {after} in {ready:?}");
        times.push((after, ready, ready_max));
        let mut visitors = Visitors::new(&server, Dice::new(seed));
        (0..WARM_UP).for_each(|count| visitors.touch(&server, count));
        let before = proportional_kib(&server);
        let began = Instant::now();
        let mut most_bytes = 0;
        for count in WARM_UP..TOUCHES {
            visitors.touch(&server, count);
            if count % 250 == 0 {
                most_bytes = most_bytes.max(server.counter("cache_bytes"));
            }
        }
        let took = began.elapsed();
        let grown = proportional_kib(&server).saturating_sub(before);
        let evicted = ["conversations_evicted", "users_evicted"].map(|name| server.counter(name));
        let loaded = ["conversations_loaded", "users_loaded"].map(|name| server.counter(name));
        println!(
            "budget {budget_mib} MiB a shard: {TOUCHES} touches in {took:?}, at most {most_bytes} bytes \
             counted, {grown} KiB more; loaded {loaded:?}, evicted {evicted:?} (conversations, users)"
        );
        let allowed = SHARDS * (budget_mib * 1024 * 1024 + PINNED_BYTES);
        assert!(most_bytes > 0 && most_bytes <= allowed, "{most_bytes} bytes are counted, {allowed} are allowed");
        let allowed = SHARDS * budget_mib * 1024 + STORE_CACHE_KIB + SLACK_KIB;
        assert!(grown <= allowed, "the server grew by {grown} KiB, {allowed} are allowed");
        if is_small {
            assert!(evicted.iter().all(|&count| count > 0), "nothing was evicted: {evicted:?}");
            assert!(loaded[0] > evicted[0], "more went than came");
        }
        drop(visitors);
        let began = Instant::now();
        server.stop();
        println!("stopped in {:?}", began.elapsed());
    }
    assert!(times.iter().all(|(_, ready, ready_max)| ready <= ready_max), "ready too late: {times:?}");
}
