//! Reads along on a connection, below the SDK: what a client asks, and whether what the server says may be said.

mod answers;
mod pushes;

use std::collections::{BTreeSet, HashMap};

use trunkline_shards::store::{ConversationKey, Load, Loaded, UserKey};
use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, UserId};
use trunkline_wire::message::{Answer, Change, ConversationKind, ErrorCode, Request, decode_answer, decode_request};

use crate::oracle::blocks::Certainty;
use crate::oracle::logs::Made;
use crate::oracle::watermarks::Mark;
use crate::oracle::{Oracle, TENANT, Verdict};
use crate::process::brief;
use crate::store::Store;

/// Requests that go past the SDK are numbered from here on.
const RAW_REQUESTS: u32 = 1 << 31;

/// A request of a client.
#[derive(Clone, Debug)]
enum Asked {
    Open(ConversationId),
    Send(ConversationId),
    History { conversation: ConversationId, from_seq: u64, backward: bool },
    Sync { position: Option<u64>, below: u64 },
    Create(ConversationId),
    Change { conversation: ConversationId, change: Change, users: BTreeSet<UserId> },
    Members { conversation: ConversationId, after: UserId, limit: usize },
    Report,
    Typing(ConversationId),
    Other,
}

impl Asked {
    fn conversation(&self) -> Option<ConversationId> {
        match self {
            Asked::Open(id) | Asked::Send(id) | Asked::Create(id) | Asked::Typing(id) => Some(*id),
            Asked::History { conversation, .. }
            | Asked::Change { conversation, .. }
            | Asked::Members { conversation, .. } => Some(*conversation),
            Asked::Sync { .. } | Asked::Report | Asked::Other => None,
        }
    }
}

/// What its sender was when it asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Standing {
    /// The server knew that it is or was a member.
    known: bool,
    /// Its windows so far.
    windows: usize,
    member: bool,
    /// The same, and the process knows that the row which made it one is durable.
    surely: bool,
    /// It may change the members, and the process knows that all rows are durable.
    admin: bool,
    /// Whether the other one of a 1:1 blocks it.
    block: Certainty,
}

impl Standing {
    /// Of one who is nobody there.
    fn nobody(known: bool) -> Standing {
        let (windows, block) = (0, Certainty::OPEN);
        Standing { known, windows, member: false, surely: false, admin: false, block }
    }
}

/// What the server says of a conversation beside its messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// It was opened, and this device has confirmed nothing of it.
    Unconfirmed(ConversationId),
    /// It is in the list.
    Listed(ConversationId),
}

/// What the tap hears with: everything that is known, and the truth.
pub struct Ears<'a> {
    pub oracle: &'a mut Oracle,
    pub store: &'a Store,
    /// Milliseconds after which somebody no longer types.
    pub typing_ms: u64,
    /// Numbers of lists begin above this one.
    pub numbers_floor: u64,
    /// The client asked to go on from what its device has stored, and whether that was nothing.
    pub began_now: Option<bool>,
    /// What a program without a store of its own must know of conversations.
    pub heard: Vec<Heard>,
    /// What is worth counting.
    pub marks: Vec<&'static str>,
    /// Prints requests.
    pub tells: bool,
    /// The first thing that the server may not say.
    pub violation: Option<String>,
}

/// One connection of one device.
pub struct Tap {
    user: UserId,
    device: DeviceId,
    asked: HashMap<u32, (Asked, Standing)>,
    /// Requests that went past the SDK.
    raw: u32,
    /// Highest position that a Synced named.
    synced_to: u64,
    /// Highest position that an Advanced named.
    advanced_to: u64,
    /// Highest seq pushed, of each conversation.
    pushed: HashMap<ConversationId, u64>,
    /// Where the user was removed, as pushed here.
    removed: HashMap<ConversationId, u64>,
    /// What was pushed of others' watermarks.
    told: HashMap<(ConversationId, UserId), Mark>,
}

impl Tap {
    /// A connection that was just made.
    pub fn new(user: UserId, device: DeviceId) -> Tap {
        Tap {
            user,
            device,
            asked: HashMap::new(),
            raw: 0,
            synced_to: 0,
            advanced_to: 0,
            pushed: HashMap::new(),
            removed: HashMap::new(),
            told: HashMap::new(),
        }
    }

    /// A number for a request that goes past the SDK; none while one is under way.
    pub fn raw_request(&mut self) -> Option<u32> {
        if self.asked.contains_key(&(RAW_REQUESTS + self.raw)) {
            return None;
        }
        self.raw += 1;
        Some(RAW_REQUESTS + self.raw)
    }

    /// The highest position that the server spoke of here.
    pub fn heard_position(&self) -> u64 {
        self.synced_to.max(self.advanced_to)
    }

    /// The client sends a request.
    pub fn hear_request(&mut self, ears: &mut Ears<'_>, envelope: &[u8]) {
        let (request, view) = decode_request(envelope).expect("the SDK's envelopes are well formed");
        let asked = self.read(ears, &view);
        let standing = self.standing(ears, &asked);
        if ears.tells {
            println!("{:>14} {} device {} asks: {}", "", self.user, self.device.0, brief(&asked));
        }
        let before = self.asked.insert(request, (asked, standing));
        assert!(before.is_none(), "the SDK uses a request's number once");
    }

    fn read(&self, ears: &mut Ears<'_>, view: &Request<'_>) -> Asked {
        let id = |id: Option<&trunkline_wire::message::schema::ConversationId>| {
            ConversationId(id.expect("the SDK names conversations").0)
        };
        match view {
            Request::Open(open) if open.peer() != 0 => {
                Asked::Open(ConversationId::direct(TENANT, self.user, UserId(open.peer())))
            }
            Request::Open(open) => Asked::Open(id(open.conversation())),
            Request::Send(send) => {
                let conversation = id(send.conversation());
                let block = ears.oracle.block_of(conversation, self.user);
                for message in send.messages().into_iter().flatten() {
                    ears.oracle.blocks.sent(MessageId(message.message_id()), block);
                }
                Asked::Send(conversation)
            }
            Request::History(history) => Asked::History {
                conversation: id(history.conversation()),
                from_seq: history.from_seq(),
                backward: history.backward(),
            },
            Request::Sync(sync) => {
                if sync.stored() && sync.below() == 0 {
                    let key = UserKey { tenant: TENANT, user: self.user };
                    let stored = ears.store.read(&Load::Position { key, device: self.device });
                    ears.began_now = Some(stored == Loaded::Position(None));
                }
                Asked::Sync { position: (!sync.stored()).then(|| sync.position()), below: sync.below() }
            }
            Request::CreateGroup(group) => {
                let conversation = ConversationId::group(TENANT, self.user, group.nonce());
                let mut members = users_of(group.members().into_iter().flatten());
                members.remove(&self.user);
                let title = group.title().unwrap_or_default().to_owned();
                if ears.oracle.logs.log(conversation).is_some() {
                    ears.marks.push("creations_repeated");
                }
                ears.oracle.logs.add(conversation, Made::Group { creator: self.user, title, members });
                Asked::Create(conversation)
            }
            Request::ChangeMembers(change) => {
                let kind = Change::from_number(change.change()).expect("the SDK adds or removes");
                let (conversation, users) = (id(change.conversation()), users_of(change.users().into_iter().flatten()));
                ears.oracle.logs.want(conversation, self.user, kind, users.clone());
                Asked::Change { conversation, change: kind, users }
            }
            Request::Members(members) => Asked::Members {
                conversation: id(members.conversation()),
                after: UserId(members.after()),
                limit: usize::from(members.limit()),
            },
            Request::Report(report) => {
                for receipt in report.receipts().into_iter().flatten() {
                    let mark = Mark { delivered: receipt.delivered_seq(), read: receipt.read_seq() };
                    let conversation = ConversationId(receipt.conversation().0);
                    ears.oracle.watermarks.report(conversation, self.user, self.device, mark);
                }
                Asked::Report
            }
            Request::Typing(typing) => {
                let conversation = id(typing.conversation());
                ears.oracle.typed.insert((conversation, self.user));
                Asked::Typing(conversation)
            }
            Request::Hello(_) | Request::Resolve(_) | Request::Renew(_) => Asked::Other,
        }
    }

    /// The server says something.
    pub fn hear_answer(&mut self, ears: &mut Ears<'_>, envelope: &[u8]) {
        if let Err(violation) = self.judge(ears, envelope) {
            ears.violation.get_or_insert(violation);
        }
    }

    fn judge(&mut self, ears: &mut Ears<'_>, envelope: &[u8]) -> Verdict {
        let Ok((request, answer)) = decode_answer(envelope) else {
            return Err("the server sent what is no envelope".to_owned());
        };
        if ears.tells {
            println!("{:>14} {} device {} hears: {}", "", self.user, self.device.0, brief(&answer));
        }
        if request == 0 {
            return self.pushed(ears, &answer);
        }
        let Some((asked, before)) = self.asked.remove(&request) else {
            return Err(format!("request {request} was answered twice, or never asked"));
        };
        if let Answer::Error(error) = &answer {
            let code = ErrorCode::from_number(error.code()).ok_or("an error without a code")?;
            return self.refused(ears, &asked, before, code);
        }
        if let Some(conversation) = asked.conversation() {
            let log = ears.oracle.log_now(ears.store, conversation)?;
            if log.windows(self.user).is_empty() {
                return Err(format!("SEC-2: {} never was in {conversation} and got {answer:?}", self.user));
            }
        }
        self.answered(ears, asked, before, &answer)
    }

    fn standing(&self, ears: &mut Ears<'_>, asked: &Asked) -> Standing {
        let Some(conversation) = asked.conversation() else {
            return Standing::nobody(false);
        };
        let known = ears.oracle.is_known_member(conversation, self.user);
        let key = ConversationKey { tenant: TENANT, conversation };
        let block = ears.oracle.block_of(conversation, self.user);
        match ears.oracle.log_now(ears.store, conversation) {
            Ok(log) => Standing {
                known,
                windows: log.windows(self.user).len(),
                member: log.is_member(self.user),
                surely: log.is_member(self.user)
                    && log.window(self.user).is_some_and(|window| ears.store.is_settled(key, window.joined)),
                admin: log.kind() == ConversationKind::Group
                    && log.is_admin(self.user)
                    && ears.store.is_settled(key, log.last()),
                block,
            },
            Err(_) => Standing::nobody(known),
        }
    }

    /// A request failed as a whole.
    fn refused(&self, ears: &mut Ears<'_>, asked: &Asked, before: Standing, code: ErrorCode) -> Verdict {
        let now = self.standing(ears, asked);
        let Some(conversation) = asked.conversation() else { return Ok(()) };
        let log = ears.oracle.log_now(ears.store, conversation)?;
        let stranger = log.windows(self.user).is_empty() && !matches!(asked, Asked::Create(_));
        match (code, asked) {
            (ErrorCode::NotFound, _) if before.known => {
                Err(format!("REL-7: {} is or was in {conversation} and {asked:?} is answered not_found", self.user))
            }
            (ErrorCode::Forbidden | ErrorCode::GroupFull, _) if stranger => {
                Err(format!("SEC-2: {} never was in {conversation} and {asked:?} says {}", self.user, code.name()))
            }
            (ErrorCode::Forbidden, Asked::Change { .. }) if before.admin && now == before => {
                Err(format!("REL-7: {} is an admin of {conversation}, {asked:?} is forbidden", self.user))
            }
            (ErrorCode::Forbidden, Asked::Members { .. } | Asked::Typing(_)) if before.surely && now == before => {
                Err(format!("REL-7: {} is in {conversation}, {asked:?} is forbidden", self.user))
            }
            (ErrorCode::Forbidden, Asked::Open(_) | Asked::History { .. }) => {
                Err(format!("REL-7: {} may see its part of {conversation}: {asked:?}", self.user))
            }
            (ErrorCode::NotFound, _) => {
                ears.marks.push("strangers_refused");
                Ok(())
            }
            (ErrorCode::Busy, Asked::Change { change: Change::Added, users, .. }) => {
                let back = |user: &UserId| log.window(*user).is_some_and(|window| window.left != u64::MAX);
                if users.iter().any(back) {
                    ears.marks.push("readds_busy");
                }
                Ok(())
            }
            (ErrorCode::Busy, Asked::Create(_)) => {
                ears.marks.push("creations_busy");
                Ok(())
            }
            (ErrorCode::Forbidden, Asked::Change { .. }) => {
                ears.marks.push("changes_forbidden");
                Ok(())
            }
            (ErrorCode::Forbidden, Asked::Members { .. } | Asked::Typing(_)) => {
                ears.marks.push("ex_members_refused");
                Ok(())
            }
            (ErrorCode::StorageFull, Asked::Change { .. } | Asked::Create(_)) => {
                ears.marks.push("changes_refused_storage_full");
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn users_of(users: impl Iterator<Item = u64>) -> BTreeSet<UserId> {
    users.map(UserId).collect()
}
