//! Why a request, or a message of a Send, was refused.

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// Codes of Error and of an Ack's `refusal`. Numbers are never reused.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u16)]
        pub enum ErrorCode { $($(#[$doc])* $name = $number,)* }

        impl ErrorCode {
            /// Every code, in order of number from 1.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name,)*];

            /// Its name in documents, metrics and output for scripts.
            pub fn name(self) -> &'static str {
                match self { $(ErrorCode::$name => $text,)* }
            }
        }
    };
}

error_codes! {
    /// The op is unknown to this server.
    Unsupported = 1, "unsupported";
    /// The envelope is well formed but says something impossible; a field is missing.
    Malformed = 2, "malformed";
    /// Something other than Hello came first, or Hello came twice.
    NotAuthenticated = 3, "not_authenticated";
    /// The token is no token, or signed with another deployment's key; or its device was signed out.
    TokenInvalid = 4, "token_invalid";
    /// The token is past its end.
    TokenExpired = 5, "token_expired";
    /// No room now; the same request again after `retry_after_ms`.
    Busy = 6, "busy";
    /// Too many of these; again after `retry_after_ms`.
    RateLimited = 7, "rate_limited";
    /// No such conversation, or none of yours: both answer alike.
    NotFound = 8, "not_found";
    /// No such user.
    UnknownPeer = 9, "unknown_peer";
    /// No user has this handle, or it is no handle.
    UnknownHandle = 10, "unknown_handle";
    /// The handle belongs to somebody.
    HandleTaken = 11, "handle_taken";
    /// The body is larger than `body_bytes_max`.
    MessageTooLarge = 12, "message_too_large";
    /// The body is not of its kind, or of a kind this server does not know.
    MessageInvalid = 13, "message_invalid";
    /// `client_seq` was used for another message; `high` says where to go on.
    ClientSeqConflict = 14, "client_seq_conflict";
    /// `client_seq` is above `high` + 1.
    OutOfOrder = 15, "out_of_order";
    /// The retry is of something too old to look up.
    Expired = 16, "expired";
    /// The server's disk is full; nothing of this was stored.
    StorageFull = 17, "storage_full";
    /// More requests without an answer than `requests_outstanding_max`.
    TooManyRequests = 18, "too_many_requests";
    /// The server is about to stop.
    Draining = 19, "draining";
    /// Client and server share no version of the protocol.
    ProtocolVersion = 20, "protocol_version";
    /// The token, or the caller's role in the conversation, does not allow this.
    Forbidden = 21, "forbidden";
    /// The store could not be read; again after `retry_after_ms`.
    StorageUnavailable = 22, "storage_unavailable";
    /// The group has as many members as a group can have.
    GroupFull = 23, "group_full";
}

impl ErrorCode {
    /// The code of a number.
    pub fn from_number(number: u16) -> Option<ErrorCode> {
        ErrorCode::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// Its number on the wire.
    pub fn number(self) -> u16 {
        self as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_from_one() {
        for (index, code) in ErrorCode::ALL.iter().enumerate() {
            assert_eq!(usize::from(code.number()), index + 1);
            assert_eq!(ErrorCode::from_number(code.number()), Some(*code));
        }
        assert_eq!(ErrorCode::from_number(0), None);
    }
}
