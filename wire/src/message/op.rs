//! The ops, by number. Numbers are never reused.

/// What an envelope's body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum Op {
    /// Client: who I am; the first envelope of a connection.
    Hello = 1,
    /// Server: answer to Hello.
    Welcome = 2,
    /// Client: whose handle is this?
    Resolve = 3,
    /// Server: answer to Resolve.
    Resolved = 4,
    /// Client: a conversation's state and my numbers in it.
    Open = 5,
    /// Server: answer to Open.
    Opened = 6,
    /// Client: messages for a conversation.
    Send = 7,
    /// Server: answer to Send.
    Ack = 8,
    /// Server: a message, pushed.
    Message = 9,
    /// Client: a page of a conversation.
    History = 10,
    /// Server: answer to History.
    HistoryPage = 11,
    /// Server: a request failed as a whole, or (request 0) the connection is about to be closed.
    Error = 12,
    /// Client: a newer token.
    Renew = 13,
    /// Server: answer to Renew.
    Renewed = 14,
    /// Server: about to close; come back later.
    GoAway = 15,
    /// Client: what of my conversations changed behind a position?
    Sync = 16,
    /// Server: answer to Sync.
    Synced = 17,
    /// Client: make a group.
    CreateGroup = 18,
    /// Client: add members to a group, or remove them.
    ChangeMembers = 19,
    /// Server: answer to ChangeMembers.
    MembersChanged = 20,
    /// Client: who is in a conversation?
    Members = 21,
    /// Server: answer to Members.
    MembersPage = 22,
    /// Client: what this device has: watermarks and its position.
    Report = 23,
    /// Server: answer to what asks for nothing back.
    Done = 24,
    /// Server: the position moved, pushed behind what moved it.
    Advanced = 25,
    /// Server: how far users are in a conversation, pushed.
    Receipts = 26,
    /// Client: I type.
    Typing = 27,
    /// Server: a user types, pushed.
    TypingNow = 28,
}

impl Op {
    /// Every op, in order of number from 1.
    pub const ALL: [Op; 28] = [
        Op::Hello,
        Op::Welcome,
        Op::Resolve,
        Op::Resolved,
        Op::Open,
        Op::Opened,
        Op::Send,
        Op::Ack,
        Op::Message,
        Op::History,
        Op::HistoryPage,
        Op::Error,
        Op::Renew,
        Op::Renewed,
        Op::GoAway,
        Op::Sync,
        Op::Synced,
        Op::CreateGroup,
        Op::ChangeMembers,
        Op::MembersChanged,
        Op::Members,
        Op::MembersPage,
        Op::Report,
        Op::Done,
        Op::Advanced,
        Op::Receipts,
        Op::Typing,
        Op::TypingNow,
    ];

    /// The op of a number.
    pub fn from_number(number: u16) -> Option<Op> {
        Op::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// Its number on the wire.
    pub fn number(self) -> u16 {
        self as u16
    }
}

const _: () = {
    let mut index = 0;
    while index < Op::ALL.len() {
        assert!(Op::ALL[index] as usize == index + 1);
        index += 1;
    }
};
