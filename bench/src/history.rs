//! Reads conversations back and holds them against what was sent.

use trunkline_wire::ids::{ConversationId, MessageId, UserId};
use trunkline_wire::limits::HISTORY_MESSAGES_MAX;
use trunkline_wire::message::{Answer, ErrorCode, messages_of_page, schema};

use crate::clock::{Clock, NS_PER_MS, NS_PER_S};
use crate::direct::bodies::Digest;
use crate::failure::{Failure, refused};
use crate::fleet::{Arrival, Fleet, Patience, Scenario, unexpected};
use crate::outlet::Outlet;

const TURN_NS: u64 = 20 * NS_PER_MS;
/// No page came for so long: the run ends.
const PATIENCE_NS: u64 = 15 * NS_PER_S;

/// One conversation to be read.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Which.
    pub conversation: ConversationId,
    /// On a member's connection.
    pub connection: u32,
    /// From this seq on.
    pub first_seq: u64,
    /// What must be there.
    pub sent: Digest,
}

/// What was compared.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Compared {
    /// Conversations that were read.
    pub conversations: u64,
    /// Messages in them.
    pub messages: u64,
}

struct Reading {
    sample: Sample,
    next_seq: u64,
    read: Digest,
    /// When to ask again, after a refusal.
    again_ns: Option<u64>,
    is_done: bool,
}

struct Readings {
    readings: Vec<Reading>,
    pages: u64,
}

impl Readings {
    fn ask(&self, outlet: &mut Outlet, index: usize) {
        let Reading { sample, next_seq, .. } = &self.readings[index];
        let (request, limit) = (index as u32 + 1, HISTORY_MESSAGES_MAX as u16);
        outlet
            .push(sample.connection, |encoder| encoder.history(request, sample.conversation, *next_seq, false, limit));
    }

    fn ask_again(&mut self, outlet: &mut Outlet, now_ns: u64) {
        for index in 0..self.readings.len() {
            if self.readings[index].again_ns.take_if(|again_ns| *again_ns <= now_ns).is_some() {
                self.ask(outlet, index);
            }
        }
    }

    fn take_page(&mut self, outlet: &mut Outlet, index: usize, page: &schema::HistoryPage<'_>) -> Result<(), Failure> {
        let reading = &mut self.readings[index];
        let conversation = reading.sample.conversation;
        let fault = |text: String| Failure::Server(format!("history of conversation {conversation}: {text}"));
        if page.conversation().map(|id| id.0) != Some(conversation.0) {
            return Err(fault("the page is of another one".to_owned()));
        }
        let next_seq = reading.next_seq;
        for message in messages_of_page(page) {
            if message.seq() < reading.next_seq {
                return Err(fault(format!("seq {} where {} or more was to come", message.seq(), reading.next_seq)));
            }
            reading.next_seq = message.seq() + 1;
            let body = message.body().map_or(&[][..], |body| body.bytes());
            reading.read.add(message.seq(), UserId(message.sender()), MessageId(message.message_id()), body);
        }
        self.pages += 1;
        reading.is_done = !page.more();
        if reading.is_done {
            return Ok(());
        }
        if reading.next_seq == next_seq {
            return Err(fault("an empty page says that there is more".to_owned()));
        }
        self.ask(outlet, index);
        Ok(())
    }
}

impl Scenario for Readings {
    fn answered(&mut self, outlet: &mut Outlet, arrival: Arrival, answer: &Answer<'_>) -> Result<(), Failure> {
        let index = (arrival.request as usize).wrapping_sub(1);
        match answer {
            Answer::HistoryPage(page) if index < self.readings.len() => self.take_page(outlet, index, page),
            Answer::Error(error) if index < self.readings.len() => {
                if !is_worth_another_try(error.code()) {
                    let place = format!("history of conversation {}", self.readings[index].sample.conversation);
                    return Err(refused(&place, error.code(), error.message().unwrap_or_default()));
                }
                let pause_ns = u64::from(error.retry_after_ms().max(1)) * NS_PER_MS;
                self.readings[index].again_ns = Some(arrival.now_ns + pause_ns);
                Ok(())
            }
            _ => Err(unexpected(arrival, answer)),
        }
    }
}

/// Whether the same request may succeed a little later.
#[must_use]
pub fn is_worth_another_try(code: u16) -> bool {
    matches!(
        ErrorCode::from_number(code),
        Some(ErrorCode::Busy | ErrorCode::RateLimited | ErrorCode::TooManyRequests | ErrorCode::StorageUnavailable)
    )
}

/// Reads all samples and compares.
///
/// # Errors
/// A difference, a refusal, or silence.
pub fn compare(fleet: &mut Fleet, clock: Clock, samples: &[Sample]) -> Result<Compared, Failure> {
    let reading = |sample: &Sample| Reading {
        sample: *sample,
        next_seq: sample.first_seq,
        read: Digest::default(),
        again_ns: None,
        is_done: false,
    };
    let mut readings = Readings { readings: samples.iter().map(reading).collect(), pages: 0 };
    (0..samples.len()).for_each(|index| readings.ask(&mut fleet.outlet, index));
    let mut progress = (0, clock.now_ns());
    while readings.readings.iter().any(|reading| !reading.is_done) {
        fleet.turn(&mut readings, Patience::UpTo(TURN_NS))?;
        let now_ns = clock.now_ns();
        readings.ask_again(&mut fleet.outlet, now_ns);
        if readings.pages != progress.0 {
            progress = (readings.pages, now_ns);
        } else if now_ns - progress.1 > PATIENCE_NS {
            return Err(Failure::Server("no page of history came for 15 s".to_owned()));
        }
    }
    let mut compared = Compared::default();
    for Reading { sample, read, .. } in &readings.readings {
        if *read != sample.sent {
            let Sample { conversation, sent, .. } = sample;
            let (sent, read) = (sent.messages, read.messages);
            let text =
                format!("history of conversation {conversation} is not what was acked: {sent} sent, {read} read");
            return Err(Failure::Server(text));
        }
        compared.conversations += 1;
        compared.messages += read.messages;
    }
    Ok(compared)
}
