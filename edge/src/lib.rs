//! Who may come in: the keys that sign tokens, accounts, and the socket on which their operator asks for them.
//!
//! One plain thread accepts on the admin socket ([`admin::AdminSocket`]), one more serves each of its few connections; they
//! ask shards through [`Shards`] and may wait, which shards never do.
#![forbid(unsafe_code)]

pub mod accounts;
pub mod admin;
pub mod ask;
pub mod keys;
pub mod limits;
pub mod sign_in;
#[cfg(test)]
mod test_shards;

pub use ask::{AskError, Shards};
