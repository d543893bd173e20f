//! Reads conversations back and holds them against what was sent.

use trunkline_wire::ids::{ConversationId, MessageId, UserId};
use trunkline_wire::limits::HISTORY_MESSAGES_MAX;
use trunkline_wire::message::{Answer, messages_of_page, schema};

use crate::bodies::Digest;
use crate::clock::NS_PER_S;
use crate::failure::Failure;
use crate::fleet::{Arrival, Finite, Fleet, Scenario, unexpected};
use crate::outlet::Outlet;
use crate::refusals::{Refusal, Refusals};

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
    is_done: bool,
}

struct Readings {
    readings: Vec<Reading>,
    refusals: Refusals,
    pages: u64,
}

impl Readings {
    fn ask(&self, outlet: &mut Outlet, index: usize) {
        let Reading { sample, next_seq, .. } = &self.readings[index];
        let (request, limit) = (index as u32 + 1, HISTORY_MESSAGES_MAX as u16);
        outlet
            .push(sample.connection, |encoder| encoder.history(request, sample.conversation, *next_seq, false, limit));
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
                let conversation = self.readings[index].sample.conversation;
                let place = || format!("history of conversation {conversation}");
                self.refusals.take(arrival.now_ns, index as u32, &Refusal::of_error(error), place)
            }
            _ => Err(unexpected(arrival, answer)),
        }
    }
}

impl Finite for Readings {
    fn is_done(&self) -> bool {
        self.readings.iter().all(|reading| reading.is_done)
    }

    fn progress(&self) -> u64 {
        self.pages
    }

    fn repeat_due(&mut self, outlet: &mut Outlet, now_ns: u64) {
        while let Some(index) = self.refusals.pop_due(now_ns) {
            self.ask(outlet, index as usize);
        }
    }
}

/// Reads all samples and compares.
///
/// # Errors
/// A difference, a refusal, or silence.
pub fn compare(fleet: &mut Fleet, samples: &[Sample]) -> Result<Compared, Failure> {
    let reading = |sample: &Sample| Reading {
        sample: *sample,
        next_seq: sample.first_seq,
        read: Digest::default(),
        is_done: false,
    };
    let readings = samples.iter().map(reading).collect();
    let mut readings = Readings { readings, refusals: Refusals::default(), pages: 0 };
    (0..samples.len()).for_each(|index| readings.ask(&mut fleet.outlet, index));
    fleet.finish(&mut readings, PATIENCE_NS, "pages of history")?;
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
