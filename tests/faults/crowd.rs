//! People of groups on one thread: each talks in one group whether it may or not, some leave, and the first of each group
//! adds and removes others.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::message::{Change, Encoded, Encoder, ErrorCode};
use trunkline_wire::websocket::Opcode;

use crate::chronicle::{Accepted, Diary};
use crate::dice::Dice;
use crate::ear::{Heard, Reply, Row, Summary};
use crate::fleet::Phase;
use crate::line::Line;
use crate::peer::{PATIENCE, encode_send};

/// What a round and its people tell each other.
#[derive(Default)]
pub struct Round {
    /// The server was killed, or is about to be.
    pub killed: Cell<bool>,
    /// People who are connected, know what there is and wait.
    pub ready: Cell<usize>,
    /// People who know what became of all they said, and wait.
    pub settled: Cell<usize>,
    /// Messages that were accepted, refused, changes that were made.
    pub counts: Cell<(u64, u64, u64)>,
    /// The longest that somebody waited for its list to be complete.
    pub list_took: Cell<Duration>,
    /// The first thing that the server should not have said or done.
    pub first_wrong: RefCell<Option<String>>,
}

impl Round {
    fn count(&self, accepted: u64, refused: u64, changed: u64) {
        let (a, r, c) = self.counts.get();
        self.counts.set((a + accepted, r + refused, c + changed));
    }
}

/// Of each user the highest seq at which it was added or removed, as somebody was answered.
pub type Known = Rc<RefCell<HashMap<UserId, u64>>>;

/// Somebody with one device in one group.
pub struct Person {
    pub token: String,
    pub group: ConversationId,
    /// Whom it adds and removes; nobody, unless it is the admin.
    pub crowd: Vec<UserId>,
    pub known: Known,
    pub diary: Diary,
    pub dice: Dice,
    pub pause: Duration,
    /// A message without an answer: its name and its text.
    pub pending: Option<(u64, Vec<u8>)>,
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
    /// One connection, from its beginning to the server's end or, in the phase Read, until all is read.
    pub async fn live(&mut self, address: SocketAddr, round: &Rc<Round>, phase: watch::Receiver<Phase>) {
        self.diary.live.push(Vec::new());
        let wrong = match self.take_part(address, round, phase).await {
            Ok(()) => return,
            Err(Parted::Lost(_)) if round.killed.get() => return,
            Err(Parted::Lost(error)) => format!("lost before the kill: {error}"),
            Err(Parted::Wrong(what)) => what,
        };
        round.first_wrong.borrow_mut().get_or_insert_with(|| format!("{}: {wrong}", self.diary.user));
        self.diary.complaints.push(wrong);
    }

    async fn take_part(
        &mut self,
        address: SocketAddr,
        round: &Rc<Round>,
        mut phase: watch::Receiver<Phase>,
    ) -> Result<(), Parted> {
        let mut line = Line::connect(address).await?;
        let token = self.token.clone();
        match self.ask(&mut line, |encoder, request| encoder.hello(request, &token, "faults")).await? {
            Reply::Welcome { .. } => {}
            other => return Err(Parted::Wrong(format!("Hello was answered with {other:?}"))),
        }
        self.complete_list(&mut line, round).await?;
        let next = self.diary.last_read() + 1;
        let rows = self.read_history(&mut line, next).await?;
        self.diary.read.push(rows);
        round.ready.set(round.ready.get() + 1);
        self.wait(&mut line, &mut phase, |phase| phase != Phase::Ready).await?;
        while *phase.borrow() == Phase::Talk {
            let until = Instant::now() + self.pause * (50 + self.dice.below(100) as u32) / 100;
            self.wait_until(&mut line, &mut phase, until).await?;
            self.act(&mut line, round).await?;
        }
        while self.pending.is_some() {
            self.send_pending(&mut line, round).await?;
        }
        round.settled.set(round.settled.get() + 1);
        self.wait(&mut line, &mut phase, |phase| phase == Phase::Read).await?;
        self.complete_list(&mut line, round).await?;
        let rows = self.read_history(&mut line, 1).await?;
        self.diary.read.push(rows);
        self.diary.listed = self.list_row(&mut line).await?;
        Ok(())
    }

    /// Says something, leaves, or changes who is in the group.
    async fn act(&mut self, line: &mut Line, round: &Round) -> Result<(), Parted> {
        if !self.crowd.is_empty() && self.dice.below(4) > 0 {
            let count = 1 + self.dice.below(3);
            let users = (0..count).map(|_| self.crowd[self.dice.below(self.crowd.len() as u64) as usize]).collect();
            let change = if self.dice.below(2) == 0 { Change::Added } else { Change::Removed };
            return self.change(line, round, change, users).await;
        }
        if self.crowd.is_empty() && self.dice.below(16) == 0 {
            let own = vec![self.diary.user];
            return self.change(line, round, Change::Removed, own).await;
        }
        if self.pending.is_none() {
            let text = format!("{} of {}", self.diary.accepted.len() + 1, self.diary.user);
            self.pending = Some((self.dice.roll() | 1, text.into_bytes()));
        }
        self.send_pending(line, round).await
    }

    async fn change(
        &mut self,
        line: &mut Line,
        round: &Round,
        change: Change,
        users: Vec<UserId>,
    ) -> Result<(), Parted> {
        let group = self.group;
        match self.ask(line, |encoder, request| encoder.change_members(request, group, change, &users)).await? {
            Reply::MembersChanged { seq: 0, .. } | Reply::Error { code: ErrorCode::Busy, .. } => {}
            Reply::MembersChanged { seq, .. } => {
                let mut known = self.known.borrow_mut();
                for user in &users {
                    // Of several some may have been in or out already: what is due is that nothing older is shown.
                    let at = known.entry(*user).or_default();
                    *at = if users.len() == 1 { seq.max(*at) } else { *at };
                }
                drop(known);
                self.diary.changes.push((seq, change, users));
                round.count(0, 0, 1);
            }
            Reply::Error { code: ErrorCode::NotFound, .. } if self.crowd.is_empty() => {}
            other => return Err(Parted::Wrong(format!("{change:?} of {users:?} was answered with {other:?}"))),
        }
        Ok(())
    }

    /// One Send of what has no answer. Whoever is not in the group is refused: then the next message takes the number.
    async fn send_pending(&mut self, line: &mut Line, round: &Round) -> Result<(), Parted> {
        let Some((message_id, body)) = self.pending.clone() else { return Ok(()) };
        let (group, client_seq) = (self.group, self.diary.accepted.len() as u64 + 1);
        let asked =
            self.ask(line, |encoder, request| encode_send(encoder, request, group, client_seq, message_id, &body));
        let reply = asked.await?;
        let refusal = match &reply {
            Reply::Ack(ack) => ack.refusal,
            Reply::Error { code, .. } => Some(*code),
            _ => None,
        };
        match (reply, refusal) {
            (Reply::Ack(ack), None) => {
                let Some(&(_, seq, ts_ms)) = ack.accepted.first() else {
                    return Err(Parted::Wrong(format!("an Ack of nothing: {ack:?}")));
                };
                self.diary.accepted.push(Accepted { message_id, body, place: (seq, ts_ms) });
                self.pending = None;
                round.count(1, 0, 0);
            }
            (_, Some(ErrorCode::Forbidden | ErrorCode::NotFound)) => {
                self.diary.refused.push(message_id);
                self.pending = None;
                round.count(0, 1, 0);
            }
            (_, Some(ErrorCode::Busy)) => sleep(Duration::from_millis(20)).await,
            (other, _) => return Err(Parted::Wrong(format!("a send was answered with {other:?}"))),
        }
        Ok(())
    }

    /// Waits until the list has what anybody was answered about this user: it may be announced some time after the start.
    async fn complete_list(&mut self, line: &mut Line, round: &Round) -> Result<(), Parted> {
        let due = self.known.borrow().get(&self.diary.user).copied().unwrap_or(0);
        let start = Instant::now();
        loop {
            let row = self.list_row(line).await?;
            if row.as_ref().map_or(0, |row| row.joined_seq.max(row.left_seq)) >= due {
                round.list_took.set(round.list_took.get().max(start.elapsed()));
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                return Err(Parted::Wrong(format!("the list misses seq {due}: {row:?}")));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn list_row(&mut self, line: &mut Line) -> Result<Option<Summary>, Parted> {
        match self.ask(line, |encoder, request| encoder.sync(request, Some(0), 0, 100)).await? {
            Reply::Synced(synced) => Ok(synced.rows.into_iter().find(|row| row.conversation == self.group)),
            other => Err(Parted::Wrong(format!("Sync was answered with {other:?}"))),
        }
    }

    /// What may be seen from a seq on; nothing for who never was in the group.
    async fn read_history(&mut self, line: &mut Line, from_seq: u64) -> Result<Vec<Row>, Parted> {
        let mut all: Vec<Row> = Vec::new();
        let group = self.group;
        loop {
            let next = all.last().map_or(from_seq, |row| row.seq + 1);
            match self.ask(line, |encoder, request| encoder.history(request, group, next, false, 50)).await? {
                Reply::Page { rows, more, .. } => {
                    if more && rows.is_empty() {
                        return Err(Parted::Wrong("an empty page says that there is more".to_owned()));
                    }
                    all.extend(rows);
                    if !more {
                        return Ok(all);
                    }
                }
                Reply::Error { code: ErrorCode::NotFound, .. } if all.is_empty() => return Ok(all),
                other => return Err(Parted::Wrong(format!("History was answered with {other:?}"))),
            }
        }
    }

    async fn wait(
        &mut self,
        line: &mut Line,
        phase: &mut watch::Receiver<Phase>,
        is_over: impl Fn(Phase) -> bool,
    ) -> Result<(), Parted> {
        while !is_over(*phase.borrow_and_update()) {
            tokio::select! {
                changed = phase.changed() => changed.map_err(io::Error::other)?,
                heard = line.hear() => self.note(heard?, line).await?,
            }
        }
        Ok(())
    }

    async fn wait_until(
        &mut self,
        line: &mut Line,
        phase: &mut watch::Receiver<Phase>,
        until: Instant,
    ) -> Result<(), Parted> {
        loop {
            tokio::select! {
                () = sleep_until(until) => return Ok(()),
                changed = phase.changed() => return Ok(changed.map_err(io::Error::other)?),
                heard = line.hear() => self.note(heard?, line).await?,
            }
        }
    }

    /// The answer to a request; what is pushed meanwhile is noted. Except for changes and sends, what the server has no room
    /// for is asked again.
    async fn ask(&mut self, line: &mut Line, make: impl Fn(&mut Encoder, u32) -> Encoded<'_>) -> Result<Reply, Parted> {
        line.request(&make).await?;
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
            Heard::Reply(0, Reply::Message(group, row)) if group == self.group => {
                self.diary.live.last_mut().expect("a connection is under way").push(row);
                Ok(())
            }
            Heard::Reply(0, Reply::Advanced(_)) => Ok(()),
            Heard::Ping(payload) => Ok(line.write_frame(Opcode::Pong, &payload).await?),
            other => Err(Parted::Wrong(format!("unasked for: {other:?}"))),
        }
    }
}
