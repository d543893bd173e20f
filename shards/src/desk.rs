//! The desk: what this shard has asked of the store, and what for.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::contacts::ContactStep;
use crate::contract::{Effect, Effects, Ticket};
use crate::conversation::SuspendedSend;
use crate::entry::HomeRequest;
use crate::limits::Limits;
use crate::router::Reply;
use crate::slab::Slab;
use crate::store::{Append, ConversationKey, Load, Put, Revocation, UserKey};
use crate::users::SyncAsked;

/// What an answer of the store is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// The append of a conversation.
    Append(ConversationKey),
    /// A conversation that requests wait for.
    Conversation(ConversationKey),
    /// A page of history.
    History(HistoryAsked),
    /// A repeated send that memory does not reach back to.
    FindSend(ConversationKey, Box<SuspendedSend>),
    /// A conversation's devices.
    Checkpoint,
    /// Does a user exist?
    CheckUser(Reply),
    /// Who has a handle?
    Resolve(Reply, u32),
    /// Conversations that are to be announced again.
    Marks,
    /// A conversation's mark goes.
    Unmark(ConversationKey),
    /// A conversation's watermarks.
    Receipts(ConversationKey),
    /// Are all these users? Then the members change.
    ChangeMembers(ConversationKey, Reply, Box<HomeRequest>),
    /// A user's list.
    Sync(Box<SyncAsked>),
    /// The position that a device has stored, to sync from.
    StoredPosition(Reply, Box<HomeRequest>),
    /// A user is taken up.
    User(UserKey),
    /// A user's numbers may go on.
    Ceiling(UserKey, u64),
    /// Rows of users' lists; which, the home of the users knows by this number.
    List(u32),
    /// A device's position.
    Position(Reply, u32),
    /// An administrator revokes tokens.
    Revocation(Ticket, Revocation),
    /// An administrator's request.
    Account(Ticket, AccountStep),
    /// The same, about contacts.
    Contact(Ticket, ContactStep),
    /// The same, about what there is.
    Directory(Ticket),
    /// What is blocked of a 1:1 that is not stored yet.
    Blocks(ConversationKey),
}

/// A page of history that was asked of the store.
#[derive(Debug)]
pub(crate) struct HistoryAsked {
    pub reply: Reply,
    pub request: u32,
    pub key: ConversationKey,
    pub backward: bool,
    /// Nothing below this seq is shown.
    pub first_seq: u64,
    /// Nothing above this seq is shown.
    pub visible_seq: u64,
    pub epoch: u64,
}

/// How far an administrator's request is.
#[derive(Debug)]
pub(crate) enum AccountStep {
    /// The account's row is being written; then the handle is claimed.
    WriteUser { key: UserKey, folded: String },
    /// The handle is being claimed.
    Claim(UserKey),
    /// The handle is being looked up.
    FindHandle,
    /// The account is being read, to count a device more.
    ReadUser(UserKey),
    /// The account is being written with a device more.
    WriteDevice { key: UserKey, device: u32 },
    /// The account is being read, for whoever asked.
    ReadAccount,
    /// The account is being read, to be changed if it has this version.
    ReadVersion { key: UserKey, version: u64, account: Vec<u8>, adds_device: bool },
    /// The account is being written with what was asked.
    WriteAccount { key: UserKey, devices: u32 },
}

/// Outstanding requests, bounded per kind.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    waiting: Slab<Purpose>,
    appends: u64,
    puts: u64,
    loads: u64,
}

impl Desk {
    pub fn can_append(&self, limits: &Limits) -> bool {
        self.appends < limits.appends_max
    }

    pub fn can_put(&self, limits: &Limits) -> bool {
        self.puts < limits.puts_max
    }

    pub fn can_load(&self, limits: &Limits) -> bool {
        self.loads < limits.loads_max
    }

    pub fn append(&mut self, key: ConversationKey, append: Append, effects: &mut Effects) {
        self.appends += 1;
        let ticket = self.ticket(Purpose::Append(key));
        effects.push(Effect::Append { ticket, append: Box::new(append) });
    }

    pub fn put(&mut self, purpose: Purpose, put: Put, effects: &mut Effects) {
        self.puts += 1;
        let ticket = self.ticket(purpose);
        effects.push(Effect::Put { ticket, put: Box::new(put) });
    }

    pub fn load(&mut self, purpose: Purpose, load: Load, effects: &mut Effects) {
        self.loads += 1;
        let ticket = self.ticket(purpose);
        effects.push(Effect::Load { ticket, load: Box::new(load) });
    }

    /// What an answer is for; every request is answered once.
    pub fn take(&mut self, ticket: Ticket) -> Purpose {
        let purpose = self.waiting.take(ticket.0 as u32).expect("the store answers what was asked, once");
        let count = match &purpose {
            Purpose::Append(_) => &mut self.appends,
            Purpose::Checkpoint
            | Purpose::Unmark(_)
            | Purpose::Receipts(_)
            | Purpose::Ceiling(..)
            | Purpose::List(_)
            | Purpose::Position(..)
            | Purpose::Revocation(..)
            | Purpose::Contact(_, ContactStep::Write { .. })
            | Purpose::Account(
                _,
                AccountStep::WriteUser { .. }
                | AccountStep::Claim(_)
                | AccountStep::WriteDevice { .. }
                | AccountStep::WriteAccount { .. },
            ) => &mut self.puts,
            _ => &mut self.loads,
        };
        *count -= 1;
        purpose
    }

    /// Reads that the store has not answered yet.
    pub fn loads_outstanding(&self) -> u64 {
        self.loads
    }

    /// Writes to the index that the store has not answered yet.
    pub fn puts_outstanding(&self) -> u64 {
        self.puts
    }

    /// Writes that the store has not answered yet.
    pub fn writes_outstanding(&self) -> u64 {
        self.appends + self.puts
    }

    fn ticket(&mut self, purpose: Purpose) -> Ticket {
        Ticket(u64::from(self.waiting.insert(purpose)))
    }
}
