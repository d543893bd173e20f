//! 520 people in 260 conversations send some 4,000 messages a second; the server is killed with SIGKILL at a random moment
//! and started again on the same folder, 20 times, with one shard and with two in turn (REL-1 to REL-5).
//!
//! Set-up: default limits (a session has 60 messages at once and 5 more a second, which no round exceeds); a message after
//! 165 ms, 1 or 2 per Send, one Send in flight per person. After each kill everybody comes back, reads what is new in the
//! history and says what has no ack again, with the same numbers and ids; every fourth kill comes in the midst of that. In
//! the end nothing is killed: all is settled, and both sides read the history from its beginning.
//!
//! Claim: every acked message is in the history exactly once, at the seq and with the time of its ack; the history counts
//! from 1 without gaps and is the same for both; what had no ack came to one copy; what anybody ever saw, live or by
//! history, is what the history says; what was live came in order and whole. Tampered histories are noticed.
//!
//! A kill keeps what the kernel was given: this says nothing of a power cut.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};
use trunkline_tests::server::Server;
use trunkline_wire::ids::UserId;

use crate::dice::Dice;
use crate::ear::Row;
use crate::fleet::{Person, Phase, Round};
use crate::ledger::{Ledger, check, tampered};
use crate::rig;

const PEOPLE: usize = 520;
const ROUNDS: u32 = 20;
/// Between two Sends of a person, which hold 1 or 2 messages.
const PAUSE: Duration = Duration::from_millis(165);
/// What the median round has to reach, acked.
const RATE_MIN: u64 = 2_000;
/// People talk for a time between these before the kill,
const TALK_MS: (u64, u64) = (700, 1_600);
/// in every fourth round for a time between these, when they say what has no ack.
const REPEAT_MS: (u64, u64) = (5, 120);
const _: () = assert!(PEOPLE >= 500 && PEOPLE.is_multiple_of(2));
const SETUP_MAX: Duration = Duration::from_secs(30);

type Fleet = Vec<Person>;

#[test]
fn no_acked_message_is_lost_by_a_kill() {
    let _alone = rig::alone();
    let seed = Dice::cast();
    println!("seed {seed:#x}");
    let mut dice = Dice::new(seed);
    let mut server = rig::serve(&[]);
    let mut fleet = gather(&server, &mut dice);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut figures = Vec::new();
    for round in 0..ROUNDS {
        fleet = runtime.block_on(LocalSet::new().run_until(until_killed(fleet, &mut server, &mut dice, &mut figures)));
        rig::restart(&mut server, if round % 2 == 0 { "1" } else { "2" }, &[]);
    }
    let address = rig::address(&server);
    let (fleet, histories) = runtime.block_on(LocalSet::new().run_until(settle(fleet, address)));
    report(&figures, &histories);
    judge(&fleet, &histories);
    let rate = median_rate(&figures);
    assert!(rate >= RATE_MIN, "{rate} messages a second in the median round show too little: {RATE_MIN} are due");
    let unanswered: u64 = figures.iter().map(|figure| figure.durable_unacked + figure.absent_unacked).sum();
    assert!(unanswered > 0, "no kill left a message without its ack: they came when nobody spoke");
}

/// What one round came to.
struct Figures {
    rate: u64,
    talked: Duration,
    acked: u64,
    repeated: u64,
    durable_unacked: u64,
    absent_unacked: u64,
    busy: u64,
}

/// Neighbours talk with each other.
fn gather(server: &Server, dice: &mut Dice) -> Fleet {
    let users = server.add_users(PEOPLE);
    let person = |index: usize| Person {
        token: users[index].token.clone(),
        peer: users[index ^ 1].user,
        ledger: Ledger::new(users[index].user),
        dice: Dice::new(dice.roll()),
        pause: PAUSE,
    };
    (0..PEOPLE).map(person).collect()
}

/// Everybody connects and talks, until the server is killed.
async fn until_killed(fleet: Fleet, server: &mut Server, dice: &mut Dice, figures: &mut Vec<Figures>) -> Fleet {
    let round = Rc::new(Round::default());
    let (phase, watched) = watch::channel(Phase::Ready);
    let tasks = begin(fleet, rig::address(server), &round, &watched);
    all_are(&round, "connected", |round| round.ready.get()).await;
    assert_eq!(server.counter("sessions_open"), PEOPLE as u64, "the server counts other connections");
    phase.send(Phase::Talk).expect("people listen");
    let start = Instant::now();
    let (least_ms, most_ms) = if figures.len() % 4 == 3 { REPEAT_MS } else { TALK_MS };
    sleep(Duration::from_millis(least_ms + dice.below(most_ms - least_ms))).await;
    let (talked, acked) = (start.elapsed(), round.acked.get());
    round.killed.set(true);
    server.kill();
    let (fleet, _) = end(tasks).await;
    figures.push(Figures {
        rate: acked * 1_000 / talked.as_millis() as u64,
        talked,
        acked,
        repeated: round.repeated.get(),
        durable_unacked: round.durable_unacked.get(),
        absent_unacked: round.absent_unacked.get(),
        busy: round.busy.get(),
    });
    fleet
}

/// Everybody says what is left, and reads all.
async fn settle(fleet: Fleet, address: SocketAddr) -> (Fleet, Vec<Vec<Row>>) {
    let round = Rc::new(Round::default());
    let (phase, watched) = watch::channel(Phase::Ready);
    let tasks = begin(fleet, address, &round, &watched);
    all_are(&round, "connected", |round| round.ready.get()).await;
    phase.send(Phase::Settle).expect("people listen");
    all_are(&round, "settled", |round| round.settled.get()).await;
    phase.send(Phase::Read).expect("people listen");
    end(tasks).await
}

type Task = tokio::task::JoinHandle<(Person, Vec<Row>)>;

fn begin(fleet: Fleet, address: SocketAddr, round: &Rc<Round>, phase: &watch::Receiver<Phase>) -> Vec<Task> {
    let start = |mut person: Person| {
        let (round, phase) = (Rc::clone(round), phase.clone());
        tokio::task::spawn_local(async move {
            let history = person.live(address, &round, phase).await;
            (person, history)
        })
    };
    fleet.into_iter().map(start).collect()
}

async fn all_are(round: &Round, what: &str, count: impl Fn(&Round) -> usize) {
    let deadline = Instant::now() + SETUP_MAX;
    while count(round) < PEOPLE {
        assert_eq!(*round.first_wrong.borrow(), None, "before all are {what}");
        assert!(Instant::now() < deadline, "{} of {PEOPLE} are {what} after {SETUP_MAX:?}", count(round));
        sleep(Duration::from_millis(5)).await;
    }
}

async fn end(tasks: Vec<Task>) -> (Fleet, Vec<Vec<Row>>) {
    let (mut fleet, mut histories) = (Vec::new(), Vec::new());
    for task in tasks {
        let ended = timeout(SETUP_MAX, task).await.unwrap_or_else(|_| panic!("somebody is not done in {SETUP_MAX:?}"));
        let (person, history) = ended.expect("no client panics");
        fleet.push(person);
        histories.push(history);
    }
    (fleet, histories)
}

fn report(figures: &[Figures], histories: &[Vec<Row>]) {
    for (figure, round) in figures.iter().zip(1..) {
        let Figures { rate, talked, acked, repeated, durable_unacked, absent_unacked, busy } = figure;
        println!(
            "round {round}: {PEOPLE} connections, {acked} acked in {talked:?} ({rate}/s); from the kill before: \
             {repeated} repeated, of them {durable_unacked} were durable, {absent_unacked} not; {busy} busy"
        );
    }
    let total: usize = histories.iter().step_by(2).map(Vec::len).sum();
    let (conversations, median) = (histories.len() / 2, median_rate(figures));
    println!("{total} messages in {conversations} conversations; {median}/s in the median round");
}

fn median_rate(figures: &[Figures]) -> u64 {
    let mut rates: Vec<u64> = figures.iter().map(|figure| figure.rate).collect();
    rates.sort_unstable();
    rates[rates.len() / 2]
}

fn judge(fleet: &Fleet, histories: &[Vec<Row>]) {
    let mut wrong = Vec::new();
    for (pair, history) in fleet.chunks(2).zip(histories.chunks(2)) {
        wrong.extend(check([&pair[0].ledger, &pair[1].ledger], [&history[0], &history[1]]));
    }
    let first: Vec<&String> = wrong.iter().take(10).collect();
    assert!(wrong.is_empty(), "{} complaints, the first of them: {first:#?}", wrong.len());
    assert_tampering_is_noticed([&fleet[0].ledger, &fleet[1].ledger], &histories[0]);
}

fn assert_tampering_is_noticed(people: [&Ledger; 2], history: &[Row]) {
    assert!(history.len() > 4, "a history of {} messages can't be tampered with", history.len());
    for (deed, due, rows) in tampered(history) {
        let complaints = check(people, [&rows, &rows]);
        let is_noticed = complaints.iter().any(|complaint| complaint.contains(due));
        assert!(is_noticed, "{deed}: no complaint says \"{due}\": {complaints:?}");
    }
}

/// The checker by itself, without a server: what it is fed is right, then wrong in each way it knows of.
#[test]
fn tampered_histories_are_noticed() {
    let (one, other) = (UserId(1), UserId(2));
    let mut people = [Ledger::new(one), Ledger::new(other)];
    let mut history = Vec::new();
    for seq in 1..=9u64 {
        let sender = usize::from(seq % 3 == 0);
        let (body, message_id) = (format!("message {seq}").into_bytes(), 100 + seq);
        let ledger = &mut people[sender];
        let acked = Some((seq, 1_000 + seq));
        ledger.sent.push(crate::ledger::Sent { message_id, body: body.clone(), acked, attempts: 1 });
        let user = ledger.user;
        history.push(Row { epoch: 1, seq, ts_ms: 1_000 + seq, sender: user, device: 1, message_id, kind: 1, body });
    }
    let of = |user: UserId| history.iter().filter(|row| row.sender != user).cloned().collect::<Vec<Row>>();
    let pushed = [of(one), of(other)];
    for (ledger, rows) in people.iter_mut().zip(pushed) {
        ledger.live.push(rows);
        ledger.note_known(history.clone());
    }
    let [a, b] = &people;
    assert_eq!(check([a, b], [&history, &history]), Vec::<String>::new());
    assert_tampering_is_noticed([a, b], &history);
    let complaints = check([a, b], [&history, &history[..8]]);
    assert!(complaints.iter().any(|complaint| complaint.contains("different histories")), "{complaints:?}");
    let mut deaf = a.clone();
    deaf.live[0].remove(1);
    let complaints = check([&deaf, b], [&history, &history]);
    assert!(complaints.iter().any(|complaint| complaint.contains("1 missing")), "{complaints:?}");
}
