//! Owns close codes and the payload of the close frame (RFC 6455 sections 5.5.1 and 7.4).

use alloc::vec::Vec;

use super::frame::{CONTROL_BYTES_MAX, Opcode, encode_header};
use super::mask::apply_mask;
use crate::violation::Violation;

/// What is left of a control frame for the reason behind a code (RFC 6455 section 5.5.1).
pub const CLOSE_REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// Why a connection is closed (RFC 6455 section 7.4; 4000 to 4999 are Trunkline's own).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// The server goes down, or the user left the page.
    pub const GOING_AWAY: CloseCode = CloseCode(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: CloseCode = CloseCode(1002);
    /// The peer sent a kind of data that is not spoken here.
    pub const UNSUPPORTED_DATA: CloseCode = CloseCode(1003);
    /// The peer's data contradicts its type, as text that is not UTF-8.
    pub const INVALID_DATA: CloseCode = CloseCode(1007);
    /// The peer broke a rule that has no code of its own.
    pub const POLICY_VIOLATION: CloseCode = CloseCode(1008);
    /// The peer's message is larger than what is taken.
    pub const TOO_BIG: CloseCode = CloseCode(1009);
    /// The fault is the server's.
    pub const INTERNAL_ERROR: CloseCode = CloseCode(1011);
    /// The server restarts; come back after a while (IANA registry).
    pub const SERVICE_RESTART: CloseCode = CloseCode(1012);
    /// The server is overloaded; come back later (IANA registry).
    pub const TRY_AGAIN_LATER: CloseCode = CloseCode(1013);
    /// The token is forged, malformed or revoked.
    pub const TOKEN_INVALID: CloseCode = CloseCode(4001);
    /// The token expired: get another one.
    pub const TOKEN_EXPIRED: CloseCode = CloseCode(4002);
    /// No `Hello` in time, or something else before it.
    pub const NOT_AUTHENTICATED: CloseCode = CloseCode(4003);
    /// A message that is not an envelope.
    pub const MALFORMED_ENVELOPE: CloseCode = CloseCode(4004);
    /// The outbox passed its bound: resume and sync.
    pub const SLOW_READER: CloseCode = CloseCode(4008);
    /// The session went on elsewhere: do not reconnect.
    pub const SESSION_REPLACED: CloseCode = CloseCode(4009);
    /// Pings stayed unanswered.
    pub const NO_PONG: CloseCode = CloseCode(4010);

    /// The code, unless it may not appear in a close frame (RFC 6455 section 7.4).
    #[must_use]
    pub const fn new(code: u16) -> Option<CloseCode> {
        let code = CloseCode(code);
        if code.is_sendable() { Some(code) } else { None }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn value(self) -> u16 {
        self.0
    }

    /// Whether the code may appear in a close frame: 1004 to 1006, 1015 and the unassigned ones may not.
    pub(crate) const fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

/// Appends a close frame (RFC 6455 section 5.5.1): empty without a code, the reason cut at a character to
/// [`CLOSE_REASON_BYTES_MAX`], masked when a client sends it.
pub fn encode_close(code: Option<CloseCode>, reason: &str, mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    let (reason, _) = reason.split_at(reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX));
    let payload_len = code.map_or(0, |_| 2 + reason.len());
    encode_header(true, Opcode::Close, payload_len, mask, out);
    let start = out.len();
    if let Some(code) = code {
        out.extend_from_slice(&code.value().to_be_bytes());
        out.extend_from_slice(reason.as_bytes());
    }
    if let (Some(key), Some(payload)) = (mask, out.get_mut(start..)) {
        apply_mask(payload, key, 0);
    }
}

/// Reads a whole close payload (RFC 6455 section 5.5.1).
pub(super) fn parse_close(payload: &[u8]) -> Result<(Option<CloseCode>, &str), Violation> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok((None, "")) } else { Err(Violation::InvalidCloseLength) };
    };
    let code = CloseCode::new(u16::from_be_bytes(*code)).ok_or(Violation::InvalidCloseCode)?;
    let reason = core::str::from_utf8(reason).map_err(|_| Violation::InvalidUtf8)?;
    Ok((Some(code), reason))
}

/// Refuses the first bytes of a close payload that no further bytes can make valid.
pub(super) fn check_close_prefix(payload: &[u8]) -> Result<(), Violation> {
    let Some((code, reason)) = payload.split_first_chunk() else { return Ok(()) };
    CloseCode::new(u16::from_be_bytes(*code)).ok_or(Violation::InvalidCloseCode)?;
    utf8_prefix_len(reason).map(drop)
}

/// How many of the bytes are whole characters, if what is left can still become one (RFC 6455 section 8.1).
pub(super) fn utf8_prefix_len(bytes: &[u8]) -> Result<usize, Violation> {
    match core::str::from_utf8(bytes) {
        Ok(_) => Ok(bytes.len()),
        Err(error) if error.error_len().is_none() => Ok(error.valid_up_to()),
        Err(_) => Err(Violation::InvalidUtf8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_codes_of_the_registry_and_the_private_ranges_are_sendable() {
        let sendable = (0..=u16::MAX).filter(|code| CloseCode::new(*code).is_some());
        assert!(sendable.eq((1000..=1003).chain(1007..=1014).chain(3000..=4999)));
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let mut out = Vec::new();
        encode_close(Some(CloseCode::NORMAL), &"é".repeat(100), None, &mut out);
        assert_eq!(out.len(), 2 + 2 + 122);
        let (code, reason) = parse_close(&out[2..]).unwrap();
        assert_eq!((code, reason.chars().count()), (Some(CloseCode::NORMAL), 61));
    }

    #[test]
    fn without_a_code_the_frame_is_empty_and_a_mask_is_applied() {
        let mut out = Vec::new();
        encode_close(None, "dropped", None, &mut out);
        assert_eq!(out, [0x88, 0]);
        out.clear();
        encode_close(Some(CloseCode::GOING_AWAY), "x", Some([1, 2, 3, 4]), &mut out);
        assert_eq!(out, [0x88, 0x83, 1, 2, 3, 4, 0x03 ^ 1, 0xe9 ^ 2, b'x' ^ 3]);
    }

    #[test]
    fn a_prefix_is_refused_as_soon_as_it_cannot_become_valid() {
        assert_eq!(check_close_prefix(&[0x03]), Ok(()));
        assert_eq!(check_close_prefix(&[0x03, 0xe8, 0xf0, 0x9f]), Ok(()));
        assert_eq!(check_close_prefix(&[0x03, 0xec]), Err(Violation::InvalidCloseCode));
        assert_eq!(check_close_prefix(&[0x03, 0xe8, 0xed, 0xa0]), Err(Violation::InvalidUtf8));
    }
}
