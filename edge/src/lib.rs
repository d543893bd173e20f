//! Who may come in, and what is told of a server: the keys that sign tokens, accounts, the socket on which their operator
//! asks for them, and the port for metrics and health.
//!
//! One plain thread accepts on the admin socket ([`admin::AdminSocket`]), one more serves each of its few connections; they
//! ask shards through [`Shards`] and may wait, which shards never do. The admin port ([`http::HttpPort`]) has one thread
//! too, and a few that ask.
#![forbid(unsafe_code)]

pub mod accounts;
pub mod admin;
pub mod archive;
pub mod ask;
pub mod http;
pub mod keys;
pub mod limits;
pub mod metrics;
mod pace;
pub mod people;
pub mod public;
pub mod sign_in;
#[cfg(test)]
mod test_shards;
pub mod transport;

pub use ask::{AskError, BoxedShards, Shards};
