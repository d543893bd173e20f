//! What administrators ask of a shard: accounts, handles, devices, counters.

use alloc::boxed::Box;
use alloc::string::String;

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use trunkline_wire::ids::DeviceId;

use crate::contacts::Contacts;
use crate::contract::{AdminAnswer, AdminRequest, Effect, Ticket};
use crate::desk::{AccountStep, Purpose};
use crate::directory;
use crate::store::{ACCOUNT_BYTES_MAX, Load, Loaded, Put, PutOutcome, StoreFault, StoreResult, UserKey, UserRow};
use crate::turn::Turn;

/// Accounts that are being changed; one change at a time.
pub(crate) struct Accounts {
    changing: HashSet<UserKey, FixedState>,
    pub contacts: Contacts,
}

impl Accounts {
    pub fn new() -> Accounts {
        Accounts { changing: HashSet::with_hasher(FixedState::with_seed(0)), contacts: Contacts::new() }
    }

    /// An administrator asks; counters are answered by the shard itself.
    pub fn request(&mut self, turn: &mut Turn<'_>, ticket: Ticket, request: AdminRequest) {
        let limits = &turn.shared.limits;
        if !turn.shared.desk.can_put(limits) || !turn.shared.desk.can_load(limits) {
            return answer(turn, ticket, AdminAnswer::Busy);
        }
        if let AdminRequest::CreateUser { account, .. } | AdminRequest::WriteAccount { account, .. } = &request {
            assert!(account.len() <= ACCOUNT_BYTES_MAX, "the edge keeps to the limit");
        }
        match request {
            AdminRequest::CreateUser { tenant, user, handle, folded, account } => {
                let row = UserRow { handle, created_ms: turn.now.wall_ms, devices: 1, version: 0, account };
                self.create_user(turn, ticket, UserKey { tenant, user }, row, folded);
            }
            AdminRequest::ReadAccount { tenant, user } => {
                let purpose = Purpose::Account(ticket, AccountStep::ReadAccount);
                turn.shared.desk.load(purpose, Load::User { key: UserKey { tenant, user } }, turn.effects);
            }
            AdminRequest::WriteAccount { tenant, user, version, account, adds_device } => {
                let key = UserKey { tenant, user };
                self.read_to_change(turn, ticket, key, AccountStep::ReadVersion { key, version, account, adds_device });
            }
            AdminRequest::FindHandle { tenant, folded } => {
                let purpose = Purpose::Account(ticket, AccountStep::FindHandle);
                turn.shared.desk.load(purpose, Load::Handle { tenant, folded }, turn.effects);
            }
            AdminRequest::CreateDevice { tenant, user } => {
                let key = UserKey { tenant, user };
                self.read_to_change(turn, ticket, key, AccountStep::ReadUser(key));
            }
            AdminRequest::Contacts(request) => self.contacts.request(turn, ticket, request),
            AdminRequest::Directory(request) => directory::request(turn, ticket, request),
            AdminRequest::Archive(_)
            | AdminRequest::Counters
            | AdminRequest::Revoke(_)
            | AdminRequest::IsRevoked { .. } => unreachable!("answered by others"),
        }
    }

    /// The row comes first and the handle last: a crash in between leaves a row that nobody can name, and a handle that is
    /// still free.
    fn create_user(&mut self, turn: &mut Turn<'_>, ticket: Ticket, key: UserKey, row: UserRow, folded: String) {
        if !self.changing.insert(key) {
            return answer(turn, ticket, AdminAnswer::Busy);
        }
        let step = AccountStep::WriteUser { key, folded };
        turn.shared.desk.put(Purpose::Account(ticket, step), Put::User { key, row }, turn.effects);
    }

    /// Reads an account that nobody else changes until this is done.
    fn read_to_change(&mut self, turn: &mut Turn<'_>, ticket: Ticket, key: UserKey, step: AccountStep) {
        if !self.changing.insert(key) {
            return answer(turn, ticket, AdminAnswer::Busy);
        }
        turn.shared.desk.load(Purpose::Account(ticket, step), Load::User { key }, turn.effects);
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
            (AccountStep::ReadAccount, StoreResult::Loaded(Ok(Loaded::User(row)))) => {
                answer(turn, ticket, row.map_or(AdminAnswer::UnknownUser, AdminAnswer::Account));
            }
            (
                AccountStep::ReadVersion { key, version, account, adds_device },
                StoreResult::Loaded(Ok(Loaded::User(row))),
            ) => match row {
                None => self.end(turn, ticket, key, AdminAnswer::UnknownUser),
                Some(row) if row.version != version => self.end(turn, ticket, key, AdminAnswer::AccountChanged),
                Some(row) => {
                    let devices = row.devices + u32::from(adds_device);
                    let row = UserRow { version: version + 1, account, devices, ..*row };
                    self.write(turn, ticket, AccountStep::WriteAccount { key, devices }, Put::User { key, row });
                }
            },
            (AccountStep::WriteAccount { key, devices }, StoreResult::Put(Ok(_))) => {
                self.end(turn, ticket, key, AdminAnswer::AccountWritten(DeviceId(devices)));
            }
            (step, result) => self.failed(turn, ticket, &step, &result),
        }
    }

    /// The second step of a change.
    fn write(&mut self, turn: &mut Turn<'_>, ticket: Ticket, step: AccountStep, put: Put) {
        let Put::User { key, .. } = put else { unreachable!("accounts are rows of users") };
        if !turn.shared.desk.can_put(&turn.shared.limits) {
            return self.end(turn, ticket, key, AdminAnswer::Busy);
        }
        turn.shared.desk.put(Purpose::Account(ticket, step), put, turn.effects);
    }

    fn add_device(&mut self, turn: &mut Turn<'_>, ticket: Ticket, key: UserKey, row: Option<Box<UserRow>>) {
        let Some(mut row) = row else {
            return self.end(turn, ticket, key, AdminAnswer::UnknownUser);
        };
        row.devices += 1;
        row.version += 1;
        let step = AccountStep::WriteDevice { key, device: row.devices };
        self.write(turn, ticket, step, Put::User { key, row: *row });
    }

    fn failed(&mut self, turn: &mut Turn<'_>, ticket: Ticket, step: &AccountStep, result: &StoreResult) {
        let full = matches!(result, StoreResult::Put(Err(StoreFault::Full)));
        let said = if full { AdminAnswer::StorageFull } else { AdminAnswer::StorageUnavailable };
        match step {
            AccountStep::WriteUser { key, .. }
            | AccountStep::Claim(key)
            | AccountStep::ReadUser(key)
            | AccountStep::WriteDevice { key, .. }
            | AccountStep::ReadVersion { key, .. }
            | AccountStep::WriteAccount { key, .. } => self.end(turn, ticket, *key, said),
            AccountStep::FindHandle | AccountStep::ReadAccount => answer(turn, ticket, said),
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

#[cfg(test)]
mod tests {
    use alloc::collections::{BTreeMap, VecDeque};
    use alloc::sync::Arc;
    use alloc::vec;
    use alloc::vec::Vec;

    use trunkline_wire::ids::{TenantId, UserId};
    use trunkline_wire::token::{TokenKey, TokenKeys};

    use super::*;
    use crate::contract::{Core, Effects, Event, Now};
    use crate::limits::Limits;
    use crate::{Doorstep, LaneRoom, Shard, ShardConfig};

    const TENANT: TenantId = TenantId(0);
    const USER: UserId = UserId(7);

    /// A shard over a store of accounts, which answers when asked to.
    struct Rig {
        shard: Shard,
        rows: BTreeMap<UserKey, UserRow>,
        asked: VecDeque<(Ticket, Result<Load, Put>)>,
        answers: Vec<(Ticket, AdminAnswer)>,
    }

    impl Rig {
        fn new() -> Rig {
            let keys = TokenKeys::new(vec![TokenKey { id: 1, secret: [7; 32] }]).unwrap();
            let (room, now) = (LaneRoom { pushes: 0, answers: 0 }, Now::default());
            let shard = Shard::new(ShardConfig {
                shard: 0,
                shards: 1,
                keys,
                limits: Limits::default(),
                room,
                seed: [0; 32],
                incarnation: 1,
                revocations: Arc::from([]),
                doorstep: Doorstep::default(),
                now,
            });
            Rig { shard, rows: BTreeMap::new(), asked: VecDeque::new(), answers: Vec::new() }
        }

        fn apply(&mut self, event: Event<'_>) {
            let mut effects = Effects::new();
            self.shard.apply(Now::default(), event, &mut effects);
            for effect in effects.drain() {
                match effect {
                    Effect::Load { ticket, load } => self.asked.push_back((ticket, Ok(*load))),
                    Effect::Put { ticket, put } => self.asked.push_back((ticket, Err(*put))),
                    Effect::Answer { ticket, answer } => self.answers.push((ticket, answer)),
                    other => panic!("{other:?}"),
                }
            }
        }

        /// The store answers what was asked first.
        fn step(&mut self, fault: Option<StoreFault>) {
            let (ticket, asked) = self.asked.pop_front().expect("something is asked of the store");
            let result = match asked {
                Ok(Load::User { key }) => {
                    StoreResult::Loaded(fault.map_or(Ok(Loaded::User(self.rows.get(&key).cloned().map(Box::new))), Err))
                }
                Err(Put::User { key, row }) => StoreResult::Put(fault.map_or_else(
                    || {
                        self.rows.insert(key, row);
                        Ok(PutOutcome::Done)
                    },
                    Err,
                )),
                Err(Put::ClaimHandle { user, .. }) => StoreResult::Put(Ok(PutOutcome::Owner(user))),
                other => panic!("{other:?}"),
            };
            self.apply(Event::Stored { ticket, result });
        }

        /// Asks and lets the store answer everything.
        fn ask(&mut self, request: AdminRequest) -> AdminAnswer {
            self.apply(Event::Admin { ticket: Ticket(1), request });
            while !self.asked.is_empty() {
                self.step(None);
            }
            self.answers.pop().expect("an answer").1
        }

        fn read(&mut self) -> UserRow {
            match self.ask(AdminRequest::ReadAccount { tenant: TENANT, user: USER }) {
                AdminAnswer::Account(row) => *row,
                other => panic!("{other:?}"),
            }
        }
    }

    fn create() -> AdminRequest {
        let (handle, folded) = ("Alice".into(), "alice".into());
        AdminRequest::CreateUser { tenant: TENANT, user: USER, handle, folded, account: vec![1] }
    }

    fn write(version: u64, account: &[u8], adds_device: bool) -> AdminRequest {
        AdminRequest::WriteAccount { tenant: TENANT, user: USER, version, account: account.to_vec(), adds_device }
    }

    #[test]
    fn an_account_is_changed_by_whoever_has_read_it_last() {
        let mut rig = Rig::new();
        assert_eq!(rig.ask(write(0, &[9], false)), AdminAnswer::UnknownUser);
        assert_eq!(rig.ask(AdminRequest::ReadAccount { tenant: TENANT, user: USER }), AdminAnswer::UnknownUser);
        assert_eq!(rig.ask(create()), AdminAnswer::UserCreated(DeviceId(1)));
        assert_eq!((rig.read().version, rig.read().account), (0, vec![1]));
        assert_eq!(rig.ask(write(0, &[2], false)), AdminAnswer::AccountWritten(DeviceId(1)));
        assert_eq!(rig.ask(write(0, &[3], true)), AdminAnswer::AccountChanged);
        assert_eq!(rig.ask(write(1, &[4], true)), AdminAnswer::AccountWritten(DeviceId(2)));
        let row = rig.read();
        assert_eq!((row.version, row.account, row.devices, row.handle.as_str()), (2, vec![4], 2, "Alice"));
        let device = AdminRequest::CreateDevice { tenant: TENANT, user: USER };
        assert_eq!(rig.ask(device), AdminAnswer::DeviceCreated(DeviceId(3)));
        assert_eq!((rig.read().version, rig.read().account), (3, vec![4]), "whoever counts on devices reads again");
    }

    #[test]
    fn of_two_at_the_same_time_one_is_told_to_come_again() {
        let mut rig = Rig::new();
        rig.ask(create());
        rig.apply(Event::Admin { ticket: Ticket(1), request: write(0, &[2], false) });
        rig.apply(Event::Admin { ticket: Ticket(2), request: write(0, &[3], false) });
        assert_eq!(rig.answers, [(Ticket(2), AdminAnswer::Busy)]);
        rig.step(None);
        rig.step(None);
        assert_eq!(rig.answers.pop(), Some((Ticket(1), AdminAnswer::AccountWritten(DeviceId(1)))));
        assert_eq!(rig.read().account, [2]);
    }

    #[test]
    fn a_fault_of_the_store_is_told_and_bars_nobody() {
        let mut rig = Rig::new();
        rig.ask(create());
        for (faults, said) in [
            (&[Some(StoreFault::Unknown)][..], AdminAnswer::StorageUnavailable),
            (&[None, Some(StoreFault::Unknown)], AdminAnswer::StorageUnavailable),
            (&[None, Some(StoreFault::Full)], AdminAnswer::StorageFull),
        ] {
            rig.apply(Event::Admin { ticket: Ticket(1), request: write(0, &[2], false) });
            faults.iter().for_each(|fault| rig.step(*fault));
            assert_eq!(rig.answers.pop(), Some((Ticket(1), said)));
            assert_eq!(rig.read().account, [1]);
        }
        assert_eq!(rig.ask(write(0, &[2], false)), AdminAnswer::AccountWritten(DeviceId(1)));
    }
}
