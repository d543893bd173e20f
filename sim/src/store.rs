//! A store that forgets what was not durable, fills up, and may leave open what it did.

use std::collections::{BTreeMap, VecDeque};

use trunkline_shards::ShardId;
use trunkline_shards::contract::Ticket;
use trunkline_shards::store::{Append, ConversationKey, Load, Put, PutOutcome, StoreFault, StoreResult};
use trunkline_storage::{Index, Log, MemoryStore, Write};

use crate::options::{Dice, Profile};

/// Who asked, and what.
struct Asked<T> {
    shard: ShardId,
    ticket: Ticket,
    what: T,
}

/// Two layers: what is durable, and what is on its way there.
pub struct Store {
    profile: Profile,
    durable: MemoryStore,
    /// In the order of asking; only the order per shard means something.
    writes: VecDeque<Asked<Write>>,
    loads: Vec<Asked<Box<Load>>>,
    /// First seqs of appends whose last answer said nothing: rows from there on may be durable, and nobody knows.
    unsettled: BTreeMap<ConversationKey, u64>,
    /// No write has room.
    pub full: bool,
    /// Percent of answers to writes that say nothing.
    pub unknown_percent: usize,
}

/// An answer on its way to a shard.
pub type StoreAnswer = (ShardId, Ticket, StoreResult);

impl Store {
    /// An empty store.
    pub fn new(profile: Profile, unknown_percent: usize) -> Store {
        Store {
            profile,
            durable: MemoryStore::new(),
            writes: VecDeque::new(),
            loads: Vec::new(),
            unsettled: BTreeMap::new(),
            full: false,
            unknown_percent,
        }
    }

    /// What a reader sees now.
    pub fn read(&self, load: &Load) -> trunkline_shards::store::Loaded {
        self.durable.load(load).expect("memory can be read")
    }

    /// Writes at once, for the world's own set-up.
    pub fn write_now(&mut self, put: Put) {
        self.commit(vec![Write::Put(Box::new(put))]);
    }

    /// Takes an append.
    pub fn append(&mut self, shard: ShardId, ticket: Ticket, append: Box<Append>) {
        self.writes.push_back(Asked { shard, ticket, what: Write::Append(append) });
    }

    /// Takes a write to the index.
    pub fn put(&mut self, shard: ShardId, ticket: Ticket, put: Box<Put>) {
        self.writes.push_back(Asked { shard, ticket, what: Write::Put(put) });
    }

    /// Takes a read.
    pub fn load(&mut self, shard: ShardId, ticket: Ticket, load: Box<Load>) {
        self.loads.push(Asked { shard, ticket, what: load });
    }

    /// Whether the process knows that a seq is durable if it is.
    pub fn is_settled(&self, key: ConversationKey, seq: u64) -> bool {
        self.unsettled.get(&key).is_none_or(|&first| seq < first)
    }

    /// Whether writes wait.
    pub fn has_writes(&self) -> bool {
        !self.writes.is_empty()
    }

    /// Whether reads wait.
    pub fn has_loads(&self) -> bool {
        !self.loads.is_empty()
    }

    /// Answers one read.
    pub fn answer_load(&mut self, dice: &mut Dice) -> StoreAnswer {
        let asked = self.loads.swap_remove(dice.below(self.loads.len()));
        let failed = self.unknown_percent > 0 && dice.percent(2);
        let result = if failed { Err(StoreFault::Unknown) } else { self.durable.load(&asked.what) };
        (asked.shard, asked.ticket, StoreResult::Loaded(result))
    }

    /// Makes some of what waits durable and answers it.
    pub fn step(&mut self, dice: &mut Dice) -> Vec<StoreAnswer> {
        match self.profile {
            Profile::Embedded => self.commit_group(dice),
            Profile::Partition => vec![self.write_one(dice)],
        }
    }

    /// A group commit: the oldest so many, together.
    fn commit_group(&mut self, dice: &mut Dice) -> Vec<StoreAnswer> {
        let count = dice.between(1, self.writes.len());
        let group: Vec<Asked<Write>> = self.writes.drain(..count).collect();
        let who: Vec<_> = group.iter().map(|asked| (asked.shard, asked.ticket)).collect();
        let writes: Vec<Write> = group.into_iter().map(|asked| asked.what).collect();
        let results = if self.full {
            writes.iter().map(|write| refused(write, StoreFault::Full)).collect()
        } else {
            self.commit(writes)
        };
        who.into_iter().zip(results).map(|((shard, ticket), result)| (shard, ticket, result)).collect()
    }

    /// One write of any shard: a database answers in any order, and sometimes not at all.
    fn write_one(&mut self, dice: &mut Dice) -> StoreAnswer {
        let asked = self.writes.remove(dice.below(self.writes.len())).expect("an index below the length");
        let (shard, ticket) = (asked.shard, asked.ticket);
        if self.full {
            return (shard, ticket, refused(&asked.what, StoreFault::Full));
        }
        if dice.percent(self.unknown_percent) {
            if let Write::Append(append) = &asked.what {
                self.unsettled.insert(append.key, append.rows[0].seq);
            }
            let result = refused(&asked.what, StoreFault::Unknown);
            if dice.percent(50) {
                self.write_some(asked.what, dice);
            }
            return (shard, ticket, result);
        }
        if let Write::Append(append) = &asked.what {
            self.unsettled.remove(&append.key);
        }
        let result = self.commit(vec![asked.what]).pop().expect("one write, one answer");
        (shard, ticket, result)
    }

    /// The process dies: what waits is lost, or was written all the same.
    pub fn crash(&mut self, dice: &mut Dice) {
        self.loads.clear();
        self.unsettled.clear();
        let waiting: Vec<Asked<Write>> = self.writes.drain(..).collect();
        match self.profile {
            // The group that was being committed is there or not.
            Profile::Embedded => {
                let count = if dice.percent(50) { dice.below(waiting.len() + 1) } else { 0 };
                self.commit(waiting.into_iter().take(count).map(|asked| asked.what).collect());
            }
            Profile::Partition => {
                for asked in waiting {
                    if dice.percent(50) {
                        self.write_some(asked.what, dice);
                    }
                }
            }
        }
    }

    /// A write without an answer: of an append its mark alone, or a prefix of its rows with it; of what names several users
    /// or devices any of them.
    fn write_some(&mut self, mut write: Write, dice: &mut Dice) {
        match &mut write {
            Write::Append(append) => {
                // The mark is written before the rows, never after.
                if let Some(announced_seq) = append.mark.filter(|_| dice.percent(25)) {
                    return self.durable.mark_alone(append.key, announced_seq);
                }
                let rows = dice.between(1, append.rows.len());
                append.rows.truncate(rows);
            }
            Write::Put(put) => match put.as_mut() {
                Put::List { changes } => changes.retain(|_| dice.percent(50)),
                Put::Receipts { receipts, .. } => receipts.retain(|_| dice.percent(50)),
                _ => {}
            },
        }
        self.commit(vec![write]);
    }

    fn commit(&mut self, writes: Vec<Write>) -> Vec<StoreResult> {
        if writes.is_empty() {
            return Vec::new();
        }
        self.durable.commit(&writes).unwrap_or_else(|fatal| panic!("the shards misuse the store: {fatal}"))
    }
}

fn refused(write: &Write, fault: StoreFault) -> StoreResult {
    match write {
        Write::Append(_) => StoreResult::Appended(Err(fault)),
        Write::Put(_) => StoreResult::Put(Err::<PutOutcome, _>(fault)),
    }
}
