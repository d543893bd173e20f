//! What a client process leaves behind for the next one: its outbox, and what its program stored.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use trunkline_client::core::{ClientEvent, State};
use trunkline_client::outbox::{MemoryOutbox, Outbox, Record};
use trunkline_wire::ids::{ConversationId, MessageId};

use crate::oracle::streams::Shown;
use crate::oracle::watermarks::Mark;

/// An outbox that outlives the process which uses it.
#[derive(Clone, Default)]
pub struct KeptOutbox(Rc<RefCell<MemoryOutbox>>);

impl Outbox for KeptOutbox {
    fn load(&mut self) -> io::Result<Vec<Record>> {
        self.0.borrow_mut().load()
    }

    fn put(&mut self, records: &[Record]) -> io::Result<()> {
        self.0.borrow_mut().put(records)
    }

    fn remove(&mut self, message_ids: &[MessageId]) -> io::Result<()> {
        self.0.borrow_mut().remove(message_ids)
    }
}

impl KeptOutbox {
    /// Messages without an answer.
    pub fn message_ids(&self) -> Vec<MessageId> {
        self.0.borrow().records().iter().map(|record| record.message_id).collect()
    }
}

/// How a client process begins again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Habit {
    /// With the first message of everything.
    StartsAnew,
    /// With what it stored: messages, list and position in one write.
    Keeps,
    /// It stores nothing, and confirms to the server what its program has done.
    Listens,
}

/// Which copy of what it stored a process finds at its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recall {
    Newest,
    /// A backup of the device was put back.
    Older,
    Nothing,
}

/// A program's data, at one moment.
#[derive(Clone, Default)]
struct Copy {
    state: State,
    shown: Shown,
}

/// Copies that are kept for [`Recall::Older`].
const COPIES_MAX: usize = 6;

/// What a program has, and what of that it stored.
#[derive(Default)]
pub struct Kept {
    now: Copy,
    stored: Vec<Copy>,
    /// What this process has marked as delivered and read.
    pub marked: BTreeMap<ConversationId, Mark>,
}

impl Kept {
    /// What the program was handed.
    pub fn shown(&self) -> &Shown {
        &self.now.shown
    }

    /// The same, to be changed.
    pub fn shown_mut(&mut self) -> &mut Shown {
        &mut self.now.shown
    }

    /// What the SDK would go on from.
    pub fn state(&self) -> &State {
        &self.now.state
    }

    /// The program has done with an event.
    pub fn take_in(&mut self, event: &ClientEvent) {
        self.now.state.apply(event);
    }

    /// Everything so far is stored, in one write.
    pub fn store(&mut self) {
        if self.stored.len() == COPIES_MAX {
            self.stored.remove(0);
        }
        self.stored.push(self.now.clone());
    }

    /// The program says how far it is.
    pub fn mark(&mut self, conversation: ConversationId, mark: Mark) {
        let marked = self.marked.entry(conversation).or_default();
        *marked = marked.max(mark.normal());
    }

    /// The process is started again.
    pub fn restart(&mut self, habit: Habit, recall: Recall) {
        let copy = match (habit, recall) {
            (Habit::Keeps, Recall::Newest) => self.stored.last().cloned(),
            (Habit::Keeps, Recall::Older) => self.stored.first().cloned(),
            _ => None,
        };
        if recall == Recall::Nothing {
            self.stored.clear();
        }
        self.now = copy.unwrap_or_default();
        self.marked.clear();
        let bytes = self.now.state.encode();
        assert_eq!(State::decode(&bytes).as_ref(), Some(&self.now.state), "a stored state comes back as it was");
    }

    /// Whether something is stored.
    pub fn has_stored(&self) -> bool {
        !self.stored.is_empty()
    }
}
