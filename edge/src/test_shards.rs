//! Shards for tests: accounts in a map, faults on demand.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use trunkline_shards::contacts::{ContactsAnswer, ContactsRequest, judge};
use trunkline_shards::contract::{AdminAnswer, AdminRequest, ShardId};
use trunkline_shards::counters::Counters;
use trunkline_shards::directory::{ConversationInfo, DirectoryAnswer, DirectoryRequest};
use trunkline_shards::store::{
    Block, ContactCounts, ContactEntry, ContactRow, ConversationKey, Revocation, UserKey, UserRow,
};
use trunkline_wire::ids::{ConversationId, DeviceId, HashSlot, TenantId, UserId};
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
    revocations: Vec<Revocation>,
    contacts: BTreeMap<(UserId, UserId), ContactRow>,
    told: Vec<(ConversationKey, Block)>,
    conversations: BTreeMap<ConversationId, ConversationInfo>,
    clock_ms: u64,
    next: VecDeque<Result<AdminAnswer, AskError>>,
    /// After so many answers there is none.
    answers_left: Option<usize>,
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

    pub fn revocations(&self) -> Vec<Revocation> {
        self.state().revocations.clone()
    }

    pub fn fail_after(&self, answers: usize) {
        self.state().answers_left = Some(answers);
    }

    pub fn recover(&self) {
        self.state().answers_left = None;
    }

    /// What a user is to another, from its side.
    pub fn side(&self, user: UserId, peer: UserId) -> ContactRow {
        self.state().contacts.get(&(user, peer)).copied().unwrap_or_default()
    }

    /// What homes of 1:1s were told.
    pub fn told(&self) -> Vec<(ConversationKey, Block)> {
        self.state().told.clone()
    }

    pub fn put_conversation(&self, conversation: ConversationId, info: ConversationInfo) {
        self.state().conversations.insert(conversation, info);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn contacts(&mut self, request: ContactsRequest) -> ContactsAnswer {
        match request {
            ContactsRequest::Change { user, peer, change, .. } => {
                let before = self.contacts.get(&(user, peer)).copied().unwrap_or_default();
                let mut counts = ContactCounts::default();
                self.contacts.iter().filter(|((of, _), _)| *of == user).for_each(|(_, row)| counts.add(row));
                match judge(before, change, counts) {
                    Err(refusal) => ContactsAnswer::Refused(refusal),
                    Ok(after) if after == before => ContactsAnswer::Changed(before),
                    Ok(after) => {
                        self.clock_ms += 1;
                        let row = ContactRow { changed_ms: self.clock_ms, ..after };
                        self.contacts.insert((user, peer), row);
                        self.contacts.retain(|_, row| !row.is_empty());
                        ContactsAnswer::Changed(row)
                    }
                }
            }
            ContactsRequest::Read { user, peer, .. } => {
                ContactsAnswer::Row(self.contacts.get(&(user, peer)).copied().unwrap_or_default())
            }
            ContactsRequest::List { user, after, rows_max, .. } => {
                let handle = |peer| self.users.get(&peer).map(|row| row.handle.clone()).unwrap_or_default();
                let behind = self.contacts.iter().filter(|((of, peer), _)| *of == user && *peer > after);
                let mut entries: Vec<_> =
                    behind.map(|(&(_, peer), &row)| ContactEntry { peer, handle: handle(peer), row }).collect();
                let more = entries.len() > rows_max as usize;
                entries.truncate(rows_max as usize);
                ContactsAnswer::Page(entries, more)
            }
            ContactsRequest::Tell { key, block } => {
                self.told.push((key, block));
                ContactsAnswer::Told
            }
        }
    }

    fn look(&self, request: DirectoryRequest) -> DirectoryAnswer {
        match request {
            DirectoryRequest::Conversation { key } => {
                DirectoryAnswer::Conversation(self.conversations.get(&key.conversation).cloned().map(Box::new))
            }
            DirectoryRequest::Users { prefix, after, rows_max, .. } => {
                let fits = |folded: &String| folded.starts_with(&prefix) && *folded > after;
                let mut found: Vec<_> =
                    self.handles.iter().filter(|(folded, _)| fits(folded)).map(|(f, &u)| (f.clone(), u)).collect();
                found.sort();
                let more = found.len() > rows_max as usize;
                found.truncate(rows_max as usize);
                DirectoryAnswer::Users(found, more)
            }
            DirectoryRequest::Conversations { .. } => DirectoryAnswer::Conversations(Vec::new(), false),
        }
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
        match &mut state.answers_left {
            Some(0) => return Err(AskError::Ended),
            Some(left) => *left -= 1,
            None => {}
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
            AdminRequest::Revoke(revocation) => {
                assert_home(revocation.key.tenant, revocation.key.user);
                state.revocations.push(revocation);
                AdminAnswer::Revoked
            }
            AdminRequest::IsRevoked { key, device, issued_s } => {
                assert_home(key.tenant, key.user);
                AdminAnswer::IsRevoked(state.revocations.iter().any(|of| is_revoked(of, key, device, issued_s)))
            }
            AdminRequest::Contacts(request) => {
                if let ContactsRequest::Change { tenant, user, .. }
                | ContactsRequest::Read { tenant, user, .. }
                | ContactsRequest::List { tenant, user, .. } = request
                {
                    assert_home(tenant, user);
                }
                AdminAnswer::Contacts(state.contacts(request))
            }
            AdminRequest::Directory(request) => AdminAnswer::Directory(state.look(request)),
            AdminRequest::Archive(request) => unreachable!("nothing is archived here: {request:?}"),
            AdminRequest::Counters => {
                AdminAnswer::Counters(Box::new(Counters { messages_stored: 10, ..Counters::default() }))
            }
        })
    }
}

fn is_revoked(of: &Revocation, key: UserKey, device: DeviceId, issued_s: u64) -> bool {
    of.key == key && of.device.is_none_or(|revoked| revoked == device) && issued_s <= of.issued_to_s
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
