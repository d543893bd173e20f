//! The load generator: one thread and one raw io_uring that open thousands of real sessions, send real messages, check
//! every byte that comes back, and say what it cost whom.
//!
//! [`fleet`] owns the connections and the turn, a [`fleet::Scenario`] decides what is said: [`direct`] or [`idle`].
//! [`users`] asks a running server for tokens, [`host`] reads what the kernel says about processes, [`report`] writes it all.

pub mod clock;
pub mod direct;
pub mod failure;
pub mod fleet;
pub mod history;
pub mod host;
pub mod idle;
pub mod options;
pub mod outlet;
pub mod report;
pub mod ring;
pub mod statistics;
pub mod users;
