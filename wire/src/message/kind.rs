//! What a message holds, and what a conversation is.

/// What the body of a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ContentKind {
    /// UTF-8 text.
    Text = 1,
}

impl ContentKind {
    /// The kind of a number.
    pub fn from_number(number: u8) -> Option<ContentKind> {
        (number == ContentKind::Text as u8).then_some(ContentKind::Text)
    }

    /// Its name in output for scripts.
    pub fn name(self) -> &'static str {
        match self {
            ContentKind::Text => "text",
        }
    }

    /// Whether `body` is one of this kind: not empty, and for text valid UTF-8.
    pub fn admits(self, body: &[u8]) -> bool {
        match self {
            ContentKind::Text => !body.is_empty() && core::str::from_utf8(body).is_ok(),
        }
    }
}

/// What a conversation is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ConversationKind {
    /// Two users, or one with itself.
    Direct = 1,
}

impl ConversationKind {
    /// The kind of a number.
    pub fn from_number(number: u8) -> Option<ConversationKind> {
        (number == ConversationKind::Direct as u8).then_some(ConversationKind::Direct)
    }
}
