//! Hundreds of readers of groups on one thread, most of whom stop reading when they are told to, and one speaker a group.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, interval, sleep, timeout};
use trunkline_wire::ids::ConversationId;
use trunkline_wire::message::{ContentKind, Encoded, Encoder, ErrorCode};
use trunkline_wire::websocket::Opcode;

use crate::ear::{Advanced, Heard, Reply, Row};
use crate::line::Line;
use crate::peer::{PATIENCE, encode_send};

/// Bytes of each message.
const BODY_BYTES: usize = 1_024;

/// Refusals of one request with busy, after which it is given up.
const BUSY_MAX: u32 = 100;

/// What everybody does now.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// Speak and read.
    All,
    /// Speak; those who lag read nothing.
    Lag,
    /// Nobody speaks any more.
    Hush,
    /// Those who lag read what is there, and what they were not told.
    Drain,
    /// One more message in each group, which all hear live.
    Again,
    /// It is over.
    End,
}

/// What they tell each other.
#[derive(Default)]
pub struct Board {
    /// When each message was said, by its id.
    pub said: RefCell<HashMap<u64, Instant>>,
    /// How long messages took to those who read, in which phase they came, and when.
    pub took: RefCell<Vec<(Phase, Instant, Duration)>>,
    /// The rows of each group, as acked.
    pub logs: RefCell<HashMap<ConversationId, u64>>,
    /// Who is done with what the phase asks.
    pub done: Cell<usize>,
    /// Messages that laggards found by history.
    pub by_history: Cell<usize>,
}

impl Board {
    fn one_done(&self) {
        self.done.set(self.done.get() + 1);
    }
}

/// Somebody in a group.
pub struct Reader {
    pub token: String,
    pub group: ConversationId,
    pub board: Rc<Board>,
    pub phase: watch::Receiver<Phase>,
}

/// A reader's connection, and what it has of the group.
struct Seat {
    line: Line,
    rows: Vec<Row>,
    advanced: Vec<Advanced>,
}

impl Seat {
    async fn take(address: SocketAddr, token: &str, is_narrow: bool) -> io::Result<Seat> {
        let line = if is_narrow { Line::connect_narrow(address).await? } else { Line::connect(address).await? };
        let mut seat = Seat { line, rows: Vec::new(), advanced: Vec::new() };
        match seat.ask(|encoder, request| encoder.hello(request, token, "faults")).await? {
            Reply::Welcome { .. } => Ok(seat),
            other => panic!("Hello was answered with {other:?}"),
        }
    }

    async fn ask(&mut self, make: impl FnOnce(&mut Encoder, u32) -> Encoded<'_>) -> io::Result<Reply> {
        self.line.request(make).await?;
        let asked = self.line.last_request;
        loop {
            let heard = timeout(PATIENCE, self.line.hear()).await.expect("the server answers in time")?;
            match heard {
                Heard::Reply(request, reply) if request == asked => return Ok(reply),
                other => self.note(other).await?,
            }
        }
    }

    async fn note(&mut self, heard: Heard) -> io::Result<()> {
        match heard {
            Heard::Reply(0, Reply::Message(_, row)) => self.rows.push(row),
            Heard::Reply(0, Reply::Advanced(advanced)) => self.advanced.push(advanced),
            Heard::Ping(payload) => self.line.write_frame(Opcode::Pong, &payload).await?,
            other => panic!("unasked for: {other:?}"),
        }
        Ok(())
    }

    /// Reads until the phase is another one.
    async fn read(&mut self, phase: &mut watch::Receiver<Phase>, heard: impl Fn(&Row)) -> io::Result<Phase> {
        let now = *phase.borrow_and_update();
        loop {
            tokio::select! {
                changed = phase.changed() => {
                    changed.expect("the test goes on");
                    let next = *phase.borrow_and_update();
                    if next != now {
                        return Ok(next);
                    }
                }
                something = self.line.hear() => {
                    let before = self.rows.len();
                    self.note(something?).await?;
                    self.rows[before..].iter().for_each(&heard);
                }
            }
        }
    }

    /// A page of history, asked for again when the server is busy, after the time it names.
    async fn page(&mut self, group: ConversationId, from: u64) -> io::Result<(Vec<Row>, bool)> {
        for _ in 0..BUSY_MAX {
            match self.ask(|encoder, request| encoder.history(request, group, from, false, 50)).await? {
                Reply::Page { rows, more, .. } => return Ok((rows, more)),
                Reply::Error { code: ErrorCode::Busy, retry_after_ms } => {
                    sleep(Duration::from_millis(retry_after_ms.into())).await;
                }
                other => panic!("History was answered with {other:?}"),
            }
        }
        panic!("History was answered with busy {BUSY_MAX} times");
    }

    /// The history behind what it has.
    async fn history(&mut self, group: ConversationId) -> io::Result<Vec<Row>> {
        let mut found: Vec<Row> = Vec::new();
        loop {
            let next = found.last().or(self.rows.last()).map_or(1, |row| row.seq + 1);
            let (rows, more) = self.page(group, next).await?;
            found.extend(rows);
            if !more {
                return Ok(found);
            }
        }
    }
}

async fn until(phase: &mut watch::Receiver<Phase>, due: Phase) {
    phase.wait_for(|now| *now >= due).await.expect("the test goes on");
}

/// Reads all the time, and takes the time that messages took.
pub async fn listen(reader: Reader, address: SocketAddr) {
    let Reader { token, board, mut phase, .. } = reader;
    let mut seat = Seat::take(address, &token, false).await.expect("a connection");
    board.one_done();
    loop {
        let now = *phase.borrow();
        let heard = |row: &Row| {
            if let Some(said) = board.said.borrow().get(&row.message_id) {
                let at = Instant::now();
                board.took.borrow_mut().push((now, at, at - *said));
            }
        };
        if seat.read(&mut phase, heard).await.expect("the connection lives") == Phase::End {
            break;
        }
    }
    let gap = seat.rows.windows(2).find(|pair| pair[1].seq != pair[0].seq + 1);
    assert!(gap.is_none(), "somebody who reads misses something: {} and {}", gap.unwrap()[0].seq, gap.unwrap()[1].seq);
}

/// Reads until it is to lag, then nothing until it is to drain; then it has to be told, and to find all that it missed.
pub async fn lag(reader: Reader, address: SocketAddr) {
    let Reader { token, group, board, mut phase } = reader;
    let mut seat = Seat::take(address, &token, true).await.expect("a connection");
    board.one_done();
    let next = seat.read(&mut phase, |_| {}).await.expect("the connection lives");
    assert_eq!(next, Phase::Lag, "it reads as long as it may");
    until(&mut phase, Phase::Drain).await;
    let last_seq = board.logs.borrow()[&group];
    let position = seat.advanced.last().map_or(0, |advanced| advanced.to);
    let told = timeout(PATIENCE, async {
        loop {
            let before = seat.advanced.len();
            let heard = seat.line.hear().await.expect("the connection lives");
            seat.note(heard).await.expect("the connection lives");
            let new = &seat.advanced[before..];
            if new.iter().any(|advanced| advanced.from == advanced.to && advanced.to > position) {
                return;
            }
        }
    });
    told.await.expect("a laggard is told that it missed something");
    let got = seat.rows.last().map_or(0, |row| row.seq);
    assert!(got < last_seq, "it got all {last_seq} messages live: it did not lag");
    let missed = seat.history(group).await.expect("the connection lives");
    board.by_history.set(board.by_history.get() + missed.len());
    seat.rows.extend(missed);
    let seqs = seat.rows.iter().map(|row| row.seq);
    // Its first message is the one that it heard first; from there on it is complete.
    let first = seat.rows.first().map_or(1, |row| row.seq);
    assert!(seqs.eq(first..=last_seq), "a laggard is not complete: {first} to {got} live, {last_seq} in all");
    let is_due = |row: &&Row| row.kind == ContentKind::Text as u8 && row.body.len() != BODY_BYTES;
    assert_eq!(seat.rows.iter().filter(is_due).count(), 0, "texts of another size");
    board.one_done();
    until(&mut phase, Phase::Again).await;
    let again = timeout(PATIENCE, async {
        while seat.rows.last().is_none_or(|row| row.seq <= last_seq) {
            let heard = seat.line.hear().await.expect("the connection lives");
            seat.note(heard).await.expect("the connection lives");
        }
    });
    again.await.expect("whoever has drained hears what is said");
    board.one_done();
    until(&mut phase, Phase::End).await;
}

/// Says something so often, until all are to hush; then once more.
pub async fn speak(reader: Reader, address: SocketAddr, every: Duration) {
    let Reader { token, group, board, mut phase } = reader;
    let mut seat = Seat::take(address, &token, false).await.expect("a connection");
    board.one_done();
    let mut clock = interval(every);
    let mut client_seq = 0;
    loop {
        clock.tick().await;
        if *phase.borrow() == Phase::Hush {
            board.one_done();
            until(&mut phase, Phase::Again).await;
        }
        client_seq += 1;
        let message_id = u64::from_be_bytes(group.0[..8].try_into().expect("8 bytes")) ^ (2 * client_seq + 1);
        board.said.borrow_mut().insert(message_id, Instant::now());
        let body = format!("{client_seq:0>BODY_BYTES$}");
        let asked =
            seat.ask(|encoder, request| encode_send(encoder, request, group, client_seq, message_id, body.as_bytes()));
        match asked.await.expect("the connection lives") {
            Reply::Ack(ack) if ack.refusal.is_none() => {
                board.logs.borrow_mut().insert(group, ack.accepted[0].1);
            }
            other => panic!("a send was answered with {other:?}"),
        }
        if *phase.borrow() == Phase::Again {
            return until(&mut phase, Phase::End).await;
        }
    }
}
