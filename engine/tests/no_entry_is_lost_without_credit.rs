//! Set-up: shards post half a million numbered requests and pushes each to the next one as fast as their credit allows, so
//! that all lanes are full in both directions, and answer each other's requests; with wakes by ring and by eventfd. And one
//! posts pushes only, so that nothing but returned credit wakes it.
//! Claim: every entry arrives once and in order, every request is answered, and nobody waits for ever.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::echo;
use trunkline_engine::ring::{Feature, Features};
use trunkline_engine::{Config, Server, ShardSetup};
use trunkline_shards::contract::{ConnectionId, Core, Effect, Effects, Event, Now, ShardId};
use trunkline_shards::entry::{Entry, HomeAnswer, HomeRequest};
use trunkline_shards::store::UserKey;
use trunkline_wire::ids::{TenantId, UserId};

#[derive(Debug, Default)]
struct Seen {
    arrived: AtomicU64,
    answered: AtomicU64,
    starved: AtomicU64,
}

/// Floods its neighbour above, and checks what comes from the one below.
struct Flood {
    to: ShardId,
    entries: u64,
    posted: u64,
    arrived: u64,
    credit: u32,
    answers_free: u32,
    awaited: VecDeque<u32>,
    frame: Arc<[u8]>,
    seen: Arc<Seen>,
}

impl Flood {
    fn new(setup: &ShardSetup, entries: u64, one_way: bool, seen: Arc<Seen>) -> Flood {
        Flood {
            to: (setup.shard + 1) % setup.shards,
            entries: if one_way && setup.shard > 0 { 0 } else { entries },
            posted: 0,
            arrived: 0,
            credit: setup.room.pushes,
            answers_free: if one_way { 0 } else { setup.room.answers },
            awaited: VecDeque::new(),
            frame: Arc::from([0].as_slice()),
            seen,
        }
    }

    /// Every second one is a request, as long as there is room for its answer.
    fn post(&mut self, effects: &mut Effects) {
        let number = self.posted as u32;
        let entry = if number.is_multiple_of(2) && self.answers_free > 0 {
            self.answers_free -= 1;
            self.awaited.push_back(number);
            let key = UserKey { tenant: TenantId(0), user: UserId(1) };
            Entry::Request { ticket: number, request: Box::new(HomeRequest::CheckUser { key }) }
        } else {
            Entry::Push { connection: ConnectionId { slot: number, generation: 1 }, frame: Arc::clone(&self.frame) }
        };
        effects.push(Effect::Post { shard: self.to, entry });
        self.posted += 1;
        self.credit -= 1;
    }

    fn check(&mut self, number: u32) {
        assert_eq!(u64::from(number), self.arrived, "in order, nothing twice, nothing missing");
        self.arrived += 1;
        self.seen.arrived.fetch_add(1, SeqCst);
    }
}

impl Core for Flood {
    fn apply(&mut self, _now: Now, event: Event<'_>, effects: &mut Effects) {
        match event {
            Event::Posted { entry: Entry::Push { connection, .. }, .. } => self.check(connection.slot),
            Event::Posted { from, entry: Entry::Request { ticket, .. } } => {
                self.check(ticket);
                let entry = Entry::Answer { ticket, answer: HomeAnswer::UserExists(true) };
                effects.push(Effect::Post { shard: from, entry });
            }
            Event::Posted { entry: Entry::Answer { ticket, .. }, .. } => {
                assert_eq!(self.awaited.pop_front(), Some(ticket), "answers come in order");
                self.answers_free += 1;
                self.seen.answered.fetch_add(1, SeqCst);
            }
            Event::Credit { entries, .. } => self.credit += entries,
            Event::Drain => effects.push(Effect::Drained),
            _ => unreachable!(),
        }
    }

    fn work(&mut self, _now: Now, _budget: u32, effects: &mut Effects) -> bool {
        while self.credit > 0 && self.posted < self.entries {
            self.post(effects);
        }
        if self.credit == 0 && self.posted < self.entries {
            self.seen.starved.fetch_add(1, SeqCst);
        }
        false
    }

    fn next_deadline(&self) -> Option<u64> {
        None
    }
}

fn flood(config: &Config, entries: u64, one_way: bool) {
    let seen = Arc::new(Seen::default());
    let cores = Arc::clone(&seen);
    let begin = Instant::now();
    let server = Server::start(config, move |setup| Flood::new(&setup, entries, one_way, Arc::clone(&cores))).unwrap();
    let all = if one_way { entries } else { entries * u64::from(config.shards) };
    while seen.arrived.load(SeqCst) < all {
        assert!(begin.elapsed() < Duration::from_secs(20), "stuck at {seen:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
    println!("{} shards: {all} entries in {:?}, {seen:?}", config.shards, begin.elapsed());
    assert!(seen.starved.load(SeqCst) > 10, "credit was exhausted on purpose");
    assert_eq!(seen.answered.load(SeqCst) > 0, !one_way);
    echo::stop(server);
}

#[test]
fn no_entry_is_lost_without_credit() {
    let two = echo::config();
    let no_msg_ring = Config { ring_disable: Features::NONE.with(Feature::MsgRing), ..two.clone() };
    for config in [&two, &no_msg_ring] {
        flood(config, 500_000, false);
        flood(config, 500_000, true);
    }
    // The least room a lane can have.
    flood(&Config { shards: 48, ..two }, 5_000, false);
}
