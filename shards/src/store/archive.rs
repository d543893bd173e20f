//! What imports, exports and look-ups by time ask of a store, and whose number a row has.

use alloc::string::String;
use alloc::vec::Vec;

use trunkline_wire::ids::{DeviceId, TenantId, UserId};

use super::{ConversationKey, ConversationMeta, Row};

/// Who imports: no user has this id. All rows of all imports are numbered by its one device.
pub const IMPORTER: (UserId, DeviceId) = (UserId(0), DeviceId(1));

impl Row {
    /// Whether it was said elsewhere, and imported.
    pub fn is_imported(&self) -> bool {
        self.sent_at_ms != 0
    }

    /// Whose number `client_seq` is: the sender's, or of an imported row the importer's.
    pub fn numbered_by(&self) -> (UserId, DeviceId) {
        if self.is_imported() { IMPORTER } else { (self.sender, self.device) }
    }
}

/// A read of conversations at large.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ArchiveLoad {
    /// As a read of history, from the first row at or after a time, or downwards from the last one before it. Found by
    /// halving, since times never decrease along seq. Answered as a read of history is.
    HistoryAt {
        /// Which conversation.
        key: ConversationKey,
        /// Milliseconds since 1970.
        at_ms: u64,
        /// First and last seq to look at; all of them are there.
        within: (u64, u64),
        /// Downwards.
        backward: bool,
        /// Most rows.
        rows_max: u32,
        /// Most bytes.
        cost_bytes_max: u32,
    },
    /// What users are called; those that are none are left out.
    Names {
        /// The tenant.
        tenant: TenantId,
        /// Which.
        users: Vec<UserId>,
    },
    /// Which conversations there are, in order of key, from behind `after`.
    Conversations {
        /// Begin behind this one.
        after: Option<ConversationKey>,
        /// Most of them.
        conversations_max: u32,
    },
}

/// What a user is called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SenderName {
    /// Who.
    pub user: UserId,
    /// The handle, or what an imported sender was called.
    pub name: String,
    /// It came with an import: the name is nobody's handle, and it has no device.
    pub is_imported: bool,
}

/// What such a read found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ArchiveLoaded {
    /// [`ArchiveLoad::Names`].
    Names(Vec<SenderName>),
    /// [`ArchiveLoad::Conversations`], and whether there are more behind them.
    Conversations(Vec<(ConversationKey, ConversationMeta)>, bool),
}
