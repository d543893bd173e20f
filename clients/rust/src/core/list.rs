//! The user's conversations, the latest change first.

use std::collections::{BTreeMap, BTreeSet};

use trunkline_wire::ids::ConversationId;

use super::conversation::Summary;
use super::event::ClientEvent;
use super::outlet::Outlet;
use crate::limits::EVENTS_WAITING_MAX;

/// When a conversation changed last: the server's number, and between two of those the order in which it came here.
type Moment = (u64, u64);

#[derive(Debug)]
struct Entry {
    summary: Summary,
    moment: Moment,
    /// Named by the list that replaces this one.
    kept: bool,
}

#[derive(Debug, Default)]
pub(super) struct List {
    entries: BTreeMap<ConversationId, Entry>,
    /// Those that have messages, in order of their latest change.
    order: BTreeSet<(Moment, ConversationId)>,
    /// To be told.
    changed: BTreeSet<ConversationId>,
    removed: BTreeSet<ConversationId>,
    /// The highest number the server spoke of.
    number: u64,
    ticks: u64,
    replacing: bool,
    /// What was read since the list is being replaced, which its rows may not know.
    read_meanwhile: BTreeMap<ConversationId, u64>,
}

impl List {
    pub(super) fn from_stored(summaries: impl Iterator<Item = Summary>) -> List {
        let mut list = List::default();
        summaries.for_each(|summary| list.merge(summary));
        list.changed.clear();
        list
    }

    /// The latest change first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Summary> {
        self.order.iter().rev().filter_map(|(_, id)| self.entries.get(id)).map(|entry| &entry.summary)
    }

    pub(super) fn find(&self, conversation: ConversationId) -> Option<&Summary> {
        self.entries.get(&conversation).map(|entry| &entry.summary)
    }

    pub(super) fn contains(&self, conversation: ConversationId) -> bool {
        self.entries.contains_key(&conversation)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The server spoke of changes up to this number: what changes from now on is later.
    pub(super) fn heard_of(&mut self, number: u64) {
        self.number = self.number.max(number);
    }

    /// Takes in what the server said of a conversation, which may be older than what came by other ways.
    pub(super) fn merge(&mut self, mut row: Summary) {
        let conversation = row.conversation;
        let mut moment = (row.user_seq, 0);
        if row.user_seq == 0 {
            self.ticks += 1;
            moment = (self.number, self.ticks);
        }
        if let Some(old) = self.entries.get(&conversation) {
            moment = if row.user_seq == 0 && row.last_seq <= old.summary.last_seq { old.moment } else { moment };
            moment = moment.max(old.moment);
            if old.kept {
                row = merged(&old.summary, row);
            } else if let Some(&seq) = self.read_meanwhile.get(&conversation) {
                row.read_seq = row.read_seq.max(seq.min(row.last_seq));
            }
        }
        self.put(Entry { summary: row, moment, kept: true });
    }

    /// A conversation goes on, at least up to this seq.
    pub(super) fn advance(&mut self, conversation: ConversationId, seq: u64) {
        self.ticks += 1;
        let moment = (self.number, self.ticks);
        self.change(conversation, |summary| {
            let moves = seq > summary.last_seq;
            summary.last_seq = summary.last_seq.max(seq);
            moves.then_some(moment)
        });
    }

    /// A device of this user has read up to this seq.
    pub(super) fn read(&mut self, conversation: ConversationId, seq: u64) {
        if self.replacing {
            let read = self.read_meanwhile.entry(conversation).or_default();
            *read = seq.max(*read);
        }
        self.change(conversation, |summary| {
            summary.read_seq = summary.read_seq.max(seq.min(summary.last_seq));
            None
        });
    }

    /// The user's window is this one; nothing of the conversation is seen behind its end.
    pub(super) fn set_window(&mut self, conversation: ConversationId, joined_seq: u64, left_seq: Option<u64>) {
        self.change(conversation, |summary| {
            (summary.joined_seq, summary.left_seq) = (joined_seq, left_seq);
            summary.last_seq = summary.last_seq.min(left_seq.unwrap_or(u64::MAX));
            None
        });
    }

    /// A backup was restored: the conversation ends with this seq.
    pub(super) fn rewind(&mut self, conversation: ConversationId, last_seq: u64) {
        self.change(conversation, |summary| {
            summary.last_seq = last_seq;
            summary.read_seq = summary.read_seq.min(last_seq);
            None
        });
    }

    /// A conversation is not known any more, and that is not worth telling.
    pub(super) fn forget(&mut self, conversation: ConversationId) {
        if let Some(entry) = self.entries.remove(&conversation) {
            self.order.remove(&(entry.moment, conversation));
            self.changed.remove(&conversation);
        }
    }

    /// What is named from now on replaces the whole list.
    pub(super) fn begin_replacing(&mut self) {
        (self.number, self.replacing) = (0, true);
        self.read_meanwhile.clear();
        self.order.clear();
        for (id, entry) in &mut self.entries {
            entry.kept = false;
            entry.moment = (0, 0);
            if entry.summary.last_seq > 0 {
                self.order.insert((entry.moment, *id));
            }
        }
    }

    /// All of the list that replaces this one was named, if one does.
    pub(super) fn end_replacing(&mut self) {
        if !std::mem::take(&mut self.replacing) {
            return;
        }
        self.read_meanwhile.clear();
        let gone: Vec<ConversationId> =
            self.entries.iter().filter(|(_, entry)| !entry.kept).map(|(id, _)| *id).collect();
        for id in gone {
            if let Some(entry) = self.entries.remove(&id)
                && self.order.remove(&(entry.moment, id))
            {
                self.changed.remove(&id);
                self.removed.insert(id);
            }
        }
    }

    fn change(&mut self, conversation: ConversationId, change: impl FnOnce(&mut Summary) -> Option<Moment>) {
        let Some(entry) = self.entries.get(&conversation) else { return };
        let (mut summary, kept) = (entry.summary.clone(), entry.kept);
        let moved = change(&mut summary);
        if summary != entry.summary {
            // What goes on is in whatever list replaces this one.
            let kept = kept || moved.is_some();
            self.put(Entry { moment: moved.unwrap_or(entry.moment), summary, kept });
        }
    }

    fn put(&mut self, entry: Entry) {
        let (id, moment, shown) = (entry.summary.conversation, entry.moment, entry.summary.last_seq > 0);
        let same = self.entries.get(&id).is_some_and(|old| old.summary == entry.summary);
        if let Some(old) = self.entries.insert(id, entry) {
            self.order.remove(&(old.moment, id));
        }
        // A 1:1 without messages is none of the list.
        if shown {
            self.order.insert((moment, id));
            self.removed.remove(&id);
            if !same {
                self.changed.insert(id);
            }
        }
    }

    /// Whether something is to be told for which there is room.
    pub(super) fn has_news(&self, out: &Outlet) -> bool {
        out.events.len() < EVENTS_WAITING_MAX && !(self.changed.is_empty() && self.removed.is_empty())
    }

    /// Tells what changed, while there is room.
    pub(super) fn tell(&mut self, out: &mut Outlet) {
        while self.has_news(out) {
            if let Some(conversation) = self.removed.pop_first() {
                out.event(ClientEvent::ConversationRemoved { conversation });
            } else if let Some(id) = self.changed.pop_first()
                && let Some(entry) = self.entries.get(&id)
            {
                out.event(ClientEvent::ConversationChanged(entry.summary.clone()));
            }
        }
    }

    /// Whether all that changed was told.
    pub(super) fn is_told(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty()
    }
}

/// What the server says, and what was seen of the same conversation before or since.
fn merged(old: &Summary, row: Summary) -> Summary {
    let (joined_seq, left_seq) = match row.joined_seq.cmp(&old.joined_seq) {
        std::cmp::Ordering::Greater => (row.joined_seq, row.left_seq),
        // Within one window the user leaves once.
        std::cmp::Ordering::Equal => (row.joined_seq, row.left_seq.or(old.left_seq)),
        std::cmp::Ordering::Less => (old.joined_seq, old.left_seq),
    };
    Summary {
        peer: row.peer.or(old.peer),
        last_seq: row.last_seq.max(old.last_seq).min(left_seq.unwrap_or(u64::MAX)),
        read_seq: row.read_seq.max(old.read_seq),
        user_seq: row.user_seq.max(old.user_seq),
        title: row.title.or_else(|| old.title.clone()),
        joined_seq,
        left_seq,
        ..row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> ConversationId {
        ConversationId([byte; 16])
    }

    fn row(byte: u8, user_seq: u64, last_seq: u64) -> Summary {
        Summary {
            conversation: id(byte),
            kind: 2,
            peer: None,
            title: Some("t".into()),
            last_seq,
            read_seq: 0,
            joined_seq: 1,
            left_seq: None,
            user_seq,
        }
    }

    fn order(list: &List) -> Vec<u8> {
        list.iter().map(|summary| summary.conversation.0[0]).collect()
    }

    #[test]
    fn the_latest_change_comes_first_whoever_told_of_it() {
        let mut list = List::default();
        list.heard_of(30);
        [row(1, 30, 5), row(2, 20, 5), row(3, 10, 5)].into_iter().for_each(|row| list.merge(row));
        assert_eq!(order(&list), [1, 2, 3]);
        list.advance(id(3), 6);
        list.advance(id(2), 6);
        assert_eq!(order(&list), [2, 3, 1]);
        list.advance(id(3), 6);
        assert_eq!(order(&list), [2, 3, 1], "nothing new");
        list.heard_of(33);
        list.merge(row(3, 33, 7));
        assert_eq!(order(&list), [3, 2, 1]);
        list.merge(row(4, 0, 0));
        assert_eq!(order(&list), [3, 2, 1], "a 1:1 without messages is none of the list");
        list.advance(id(4), 1);
        assert_eq!(order(&list), [4, 3, 2, 1]);
    }

    #[test]
    fn an_older_word_takes_nothing_back() {
        let mut list = List::default();
        list.merge(Summary { read_seq: 4, ..row(1, 5, 9) });
        list.set_window(id(1), 1, Some(8));
        list.merge(row(1, 6, 9));
        let seen = list.find(id(1)).unwrap();
        assert_eq!((seen.last_seq, seen.read_seq, seen.left_seq), (8, 4, Some(8)));
        list.merge(Summary { joined_seq: 12, ..row(1, 7, 12) });
        let seen = list.find(id(1)).unwrap();
        assert_eq!((seen.last_seq, seen.joined_seq, seen.left_seq), (12, 12, None));
    }

    #[test]
    fn a_list_that_is_replaced_loses_what_is_not_named() {
        let mut out = Outlet::new([0; 32]);
        let mut list = List::default();
        [row(1, 30, 5), row(2, 20, 5)].into_iter().for_each(|row| list.merge(row));
        list.tell(&mut out);
        list.begin_replacing();
        [row(2, 3, 5), row(3, 4, 5)].into_iter().for_each(|row| list.merge(row));
        list.end_replacing();
        assert_eq!(order(&list), [3, 2]);
        out.events.clear();
        list.tell(&mut out);
        assert_eq!(out.events[0], ClientEvent::ConversationRemoved { conversation: id(1) });
    }
}
