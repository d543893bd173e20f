//! What was said in one conversation, as far as it is in memory, and which part of it is looked at.

use std::collections::BTreeMap;

use trunkline_client::core::{HistoryPage, Member, MembershipChange, Message, MessageId, UserId, UserReceipt};

use super::rows::{self, Look, Row};
use super::text::harmless;
use crate::limits::{TIMELINE_BYTES_MAX, TIMELINE_KEPT, TIMELINE_MESSAGES_MAX};
use crate::ticks::Ticks;

/// What is said in a place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Content {
    /// Harmless to a terminal.
    Text(String),
    Membership(MembershipChange),
    /// Of a kind that this version does not know.
    Other,
}

/// A message that is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Said {
    pub ts_ms: u64,
    pub sender: UserId,
    message_id: MessageId,
    pub content: Content,
}

/// A message of ours without an answer, or with a bad one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Unsent {
    pub message_id: MessageId,
    pub text: String,
    /// Why it will not be sent; none: it waits.
    pub failed: Option<String>,
}

/// A place in the row of messages: those that are stored by their seq, unsent ones behind them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Place {
    Said(u64),
    Unsent(usize),
}

/// The last line that is looked at: so many lines of this message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Anchor {
    place: Place,
    lines: usize,
}

/// What a part of the screen shows.
#[derive(Debug)]
pub(super) struct Window {
    pub rows: Vec<Row>,
    /// The first message in memory is among them, or could be.
    pub reaches_first: bool,
}

#[derive(Debug)]
pub(super) struct Timeline {
    said: BTreeMap<u64, Said>,
    bytes: usize,
    unsent: Vec<Unsent>,
    failed: Vec<Unsent>,
    /// The newest message is known, and all from the first one in memory up to it.
    pub is_loaded: bool,
    /// Nothing is before the first message in memory.
    pub begins: bool,
    /// A page is under way.
    pub is_loading: bool,
    /// The members were asked for since the last connection began.
    pub knows_members: bool,
    /// Up to here it was said to be read.
    pub read_seq: u64,
    ticks: Ticks,
    /// None: the newest message, whatever comes.
    anchor: Option<Anchor>,
}

impl Timeline {
    pub fn new(me: UserId) -> Timeline {
        Timeline {
            said: BTreeMap::new(),
            bytes: 0,
            unsent: Vec::new(),
            failed: Vec::new(),
            is_loaded: false,
            begins: false,
            is_loading: false,
            knows_members: false,
            read_seq: 0,
            ticks: Ticks::new(me),
            anchor: None,
        }
    }

    /// The newest message that is there; 0: none.
    pub fn last_seq(&self) -> u64 {
        self.said.last_key_value().map_or(0, |(&seq, _)| seq)
    }

    /// Whether the newest message is looked at.
    pub fn follows(&self) -> bool {
        self.anchor.is_none()
    }

    pub fn said(&self, seq: u64) -> Option<&Said> {
        self.said.get(&seq)
    }

    pub fn before(&self, seq: u64) -> Option<&Said> {
        self.said.range(..seq).next_back().map(|(_, said)| said)
    }

    /// Up to where all others have what was said, and have read it.
    pub fn far(&self) -> (u64, u64) {
        self.ticks.far().unwrap_or((0, 0))
    }

    /// The last message of this user that all others have read.
    pub fn last_read(&self, me: UserId) -> Option<u64> {
        let read = self.said.range(..=self.far().1).rev();
        let mut mine = read.filter(|(_, said)| said.sender == me && matches!(said.content, Content::Text(_)));
        mine.next().map(|(&seq, _)| seq)
    }

    /// The other of a 1:1 counts, also as long as nothing was said.
    pub fn expect(&mut self, peer: UserId) {
        self.ticks.heard(peer, 0, 0);
    }

    fn unsent_at(&self, index: usize) -> Option<&Unsent> {
        self.failed.iter().chain(&self.unsent).nth(index)
    }

    /// A message came.
    pub fn take(&mut self, message: &Message) {
        self.put(message);
        self.ticks.shown(message);
        if self.anchor.is_none() && self.said.len() > TIMELINE_MESSAGES_MAX {
            self.keep(TIMELINE_MESSAGES_MAX / 2);
        }
    }

    fn put(&mut self, message: &Message) {
        let content = match (message.text(), message.membership()) {
            (Some(text), _) => Content::Text(harmless(text)),
            (None, Some(change)) => Content::Membership(change),
            (None, None) => Content::Other,
        };
        let said = Said { ts_ms: message.ts_ms, sender: message.sender, message_id: message.message_id, content };
        self.bytes += said.cost_bytes();
        if let Some(old) = self.said.insert(message.seq, said) {
            self.bytes -= old.cost_bytes();
        }
        self.unsent.retain(|unsent| unsent.message_id != message.message_id);
    }

    /// A message of ours is stored. It comes in its place among the others, if it is not there yet.
    pub fn take_sent(&mut self, message_id: MessageId, seq: u64) {
        if self.said.contains_key(&seq) || seq <= self.last_seq() {
            self.unsent.retain(|unsent| unsent.message_id != message_id);
        }
    }

    /// The seq below which the next page is to be asked for (0: the newest page), if one is wanted.
    pub fn wants_before(&self, window: &Window) -> Option<u64> {
        if self.is_loading {
            return None;
        }
        match self.said.first_key_value() {
            _ if !self.is_loaded => Some(0),
            Some((&first, _)) => {
                let wants = window.reaches_first && !self.begins && self.bytes < TIMELINE_BYTES_MAX;
                wants.then_some(first)
            }
            None => None,
        }
    }

    /// A page of history came.
    pub fn take_page(&mut self, page: &HistoryPage) {
        page.messages.iter().for_each(|message| self.put(message));
        self.is_loading = false;
        self.is_loaded = true;
        let first = page.messages.first().map_or(u64::MAX, |message| message.seq);
        if self.said.first_key_value().is_none_or(|(&known, _)| first <= known) || page.messages.is_empty() {
            self.begins = !page.more;
        }
    }

    /// Who is here, and how far each is.
    pub fn take_members(&mut self, members: &[Member]) {
        for member in members {
            let before = member.joined_seq.saturating_sub(1);
            self.ticks.heard(member.user, member.delivered_seq.max(before), member.read_seq.max(before));
        }
    }

    pub fn take_receipts(&mut self, receipts: &[UserReceipt]) {
        receipts.iter().for_each(|one| self.ticks.heard(one.user, one.delivered_seq, one.read_seq));
    }

    /// What waits in the outbox. What is there no more has its answer, which is told by itself.
    pub fn add_unsent(&mut self, unsent: Vec<Unsent>) {
        for unsent in unsent {
            let is = |id: MessageId| id == unsent.message_id;
            let known = self.unsent.iter().chain(&self.failed).any(|other| is(other.message_id));
            if !known && !self.said.values().rev().take(TIMELINE_KEPT).any(|said| is(said.message_id)) {
                self.unsent.push(unsent);
            }
        }
    }

    /// A message of ours will not be sent.
    pub fn fail(&mut self, message_id: MessageId, why: &str) {
        if let Some(place) = self.unsent.iter().position(|unsent| unsent.message_id == message_id) {
            self.failed.push(Unsent { failed: Some(why.to_owned()), ..self.unsent.remove(place) });
        }
    }

    /// What did not go out was seen.
    pub fn forget_failed(&mut self) {
        self.failed.clear();
    }

    /// A backup was restored on the server: from this seq on all is as if it had not been said.
    pub fn rewind(&mut self, me: UserId, seq: u64) {
        let gone = self.said.split_off(&seq);
        self.bytes -= gone.values().map(Said::cost_bytes).sum::<usize>();
        (self.ticks, self.knows_members, self.anchor) = (Ticks::new(me), false, None);
        self.read_seq = self.read_seq.min(seq - 1);
    }

    /// Nobody looks at it any more.
    pub fn leave(&mut self) {
        self.anchor = None;
        self.keep(TIMELINE_KEPT);
    }

    fn keep(&mut self, messages_max: usize) {
        while self.said.len() > messages_max
            && let Some((_, said)) = self.said.pop_first()
        {
            self.bytes -= said.cost_bytes();
            self.begins = false;
        }
    }

    // ---- what is looked at

    /// The lines above and with the anchor, at most so many.
    pub fn window(&self, look: &Look<'_>, height: usize) -> Window {
        let (rows, reaches_first) = self.lines_up(look, height);
        Window { rows: rows.into_iter().map(|(_, row)| row).collect(), reaches_first }
    }

    /// Goes back by so many lines; the screen stays full.
    pub fn scroll_up(&mut self, look: &Look<'_>, height: usize, lines: usize) {
        let (rows, _) = self.lines_up(look, height + lines);
        let up = lines.min(rows.len().saturating_sub(height));
        if up > 0
            && let Some((anchor, _)) = rows.get(rows.len() - 1 - up)
        {
            self.anchor = Some(*anchor);
        }
    }

    /// Goes forth by so many lines.
    pub fn scroll_down(&mut self, look: &Look<'_>, lines: usize) {
        let Some(anchor) = self.anchor else { return };
        let mut left = lines;
        let mut shown = anchor.lines;
        let places: Vec<Place> = self.places_from(anchor.place).collect();
        for (index, &place) in places.iter().enumerate() {
            let count = self.rows_at(place, look).len();
            let rest = count.saturating_sub(shown);
            if rest > left || (rest == left && index + 1 < places.len()) {
                self.anchor = Some(Anchor { place, lines: count - rest + left });
                return;
            }
            (left, shown) = (left - rest, 0);
        }
        self.anchor = None;
    }

    /// Goes to the newest message.
    pub fn scroll_to_end(&mut self) {
        self.anchor = None;
    }

    /// Messages below what is looked at.
    pub fn below(&self) -> usize {
        match self.anchor {
            Some(Anchor { place: Place::Said(seq), .. }) => self.said.range(seq + 1..).count(),
            _ => 0,
        }
    }

    fn places_from(&self, place: Place) -> impl Iterator<Item = Place> {
        let (seq, index) = match place {
            Place::Said(seq) => (seq, 0),
            Place::Unsent(index) => (u64::MAX, index),
        };
        let unsent = index..self.failed.len() + self.unsent.len();
        self.said.range(seq..).map(|(&seq, _)| Place::Said(seq)).chain(unsent.map(Place::Unsent))
    }

    fn places_up_to(&self, place: Place) -> impl Iterator<Item = Place> {
        let count = self.failed.len() + self.unsent.len();
        let (seq, unsent) = match place {
            Place::Said(seq) => (seq, 0),
            Place::Unsent(index) => (u64::MAX, count.min(index.saturating_add(1))),
        };
        (0..unsent).rev().map(Place::Unsent).chain(self.said.range(..=seq).rev().map(|(&seq, _)| Place::Said(seq)))
    }

    /// The last lines up to the anchor, each with where it is, and whether there is nothing above them.
    fn lines_up(&self, look: &Look<'_>, count: usize) -> (Vec<(Anchor, Row)>, bool) {
        let anchor = self.anchor.unwrap_or(Anchor { place: Place::Unsent(usize::MAX), lines: usize::MAX });
        let mut rows = Vec::new();
        let mut is_all = true;
        for place in self.places_up_to(anchor.place) {
            if rows.len() >= count {
                is_all = false;
                break;
            }
            let mut of_place = self.rows_at(place, look);
            if place == anchor.place {
                of_place.truncate(anchor.lines.max(1));
            }
            let numbered = of_place.into_iter().enumerate().rev();
            rows.extend(numbered.map(|(index, row)| (Anchor { place, lines: index + 1 }, row)));
        }
        if is_all {
            let above = rows.last().map_or(anchor, |(first, _)| Anchor { lines: 1, ..*first });
            rows.push((above, rows::head(self.begins, self.is_loaded && self.bytes >= TIMELINE_BYTES_MAX)));
        }
        is_all &= rows.len() <= count;
        rows.truncate(count);
        rows.reverse();
        (rows, is_all)
    }

    fn rows_at(&self, place: Place, look: &Look<'_>) -> Vec<Row> {
        match place {
            Place::Said(seq) => rows::of_said(self, seq, look),
            Place::Unsent(index) => self.unsent_at(index).map_or_else(Vec::new, |unsent| rows::of_unsent(unsent, look)),
        }
    }
}

impl Said {
    fn cost_bytes(&self) -> usize {
        size_of::<Said>() + if let Content::Text(text) = &self.content { text.len() } else { 0 }
    }
}
