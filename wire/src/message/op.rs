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
    /// Client: a page of my conversations.
    List = 16,
    /// Server: answer to List.
    Listed = 17,
}

impl Op {
    /// Every op, in order of number from 1.
    pub const ALL: [Op; 17] = [
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
        Op::List,
        Op::Listed,
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
