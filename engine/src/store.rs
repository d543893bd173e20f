//! Store lanes: what shards ask of the log and the readers, and the threads of those.
//!
//! From each shard a bounded lane to the log (appends and index writes) and one to each reader, and back. A lane back has
//! room for everything that can be outstanding, so answers never wait.

mod counted;

use std::sync::Arc;
use std::thread::JoinHandle;

use rtrb::{Consumer, Producer, RingBuffer};
use trunkline_shards::contract::{ShardId, Ticket};
use trunkline_shards::limits::Limits;
use trunkline_shards::store::{Load, StoreResult};
use trunkline_storage::driver::{Mailbox, Request, run_index, run_log};
use trunkline_storage::{Index, Log, Write};

pub use counted::StoreWatch;

use crate::thread;
use crate::wake::{Alarm, Doorbell};
use counted::Counted;

/// Threads that read.
pub const READERS: usize = 2;
/// Exit code of a process whose store failed (`EX_SOFTWARE` of sysexits.h).
pub const EXIT_STORE_FAILED: i32 = 70;

/// The lane between a shard and a store thread, as the shard has it.
#[derive(Debug)]
struct Counter<T> {
    requests: Producer<Request<T>>,
    answers: Consumer<(Ticket, StoreResult)>,
    alarm: Arc<Alarm>,
    asked: bool,
}

impl<T> Counter<T> {
    fn ask(&mut self, request: Request<T>) {
        assert!(self.requests.push(request).is_ok(), "a core keeps to its limits of outstanding requests");
        self.asked = true;
    }

    fn wake(&mut self) {
        if std::mem::take(&mut self.asked) {
            self.alarm.wake();
        }
    }
}

/// A shard's lanes to the store.
#[derive(Debug)]
pub struct StorePort {
    shard: ShardId,
    /// None once the shard has ended.
    log: Option<Counter<Write>>,
    readers: Vec<Counter<Box<Load>>>,
    next_reader: usize,
}

impl StorePort {
    /// Asks for a write; the log is woken by [`StorePort::wake`].
    pub fn write(&mut self, ticket: Ticket, write: Write) {
        let request = Request { shard: self.shard, ticket, what: write };
        self.log.as_mut().expect("the log is there as long as the shard runs").ask(request);
    }

    /// Asks for a read, of one reader after the other.
    pub fn load(&mut self, ticket: Ticket, load: Box<Load>) {
        let request = Request { shard: self.shard, ticket, what: load };
        self.readers[self.next_reader].ask(request);
        self.next_reader = (self.next_reader + 1) % self.readers.len();
    }

    /// Wakes whoever was asked and sleeps.
    pub fn wake(&mut self) {
        if let Some(log) = &mut self.log {
            log.wake();
        }
        self.readers.iter_mut().for_each(Counter::wake);
    }

    /// Whether an answer waits.
    pub fn has_answers(&self) -> bool {
        self.log.as_ref().is_some_and(|log| !log.answers.is_empty())
            || self.readers.iter().any(|reader| !reader.answers.is_empty())
    }

    /// The next answer; those of the log first, since acks wait for them.
    pub fn take(&mut self) -> Option<(Ticket, StoreResult)> {
        let logged = self.log.as_mut().and_then(|log| log.answers.pop().ok());
        logged.or_else(|| self.readers.iter_mut().find_map(|reader| reader.answers.pop().ok()))
    }
}

impl Drop for StorePort {
    /// Ends the lanes, then wakes the threads so that they see it.
    fn drop(&mut self) {
        let mut alarms: Vec<_> = self.readers.drain(..).map(|reader| reader.alarm).collect();
        alarms.extend(self.log.take().map(|log| log.alarm));
        alarms.iter().for_each(|alarm| alarm.wake());
    }
}

/// A store thread's side of its lanes.
struct Lanes<T> {
    /// By shard.
    requests: Vec<Consumer<Request<T>>>,
    answers: Vec<Producer<(Ticket, StoreResult)>>,
    doorbells: Arc<[Arc<Doorbell>]>,
    answered: Vec<ShardId>,
    alarm: Arc<Alarm>,
}

impl<T> Lanes<T> {
    fn has_requests(&self) -> bool {
        self.requests.iter().any(|lane| !lane.is_empty())
    }

    fn has_ended(&self) -> bool {
        self.requests.iter().all(Consumer::is_abandoned)
    }
}

impl<T> Mailbox<T> for Lanes<T> {
    fn take(&mut self, into: &mut Vec<Request<T>>) -> bool {
        loop {
            // In this order: what was pushed before the end is seen.
            let ended = self.has_ended();
            for lane in &mut self.requests {
                let waiting = lane.slots();
                into.extend((0..waiting).map_while(|_| lane.pop().ok()));
            }
            if ended || !into.is_empty() {
                return !ended;
            }
            self.alarm.sleep_unless(|| self.has_requests() || self.has_ended());
        }
    }

    fn answer(&mut self, shard: ShardId, ticket: Ticket, result: StoreResult) {
        let lane = &mut self.answers[usize::from(shard)];
        assert!(lane.push((ticket, result)).is_ok() || lane.is_abandoned(), "there is room for every answer");
        if !self.answered.contains(&shard) {
            self.answered.push(shard);
        }
    }

    fn answers_done(&mut self) {
        for shard in self.answered.drain(..) {
            self.doorbells[usize::from(shard)].wake();
        }
    }
}

/// The lanes between the shards behind `doorbells` and one thread, `room` requests each.
fn lanes<T>(doorbells: &Arc<[Arc<Doorbell>]>, room: u64) -> (Vec<Counter<T>>, Lanes<T>) {
    let alarm = Arc::new(Alarm::default());
    let mut far = Lanes {
        requests: Vec::new(),
        answers: Vec::new(),
        doorbells: Arc::clone(doorbells),
        answered: Vec::new(),
        alarm: Arc::clone(&alarm),
    };
    let counter = |_: &Arc<Doorbell>| {
        let (requests, takes) = RingBuffer::new(room as usize);
        let (answers_in, answers) = RingBuffer::new(room as usize);
        far.requests.push(takes);
        far.answers.push(answers_in);
        Counter { requests, answers, alarm: Arc::clone(&alarm), asked: false }
    };
    (doorbells.iter().map(counter).collect(), far)
}

/// Starts the threads of a store. They end, and close the store, when all ports are dropped.
pub fn start(
    log: impl Log + 'static,
    index: Arc<impl Index + 'static>,
    doorbells: &Arc<[Arc<Doorbell>]>,
    limits: &Limits,
    watch: &StoreWatch,
) -> (Vec<StorePort>, Vec<JoinHandle<()>>) {
    let log = Counted { log, watch: watch.clone() };
    let (logs, mut log_lanes) = lanes::<Write>(doorbells, limits.appends_max + limits.puts_max);
    let mut threads = vec![thread::spawn("log", move || {
        if let Err(fatal) = run_log(log, &mut log_lanes) {
            tracing::error!("{fatal}");
            std::process::exit(EXIT_STORE_FAILED);
        }
    })];
    let port =
        |(shard, log)| StorePort { shard: shard as ShardId, log: Some(log), readers: Vec::new(), next_reader: 0 };
    let mut ports: Vec<StorePort> = logs.into_iter().enumerate().map(port).collect();
    for _ in 0..READERS {
        // All reads of a shard fit into each lane: which reader they go to is nobody's promise.
        let (readers, mut reader_lanes) = lanes::<Box<Load>>(doorbells, limits.loads_max);
        for (port, reader) in ports.iter_mut().zip(readers) {
            port.readers.push(reader);
        }
        let index = Arc::clone(&index);
        threads.push(thread::spawn("reader", move || run_index(index, &mut reader_lanes)));
    }
    (ports, threads)
}
