//! A data folder without a server: one shard on the calling thread, its effects carried out one by one.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use trunkline_edge::limits::ASK_ANSWER_MS;
use trunkline_edge::{AskError, Shards};
use trunkline_engine::clock;
use trunkline_shards::contract::{AdminAnswer, AdminRequest, Core, Effect, Effects, Event, ShardId, Ticket};
use trunkline_shards::limits::Limits;
use trunkline_shards::store::StoreResult;
use trunkline_shards::{Doorstep, LaneRoom, Shard, ShardConfig};
use trunkline_storage::embedded::{self, EmbeddedIndex, EmbeddedLog, OpenError, Options};
use trunkline_storage::{Index, Log, Write};
use trunkline_wire::token::TokenKeys;

/// Memory for what is read: a few accounts.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;

/// What it hands on in a turn.
const WORK_BUDGET: u32 = 1_024;
/// Between two looks at what is to be tried again.
const AGAIN: Duration = Duration::from_millis(10);

/// A store and the one shard that uses it.
pub struct Offline<L, I> {
    desk: RefCell<Desk<L, I>>,
}

struct Desk<L, I> {
    shard: Shard,
    log: L,
    index: Arc<I>,
    effects: Effects,
    /// What the store answered.
    events: VecDeque<Event<'static>>,
    tickets: u64,
}

impl Offline<EmbeddedLog, EmbeddedIndex> {
    /// Opens the store of a data folder, or makes a new one there.
    ///
    /// # Errors
    /// See [`OpenError`]: the folder is somebody's, damaged, or cannot be read.
    pub fn open(data: &Path, keys: TokenKeys) -> Result<Self, OpenError> {
        let options = Options { cache_bytes: CACHE_BYTES, worker_threads: 1, ..Options::default() };
        let (log, index) = embedded::open(data, options)?;
        Ok(Offline::over(log, index, keys))
    }
}

impl<L: Log, I: Index> Offline<L, I> {
    /// Over a store that is open.
    pub fn over(log: L, index: Arc<I>, keys: TokenKeys) -> Self {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).expect("the system has random bytes");
        let shard = Shard::new(ShardConfig {
            shard: 0,
            shards: 1,
            keys,
            limits: Limits::default(),
            room: LaneRoom { pushes: 0, answers: 0 },
            seed,
            incarnation: log.incarnation(),
            revocations: Arc::from([]),
            doorstep: Doorstep::default(),
            now: clock::now(),
        });
        Offline {
            desk: RefCell::new(Desk {
                shard,
                log,
                index,
                effects: Effects::new(),
                events: VecDeque::new(),
                tickets: 0,
            }),
        }
    }
}

impl<L: Log, I: Index> Shards for Offline<L, I> {
    fn count(&self) -> u16 {
        1
    }

    fn ask_within(&self, shard: ShardId, request: AdminRequest, _: Duration) -> Result<AdminAnswer, AskError> {
        // Nothing runs beside it: it answers before it returns.
        assert_eq!(shard, 0, "there is one shard");
        self.desk.borrow_mut().ask(request)
    }
}

impl<L: Log, I: Index> Desk<L, I> {
    /// Goes on until there is an answer. What is still to be done then, as lists to be told, is gone on with by the next
    /// question, or by the next server.
    fn ask(&mut self, request: AdminRequest) -> Result<AdminAnswer, AskError> {
        self.tickets += 1;
        let asked = Ticket(self.tickets);
        self.events.push_back(Event::Admin { ticket: asked, request });
        let give_up_at = Instant::now() + Duration::from_millis(ASK_ANSWER_MS);
        let mut answered = None;
        while answered.is_none() {
            if let Some(event) = self.events.pop_front() {
                self.shard.apply(clock::now(), event, &mut self.effects);
                answered = self.carry_out(asked)?;
                continue;
            }
            let is_more = self.shard.work(clock::now(), WORK_BUDGET, &mut self.effects);
            answered = self.carry_out(asked)?;
            if answered.is_none() && self.events.is_empty() && !is_more {
                if Instant::now() >= give_up_at {
                    return Err(AskError::Late);
                }
                // A write is to be tried again, after a while.
                thread::sleep(AGAIN);
            }
        }
        self.shard.work(clock::now(), WORK_BUDGET, &mut self.effects);
        self.carry_out(asked)?;
        Ok(answered.expect("it was waited for"))
    }

    /// Does what is to be done; the answer to a question, if it is among that.
    fn carry_out(&mut self, asked: Ticket) -> Result<Option<AdminAnswer>, AskError> {
        let (events, mut answered) = (&mut self.events, None);
        for effect in self.effects.drain() {
            match effect {
                Effect::Append { ticket, append } => {
                    let result = commit(&mut self.log, Write::Append(append))?;
                    events.push_back(Event::Stored { ticket, result });
                }
                Effect::Put { ticket, put } => {
                    let result = commit(&mut self.log, Write::Put(put))?;
                    events.push_back(Event::Stored { ticket, result });
                }
                Effect::Load { ticket, load } => {
                    let result = StoreResult::Loaded(self.index.load(&load));
                    events.push_back(Event::Stored { ticket, result });
                }
                // One that came late is of no use any more.
                Effect::Answer { ticket, answer } if ticket == asked => answered = Some(answer),
                Effect::Answer { .. } => {}
                Effect::Send { .. }
                | Effect::Close { .. }
                | Effect::HandOver { .. }
                | Effect::Post { .. }
                | Effect::Drained => {
                    unreachable!("there is no connection, no other shard and no drain")
                }
            }
        }
        Ok(answered)
    }
}

fn commit(log: &mut impl Log, write: Write) -> Result<StoreResult, AskError> {
    let results = log.commit(&[write]).map_err(|fatal| AskError::Failed(fatal.to_string()))?;
    Ok(results.into_iter().next().expect("a log answers each write once"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use trunkline_edge::accounts::{AccountError, Accounts};
    use trunkline_edge::keys;
    use trunkline_storage::MemoryStore;
    use trunkline_wire::ids::DeviceId;

    /// A folder that goes with the test.
    struct TestFolder(PathBuf);

    impl TestFolder {
        fn new(name: &str) -> TestFolder {
            let path = std::env::temp_dir().join(format!("trunkline-offline-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            TestFolder(path)
        }
    }

    impl Drop for TestFolder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn accounts<'a, S: Shards>(shards: &'a S, keys: &'a TokenKeys) -> Accounts<'a, S> {
        Accounts { shards, keys, now_s: 1_000 }
    }

    #[test]
    fn accounts_are_made_without_a_server() {
        let folder = TestFolder::new("memory");
        let keys = keys::open(&folder.0).unwrap();
        let store = MemoryStore::new();
        let offline = Offline::over(store.clone(), Arc::new(store), keys.clone());
        let accounts = accounts(&offline, &keys);
        let added = accounts.add("alice", None).unwrap();
        let again = accounts.token("ALICE", None).unwrap();
        assert_eq!((again.user, added.device, again.device), (added.user, DeviceId(1), DeviceId(2)));
        assert_eq!(keys.verify(&again.token, 1_000).unwrap().user, added.user);
        assert!(matches!(accounts.add("Alice", None), Err(AccountError::Taken(_))));
        assert!(matches!(accounts.token("bob", None), Err(AccountError::Unknown(_))));
    }

    #[test]
    fn accounts_are_there_when_the_folder_is_opened_again() {
        let folder = TestFolder::new("embedded");
        let keys = keys::open(&folder.0).unwrap();
        let open = || Offline::open(&folder.0, keys.clone());
        let offline = open().ok().unwrap();
        let added = accounts(&offline, &keys).add("alice", None).unwrap();
        assert!(matches!(open().err(), Some(OpenError::Locked { .. })));
        drop(offline);
        let offline = open().ok().unwrap();
        let again = accounts(&offline, &keys).token("alice", None).unwrap();
        assert_eq!((again.user, again.device), (added.user, DeviceId(2)));
        assert!(matches!(accounts(&offline, &keys).add("alice", None), Err(AccountError::Taken(_))));
    }
}
