//! Groups made and messages said before anything is measured: errands, several at a time on each connection.

use std::collections::VecDeque;

use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::message::{Answer, ContentKind, Outgoing, schema};

use crate::bodies::Bodies;
use crate::clock::NS_PER_S;
use crate::failure::Failure;
use crate::fleet::{Arrival, Finite, Fleet, Scenario, misplaced, unexpected};
use crate::outlet::Outlet;
use crate::refusals::{Refusal, Refusals};

/// Errands under way per connection, each with one request: half of what a server must allow.
const ERRANDS_AT_ONCE: usize = trunkline_wire::limits::REQUESTS_OUTSTANDING_MAX / 2;
const BODY_BYTES: usize = 100;
/// Nothing was answered or delivered for so long: the run ends.
const PATIENCE_NS: u64 = 30 * NS_PER_S;

/// A group that is to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Founding {
    /// Of the group.
    pub nonce: u64,
    /// Of the group.
    pub title: String,
    /// Without the one who makes it.
    pub others: Vec<UserId>,
}

/// What one connection is to do in one conversation: make it, perhaps, and say something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Errand {
    /// Whose.
    pub connection: u32,
    /// Taken when the group is made.
    pub founding: Option<Founding>,
    /// Known when the group is made.
    pub conversation: ConversationId,
    /// Messages still to be said.
    pub messages: u32,
    /// The connection's number of the last one.
    pub client_seq: u64,
    /// Seq of the last one.
    pub last_seq: u64,
}

impl Errand {
    /// To make a group and say something in it.
    #[must_use]
    pub fn new(connection: u32, founding: Founding, messages: u32) -> Errand {
        let conversation = ConversationId([0; 16]);
        Errand { connection, founding: Some(founding), conversation, messages, client_seq: 0, last_seq: 0 }
    }

    fn is_done(&self) -> bool {
        self.founding.is_none() && self.messages == 0
    }
}

/// Errands under way; requests have an errand's number plus 1.
struct Preparation<'a> {
    errands: &'a mut [Errand],
    /// By connection: those that are not begun.
    waiting: Vec<VecDeque<u32>>,
    bodies: Bodies,
    body: Vec<u8>,
    undone: usize,
    answers: u64,
    heard: u64,
    to_hear: u64,
    refusals: Refusals,
}

/// Does errands, and waits until all connections together got `to_hear` messages.
///
/// # Errors
/// Refusals that last, silence, or messages too many.
pub fn run(fleet: &mut Fleet, errands: &mut [Errand], seed: u64, to_hear: u64) -> Result<(), Failure> {
    let connections = errands.iter().map(|errand| errand.connection as usize + 1).max().unwrap_or(0);
    let mut preparation = Preparation {
        waiting: vec![VecDeque::new(); connections],
        bodies: Bodies::new(seed, BODY_BYTES),
        body: Vec::new(),
        undone: 0,
        answers: 0,
        heard: 0,
        to_hear,
        refusals: Refusals::default(),
        errands,
    };
    preparation.begin(&mut fleet.outlet);
    fleet.finish(&mut preparation, PATIENCE_NS, "groups to be made and messages to be said")?;
    match preparation.heard {
        heard if heard == to_hear => Ok(()),
        heard => Err(Failure::Server(format!("{heard} messages came to members where {to_hear} were to come"))),
    }
}

impl Preparation<'_> {
    fn begin(&mut self, outlet: &mut Outlet) {
        for (errand, number) in self.errands.iter().zip(0..) {
            if !errand.is_done() {
                self.undone += 1;
                self.waiting[errand.connection as usize].push_back(number);
            }
        }
        for connection in 0..self.waiting.len() {
            (0..ERRANDS_AT_ONCE).for_each(|_| self.begin_next(outlet, connection as u32));
        }
    }

    fn begin_next(&mut self, outlet: &mut Outlet, connection: u32) {
        if let Some(number) = self.waiting[connection as usize].pop_front() {
            self.ask(outlet, number);
        }
    }

    /// The next step of an errand, or the same again.
    fn ask(&mut self, outlet: &mut Outlet, number: u32) {
        let errand = &self.errands[number as usize];
        let (connection, request) = (errand.connection, number + 1);
        if let Some(Founding { nonce, title, others }) = &errand.founding {
            return outlet.push(connection, |encoder| encoder.create_group(request, *nonce, title, others));
        }
        let client_seq = errand.client_seq + 1;
        let message_id = self.bodies.message_id(number, client_seq);
        self.bodies.write(message_id, &mut self.body);
        let message = Outgoing { client_seq, message_id, kind: ContentKind::Text as u8, body: &self.body };
        outlet.push(connection, |encoder| encoder.send(request, errand.conversation, &[message]));
    }

    fn go_on(&mut self, outlet: &mut Outlet, number: u32) {
        self.answers += 1;
        if !self.errands[number as usize].is_done() {
            return self.ask(outlet, number);
        }
        self.undone -= 1;
        self.begin_next(outlet, self.errands[number as usize].connection);
    }

    fn made(&mut self, arrival: Arrival, number: u32, opened: &schema::Opened<'_>) -> Result<(), Failure> {
        let errand = &mut self.errands[number as usize];
        let conversation = opened.conversation().filter(|_| errand.founding.is_some());
        let conversation = conversation.ok_or_else(|| misplaced(arrival, "Opened"))?;
        errand.conversation = ConversationId(conversation.0);
        errand.last_seq = opened.last_seq();
        errand.founding = None;
        Ok(())
    }

    fn said(&mut self, arrival: Arrival, number: u32, client_seq: u64, seq: u64) -> Result<(), Failure> {
        let errand = &mut self.errands[number as usize];
        if errand.founding.is_some() || errand.messages == 0 || client_seq != errand.client_seq + 1 {
            return Err(misplaced(arrival, "Ack"));
        }
        errand.messages -= 1;
        (errand.client_seq, errand.last_seq) = (client_seq, seq);
        Ok(())
    }

    fn refused(&mut self, arrival: Arrival, number: u32, refusal: &Refusal<'_>) -> Result<(), Failure> {
        self.refusals.take(arrival.now_ns, number, refusal, || format!("errand {number} before the measurement"))
    }
}

impl Scenario for Preparation<'_> {
    fn answered(&mut self, outlet: &mut Outlet, arrival: Arrival, answer: &Answer<'_>) -> Result<(), Failure> {
        if let (Answer::Message(_), 0) = (answer, arrival.request) {
            self.heard += 1;
            return Ok(());
        }
        let is_own = |errand: &Errand| errand.connection == arrival.connection;
        let number = arrival.request.wrapping_sub(1);
        if !self.errands.get(number as usize).is_some_and(is_own) {
            return Err(unexpected(arrival, answer));
        }
        match answer {
            Answer::Opened(opened) => self.made(arrival, number, opened)?,
            Answer::Ack(ack) => match ack.accepted().into_iter().flatten().next() {
                Some(accepted) => self.said(arrival, number, accepted.client_seq(), accepted.seq())?,
                None => return self.refused(arrival, number, &Refusal::of_ack(ack)),
            },
            Answer::Error(error) => return self.refused(arrival, number, &Refusal::of_error(error)),
            _ => return Err(unexpected(arrival, answer)),
        }
        self.go_on(outlet, number);
        Ok(())
    }
}

impl Finite for Preparation<'_> {
    fn is_done(&self) -> bool {
        self.undone == 0 && self.heard >= self.to_hear
    }

    fn progress(&self) -> u64 {
        self.answers + self.heard
    }

    fn repeat_due(&mut self, outlet: &mut Outlet, now_ns: u64) {
        while let Some(number) = self.refusals.pop_due(now_ns) {
            self.ask(outlet, number);
        }
    }
}
