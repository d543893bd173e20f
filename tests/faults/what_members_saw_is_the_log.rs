//! 200 people in four groups of 50 talk, whether they may or not, while the first of each group adds and removes the others
//! and some leave by themselves; the server is killed with SIGKILL at a random moment and started again, with one shard and
//! with two in turn, every other time with a cache that holds next to nothing (REL-1 to REL-5, REL-7, REL-10).
//!
//! Set-up: after each kill everybody comes back, waits until its list has what anybody was answered about it, reads what is
//! new in the history and says again what has no answer. In the end nothing is killed: what is under way ends, and everybody
//! reads all it may. 6 kills; more with TRUNKLINE_GROUP_KILLS=100.
//!
//! Claim: what anybody ever saw, live or by history, is what the log says, and lies in the time in which the log has it as a
//! member; what was live came in order and whole; acked messages stand once where their ack said, taken in their sender's
//! time, refused ones nowhere; changes that were answered are in the log; after each kill, and in the end, nobody's list
//! misses the group. Tampered logs and diaries are noticed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};
use trunkline_tests::server::{Account, Server};
use trunkline_wire::ids::UserId;
use trunkline_wire::message::{Change, ContentKind, Encoder};

use crate::chronicle::{Accepted, Diary, check, windows};
use crate::crowd::{Known, Person, Round};
use crate::dice::Dice;
use crate::ear::{Row, Summary};
use crate::fleet::Phase;
use crate::peer::Peer;
use crate::rig;

const GROUPS: usize = 4;
const PEOPLE: usize = 50;
const KILLS: u32 = 6;
/// Between two deeds of a person; the admins do ten times as much.
const PAUSE: Duration = Duration::from_millis(250);
/// People talk for a time between these before the kill,
const TALK_MS: (u64, u64) = (300, 1_200);
/// and on a slow machine for longer: until members were changed so often, but not for ever.
const CHANGES_MIN: u64 = 40;
const TALK_MAX: Duration = Duration::from_secs(15);
const SETUP_MAX: Duration = Duration::from_secs(60);
const ROOM: [&str; 6] = [
    "limits.send_burst=100000",
    "limits.conversation_send_burst=100000",
    "limits.conversation_send_per_s=100000",
    "limits.read_burst=100000",
    "limits.read_per_s=100000",
    "limits.list_every_ms=300",
];
const COLD: [&str; 1] = ["limits.cache_bytes_max=1"];

/// What differs from one start of the server to the next.
fn settings(round: u32) -> Vec<&'static str> {
    let cold: &[&str] = if round % 2 == 1 { &COLD } else { &[] };
    [&ROOM[..], cold].concat()
}

fn kills() -> u32 {
    std::env::var("TRUNKLINE_GROUP_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number of kills"))
}

#[test]
fn what_members_saw_is_the_log() {
    let _alone = rig::alone();
    let seed = Dice::cast();
    println!("seed {seed:#x}");
    let mut dice = Dice::new(seed);
    let mut server = rig::serve(&settings(0));
    let mut people = gather(&server, &mut dice);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for round in 1..=kills() {
        let talk = Duration::from_millis(TALK_MS.0 + dice.below(TALK_MS.1 - TALK_MS.0));
        people = runtime.block_on(LocalSet::new().run_until(until_killed(people, &mut server, talk)));
        rig::restart(&mut server, if round % 2 == 0 { "2" } else { "1" }, &settings(round));
    }
    people = runtime.block_on(LocalSet::new().run_until(settle(people, rig::address(&server))));
    let mut came_and_went = 0;
    for group in people.chunks(PEOPLE) {
        let diaries: Vec<&Diary> = group.iter().map(|person| &person.diary).collect();
        // The admin is in the group from its beginning to the end.
        let log = diaries[0].read.last().expect("the admin reads all of it");
        let wrong = check(&diaries, log);
        let first: Vec<&String> = wrong.iter().take(10).collect();
        assert!(wrong.is_empty(), "{} complaints, the first of them: {first:#?}", wrong.len());
        came_and_went += windows(log).values().filter(|times| times.len() > 1).count();
        println!("{} rows, {} people, all of it agrees", log.len(), windows(log).len());
    }
    assert!(came_and_went > PEOPLE, "only {came_and_went} people came back: this shows too little");
    let refused: usize = people.iter().map(|person| person.diary.refused.len()).sum();
    assert!(refused > 0, "nobody who was gone ever spoke");
}

/// The groups with half of their people; the others are added as it goes.
fn gather(server: &Server, dice: &mut Dice) -> Vec<Person> {
    let accounts = server.add_users(GROUPS * PEOPLE);
    let mut people = Vec::new();
    for accounts in accounts.chunks(PEOPLE) {
        let crowd: Vec<UserId> = accounts[1..].iter().map(|account| account.user).collect();
        let mut admin = Peer::login(rig::address(server), &accounts[0].token);
        let made = admin.create_group(1, "coming and going", &crowd[..PEOPLE / 2]);
        let group = made.expect("a group").conversation;
        let known = Known::default();
        let first_members = accounts[0..=PEOPLE / 2].iter().map(|account| (account.user, 1));
        known.borrow_mut().extend(first_members.collect::<HashMap<_, _>>());
        people.extend(accounts.iter().enumerate().map(|(index, account): (usize, &Account)| Person {
            token: account.token.clone(),
            group,
            crowd: if index == 0 { crowd.clone() } else { Vec::new() },
            known: Rc::clone(&known),
            diary: Diary::new(account.user),
            dice: Dice::new(dice.roll()),
            pause: if index == 0 { PAUSE / 10 } else { PAUSE },
            pending: None,
        }));
    }
    people
}

/// Everybody connects and takes part, until the server is killed.
async fn until_killed(people: Vec<Person>, server: &mut Server, talk: Duration) -> Vec<Person> {
    let round = Rc::new(Round::default());
    let (phase, watched) = watch::channel(Phase::Ready);
    let tasks = begin(people, rig::address(server), &round, &watched);
    all_are(&round, "connected", |round| round.ready.get()).await;
    phase.send(Phase::Talk).expect("people listen");
    let began = Instant::now();
    sleep(talk).await;
    while round.counts.get().2 < CHANGES_MIN && began.elapsed() < TALK_MAX {
        sleep(Duration::from_millis(5)).await;
    }
    let talk = began.elapsed();
    round.killed.set(true);
    server.kill();
    let people = end(tasks).await;
    let (accepted, refused, changed) = round.counts.get();
    println!(
        "{accepted} accepted, {refused} refused, {changed} changes in {talk:?}; lists {:?}",
        round.list_took.get()
    );
    people
}

async fn settle(people: Vec<Person>, address: SocketAddr) -> Vec<Person> {
    let round = Rc::new(Round::default());
    let (phase, watched) = watch::channel(Phase::Ready);
    let tasks = begin(people, address, &round, &watched);
    all_are(&round, "connected", |round| round.ready.get()).await;
    phase.send(Phase::Settle).expect("people listen");
    all_are(&round, "settled", |round| round.settled.get()).await;
    // What was told last has come to the lists when twice their time has passed.
    sleep(Duration::from_millis(600)).await;
    phase.send(Phase::Read).expect("people listen");
    end(tasks).await
}

type Task = tokio::task::JoinHandle<Person>;

fn begin(people: Vec<Person>, address: SocketAddr, round: &Rc<Round>, phase: &watch::Receiver<Phase>) -> Vec<Task> {
    let start = |mut person: Person| {
        let (round, phase) = (Rc::clone(round), phase.clone());
        tokio::task::spawn_local(async move {
            person.live(address, &round, phase).await;
            person
        })
    };
    people.into_iter().map(start).collect()
}

async fn all_are(round: &Round, what: &str, count: impl Fn(&Round) -> usize) {
    let deadline = Instant::now() + SETUP_MAX;
    while count(round) < GROUPS * PEOPLE {
        assert_eq!(*round.first_wrong.borrow(), None, "before all are {what}");
        assert!(Instant::now() < deadline, "{} people are {what} after {SETUP_MAX:?}", count(round));
        sleep(Duration::from_millis(5)).await;
    }
}

async fn end(tasks: Vec<Task>) -> Vec<Person> {
    let mut people = Vec::new();
    for task in tasks {
        let ended = timeout(SETUP_MAX, task).await.unwrap_or_else(|_| panic!("somebody is not done in {SETUP_MAX:?}"));
        people.push(ended.expect("no client panics"));
    }
    people
}

/// A small log, and what three people know of it: the second comes, goes and comes back.
fn example() -> (Vec<Diary>, Vec<Row>) {
    let [admin, guest, other] = [UserId(1), UserId(2), UserId(3)];
    let membership = |change, users: &[UserId]| {
        (admin, ContentKind::Membership as u8, Encoder::new().membership_change(change, users, ""))
    };
    let text = |user: UserId, text: &str| (user, ContentKind::Text as u8, text.as_bytes().to_vec());
    let rows = [
        membership(Change::Created, &[other]),
        text(admin, "one"),
        membership(Change::Added, &[guest]),
        text(other, "two"),
        text(guest, "three"),
        membership(Change::Removed, &[guest]),
        text(other, "four"),
        text(admin, "five"),
        membership(Change::Added, &[guest]),
        text(other, "six"),
    ];
    let log = rows.into_iter().zip(1..).map(|((sender, kind, body), seq)| Row {
        epoch: 1,
        seq,
        ts_ms: 1_000 + seq,
        sender,
        device: 1,
        message_id: 100 + seq,
        kind,
        body,
    });
    let log: Vec<Row> = log.collect();
    let diary = |user: UserId, window: Option<(u64, u64)>| {
        let mut diary = Diary::new(user);
        let own = log.iter().filter(|row| row.sender == user);
        let texts = own.clone().filter(|row| row.kind == ContentKind::Text as u8);
        diary.accepted = texts.map(accepted).collect();
        let (joined_seq, left_seq) = window.expect("all of them were members");
        diary.listed = Some(summary(log.len() as u64, joined_seq, left_seq));
        diary
    };
    let mut diaries = vec![diary(admin, Some((1, 0))), diary(guest, Some((9, 0))), diary(other, Some((1, 0)))];
    diaries[0].changes = vec![(3, Change::Added, vec![guest]), (6, Change::Removed, vec![guest])];
    diaries[0].read.push(log.clone());
    diaries[1].live.push(vec![log[2].clone(), log[3].clone(), log[5].clone(), log[8].clone()]);
    diaries[1].read = vec![log[2..6].to_vec(), log[8..].to_vec()];
    diaries[1].refused = vec![999];
    diaries[2].live.push(log.iter().filter(|row| row.sender != other).cloned().collect());
    (diaries, log)
}

fn accepted(row: &Row) -> Accepted {
    Accepted { message_id: row.message_id, body: row.body.clone(), place: (row.seq, row.ts_ms) }
}

fn summary(last_seq: u64, joined_seq: u64, left_seq: u64) -> Summary {
    let conversation = trunkline_wire::ids::ConversationId([7; 16]);
    let title = String::new();
    Summary { conversation, kind: 2, peer: UserId(0), last_seq, user_seq: 5, read_seq: 0, joined_seq, left_seq, title }
}

type Tamper<'a> = &'a dyn Fn(&mut Vec<Diary>, &mut Vec<Row>);

/// The checker by itself, without a server: what it is fed is right, then wrong in each way it knows of.
#[test]
fn tampered_diaries_are_noticed() {
    let (diaries, log) = example();
    let judge = |diaries: &[Diary], log: &[Row]| check(&diaries.iter().collect::<Vec<_>>(), log);
    assert_eq!(judge(&diaries, &log), Vec::<String>::new());
    let tampers: [(&str, Tamper<'_>); 13] = [
        ("a gap", &|_, log| drop(log.remove(4))),
        ("is not there", &|_, log| log[4].body = b"other".to_vec()),
        ("with other contents", &|_, log| log[3].ts_ms += 1),
        ("is there 2 times", &|_, log| log[6].message_id = log[3].message_id),
        ("outside of its time", &|diaries, log| diaries[1].read[0].push(log[6].clone())),
        ("outside of its time", &|diaries, log| diaries[1].live[0].insert(3, log[7].clone())),
        ("1 missing", &|diaries, _| drop(diaries[1].live[0].remove(1))),
        ("came behind", &|diaries, _| diaries[1].live[0].swap(0, 1)),
        ("was refused and is there", &|diaries, log| diaries[1].refused.push(log[4].message_id)),
        ("answered with seq", &|diaries, _| diaries[0].changes[0].0 = 4),
        ("the list of", &|diaries, _| diaries[1].listed = None),
        ("the list of", &|diaries, _| diaries[1].listed = Some(summary(6, 3, 6))),
        ("never acked", &|diaries, _| drop(diaries[2].accepted.pop())),
    ];
    for (due, tamper) in tampers {
        let (mut diaries, mut log) = (diaries.clone(), log.clone());
        tamper(&mut diaries, &mut log);
        let complaints = judge(&diaries, &log);
        let is_noticed = complaints.iter().any(|complaint| complaint.contains(due));
        assert!(is_noticed, "no complaint says {due:?}: {complaints:?}");
    }
}
