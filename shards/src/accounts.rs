//! What administrators ask of a shard: accounts, handles, devices, counters.

use alloc::boxed::Box;
use alloc::string::String;

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use trunkline_wire::ids::DeviceId;

use crate::contract::{AdminAnswer, AdminRequest, Effect, Ticket};
use crate::desk::{AccountStep, Purpose};
use crate::store::{Load, Loaded, Put, PutOutcome, StoreFault, StoreResult, UserKey, UserRow};
use crate::turn::Turn;

/// Accounts that are being changed; one change at a time.
pub(crate) struct Accounts {
    changing: HashSet<UserKey, FixedState>,
}

impl Accounts {
    pub fn new() -> Accounts {
        Accounts { changing: HashSet::with_hasher(FixedState::with_seed(0)) }
    }

    /// An administrator asks; counters are answered by the shard itself.
    pub fn request(&mut self, turn: &mut Turn<'_>, ticket: Ticket, request: AdminRequest) {
        let limits = &turn.shared.limits;
        if !turn.shared.desk.can_put(limits) || !turn.shared.desk.can_load(limits) {
            return answer(turn, ticket, AdminAnswer::Busy);
        }
        match request {
            AdminRequest::CreateUser { tenant, user, handle, folded } => {
                self.create_user(turn, ticket, UserKey { tenant, user }, handle, folded);
            }
            AdminRequest::FindHandle { tenant, folded } => {
                let purpose = Purpose::Account(ticket, AccountStep::FindHandle);
                turn.shared.desk.load(purpose, Load::Handle { tenant, folded }, turn.effects);
            }
            AdminRequest::CreateDevice { tenant, user } => {
                let key = UserKey { tenant, user };
                if !self.changing.insert(key) {
                    return answer(turn, ticket, AdminAnswer::Busy);
                }
                let purpose = Purpose::Account(ticket, AccountStep::ReadUser(key));
                turn.shared.desk.load(purpose, Load::User { key }, turn.effects);
            }
            AdminRequest::Counters => unreachable!("answered by the shard itself"),
        }
    }

    /// The row comes first and the handle last: a crash in between leaves a row that nobody can name, and a handle that is
    /// still free.
    fn create_user(&mut self, turn: &mut Turn<'_>, ticket: Ticket, key: UserKey, handle: String, folded: String) {
        if !self.changing.insert(key) {
            return answer(turn, ticket, AdminAnswer::Busy);
        }
        let row = UserRow { handle, created_ms: turn.now.wall_ms, devices: 1 };
        let step = AccountStep::WriteUser { key, folded };
        turn.shared.desk.put(Purpose::Account(ticket, step), Put::User { key, row }, turn.effects);
    }

    /// The store has answered.
    pub fn stored(&mut self, turn: &mut Turn<'_>, ticket: Ticket, step: AccountStep, result: StoreResult) {
        match (step, result) {
            (AccountStep::WriteUser { key, folded }, StoreResult::Put(Ok(_))) => {
                let put = Put::ClaimHandle { tenant: key.tenant, folded, user: key.user };
                turn.shared.desk.put(Purpose::Account(ticket, AccountStep::Claim(key)), put, turn.effects);
            }
            (AccountStep::Claim(key), StoreResult::Put(Ok(PutOutcome::Owner(owner)))) => {
                let created = owner == key.user;
                let device = DeviceId(1);
                self.end(
                    turn,
                    ticket,
                    key,
                    if created { AdminAnswer::UserCreated(device) } else { AdminAnswer::HandleTaken },
                );
            }
            (AccountStep::FindHandle, StoreResult::Loaded(Ok(Loaded::Handle(user)))) => {
                answer(turn, ticket, AdminAnswer::HandleFound(user));
            }
            (AccountStep::ReadUser(key), StoreResult::Loaded(Ok(Loaded::User(row)))) => {
                self.add_device(turn, ticket, key, row);
            }
            (AccountStep::WriteDevice { key, device }, StoreResult::Put(Ok(_))) => {
                self.end(turn, ticket, key, AdminAnswer::DeviceCreated(DeviceId(device)));
            }
            (step, result) => self.failed(turn, ticket, &step, &result),
        }
    }

    fn add_device(&mut self, turn: &mut Turn<'_>, ticket: Ticket, key: UserKey, row: Option<Box<UserRow>>) {
        let Some(mut row) = row else {
            return self.end(turn, ticket, key, AdminAnswer::UnknownUser);
        };
        if !turn.shared.desk.can_put(&turn.shared.limits) {
            return self.end(turn, ticket, key, AdminAnswer::Busy);
        }
        row.devices += 1;
        let step = AccountStep::WriteDevice { key, device: row.devices };
        turn.shared.desk.put(Purpose::Account(ticket, step), Put::User { key, row: *row }, turn.effects);
    }

    fn failed(&mut self, turn: &mut Turn<'_>, ticket: Ticket, step: &AccountStep, result: &StoreResult) {
        let full = matches!(result, StoreResult::Put(Err(StoreFault::Full)));
        let said = if full { AdminAnswer::StorageFull } else { AdminAnswer::StorageUnavailable };
        match step {
            AccountStep::WriteUser { key, .. }
            | AccountStep::Claim(key)
            | AccountStep::ReadUser(key)
            | AccountStep::WriteDevice { key, .. } => self.end(turn, ticket, *key, said),
            AccountStep::FindHandle => answer(turn, ticket, said),
        }
    }

    fn end(&mut self, turn: &mut Turn<'_>, ticket: Ticket, key: UserKey, said: AdminAnswer) {
        self.changing.remove(&key);
        answer(turn, ticket, said);
    }
}

pub(crate) fn answer(turn: &mut Turn<'_>, ticket: Ticket, answer: AdminAnswer) {
    turn.effects.push(Effect::Answer { ticket, answer });
}
