//! Owns what was given to `send` and has no answer yet, across crashes of the process.

mod file;
mod record;

use std::io;

use trunkline_wire::ids::{ConversationId, MessageId, UserId};

pub use file::{FileOutbox, identity_folder};

/// A message without an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Its name, of the client's making.
    pub message_id: MessageId,
    /// Where it is to be said.
    pub conversation: ConversationId,
    /// The other user of a 1:1: a conversation without messages can only be opened by its peer. 0: not known.
    pub peer: UserId,
    /// The number it was, or is about to be, sent with. 0: never sent.
    pub client_seq: u64,
    /// Epoch of `floor_seq`.
    pub floor_epoch: u64,
    /// When it got its number, the conversation had messages up to this seq: it is none of those. 0: not known.
    pub floor_seq: u64,
    /// Number of a content kind.
    pub kind: u8,
    /// What its kind says.
    pub body: Vec<u8>,
}

/// Keeps records. Each call is durable, whole or not at all, when it returns.
///
/// An outbox has one owner: two clients on one would give one number to two messages.
pub trait Outbox {
    /// What is left from before, in the order in which the messages were first put.
    fn load(&mut self) -> io::Result<Vec<Record>>;

    /// Adds records, or replaces those with the same message id in their place.
    fn put(&mut self, records: &[Record]) -> io::Result<()>;

    /// Forgets messages that have their answer.
    fn remove(&mut self, message_ids: &[MessageId]) -> io::Result<()>;

    /// Called while the outbox is empty: takes over what owners that are gone left behind, if there is such a thing.
    fn adopt(&mut self) -> io::Result<Vec<Record>> {
        Ok(Vec::new())
    }
}

/// An outbox that lasts as long as the process: for tests, load generators, and programs that send nothing.
///
/// A clone shares nothing with its original.
#[derive(Clone, Default, Debug)]
pub struct MemoryOutbox {
    records: Vec<Record>,
}

impl MemoryOutbox {
    /// Holds these records from the start.
    pub fn with_records(records: Vec<Record>) -> MemoryOutbox {
        MemoryOutbox { records }
    }

    /// What it holds.
    pub fn records(&self) -> &[Record] {
        &self.records
    }
}

impl Outbox for MemoryOutbox {
    fn load(&mut self) -> io::Result<Vec<Record>> {
        Ok(self.records.clone())
    }

    fn put(&mut self, records: &[Record]) -> io::Result<()> {
        for record in records {
            match self.records.iter_mut().find(|old| old.message_id == record.message_id) {
                Some(old) => old.clone_from(record),
                None => self.records.push(record.clone()),
            }
        }
        Ok(())
    }

    fn remove(&mut self, message_ids: &[MessageId]) -> io::Result<()> {
        self.records.retain(|record| !message_ids.contains(&record.message_id));
        Ok(())
    }
}
