//! Owns the bounds of the WebSocket layer: values given with each call, constants only as their defaults.

use super::frame::CONTROL_BYTES_MAX;
use crate::limits::FRAME_BYTES_MAX;

/// Bounds on what a peer may send in frames (RFC 6455 section 10.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// Payload bytes that one data frame may declare.
    pub frame_bytes_max: u32,
    /// Payload bytes of one message over all its fragments.
    pub message_bytes_max: u32,
    /// Frames of one message, empty ones included.
    pub fragments_max: u32,
    /// Whether text messages are handed out; the product speaks binary only, a conformance echo both.
    pub text_accepted: bool,
}

impl FrameLimits {
    /// 64 KiB, 64 KiB, 64 fragments, binary only.
    pub const DEFAULT: FrameLimits = FrameLimits {
        frame_bytes_max: FRAME_BYTES_MAX as u32,
        message_bytes_max: FRAME_BYTES_MAX as u32,
        fragments_max: 64,
        text_accepted: false,
    };
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Bounds on the head of the opening handshake (RFC 6455 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeLimits {
    /// Bytes of the whole head, its last empty line included.
    pub bytes_max: u32,
    /// Header lines.
    pub headers_max: u32,
}

impl HandshakeLimits {
    /// 8 KiB, 64 headers.
    pub const DEFAULT: HandshakeLimits = HandshakeLimits { bytes_max: 8_192, headers_max: 64 };
}

impl Default for HandshakeLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

const _: () = assert!(FrameLimits::DEFAULT.frame_bytes_max >= CONTROL_BYTES_MAX as u32);
const _: () = assert!(FrameLimits::DEFAULT.message_bytes_max >= FrameLimits::DEFAULT.frame_bytes_max);
const _: () = assert!(HandshakeLimits::DEFAULT.bytes_max >= 16 * HandshakeLimits::DEFAULT.headers_max);
