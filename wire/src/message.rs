//! Envelopes: an eight-byte header {op u16, flags u16 = 0, request u32}, little-endian, and one FlatBuffers root table.
//!
//! `request` is the client's number for a request and comes back in its answer; 0 marks what the server pushes.
//! Hot path, step 3 of 8: [`decode_request`] verifies an envelope and gives a typed view of it, without a copy.

mod decode;
mod encode;
mod error_code;
#[allow(unsafe_code, missing_docs, clippy::all, clippy::undocumented_unsafe_blocks, unsafe_op_in_unsafe_fn)]
#[rustfmt::skip]
mod generated;
mod kind;
mod lists;
mod op;
mod pages;

pub use decode::{
    Answer, EnvelopeError, Request, decode_answer, decode_membership, decode_request, messages_of_page, peek_request,
};
pub use encode::{Ack, Encoded, Encoder, Message, Opened, Outgoing, Welcome};
pub use error_code::ErrorCode;
pub use generated::trunkline::schema;
pub use kind::{Change, ContentKind, ConversationKind, Role};
pub use lists::{Member, Receipt, Summary, UserReceipt};
pub use op::Op;
pub use pages::Page;
