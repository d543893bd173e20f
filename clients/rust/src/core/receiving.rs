//! Follows the user's conversations: pushed messages, their duplicates and gaps, and where in all of it the program is.

use std::collections::{BTreeMap, BTreeSet};

use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::message::schema;

use super::beginning::Beginning;
use super::event::ClientEvent;
use super::feed::{Admission, Feed, NO_END, Start};
use super::list::List;
use super::message::{Message, Turn, turn_of};
use super::options::Follow;
use super::outlet::{Outlet, Purpose};
use super::progress::Progress;
use super::state::State;
use super::syncing::Syncing;
use super::views::{Misbehaved, seq_of};
use crate::limits::{EVENTS_WAITING_MAX, FEEDS_MAX, GAP_GRACE_MS, PAGE_CONVERSATIONS, REORDER_BYTES_MAX};

/// Which messages are told: [`Follow`] without its state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    Nothing,
    FromNow,
    /// From the start, or from where the program was.
    All,
    Stored,
}

pub(super) struct Receiving {
    pub(super) mode: Mode,
    pub(super) beginning: Beginning,
    echo_own: bool,
    /// Who this is, once a server said so.
    pub(super) me: Option<UserId>,
    pub(super) feeds: BTreeMap<ConversationId, Feed>,
    /// Feeds of which something is to be asked for.
    pub(super) wanting: BTreeSet<ConversationId>,
    pub(super) last_served: Option<ConversationId>,
    pub(super) early_bytes: usize,
    pub(super) list: List,
    pub(super) syncing: Syncing,
    /// Of the list's changes: up to where all is told, and up to where the program has confirmed all.
    pub(super) told: Progress,
    confirmed: Progress,
    /// The last position that became an event, and the feeds that did something since.
    announced: u64,
    moved: BTreeSet<ConversationId>,
    /// Conversations with messages that the program has not confirmed.
    unconfirmed: BTreeSet<ConversationId>,
    synced: bool,
}

impl Receiving {
    pub(super) fn new(follow: Follow, echo_own: bool) -> Receiving {
        let mut beginning = Beginning::default();
        let (mode, state) = match follow {
            Follow::Nothing => (Mode::Nothing, State::default()),
            Follow::FromNow => (Mode::FromNow, State::default()),
            Follow::FromStart => (Mode::All, State::default()),
            Follow::Behind(state) => (Mode::All, state),
            Follow::Stored => (Mode::Stored, State::default()),
            Follow::StoredSince(places) => {
                beginning = Beginning::with(places);
                (Mode::Stored, State::default())
            }
        };
        let position = state.position.min(1 << 62);
        let mut receiving = Receiving {
            mode,
            beginning,
            echo_own,
            me: None,
            feeds: state.places.iter().map(|(&id, &seq)| (id, Feed::new(seq.min(1 << 62) + 1, false))).collect(),
            wanting: BTreeSet::new(),
            last_served: None,
            early_bytes: 0,
            list: List::from_stored(state.conversations.into_values()),
            syncing: Syncing::new((mode != Mode::Stored).then_some(position)),
            told: Progress::starting_at(position),
            confirmed: Progress::starting_at(position),
            announced: position,
            moved: BTreeSet::new(),
            unconfirmed: BTreeSet::new(),
            synced: false,
        };
        receiving.list.heard_of(position);
        for (&conversation, feed) in &mut receiving.feeds {
            feed.stored_epoch = state.epochs.get(&conversation).copied().unwrap_or(0);
            if let Some(summary) = receiving.list.find(conversation) {
                feed.described = true;
                feed.set_window(summary.joined_seq.clamp(1, 1 << 62), summary.left_seq.unwrap_or(NO_END));
                feed.saw(summary.last_seq.min(1 << 62));
            }
            if feed.is_wanting() {
                receiving.wanting.insert(conversation);
            }
        }
        receiving
    }

    pub(super) fn follows(&self) -> bool {
        self.mode != Mode::Nothing
    }

    /// The last delivered seq of each conversation.
    pub(super) fn positions(&self) -> impl Iterator<Item = (ConversationId, u64)> {
        self.feeds.iter().filter(|(_, feed)| feed.start.is_none()).map(|(&id, feed)| (id, feed.next - 1))
    }

    pub(super) fn state(&self) -> State {
        State {
            position: self.told.position(),
            places: self.positions().collect(),
            conversations: self.list.iter().map(|summary| (summary.conversation, summary.clone())).collect(),
            epochs: self.epochs().collect(),
        }
    }

    pub(super) fn disconnect(&mut self) {
        // Also those that no longer lag: what is asked for may have come by another way meanwhile.
        for feed in self.feeds.values_mut() {
            (feed.fetching, feed.due_ms, feed.failures) = (false, 0, 0);
        }
        if self.mode == Mode::Stored && !self.syncing.listed_once() {
            self.forget_the_unplaced();
        }
        self.syncing.disconnect();
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
        let is_hidden = own && !self.echo_own;
        if self.hears_in_doubt(out, conversation, (view.epoch(), seq), is_hidden) {
            return Ok(());
        }
        self.feed(conversation, seq)?;
        self.turn(out, conversation, seq, view);
        self.list.advance(conversation, seq);
        let full = out.events.len() >= EVENTS_WAITING_MAX;
        let Some(feed) = self.feeds.get_mut(&conversation) else { return Ok(()) };
        feed.epoch = feed.epoch.max(view.epoch());
        if (feed.soft || feed.start.is_some()) && seq < feed.next {
            feed.next = seq;
        }
        feed.soft = false;
        if feed.admit(seq) != Admission::Duplicate {
            if full {
                feed.saw(seq);
            } else {
                let message = Message::of_view(conversation, view);
                self.accept(out, seq, conversation, (self.echo_own || !own).then_some(message));
            }
        }
        self.note_come(out, conversation);
        Ok(())
    }

    /// A message came: what is missing before it may be under way, but where a stream begins has to be asked.
    fn note_come(&mut self, out: &Outlet, conversation: ConversationId) {
        let unplaced = self.feeds.get(&conversation).is_some_and(|feed| feed.start == Some(Start::First));
        self.note(conversation, out.now_ms + if unplaced { 0 } else { GAP_GRACE_MS });
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
        if self.hears_in_doubt(out, conversation, (message.epoch, seq), !echo_own) {
            return Ok(());
        }
        self.feed(conversation, seq)?;
        self.list.advance(conversation, seq);
        let Some(feed) = self.feeds.get_mut(&conversation) else { return Ok(()) };
        feed.epoch = feed.epoch.max(message.epoch);
        // The original answer to something sent long before this session.
        if feed.soft && seq < feed.next {
            return Ok(());
        }
        if feed.admit(seq) != Admission::Duplicate {
            self.accept(out, seq, conversation, echo_own.then_some(message));
        }
        self.note_come(out, conversation);
        Ok(())
    }

    /// Sees to it that a conversation has a feed, of which this seq came.
    fn feed(&mut self, conversation: ConversationId, seq: u64) -> Result<(), Misbehaved> {
        if self.feeds.contains_key(&conversation) {
            return Ok(());
        }
        let mut feed = match self.mode {
            Mode::FromNow if !self.syncing.listed_once() => Feed::new(seq, false),
            Mode::Stored => Feed::unplaced(Start::First, seq),
            // Nothing came before it.
            _ if seq == 1 => Feed::new(seq, false),
            Mode::FromNow | Mode::All | Mode::Nothing => Feed::unplaced(Start::Joined, seq),
        };
        feed.described = self.list.contains(conversation);
        self.add(conversation, feed)
    }

    pub(super) fn add(&mut self, conversation: ConversationId, feed: Feed) -> Result<(), Misbehaved> {
        if self.feeds.len().max(self.list.len()) >= FEEDS_MAX {
            return Err(Misbehaved);
        }
        self.feeds.insert(conversation, feed);
        Ok(())
    }

    /// A conversation is none of the user's.
    pub(super) fn remove(&mut self, conversation: ConversationId) {
        let feed = self.feeds.remove(&conversation);
        self.early_bytes -= feed.map_or(0, |feed| feed.early_bytes);
    }

    /// Whether messages of this process are told in their place.
    pub(super) fn echoes(&self) -> bool {
        self.echo_own
    }

    /// What a message means for the user's window.
    pub(super) fn turn(
        &mut self,
        out: &mut Outlet,
        conversation: ConversationId,
        seq: u64,
        view: &schema::Message<'_>,
    ) {
        let turn = self.me.and_then(|me| turn_of(view, me));
        let Some(feed) = self.feeds.get_mut(&conversation) else { return };
        let behind = seq > feed.end;
        if !behind && turn.is_none() {
            return;
        }
        if behind {
            // Only members get messages: it joined again, if not here then before.
            feed.end = NO_END;
        }
        match turn {
            Some(Turn::Joins) if behind => {
                self.change(out, conversation, |feed| feed.set_window(seq, NO_END));
            }
            Some(Turn::Leaves) => self.change(out, conversation, |feed| {
                feed.leave(seq);
                Vec::new()
            }),
            Some(Turn::Joins) | None => {}
        }
        self.show_window(conversation);
    }

    /// As [`Receiving::turn`], for a message of a page that begins with what this user may see.
    pub(super) fn turn_of_page(
        &mut self,
        out: &mut Outlet,
        conversation: ConversationId,
        seq: u64,
        view: &schema::Message<'_>,
    ) {
        let Some(feed) = self.feeds.get(&conversation) else { return };
        let joins = || self.me.and_then(|me| turn_of(view, me)) == Some(Turn::Joins);
        if seq > feed.next && seq > feed.joined && joins() {
            // Before it the user was no member: nothing is lost there.
            self.change(out, conversation, |feed| {
                feed.end = NO_END;
                feed.set_window(seq, NO_END)
            });
            self.show_window(conversation);
        }
        self.turn(out, conversation, seq, view);
    }

    /// Takes a message that is no duplicate; `None` is one of ours that is not shown.
    pub(super) fn accept(
        &mut self,
        out: &mut Outlet,
        seq: u64,
        conversation: ConversationId,
        message: Option<Message>,
    ) {
        let Some(feed) = self.feeds.get_mut(&conversation) else { return };
        self.early_bytes -= feed.early_bytes;
        if feed.admit(seq) == Admission::Next {
            let followed = feed.advance();
            tell(out, feed, message.into_iter().chain(followed));
        } else {
            let bytes = message.as_ref().map_or(0, |message| message.body.len());
            if feed.is_full() || self.early_bytes + feed.early_bytes + bytes > REORDER_BYTES_MAX {
                feed.drop_messages();
                feed.due_ms = feed.due_ms.min(out.now_ms);
                feed.saw(seq);
            }
            if message.is_none() || !feed.is_full() && self.early_bytes + bytes <= REORDER_BYTES_MAX {
                feed.keep(seq, message);
            }
        }
        self.early_bytes += feed.early_bytes;
    }

    /// Changes a feed, and tells what that lets through.
    pub(super) fn change(
        &mut self,
        out: &mut Outlet,
        conversation: ConversationId,
        change: impl FnOnce(&mut Feed) -> Vec<Message>,
    ) {
        let Some(feed) = self.feeds.get_mut(&conversation) else { return };
        self.early_bytes -= feed.early_bytes;
        let followed = change(feed);
        tell(out, feed, followed.into_iter());
        self.early_bytes += feed.early_bytes;
    }

    /// A feed did something: notes what it misses, when that is to be asked for, and how far it is.
    pub(super) fn note(&mut self, conversation: ConversationId, due_ms: u64) {
        let Some(feed) = self.feeds.get_mut(&conversation) else {
            self.wanting.remove(&conversation);
            self.unconfirmed.remove(&conversation);
            self.told.reached(conversation, u64::MAX);
            self.confirmed.reached(conversation, u64::MAX);
            return;
        };
        if !feed.is_wanting() {
            self.wanting.remove(&conversation);
            feed.failures = 0;
        } else if self.wanting.insert(conversation) {
            feed.due_ms = due_ms;
        } else if feed.failures == 0 {
            feed.due_ms = feed.due_ms.min(due_ms);
        }
        let behind = if feed.lags() { feed.next - 1 } else { u64::MAX };
        let done = if feed.doubt.is_some() { 0 } else { behind };
        if feed.start.is_none() {
            self.moved.insert(conversation);
            self.told.reached(conversation, done);
        }
        if feed.is_unconfirmed() {
            self.unconfirmed.insert(conversation);
        } else {
            self.unconfirmed.remove(&conversation);
        }
        self.confirmed.reached(conversation, if feed.is_unconfirmed() { feed.confirmed } else { u64::MAX });
    }

    /// The program has confirmed all messages up to a seq; gives up to where nothing is unconfirmed.
    pub(super) fn confirm(&mut self, conversation: ConversationId, seq: u64) -> u64 {
        let Some(feed) = self.feeds.get_mut(&conversation).filter(|feed| feed.start.is_none()) else { return seq };
        feed.confirm(seq.min(feed.next - 1));
        // Behind what was told there are only messages of ours that are not shown.
        let all = feed.told > 0 && !feed.is_unconfirmed();
        let confirmed = if all { feed.next - 1 } else { seq.min(feed.last) };
        self.note(conversation, 0);
        confirmed
    }

    /// Up to which position the program has confirmed everything; 0 where that says nothing about what came before it.
    pub(super) fn confirmed_position(&self) -> u64 {
        match self.mode {
            Mode::All | Mode::Stored => self.confirmed.position(),
            Mode::Nothing | Mode::FromNow => 0,
        }
    }

    /// Asks for what is missing.
    pub(super) fn pump(&mut self, out: &mut Outlet) {
        if !self.follows() {
            return;
        }
        let (feeds, list) = (&self.feeds, &self.list);
        // The list may have lost a conversation whose messages were told.
        let known = |conversation, seq| {
            feeds.get(&conversation).is_some_and(|feed| feed.has(seq))
                && list.find(conversation).is_some_and(|summary| summary.last_seq >= seq)
        };
        if self.syncing.judge(out, known) {
            self.all_is_listed(out);
        }
        self.list.heard_of(self.syncing.position());
        if out.has_room()
            && let Some((position, below)) = self.syncing.ask(out.now_ms)
        {
            out.ask(Purpose::Sync, |encoder, request| encoder.sync(request, position, below, PAGE_CONVERSATIONS));
        }
        self.fetch(out);
    }

    /// Works out where the program is, and tells what is to be told, while there is room.
    pub(super) fn tell(&mut self, out: &mut Outlet) {
        let position = self.syncing.position();
        if self.told.is_ready_for(position) {
            let lagging =
                |id: &ConversationId| self.feeds.get(id).filter(|feed| feed.lags()).map(|feed| (*id, feed.last));
            self.told.aim_at(position, self.wanting.iter().filter_map(lagging));
        }
        if self.confirmed.is_ready_for(self.told.position()) {
            let told = |id: &ConversationId| self.feeds.get(id).map(|feed| (*id, feed.told));
            self.confirmed.aim_at(self.told.position(), self.unconfirmed.iter().filter_map(told));
        }
        self.list.tell(out);
        if self.list.is_told() && self.told.position() != self.announced && out.events.len() < EVENTS_WAITING_MAX {
            self.announced = self.told.position();
            let place = |id| self.feeds.get(&id).map(|feed| (id, feed.next - 1));
            let places = std::mem::take(&mut self.moved).into_iter().filter_map(place).collect();
            out.event(ClientEvent::Position { position: self.announced, places });
        }
        let is_all_told = self.syncing.is_done() && self.wanting.is_empty() && self.list.is_told();
        if self.follows() && is_all_told && !self.synced {
            self.synced = true;
            out.event(ClientEvent::Synced);
        }
    }

    /// Whether something is to be told for which there is room now.
    pub(super) fn has_news(&self, out: &Outlet) -> bool {
        let position = self.told.position() != self.announced && self.list.is_told();
        self.list.has_news(out) || position && out.events.len() < EVENTS_WAITING_MAX
    }

    /// A later list replaces what was known: what was aimed at means nothing any more.
    pub(super) fn begin_replacing(&mut self) {
        self.list.begin_replacing();
        self.told.give_up();
        self.confirmed.give_up();
    }

    /// When something that waits is to be asked for.
    pub(super) fn deadline_ms(&self, out: &Outlet) -> Option<u64> {
        let sync = if self.follows() { self.syncing.deadline_ms() } else { None };
        sync.into_iter().chain(self.fetch_deadline_ms(out)).min()
    }
}

fn tell(out: &mut Outlet, feed: &mut Feed, messages: impl Iterator<Item = Message>) {
    for message in messages {
        feed.told = message.seq;
        out.event(ClientEvent::Message(message));
    }
}
