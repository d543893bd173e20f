//! Shards for tests: accounts in a map, faults on demand.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use trunkline_shards::contract::{AdminAnswer, AdminRequest, ShardId};
use trunkline_shards::counters::Counters;
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
    devices: HashMap<UserId, u32>,
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
            AdminRequest::CreateUser { tenant, user, folded, .. } => {
                assert_home(tenant, user);
                if state.handles.contains_key(&folded) {
                    return Ok(AdminAnswer::HandleTaken);
                }
                state.handles.insert(folded, user);
                state.devices.insert(user, 1);
                AdminAnswer::UserCreated(DeviceId(1))
            }
            AdminRequest::FindHandle { folded, .. } => AdminAnswer::HandleFound(state.handles.get(&folded).copied()),
            AdminRequest::CreateDevice { tenant, user } => {
                assert_home(tenant, user);
                let Some(devices) = state.devices.get_mut(&user) else { return Ok(AdminAnswer::UnknownUser) };
                *devices += 1;
                AdminAnswer::DeviceCreated(DeviceId(*devices))
            }
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
    };
    Admin::new(TestShards::new(shards), keys(), facts)
}
