//! The control lane: threads beside the shards ask them things and wait for the answer.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam::channel::{self, RecvTimeoutError};
use crossbeam::queue::ArrayQueue;
use trunkline_shards::contract::{AdminAnswer, AdminRequest, ShardId, Ticket};

use crate::wake::Doorbell;

/// Questions that wait at a shard.
const QUESTIONS_MAX: usize = 256;

/// A question and the way back.
#[derive(Debug)]
struct Question {
    request: AdminRequest,
    reply: channel::Sender<AdminAnswer>,
}

/// Where a shard's questions wait.
#[derive(Debug)]
struct Desk {
    questions: ArrayQueue<Question>,
    closed: AtomicBool,
    doorbell: Arc<Doorbell>,
}

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ControlError {
    /// There is no such shard.
    NoShard,
    /// Too many questions wait at the shard.
    Full,
    /// The shard did not answer in time; it may yet do what was asked.
    Late,
    /// The shard has ended.
    Ended,
}

impl fmt::Display for ControlError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            ControlError::NoShard => "there is no such shard",
            ControlError::Full => "too many requests wait at the shard",
            ControlError::Late => "the shard did not answer in time",
            ControlError::Ended => "the server is stopping",
        })
    }
}

impl std::error::Error for ControlError {}

/// Asks shards, from any thread that is none.
#[derive(Clone, Debug)]
pub struct Control {
    desks: Arc<[Arc<Desk>]>,
}

impl Control {
    /// How many shards there are.
    pub fn shards(&self) -> u16 {
        self.desks.len() as u16
    }

    /// Asks a shard and waits for its answer, at most `timeout`.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn ask(&self, shard: ShardId, request: AdminRequest, timeout: Duration) -> Result<AdminAnswer, ControlError> {
        let desk = self.desks.get(usize::from(shard)).ok_or(ControlError::NoShard)?;
        let (reply, answer) = channel::bounded(1);
        desk.questions.push(Question { request, reply }).map_err(|_| ControlError::Full)?;
        desk.doorbell.wake();
        if desk.closed.load(Ordering::SeqCst) {
            // Pushed beside the closing shard, so perhaps never looked at: dropping the questions ends the wait.
            while desk.questions.pop().is_some() {}
        }
        answer.recv_timeout(timeout).map_err(|error| match error {
            RecvTimeoutError::Timeout => ControlError::Late,
            RecvTimeoutError::Disconnected => ControlError::Ended,
        })
    }
}

/// A shard's side.
#[derive(Debug)]
pub struct ControlPort {
    desk: Arc<Desk>,
    waiting: HashMap<Ticket, channel::Sender<AdminAnswer>>,
    tickets: u64,
}

/// A control lane to each of the shards behind the doorbells.
pub fn control(doorbells: &[Arc<Doorbell>]) -> (Control, Vec<ControlPort>) {
    let desk = |doorbell: &Arc<Doorbell>| {
        let questions = ArrayQueue::new(QUESTIONS_MAX);
        Arc::new(Desk { questions, closed: AtomicBool::new(false), doorbell: Arc::clone(doorbell) })
    };
    let desks: Arc<[Arc<Desk>]> = doorbells.iter().map(desk).collect();
    let port = |desk: &Arc<Desk>| ControlPort { desk: Arc::clone(desk), waiting: HashMap::new(), tickets: 0 };
    let ports = desks.iter().map(port).collect();
    (Control { desks }, ports)
}

impl ControlPort {
    /// Whether a question waits.
    pub fn has_questions(&self) -> bool {
        !self.desk.questions.is_empty()
    }

    /// The next question, with the ticket its answer needs.
    pub fn take(&mut self) -> Option<(Ticket, AdminRequest)> {
        let Question { request, reply } = self.desk.questions.pop()?;
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.waiting.insert(ticket, reply);
        Some((ticket, request))
    }

    /// Answers a question.
    pub fn answer(&mut self, ticket: Ticket, answer: AdminAnswer) {
        let reply = self.waiting.remove(&ticket).expect("a core answers each administrator once");
        // Whoever asked may have given up.
        let _ = reply.send(answer);
    }
}

impl Drop for ControlPort {
    /// Whoever still waits learns that there will be no answer.
    fn drop(&mut self) {
        self.desk.closed.store(true, Ordering::SeqCst);
        while self.desk.questions.pop().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asked_late_and_ended() {
        let doorbells = [Arc::new(Doorbell::new().unwrap())];
        let (control, mut ports) = control(&doorbells);
        let mut port = ports.pop().unwrap();
        let ask = |timeout| control.ask(0, AdminRequest::Counters, Duration::from_millis(timeout));
        assert_eq!(ask(1), Err(ControlError::Late));
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| ask(60_000));
            loop {
                if let Some((ticket, AdminRequest::Counters)) = port.take() {
                    port.answer(ticket, AdminAnswer::Busy);
                }
                if asked.is_finished() {
                    break;
                }
            }
            assert_eq!(asked.join().unwrap(), Ok(AdminAnswer::Busy));
        });
        assert_eq!(control.ask(1, AdminRequest::Counters, Duration::ZERO), Err(ControlError::NoShard));
        for _ in 0..QUESTIONS_MAX {
            assert_eq!(ask(0), Err(ControlError::Late));
        }
        assert_eq!(ask(0), Err(ControlError::Full));
        drop(port);
        assert_eq!(ask(60_000), Err(ControlError::Ended));
    }
}
