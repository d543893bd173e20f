//! Owns RFC 6455: the opening handshake, frames, messages and the close, for both roles and without I/O.
//!
//! A server feeds received bytes to a [`ServerHandshake`] until it is done, then to an [`Assembler`]; it sends what
//! [`accept_response`], [`encode_binary_server`] and [`encode_close`] wrote. A client starts with a
//! [`ClientHandshake`] and masks what it sends. Extensions are neither offered nor accepted (RFC 6455 section 9).

mod assembler;
mod client_handshake;
mod close;
mod frame;
mod handshake;
mod head;
mod limits;
mod mask;
mod origin;

pub use assembler::{Assembler, Incoming};
pub use client_handshake::{ClientHandshake, ClientRequest, Response};
pub use close::{CLOSE_REASON_BYTES_MAX, CloseCode, encode_close};
pub use frame::{
    CONTROL_BYTES_MAX, FrameHeader, HEADER_BYTES_MAX, HeaderBytes, Opcode, encode_binary_server, encode_frame,
    encode_header,
};
pub use handshake::{HandshakeKey, HandshakeProgress, Request, ServerHandshake, accept_response, refuse_response};
pub use limits::{FrameLimits, HandshakeLimits};
pub use mask::apply_mask;
pub use origin::Origins;

/// Which end of the connection this process is (RFC 6455 section 5.1): a server expects masked frames, a client
/// unmasked ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// This end accepted the connection.
    Server,
    /// This end opened the connection.
    Client,
}
