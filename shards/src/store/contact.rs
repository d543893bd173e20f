//! What users are to each other: one row for each side, kept with the user whose side it is.

use alloc::string::String;

use trunkline_wire::ids::{ConversationId, UserId};

use super::ConversationMeta;

/// Most others that a user has asked, has accepted or blocks.
pub const CONTACTS_MAX: u32 = 2_000;
/// Most others whose request waits for a user.
pub const ASKED_MAX: u32 = 500;

/// How far two users are, as one of them sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum ContactState {
    /// They are nothing to each other.
    #[default]
    None = 0,
    /// This user has asked the other one.
    Requested = 1,
    /// The other one has asked this user.
    Asked = 2,
    /// One has asked and the other one has accepted.
    Accepted = 3,
}

impl ContactState {
    /// The state of a number.
    pub fn from_number(number: u8) -> Option<ContactState> {
        use ContactState::{Accepted, Asked, None as Nothing, Requested};
        [Nothing, Requested, Asked, Accepted].into_iter().find(|&state| state as u8 == number)
    }
}

/// What a user is to another, from its side.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ContactRow {
    /// How far they are.
    pub state: ContactState,
    /// This user does not want to hear from the other one.
    pub blocked: bool,
    /// When it was changed, in milliseconds since 1970; of two changes of a row the later one has the higher number.
    pub changed_ms: u64,
}

impl ContactRow {
    /// Whether it says anything.
    pub fn is_empty(&self) -> bool {
        self.state == ContactState::None && !self.blocked
    }
}

/// One of those whom a user has something to do with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContactEntry {
    /// Who.
    pub peer: UserId,
    /// Its handle as shown; empty where its account cannot be read.
    pub handle: String,
    /// What it is to the user.
    pub row: ContactRow,
}

/// How many a user has something to do with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ContactCounts {
    /// Those whose request waits.
    pub asked: u32,
    /// All others.
    pub others: u32,
}

impl ContactCounts {
    /// Counts one more.
    pub fn add(&mut self, row: &ContactRow) {
        match row.state {
            ContactState::Asked => self.asked += 1,
            _ => self.others += 1,
        }
    }
}

/// Whether one peer of a 1:1 blocks the other one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// Who does, or does not.
    pub blocker: UserId,
    /// Whether it does.
    pub blocked: bool,
    /// [`ContactRow::changed_ms`] of the row that says so.
    pub changed_ms: u64,
}

/// A conversation as its operator sees it in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConversationEntry {
    /// Which.
    pub conversation: ConversationId,
    /// What it is.
    pub meta: ConversationMeta,
    /// Its highest seq.
    pub last_seq: u64,
}
