//! Makes effects durable and answers reads: the embedded store, and one in memory with the same promises.
//!
//! A store has two sides. The [`Log`] has one owner, a thread that commits what all shards ask for in groups and so gates
//! their acks ([`driver::run_log`]). The [`Index`] is shared by the threads that read ([`driver::run_index`]). Shards never
//! wait for either: requests and answers go through a [`driver::Mailbox`].
#![forbid(unsafe_code)]

pub mod contract;
pub mod driver;
pub mod embedded;
pub mod limits;
pub mod memory;

mod plan;
#[cfg(test)]
mod read_counts;
mod reads;

pub use contract::{Fatal, Index, Log, Misuse, Write};
pub use embedded::{DamagedStore, EmbeddedIndex, EmbeddedLog, OpenError, Options};
pub use memory::MemoryStore;
