//! Pairs of users chat 1:1, and every message is followed from its intended send to Ack and delivery.
//!
//! Closed loop: a side's next message goes after the Ack of the one before and its delivery to the peer. Open loop: messages
//! go at the times of a rate, and latency counts from those times even where a message had to wait.

pub mod pair;
mod plan;
mod run;
mod setting;

use std::ops::Range;

use trunkline_wire::ids::{ConversationId, MessageId, UserId};
use trunkline_wire::message::{Answer, ContentKind, Outgoing, schema};

use crate::bodies::{Bodies, Digest};
use crate::course::{Conversing, Tally};
use crate::failure::Failure;
use crate::fleet::{Arrival, Finite, Scenario, misplaced, unexpected};
use crate::flight::Misdeed;
use crate::history::Sample;
use crate::outlet::Outlet;
use crate::refusals::{Refusal, Refusals};
use crate::statistics::Latencies;
use crate::users::User;
use pair::Pair;
use plan::Plan;

pub use run::{Outcome, run};
pub use setting::{IN_FLIGHT_MAX, Setting};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Opening,
    Talking,
    /// No new messages, except those that were already due.
    Ending,
}

/// One side of one pair: 2 x pair + side. Its requests have this number plus 1.
type Direction = u32;

/// The scenario's state.
struct Direct {
    pairs: Vec<Pair>,
    /// By connection: the conversations it is in.
    memberships: Vec<Vec<(ConversationId, Direction)>>,
    bodies: Bodies,
    body: Vec<u8>,
    tally: Tally,
    to_ack: Latencies,
    to_delivery: Latencies,
    /// Intended times that count.
    window: Range<u64>,
    stage: Stage,
    plan: Plan,
    unopened: u32,
    in_flight: u32,
    given_up: u64,
    /// By direction.
    refusals: Refusals,
}

impl Direct {
    fn new(setting: &Setting, users: &[User], seed: u64) -> Result<Direct, Failure> {
        let every = (setting.pairs / setting.samples.max(1)).max(1);
        let member = |user: u32| (user, users[user as usize].id);
        let of_users = setting.members()?.into_iter().zip(0u32..);
        let pair = |((one, other), number): ((u32, u32), u32)| {
            let is_sampled = number.is_multiple_of(every) && number / every < setting.samples;
            Pair::new(member(one), member(other), is_sampled)
        };
        let pairs: Vec<Pair> = of_users.map(pair).collect();
        Ok(Direct {
            unopened: pairs.len() as u32,
            pairs,
            memberships: vec![Vec::new(); users.len()],
            bodies: Bodies::new(seed, setting.body_bytes),
            body: Vec::new(),
            tally: Tally::default(),
            to_ack: Latencies::default(),
            to_delivery: Latencies::default(),
            window: u64::MAX..u64::MAX,
            stage: Stage::Opening,
            plan: Plan::new(setting),
            in_flight: 0,
            given_up: 0,
            refusals: Refusals::default(),
        })
    }

    /// Asks for every conversation; the second side asks when the first has its answer.
    fn open_all(&self, outlet: &mut Outlet) {
        (0..self.pairs.len() as u32).for_each(|pair| self.open(outlet, 2 * pair));
    }

    fn open(&self, outlet: &mut Outlet, direction: Direction) {
        let (pair, side) = self.at(direction);
        let peer = pair.sides[1 - side].user;
        outlet.push(pair.sides[side].connection, |encoder| encoder.open_peer(direction + 1, peer));
    }

    /// A message of a direction is due: it goes now, or after the one in flight.
    fn say(&mut self, outlet: &mut Outlet, direction: Direction, intended_ns: u64) {
        let (number, side) = (direction as usize / 2, direction as usize % 2);
        match self.pairs[number].next_client_seq(side) {
            None => self.pairs[number].sides[side].due_ns.push_back(intended_ns),
            Some(client_seq) => {
                let message_id = self.bodies.message_id(direction, client_seq);
                self.pairs[number].begin(side, message_id, intended_ns);
                self.in_flight += 1;
                self.send(outlet, direction);
            }
        }
    }

    /// Sends the message in flight, for the first time or again.
    fn send(&mut self, outlet: &mut Outlet, direction: Direction) {
        let (number, side) = (direction as usize / 2, direction as usize % 2);
        let pair = &self.pairs[number];
        let (Some(conversation), Some(flight)) = (pair.conversation, pair.sides[side].flight) else { return };
        self.bodies.write(flight.message_id, &mut self.body);
        let (client_seq, message_id) = (flight.client_seq, flight.message_id);
        let message = Outgoing { client_seq, message_id, kind: ContentKind::Text as u8, body: &self.body };
        self.tally.sends += 1;
        outlet.push(pair.sides[side].connection, |encoder| encoder.send(direction + 1, conversation, &[message]));
    }

    fn opened(&mut self, outlet: &mut Outlet, arrival: Arrival, opened: &schema::Opened<'_>) -> Result<(), Failure> {
        let direction = self.direction_of(arrival).ok_or_else(|| misplaced(arrival, "Opened"))?;
        let (number, side) = (direction as usize / 2, direction as usize % 2);
        let id = opened.conversation().map(|id| ConversationId(id.0));
        let conversation = id.ok_or_else(|| misplaced(arrival, "Opened without a conversation"))?;
        self.memberships[arrival.connection as usize].push((conversation, direction));
        if self.pairs[number].opened(side, conversation, opened.high(), opened.last_seq()) {
            self.unopened -= 1;
        } else {
            self.open(outlet, direction + 1);
        }
        Ok(())
    }

    fn acked(&mut self, outlet: &mut Outlet, arrival: Arrival, ack: &schema::Ack<'_>) -> Result<(), Failure> {
        let direction = self.direction_of(arrival).ok_or_else(|| misplaced(arrival, "Ack"))?;
        let (number, side) = (direction as usize / 2, direction as usize % 2);
        if ack.conversation().map(|id| id.0) != self.pairs[number].conversation.map(|id| id.0) {
            return Err(misplaced(arrival, "Ack of another conversation"));
        }
        let Some(accepted) = ack.accepted().into_iter().flatten().next() else {
            return self.refused(arrival, direction, &Refusal::of_ack(ack));
        };
        let flight = self.pairs[number].sides[side].flight;
        let step = self.pairs[number].acked(side, accepted.client_seq(), accepted.seq());
        let step = step.map_err(|misdeed| self.blame(direction, misdeed))?;
        self.tally.acked += 1;
        if self.window.contains(&step.intended_ns) {
            self.to_ack.record(arrival.now_ns.saturating_sub(step.intended_ns));
        }
        let pair = &mut self.pairs[number];
        if let (Some(sent), Some(flight)) = (&mut pair.sent, flight) {
            self.bodies.write(flight.message_id, &mut self.body);
            sent.add(accepted.seq(), pair.sides[side].user, flight.message_id, &self.body);
        }
        if step.is_last {
            self.go_on(outlet, direction, arrival.now_ns);
        }
        Ok(())
    }

    fn delivered(
        &mut self,
        outlet: &mut Outlet,
        arrival: Arrival,
        message: &schema::Message<'_>,
    ) -> Result<(), Failure> {
        let conversation = message.conversation().map(|id| ConversationId(id.0));
        let memberships = &self.memberships[arrival.connection as usize];
        let membership = memberships.iter().find(|(id, _)| Some(*id) == conversation);
        let own = membership.ok_or_else(|| misplaced(arrival, "Message of a conversation it is not in"))?.1;
        let direction = own ^ 1;
        let (number, sender) = (direction as usize / 2, direction as usize % 2);
        let message_id = MessageId(message.message_id());
        let body = message.body().map_or(&[][..], |body| body.bytes());
        let is_right = self.bodies.is_of(message_id, body) && message.kind() == ContentKind::Text as u8;
        let seq = message.seq();
        if !is_right || UserId(message.sender()) != self.pairs[number].sides[sender].user {
            return Err(self.blame(direction, Misdeed::Forged { seq }));
        }
        let step = self.pairs[number].delivered(sender, message_id, seq);
        let step = step.map_err(|misdeed| self.blame(direction, misdeed))?;
        self.tally.delivered += 1;
        if self.window.contains(&step.intended_ns) {
            self.to_delivery.record(arrival.now_ns.saturating_sub(step.intended_ns));
        }
        if step.is_last {
            self.go_on(outlet, direction, arrival.now_ns);
        }
        Ok(())
    }

    /// A direction's message is done: what comes next?
    fn go_on(&mut self, outlet: &mut Outlet, direction: Direction, now_ns: u64) {
        self.in_flight -= 1;
        let due_ns = self.pairs[direction as usize / 2].sides[direction as usize % 2].due_ns.pop_front();
        match due_ns {
            Some(intended_ns) => self.say(outlet, direction, intended_ns),
            None if self.stage == Stage::Talking && !self.plan.is_open_loop() => self.say(outlet, direction, now_ns),
            None => {}
        }
    }

    fn refused(&mut self, arrival: Arrival, direction: Direction, refusal: &Refusal<'_>) -> Result<(), Failure> {
        self.refusals.take(arrival.now_ns, direction, refusal, || place(&self.pairs, direction))
    }

    fn at(&self, direction: Direction) -> (&Pair, usize) {
        (&self.pairs[direction as usize / 2], direction as usize % 2)
    }

    /// The direction whose request is answered, if it is one of this connection's.
    fn direction_of(&self, arrival: Arrival) -> Option<Direction> {
        let direction = arrival.request.checked_sub(1).filter(|direction| direction / 2 < self.pairs.len() as u32)?;
        let (pair, side) = self.at(direction);
        (pair.sides[side].connection == arrival.connection).then_some(direction)
    }

    fn blame(&self, direction: Direction, misdeed: Misdeed) -> Failure {
        Failure::Server(format!("{}: {misdeed}", place(&self.pairs, direction)))
    }

    /// Messages that were due and not even sent.
    fn unsent(&self) -> u64 {
        self.given_up + self.pairs.iter().flat_map(|pair| &pair.sides).map(|side| side.due_ns.len() as u64).sum::<u64>()
    }

    /// Messages of an open loop that were due.
    fn due(&self) -> u64 {
        self.plan.due()
    }

    fn counts(&self) -> Tally {
        let Refusals { rate_limited, busy, .. } = self.refusals;
        Tally { rate_limited, busy, ..self.tally }
    }

    fn say_due(&mut self, outlet: &mut Outlet, now_ns: u64) -> bool {
        self.plan.begin_turn();
        let mut said = false;
        while let Some((direction, intended_ns)) = self.plan.next_due(now_ns) {
            said = true;
            self.say(outlet, direction, intended_ns);
        }
        said
    }

    /// The conversations whose history is to be compared.
    fn samples(&self) -> Vec<Sample> {
        let sample = |pair: &Pair| {
            let (conversation, sent): (ConversationId, Digest) = (pair.conversation?, pair.sent?);
            Some(Sample { conversation, connection: pair.sides[0].connection, first_seq: pair.base_seq + 1, sent })
        };
        self.pairs.iter().filter_map(sample).collect()
    }
}

impl Scenario for Direct {
    fn answered(&mut self, outlet: &mut Outlet, arrival: Arrival, answer: &Answer<'_>) -> Result<(), Failure> {
        match answer {
            Answer::Message(message) if arrival.request == 0 => self.delivered(outlet, arrival, message),
            Answer::Ack(ack) => self.acked(outlet, arrival, ack),
            Answer::Opened(opened) if self.stage == Stage::Opening => self.opened(outlet, arrival, opened),
            Answer::Error(error) => match self.direction_of(arrival) {
                Some(direction) => self.refused(arrival, direction, &Refusal::of_error(error)),
                None => Err(unexpected(arrival, answer)),
            },
            _ => Err(unexpected(arrival, answer)),
        }
    }
}

impl Finite for Direct {
    fn is_done(&self) -> bool {
        self.unopened == 0
    }

    fn progress(&self) -> u64 {
        u64::from(self.unopened)
    }

    fn repeat_due(&mut self, outlet: &mut Outlet, now_ns: u64) {
        while let Some(direction) = self.refusals.pop_due(now_ns) {
            if self.stage == Stage::Opening { self.open(outlet, direction) } else { self.send(outlet, direction) }
        }
    }
}

impl Conversing for Direct {
    fn begin(&mut self, outlet: &mut Outlet, window: Range<u64>, now_ns: u64) {
        (self.window, self.stage) = (window, Stage::Talking);
        self.plan.start(now_ns);
        if !self.plan.is_open_loop() {
            self.plan.directions().for_each(|direction| self.say(outlet, direction, now_ns));
        }
    }

    fn start_due(&mut self, outlet: &mut Outlet, now_ns: u64) {
        self.say_due(outlet, now_ns);
    }

    fn stop(&mut self, outlet: &mut Outlet, now_ns: u64) {
        self.stage = Stage::Ending;
        while self.say_due(outlet, now_ns) {}
    }

    fn give_up_due(&mut self) {
        self.given_up = self.unsent();
        self.pairs.iter_mut().flat_map(|pair| &mut pair.sides).for_each(|side| side.due_ns.clear());
    }

    fn in_flight(&self) -> u64 {
        self.in_flight.into()
    }

    fn waiting(&self) -> u64 {
        self.unsent() + u64::from(!self.refusals.is_empty())
    }

    fn next_repeat_ns(&self) -> Option<u64> {
        self.refusals.next_ns()
    }

    fn is_open_loop(&self) -> bool {
        self.plan.is_open_loop()
    }

    fn tally(&self) -> Tally {
        self.counts()
    }
}

fn place(pairs: &[Pair], direction: Direction) -> String {
    let (pair, side) = (&pairs[direction as usize / 2], direction as usize % 2);
    let conversation = pair.conversation.map_or_else(|| "to be opened".to_owned(), |id| id.to_string());
    format!("conversation {conversation}, from user {}", pair.sides[side].user)
}
