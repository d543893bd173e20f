//! All that the screen knows: events, answers and keys in; what to ask the session for out. It has no terminal and no
//! connection.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use trunkline_client::core::{ClientEvent, ConversationId, Message, MessageId, Opened, Summary, UserId};

use super::input::Input;
use super::names::Names;
use super::rows::Look;
use super::timeline::{Timeline, Unsent};
use super::wish::{Answer, Link, Note, Wish};
use crate::failure::Failure;
use crate::limits::TIMELINES_MAX;
use crate::time::Clock;

#[derive(Debug)]
pub(super) struct Model {
    pub names: Names,
    pub clock: Clock,
    pub link: Link,
    /// The latest change first.
    pub list: Vec<Summary>,
    /// Opened, and not in the list as long as nothing was said.
    fresh: BTreeMap<ConversationId, Summary>,
    timelines: BTreeMap<ConversationId, Timeline>,
    pub open: Option<ConversationId>,
    pub input: Input,
    drafts: BTreeMap<ConversationId, Input>,
    pub note: Option<Note>,
    pub shows_help: bool,
    is_focused: bool,
    is_synced: bool,
    typists: BTreeMap<ConversationId, BTreeSet<UserId>>,
    /// Columns and lines of the messages.
    pane: (u16, u16),
    wishes: VecDeque<Wish>,
}

impl Model {
    pub fn new(names: Names, clock: Clock) -> Model {
        Model {
            names,
            clock,
            link: Link::Connecting,
            list: Vec::new(),
            fresh: BTreeMap::new(),
            timelines: BTreeMap::new(),
            open: None,
            input: Input::default(),
            drafts: BTreeMap::new(),
            note: None,
            shows_help: false,
            is_focused: true,
            is_synced: false,
            typists: BTreeMap::new(),
            pane: (0, 0),
            wishes: VecDeque::new(),
        }
    }

    /// What is to be asked for now.
    pub fn take_wishes(&mut self) -> VecDeque<Wish> {
        self.settle();
        std::mem::take(&mut self.wishes)
    }

    pub(super) fn wish(&mut self, wish: Wish) {
        self.wishes.push_back(wish);
    }

    /// What is open, and its messages as far as they are here.
    pub fn opened(&self) -> Option<(ConversationId, &Timeline)> {
        let conversation = self.open?;
        Some((conversation, self.timelines.get(&conversation)?))
    }

    pub(super) fn opened_mut(&mut self) -> Option<&mut Timeline> {
        self.timelines.get_mut(&self.open?)
    }

    /// What is known of a conversation.
    pub fn summary(&self, conversation: ConversationId) -> Option<&Summary> {
        let listed = self.list.iter().find(|summary| summary.conversation == conversation);
        listed.or_else(|| self.fresh.get(&conversation))
    }

    /// All conversations as they are shown: those without messages first, they were just opened.
    pub fn listed(&self) -> impl Iterator<Item = &Summary> {
        self.fresh.values().chain(&self.list)
    }

    /// Who types in the open conversation.
    pub fn typing(&self) -> Vec<String> {
        let typists = self.open.and_then(|open| self.typists.get(&open)).into_iter().flatten();
        typists.map(|user| self.names.of(*user)).collect()
    }

    /// How messages are looked at.
    pub fn look(&self) -> Look<'_> {
        Look { columns: self.pane.0.into(), names: &self.names, clock: &self.clock }
    }

    /// Moves what is looked at of the open conversation.
    pub(super) fn scroll(&mut self, step: impl FnOnce(&mut Timeline, &Look<'_>, usize)) {
        let look = Look { columns: self.pane.0.into(), names: &self.names, clock: &self.clock };
        if let Some(timeline) = self.open.and_then(|open| self.timelines.get_mut(&open)) {
            step(timeline, &look, self.pane.1.into());
        }
    }

    pub fn pane_height(&self) -> usize {
        self.pane.1.into()
    }

    /// So large is the part of the screen with the messages.
    pub fn set_pane(&mut self, columns: u16, lines: u16) {
        self.pane = (columns, lines);
    }

    /// Whether somebody looks at the screen.
    pub fn set_focus(&mut self, is_focused: bool) {
        self.is_focused = is_focused;
    }

    pub(super) fn say(&mut self, text: impl Into<String>, is_bad: bool) {
        self.note = Some(Note { text: text.into(), is_bad });
    }

    pub(super) fn complain(&mut self, failure: &Failure) {
        self.say(format!("{} ({})", failure.message(), failure.code()), true);
    }

    // ---- the session

    /// Something happened. `why`: what the session says of a lost connection.
    pub fn hear(&mut self, event: &ClientEvent, why: impl FnOnce() -> String) {
        match event {
            ClientEvent::Connected { user, .. } => {
                self.names.i_am(*user);
                self.link = Link::Up;
                self.typists.clear();
                self.timelines.values_mut().for_each(|timeline| timeline.knows_members = false);
            }
            ClientEvent::Draining { retry_at_ms } => self.link = Link::Draining { retry_at_ms: *retry_at_ms },
            ClientEvent::Disconnected { retry_at_ms: Some(retry_at_ms) } => {
                self.link = Link::Down { retry_at_ms: *retry_at_ms, why: why() };
            }
            ClientEvent::Synced => {
                self.is_synced = true;
                self.wish(Wish::List);
            }
            ClientEvent::ConversationChanged(_) | ClientEvent::ConversationRemoved { .. } => self.wish(Wish::List),
            ClientEvent::Message(message) => self.hear_message(message),
            ClientEvent::Sent { message_id, conversation, seq, .. } => {
                if let Some(timeline) = self.timelines.get_mut(conversation) {
                    timeline.take_sent(*message_id, *seq);
                }
            }
            ClientEvent::Receipts { conversation, users } => {
                if let Some(timeline) = self.timelines.get_mut(conversation) {
                    timeline.take_receipts(users);
                }
            }
            ClientEvent::Typing { conversation, user, .. } if !self.names.is_me(*user) => {
                self.typists.entry(*conversation).or_default().insert(*user);
            }
            ClientEvent::TypingEnded { conversation, user } => {
                if let Some(typists) = self.typists.get_mut(conversation) {
                    typists.remove(user);
                }
            }
            ClientEvent::Rewound { conversation, seq, .. } => self.rewind(*conversation, *seq),
            ClientEvent::Failed { message_id, conversation, code } => {
                self.fail(*conversation, *message_id, code.name());
            }
            ClientEvent::Unknown { message_id, conversation } => {
                self.fail(
                    *conversation,
                    *message_id,
                    "nobody knows whether it was stored; look before you send it again",
                );
            }
            ClientEvent::Delayed { reason, .. } => {
                self.say(format!("the server asks to wait ({})", reason.name()), true)
            }
            ClientEvent::OutboxFailed { error } => self.say(format!("{error} (outbox_failed)"), true),
            _ => {}
        }
    }

    fn hear_message(&mut self, message: &Message) {
        let conversation = message.conversation;
        self.fresh.remove(&conversation);
        if let Some(timeline) = self.timelines.get_mut(&conversation) {
            timeline.take(message);
            // Whoever came is counted from now on.
            timeline.knows_members &= message.membership().is_none();
        }
        self.wish(Wish::Delivered(conversation, message.seq));
    }

    fn rewind(&mut self, conversation: ConversationId, seq: u64) {
        let Some(me) = self.names.me() else { return };
        if let Some(timeline) = self.timelines.get_mut(&conversation) {
            timeline.rewind(me, seq);
        }
        self.say(format!("the server was restored from a backup; going on from message {seq}"), true);
    }

    fn fail(&mut self, conversation: ConversationId, message_id: MessageId, why: &str) {
        match self.timelines.get_mut(&conversation) {
            Some(timeline) => timeline.fail(message_id, why),
            None => self.say(format!("a message to {conversation} was not sent ({why})"), true),
        }
    }

    /// The list of conversations as it is now.
    pub fn set_list(&mut self, list: Vec<Summary>) {
        self.fresh.retain(|id, _| !list.iter().any(|summary| summary.conversation == *id));
        self.list = list;
        if self.open.is_none()
            && self.is_synced
            && let Some(first) = self.list.first()
        {
            self.look_at(first.conversation);
        }
    }

    /// What waits in the outbox, of all conversations.
    pub fn add_unsent(&mut self, unsent: Vec<(ConversationId, Unsent)>) {
        for (conversation, unsent) in unsent {
            if let Some(timeline) = self.timelines.get_mut(&conversation) {
                timeline.add_unsent(vec![unsent]);
            }
        }
    }

    /// The session answered a wish.
    pub fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Page(conversation, page) => {
                let Some(timeline) = self.timelines.get_mut(&conversation) else { return };
                timeline.is_loading = false;
                match page {
                    Ok(page) => {
                        timeline.take_page(&page);
                        page.names.iter().for_each(|(sender, name)| self.names.learn(*sender, name));
                    }
                    Err(failure) => {
                        (timeline.is_loaded, timeline.begins) = (true, true);
                        // A 1:1 in which nothing was said yet is not there.
                        if failure.code() != "not_found" {
                            self.complain(&failure);
                        }
                    }
                }
            }
            Answer::Members(conversation, members) => {
                let Some(timeline) = self.timelines.get_mut(&conversation) else { return };
                // In a conversation that is too large to be told of its members nobody counts.
                if let Ok(page) = members
                    && !page.more
                {
                    timeline.take_members(&page.members);
                }
            }
            Answer::Opened(_, Err(failure)) => self.complain(&failure),
            Answer::Opened(named, Ok(opened)) => {
                if let (Some(handle), Some(peer)) = (named, opened.peer) {
                    self.names.learn(peer, &handle);
                }
                let conversation = opened.conversation;
                if self.summary(conversation).is_none() {
                    self.fresh.insert(conversation, summary_of(opened));
                }
                self.look_at(conversation);
            }
        }
    }

    // ---- looking

    /// Opens a conversation on the screen.
    pub fn look_at(&mut self, conversation: ConversationId) {
        if self.open == Some(conversation) {
            return;
        }
        if let Some(before) = self.open {
            self.drafts.insert(before, std::mem::take(&mut self.input));
            if let Some(timeline) = self.timelines.get_mut(&before) {
                timeline.leave();
            }
        }
        self.input = self.drafts.remove(&conversation).unwrap_or_default();
        self.open = Some(conversation);
        while self.timelines.len() >= TIMELINES_MAX
            && let Some(&other) = self.timelines.keys().find(|&&id| id != conversation)
        {
            self.timelines.remove(&other);
        }
        let me = self.names.me().unwrap_or(UserId(0));
        let peer = self.summary(conversation).and_then(|summary| summary.peer);
        let timeline = self.timelines.entry(conversation).or_insert_with(|| Timeline::new(me));
        if let Some(peer) = peer {
            timeline.expect(peer);
        }
    }

    /// The conversation so many places below the open one, or above it.
    pub fn look_beside(&mut self, places: isize) {
        let listed: Vec<ConversationId> = self.listed().map(|summary| summary.conversation).collect();
        let Ok(count) = isize::try_from(listed.len()) else { return };
        let Some(open) = self.open.and_then(|open| listed.iter().position(|id| *id == open)) else {
            return listed.first().copied().map_or((), |first| self.look_at(first));
        };
        if let Some(&next) = listed.get((open as isize + places).rem_euclid(count) as usize) {
            self.look_at(next);
        }
    }

    /// Messages that nobody here has read; those that are looked at count as read.
    pub fn unread(&self, summary: &Summary) -> u64 {
        let is_read = self.open == Some(summary.conversation) && self.reads();
        if is_read { 0 } else { summary.unread() }
    }

    fn reads(&self) -> bool {
        self.is_focused && self.opened().is_some_and(|(_, timeline)| timeline.follows() && timeline.is_loaded)
    }

    /// Asks for what the screen lacks, and says what is read.
    fn settle(&mut self) {
        let Some((conversation, timeline)) = self.opened().filter(|_| self.is_synced && self.pane.1 > 0) else {
            return;
        };
        let wants_members = !timeline.knows_members && self.link == Link::Up;
        let before = timeline.wants_before(&timeline.window(&self.look(), self.pane_height()));
        let last_seq = timeline.last_seq();
        let read_seq = self.summary(conversation).map_or(0, |summary| summary.read_seq);
        let reads = self.reads() && last_seq > read_seq;
        let Some(timeline) = self.opened_mut() else { return };
        timeline.knows_members |= wants_members;
        let is_news = reads && timeline.read_seq < last_seq;
        if is_news {
            timeline.read_seq = last_seq;
        }
        timeline.is_loading |= before.is_some();
        if let Some(seq) = before {
            self.wish(Wish::Page(conversation, seq));
        }
        if wants_members {
            self.wish(Wish::Members(conversation));
        }
        if is_news {
            self.wish(Wish::Read(conversation, last_seq));
        }
    }
}

fn summary_of(opened: Opened) -> Summary {
    Summary {
        conversation: opened.conversation,
        kind: opened.kind,
        peer: opened.peer,
        title: opened.title,
        last_seq: opened.last_seq,
        read_seq: opened.read_seq,
        joined_seq: opened.joined_seq,
        left_seq: opened.left_seq,
        user_seq: 0,
    }
}
