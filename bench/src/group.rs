//! Groups in which some members talk and all others listen: every copy of every message is followed.
//!
//! Closed loop: a talking member's next message goes after the Ack of the one before and its delivery to the last of the
//! others. Every member's seqs have to be gap-free from the first one on, its own messages counted by their Acks.

pub mod ear;
mod run;

use std::collections::HashMap;
use std::ops::Range;

use trunkline_wire::ids::{ConversationId, MessageId, UserId};
use trunkline_wire::message::{Answer, Change, ContentKind, Outgoing, decode_membership, schema};

use crate::bodies::{Bodies, Digest};
use crate::course::{Conversing, Tally};
use crate::failure::Failure;
use crate::fleet::{Arrival, Finite, Scenario, misplaced, unexpected};
use crate::flight::{Flight, Misdeed, Step};
use crate::history::Sample;
use crate::outlet::{Outlet, Random};
use crate::refusals::{Refusal, Refusals};
use crate::statistics::Latencies;
use crate::users::User;
use ear::Ear;

pub use run::{Outcome, Setting, run};

/// Seq of the message with which a group begins: who made it, of whom.
const CREATED_SEQ: u64 = 1;
/// The request that makes a group; members' requests are their Sends.
const CREATE: u32 = 1;
const SEND: u32 = 2;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Making,
    Talking,
    Ending,
}

/// One group; its members are neighbours among the connections, the first of them made it.
struct Group {
    conversation: Option<ConversationId>,
    nonce: u64,
    /// What was acked, if it is to be compared with history.
    sent: Option<Digest>,
    /// The highest seq that a member was told.
    last_seq: u64,
}

/// One member, by connection.
struct Member {
    user: UserId,
    ear: Ear,
    flight: Option<Flight>,
    client_seq: u64,
}

/// How long it took, in nanoseconds from the intended send.
#[derive(Default)]
struct Spent {
    to_ack: Latencies,
    /// To each copy.
    to_delivery: Latencies,
    /// To the copy that came last.
    to_last: Latencies,
}

/// The scenario's state.
struct Groups {
    groups: Vec<Group>,
    members: Vec<Member>,
    by_user: HashMap<UserId, u32>,
    members_each: u32,
    senders: u32,
    bodies: Bodies,
    body: Vec<u8>,
    tally: Tally,
    spent: Spent,
    /// Intended times that count.
    window: Range<u64>,
    stage: Stage,
    /// What is due before anybody talks: each member hears of its group, each creator is answered, in either order.
    due: u32,
    in_flight: u32,
    /// By member.
    refusals: Refusals,
}

impl Groups {
    fn new(setting: &Setting, users: &[User], seed: u64) -> Groups {
        let every = (setting.groups / setting.samples.max(1)).max(1);
        let mut random = Random::new(seed);
        let mut group = |number: u32| {
            let is_sampled = number.is_multiple_of(every) && number / every < setting.samples;
            let nonce = random.next_u64();
            Group { conversation: None, nonce, sent: is_sampled.then(Digest::default), last_seq: CREATED_SEQ }
        };
        let member = |user: &User| Member { user: user.id, ear: Ear::default(), flight: None, client_seq: 0 };
        Groups {
            groups: (0..setting.groups).map(&mut group).collect(),
            members: users.iter().map(member).collect(),
            by_user: users.iter().zip(0..).map(|(user, number)| (user.id, number)).collect(),
            members_each: setting.members,
            senders: setting.senders,
            bodies: Bodies::new(seed, setting.body_bytes),
            body: Vec::new(),
            tally: Tally::default(),
            spent: Spent::default(),
            window: u64::MAX..u64::MAX,
            stage: Stage::Making,
            due: users.len() as u32 + setting.groups,
            in_flight: 0,
            refusals: Refusals::default(),
        }
    }

    fn make_all(&self, outlet: &mut Outlet) {
        (0..self.groups.len()).for_each(|group| self.make(outlet, group));
    }

    fn make(&self, outlet: &mut Outlet, group: usize) {
        let first = group * self.members_each as usize;
        let others = &self.members[first + 1..first + self.members_each as usize];
        let others: Vec<UserId> = others.iter().map(|member| member.user).collect();
        let (nonce, title) = (self.groups[group].nonce, format!("group {group}"));
        outlet.push(first as u32, |encoder| encoder.create_group(CREATE, nonce, &title, &others));
    }

    fn group_of(&self, member: u32) -> usize {
        (member / self.members_each) as usize
    }

    fn is_creator(&self, member: u32) -> bool {
        member.is_multiple_of(self.members_each)
    }

    /// A member's next message goes.
    fn say(&mut self, outlet: &mut Outlet, member: u32, now_ns: u64) {
        let sender = &mut self.members[member as usize];
        sender.client_seq += 1;
        let message_id = self.bodies.message_id(member, sender.client_seq);
        sender.flight = Some(Flight::new(sender.client_seq, message_id, now_ns, self.members_each - 1));
        self.in_flight += 1;
        self.send(outlet, member);
    }

    /// Sends the message in flight, for the first time or again.
    fn send(&mut self, outlet: &mut Outlet, member: u32) {
        let conversation = self.groups[self.group_of(member)].conversation;
        let flight = self.members[member as usize].flight.as_ref();
        let (Some(conversation), Some(&Flight { client_seq, message_id, .. })) = (conversation, flight) else { return };
        self.bodies.write(message_id, &mut self.body);
        let message = Outgoing { client_seq, message_id, kind: ContentKind::Text as u8, body: &self.body };
        self.tally.sends += 1;
        outlet.push(member, |encoder| encoder.send(SEND, conversation, &[message]));
    }

    fn made(&mut self, arrival: Arrival, opened: &schema::Opened<'_>) -> Result<(), Failure> {
        let creator = arrival.connection;
        if !self.is_creator(creator) || self.stage != Stage::Making {
            return Err(misplaced(arrival, "Opened"));
        }
        if (opened.last_seq(), opened.members()) != (CREATED_SEQ, self.members_each) {
            let (last_seq, members) = (opened.last_seq(), opened.members());
            return Err(misplaced(arrival, &format!("Opened of a group of {members} members with seq {last_seq}")));
        }
        self.learn(arrival, opened.conversation())?;
        self.due -= 1;
        Ok(())
    }

    /// Notes a group's conversation, whoever of its members hears of it first.
    fn learn(&mut self, arrival: Arrival, conversation: Option<&schema::ConversationId>) -> Result<(), Failure> {
        let told = conversation.map(|id| ConversationId(id.0));
        let group = self.group_of(arrival.connection);
        let known = &mut self.groups[group].conversation;
        if told.is_none() || (known.is_some() && *known != told) {
            return Err(misplaced(arrival, "something of a conversation it is not in"));
        }
        *known = told;
        Ok(())
    }

    fn hear(&mut self, member: u32, of: impl FnOnce(&mut Ear) -> Result<(), Misdeed>) -> Result<(), Failure> {
        of(&mut self.members[member as usize].ear).map_err(|misdeed| self.blame(member, misdeed))
    }

    fn acked(&mut self, outlet: &mut Outlet, arrival: Arrival, ack: &schema::Ack<'_>) -> Result<(), Failure> {
        let member = arrival.connection;
        let group = self.group_of(member);
        let conversation = self.groups[group].conversation;
        if arrival.request != SEND || ack.conversation().map(|id| id.0) != conversation.map(|id| id.0) {
            return Err(misplaced(arrival, "Ack"));
        }
        let Some(accepted) = ack.accepted().into_iter().flatten().next() else {
            return self.refused(arrival, &Refusal::of_ack(ack));
        };
        let seq = accepted.seq();
        let sender = &mut self.members[member as usize];
        let message_id = sender.flight.map(|flight| flight.message_id);
        let step = Flight::acked(sender.flight.as_mut(), accepted.client_seq(), seq);
        let step = step.map_err(|misdeed| self.blame(member, misdeed))?;
        self.hear(member, |ear| ear.acked(seq))?;
        self.tally.acked += 1;
        if self.window.contains(&step.intended_ns) {
            self.spent.to_ack.record(arrival.now_ns.saturating_sub(step.intended_ns));
        }
        let Group { sent, last_seq, .. } = &mut self.groups[group];
        *last_seq = seq.max(*last_seq);
        if let (Some(sent), Some(message_id)) = (sent, message_id) {
            self.bodies.write(message_id, &mut self.body);
            sent.add(seq, self.members[member as usize].user, message_id, &self.body);
        }
        self.stepped(outlet, member, step, arrival.now_ns);
        Ok(())
    }

    fn delivered(
        &mut self,
        outlet: &mut Outlet,
        arrival: Arrival,
        message: &schema::Message<'_>,
    ) -> Result<(), Failure> {
        self.learn(arrival, message.conversation())?;
        let (recipient, seq) = (arrival.connection, message.seq());
        let has_flight = self.members[recipient as usize].flight.is_some_and(|flight| !flight.is_acked());
        self.hear(recipient, |ear| ear.heard(seq, has_flight))?;
        let body = message.body().map_or(&[][..], |body| body.bytes());
        if seq == CREATED_SEQ {
            return self.heard_of(recipient, message, body);
        }
        let message_id = MessageId(message.message_id());
        let is_right = self.bodies.is_of(message_id, body) && message.kind() == ContentKind::Text as u8;
        let sender = self.by_user.get(&UserId(message.sender())).copied();
        let sender = sender.filter(|sender| is_right && self.group_of(*sender) == self.group_of(recipient));
        let Some(sender) = sender else { return Err(self.blame(recipient, Misdeed::Forged { seq })) };
        let step = Flight::delivered(self.members[sender as usize].flight.as_mut(), message_id, seq);
        let step = step.map_err(|misdeed| self.blame(recipient, misdeed))?;
        self.tally.delivered += 1;
        if self.window.contains(&step.intended_ns) {
            let took_ns = arrival.now_ns.saturating_sub(step.intended_ns);
            self.spent.to_delivery.record(took_ns);
            if step.is_everywhere {
                self.spent.to_last.record(took_ns);
            }
        }
        self.stepped(outlet, sender, step, arrival.now_ns);
        Ok(())
    }

    /// The first message of a group says who made it, of whom.
    fn heard_of(&mut self, recipient: u32, message: &schema::Message<'_>, body: &[u8]) -> Result<(), Failure> {
        let creator = recipient / self.members_each * self.members_each;
        let is_from_creator = UserId(message.sender()) == self.members[creator as usize].user;
        let change = decode_membership(body).ok().filter(|_| message.kind() == ContentKind::Membership as u8);
        if !is_from_creator || change.is_none_or(|change| change.change() != Change::Created as u8) {
            return Err(self.blame(recipient, Misdeed::Forged { seq: message.seq() }));
        }
        self.due -= 1;
        Ok(())
    }

    fn stepped(&mut self, outlet: &mut Outlet, sender: u32, step: Step, now_ns: u64) {
        if step.is_last {
            self.members[sender as usize].flight = None;
            self.in_flight -= 1;
            if self.stage == Stage::Talking {
                self.say(outlet, sender, now_ns);
            }
        }
    }

    fn refused(&mut self, arrival: Arrival, refusal: &Refusal<'_>) -> Result<(), Failure> {
        let member = arrival.connection;
        self.refusals.take(arrival.now_ns, member, refusal, || format!("a request of member {member}"))
    }

    fn blame(&self, member: u32, misdeed: Misdeed) -> Failure {
        let conversation = self.groups[self.group_of(member)].conversation;
        let conversation = conversation.map_or_else(|| "to be made".to_owned(), |id| id.to_string());
        let user = self.members[member as usize].user;
        Failure::Server(format!("conversation {conversation}, member {user}: {misdeed}"))
    }

    /// When all is over, everybody has heard everything.
    fn check_whole(&self) -> Result<(), Failure> {
        for (member, number) in self.members.iter().zip(0..) {
            let last_seq = self.groups[self.group_of(number)].last_seq;
            let whole_seq = member.ear.whole_seq();
            if whole_seq != last_seq {
                return Err(self.blame(number, Misdeed::Missing { seq: whole_seq + 1 }));
            }
        }
        Ok(())
    }

    /// The groups whose history is to be compared, by a member that only listens.
    fn samples(&self) -> Vec<Sample> {
        let sample = |(group, number): (&Group, u32)| {
            let (conversation, sent) = (group.conversation?, group.sent?);
            let connection = (number + 1) * self.members_each - 1;
            Some(Sample { conversation, connection, first_seq: CREATED_SEQ + 1, sent })
        };
        self.groups.iter().zip(0..).filter_map(sample).collect()
    }
}

impl Scenario for Groups {
    fn answered(&mut self, outlet: &mut Outlet, arrival: Arrival, answer: &Answer<'_>) -> Result<(), Failure> {
        match answer {
            Answer::Message(message) if arrival.request == 0 => self.delivered(outlet, arrival, message),
            Answer::Ack(ack) => self.acked(outlet, arrival, ack),
            Answer::Opened(opened) if arrival.request == CREATE => self.made(arrival, opened),
            Answer::Error(error) if arrival.request != 0 => self.refused(arrival, &Refusal::of_error(error)),
            _ => Err(unexpected(arrival, answer)),
        }
    }
}

impl Finite for Groups {
    fn is_done(&self) -> bool {
        self.due == 0
    }

    fn progress(&self) -> u64 {
        u64::from(self.due)
    }

    fn repeat_due(&mut self, outlet: &mut Outlet, now_ns: u64) {
        while let Some(member) = self.refusals.pop_due(now_ns) {
            match self.stage {
                Stage::Making => self.make(outlet, self.group_of(member)),
                Stage::Talking | Stage::Ending => self.send(outlet, member),
            }
        }
    }
}

impl Conversing for Groups {
    fn begin(&mut self, outlet: &mut Outlet, window: Range<u64>, now_ns: u64) {
        (self.window, self.stage) = (window, Stage::Talking);
        let senders = (0..self.members.len() as u32).filter(|member| member % self.members_each < self.senders);
        senders.collect::<Vec<_>>().into_iter().for_each(|member| self.say(outlet, member, now_ns));
    }

    fn stop(&mut self, _: &mut Outlet, _: u64) {
        self.stage = Stage::Ending;
    }

    fn in_flight(&self) -> u64 {
        self.in_flight.into()
    }

    fn waiting(&self) -> u64 {
        u64::from(!self.refusals.is_empty())
    }

    fn next_repeat_ns(&self) -> Option<u64> {
        self.refusals.next_ns()
    }

    fn tally(&self) -> Tally {
        let Refusals { rate_limited, busy, .. } = self.refusals;
        Tally { rate_limited, busy, ..self.tally }
    }
}
