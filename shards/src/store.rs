//! What a core asks of a store, and what it gets back.
//!
//! Promises of every store: an append that answered `Ok` survives a kill, an operating system crash and a power cut. Appends
//! of one conversation are asked for one at a time. All rows of one append become durable together, or a prefix of them
//! does; its mark is durable before or with them. Running the same append again is a no-op. Readers see what was durable
//! when they were asked. A claim is atomic. Writes of different tickets become durable in any order, and a write that
//! names several users or conversations may be half done when its answer is not `Ok`: a core that needs an order waits.

mod account;
mod contact;
mod device;
mod list;
mod meta;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use trunkline_wire::ids::{ConversationId, DeviceId, Lsn, MessageId, TenantId, UserId};

pub use account::{ACCOUNT_BYTES_MAX, UserRow};
pub use contact::{
    ASKED_MAX, Block, CONTACTS_MAX, ContactCounts, ContactEntry, ContactRow, ContactState, ConversationEntry,
};
pub use device::{DeviceHigh, DeviceReceipt, Revocation};
pub use list::{About, ListChange, ListRow};
pub use meta::ConversationMeta;

/// A conversation of a tenant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConversationKey {
    /// The tenant.
    pub tenant: TenantId,
    /// The conversation.
    pub conversation: ConversationId,
}

/// A user of a tenant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct UserKey {
    /// The tenant.
    pub tenant: TenantId,
    /// The user.
    pub user: UserId,
}

/// One message as it is stored. It carries its own dedup mark: (sender, device, client_seq, message id).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Its number in the conversation, dense from 1.
    pub seq: u64,
    /// The ordering incarnation that gave the number; never decreasing along seq.
    pub epoch: u64,
    /// Where the store put it; the store's to fill in.
    pub lsn: Lsn,
    /// Server time, milliseconds since 1970, never decreasing along seq.
    pub ts_ms: u64,
    /// Who sent it.
    pub sender: UserId,
    /// With which device.
    pub device: DeviceId,
    /// The device's number for it, dense from 1 per (device, conversation).
    pub client_seq: u64,
    /// The client's name for it.
    pub message_id: MessageId,
    /// What the body is.
    pub kind: u8,
    /// Reserved bits of the content.
    pub flags: u16,
    /// Original time of an imported message, else 0.
    pub sent_at_ms: u64,
    /// The seq this one speaks of, else 0.
    pub ref_seq: u64,
    /// Epoch of an encrypted conversation's group, else 0.
    pub mls_epoch: u64,
    /// The content, shared with whoever still delivers it.
    pub body: Arc<[u8]>,
}

/// Rows with consecutive seqs for one conversation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Append {
    /// The conversation.
    pub key: ConversationKey,
    /// Given with the first rows of a new conversation. Whoever sees a row sees the meta.
    pub meta: Option<ConversationMeta>,
    /// Announced up to this seq: the mark that says so is durable before or with the rows, and stays until [`Put::Unmark`].
    /// None: there is a mark already.
    pub mark: Option<u64>,
    /// At least one.
    pub rows: Vec<Row>,
}

/// A user's place among the members of a conversation. The user sees the messages of `joined_seq..=left_seq`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// A [`trunkline_wire::message::Role`] by number.
    pub role: u8,
    /// The seq that made it a member.
    pub joined_seq: u64,
    /// The seq that ended that; [`u64::MAX`]: none has.
    pub left_seq: u64,
}

/// A write to the index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Put {
    /// Writes an account's row.
    User {
        /// Whose.
        key: UserKey,
        /// The row.
        row: UserRow,
    },
    /// Gives a handle to a user, if nobody has it.
    ClaimHandle {
        /// The tenant.
        tenant: TenantId,
        /// The handle as it is unique.
        folded: String,
        /// Who wants it.
        user: UserId,
    },
    /// What a user is to another, from its side.
    Contact {
        /// Whose side.
        key: UserKey,
        /// The other one.
        peer: UserId,
        /// None: nothing any more.
        row: Option<ContactRow>,
    },
    /// Remembers who is and was a member and how far every device is, as of a durable seq; outlives retention of the rows.
    Checkpoint {
        /// The conversation.
        key: ConversationKey,
        /// The rows up to here are counted in.
        as_of_seq: u64,
        /// All devices that ever sent here.
        devices: Vec<DeviceHigh>,
        /// All members of a group, and those who were; in order of user.
        members: Vec<Member>,
    },
    /// Everything that was appended is announced: the mark goes.
    Unmark {
        /// The conversation.
        key: ConversationKey,
    },
    /// Raises watermarks.
    Receipts {
        /// The conversation.
        key: ConversationKey,
        /// Those that rose.
        receipts: Vec<DeviceReceipt>,
    },
    /// Changes users' lists.
    List {
        /// At least one; of a user and a conversation at most one.
        changes: Vec<ListChange>,
    },
    /// No number up to this one is given again in a user's list. Never goes down.
    Ceiling {
        /// Whose list.
        key: UserKey,
        /// The number.
        ceiling: u64,
    },
    /// A device has stored everything up to a position. The last one counts.
    Position {
        /// Whose.
        key: UserKey,
        /// The user's device.
        device: DeviceId,
        /// The position.
        position: u64,
    },
    /// Remembers a revocation, and forgets some of those that have had their time.
    Revoke {
        /// What to remember.
        revocation: Revocation,
        /// The time now, in seconds since 1970.
        now_s: u64,
    },
}

/// A read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Load {
    /// Everything the home of a conversation needs to go on.
    Conversation {
        /// Which.
        key: ConversationKey,
    },
    /// Rows from `from_seq` on (itself included), upwards or downwards, at most `rows_max` and `cost_bytes_max`
    /// ([`trunkline_wire::limits::message_cost_bytes`]) but at least one if there is one. Answered in ascending order.
    History {
        /// Which conversation.
        key: ConversationKey,
        /// Where to begin.
        from_seq: u64,
        /// Downwards.
        backward: bool,
        /// Most rows.
        rows_max: u32,
        /// Most bytes.
        cost_bytes_max: u32,
    },
    /// The row of a (user, device, client_seq) among those with seq in `from_seq..=to_seq`.
    FindSend {
        /// Which conversation.
        key: ConversationKey,
        /// The sender.
        user: UserId,
        /// The sender's device.
        device: DeviceId,
        /// The device's number.
        client_seq: u64,
        /// Lowest seq to look at.
        from_seq: u64,
        /// Highest seq to look at.
        to_seq: u64,
    },
    /// An account.
    User {
        /// Whose.
        key: UserKey,
    },
    /// Who has a handle.
    Handle {
        /// The tenant.
        tenant: TenantId,
        /// The handle as it is unique.
        folded: String,
    },
    /// What a user is to another, from its side, and how many it has something to do with.
    Contact {
        /// Whose side.
        key: UserKey,
        /// The other one.
        peer: UserId,
    },
    /// Those whom a user has something to do with, in order of user.
    Contacts {
        /// Whose.
        key: UserKey,
        /// Begin behind this one.
        after: UserId,
        /// Most of them.
        rows_max: u32,
    },
    /// What of a 1:1 that is not stored is blocked.
    Blocks {
        /// The tenant.
        tenant: TenantId,
        /// Its peers.
        peers: [UserId; 2],
    },
    /// Handles, as they are unique, that begin so, and whose they are; in order of their bytes.
    Handles {
        /// The tenant.
        tenant: TenantId,
        /// How they begin.
        prefix: String,
        /// Begin behind this one.
        after: String,
        /// Most of them.
        rows_max: u32,
    },
    /// All conversations, in order of id.
    Conversations {
        /// The tenant.
        tenant: TenantId,
        /// Begin behind this one.
        after: Option<ConversationId>,
        /// Most of them.
        rows_max: u32,
    },
    /// Which of these are no users.
    MissingUsers {
        /// The tenant.
        tenant: TenantId,
        /// Who may be missing.
        users: Vec<UserId>,
    },
    /// The number up to which numbers of a user's list may have been given.
    Ceiling {
        /// Whose.
        key: UserKey,
    },
    /// The position that a device has stored.
    Position {
        /// Whose.
        key: UserKey,
        /// The user's device.
        device: DeviceId,
    },
    /// A user's list: rows with `above < user_seq < below`, the highest first.
    List {
        /// Whose.
        key: UserKey,
        /// Those above this number.
        above: u64,
        /// Those below this number.
        below: u64,
        /// Most of them.
        rows_max: u32,
    },
    /// The list's row of one conversation.
    ListRow {
        /// Whose.
        key: UserKey,
        /// Which.
        conversation: ConversationId,
    },
    /// Conversations of these hash slots that have a mark, in order of (slot, key), from behind `after`.
    Marks {
        /// First slot.
        from_slot: u16,
        /// Last slot.
        to_slot: u16,
        /// Begin behind this one.
        after: Option<ConversationKey>,
        /// Most of them.
        marks_max: u32,
    },
    /// Revocations in order of their ends, from behind `after`.
    Revocations {
        /// Begin behind this one.
        after: Option<Revocation>,
        /// Most of them.
        revocations_max: u32,
    },
}

/// A conversation as its home takes it up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConversationImage {
    /// What it is.
    pub meta: ConversationMeta,
    /// Its highest seq; 0: none.
    pub last_seq: u64,
    /// How far each device is, rows above the checkpoint counted in; in order of (user, device).
    pub devices: Vec<DeviceHigh>,
    /// What the newest checkpoint covers.
    pub checkpoint_seq: u64,
    /// Of a group: who is and was a member, as of `last_seq`; in order of user.
    pub members: Vec<Member>,
    /// In order of (user, device).
    pub receipts: Vec<DeviceReceipt>,
    /// Of a 1:1: who has had the other one blocked, and has or has not now.
    pub blocks: Vec<Block>,
    /// There is a mark: announced up to this seq.
    pub mark: Option<u64>,
    /// The newest rows in ascending order, at most [`RECENT_ROWS_MAX`] and [`RECENT_COST_BYTES_MAX`], at least one if any.
    pub recent: Vec<Row>,
}

/// Most rows of [`ConversationImage::recent`], and of a conversation's memory of them.
pub const RECENT_ROWS_MAX: usize = 256;
/// Most bytes of the same, by [`trunkline_wire::limits::message_cost_bytes`].
pub const RECENT_COST_BYTES_MAX: usize = 64 * 1024;

/// Why the store did not do it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreFault {
    /// The disk is full: nothing was written, for certain.
    Full,
    /// Not done, or not known whether done.
    Unknown,
}

/// What a read found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Loaded {
    /// [`Load::Conversation`]; none: there is no such conversation.
    Conversation(Option<Box<ConversationImage>>),
    /// [`Load::History`].
    History(Vec<Row>),
    /// [`Load::FindSend`].
    FoundSend(Option<Box<Row>>),
    /// [`Load::User`].
    User(Option<Box<UserRow>>),
    /// [`Load::Handle`].
    Handle(Option<UserId>),
    /// [`Load::Contact`].
    Contact(Option<ContactRow>, ContactCounts),
    /// [`Load::Contacts`], and whether there are more behind them.
    Contacts(Vec<ContactEntry>, bool),
    /// [`Load::Blocks`].
    Blocks(Vec<Block>),
    /// [`Load::Handles`], and whether there are more behind them.
    Handles(Vec<(String, UserId)>, bool),
    /// [`Load::Conversations`], and whether there are more behind them.
    Conversations(Vec<ConversationEntry>, bool),
    /// [`Load::MissingUsers`].
    MissingUsers(Vec<UserId>),
    /// [`Load::Ceiling`]; 0: none was ever given.
    Ceiling(u64),
    /// [`Load::Position`].
    Position(Option<u64>),
    /// [`Load::List`], and whether there are more behind them.
    List(Vec<ListRow>, bool),
    /// [`Load::ListRow`].
    ListRow(Option<Box<ListRow>>),
    /// [`Load::Marks`], and whether there are more behind them.
    Marks(Vec<ConversationKey>, bool),
    /// [`Load::Revocations`], and whether there are more behind them.
    Revocations(Vec<Revocation>, bool),
}

/// What became of a write to the index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PutOutcome {
    /// Durable.
    Done,
    /// The handle belongs to this user (the one who asked, if it was given).
    Owner(UserId),
}

/// A store's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreResult {
    /// To an append: durable, with the LSN of its first row.
    Appended(Result<Lsn, StoreFault>),
    /// To a write of the index.
    Put(Result<PutOutcome, StoreFault>),
    /// To a read.
    Loaded(Result<Loaded, StoreFault>),
}
