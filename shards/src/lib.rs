//! What one core owns: connections, sessions, users, conversations, and every decision about them.
//!
//! [`Shard`] is a pure state machine behind the trait [`Core`]: events in, effects out, with the time as an argument and
//! randomness from a seed. The same seed and the same events give the same effects, byte for byte. Drivers (the engine's
//! loop, the simulator) own sockets, clocks, lanes and disks.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod accounts;
pub mod archive;
mod bucket;
mod cache;
mod command;
pub mod connection;
pub mod contacts;
pub mod contract;
mod conversation;
mod conversations;
pub mod counters;
mod desk;
pub mod directory;
pub mod entry;
mod fanout;
mod front;
pub mod histogram;
pub mod limits;
pub mod members;
mod requests;
mod router;
mod shard;
mod slab;
pub mod store;
mod timer;
mod turn;
mod users;

pub use contract::{Core, Effect, Effects, Event, Now, ShardId};
pub use front::{Doorstep, PATH};
pub use router::LaneRoom;
pub use shard::{Shard, ShardConfig};
