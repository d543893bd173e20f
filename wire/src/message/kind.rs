//! What a message holds, and what a conversation is.

/// What the body of a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ContentKind {
    /// UTF-8 text.
    Text = 1,
    /// A change of the members, written by the server: a [`schema::MembershipChange`](super::schema::MembershipChange).
    Membership = 2,
}

impl ContentKind {
    /// The kind of a number.
    pub fn from_number(number: u8) -> Option<ContentKind> {
        match number {
            1 => Some(ContentKind::Text),
            2 => Some(ContentKind::Membership),
            _ => None,
        }
    }

    /// Its name in output for scripts.
    pub fn name(self) -> &'static str {
        match self {
            ContentKind::Text => "text",
            ContentKind::Membership => "membership",
        }
    }

    /// Whether a client may send `body` as one of this kind: text that is not empty and valid UTF-8.
    pub fn admits(self, body: &[u8]) -> bool {
        match self {
            ContentKind::Text => !body.is_empty() && core::str::from_utf8(body).is_ok(),
            ContentKind::Membership => false,
        }
    }
}

/// What a conversation is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ConversationKind {
    /// Two users, or one with itself.
    Direct = 1,
    /// Members that come and go.
    Group = 2,
    /// What was said elsewhere. Whoever is admitted sees all of it, nobody writes to it.
    Imported = 3,
}

impl ConversationKind {
    /// The kind of a number.
    pub fn from_number(number: u8) -> Option<ConversationKind> {
        match number {
            1 => Some(ConversationKind::Direct),
            2 => Some(ConversationKind::Group),
            3 => Some(ConversationKind::Imported),
            _ => None,
        }
    }
}

/// What a member may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Role {
    /// Reads, writes, leaves.
    Member = 1,
    /// Adds and removes others too.
    Admin = 2,
}

impl Role {
    /// The role of a number.
    pub fn from_number(number: u8) -> Option<Role> {
        match number {
            1 => Some(Role::Member),
            2 => Some(Role::Admin),
            _ => None,
        }
    }
}

/// What happened to the members of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Change {
    /// The group was made, with its first members.
    Created = 1,
    /// Users were added.
    Added = 2,
    /// Users were removed, or left.
    Removed = 3,
    /// Users were admitted to an imported conversation: they see it from its first message on.
    Admitted = 4,
}

impl Change {
    /// The change of a number.
    pub fn from_number(number: u8) -> Option<Change> {
        match number {
            1 => Some(Change::Created),
            2 => Some(Change::Added),
            3 => Some(Change::Removed),
            4 => Some(Change::Admitted),
            _ => None,
        }
    }
}
