//! Shards for tests: accounts in a map, faults on demand.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use trunkline_shards::contract::{AdminAnswer, AdminRequest, ShardId};
use trunkline_shards::counters::Counters;
use trunkline_shards::store::UserRow;
use trunkline_wire::ids::{DeviceId, HashSlot, TenantId, UserId};
use trunkline_wire::token::{TokenKey, TokenKeys};

use crate::admin::{Admin, Facts};
use crate::ask::{AskError, Shards};

pub(crate) struct TestShards {
    count: u16,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    handles: HashMap<String, UserId>,
    users: HashMap<UserId, UserRow>,
    next: VecDeque<Result<AdminAnswer, AskError>>,
}

impl TestShards {
    pub fn new(count: u16) -> TestShards {
        TestShards { count, state: Mutex::default() }
    }

    pub fn be_busy(&self, times: usize) {
        let busy = [Ok(AdminAnswer::Busy), Err(AskError::Full)];
        self.state().next.extend(busy.into_iter().cycle().take(times));
    }

    pub fn answer_next(&self, answer: Result<AdminAnswer, AskError>) {
        self.state().next.push_back(answer);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Shards for TestShards {
    fn count(&self) -> u16 {
        self.count
    }

    fn ask_within(&self, shard: ShardId, request: AdminRequest, _: Duration) -> Result<AdminAnswer, AskError> {
        assert!(shard < self.count);
        let mut state = self.state();
        if let Some(next) = state.next.pop_front() {
            return next;
        }
        let assert_home = |tenant: TenantId, user| assert_eq!(HashSlot::of_user(tenant, user).shard(self.count), shard);
        Ok(match request {
            AdminRequest::CreateUser { tenant, user, handle, folded, account } => {
                assert_home(tenant, user);
                if state.handles.contains_key(&folded) {
                    return Ok(AdminAnswer::HandleTaken);
                }
                state.handles.insert(folded, user);
                let row = UserRow { handle, account, devices: 1, ..UserRow::default() };
                state.users.insert(user, row);
                AdminAnswer::UserCreated(DeviceId(1))
            }
            AdminRequest::FindHandle { folded, .. } => AdminAnswer::HandleFound(state.handles.get(&folded).copied()),
            AdminRequest::CreateDevice { tenant, user } => {
                assert_home(tenant, user);
                let Some(row) = state.users.get_mut(&user) else { return Ok(AdminAnswer::UnknownUser) };
                row.devices += 1;
                row.version += 1;
                AdminAnswer::DeviceCreated(DeviceId(row.devices))
            }
            AdminRequest::ReadAccount { tenant, user } => {
                assert_home(tenant, user);
                let row = state.users.get(&user).cloned();
                row.map_or(AdminAnswer::UnknownUser, |row| AdminAnswer::Account(Box::new(row)))
            }
            AdminRequest::WriteAccount { tenant, user, version, account, adds_device } => {
                assert_home(tenant, user);
                let Some(row) = state.users.get_mut(&user) else { return Ok(AdminAnswer::UnknownUser) };
                if row.version != version {
                    return Ok(AdminAnswer::AccountChanged);
                }
                (row.version, row.account) = (version + 1, account);
                row.devices += u32::from(adds_device);
                AdminAnswer::AccountWritten(DeviceId(row.devices))
            }
            AdminRequest::Archive(request) => unreachable!("nothing is archived here: {request:?}"),
            AdminRequest::Counters => {
                AdminAnswer::Counters(Box::new(Counters { messages_stored: 10, ..Counters::default() }))
            }
        })
    }
}

pub(crate) fn keys() -> TokenKeys {
    TokenKeys::new(vec![TokenKey { id: 1, secret: [7; 32] }]).unwrap()
}

pub(crate) fn admin(shards: u16) -> Admin<TestShards> {
    let facts = Facts {
        version: "0",
        pid: 1,
        shards,
        store: "memory".to_owned(),
        listen: "127.0.0.1:1".to_owned(),
        admin_listen: None,
        http_listen: None,
    };
    Admin::new(TestShards::new(shards), keys(), facts)
}
