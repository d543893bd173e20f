//! One user's list as memory has it: the numbers of its changes, and the rows that changed.
//!
//! Nothing gets a number above the durable ceiling: changes that come while there is none left are merged into their rows
//! and wait, in order, for the next ceiling.

use alloc::sync::Arc;
use alloc::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use trunkline_wire::ids::{ConversationId, UserId};

use super::row::{self, HeldRow};
use crate::entry::HomeRequest;
use crate::router::Reply;
use crate::store::{ConversationMeta, ListChange, ListRow, UserKey};

/// What is known of a list's numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Numbers {
    /// Nothing yet.
    Unknown,
    /// The store was asked for the ceiling.
    Loading,
    /// Counter and ceiling hold.
    Known,
    /// They hold, and a higher ceiling is being written.
    Raising,
}

/// What a list needs of the store so that its changes get numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    Nothing,
    /// To know its ceiling.
    Load,
    /// A ceiling this high.
    Raise(u64),
}

/// What happens to a row.
#[derive(Clone, Copy)]
pub(crate) struct RowChange<'a> {
    pub meta: &'a Arc<ConversationMeta>,
    /// 0: nothing new.
    pub last_seq: u64,
    /// 0: nothing new.
    pub read_seq: u64,
    pub window: Option<(u64, u64)>,
}

/// What a finished write means for its row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Written {
    /// All of it is stored. `owed`: it was announced, and counts as stored now.
    Clean { owed: bool },
    /// It changed meanwhile, and its time to be written has come.
    Again,
    /// It changed meanwhile, and is written in its turn.
    Later,
}

/// A part of a list, the latest change first.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub rows: Vec<ListRow>,
    /// Those of the rows that the store may know more of.
    pub partial: Vec<ConversationId>,
    pub more: bool,
}

/// What changed since the tick before.
#[derive(Debug)]
pub(crate) struct Tick {
    /// The positions before and behind it.
    pub span: (u64, u64),
    pub changed: Vec<ConversationId>,
    /// Somebody may have heard of the place of a row, but not of its change.
    pub is_overtaken: bool,
}

/// How far the ceiling rises at a time.
pub(crate) const CEILING_STEP: u64 = 1_024;

/// One user's list.
#[derive(Debug)]
pub(crate) struct List {
    /// No two stays of lists in memory have the same; rows are forgotten only between two of them.
    stay: u64,
    numbers: Numbers,
    /// The last number that was given.
    counter: u64,
    /// No number above this one may be given.
    ceiling: u64,
    /// Sessions were told of the changes up to this number.
    told: u64,
    /// Somebody may have a position up to this number.
    shown: u64,
    /// Memory has all rows with a higher number.
    complete_above: u64,
    rows: HashMap<ConversationId, HeldRow, FixedState>,
    /// Rows that got a number since the last tick.
    changed: Vec<ConversationId>,
    /// Rows that wait for a number.
    unnumbered: Vec<ConversationId>,
    /// An answer went out that has not all that changed, and of which no tick told yet.
    overtaken: bool,
    /// Rows that the store does not have as memory has them.
    unstored: u32,
    /// Requests that wait for the numbers.
    pub waiters: Vec<(Reply, HomeRequest)>,
    /// Its next tick is arranged.
    pub ticking: bool,
    /// It waits for its turn with the store.
    pub queued: bool,
    /// It was used since eviction last came by.
    pub touched: bool,
}

impl List {
    /// A list of which nothing is known; its stay in memory gets this number.
    pub fn new(stay: u64) -> List {
        List {
            stay,
            numbers: Numbers::Unknown,
            counter: 0,
            ceiling: 0,
            told: 0,
            shown: 0,
            complete_above: u64::MAX,
            rows: HashMap::with_hasher(FixedState::with_seed(0)),
            changed: Vec::new(),
            unnumbered: Vec::new(),
            overtaken: false,
            unstored: 0,
            waiters: Vec::new(),
            ticking: false,
            queued: false,
            touched: true,
        }
    }

    /// The number of its stay in memory.
    pub fn stay(&self) -> u64 {
        self.stay
    }

    /// Bytes it takes.
    pub fn bytes(&self) -> usize {
        let per_row = size_of::<(ConversationId, HeldRow)>() + 1;
        let ids = self.changed.capacity() + self.unnumbered.capacity();
        size_of::<List>() + self.rows.capacity() * per_row + ids * size_of::<ConversationId>()
    }

    /// Whether it has to stay in memory.
    pub fn is_pinned(&self) -> bool {
        let asks = matches!(self.numbers, Numbers::Loading | Numbers::Raising);
        self.unstored > 0 || self.ticking || self.queued || asks || !self.waiters.is_empty()
    }

    pub fn is_known(&self) -> bool {
        matches!(self.numbers, Numbers::Known | Numbers::Raising)
    }

    /// Memory has all rows with a higher number than this.
    pub fn complete_above(&self) -> u64 {
        self.complete_above
    }

    /// Whether rows wait for a tick.
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// What the list needs next.
    pub fn need(&self) -> Need {
        match self.numbers {
            Numbers::Unknown if !self.unnumbered.is_empty() || !self.waiters.is_empty() => Need::Load,
            Numbers::Known if !self.unnumbered.is_empty() => Need::Raise(self.ceiling + CEILING_STEP),
            _ => Need::Nothing,
        }
    }

    /// The store was asked for what the list needs.
    pub fn asked(&mut self) {
        self.numbers = match self.numbers {
            Numbers::Unknown => Numbers::Loading,
            Numbers::Known => Numbers::Raising,
            Numbers::Loading | Numbers::Raising => unreachable!("a list asks for one thing at a time"),
        };
    }

    /// The store did not do it.
    pub fn refused(&mut self) {
        self.numbers = match self.numbers {
            Numbers::Loading => Numbers::Unknown,
            Numbers::Raising => Numbers::Known,
            numbers => numbers,
        };
    }

    /// The ceiling came: numbers go on above it, and above `floor`, below which an earlier incarnation gave them. A ceiling
    /// of 0 says that the store has no row. The position of an empty list is no 0, so that a device can store it.
    pub fn loaded(&mut self, ceiling: u64, floor: u64) {
        assert!(self.numbers == Numbers::Loading, "a ceiling is loaded once");
        let start = ceiling.max(floor);
        let counter = start.max(1);
        self.numbers = Numbers::Known;
        (self.counter, self.ceiling, self.told, self.shown) = (counter, start, counter, counter);
        self.complete_above = if ceiling == 0 { 0 } else { start };
        if ceiling == 0 {
            self.rows.values_mut().for_each(|row| row.whole = true);
        }
    }

    /// A higher ceiling is durable: what waited for numbers gets them.
    pub fn raised(&mut self, ceiling: u64) {
        assert!(self.numbers == Numbers::Raising && ceiling > self.ceiling, "ceilings rise");
        self.numbers = Numbers::Known;
        self.ceiling = ceiling;
        let waiting = core::mem::take(&mut self.unnumbered);
        for conversation in waiting {
            if let Some(row) = self.rows.get_mut(&conversation) {
                row.unnumbered = false;
                self.unstored -= u32::from(!row.is_unstored());
            }
            self.renumber(conversation);
        }
    }

    /// A row changes, or not: what it says already is nothing new. Whether it did.
    pub fn change(&mut self, conversation: ConversationId, change: &RowChange<'_>) -> bool {
        let whole = self.complete_above == 0;
        let row = self.rows.entry(conversation);
        let is_new = matches!(row, hashbrown::hash_map::Entry::Vacant(_));
        let row = row.or_insert_with(|| HeldRow::new(change.meta.clone(), whole));
        let changed = row.raise(change) || is_new;
        if changed {
            self.renumber(conversation);
        }
        changed
    }

    /// A seq was announced. True when the row owes an acknowledgement from now on: once all of it is stored.
    pub fn announce(&mut self, conversation: ConversationId, change: &RowChange<'_>) -> bool {
        self.change(conversation, change);
        let row = self.rows.get_mut(&conversation).expect("a change makes its row");
        row.is_unstored() && !core::mem::replace(&mut row.owes, true)
    }

    /// Gives a row the next number, if there is one. The latest number, unless somebody may have seen it, does for a later
    /// change of the same row too.
    fn renumber(&mut self, conversation: ConversationId) {
        let row = self.rows.get_mut(&conversation).expect("only rows get numbers");
        if row.unnumbered {
            return;
        }
        self.unstored += u32::from(!row.is_unstored());
        let is_known = matches!(self.numbers, Numbers::Known | Numbers::Raising);
        let is_unseen = row.user_seq == self.counter && self.counter > self.shown;
        if is_known && !is_unseen && self.counter < self.ceiling {
            self.counter += 1;
            row.user_seq = self.counter;
        } else if !is_unseen {
            row.unnumbered = true;
            self.unnumbered.push(conversation);
            return;
        }
        row.dirty = true;
        if !core::mem::replace(&mut row.changed, true) {
            self.changed.push(conversation);
        }
    }

    /// The list's position now, which is shown to somebody.
    pub fn show(&mut self) -> u64 {
        self.overtaken |= !self.unnumbered.is_empty();
        if self.is_known() {
            self.shown = self.counter;
        }
        self.shown
    }

    /// An answer that was asked for when `to` was the position goes out now.
    pub fn answer_late(&mut self, to: u64) {
        self.overtaken |= self.counter > self.told.max(to) || !self.unnumbered.is_empty();
    }

    /// A tick: what changed since the last one; sessions are told of it.
    pub fn tick(&mut self) -> Tick {
        self.ticking = false;
        let changed = core::mem::take(&mut self.changed);
        for conversation in &changed {
            self.rows.get_mut(conversation).expect("a row that changed stays").changed = false;
        }
        let from = core::mem::replace(&mut self.told, self.counter);
        let is_overtaken = core::mem::take(&mut self.overtaken);
        Tick { span: (from, self.show()), changed, is_overtaken }
    }

    /// What sessions are told of a row: its newest seq.
    pub fn last_seq(&self, conversation: ConversationId) -> u64 {
        self.rows.get(&conversation).map_or(0, |row| row.last_seq)
    }

    /// Begins to write a row, if it is to be written and no write of it is under way. One whose write failed is written
    /// when that is tried again, and not with others that are due.
    pub fn begin_write(&mut self, key: UserKey, conversation: ConversationId, is_retry: bool) -> Option<ListChange> {
        let row = self.rows.get_mut(&conversation)?;
        if !row.dirty || row.in_flight || row.failed != is_retry {
            return None;
        }
        assert!((1..=self.ceiling).contains(&row.user_seq), "numbers are stored below the durable ceiling");
        (row.dirty, row.in_flight) = (false, true);
        Some(row.to_change(key, conversation))
    }

    /// A write of a row has ended.
    pub fn written(&mut self, conversation: ConversationId, is_done: bool) -> Written {
        let row = self.rows.get_mut(&conversation).expect("a row that is being written stays");
        assert!(core::mem::replace(&mut row.in_flight, false), "a write ends once");
        row.dirty |= !is_done;
        row.failed = !is_done;
        match row {
            HeldRow { dirty: true, changed: false, .. } if is_done => Written::Again,
            row if row.is_unstored() => Written::Later,
            row => {
                self.unstored -= 1;
                Written::Clean { owed: core::mem::take(&mut row.owes) }
            }
        }
    }

    /// The rows with `above < user_seq < below`, at most `rows_max`; only those that the store does not have, if so asked.
    pub fn page(&self, user: UserId, (above, below): (u64, u64), rows_max: usize, unstored_only: bool) -> Page {
        let is_asked = |row: &HeldRow| (above + 1..below).contains(&row.user_seq);
        let rows = self.rows.iter().filter(|(_, row)| is_asked(row) && (!unstored_only || row.is_unstored()));
        let mut rows: Vec<(&ConversationId, &HeldRow)> = rows.collect();
        rows.sort_unstable_by_key(|(_, row)| core::cmp::Reverse(row.user_seq));
        let more = rows.len() > rows_max;
        rows.truncate(rows_max);
        Page {
            partial: rows.iter().filter(|(_, row)| !row.whole).map(|&(&conversation, _)| conversation).collect(),
            rows: rows.into_iter().map(|(&conversation, row)| row.to_row(user, conversation)).collect(),
            more,
        }
    }

    /// What the store has of a row that memory has a part of, if it was asked in this stay: in another one memory may have
    /// had more of the row, and have forgotten it since.
    pub fn fill_in_stay(&mut self, stay: u64, conversation: ConversationId, stored: Option<&ListRow>) {
        if self.stay == stay {
            self.fill(conversation, stored);
        }
    }

    fn fill(&mut self, conversation: ConversationId, stored: Option<&ListRow>) {
        let Some(row) = self.rows.get_mut(&conversation).filter(|row| !row.whole) else { return };
        row.whole = true;
        if let Some(stored) = stored {
            row.last_seq = row.last_seq.max(stored.last_seq);
            row.read_seq = row.read_seq.max(stored.read_seq);
            (row.joined_seq, row.left_seq) =
                row::later_window((row.joined_seq, row.left_seq), (stored.joined_seq, stored.left_seq));
        }
    }

    /// Forgets the rows that the store has, which begins another stay; true when there were any.
    pub fn trim(&mut self, stay: u64) -> bool {
        self.stay = stay;
        let before = self.rows.len();
        let mut highest = 0;
        self.rows.retain(|_, row| {
            let stays = row.is_unstored() || row.changed;
            highest = if stays { highest } else { highest.max(row.user_seq) };
            stays
        });
        self.complete_above = self.complete_above.max(highest);
        self.rows.shrink_to_fit();
        self.changed.shrink_to_fit();
        self.unnumbered.shrink_to_fit();
        self.rows.len() < before
    }
}
