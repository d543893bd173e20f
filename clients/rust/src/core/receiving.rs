//! Follows the user's conversations: pushed messages, their duplicates and gaps, and what was missed while away.

use std::collections::{BTreeMap, BTreeSet};

use trunkline_wire::ids::ConversationId;
use trunkline_wire::message::{ErrorCode, messages_of_page, schema};

use super::event::{ClientEvent, Message};
use super::feed::{Admission, Feed};
use super::options::Follow;
use super::outlet::{Outlet, Purpose};
use super::views::{Judgement, Misbehaved, code_of, id_of, judge, number_of, seq_of};
use crate::limits::{
    CATCH_UP_REQUESTS_MAX, EVENTS_WAITING_MAX, FEEDS_MAX, GAP_GRACE_MS, PAGE_CONVERSATIONS, PAGE_MESSAGES,
    REORDER_BYTES_MAX,
};

/// The list of conversations, read anew on each connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Listing {
    /// The next page starts behind this conversation.
    Due {
        after: Option<ConversationId>,
        at_ms: u64,
    },
    Asked {
        after: Option<ConversationId>,
    },
    Done,
}

pub(super) struct Receiving {
    follow: Follow,
    echo_own: bool,
    feeds: BTreeMap<ConversationId, Feed>,
    /// Feeds that miss messages.
    lagging: BTreeSet<ConversationId>,
    last_served: Option<ConversationId>,
    early_bytes: usize,
    listing: Listing,
    /// A list was read to its end: what is not known now is new since.
    listed_once: bool,
    list_failures: u32,
    synced: bool,
}

impl Receiving {
    pub(super) fn new(follow: Follow, echo_own: bool) -> Receiving {
        let mut receiving = Receiving {
            echo_own,
            feeds: BTreeMap::new(),
            lagging: BTreeSet::new(),
            last_served: None,
            early_bytes: 0,
            listing: Listing::Due { after: None, at_ms: 0 },
            listed_once: false,
            list_failures: 0,
            synced: false,
            follow: Follow::Nothing,
        };
        if let Follow::Behind(places) = &follow {
            let feeds = places.iter().map(|(&id, &seq)| (id, Feed::new(seq.min(1 << 62) + 1, false)));
            receiving.feeds = feeds.collect();
        }
        receiving.follow = follow;
        receiving
    }

    fn follows(&self) -> bool {
        self.follow != Follow::Nothing
    }

    /// The last delivered seq of each conversation.
    pub(super) fn positions(&self) -> impl Iterator<Item = (ConversationId, u64)> {
        self.feeds.iter().map(|(&id, feed)| (id, feed.next - 1))
    }

    pub(super) fn disconnect(&mut self) {
        // Also those that no longer lag: what is asked for may have come by another way meanwhile.
        for feed in self.feeds.values_mut() {
            (feed.fetching, feed.due_ms, feed.failures) = (false, 0, 0);
        }
        self.listing = Listing::Due { after: None, at_ms: 0 };
        self.list_failures = 0;
        self.synced = false;
    }

    /// A message was pushed. `own`: it is one of ours that waits for its answer.
    pub(super) fn pushed(
        &mut self,
        out: &mut Outlet,
        conversation: ConversationId,
        view: &schema::Message<'_>,
        own: bool,
    ) -> Result<(), Misbehaved> {
        if !self.follows() {
            return Ok(());
        }
        let seq = seq_of(view.seq())?;
        self.rewind(out, conversation, view.epoch(), seq);
        let full = out.events.len() >= EVENTS_WAITING_MAX;
        let feed = self.feed(conversation, seq)?;
        feed.epoch = feed.epoch.max(view.epoch());
        if feed.soft && seq < feed.next {
            feed.next = seq;
        }
        feed.soft = false;
        if feed.admit(seq) != Admission::Duplicate {
            if full {
                feed.last = feed.last.max(seq);
            } else {
                let message = Message::of_view(conversation, view);
                self.accept(out, seq, conversation, self.shown(own).then_some(message));
            }
        }
        self.look_for_gap(conversation, out.now_ms + GAP_GRACE_MS);
        Ok(())
    }

    /// A conversation was opened. While the first list is read, that is the earlier sight of where the present begins.
    pub(super) fn opened(&mut self, out: &Outlet, conversation: ConversationId, last_seq: u64) {
        if self.follow != Follow::FromNow || self.feeds.len() >= FEEDS_MAX {
            return;
        }
        let next = last_seq + 1;
        if !self.listed_once {
            self.feeds.entry(conversation).or_insert_with(|| Feed::new(next, true));
        }
        if let Some(feed) = self.feeds.get_mut(&conversation)
            && feed.soft
        {
            feed.next = feed.next.min(next);
            self.look_for_gap(conversation, out.now_ms + GAP_GRACE_MS);
        }
    }

    /// Messages of ours are durable.
    pub(super) fn sent(&mut self, out: &mut Outlet, messages: Vec<Message>) -> Result<(), Misbehaved> {
        if !self.follows() {
            return Ok(());
        }
        if !self.echo_own {
            // As others' they may wait already, when they were adopted from another process: all at once, since the
            // first may let the others through.
            for message in &messages {
                let feed = self.feeds.get_mut(&message.conversation);
                self.early_bytes -= feed.map_or(0, |feed| feed.hide(message.seq));
            }
        }
        messages.into_iter().try_for_each(|message| self.sent_one(out, message))
    }

    fn sent_one(&mut self, out: &mut Outlet, message: Message) -> Result<(), Misbehaved> {
        let (conversation, seq, echo_own) = (message.conversation, seq_of(message.seq)?, self.echo_own);
        self.rewind(out, conversation, message.epoch, seq);
        let feed = self.feed(conversation, seq)?;
        feed.epoch = feed.epoch.max(message.epoch);
        // The original answer to something sent long before this session.
        if feed.soft && seq < feed.next {
            return Ok(());
        }
        if feed.admit(seq) != Admission::Duplicate {
            self.accept(out, seq, conversation, echo_own.then_some(message));
        }
        self.look_for_gap(conversation, out.now_ms + GAP_GRACE_MS);
        Ok(())
    }

    fn shown(&self, own: bool) -> bool {
        self.echo_own || !own
    }

    /// The feed of a conversation, which starts at `seq` if it is new and only the present counts.
    fn feed(&mut self, conversation: ConversationId, seq: u64) -> Result<&mut Feed, Misbehaved> {
        if self.feeds.len() >= FEEDS_MAX && !self.feeds.contains_key(&conversation) {
            return Err(Misbehaved);
        }
        let start = match self.follow {
            Follow::FromNow => seq,
            Follow::FromStart | Follow::Behind(_) | Follow::Nothing => 1,
        };
        Ok(self.feeds.entry(conversation).or_insert_with(|| Feed::new(start, false)))
    }

    /// Takes a message that is no duplicate; `None` is one of ours that is not shown.
    fn accept(&mut self, out: &mut Outlet, seq: u64, conversation: ConversationId, message: Option<Message>) {
        let Some(feed) = self.feeds.get_mut(&conversation) else { return };
        self.early_bytes -= feed.early_bytes;
        if feed.admit(seq) == Admission::Next {
            message.into_iter().for_each(|message| out.event(ClientEvent::Message(message)));
            feed.advance().into_iter().for_each(|message| out.event(ClientEvent::Message(message)));
        } else {
            let bytes = message.as_ref().map_or(0, |message| message.body.len());
            if feed.is_full() || self.early_bytes + feed.early_bytes + bytes > REORDER_BYTES_MAX {
                feed.drop_messages();
                feed.due_ms = feed.due_ms.min(out.now_ms);
                feed.last = feed.last.max(seq);
            }
            if message.is_none() || !feed.is_full() && self.early_bytes + bytes <= REORDER_BYTES_MAX {
                feed.keep(seq, message);
            }
        }
        self.early_bytes += feed.early_bytes;
    }

    /// A higher epoch at a seq that was delivered: the server's history was replaced from there on, at the latest.
    fn rewind(&mut self, out: &mut Outlet, conversation: ConversationId, epoch: u64, seq: u64) {
        let Some(feed) = self.feeds.get_mut(&conversation) else { return };
        if feed.epoch != 0 && epoch > feed.epoch && seq < feed.next {
            self.early_bytes -= feed.early_bytes;
            feed.rewind(seq, epoch);
            out.event(ClientEvent::Rewound { conversation, epoch, seq });
        }
    }

    /// Notes whether the feed misses messages, and when they are to be asked for.
    fn look_for_gap(&mut self, conversation: ConversationId, due_ms: u64) {
        let Some(feed) = self.feeds.get_mut(&conversation) else { return };
        if !feed.lags() {
            self.lagging.remove(&conversation);
            feed.failures = 0;
        } else if self.lagging.insert(conversation) {
            feed.due_ms = due_ms;
        } else if feed.failures == 0 {
            feed.due_ms = feed.due_ms.min(due_ms);
        }
    }

    /// Asks for what is missing.
    pub(super) fn pump(&mut self, out: &mut Outlet) {
        if !self.follows() {
            return;
        }
        if let Listing::Due { after, at_ms } = self.listing
            && at_ms <= out.now_ms
            && out.has_room()
        {
            self.listing = Listing::Asked { after };
            out.ask(Purpose::List, |encoder, request| encoder.list(request, after, PAGE_CONVERSATIONS));
        }
        self.fetch(out);
        if self.listing == Listing::Done && self.lagging.is_empty() && !self.synced {
            self.synced = true;
            out.event(ClientEvent::Synced);
        }
    }

    fn fetch(&mut self, out: &mut Outlet) {
        let room = |out: &Outlet| {
            out.has_room() && out.catching_up() < CATCH_UP_REQUESTS_MAX && out.events.len() < EVENTS_WAITING_MAX / 2
        };
        if self.lagging.is_empty() || !room(out) {
            return;
        }
        let due =
            |id: &&ConversationId| self.feeds.get(*id).is_some_and(|feed| !feed.fetching && feed.due_ms <= out.now_ms);
        let (mut behind, before): (Vec<ConversationId>, Vec<ConversationId>) =
            self.lagging.iter().filter(due).partition(|id| self.last_served.is_none_or(|last| **id > last));
        behind.extend(before);
        for conversation in behind {
            if !room(out) {
                return;
            }
            let Some(feed) = self.feeds.get_mut(&conversation) else { continue };
            feed.fetching = true;
            self.last_served = Some(conversation);
            let from_seq = feed.next;
            out.ask(Purpose::CatchUp(conversation, from_seq), |encoder, request| {
                encoder.history(request, conversation, from_seq, false, PAGE_MESSAGES)
            });
        }
    }

    /// Whether messages wait only for events to be taken.
    pub(super) fn waits_for_room(&self, out: &Outlet) -> bool {
        out.events.len() >= EVENTS_WAITING_MAX / 2 && !self.lagging.is_empty()
    }

    /// A page of the list.
    pub(super) fn listed(&mut self, out: &mut Outlet, page: &schema::Listed<'_>) -> Result<(), Misbehaved> {
        let Listing::Asked { after } = self.listing else { return Err(Misbehaved) };
        self.list_failures = 0;
        let mut end = after;
        for summary in page.conversations().into_iter().flatten() {
            let conversation = id_of(summary.conversation())?;
            if end.is_some_and(|end| conversation <= end) {
                return Err(Misbehaved);
            }
            end = Some(conversation);
            let last_seq = number_of(summary.last_seq())?;
            self.listed_conversation(out, conversation, last_seq)?;
        }
        if page.more() {
            if end == after {
                return Err(Misbehaved);
            }
            self.listing = Listing::Due { after: end, at_ms: 0 };
        } else {
            self.listing = Listing::Done;
            self.listed_once = true;
        }
        Ok(())
    }

    fn listed_conversation(
        &mut self,
        out: &mut Outlet,
        conversation: ConversationId,
        last_seq: u64,
    ) -> Result<(), Misbehaved> {
        let is_baseline = self.follow == Follow::FromNow && !self.listed_once;
        if self.feeds.len() >= FEEDS_MAX && !self.feeds.contains_key(&conversation) {
            return Err(Misbehaved);
        }
        let feed = self
            .feeds
            .entry(conversation)
            .or_insert_with(|| if is_baseline { Feed::new(last_seq + 1, true) } else { Feed::new(1, false) });
        feed.last = feed.last.max(last_seq);
        self.look_for_gap(conversation, out.now_ms);
        Ok(())
    }

    pub(super) fn list_failed(&mut self, out: &mut Outlet, error: &schema::Error<'_>) -> Result<(), Misbehaved> {
        let Listing::Asked { after } = self.listing else { return Err(Misbehaved) };
        if judge(code_of(error.code())) != Judgement::Later {
            self.listing = Listing::Done;
            return Ok(());
        }
        let at_ms = out.now_ms + out.retry_after(error.retry_after_ms(), self.list_failures);
        self.list_failures = self.list_failures.saturating_add(1);
        self.listing = Listing::Due { after, at_ms };
        Ok(())
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
        if feed.next < from_seq {
            // It was rewound since: this speaks of other messages than those now missing.
            self.look_for_gap(conversation, out.now_ms);
            return Ok(());
        }
        let (mut expected, mut messages) = (from_seq, 0);
        for view in messages_of_page(page) {
            let seq = seq_of(view.seq())?;
            if seq < expected {
                return Err(Misbehaved);
            }
            // The page is the server's word on everything from `from_seq` to its last message.
            self.pass_over(out, conversation, seq);
            let feed = self.feeds.get_mut(&conversation).ok_or(Misbehaved)?;
            feed.epoch = feed.epoch.max(view.epoch());
            let shown = self.echo_own || !own(&view);
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
        let feed = self.feeds.get_mut(&conversation).ok_or(Misbehaved)?;
        let restored = feed.epoch != 0 && page.epoch() > feed.epoch;
        feed.last = if restored { last_seq.max(feed.next - 1) } else { feed.last.max(last_seq) };
        if feed.next > from_seq {
            (feed.failures, feed.due_ms) = (0, out.now_ms);
        } else {
            self.put_off(out, conversation, 0);
        }
        self.look_for_gap(conversation, out.now_ms);
        Ok(())
    }

    /// Nothing below `next` is to be had any more.
    fn pass_over(&mut self, out: &mut Outlet, conversation: ConversationId, next: u64) {
        let Some(feed) = self.feeds.get_mut(&conversation) else { return };
        self.early_bytes -= feed.early_bytes;
        while feed.next < next {
            let to_seq = feed.first_early().map_or(next, |early| early.min(next)) - 1;
            if to_seq >= feed.next {
                out.event(ClientEvent::Missed { conversation, from_seq: feed.next, to_seq });
            }
            let messages = feed.skip_to(to_seq + 1);
            messages.into_iter().for_each(|message| out.event(ClientEvent::Message(message)));
        }
        self.early_bytes += feed.early_bytes;
    }

    fn put_off(&mut self, out: &mut Outlet, conversation: ConversationId, asked_ms: u32) {
        let Some(feed) = self.feeds.get_mut(&conversation) else { return };
        feed.due_ms = out.now_ms + out.retry_after(asked_ms, feed.failures);
        feed.failures = feed.failures.saturating_add(1);
    }

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
        self.look_for_gap(conversation, out.now_ms);
        Ok(())
    }

    /// When something that waits is to be asked for.
    pub(super) fn deadline_ms(&self, out: &Outlet) -> Option<u64> {
        let list = match self.listing {
            Listing::Due { at_ms, .. } if self.follows() => Some(at_ms),
            _ => None,
        };
        let fetch = || self.lagging.iter().filter_map(|id| self.feeds.get(id)).filter(|feed| !feed.fetching);
        let waits = out.catching_up() >= CATCH_UP_REQUESTS_MAX || self.waits_for_room(out);
        let fetch = if waits { None } else { fetch().map(|feed| feed.due_ms).min() };
        list.into_iter().chain(fetch).min()
    }
}
