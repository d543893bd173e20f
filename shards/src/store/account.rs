//! The row of an account.

use alloc::string::String;
use alloc::vec::Vec;

/// An account.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UserRow {
    /// The handle as shown; of a user without devices, what it was called where its messages were imported from.
    pub handle: String,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// Devices given out so far; 0: the user came with an import.
    pub devices: u32,
    /// Counts the changes of `account` and `devices`, from 0.
    pub version: u64,
    /// What the edge knows of the user, in a form of its own; at most [`ACCOUNT_BYTES_MAX`].
    pub account: Vec<u8>,
}

/// Most bytes of [`UserRow::account`].
pub const ACCOUNT_BYTES_MAX: usize = 64 * 1024;
