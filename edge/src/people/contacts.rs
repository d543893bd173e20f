//! Contacts: what two users are to each other, each side at its own user's home.
//!
//! Two sides cannot be changed in one write. They are changed one after the other, so that whatever lies between is seen by
//! somebody as undone, and the same request again does the rest:
//!
//! - A request is written with who asks first: whoever is asked is asked by somebody who knows.
//! - Accepting is written with who accepts first, and taken back where the other one no longer asks.
//! - An end is written with the other one first: whoever ended it still sees it until it is ended on both sides.
//! - A block is one row, of whoever blocks. It holds for messages as soon as the home of the 1:1 is told of it; one that is
//!   taken up later reads the row.

use trunkline_shards::contacts::{ContactChange, ContactRefusal, ContactsAnswer, ContactsRequest};
use trunkline_shards::contract::{AdminAnswer, AdminRequest, ShardId};
use trunkline_shards::store::{Block, ContactEntry, ContactRow, ContactState, ConversationKey};
use trunkline_wire::ids::{ConversationId, HashSlot, UserId};

use super::{People, PeopleError};
use crate::accounts::TENANT;
use crate::ask::Shards;
use crate::limits::CONTACTS_PAGE_MAX;

/// One of those whom a user has something to do with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contact {
    /// Who.
    pub user: UserId,
    /// Its handle as shown.
    pub handle: String,
    /// What it is to the caller.
    pub row: ContactRow,
}

impl<S: Shards> People<'_, S> {
    /// Asks a user to be a contact; where it has asked already, accepts.
    ///
    /// # Errors
    /// See [`PeopleError`]. A user that blocks the caller is as unknown as one that does not exist.
    pub fn ask_contact(&self, peer: UserId) -> Result<ContactState, PeopleError> {
        self.check_other(peer)?;
        self.sign_in.paces.contact_requests.take(self.caller).map_err(PeopleError::TooOften)?;
        let before = self.side(self.caller, peer)?;
        if before.state == ContactState::Asked {
            return self.accept_contact(peer);
        }
        if before.blocked {
            return Err(PeopleError::Blocked);
        }
        self.check_exists(peer)?;
        if self.side(peer, self.caller)?.blocked {
            return Err(PeopleError::UnknownUser);
        }
        let own = self.change_own(peer, ContactChange::Request)?;
        match self.change(peer, self.caller, ContactChange::Ask)? {
            Ok(theirs) if theirs.state == ContactState::Accepted => {
                Ok(self.change_own(peer, ContactChange::Accepted)?.state)
            }
            Ok(_) => Ok(own.state),
            Err(refusal) => {
                if before.state == ContactState::None {
                    self.change_own(peer, ContactChange::End)?;
                }
                Err(match refusal {
                    ContactRefusal::Full => PeopleError::RequestsFull,
                    ContactRefusal::Blocked | ContactRefusal::NoRequest => PeopleError::UnknownUser,
                })
            }
        }
    }

    /// Accepts a user's request.
    ///
    /// # Errors
    /// See [`PeopleError`].
    pub fn accept_contact(&self, peer: UserId) -> Result<ContactState, PeopleError> {
        self.check_other(peer)?;
        let own = self.change_own(peer, ContactChange::Accept)?;
        match self.change(peer, self.caller, ContactChange::Accepted)? {
            Ok(_) => Ok(own.state),
            Err(_) => {
                self.change_own(peer, ContactChange::End)?;
                Err(PeopleError::NoRequest)
            }
        }
    }

    /// Withdraws a request, declines one, or ends that two users are contacts; nothing where they are nothing to each other.
    ///
    /// # Errors
    /// See [`PeopleError`].
    pub fn end_contact(&self, peer: UserId) -> Result<(), PeopleError> {
        self.check_other(peer)?;
        self.end_theirs(peer)?;
        self.change_own(peer, ContactChange::End).map(drop)
    }

    /// Blocks a user: its messages to the 1:1 and its requests are refused, and it is no contact any more.
    ///
    /// # Errors
    /// See [`PeopleError`].
    pub fn block(&self, peer: UserId) -> Result<(), PeopleError> {
        self.check_other(peer)?;
        self.check_exists(peer)?;
        let own = self.change_own(peer, ContactChange::Block)?;
        self.tell_home(peer, own)?;
        self.end_theirs(peer)
    }

    /// Ends that a user is blocked.
    ///
    /// # Errors
    /// See [`PeopleError`].
    pub fn unblock(&self, peer: UserId) -> Result<(), PeopleError> {
        self.check_other(peer)?;
        let own = self.change_own(peer, ContactChange::Unblock)?;
        self.tell_home(peer, own)
    }

    /// A page of those whom the caller has something to do with, in order of user, and whether there are more behind it.
    ///
    /// # Errors
    /// See [`PeopleError`].
    pub fn contacts(&self, after: UserId, limit: Option<u32>) -> Result<(Vec<Contact>, bool), PeopleError> {
        let rows_max = limit.unwrap_or(CONTACTS_PAGE_MAX).clamp(1, CONTACTS_PAGE_MAX);
        let request = ContactsRequest::List { tenant: TENANT, user: self.caller, after, rows_max };
        match self.ask_home(self.home(self.caller), request)? {
            ContactsAnswer::Page(entries, more) => {
                let contact = |ContactEntry { peer, handle, row }| Contact { user: peer, handle, row };
                Ok((entries.into_iter().map(contact).collect(), more))
            }
            answer => unreachable!("no answer to List: {answer:?}"),
        }
    }

    fn check_other(&self, peer: UserId) -> Result<(), PeopleError> {
        if peer == self.caller { Err(PeopleError::Oneself) } else { Ok(()) }
    }

    fn check_exists(&self, user: UserId) -> Result<(), PeopleError> {
        let found = self.accounts().read(user)?;
        found.map(drop).ok_or(PeopleError::UnknownUser)
    }

    fn end_theirs(&self, peer: UserId) -> Result<(), PeopleError> {
        match self.change(peer, self.caller, ContactChange::End)? {
            Ok(_) => Ok(()),
            Err(refusal) => unreachable!("an end is always taken: {refusal:?}"),
        }
    }

    fn change_own(&self, peer: UserId, change: ContactChange) -> Result<ContactRow, PeopleError> {
        self.change(self.caller, peer, change)?.map_err(|refusal| match refusal {
            ContactRefusal::Blocked => PeopleError::Blocked,
            ContactRefusal::NoRequest => PeopleError::NoRequest,
            ContactRefusal::Full => PeopleError::ContactsFull,
        })
    }

    /// Changes one side at its home.
    fn change(
        &self,
        user: UserId,
        peer: UserId,
        change: ContactChange,
    ) -> Result<Result<ContactRow, ContactRefusal>, PeopleError> {
        let request = ContactsRequest::Change { tenant: TENANT, user, peer, change };
        match self.ask_home(self.home(user), request)? {
            ContactsAnswer::Changed(row) => Ok(Ok(row)),
            ContactsAnswer::Refused(refusal) => Ok(Err(refusal)),
            answer => unreachable!("no answer to Change: {answer:?}"),
        }
    }

    fn side(&self, user: UserId, peer: UserId) -> Result<ContactRow, PeopleError> {
        match self.ask_home(self.home(user), ContactsRequest::Read { tenant: TENANT, user, peer })? {
            ContactsAnswer::Row(row) => Ok(row),
            answer => unreachable!("no answer to Read: {answer:?}"),
        }
    }

    /// Tells the home of the 1:1 what the caller's row says, so that it holds for messages.
    fn tell_home(&self, peer: UserId, own: ContactRow) -> Result<(), PeopleError> {
        let conversation = ConversationId::direct(TENANT, self.caller, peer);
        let key = ConversationKey { tenant: TENANT, conversation };
        let block = Block { blocker: self.caller, blocked: own.blocked, changed_ms: own.changed_ms };
        let home = HashSlot::of_conversation(TENANT, conversation).shard(self.sign_in.shards().count());
        match self.ask_home(home, ContactsRequest::Tell { key, block })? {
            ContactsAnswer::Told => Ok(()),
            answer => unreachable!("no answer to Tell: {answer:?}"),
        }
    }

    fn home(&self, user: UserId) -> ShardId {
        self.accounts().home(user)
    }

    fn ask_home(&self, shard: ShardId, request: ContactsRequest) -> Result<ContactsAnswer, PeopleError> {
        match self.accounts().ask(shard, &AdminRequest::Contacts(request))? {
            AdminAnswer::Contacts(answer) => Ok(answer),
            answer => unreachable!("no answer about contacts: {answer:?}"),
        }
    }
}
