//! Contacts at the home of the user whose side is changed: who asks whom, who has accepted, who blocks.
//!
//! Each side of two users is a row of its own, and each change of a row is judged by what the row says. What two sides come
//! to is the edge's affair: it changes one after the other, in an order in which a crash leaves nothing that the same request
//! would not put right.

use alloc::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use trunkline_wire::ids::{TenantId, UserId};

use crate::accounts::answer;
use crate::contract::{AdminAnswer, Ticket};
use crate::desk::Purpose;
use crate::store::{
    ASKED_MAX, Block, CONTACTS_MAX, ContactCounts, ContactEntry, ContactRow, ContactState, ConversationKey, Load,
    Loaded, Put, StoreFault, StoreResult, UserKey,
};
use crate::turn::Turn;

/// What is asked about contacts. All but [`ContactsRequest::Tell`] goes to the user's home.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ContactsRequest {
    /// Changes one side.
    Change {
        /// The tenant.
        tenant: TenantId,
        /// Whose side.
        user: UserId,
        /// The other one.
        peer: UserId,
        /// What happened.
        change: ContactChange,
    },
    /// Reads one side.
    Read {
        /// The tenant.
        tenant: TenantId,
        /// Whose side.
        user: UserId,
        /// The other one.
        peer: UserId,
    },
    /// Reads a page of all that a user has something to do with, in order of user.
    List {
        /// The tenant.
        tenant: TenantId,
        /// Whose.
        user: UserId,
        /// Begin behind this one.
        after: UserId,
        /// Most of them.
        rows_max: u32,
    },
    /// Home of a 1:1: what a durable row says about blocking there.
    Tell {
        /// The 1:1.
        key: ConversationKey,
        /// What it says.
        block: Block,
    },
}

/// What happened between two users, as one side sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ContactChange {
    /// This user asks the other one.
    Request,
    /// The other one asks this user.
    Ask,
    /// This user accepts.
    Accept,
    /// The other one accepts.
    Accepted,
    /// One of them withdraws, declines or removes.
    End,
    /// This user blocks the other one.
    Block,
    /// This user no longer does.
    Unblock,
}

/// Why a side was not changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ContactRefusal {
    /// This user blocks the other one.
    Blocked,
    /// There is no request to accept.
    NoRequest,
    /// This user has [`CONTACTS_MAX`] others already, or [`ASKED_MAX`] that ask.
    Full,
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ContactsAnswer {
    /// The side as it is now, durably.
    Changed(ContactRow),
    /// Nothing was changed.
    Refused(ContactRefusal),
    /// The side as it is; where nothing is stored, empty.
    Row(ContactRow),
    /// A page, and whether there are more behind it.
    Page(Vec<ContactEntry>, bool),
    /// It is known.
    Told,
}

/// How far such a request is.
#[derive(Debug)]
pub(crate) enum ContactStep {
    /// The side is being read, to be changed.
    ReadToChange { key: UserKey, peer: UserId, change: ContactChange },
    /// The side is being written.
    Write { key: UserKey, row: ContactRow },
    /// Something is being read for whoever asked.
    Read,
}

/// Sides that are being changed; of a user one at a time.
pub(crate) struct Contacts {
    changing: HashSet<UserKey, FixedState>,
    /// The highest time that was given to a change.
    changed_ms: u64,
}

impl Contacts {
    pub fn new() -> Contacts {
        Contacts { changing: HashSet::with_hasher(FixedState::with_seed(0)), changed_ms: 0 }
    }

    /// Something is asked about contacts, and the store has room for it.
    pub fn request(&mut self, turn: &mut Turn<'_>, ticket: Ticket, request: ContactsRequest) {
        match request {
            ContactsRequest::Change { tenant, user, peer, change } => {
                let key = UserKey { tenant, user };
                if !self.changing.insert(key) {
                    return answer(turn, ticket, AdminAnswer::Busy);
                }
                let step = ContactStep::ReadToChange { key, peer, change };
                turn.shared.desk.load(Purpose::Contact(ticket, step), Load::Contact { key, peer }, turn.effects);
            }
            ContactsRequest::Read { tenant, user, peer } => {
                let load = Load::Contact { key: UserKey { tenant, user }, peer };
                turn.shared.desk.load(Purpose::Contact(ticket, ContactStep::Read), load, turn.effects);
            }
            ContactsRequest::List { tenant, user, after, rows_max } => {
                let load = Load::Contacts { key: UserKey { tenant, user }, after, rows_max };
                turn.shared.desk.load(Purpose::Contact(ticket, ContactStep::Read), load, turn.effects);
            }
            ContactsRequest::Tell { .. } => unreachable!("the home of the conversation is told"),
        }
    }

    /// The store has answered.
    pub fn stored(&mut self, turn: &mut Turn<'_>, ticket: Ticket, step: ContactStep, result: StoreResult) {
        match (step, result) {
            (
                ContactStep::ReadToChange { key, peer, change },
                StoreResult::Loaded(Ok(Loaded::Contact(row, counts))),
            ) => self.change(turn, ticket, (key, peer, change), row.unwrap_or_default(), counts),
            (ContactStep::Write { key, row }, StoreResult::Put(Ok(_))) => {
                self.end(turn, ticket, key, ContactsAnswer::Changed(row));
            }
            (ContactStep::Read, StoreResult::Loaded(Ok(Loaded::Contact(row, _)))) => {
                say(turn, ticket, ContactsAnswer::Row(row.unwrap_or_default()));
            }
            (ContactStep::Read, StoreResult::Loaded(Ok(Loaded::Contacts(entries, more)))) => {
                say(turn, ticket, ContactsAnswer::Page(entries, more));
            }
            (step, result) => {
                if let ContactStep::ReadToChange { key, .. } | ContactStep::Write { key, .. } = step {
                    self.changing.remove(&key);
                }
                let full = matches!(result, StoreResult::Put(Err(StoreFault::Full)));
                let said = if full { AdminAnswer::StorageFull } else { AdminAnswer::StorageUnavailable };
                answer(turn, ticket, said);
            }
        }
    }

    fn change(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        (key, peer, change): (UserKey, UserId, ContactChange),
        before: ContactRow,
        counts: ContactCounts,
    ) {
        let after = match judge(before, change, counts) {
            Ok(after) => after,
            Err(refusal) => return self.end(turn, ticket, key, ContactsAnswer::Refused(refusal)),
        };
        if after == before {
            return self.end(turn, ticket, key, ContactsAnswer::Changed(before));
        }
        if !turn.shared.desk.can_put(&turn.shared.limits) {
            self.changing.remove(&key);
            return answer(turn, ticket, AdminAnswer::Busy);
        }
        // Rows that are gone had lower ones of this process, and conversations in memory know none of an earlier one.
        self.changed_ms = turn.now.wall_ms.max(self.changed_ms + 1).max(before.changed_ms + 1);
        let row = ContactRow { changed_ms: self.changed_ms, ..after };
        let put = Put::Contact { key, peer, row: (!row.is_empty()).then_some(row) };
        turn.shared.desk.put(Purpose::Contact(ticket, ContactStep::Write { key, row }), put, turn.effects);
    }

    fn end(&mut self, turn: &mut Turn<'_>, ticket: Ticket, key: UserKey, said: ContactsAnswer) {
        self.changing.remove(&key);
        say(turn, ticket, said);
    }
}

pub(crate) fn say(turn: &mut Turn<'_>, ticket: Ticket, said: ContactsAnswer) {
    answer(turn, ticket, AdminAnswer::Contacts(said));
}

/// What a change makes of a side, of a user that has something to do with so many. A change again makes nothing else of it.
///
/// # Errors
/// See [`ContactRefusal`].
pub fn judge(before: ContactRow, change: ContactChange, counts: ContactCounts) -> Result<ContactRow, ContactRefusal> {
    use ContactState::{Accepted, Asked, None as Nothing, Requested};
    let state = match (change, before.state) {
        (ContactChange::Request | ContactChange::Ask, _) if before.blocked => return Err(ContactRefusal::Blocked),
        (ContactChange::Request, Nothing) => Requested,
        (ContactChange::Ask, Nothing) => Asked,
        // Both have asked.
        (ContactChange::Ask, Requested) => Accepted,
        (ContactChange::Request | ContactChange::Ask, state) => state,
        (ContactChange::Accept, Asked | Accepted) | (ContactChange::Accepted, Requested | Accepted) => Accepted,
        (ContactChange::Accept | ContactChange::Accepted, _) => return Err(ContactRefusal::NoRequest),
        (ContactChange::End | ContactChange::Block, _) => Nothing,
        (ContactChange::Unblock, state) => state,
    };
    let blocked = match change {
        ContactChange::Block => true,
        ContactChange::Unblock => false,
        _ => before.blocked,
    };
    let after = ContactRow { state, blocked, ..before };
    let counted = |row: &ContactRow| (row.state == Asked, !row.is_empty() && row.state != Asked);
    let (was, is) = (counted(&before), counted(&after));
    let is_full = (is.0 && !was.0 && counts.asked >= ASKED_MAX) || (is.1 && !was.1 && counts.others >= CONTACTS_MAX);
    if is_full { Err(ContactRefusal::Full) } else { Ok(after) }
}

#[cfg(test)]
mod tests;
