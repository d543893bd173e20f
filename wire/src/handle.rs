//! Handles: the names people give each other's accounts.

use alloc::string::String;

use unicode_normalization::UnicodeNormalization;

use crate::ids::ConversationId;
use crate::limits::HANDLE_BYTES_MAX;

/// A valid handle in Unicode NFC: 1 to 64 bytes, no white space, no control characters, not 32 hex digits (those are
/// conversation ids on the command line).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Handle(String);

/// Why a text is no handle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HandleError {
    /// Nothing was given.
    Empty,
    /// More than [`HANDLE_BYTES_MAX`] bytes after normalization.
    TooLong,
    /// White space or a control character.
    Character,
    /// 32 hex digits read as a conversation id.
    LooksLikeConversation,
}

impl HandleError {
    /// One line for people.
    pub fn describe(self) -> &'static str {
        match self {
            HandleError::Empty => "a handle has at least one character",
            HandleError::TooLong => "a handle has at most 64 bytes of UTF-8",
            HandleError::Character => "a handle has no white space and no control characters",
            HandleError::LooksLikeConversation => "32 hex digits are a conversation, not a handle",
        }
    }
}

impl Handle {
    /// Normalizes and checks `text`.
    pub fn parse(text: &str) -> Result<Handle, HandleError> {
        if text.is_empty() {
            return Err(HandleError::Empty);
        }
        if text.len() > 4 * HANDLE_BYTES_MAX {
            return Err(HandleError::TooLong);
        }
        let normal: String = text.nfc().collect();
        if normal.len() > HANDLE_BYTES_MAX {
            return Err(HandleError::TooLong);
        }
        if normal.chars().any(|c| c.is_whitespace() || c.is_control() || is_invisible(c)) {
            return Err(HandleError::Character);
        }
        if ConversationId::parse(&normal).is_some() {
            return Err(HandleError::LooksLikeConversation);
        }
        Ok(Handle(normal))
    }

    /// The handle as it is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which handles are unique: case folded (upper, then lower case, so that `ß` and `SS`, `ς` and `σ` are
    /// one), then NFC again.
    pub fn fold(&self) -> String {
        self.0.to_uppercase().to_lowercase().nfc().collect()
    }
}

/// Zero-width and direction-changing characters, which would make two handles look alike.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{ad}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_case_and_normalizes() {
        let fold = |s: &str| Handle::parse(s).unwrap().fold();
        assert_eq!(fold("Alice"), fold("aLICE"));
        assert_eq!(fold("Straße"), fold("STRASSE"));
        assert_eq!(fold("e\u{301}va"), fold("ÉVA"));
        assert_eq!(fold("Σίσυφος"), fold("ΣΊΣΥΦΟΣ"));
        assert_ne!(fold("bob"), fold("b0b"));
    }

    #[test]
    fn refuses_what_is_no_handle() {
        assert_eq!(Handle::parse(""), Err(HandleError::Empty));
        assert_eq!(Handle::parse("a b"), Err(HandleError::Character));
        assert_eq!(Handle::parse("a\u{0}"), Err(HandleError::Character));
        assert_eq!(Handle::parse("a\u{200b}b"), Err(HandleError::Character));
        assert_eq!(Handle::parse(&"x".repeat(65)), Err(HandleError::TooLong));
        assert_eq!(Handle::parse(&"ab".repeat(16)), Err(HandleError::LooksLikeConversation));
        assert!(Handle::parse(&"x".repeat(64)).is_ok());
    }
}
