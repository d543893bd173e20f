//! The protocol from outside: golden vectors, hostile input, differential tests; one binary.

#[path = "vectors_support/golden.rs"]
mod golden;
#[path = "vectors_support/meaning.rs"]
mod meaning;
#[path = "websocket_support/streams.rs"]
mod streams;

mod hostile_envelopes_never_panic;
mod mutated_tokens_are_refused;
mod pages_and_lists_fit_their_limits;
mod vectors_frames;
mod vectors_ids;
mod vectors_tokens;
mod websocket_differential;
mod websocket_handshake;
mod websocket_rfc6455_negatives;
mod websocket_segmentation;
