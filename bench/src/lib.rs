//! The load generator: one thread and one raw io_uring that open thousands of real sessions, send real messages, check
//! every byte that comes back, and say what it cost whom.
//!
//! [`fleet`] owns the connections and the turn, a [`fleet::Scenario`] decides what is said: [`direct`], [`group`], [`resume`],
//! [`account`] or [`idle`]. [`flight`], [`course`] and [`refusals`] are what those have in common. [`users`] asks a running server for tokens, [`host`] reads what the kernel says about processes, [`report`] writes it all.

pub mod account;
pub mod bodies;
pub mod catch_up;
pub mod clock;
pub mod course;
pub mod direct;
pub mod failure;
pub mod fleet;
pub mod flight;
pub mod group;
pub mod history;
pub mod host;
pub mod idle;
pub mod options;
pub mod outlet;
pub mod preparation;
pub mod prepared;
pub mod refusals;
pub mod report;
pub mod resume;
pub mod ring;
pub mod statistics;
pub mod users;
