//! Set-up: two shards ask the memory store for 20,000 accounts each, written and then read, with as much outstanding as
//! their limits allow.
//! Claim: each ticket is answered exactly once, to the shard that asked, and a read sees what was durable before it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::echo;
use trunkline_engine::{Server, ShardSetup};
use trunkline_shards::contract::{Core, Effect, Effects, Event, Now, Ticket};
use trunkline_shards::store::{Load, Loaded, Put, PutOutcome, StoreResult, UserKey, UserRow};
use trunkline_wire::ids::{TenantId, UserId};

const ACCOUNTS: u64 = 20_000;

struct Clerk {
    setup: ShardSetup,
    asked: u64,
    puts: HashMap<Ticket, UserKey>,
    loads: HashMap<Ticket, UserKey>,
    durable: Vec<UserKey>,
    done: Arc<AtomicU64>,
}

impl Clerk {
    fn row(key: UserKey) -> UserRow {
        UserRow { handle: format!("user {}", key.user.0), created_ms: key.user.0, devices: 1, ..UserRow::default() }
    }
}

impl Core for Clerk {
    fn apply(&mut self, _now: Now, event: Event<'_>, effects: &mut Effects) {
        match event {
            Event::Stored { ticket, result: StoreResult::Put(outcome) } => {
                assert_eq!(outcome, Ok(PutOutcome::Done));
                self.durable.push(self.puts.remove(&ticket).unwrap());
            }
            Event::Stored { ticket, result: StoreResult::Loaded(Ok(Loaded::User(row))) } => {
                let key = self.loads.remove(&ticket).unwrap();
                assert_eq!(*row.unwrap(), Clerk::row(key));
                self.done.fetch_add(1, SeqCst);
            }
            Event::Drain => effects.push(Effect::Drained),
            other => unreachable!("{other:?}"),
        }
    }

    fn work(&mut self, _now: Now, _budget: u32, effects: &mut Effects) -> bool {
        while self.asked < ACCOUNTS && (self.puts.len() as u64) < self.setup.limits.puts_max {
            self.asked += 1;
            let user = UserId(u64::from(self.setup.shard) << 32 | self.asked);
            let key = UserKey { tenant: TenantId(0), user };
            let ticket = Ticket(self.asked);
            self.puts.insert(ticket, key);
            effects.push(Effect::Put { ticket, put: Box::new(Put::User { key, row: Clerk::row(key) }) });
        }
        while (self.loads.len() as u64) < self.setup.limits.loads_max {
            let Some(key) = self.durable.pop() else { break };
            let ticket = Ticket(key.user.0);
            self.loads.insert(ticket, key);
            effects.push(Effect::Load { ticket, load: Box::new(Load::User { key }) });
        }
        false
    }

    fn next_deadline(&self) -> Option<u64> {
        None
    }
}

#[test]
fn store_answers_come_back_once() {
    let done = Arc::new(AtomicU64::new(0));
    let cores = Arc::clone(&done);
    let clerk = move |setup| Clerk {
        setup,
        asked: 0,
        puts: HashMap::new(),
        loads: HashMap::new(),
        durable: Vec::new(),
        done: Arc::clone(&cores),
    };
    let server = Server::start(&echo::config(), clerk).unwrap();
    echo::eventually("all accounts are written and read", || done.load(SeqCst) == 2 * ACCOUNTS);
    echo::stop(server);
}
