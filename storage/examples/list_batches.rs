//! Prints what changes of users' lists cost the embedded store: microseconds per row of writes of 256 rows over 10,000
//! users, and per page read. `cargo run --release -p trunkline-storage --example list_batches [FOLDER]`; the folder says
//! which disk.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use trunkline_shards::store::{About, ListChange, Load, Loaded, Put, StoreResult, UserKey};
use trunkline_storage::{Index, Log, Options, Write, embedded};
use trunkline_wire::ids::{ConversationId, TenantId, UserId};

const USERS: u64 = 10_000;
const CONVERSATIONS: u64 = 20;
const ROWS: u64 = 256;
const BATCHES: u64 = 2_000;
/// One user with a long list, of which 20 rows changed.
const LONG_LIST: u64 = 10_000;

fn main() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = std::env::args().nth(1).map_or_else(|| temporary.path().to_path_buf(), PathBuf::from);
    let (mut log, index) = embedded::open(&folder.join("store"), Options::default()).expect("a new store");
    let mut user_seq = 0;
    let mut next = |user: u64, conversation: u64| {
        user_seq += 1;
        change(user, conversation, user_seq)
    };

    let mut first: Vec<ListChange> = Vec::new();
    for conversation in 0..CONVERSATIONS {
        first.extend((1..=USERS).map(|user| next(user, conversation)));
    }
    first.extend((0..LONG_LIST).map(|conversation| next(0, conversation)));
    report("new rows", &mut log, first);

    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut random = |bound: u64| rng.next_u64() % bound;
    let again = (0..BATCHES * ROWS).map(|_| next(1 + random(USERS), random(CONVERSATIONS))).collect();
    report("changed rows", &mut log, again);

    let changed: Vec<ListChange> = (0..20).map(|number| next(0, number * 500)).collect();
    let above = changed[0].user_seq - 1;
    commit(&mut log, changed);
    for (what, above, rows_max, rows) in [
        ("20 changed of 10,000", above, 200, 20),
        ("first page of 10,000", 0, 200, 200),
        ("nothing new", above + 20, 200, 0),
    ] {
        report_load(what, &*index, above, rows_max, rows);
    }
    drop(log);
}

fn change(user: u64, conversation: u64, user_seq: u64) -> ListChange {
    let mut id = [0x5a; 16];
    id[..8].copy_from_slice(&conversation.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    ListChange {
        key: UserKey { tenant: TenantId(0), user: UserId(user.wrapping_mul(0x9e37_79b9_7f4a_7c15)) },
        conversation: ConversationId(id),
        user_seq,
        last_seq: user_seq,
        read_seq: 0,
        window: None,
        about: About { kind: 2, peer: UserId(0), title: "a group of ours".to_owned() },
    }
}

fn commit(log: &mut impl Log, changes: Vec<ListChange>) {
    let results = log.commit(&[Write::Put(Box::new(Put::List { changes }))]).expect("a disk");
    assert!(matches!(results[..], [StoreResult::Put(Ok(_))]), "{results:?}");
}

fn report(what: &str, log: &mut impl Log, changes: Vec<ListChange>) {
    let rows = changes.len() as f64;
    let mut changes = changes.into_iter().peekable();
    let (started, on_cpu, all_cpu) = (Instant::now(), thread_cpu(), process_cpu());
    while changes.peek().is_some() {
        commit(log, changes.by_ref().take(ROWS as usize).collect());
    }
    let per_row = |time: Duration| time.as_secs_f64() * 1e6 / rows;
    println!(
        "{what}: {:.2} us per row in batches of {ROWS} ({rows} rows); CPU {:.2} us on the log's thread, {:.2} us in all",
        per_row(started.elapsed()),
        per_row(thread_cpu() - on_cpu),
        per_row(process_cpu() - all_cpu),
    );
}

fn report_load(what: &str, index: &dyn Index, above: u64, rows_max: u32, expected: usize) {
    const LOADS: u32 = 200;
    let load = Load::List { key: change(0, 0, 0).key, above, below: u64::MAX, rows_max };
    let started = Instant::now();
    for _ in 0..LOADS {
        let Ok(Loaded::List(rows, _)) = index.load(&load) else { panic!("not read") };
        assert_eq!(rows.len(), expected, "{what}");
    }
    println!("{what}: {:.1} us per load of {expected} rows", started.elapsed().as_secs_f64() * 1e6 / f64::from(LOADS));
}

fn thread_cpu() -> Duration {
    on_cpu(Path::new("/proc/thread-self/schedstat"))
}

/// Of the threads that there are now: the store's own live as long as it does.
fn process_cpu() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux");
    threads.map(|thread| on_cpu(&thread.expect("readable").path().join("schedstat"))).sum()
}

fn on_cpu(schedstat: &Path) -> Duration {
    let text = std::fs::read_to_string(schedstat).expect("Linux with schedstat");
    let nanoseconds = text.split_whitespace().next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number"))
}
