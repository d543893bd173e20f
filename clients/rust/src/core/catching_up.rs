//! Fetches what a conversation misses: its messages from history, and what conversation it is where nobody said.

use std::ops::Bound;

use trunkline_wire::ids::ConversationId;
use trunkline_wire::message::{ErrorCode, messages_of_page, schema};

use super::event::ClientEvent;
use super::feed::{Admission, Feed};
use super::message::Message;
use super::outlet::{Outlet, Purpose};
use super::receiving::Receiving;
use super::views::{Judgement, Misbehaved, code_of, judge, number_of, seq_of};
use crate::limits::{CATCH_UP_REQUESTS_MAX, EVENTS_WAITING_MAX, PAGE_MESSAGES};

/// Whether a feed's messages can be asked for; else it is opened first.
fn reads_history(feed: &Feed) -> bool {
    feed.start.is_none() && feed.lags()
}

impl Receiving {
    /// What a feed wants can be asked now; a list that is being read says much of it by itself.
    fn is_askable(&self, feed: &Feed) -> bool {
        !feed.fetching && (reads_history(feed) || self.syncing.is_done())
    }

    fn has_room_to_fetch(&self, out: &Outlet) -> bool {
        out.has_room() && out.catching_up() < CATCH_UP_REQUESTS_MAX && out.events.len() < EVENTS_WAITING_MAX / 2
    }

    /// Asks for what is due, each conversation in its turn.
    pub(super) fn fetch(&mut self, out: &mut Outlet) {
        if self.wanting.is_empty() || !self.has_room_to_fetch(out) {
            return;
        }
        let is_due = |id: &&ConversationId| {
            self.feeds.get(*id).is_some_and(|feed| feed.due_ms <= out.now_ms && self.is_askable(feed))
        };
        let behind = self.wanting.range((self.last_served.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded));
        let before = self.last_served.map(|last| self.wanting.range(..=last));
        let all = behind.chain(before.into_iter().flatten());
        let due: Vec<ConversationId> = all.filter(is_due).take(CATCH_UP_REQUESTS_MAX).copied().collect();
        for conversation in due {
            if !self.has_room_to_fetch(out) {
                return;
            }
            let Some(feed) = self.feeds.get_mut(&conversation) else { continue };
            feed.fetching = true;
            self.last_served = Some(conversation);
            if let Some(doubt) = &feed.doubt {
                let from_seq = doubt.from;
                out.ask(Purpose::Compare(conversation), |encoder, request| {
                    encoder.history(request, conversation, from_seq, true, PAGE_MESSAGES)
                });
            } else if reads_history(feed) {
                let from_seq = feed.next;
                out.ask(Purpose::CatchUp(conversation, from_seq), |encoder, request| {
                    encoder.history(request, conversation, from_seq, false, PAGE_MESSAGES)
                });
            } else {
                out.ask(Purpose::Describe(conversation), |encoder, request| encoder.open(request, conversation));
            }
        }
    }

    pub(super) fn fetch_deadline_ms(&self, out: &Outlet) -> Option<u64> {
        if !self.has_room_to_fetch(out) {
            return None;
        }
        let askable = self.wanting.iter().filter_map(|id| self.feeds.get(id)).filter(|feed| self.is_askable(feed));
        askable.map(|feed| feed.due_ms).min()
    }

    /// A page of what was missing from `from_seq` on. `own` tells which of its messages wait for their answer.
    pub(super) fn caught_up(
        &mut self,
        out: &mut Outlet,
        (conversation, from_seq): (ConversationId, u64),
        page: &schema::HistoryPage<'_>,
        mut own: impl FnMut(&schema::Message<'_>) -> bool,
    ) -> Result<(), Misbehaved> {
        let feed = self.feeds.get_mut(&conversation).ok_or(Misbehaved)?;
        feed.fetching = false;
        if feed.next < from_seq || feed.doubt.is_some() {
            // It was rewound since, or may be: this speaks of other messages than those now missing.
            self.note(conversation, out.now_ms);
            return Ok(());
        }
        let (mut expected, mut messages) = (from_seq, 0);
        for view in messages_of_page(page) {
            let seq = seq_of(view.seq())?;
            if seq < expected {
                return Err(Misbehaved);
            }
            if self.hears_in_doubt(out, conversation, (view.epoch(), seq), false) {
                return Ok(());
            }
            if messages == 0 {
                self.turn_of_page(out, conversation, seq, &view);
            } else {
                self.turn(out, conversation, seq, &view);
            }
            // The page is the server's word on everything from `from_seq` to its last message.
            self.pass_over(out, conversation, seq);
            let shown = self.echoes() || !own(&view);
            let feed = self.feeds.get_mut(&conversation).ok_or(Misbehaved)?;
            feed.epoch = feed.epoch.max(view.epoch());
            if feed.admit(seq) == Admission::Next {
                let message = shown.then(|| Message::of_view(conversation, &view));
                self.accept(out, seq, conversation, message);
            }
            (expected, messages) = (seq + 1, messages + 1);
        }
        let last_seq = number_of(page.last_seq())?;
        if messages == 0 && last_seq >= from_seq {
            self.pass_over(out, conversation, last_seq + 1);
        }
        self.list.advance(conversation, last_seq);
        let feed = self.feeds.get_mut(&conversation).ok_or(Misbehaved)?;
        feed.saw(last_seq);
        if feed.next > from_seq {
            (feed.failures, feed.due_ms) = (0, out.now_ms);
        } else {
            self.put_off(out, conversation, 0);
        }
        self.note(conversation, out.now_ms);
        Ok(())
    }

    /// Nothing below `next` is to be had any more. What lies before the user's window was never to be had.
    fn pass_over(&mut self, out: &mut Outlet, conversation: ConversationId, next: u64) {
        while let Some(feed) = self.feeds.get(&conversation)
            && feed.next < next
        {
            let below = if feed.next < feed.joined { feed.joined.min(next) } else { next };
            let to_seq = feed.first_early().map_or(below, |early| early.min(below)) - 1;
            if to_seq >= feed.next && feed.next >= feed.joined {
                out.event(ClientEvent::Missed { conversation, from_seq: feed.next, to_seq });
            }
            self.change(out, conversation, |feed| feed.skip_to(to_seq + 1));
        }
    }

    pub(super) fn put_off(&mut self, out: &mut Outlet, conversation: ConversationId, asked_ms: u32) {
        let Some(feed) = self.feeds.get_mut(&conversation) else { return };
        feed.due_ms = out.now_ms + out.retry_after(asked_ms, feed.failures);
        feed.failures = feed.failures.saturating_add(1);
    }

    /// History is not to be had: if that is final, as for a user that left and may not look back, nothing of it ever is.
    pub(super) fn catch_up_failed(
        &mut self,
        out: &mut Outlet,
        conversation: ConversationId,
        error: &schema::Error<'_>,
    ) -> Result<(), Misbehaved> {
        let feed = self.feeds.get_mut(&conversation).ok_or(Misbehaved)?;
        feed.fetching = false;
        let last = feed.last;
        let code = code_of(error.code());
        if judge(code) == Judgement::Later || code == ErrorCode::StorageFull {
            self.put_off(out, conversation, error.retry_after_ms());
        } else {
            self.pass_over(out, conversation, last + 1);
        }
        self.note(conversation, out.now_ms);
        Ok(())
    }

    /// A conversation of which a message came cannot be opened: if that is final, it is none of the user's.
    pub(super) fn describe_failed(
        &mut self,
        out: &mut Outlet,
        conversation: ConversationId,
        error: &schema::Error<'_>,
    ) -> Result<(), Misbehaved> {
        let Some(feed) = self.feeds.get_mut(&conversation) else { return Ok(()) };
        feed.fetching = false;
        if judge(code_of(error.code())) == Judgement::Later {
            self.put_off(out, conversation, error.retry_after_ms());
        } else if feed.start.is_some() {
            self.remove(conversation);
        } else {
            feed.described = true;
        }
        self.note(conversation, out.now_ms);
        Ok(())
    }
}
