//! A row of a user's list as memory has it, perhaps only in part: what changed since the list was taken up.

use alloc::sync::Arc;

use trunkline_wire::ids::{ConversationId, UserId};

use super::list::RowChange;
use crate::store::{About, ConversationMeta, ListChange, ListRow, UserKey};

/// A row, 72 bytes.
#[derive(Clone, Debug)]
pub(crate) struct HeldRow {
    /// Number of its latest change; 0: it has none yet.
    pub user_seq: u64,
    pub last_seq: u64,
    pub read_seq: u64,
    /// 0: memory does not know the window.
    pub joined_seq: u64,
    pub left_seq: u64,
    meta: Arc<ConversationMeta>,
    /// The store knows nothing that is not in here.
    pub whole: bool,
    /// It changed since its last write began.
    pub dirty: bool,
    /// It is being written.
    pub in_flight: bool,
    /// Its last write failed, and is tried again apart from what is due.
    pub failed: bool,
    /// It changed since the last tick.
    pub changed: bool,
    /// A change of it waits for a number.
    pub unnumbered: bool,
    /// The home of its conversation waits until it is stored.
    pub owes: bool,
}

/// The window of two that joined later or, of the same join, has left.
pub(crate) fn later_window(one: (u64, u64), other: (u64, u64)) -> (u64, u64) {
    match one.0.cmp(&other.0) {
        core::cmp::Ordering::Less => other,
        core::cmp::Ordering::Equal => (one.0, one.1.min(other.1)),
        core::cmp::Ordering::Greater => one,
    }
}

impl HeldRow {
    pub fn new(meta: Arc<ConversationMeta>, whole: bool) -> HeldRow {
        HeldRow {
            user_seq: 0,
            last_seq: 0,
            read_seq: 0,
            joined_seq: 0,
            left_seq: u64::MAX,
            meta,
            whole,
            dirty: false,
            in_flight: false,
            failed: false,
            changed: false,
            unnumbered: false,
            owes: false,
        }
    }

    /// Whether the store does not have it as it is.
    pub fn is_unstored(&self) -> bool {
        self.dirty || self.in_flight || self.unnumbered
    }

    /// Takes what is new of a change; whether anything is.
    pub fn raise(&mut self, change: &RowChange<'_>) -> bool {
        let before = (self.last_seq, self.read_seq, self.joined_seq, self.left_seq);
        if let Some(window) = change.window {
            (self.joined_seq, self.left_seq) = later_window((self.joined_seq, self.left_seq), window);
        }
        self.last_seq = self.last_seq.max(change.last_seq.min(self.left_seq));
        self.read_seq = self.read_seq.max(change.read_seq);
        let renamed = !Arc::ptr_eq(&self.meta, change.meta) && self.meta.title != change.meta.title;
        if renamed {
            self.meta = change.meta.clone();
        }
        renamed || before != (self.last_seq, self.read_seq, self.joined_seq, self.left_seq)
    }

    fn about(&self, user: UserId) -> About {
        About { kind: self.meta.kind, peer: self.meta.peer_of(user), title: self.meta.title.clone() }
    }

    /// As it is written: everything that is known, since the store takes what is higher.
    pub fn to_change(&self, key: UserKey, conversation: ConversationId) -> ListChange {
        ListChange {
            key,
            conversation,
            user_seq: self.user_seq,
            last_seq: self.last_seq,
            read_seq: self.read_seq,
            window: (self.joined_seq > 0).then_some((self.joined_seq, self.left_seq)),
            about: self.about(key.user),
        }
    }

    /// As it is shown; a window that nobody has spoken of begins with the conversation.
    pub fn to_row(&self, user: UserId, conversation: ConversationId) -> ListRow {
        ListRow {
            conversation,
            user_seq: self.user_seq,
            last_seq: self.last_seq,
            read_seq: self.read_seq,
            joined_seq: self.joined_seq.max(1),
            left_seq: self.left_seq,
            about: self.about(user),
        }
    }
}
