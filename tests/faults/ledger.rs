//! What the two people of a 1:1 know of it, and whether that agrees with its history.

use std::collections::HashMap;

use trunkline_wire::ids::UserId;

use crate::ear::Row;

/// A message that somebody sent, as often as it took.
#[derive(Clone, Debug)]
pub struct Sent {
    pub message_id: u64,
    pub body: Vec<u8>,
    /// The seq and the time of its ack.
    pub acked: Option<(u64, u64)>,
    /// How often it left.
    pub attempts: u32,
}

/// What one person knows of a conversation.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub user: UserId,
    /// By client_seq, from 1.
    pub sent: Vec<Sent>,
    /// What was pushed, by connection.
    pub live: Vec<Vec<Row>>,
    /// What history had after each kill, from seq 1.
    pub known: Vec<Row>,
    /// What was wrong at once.
    pub complaints: Vec<String>,
}

impl Ledger {
    pub fn new(user: UserId) -> Ledger {
        Ledger { user, sent: Vec::new(), live: Vec::new(), known: Vec::new(), complaints: Vec::new() }
    }

    /// The first message without an ack; acks come in order.
    pub fn first_unacked(&self) -> usize {
        self.sent.iter().rposition(|sent| sent.acked.is_some()).map_or(0, |index| index + 1)
    }

    /// Notes an ack.
    pub fn note_ack(&mut self, client_seq: u64, place: (u64, u64)) {
        let Some(sent) = self.sent.get_mut(client_seq as usize - 1) else {
            return self.complaints.push(format!("an ack of client_seq {client_seq}, which was never sent"));
        };
        if let Some(before) = sent.acked.replace(place).filter(|before| *before != place) {
            self.complaints.push(format!("client_seq {client_seq} was acked at {before:?} and then at {place:?}"));
        }
    }

    /// Notes the next rows of the history.
    pub fn note_known(&mut self, rows: Vec<Row>) {
        for row in rows {
            let expected = self.known.len() as u64 + 1;
            if row.seq != expected {
                self.complaints.push(format!("history goes on with seq {} where {expected} is due", row.seq));
            }
            self.known.push(row);
        }
    }
}

/// Everything that is wrong with the histories that both people of a 1:1 read in the end, when nothing is under way.
pub fn check(people: [&Ledger; 2], histories: [&[Row]; 2]) -> Vec<String> {
    let [one, other] = people;
    let history = histories[0];
    let mut wrong: Vec<String> = people.iter().flat_map(|ledger| ledger.complaints.clone()).collect();
    if histories[0] != histories[1] {
        wrong.push(format!("{} and {} read different histories", one.user, other.user));
    }
    for (row, seq) in history.iter().zip(1..) {
        if row.seq != seq {
            wrong.push(format!("seq {} stands where {seq} is due: a gap", row.seq));
            break;
        }
    }
    let mut places: HashMap<(UserId, u64), Vec<&Row>> = HashMap::new();
    for row in history {
        places.entry((row.sender, row.message_id)).or_default().push(row);
    }
    for ledger in people {
        check_sent(ledger, &places, &mut wrong);
        check_seen(ledger, history, &mut wrong);
    }
    let sent = one.sent.len() + other.sent.len();
    if history.len() != sent {
        wrong.push(format!("{} messages in history, {sent} were sent", history.len()));
    }
    wrong
}

/// Each message is there once, where its ack said, in the order of its sender.
fn check_sent(ledger: &Ledger, places: &HashMap<(UserId, u64), Vec<&Row>>, wrong: &mut Vec<String>) {
    let mut last_seq = 0;
    for (sent, client_seq) in ledger.sent.iter().zip(1..) {
        let name = format!("message {client_seq} of {}", ledger.user);
        let rows = places.get(&(ledger.user, sent.message_id)).map_or(&[][..], Vec::as_slice);
        let Some((seq, ts_ms)) = sent.acked else {
            wrong.push(format!("{name} was never acked, {} attempts", sent.attempts));
            continue;
        };
        let [row] = rows else {
            wrong.push(format!("{name}, acked at seq {seq}, is there {} times", rows.len()));
            continue;
        };
        if (row.seq, row.ts_ms) != (seq, ts_ms) || row.body != sent.body {
            wrong.push(format!("{name}, acked at seq {seq}, stands at {} with {} bytes", row.seq, row.body.len()));
        }
        if row.seq <= last_seq {
            wrong.push(format!("{name} stands at seq {}, behind it its predecessor at {last_seq}", row.seq));
        }
        last_seq = row.seq;
    }
}

/// What was ever seen, live or by history, is what history says now; what was live came in order and whole.
fn check_seen(ledger: &Ledger, history: &[Row], wrong: &mut Vec<String>) {
    let is_there = |row: &Row| history.get((row.seq as usize).wrapping_sub(1)) == Some(row);
    for row in ledger.known.iter().chain(ledger.live.iter().flatten()).filter(|row| !is_there(row)) {
        wrong.push(format!("{} saw seq {} with other contents than history has now", ledger.user, row.seq));
    }
    for (connection, rows) in ledger.live.iter().enumerate() {
        for pair in rows.windows(2) {
            let (before, after) = (pair[0].seq, pair[1].seq);
            let between = history.iter().filter(|row| row.seq > before && row.seq < after);
            let missed = between.filter(|row| row.sender != ledger.user).count();
            if after <= before || missed > 0 {
                let user = ledger.user;
                wrong.push(format!(
                    "{user}, connection {connection}: seq {after} came behind {before}, {missed} missing"
                ));
            }
        }
    }
}

/// A history made wrong in one way, and a part of the complaint that is due.
pub fn tampered(history: &[Row]) -> Vec<(&'static str, &'static str, Vec<Row>)> {
    let middle = history.len() / 2;
    let with = |change: &dyn Fn(&mut Vec<Row>)| {
        let mut rows = history.to_vec();
        change(&mut rows);
        rows
    };
    let renumbered = |mut rows: Vec<Row>| {
        rows.iter_mut().zip(1..).for_each(|(row, seq)| row.seq = seq);
        rows
    };
    let swapped = with(&|rows| {
        rows.swap(middle - 1, middle);
    });
    vec![
        ("one removed", "a gap", with(&|rows| drop(rows.remove(middle)))),
        ("one removed, the others moved up", "stands at", renumbered(with(&|rows| drop(rows.remove(middle))))),
        ("the last removed", "is there 0 times", with(&|rows| drop(rows.pop()))),
        ("one doubled", "is there 2 times", renumbered(with(&|rows| rows.push(rows[middle].clone())))),
        ("two swapped", "stands at", renumbered(swapped)),
        ("one changed", "other contents", with(&|rows| rows[middle].body = b"another".to_vec())),
    ]
}
