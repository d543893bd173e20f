//! The outbox of a command: the session's while it runs, and looked into from beside it.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trunkline_client::core::{ConversationId, MessageId};
use trunkline_client::outbox::{FileOutbox, Outbox, Record};

use crate::failure::Failure;

/// A file of messages without an answer; clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct SharedOutbox(Arc<Mutex<FileOutbox>>, Arc<AtomicU64>);

/// How far a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// It has its answer.
    Answered,
    /// It was sent, or was about to be; there is no answer.
    Sent,
    /// It never left this machine.
    Kept,
}

impl SharedOutbox {
    /// Takes a free outbox of an identity.
    pub fn open(folder: &Path) -> Result<SharedOutbox, Failure> {
        let opened = FileOutbox::open(folder).or_else(|error| match error.kind() {
            io::ErrorKind::InvalidData => {
                Failure::new("outbox_damaged", error.to_string()).warn();
                FileOutbox::open(folder)
            }
            _ => Err(error),
        });
        let failed = |error| {
            let text = format!("cannot open the outbox in {}: {error}; XDG_STATE_HOME moves it", folder.display());
            Failure::new("outbox_failed", text)
        };
        opened.map(|outbox| SharedOutbox(Arc::new(Mutex::new(outbox)), Arc::default())).map_err(failed)
    }

    /// Whether everything has its answer.
    pub fn is_empty(&self) -> bool {
        self.lock().records().is_empty()
    }

    /// How many messages have no answer.
    pub fn len(&self) -> usize {
        self.lock().records().len()
    }

    /// How far a message is that was put here.
    pub fn stage(&self, message_id: MessageId) -> Stage {
        match self.lock().records().iter().find(|record| record.message_id == message_id) {
            None => Stage::Answered,
            Some(Record { client_seq: 0, .. }) => Stage::Kept,
            Some(_) => Stage::Sent,
        }
    }

    /// All that has no answer, where it is to be said, in order.
    pub fn texts(&self) -> Vec<(ConversationId, MessageId, String)> {
        let text = |record: &Record| String::from_utf8_lossy(&record.body).into_owned();
        self.lock().records().iter().map(|record| (record.conversation, record.message_id, text(record))).collect()
    }

    /// Another one whenever something came in.
    pub fn version(&self) -> u64 {
        self.1.load(Ordering::Relaxed)
    }

    fn note(&self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets a message that never left this machine. The session has ended.
    pub fn withdraw(&self, message_id: MessageId) -> io::Result<()> {
        self.lock().remove(&[message_id])
    }

    fn lock(&self) -> MutexGuard<'_, FileOutbox> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbox for SharedOutbox {
    fn load(&mut self) -> io::Result<Vec<Record>> {
        self.lock().load()
    }

    fn put(&mut self, records: &[Record]) -> io::Result<()> {
        let put = self.lock().put(records);
        self.note();
        put
    }

    fn remove(&mut self, message_ids: &[MessageId]) -> io::Result<()> {
        self.lock().remove(message_ids)
    }

    fn adopt(&mut self) -> io::Result<Vec<Record>> {
        let adopted = self.lock().adopt();
        self.note();
        adopted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_wire::ids::UserId;

    fn record(message_id: u64, client_seq: u64) -> Record {
        Record {
            message_id: MessageId(message_id),
            conversation: ConversationId([1; 16]),
            peer: UserId(0),
            client_seq,
            floor_epoch: 0,
            floor_seq: 0,
            kind: 1,
            body: b"x".to_vec(),
        }
    }

    #[test]
    fn a_message_is_withdrawn_only_where_it_never_left() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = SharedOutbox::open(folder.path()).unwrap();
        outbox.clone().put(&[record(1, 0), record(2, 4)]).unwrap();
        let stages = [1, 2, 3].map(|id| outbox.stage(MessageId(id)));
        assert_eq!(stages, [Stage::Kept, Stage::Sent, Stage::Answered]);
        outbox.withdraw(MessageId(1)).unwrap();
        drop(outbox);
        let outbox = SharedOutbox::open(folder.path()).unwrap();
        assert_eq!((outbox.len(), outbox.stage(MessageId(2))), (1, Stage::Sent));
    }
}
