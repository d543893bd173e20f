//! What conversations are to do at some time.

use alloc::collections::BTreeSet;

use crate::store::ConversationKey;

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Due {
    /// An append whose answer is not known is written again.
    RepeatAppend,
    /// A mark is deleted again.
    RepeatUnmark,
    /// A mark that a full disk kept is deleted again, unless it is needed by then.
    SettleMark,
    /// Watermarks are stored and told.
    Receipts,
    /// The lists of a large conversation are told.
    AnnounceLarge,
}

/// Of a conversation each thing at most once, in order of time; times are monotonic nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Timetable {
    due: BTreeSet<(u64, ConversationKey, Due)>,
    repeats: usize,
}

impl Timetable {
    /// Something is to be done at a time.
    pub fn arm(&mut self, at_ns: u64, key: ConversationKey, due: Due) {
        self.repeats += usize::from(due.is_repeat());
        let is_new = self.due.insert((at_ns, key, due));
        assert!(is_new, "a conversation has each thing to do once");
    }

    /// The first thing whose time has come.
    pub fn take_due(&mut self, now_ns: u64) -> Option<(ConversationKey, Due)> {
        let &(at_ns, key, due) = self.due.first()?;
        if at_ns > now_ns {
            return None;
        }
        self.due.pop_first();
        self.repeats -= usize::from(due.is_repeat());
        Some((key, due))
    }

    /// When there is something to do.
    pub fn next_deadline(&self) -> Option<u64> {
        self.due.first().map(|&(at_ns, ..)| at_ns)
    }

    /// Whether a write waits to be done again.
    pub fn has_repeats(&self) -> bool {
        self.repeats > 0
    }
}

impl Due {
    fn is_repeat(self) -> bool {
        matches!(self, Due::RepeatAppend | Due::RepeatUnmark)
    }
}
