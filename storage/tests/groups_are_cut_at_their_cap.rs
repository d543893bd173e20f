//! The log's loop, over a plain queue: everything that waits is one group up to the cap, each request is answered once and
//! in order, and what was taken before the end is still done.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use crate::rows::*;
use trunkline_shards::contract::{ShardId, Ticket};
use trunkline_shards::store::{Load, Loaded, StoreResult};
use trunkline_storage::driver::{Mailbox, Request, run_index, run_log};
use trunkline_storage::limits::GROUP_BYTES_MAX;
use trunkline_storage::{Fatal, Index, Log, MemoryStore, Misuse, Write};
use trunkline_wire::limits::BODY_BYTES_MAX;

/// Gives out its takes one by one.
struct Queue<T> {
    takes: VecDeque<Vec<Request<T>>>,
    answers: Vec<(ShardId, Ticket, StoreResult)>,
    unflushed: usize,
}

impl<T> Queue<T> {
    fn new(takes: Vec<Vec<T>>) -> Queue<T> {
        let mut ticket = 0;
        let mut request = |what| {
            ticket += 1;
            Request { shard: (ticket % 3) as ShardId, ticket: Ticket(ticket), what }
        };
        let takes = takes.into_iter().map(|take| take.into_iter().map(&mut request).collect()).collect();
        Queue { takes, answers: Vec::new(), unflushed: 0 }
    }
}

impl<T> Mailbox<T> for Queue<T> {
    fn take(&mut self, into: &mut Vec<Request<T>>) -> bool {
        assert_eq!(self.unflushed, 0, "a loop wakes its askers before it waits");
        into.extend(self.takes.pop_front().unwrap_or_default());
        !self.takes.is_empty()
    }

    fn answer(&mut self, shard: ShardId, ticket: Ticket, result: StoreResult) {
        self.answers.push((shard, ticket, result));
        self.unflushed += 1;
    }

    fn answers_done(&mut self) {
        self.unflushed = 0;
    }
}

/// A log that notes the size of each group.
struct Counting {
    log: MemoryStore,
    groups: Arc<Mutex<Vec<(usize, usize)>>>,
}

impl Log for Counting {
    fn commit(&mut self, writes: &[Write]) -> Result<Vec<StoreResult>, Fatal> {
        let bytes = writes.iter().map(Write::cost_bytes).sum();
        self.groups.lock().expect("unpoisoned").push((writes.len(), bytes));
        self.log.commit(writes)
    }

    fn incarnation(&self) -> u64 {
        self.log.incarnation()
    }
}

/// How the loop ended, (writes, bytes) of each group, and the queue with the answers.
type Outcome = (Result<(), Fatal>, Vec<(usize, usize)>, Queue<Write>);

fn run(takes: Vec<Vec<Write>>) -> Outcome {
    let groups = Arc::new(Mutex::new(Vec::new()));
    let log: Box<dyn Log> = Box::new(Counting { log: MemoryStore::new(), groups: groups.clone() });
    let mut queue = Queue::new(takes);
    let ended = run_log(log, &mut queue);
    let groups = groups.lock().expect("unpoisoned").clone();
    (ended, groups, queue)
}

#[test]
fn what_waits_is_one_group_up_to_the_cap() {
    let large = |number| append(key(number), vec![row(1, &[1; BODY_BYTES_MAX])]);
    let small = |number| append(key(number), rows(1..=2));
    let huge = append(key(99), (1..=40).map(|seq| row(seq, &[2; BODY_BYTES_MAX])).collect());
    let takes =
        vec![(0..60).map(large).collect(), vec![], (60..80).map(small).collect(), vec![small(98), huge, small(97)]];
    let (ended, groups, queue) = run(takes);
    ended.expect("no fault");
    assert_eq!(groups.iter().map(|group| group.0).collect::<Vec<_>>(), [17, 17, 17, 9, 20, 1, 1, 1]);
    let oversized: Vec<_> = groups.iter().filter(|group| group.1 > GROUP_BYTES_MAX).collect();
    assert_eq!(oversized.len(), 1, "only a write that is larger by itself: {groups:?}");
    let expected: Vec<_> = (1..=83).map(|ticket| ((ticket % 3) as ShardId, Ticket(ticket))).collect();
    assert_eq!(queue.answers.iter().map(|answer| (answer.0, answer.1)).collect::<Vec<_>>(), expected);
    assert!(queue.answers.iter().all(|answer| matches!(answer.2, StoreResult::Appended(Ok(_)))));
}

#[test]
fn puts_count_too() {
    let claims = (0..20_000).map(|user| claim("alice", trunkline_wire::ids::UserId(user))).collect();
    let (ended, groups, queue) = run(vec![claims]);
    ended.expect("no fault");
    assert!(groups.len() > 1 && groups.iter().all(|group| group.1 <= GROUP_BYTES_MAX), "{groups:?}");
    assert_eq!(queue.answers.len(), 20_000);
}

#[test]
fn after_a_fatal_nothing_of_its_group_is_answered() {
    let user = trunkline_wire::ids::UserId(1);
    let takes =
        vec![vec![claim("a", user)], vec![claim("b", user), append(key(1), rows(2..=2))], vec![claim("c", user)]];
    let (ended, _, queue) = run(takes);
    assert!(matches!(ended, Err(Fatal::Caller(Misuse::NoMeta(_) | Misuse::Gap { .. }))), "{ended:?}");
    assert_eq!(queue.answers.len(), 1);
}

#[test]
fn every_load_is_answered() {
    let mut store = MemoryStore::new();
    store.commit(&[append(key(1), rows(1..=3)), claim("alice", ALICE)]).expect("room");
    let history = Load::History { key: key(1), from_seq: 2, backward: false, rows_max: 1, cost_bytes_max: 9999 };
    let handle = Load::Handle { tenant: TENANT, folded: "alice".to_owned() };
    let mut queue = Queue::new(vec![vec![Box::new(history)], vec![], vec![Box::new(handle)]]);
    let index: Arc<dyn Index> = Arc::new(store);
    run_index(index, &mut queue);
    let answers: Vec<_> = queue.answers.into_iter().map(|answer| answer.2).collect();
    let [StoreResult::Loaded(Ok(Loaded::History(page))), StoreResult::Loaded(Ok(Loaded::Handle(Some(ALICE))))] =
        &answers[..]
    else {
        panic!("{answers:?}");
    };
    assert_eq!(seqs(page), [2]);
}
