//! What the server says of conversations, in the pages of a sync and when one is opened, and what that means for their
//! feeds.

use trunkline_wire::ids::ConversationId;
use trunkline_wire::message::schema;

use super::conversation::{Opened, Summary};
use super::feed::{Feed, NO_END, Start};
use super::outlet::Outlet;
use super::receiving::{Mode, Receiving};
use super::views::{Judgement, Misbehaved, code_of, judge};
use crate::limits::GAP_GRACE_MS;

impl Receiving {
    /// A page of what changed.
    pub(super) fn synced(&mut self, out: &mut Outlet, page: &schema::Synced<'_>) -> Result<(), Misbehaved> {
        let begins_somewhere = self.syncing.has_no_position();
        if self.syncing.page_begins(page)? {
            self.begin_replacing();
            if self.syncing.tells_of_a_restore() {
                self.server_was_restored();
            }
        }
        if begins_somewhere {
            self.look_again(out);
        }
        let mut rows = 0;
        for view in page.conversations().into_iter().flatten() {
            let row = Summary::of_view(&view)?;
            self.syncing.row(row.user_seq)?;
            self.listed(out, row)?;
            rows += 1;
        }
        self.syncing.page_ends(rows, page.more())
    }

    /// A first list tells what changed behind a position that this client never heard of: what it opened before then may have
    /// changed earlier, and is opened again unless the list names it.
    fn look_again(&mut self, out: &Outlet) {
        let placed = |(id, feed): (&ConversationId, &Feed)| feed.start.is_none().then_some(*id);
        let placed: Vec<ConversationId> = self.feeds.iter().filter_map(placed).collect();
        for conversation in placed {
            if let Some(feed) = self.feeds.get_mut(&conversation) {
                feed.described = false;
            }
            self.note(conversation, out.now_ms);
        }
    }

    /// Nothing is missing any more.
    pub(super) fn all_is_listed(&mut self, out: &mut Outlet) {
        self.list.end_replacing();
        self.place_the_first(out);
    }

    /// The list is read: conversations that it does not name have begun to change since. Those that nobody opened yet are
    /// opened now.
    fn place_the_first(&mut self, out: &mut Outlet) {
        let is_first = |feed: &Feed| feed.start == Some(Start::First) && feed.described;
        let first = |id: &&ConversationId| self.feeds.get(*id).is_some_and(is_first);
        let ids: Vec<ConversationId> = self.wanting.iter().filter(first).copied().collect();
        for conversation in ids {
            self.change(out, conversation, |feed| feed.place(feed.next));
            self.note(conversation, out.now_ms + GAP_GRACE_MS);
        }
    }

    /// What came before the list said where to begin is found in the list again, or lies before the present. What the list
    /// named stays: a server that crashed may not name it again.
    pub(super) fn forget_the_unplaced(&mut self) {
        let first = |(id, feed): (&ConversationId, &Feed)| (feed.start == Some(Start::First)).then_some(*id);
        let unplaced: Vec<ConversationId> = self.feeds.iter().filter_map(first).collect();
        for conversation in unplaced {
            self.remove(conversation);
            self.wanting.remove(&conversation);
            self.list.forget(conversation);
        }
    }

    /// The list says of the window what the feed knows.
    pub(super) fn show_window(&mut self, conversation: ConversationId) {
        let Some(feed) = self.feeds.get(&conversation) else { return };
        let listed = self.list.find(conversation).map_or(0, |summary| summary.joined_seq);
        self.list.set_window(conversation, feed.joined.max(listed), (feed.end != NO_END).then_some(feed.end));
    }

    pub(super) fn sync_failed(&mut self, out: &mut Outlet, error: &schema::Error<'_>) -> Result<(), Misbehaved> {
        let later = judge(code_of(error.code())) == Judgement::Later;
        self.syncing.refused(out, later.then_some(error.retry_after_ms()))
    }

    /// A row of the list.
    fn listed(&mut self, out: &mut Outlet, row: Summary) -> Result<(), Misbehaved> {
        let (conversation, last_seq) = (row.conversation, row.last_seq);
        let (joined, end) = (row.joined_seq.max(1), row.left_seq.unwrap_or(NO_END));
        if !self.feeds.contains_key(&conversation) {
            let feed = match self.mode {
                Mode::FromNow if !self.syncing.listed_once() => Feed::new(last_seq + 1, true),
                Mode::Stored => Feed::unplaced(Start::Delivered, last_seq.max(1)),
                _ => Feed::new(joined, false),
            };
            self.add(conversation, feed)?;
        }
        self.list.merge(row);
        let stored = self.mode == Mode::Stored;
        self.change(out, conversation, |feed| {
            feed.described = true;
            let mut followed = match feed.start {
                Some(_) if stored => {
                    feed.start = Some(Start::Delivered);
                    Vec::new()
                }
                Some(_) => feed.place(joined),
                None => Vec::new(),
            };
            followed.extend(feed.set_window(joined, end));
            feed.saw(last_seq);
            followed
        });
        self.note(conversation, out.now_ms);
        if self.syncing.tells_of_a_restore() {
            self.named_by_restored(out, conversation, last_seq);
        }
        Ok(())
    }

    /// A conversation was opened, for whatever reason. While the first list is read, that is the earlier sight of where
    /// the present begins.
    pub(super) fn opened(&mut self, out: &mut Outlet, opened: &Opened) -> Result<(), Misbehaved> {
        if !self.follows() {
            return Ok(());
        }
        let (conversation, last_seq) = (opened.conversation, opened.last_seq);
        let (joined, end) = (opened.joined_seq.max(1), opened.left_seq.unwrap_or(NO_END));
        if !self.feeds.contains_key(&conversation) && last_seq > 0 {
            match (self.mode, self.syncing.listed_once()) {
                (Mode::FromNow, false) => self.add(conversation, Feed::new(last_seq + 1, true))?,
                (Mode::FromNow | Mode::All, true) => self.add(conversation, Feed::new(joined, false))?,
                // If this device confirmed nothing, what is in it now was seen before, unless the list says that it changed.
                (Mode::Stored, _) => {
                    let mut feed = Feed::new(last_seq + 1, true);
                    feed.start = Some(Start::First);
                    self.add(conversation, feed)?;
                }
                // The list brings it.
                (Mode::All | Mode::Nothing, _) => return Ok(()),
            }
        }
        if self.list.len() < crate::limits::FEEDS_MAX {
            self.list.merge(Summary::of_opened(opened));
        }
        let (begin, done) = (self.beginning.of(opened), self.syncing.is_done());
        self.change(out, conversation, |feed| {
            feed.described = true;
            let mut followed = match (feed.start, begin) {
                (Some(Start::Joined), _) => feed.place(joined),
                (Some(Start::Delivered | Start::First), Some(begin)) => {
                    feed.soft = false;
                    // What lies before it is the server's word of now, whatever was stored of another time.
                    (feed.epoch, feed.stored_epoch, feed.is_unsure) = (feed.epoch.max(opened.epoch), 0, false);
                    feed.place(begin.max(joined))
                }
                (Some(Start::Delivered), None) => feed.place(joined),
                (Some(Start::First), None) if done => feed.place(feed.next),
                (Some(Start::First), None) | (None, _) => Vec::new(),
            };
            followed.extend(feed.set_window(joined, end));
            if feed.soft {
                feed.next = feed.next.min(last_seq + 1);
            } else {
                feed.saw(last_seq);
            }
            followed
        });
        self.note(conversation, out.now_ms + GAP_GRACE_MS);
        Ok(())
    }

    /// A conversation of which a message came was opened to learn what it is.
    pub(super) fn described(
        &mut self,
        out: &mut Outlet,
        conversation: ConversationId,
        opened: &Opened,
    ) -> Result<(), Misbehaved> {
        if opened.conversation != conversation {
            return Err(Misbehaved);
        }
        if let Some(feed) = self.feeds.get_mut(&conversation) {
            (feed.fetching, feed.failures) = (false, 0);
        }
        self.opened(out, opened)
    }

    /// The server said that a message exists.
    pub(super) fn heard_of(&mut self, out: &Outlet, conversation: ConversationId, seq: u64) {
        if let Some(feed) = self.feeds.get_mut(&conversation) {
            feed.saw(seq);
            self.note(conversation, out.now_ms + GAP_GRACE_MS);
        }
    }
}
