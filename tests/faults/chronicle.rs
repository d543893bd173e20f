//! What the members of a group know of it, and whether that agrees with its log: who may see what is read off the log.

use std::collections::{BTreeMap, HashMap, HashSet};

use trunkline_wire::ids::UserId;
use trunkline_wire::message::{Change, ContentKind, decode_membership};

use crate::ear::{Row, Summary};

/// A message that was accepted: its name, its text, its seq and its time.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub message_id: u64,
    pub body: Vec<u8>,
    pub place: (u64, u64),
}

/// What one person knows of the group.
#[derive(Clone, Debug)]
pub struct Diary {
    pub user: UserId,
    /// By client_seq, from 1.
    pub accepted: Vec<Accepted>,
    /// Messages that were refused for good.
    pub refused: Vec<u64>,
    /// Changes of members with a seq, as they were answered.
    pub changes: Vec<(u64, Change, Vec<UserId>)>,
    /// What was pushed, by connection.
    pub live: Vec<Vec<Row>>,
    /// What history had, by reading.
    pub read: Vec<Vec<Row>>,
    /// The list's row in the end.
    pub listed: Option<Summary>,
    /// What was wrong at once.
    pub complaints: Vec<String>,
}

impl Diary {
    pub fn new(user: UserId) -> Diary {
        Diary {
            user,
            accepted: Vec::new(),
            refused: Vec::new(),
            changes: Vec::new(),
            live: Vec::new(),
            read: Vec::new(),
            listed: None,
            complaints: Vec::new(),
        }
    }

    /// The highest seq that was read.
    pub fn last_read(&self) -> u64 {
        self.read.iter().flatten().map(|row| row.seq).max().unwrap_or(0)
    }
}

/// The times of a user in the group: from the seq that brings it in to the one that takes it out, both included.
pub type Windows = BTreeMap<UserId, Vec<(u64, u64)>>;

/// Reads them off the log.
pub fn windows(log: &[Row]) -> Windows {
    let mut windows = Windows::new();
    for row in log.iter().filter(|row| row.kind == ContentKind::Membership as u8) {
        let change = decode_membership(&row.body).expect("the server writes what the protocol says");
        let kind = Change::from_number(change.change()).expect("a known change");
        let mut users: Vec<UserId> = change.users().into_iter().flatten().map(UserId).collect();
        if kind == Change::Created {
            users.push(row.sender);
        }
        for user in users {
            let times = windows.entry(user).or_default();
            let current = times.last_mut().filter(|(_, left)| *left == u64::MAX);
            match (kind, current) {
                (Change::Removed, Some(current)) => current.1 = row.seq,
                (Change::Created | Change::Added, None) => times.push((row.seq, u64::MAX)),
                _ => {}
            }
        }
    }
    windows
}

/// Everything that is wrong with what people know, given the log in the end, when nothing is under way.
pub fn check(diaries: &[&Diary], log: &[Row]) -> Vec<String> {
    let mut wrong: Vec<String> = diaries.iter().flat_map(|diary| diary.complaints.clone()).collect();
    if let Some((row, seq)) = log.iter().zip(1..).find(|(row, seq)| row.seq != *seq) {
        wrong.push(format!("the log has seq {} where {seq} is due: a gap", row.seq));
        return wrong;
    }
    let windows = windows(log);
    let mut places: HashMap<(UserId, u64), Vec<u64>> = HashMap::new();
    log.iter().for_each(|row| places.entry((row.sender, row.message_id)).or_default().push(row.seq));
    if let Some(((user, id), seqs)) = places.iter().find(|(_, seqs)| seqs.len() > 1) {
        wrong.push(format!("message {id:x} of {user} is there {} times", seqs.len()));
    }
    for diary in diaries {
        let times = windows.get(&diary.user).map_or(&[][..], Vec::as_slice);
        check_sent(diary, log, times, &places, &mut wrong);
        check_changes(diary, log, &mut wrong);
        check_seen(diary, log, times, &mut wrong);
        check_listed(diary, log, times, &mut wrong);
    }
    check_nothing_else(diaries, log, &mut wrong);
    wrong
}

fn sees(times: &[(u64, u64)], seq: u64) -> bool {
    times.iter().any(|(joined, left)| (*joined..=*left).contains(&seq))
}

/// What was accepted stands where its ack said, in the order of its sender and within its time; what was refused is nowhere.
fn check_sent(
    diary: &Diary,
    log: &[Row],
    times: &[(u64, u64)],
    places: &HashMap<(UserId, u64), Vec<u64>>,
    wrong: &mut Vec<String>,
) {
    let user = diary.user;
    let mut before = 0;
    for (sent, client_seq) in diary.accepted.iter().zip(1..) {
        let (seq, ts_ms) = sent.place;
        let row = log.get((seq as usize).wrapping_sub(1));
        let is_there = row.is_some_and(|row| {
            (row.sender, row.message_id, row.ts_ms, &row.body) == (user, sent.message_id, ts_ms, &sent.body)
        });
        if !is_there {
            wrong.push(format!("message {client_seq} of {user}, acked at seq {seq}, is not there: {row:?}"));
        }
        if !sees(times, seq) {
            wrong.push(format!("message {client_seq} of {user} was taken at seq {seq}, outside of its time {times:?}"));
        }
        if seq <= before {
            wrong.push(format!("message {client_seq} of {user} stands at seq {seq}, its predecessor at {before}"));
        }
        before = seq;
    }
    for id in diary.refused.iter().filter(|id| places.contains_key(&(user, **id))) {
        wrong.push(format!("message {id:x} of {user} was refused and is there"));
    }
}

/// Changes that were answered are in the log at their seq.
fn check_changes(diary: &Diary, log: &[Row], wrong: &mut Vec<String>) {
    for (seq, change, users) in &diary.changes {
        let row = log.get((*seq as usize).wrapping_sub(1));
        let written = row.filter(|row| row.sender == diary.user && row.kind == ContentKind::Membership as u8);
        let written = written.and_then(|row| decode_membership(&row.body).ok());
        let is_it = written.is_some_and(|view| {
            let named: Vec<u64> = view.users().into_iter().flatten().collect();
            view.change() == *change as u8
                && !named.is_empty()
                && named.iter().all(|user| users.contains(&UserId(*user)))
        });
        if !is_it {
            wrong.push(format!("{change:?} of {users:?} by {}, answered with seq {seq}, is not there", diary.user));
        }
    }
}

/// What was ever seen is what the log says, within the seer's time; what was live came in order and whole.
fn check_seen(diary: &Diary, log: &[Row], times: &[(u64, u64)], wrong: &mut Vec<String>) {
    let user = diary.user;
    for row in diary.live.iter().chain(&diary.read).flatten() {
        if log.get((row.seq as usize).wrapping_sub(1)) != Some(row) {
            wrong.push(format!("{user} saw seq {} with other contents than the log has", row.seq));
        }
        if !sees(times, row.seq) {
            wrong.push(format!("{user} saw seq {}, outside of its time {times:?}", row.seq));
        }
    }
    for pair in diary.read.iter().flat_map(|rows| rows.windows(2)) {
        if pair[1].seq != pair[0].seq + 1 {
            wrong.push(format!("{user} read seq {} behind {}", pair[1].seq, pair[0].seq));
        }
    }
    for (connection, rows) in diary.live.iter().enumerate() {
        for pair in rows.windows(2) {
            let (before, after) = (pair[0].seq, pair[1].seq);
            let between = log.iter().skip(before as usize).take(after.saturating_sub(before + 1) as usize);
            let missed = between.filter(|row| row.sender != user && sees(times, row.seq)).count();
            if after <= before || missed > 0 {
                let place = format!("{user}, connection {connection}");
                wrong.push(format!("{place}: seq {after} came behind {before}, {missed} missing"));
            }
        }
    }
}

/// Whoever was ever a member has the group in its list, as it was when its time ended; nobody else has.
fn check_listed(diary: &Diary, log: &[Row], times: &[(u64, u64)], wrong: &mut Vec<String>) {
    let last_seq = log.len() as u64;
    let due = times.last().map(|&(joined, left)| {
        let shown_left = if left == u64::MAX { 0 } else { left };
        (left.min(last_seq), joined, shown_left)
    });
    let listed = diary.listed.as_ref().map(|row| (row.last_seq, row.joined_seq, row.left_seq));
    if due != listed {
        wrong.push(format!("the list of {} has {listed:?}, {due:?} is due", diary.user));
    }
}

/// Each text of the log was sent by one of these people.
fn check_nothing_else(diaries: &[&Diary], log: &[Row], wrong: &mut Vec<String>) {
    let accepted = |diary: &&Diary| diary.accepted.iter().map(|sent| sent.place.0).collect::<Vec<_>>();
    let taken: HashSet<u64> = diaries.iter().flat_map(accepted).collect();
    let texts = log.iter().filter(|row| row.kind == ContentKind::Text as u8);
    for row in texts.filter(|row| !taken.contains(&row.seq)) {
        wrong.push(format!("seq {} of {} was never acked to its sender", row.seq, row.sender));
    }
}
