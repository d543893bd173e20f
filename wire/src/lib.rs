//! Bytes to typed views and back, and nothing else: RFC 6455 frames in both directions, Trunkline's envelopes, ids and
//! the hash slots they fall into, tokens, handles, and the limits all of them keep.
//!
//! Pure: `no_std` with `alloc`, no clock, no sockets, no threads. Whatever comes from a peer is checked and answered
//! with a [`violation::Violation`] or a typed error, never with a panic.
#![no_std]

extern crate alloc;

pub mod handle;
pub mod ids;
pub mod limits;
pub mod message;
pub mod token;
pub mod violation;
pub mod websocket;
