//! Tells the server how far the program is: watermarks of conversations, and a position that needs no repetition.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use trunkline_wire::ids::ConversationId;
use trunkline_wire::limits::REPORT_RECEIPTS_MAX;
use trunkline_wire::message::{Receipt, schema};

use super::conversation::Summary;
use super::outlet::{Outlet, Purpose};
use super::state::State;
use super::views::{Judgement, Misbehaved, code_of, judge};
use crate::limits::{MARKS_KNOWN_MAX, MARKS_MAX, REPORT_EVERY_MS};

/// How far the program is in a conversation. `read_seq` is never above `delivered_seq`.
#[derive(Clone, Copy, Default, Debug)]
struct Mark {
    delivered_seq: u64,
    read_seq: u64,
    queued: bool,
}

/// What one report said.
#[derive(Debug)]
pub(super) struct Report {
    position: u64,
    conversations: Vec<ConversationId>,
}

#[derive(Debug, Default)]
pub(super) struct Reporting {
    marks: BTreeMap<ConversationId, Mark>,
    /// To be reported, each once.
    queue: VecDeque<ConversationId>,
    /// To be reported.
    position: u64,
    /// The highest that the server took on this connection.
    position_taken: u64,
    outstanding: bool,
    not_before_ms: u64,
    failures: u32,
    /// The program spoke of messages: without that a position says nothing of them.
    in_use: bool,
}

impl Reporting {
    /// Watermarks are confirmations from the start on.
    pub(super) fn use_from_start(&mut self) {
        self.in_use = true;
    }

    /// What a stored state says was read may not have been reported yet: of its latest changes it is said once more.
    pub(super) fn recall(&mut self, state: &State) {
        let mut latest: Vec<&Summary> = state.conversations.values().filter(|summary| summary.read_seq > 0).collect();
        latest.sort_unstable_by_key(|summary| Reverse(summary.user_seq));
        for summary in latest.into_iter().take(REPORT_RECEIPTS_MAX) {
            let place = state.places.get(&summary.conversation).copied().unwrap_or_default();
            let read_seq = summary.read_seq.min(place);
            self.raise(summary.conversation, read_seq, read_seq);
        }
    }

    /// The program is so far; what is lower than before changes nothing.
    pub(super) fn mark(&mut self, conversation: ConversationId, delivered_seq: u64, read_seq: u64) {
        self.in_use = true;
        self.raise(conversation, delivered_seq, read_seq);
    }

    fn raise(&mut self, conversation: ConversationId, delivered_seq: u64, read_seq: u64) {
        if !self.marks.contains_key(&conversation) && !self.make_room() {
            return;
        }
        let mark = self.marks.entry(conversation).or_default();
        let delivered_seq = delivered_seq.max(read_seq);
        if delivered_seq <= mark.delivered_seq && read_seq <= mark.read_seq {
            return;
        }
        mark.delivered_seq = mark.delivered_seq.max(delivered_seq);
        mark.read_seq = mark.read_seq.max(read_seq);
        if !mark.queued {
            mark.queued = true;
            self.queue.push_back(conversation);
        }
    }

    /// Forgets a mark that was reported, where there are more than are repeated on another connection.
    fn make_room(&mut self) -> bool {
        if self.marks.len() >= MARKS_KNOWN_MAX
            && let Some(id) = self.marks.iter().find(|(_, mark)| !mark.queued).map(|(id, _)| *id)
        {
            self.marks.remove(&id);
        }
        self.marks.len() < MARKS_MAX
    }

    /// A backup was restored: the conversation's numbers from `seq` on are given anew.
    pub(super) fn rewind(&mut self, conversation: ConversationId, seq: u64) {
        if let Some(mark) = self.marks.get_mut(&conversation) {
            mark.delivered_seq = mark.delivered_seq.min(seq - 1);
            mark.read_seq = mark.read_seq.min(seq - 1);
        }
    }

    /// All up to here is confirmed.
    pub(super) fn reach(&mut self, position: u64) {
        if self.in_use {
            self.position = position;
        }
    }

    /// What is marked by now is reported without waiting for more of it.
    pub(super) fn hurry(&mut self, now_ms: u64) {
        if self.failures == 0 {
            self.not_before_ms = now_ms;
        }
    }

    fn has_something(&self) -> bool {
        !self.queue.is_empty() || self.position != self.position_taken
    }

    /// Whether the server took all that was marked.
    pub(super) fn is_done(&self) -> bool {
        !self.outstanding && !self.has_something()
    }

    pub(super) fn pump(&mut self, out: &mut Outlet) {
        if self.outstanding || !self.has_something() || out.now_ms < self.not_before_ms || !out.has_room() {
            return;
        }
        let count = self.queue.len().min(REPORT_RECEIPTS_MAX);
        let conversations: Vec<ConversationId> = self.queue.drain(..count).collect();
        let mut receipts = Vec::with_capacity(count);
        for conversation in &conversations {
            if let Some(mark) = self.marks.get_mut(conversation) {
                mark.queued = false;
                let Mark { delivered_seq, read_seq, .. } = *mark;
                receipts.push(Receipt { conversation: *conversation, delivered_seq, read_seq });
            }
        }
        let position = self.position;
        self.outstanding = true;
        self.not_before_ms = out.now_ms + REPORT_EVERY_MS;
        out.ask(Purpose::Report(Report { position, conversations }), |encoder, request| {
            encoder.report(request, position, &receipts)
        });
    }

    pub(super) fn taken(&mut self, report: &Report) {
        self.outstanding = false;
        self.failures = 0;
        self.position_taken = report.position;
    }

    /// Later it is said again, as it is by then; what is refused for good is not.
    pub(super) fn failed(
        &mut self,
        out: &mut Outlet,
        report: &Report,
        error: &schema::Error<'_>,
    ) -> Result<(), Misbehaved> {
        self.outstanding = false;
        if judge(code_of(error.code())) == Judgement::Later {
            self.not_before_ms = out.now_ms + out.retry_after(error.retry_after_ms(), self.failures);
            self.failures = self.failures.saturating_add(1);
            self.again(&report.conversations);
        } else {
            self.position_taken = report.position;
        }
        Ok(())
    }

    fn again(&mut self, conversations: &[ConversationId]) {
        for &conversation in conversations {
            if let Some(mark) = self.marks.get_mut(&conversation).filter(|mark| !mark.queued) {
                mark.queued = true;
                self.queue.push_back(conversation);
            }
        }
    }

    /// The server may have crashed before it stored what was reported last: all of it is said again.
    pub(super) fn disconnect(&mut self) {
        (self.outstanding, self.position_taken, self.not_before_ms, self.failures) = (false, 0, 0, 0);
        let all: Vec<ConversationId> = self.marks.keys().copied().collect();
        self.again(&all);
    }

    pub(super) fn deadline_ms(&self) -> Option<u64> {
        (!self.outstanding && self.has_something()).then_some(self.not_before_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> ConversationId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        ConversationId(id)
    }

    #[test]
    fn marks_are_bounded_and_those_to_be_reported_stay() {
        let mut reporting = Reporting::default();
        let mut out = Outlet::new([0; 32]);
        for number in 0..2 * MARKS_KNOWN_MAX as u64 {
            reporting.mark(id(number), 1, 0);
        }
        assert_eq!(reporting.queue.len(), 2 * MARKS_KNOWN_MAX, "nothing that was not reported is forgotten");
        let mut reports = 0;
        while !reporting.is_done() {
            reporting.hurry(out.now_ms);
            reporting.pump(&mut out);
            reports += 1;
            let Some(Purpose::Report(report)) = out.take(reports) else { panic!("no report") };
            reporting.taken(&report);
        }
        assert_eq!(reports as usize, 2 * MARKS_KNOWN_MAX / REPORT_RECEIPTS_MAX);
        for number in 10_000..20_000 {
            reporting.mark(id(number), 1, 0);
            reporting.queue.clear();
            reporting.marks.values_mut().for_each(|mark| mark.queued = false);
        }
        assert_eq!(reporting.marks.len(), 2 * MARKS_KNOWN_MAX);
    }
}
