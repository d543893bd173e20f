//! The engine: one thread, one ring and one core per shard, and what joins them to each other and to the world.
//!
//! [`reactor`] is the loop; it is generic over [`trunkline_shards::contract::Core`], so a test drives its own core with the
//! very loop that drives the product's. [`server::Server`] starts and stops one in a process, [`run::run`] is `serve`.
//!
//! ```text
//! sockets <-> ring <-> reactor <-> core          lane: shard <-> shard
//!                         |                      store: shard <-> log and readers
//!                         +-- lane, store, control   control: administrators -> shard
//! ```
#![deny(unsafe_code)]

pub mod clock;
pub mod config;
pub mod control;
pub mod guests;
pub mod lane;
pub mod life;
pub mod listener;
pub mod placement;
pub mod reactor;
pub mod returns;
pub mod ring;
pub mod run;
pub mod server;
pub mod store;
pub mod thread;
pub mod wake;

pub use config::settings::Settings;
pub use config::{Config, ConfigError, StoreKind};
pub use control::{Control, ControlError};
pub use guests::{Guest, GuestDoor};
pub use lane::LaneRoom;
pub use run::run;
pub use server::{Server, ShardSetup, StartError};
