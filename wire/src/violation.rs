//! Owns the closed list of what a peer can do wrong, and what each misdeed is answered with.

use crate::websocket::CloseCode;

/// Makes the enum and its tables from one row per misdeed, so that no list can miss a variant.
macro_rules! violations {
    ($($(#[doc = $doc:literal])+ $variant:ident, $name:literal, $close:ident, $http:literal;)+) => {
        /// One misdeed of a peer. `self as usize` indexes [`Violation::ALL`] and arrays of [`Violation::COUNT`] counters.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Violation {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Violation {
            /// Every violation, in the order of `self as usize`.
            pub const ALL: [Violation; Self::COUNT] = [$(Violation::$variant),+];

            /// How many violations there are.
            pub const COUNT: usize = [$($name),+].len();

            /// The close code that an open connection is closed with (RFC 6455 section 7.4).
            #[must_use]
            pub const fn close_code(self) -> CloseCode {
                match self {
                    $(Violation::$variant => CloseCode::$close,)+
                }
            }

            /// The HTTP status that a handshake is refused with; 400 where the misdeed cannot occur in one.
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self {
                    $(Violation::$variant => $http,)+
                }
            }

            /// The `snake_case` name for metrics, logs and close reasons.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Violation::$variant => $name,)+
                }
            }
        }
    };
}

// variant, name, close code, HTTP status
violations! {
    /// A client sent a frame without a mask (RFC 6455 section 5.1).
    UnmaskedFrame, "unmasked_frame", PROTOCOL_ERROR, 400;
    /// A server sent a frame with a mask (RFC 6455 section 5.1).
    MaskedFrame, "masked_frame", PROTOCOL_ERROR, 400;
    /// A reserved bit is set though no extension was agreed on (RFC 6455 section 5.2).
    ReservedBits, "reserved_bits", PROTOCOL_ERROR, 400;
    /// Opcode 3 to 7 or 11 to 15 (RFC 6455 section 5.2).
    ReservedOpcode, "reserved_opcode", PROTOCOL_ERROR, 400;
    /// A control frame declares more than 125 bytes (RFC 6455 section 5.5).
    ControlTooLong, "control_too_long", PROTOCOL_ERROR, 400;
    /// A control frame without FIN (RFC 6455 section 5.5).
    ControlFragmented, "control_fragmented", PROTOCOL_ERROR, 400;
    /// A continuation frame while no message is open (RFC 6455 section 5.4).
    ContinuationWithoutStart, "continuation_without_start", PROTOCOL_ERROR, 400;
    /// A new data frame before the open message got its last fragment (RFC 6455 section 5.4).
    MessageInterleaved, "message_interleaved", PROTOCOL_ERROR, 400;
    /// A length written with more bytes than it needs (RFC 6455 section 5.2).
    LengthNotMinimal, "length_not_minimal", PROTOCOL_ERROR, 400;
    /// A 64-bit length with its most significant bit set (RFC 6455 section 5.2).
    LengthHighBit, "length_high_bit", PROTOCOL_ERROR, 400;
    /// A frame declares more than `frame_bytes_max` (RFC 6455 section 10.4).
    FrameTooLarge, "frame_too_large", TOO_BIG, 400;
    /// The fragments of a message declare more than `message_bytes_max` (RFC 6455 section 10.4).
    MessageTooLarge, "message_too_large", TOO_BIG, 400;
    /// A message in more than `fragments_max` frames, empty ones included (RFC 6455 section 10.4).
    TooManyFragments, "too_many_fragments", POLICY_VIOLATION, 400;
    /// Text or a close reason that is not UTF-8 (RFC 6455 section 8.1).
    InvalidUtf8, "invalid_utf8", INVALID_DATA, 400;
    /// A text message where only binary ones are spoken (RFC 6455 section 7.4.1, code 1003).
    TextUnsupported, "text_unsupported", UNSUPPORTED_DATA, 400;
    /// A close code that may not be sent (RFC 6455 section 7.4).
    InvalidCloseCode, "invalid_close_code", PROTOCOL_ERROR, 400;
    /// A close frame of one byte, which is half a code (RFC 6455 section 5.5.1).
    InvalidCloseLength, "invalid_close_length", PROTOCOL_ERROR, 400;
    /// Bytes after the close frame (RFC 6455 section 5.5.1). They are ignored: this is for those who count them.
    DataAfterClose, "data_after_close", PROTOCOL_ERROR, 400;
    /// More control frames than the rate allows (RFC 6455 section 10.4).
    ControlFlood, "control_flood", POLICY_VIOLATION, 400;

    /// The first line is not `method target version` (RFC 9112 section 3).
    InvalidRequestLine, "invalid_request_line", PROTOCOL_ERROR, 400;
    /// The method is not GET (RFC 6455 section 4.2.1).
    MethodNotGet, "method_not_get", PROTOCOL_ERROR, 405;
    /// HTTP, but not 1.1 (RFC 6455 section 4.2.1).
    UnsupportedHttpVersion, "unsupported_http_version", PROTOCOL_ERROR, 505;
    /// A line that does not end with CR LF (RFC 9112 section 2.2).
    BareLineFeed, "bare_line_feed", PROTOCOL_ERROR, 400;
    /// A header continued on a line that begins with white space (RFC 9112 section 5.2).
    FoldedHeader, "folded_header", PROTOCOL_ERROR, 400;
    /// A header that is not `token: value`, or a value that breaks its own grammar (RFC 9110 section 5).
    MalformedHeader, "malformed_header", PROTOCOL_ERROR, 400;
    /// A header twice that may be there once (RFC 6455 section 11.3, RFC 9112 section 3.2).
    DuplicateHeader, "duplicate_header", PROTOCOL_ERROR, 400;
    /// More than `headers_max` headers (RFC 6585 section 5).
    TooManyHeaders, "too_many_headers", POLICY_VIOLATION, 431;
    /// A head longer than `bytes_max` (RFC 6585 section 5).
    HandshakeTooLong, "handshake_too_long", POLICY_VIOLATION, 431;
    /// No Host (RFC 6455 section 4.2.1).
    MissingHost, "missing_host", PROTOCOL_ERROR, 400;
    /// A handshake that announces a body, whose bytes would be taken for frames (RFC 9112 section 6).
    UnexpectedBody, "unexpected_body", PROTOCOL_ERROR, 400;
    /// No `Upgrade: websocket`: plain HTTP (RFC 6455 section 4.2.1, RFC 9110 section 15.5.22).
    MissingUpgrade, "missing_upgrade", PROTOCOL_ERROR, 426;
    /// No `Connection: Upgrade` (RFC 6455 section 4.2.1).
    MissingConnectionUpgrade, "missing_connection_upgrade", PROTOCOL_ERROR, 400;
    /// No `Sec-WebSocket-Version: 13` (RFC 6455 section 4.2.2).
    UnsupportedWebSocketVersion, "unsupported_websocket_version", PROTOCOL_ERROR, 426;
    /// No `Sec-WebSocket-Key` (RFC 6455 section 4.2.1).
    MissingKey, "missing_key", PROTOCOL_ERROR, 400;
    /// A `Sec-WebSocket-Key` that is not 16 bytes in base64 (RFC 6455 section 4.2.1).
    InvalidKey, "invalid_key", PROTOCOL_ERROR, 400;
    /// A path where no WebSocket is served (RFC 6455 section 4.2.2).
    PathNotFound, "path_not_found", POLICY_VIOLATION, 404;
    /// An Origin that is not on the list (RFC 6455 section 10.2).
    OriginRefused, "origin_refused", POLICY_VIOLATION, 403;
    /// No complete handshake within its time.
    HandshakeTimeout, "handshake_timeout", POLICY_VIOLATION, 408;

    /// A server's first line is not `HTTP/1.1 status reason` (RFC 9112 section 4).
    InvalidStatusLine, "invalid_status_line", PROTOCOL_ERROR, 400;
    /// A server answered with another status than 101 (RFC 6455 section 4.1).
    UpgradeRefused, "upgrade_refused", PROTOCOL_ERROR, 400;
    /// A server's `Sec-WebSocket-Accept` is missing or does not belong to the key (RFC 6455 section 4.1).
    InvalidAccept, "invalid_accept", PROTOCOL_ERROR, 400;
    /// A server chose a subprotocol that was not offered (RFC 6455 section 4.1).
    UnofferedProtocol, "unoffered_protocol", PROTOCOL_ERROR, 400;
    /// A server chose an extension though none was offered (RFC 6455 section 4.1).
    UnofferedExtension, "unoffered_extension", PROTOCOL_ERROR, 400;

    /// No `Hello` within its time.
    HelloTimeout, "hello_timeout", NOT_AUTHENTICATED, 400;
    /// Something other than `Hello` came first.
    NotAuthenticated, "not_authenticated", NOT_AUTHENTICATED, 400;
    /// A binary message that is not an envelope of the schema.
    MalformedEnvelope, "malformed_envelope", MALFORMED_ENVELOPE, 400;
    /// The outbox passed its hard bound, or made no progress for too long.
    SlowReader, "slow_reader", SLOW_READER, 400;
    /// Pings stayed unanswered.
    PongTimeout, "pong_timeout", NO_PONG, 400;
    /// The device has as many sessions as it may, and began another one.
    SessionReplaced, "session_replaced", SESSION_REPLACED, 400;
    /// The token expired while the connection was open.
    TokenExpired, "token_expired", TOKEN_EXPIRED, 400;
    /// The token is malformed, or signed with another deployment's key; or its device was signed out.
    TokenInvalid, "token_invalid", TOKEN_INVALID, 400;
}

impl core::fmt::Display for Violation {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(self.name())
    }
}

impl core::error::Error for Violation {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_indexed_by_the_violation_and_names_are_unique() {
        for (index, violation) in Violation::ALL.into_iter().enumerate() {
            assert_eq!(violation as usize, index);
            assert!(violation.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte == b'8'));
            assert_eq!(Violation::ALL.iter().filter(|other| other.name() == violation.name()).count(), 1);
            assert!(violation.close_code().is_sendable());
        }
    }
}
