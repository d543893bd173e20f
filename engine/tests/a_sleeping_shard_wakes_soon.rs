//! Set-up: two shards; every millisecond one posts an entry to the other, which sleeps; by ring and by eventfd.
//! Claim: none of 300 wakes is lost; the time from post to arrival is printed.

use std::sync::{Arc, Mutex};

use crate::echo;
use trunkline_engine::ring::{Feature, Features};
use trunkline_engine::{Config, Server, clock};
use trunkline_shards::contract::{ConnectionId, Core, Effect, Effects, Event, Now, ShardId};
use trunkline_shards::entry::Entry;

const POSTS: usize = 300;
const EVERY_NS: u64 = 1_000_000;

struct Tick {
    shard: ShardId,
    next_ns: u64,
    posted: usize,
    took_ns: Arc<Mutex<Vec<u64>>>,
}

impl Core for Tick {
    fn apply(&mut self, _now: Now, event: Event<'_>, effects: &mut Effects) {
        match event {
            Event::Posted { entry: Entry::Push { connection, .. }, .. } => {
                let posted = u64::from(connection.generation) << 32 | u64::from(connection.slot);
                self.took_ns.lock().unwrap().push(clock::now().mono_ns - posted);
            }
            Event::Drain => effects.push(Effect::Drained),
            _ => {}
        }
    }

    fn work(&mut self, now: Now, _budget: u32, effects: &mut Effects) -> bool {
        if self.shard == 0 && now.mono_ns >= self.next_ns && self.posted < POSTS {
            self.posted += 1;
            self.next_ns = now.mono_ns + EVERY_NS;
            let posted = clock::now().mono_ns;
            let connection = ConnectionId { slot: posted as u32, generation: (posted >> 32) as u32 };
            effects
                .push(Effect::Post { shard: 1, entry: Entry::Push { connection, frame: Arc::from([0].as_slice()) } });
        }
        false
    }

    fn next_deadline(&self) -> Option<u64> {
        (self.shard == 0 && self.posted < POSTS).then_some(self.next_ns)
    }
}

fn wakes(name: &str, disabled: Features) {
    let took_ns = Arc::new(Mutex::new(Vec::new()));
    let cores = Arc::clone(&took_ns);
    let config = Config { ring_disable: disabled, pin: true, ..echo::config() };
    let tick = move |setup: trunkline_engine::ShardSetup| Tick {
        shard: setup.shard,
        next_ns: 0,
        posted: 0,
        took_ns: Arc::clone(&cores),
    };
    let server = Server::start(&config, tick).unwrap();
    echo::eventually("all posts arrive", || took_ns.lock().unwrap().len() == POSTS);
    echo::stop(server);
    let mut took = took_ns.lock().unwrap().clone();
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100] / 1000;
    println!("{name}: post to arrival at a sleeping shard p50 {} us, p99 {} us", at(50), at(99));
}

#[test]
fn a_sleeping_shard_wakes_soon() {
    wakes("by ring", Features::NONE);
    wakes("by eventfd", Features::NONE.with(Feature::MsgRing));
}
