//! Hundreds of light clients on one thread: each talks with one other, keeps what it has no ack of, and says it again with
//! the same numbers and ids when it is back.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use trunkline_wire::ids::{ConversationId, MessageId, UserId};
use trunkline_wire::message::{ContentKind, Encoded, Encoder, ErrorCode, Outgoing};
use trunkline_wire::websocket::Opcode;

use crate::dice::Dice;
use crate::ear::{Heard, Reply, Row};
use crate::ledger::{Ledger, Sent};
use crate::line::Line;
use crate::peer::PATIENCE;

/// Most messages of one Send.
const BATCH_MAX: u64 = 2;

/// What everybody does now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Be connected and wait.
    Ready,
    /// Talk.
    Talk,
    /// Say what has no ack yet, and nothing new.
    Settle,
    /// Read all of the history.
    Read,
}

/// What the round and its people tell each other.
#[derive(Default)]
pub struct Round {
    /// The server was killed, or is about to be.
    pub killed: Cell<bool>,
    /// People who are connected, know all of the history and wait.
    pub ready: Cell<usize>,
    /// People who have an ack of all they said, and wait.
    pub settled: Cell<usize>,
    /// Messages acked for the first time while people talk.
    pub acked: Cell<u64>,
    /// Messages that were said again.
    pub repeated: Cell<u64>,
    /// Messages that were there after the kill although their ack never came.
    pub durable_unacked: Cell<u64>,
    /// Messages that were not there after the kill, and whose ack never came.
    pub absent_unacked: Cell<u64>,
    /// Requests that the server had no room for.
    pub busy: Cell<u64>,
    /// The first thing that the server should not have said or done.
    pub first_wrong: RefCell<Option<String>>,
}

pub fn add(cell: &Cell<u64>, count: usize) {
    cell.set(cell.get() + count as u64);
}

/// Somebody with one device, who talks with one other.
pub struct Person {
    pub token: String,
    pub peer: UserId,
    pub ledger: Ledger,
    pub dice: Dice,
    /// Between two sends.
    pub pause: Duration,
}

/// The connection is gone, or the server said what it should not.
enum Parted {
    Lost(io::Error),
    Wrong(String),
}

impl From<io::Error> for Parted {
    fn from(error: io::Error) -> Parted {
        Parted::Lost(error)
    }
}

impl Person {
    /// One connection, from its beginning to the server's end or, in the phase Read, until all is read: then that is given.
    pub async fn live(&mut self, address: SocketAddr, round: &Rc<Round>, phase: watch::Receiver<Phase>) -> Vec<Row> {
        self.ledger.live.push(Vec::new());
        let parted = match self.talk(address, round, phase).await {
            Ok(history) => return history,
            Err(parted) => parted,
        };
        match parted {
            Parted::Lost(_) if round.killed.get() => {}
            Parted::Lost(error) => self.complain(round, format!("lost before the kill: {error}")),
            Parted::Wrong(what) => self.complain(round, what),
        }
        Vec::new()
    }

    fn complain(&mut self, round: &Round, what: String) {
        round.first_wrong.borrow_mut().get_or_insert_with(|| format!("{}: {what}", self.ledger.user));
        self.ledger.complaints.push(what);
    }

    async fn talk(
        &mut self,
        address: SocketAddr,
        round: &Rc<Round>,
        mut phase: watch::Receiver<Phase>,
    ) -> Result<Vec<Row>, Parted> {
        let mut line = Line::connect(address).await?;
        let token = self.token.clone();
        match self.ask(&mut line, round, |encoder, request| encoder.hello(request, &token, "faults")).await? {
            Reply::Welcome { .. } => {}
            other => return Err(Parted::Wrong(format!("Hello was answered with {other:?}"))),
        }
        let peer = self.peer;
        let conversation = match self.ask(&mut line, round, |encoder, request| encoder.open_peer(request, peer)).await?
        {
            Reply::Opened(opened) => opened.conversation,
            other => return Err(Parted::Wrong(format!("Open was answered with {other:?}"))),
        };
        let from_seq = self.ledger.known.len() as u64 + 1;
        let rows = self.read_history(&mut line, conversation, round, from_seq).await?;
        self.count_unacked(round, &rows);
        self.ledger.note_known(rows);
        round.ready.set(round.ready.get() + 1);
        self.wait_until(&mut line, &mut phase, |phase| phase != Phase::Ready).await?;
        self.send_all(&mut line, conversation, round, &mut phase).await?;
        round.settled.set(round.settled.get() + 1);
        self.wait_until(&mut line, &mut phase, |phase| phase == Phase::Read).await?;
        self.read_history(&mut line, conversation, round, 1).await
    }

    /// Hears what is pushed until the phase is such.
    async fn wait_until(
        &mut self,
        line: &mut Line,
        phase: &mut watch::Receiver<Phase>,
        is_due: impl Fn(Phase) -> bool,
    ) -> Result<(), Parted> {
        while !is_due(*phase.borrow_and_update()) {
            tokio::select! {
                changed = phase.changed() => changed.map_err(io::Error::other)?,
                heard = line.hear() => self.note(heard?, line).await?,
            }
        }
        Ok(())
    }

    /// Sends one after the other: what waits first, then new ones while people talk.
    async fn send_all(
        &mut self,
        line: &mut Line,
        conversation: ConversationId,
        round: &Rc<Round>,
        phase: &mut watch::Receiver<Phase>,
    ) -> Result<(), Parted> {
        let mut due = Instant::now() + self.pause * self.dice.below(100) as u32 / 100;
        loop {
            let talks = *phase.borrow_and_update() == Phase::Talk;
            if self.ledger.first_unacked() == self.ledger.sent.len() {
                if !talks {
                    return Ok(());
                }
                if Instant::now() < due {
                    tokio::select! {
                        () = sleep_until(due) => {}
                        changed = phase.changed() => changed.map_err(io::Error::other)?,
                        heard = line.hear() => self.note(heard?, line).await?,
                    }
                    continue;
                }
                due = Instant::now() + self.pause;
                self.write_new();
            }
            self.send_next(line, conversation, round, talks).await?;
        }
    }

    fn write_new(&mut self) {
        for _ in 0..=self.dice.below(BATCH_MAX) {
            let number = self.ledger.sent.len() + 1;
            let text = format!("{number} of {} {}", self.ledger.user, "x".repeat(self.dice.below(200) as usize));
            let message_id = self.dice.roll() | 1;
            self.ledger.sent.push(Sent { message_id, body: text.into_bytes(), acked: None, attempts: 0 });
        }
    }

    /// One Send of what has no ack, and its answer.
    async fn send_next(
        &mut self,
        line: &mut Line,
        conversation: ConversationId,
        round: &Rc<Round>,
        talks: bool,
    ) -> Result<(), Parted> {
        let first = self.ledger.first_unacked();
        let end = self.ledger.sent.len().min(first + 1 + self.dice.below(BATCH_MAX) as usize);
        let batch = &mut self.ledger.sent[first..end];
        add(&round.repeated, batch.iter().filter(|sent| sent.attempts > 0).count());
        batch.iter_mut().for_each(|sent| sent.attempts += 1);
        let outgoing = batch.iter().zip(first as u64 + 1..).map(|(sent, client_seq)| Outgoing {
            client_seq,
            message_id: MessageId(sent.message_id),
            kind: ContentKind::Text as u8,
            body: &sent.body,
        });
        let messages: Vec<Outgoing<'_>> = outgoing.collect();
        line.request(|encoder, request| encoder.send(request, conversation, &messages)).await?;
        let ack = match self.answer(line).await? {
            Reply::Ack(ack) => ack,
            Reply::Error { code: ErrorCode::Busy, retry_after_ms } => {
                wait_for_room(round, retry_after_ms).await;
                return Ok(());
            }
            other => return Err(Parted::Wrong(format!("Send was answered with {other:?}"))),
        };
        if talks {
            add(&round.acked, ack.accepted.len());
        }
        for &(client_seq, seq, ts_ms) in &ack.accepted {
            self.ledger.note_ack(client_seq, (seq, ts_ms));
        }
        match ack.refusal {
            None => {}
            Some(ErrorCode::Busy) => wait_for_room(round, ack.retry_after_ms).await,
            Some(code) => return Err(Parted::Wrong(format!("a send was refused as {}", code.name()))),
        }
        Ok(())
    }

    async fn read_history(
        &mut self,
        line: &mut Line,
        conversation: ConversationId,
        round: &Round,
        from_seq: u64,
    ) -> Result<Vec<Row>, Parted> {
        let mut all: Vec<Row> = Vec::new();
        loop {
            let next = all.last().map_or(from_seq, |row| row.seq + 1);
            let asked =
                self.ask(line, round, |encoder, request| encoder.history(request, conversation, next, false, 50));
            match asked.await? {
                Reply::Page { rows, more, .. } => {
                    if more && rows.is_empty() {
                        return Err(Parted::Wrong("an empty page says that there is more".to_owned()));
                    }
                    all.extend(rows);
                    if !more {
                        return Ok(all);
                    }
                }
                other => return Err(Parted::Wrong(format!("History was answered with {other:?}"))),
            }
        }
    }

    fn count_unacked(&self, round: &Round, rows: &[Row]) {
        let unacked = &self.ledger.sent[self.ledger.first_unacked()..];
        let tried: Vec<&Sent> = unacked.iter().filter(|sent| sent.attempts > 0).collect();
        let own =
            |sent: &Sent| rows.iter().any(|row| row.sender == self.ledger.user && row.message_id == sent.message_id);
        let there = tried.iter().filter(|sent| own(sent)).count();
        add(&round.durable_unacked, there);
        add(&round.absent_unacked, tried.len() - there);
    }

    /// Asks until the server has room for it.
    async fn ask(
        &mut self,
        line: &mut Line,
        round: &Round,
        make: impl Fn(&mut Encoder, u32) -> Encoded<'_>,
    ) -> Result<Reply, Parted> {
        loop {
            line.request(&make).await?;
            match self.answer(line).await? {
                Reply::Error { code: ErrorCode::Busy, retry_after_ms } => wait_for_room(round, retry_after_ms).await,
                reply => return Ok(reply),
            }
        }
    }

    /// The answer to the last request; what is pushed meanwhile is noted.
    async fn answer(&mut self, line: &mut Line) -> Result<Reply, Parted> {
        loop {
            let heard = timeout(PATIENCE, line.hear()).await;
            let heard = heard.map_err(|_| Parted::Wrong(format!("no answer within {PATIENCE:?}")))?;
            match heard? {
                Heard::Reply(request, reply) if request == line.last_request => return Ok(reply),
                other => self.note(other, line).await?,
            }
        }
    }

    async fn note(&mut self, heard: Heard, line: &mut Line) -> Result<(), Parted> {
        match heard {
            Heard::Reply(0, Reply::Message(_, row)) => {
                self.ledger.live.last_mut().expect("a connection is under way").push(row);
                Ok(())
            }
            // Lists have tests of their own.
            Heard::Reply(0, Reply::Advanced(_)) => Ok(()),
            Heard::Ping(payload) => Ok(line.write_frame(Opcode::Pong, &payload).await?),
            other => Err(Parted::Wrong(format!("unasked for: {other:?}"))),
        }
    }
}

async fn wait_for_room(round: &Round, retry_after_ms: u32) {
    add(&round.busy, 1);
    sleep(Duration::from_millis(u64::from(retry_after_ms))).await;
}
