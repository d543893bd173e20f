//! What an administrator asks of conversations at large: to import what was said elsewhere, and to read what there is.
//!
//! An import goes to the home of its conversation, where its messages are judged as those of one device. Its senders are
//! users without handle or device, whose rows say what they were called. They are the same whoever writes them, and nobody
//! else does: so any shard may.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use trunkline_wire::ids::{ConversationId, MessageId, TenantId, UserId};
use trunkline_wire::message::{ContentKind, ErrorCode};

use crate::contract::{AdminAnswer, ConnectionId, Effect, Ticket};
use crate::conversations::Conversations;
use crate::desk::{ArchiveStep, Purpose};
use crate::entry::{Address, Caller, HomeAnswer, HomeRequest, OutgoingMessage};
use crate::router::Reply;
use crate::store::{
    ArchiveLoad, ArchiveLoaded, ConversationKey, IMPORTER, Load, Loaded, Put, Row, SenderName, StoreFault, StoreResult,
    UserKey, UserRow,
};
use crate::turn::Turn;

/// A message of an import.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImportLine {
    /// Its number in the conversation, from 1.
    pub number: u64,
    /// Made of what it says: see [`MessageId::imported`].
    pub message_id: MessageId,
    /// Who said it.
    pub sender: UserId,
    /// When: milliseconds since 1970, not 0.
    pub sent_at_ms: u64,
    /// What: at most [`trunkline_wire::limits::BODY_BYTES_MAX`] bytes, perhaps none.
    pub text: String,
}

/// What an imported message says of itself beside its text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Imported {
    /// Who said it.
    pub sender: UserId,
    /// When: milliseconds since 1970, not 0.
    pub sent_at_ms: u64,
}

/// What is durable of an import.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ImportAck {
    /// So many of its first messages.
    pub accepted: u64,
    /// Why the next one is not; none: all are.
    pub refusal: Option<ErrorCode>,
    /// The highest number that is durable.
    pub high: u64,
}

/// A question about conversations at large.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ArchiveRequest {
    /// Any shard: these senders become users, those that are not yet.
    KeepSenders {
        /// The tenant.
        tenant: TenantId,
        /// With what they are called.
        senders: Vec<(UserId, String)>,
    },
    /// Home of the conversation of a name: messages for it, with consecutive numbers.
    Import {
        /// The tenant.
        tenant: TenantId,
        /// The name.
        name: String,
        /// In order; their senders are users.
        lines: Vec<ImportLine>,
    },
    /// Home of the conversation: these users see it.
    Admit {
        /// Which.
        key: ConversationKey,
        /// Ascending, at least one; all of them are users.
        users: Vec<UserId>,
    },
    /// Any shard: rows from a seq on, upwards.
    Rows {
        /// Which conversation.
        key: ConversationKey,
        /// Where to begin.
        from_seq: u64,
        /// Most rows.
        rows_max: u32,
        /// Most bytes.
        cost_bytes_max: u32,
    },
    /// Any shard: a read of conversations or names.
    Read(ArchiveLoad),
}

/// The answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ArchiveAnswer {
    /// The senders are users.
    SendersKept,
    /// This one is not: another user has the id of its name.
    SenderTaken(UserId),
    /// How far the import is.
    Imported(ImportAck),
    /// Done, durably.
    Done,
    /// The rows; none: there are no more.
    Rows(Vec<Row>),
    /// What was read.
    Read(ArchiveLoaded),
    /// The conversation refuses it.
    Refused(ErrorCode),
}

/// The importer, who has no connection.
pub(crate) fn importer(own: u16, tenant: TenantId) -> Caller {
    let address = Address { shard: own, connection: ConnectionId { slot: u32::MAX, generation: 0 } };
    Caller { tenant, user: IMPORTER.0, device: IMPORTER.1, address }
}

/// An administrator asks.
pub(crate) fn request(turn: &mut Turn<'_>, conversations: &mut Conversations, ticket: Ticket, request: ArchiveRequest) {
    let limits = &turn.shared.limits;
    if !turn.shared.desk.can_put(limits) || !turn.shared.desk.can_load(limits) {
        return answer(turn, ticket, AdminAnswer::Busy);
    }
    let own = turn.shared.router.own();
    match request {
        ArchiveRequest::KeepSenders { tenant, senders } => {
            let users = senders.iter().map(|(user, _)| *user).collect();
            let load = Load::Archive(ArchiveLoad::Names { tenant, users });
            let step = ArchiveStep::ReadSenders(tenant, senders);
            turn.shared.desk.load(Purpose::Archive(ticket, step), load, turn.effects);
        }
        ArchiveRequest::Import { tenant, name, lines } => {
            let conversation = ConversationId::imported(tenant, &name);
            let messages = lines.into_iter().map(message_of).collect();
            let asked = HomeRequest::Import { caller: importer(own, tenant), conversation, name, messages };
            conversations.request(turn, Reply::Administrator(ticket), asked);
        }
        ArchiveRequest::Admit { key, users } => {
            let (caller, conversation) = (importer(own, key.tenant), key.conversation);
            let asked = HomeRequest::Admit { caller, conversation, users };
            conversations.request(turn, Reply::Administrator(ticket), asked);
        }
        ArchiveRequest::Rows { key, from_seq, rows_max, cost_bytes_max } => {
            let load = Load::History { key, from_seq, backward: false, rows_max, cost_bytes_max };
            turn.shared.desk.load(Purpose::Archive(ticket, ArchiveStep::Read), load, turn.effects);
        }
        ArchiveRequest::Read(load) => {
            let purpose = Purpose::Archive(ticket, ArchiveStep::Read);
            turn.shared.desk.load(purpose, Load::Archive(load), turn.effects);
        }
    }
}

fn message_of(line: ImportLine) -> OutgoingMessage {
    OutgoingMessage {
        client_seq: line.number,
        message_id: line.message_id,
        kind: ContentKind::Text as u8,
        flags: 0,
        ref_seq: 0,
        mls_epoch: 0,
        refusal: None,
        imported: Some(Imported { sender: line.sender, sent_at_ms: line.sent_at_ms }),
        body: Arc::from(line.text.into_bytes()),
    }
}

/// The store has answered.
pub(crate) fn stored(turn: &mut Turn<'_>, ticket: Ticket, step: ArchiveStep, result: StoreResult) {
    let said = match (step, result) {
        (
            ArchiveStep::ReadSenders(tenant, senders),
            StoreResult::Loaded(Ok(Loaded::Archive(ArchiveLoaded::Names(known)))),
        ) => return keep_senders(turn, ticket, tenant, senders, &known),
        (ArchiveStep::WriteSenders, StoreResult::Put(Ok(_))) => archived(ArchiveAnswer::SendersKept),
        (ArchiveStep::Read, StoreResult::Loaded(Ok(Loaded::History(rows)))) => archived(ArchiveAnswer::Rows(rows)),
        (ArchiveStep::Read, StoreResult::Loaded(Ok(Loaded::Archive(read)))) => archived(ArchiveAnswer::Read(read)),
        (_, StoreResult::Put(Err(StoreFault::Full))) => AdminAnswer::StorageFull,
        (_, StoreResult::Put(Err(StoreFault::Unknown)) | StoreResult::Loaded(Err(_))) => {
            AdminAnswer::StorageUnavailable
        }
        _ => unreachable!("the store answers what it was asked"),
    };
    answer(turn, ticket, said);
}

/// Writes those that are not there; all in one write, before any message of theirs.
fn keep_senders(
    turn: &mut Turn<'_>,
    ticket: Ticket,
    tenant: TenantId,
    senders: Vec<(UserId, String)>,
    known: &[SenderName],
) {
    let find = |user: UserId| known.iter().find(|known| known.user == user);
    let is_taken =
        |(user, name): &&(UserId, String)| find(*user).is_some_and(|known| !known.is_imported || known.name != *name);
    if let Some(&(user, _)) = senders.iter().find(is_taken) {
        return answer(turn, ticket, archived(ArchiveAnswer::SenderTaken(user)));
    }
    let created_ms = turn.now.wall_ms;
    let is_new = |(user, _): &(UserId, String)| find(*user).is_none();
    let row_of = |(user, name)| (UserKey { tenant, user }, UserRow { handle: name, created_ms, ..UserRow::default() });
    let rows: Vec<_> = senders.into_iter().filter(is_new).map(row_of).collect();
    if rows.is_empty() {
        return answer(turn, ticket, archived(ArchiveAnswer::SendersKept));
    }
    if !turn.shared.desk.can_put(&turn.shared.limits) {
        return answer(turn, ticket, AdminAnswer::Busy);
    }
    turn.shared.desk.put(Purpose::Archive(ticket, ArchiveStep::WriteSenders), Put::Users(rows), turn.effects);
}

fn archived(said: ArchiveAnswer) -> AdminAnswer {
    AdminAnswer::Archive(Box::new(said))
}

fn answer(turn: &mut Turn<'_>, ticket: Ticket, answer: AdminAnswer) {
    turn.effects.push(Effect::Answer { ticket, answer });
}

/// What a conversation said, for the administrator who asked it.
pub(crate) fn told(said: HomeAnswer) -> AdminAnswer {
    match said {
        HomeAnswer::Imported(ImportAck { accepted: 0, refusal: Some(code), .. }) if is_for_now(code) => of_code(code),
        HomeAnswer::Imported(ack) => archived(ArchiveAnswer::Imported(ack)),
        HomeAnswer::Frame(_) => archived(ArchiveAnswer::Done),
        HomeAnswer::Refused(code, _) => of_code(code),
        _ => unreachable!("a conversation answers what it was asked"),
    }
}

fn is_for_now(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::Busy | ErrorCode::StorageFull | ErrorCode::StorageUnavailable)
}

fn of_code(code: ErrorCode) -> AdminAnswer {
    match code {
        ErrorCode::Busy => AdminAnswer::Busy,
        ErrorCode::StorageFull => AdminAnswer::StorageFull,
        ErrorCode::StorageUnavailable => AdminAnswer::StorageUnavailable,
        code => archived(ArchiveAnswer::Refused(code)),
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use trunkline_wire::token::{TokenKey, TokenKeys};

    use super::*;
    use crate::contract::{AdminRequest, Core, Effects, Event, Now};
    use crate::limits::Limits;
    use crate::store::PutOutcome;
    use crate::{LaneRoom, Shard, ShardConfig};

    const TENANT: TenantId = TenantId(0);

    /// Asks to keep senders 5 and 6 where the store knows some users, and answers a write with this; the answer, and whether
    /// there was a write.
    fn keep(known: &[(u64, &str, bool)], put: Result<PutOutcome, StoreFault>) -> (AdminAnswer, Option<usize>) {
        let mut shard = Shard::new(ShardConfig {
            shard: 0,
            shards: 1,
            keys: TokenKeys::new(vec![TokenKey { id: 1, secret: [7; 32] }]).unwrap(),
            limits: Limits::default(),
            room: LaneRoom { pushes: 0, answers: 0 },
            seed: [1; 32],
            incarnation: 1,
            revocations: Arc::from([]),
            doorstep: crate::Doorstep::default(),
            now: Now::default(),
        });
        let senders = vec![(UserId(5), "Zoë".to_string()), (UserId(6), "zoë".to_string())];
        let request = AdminRequest::Archive(Box::new(ArchiveRequest::KeepSenders { tenant: TENANT, senders }));
        let mut effects = Effects::new();
        let mut event = Event::Admin { ticket: Ticket(9), request };
        let mut written = None;
        loop {
            shard.apply(Now::default(), event, &mut effects);
            let Some(effect) = effects.drain().next() else { panic!("something follows") };
            event = match effect {
                Effect::Answer { ticket: Ticket(9), answer } => return (answer, written),
                Effect::Load { ticket, .. } => {
                    let name = |&(user, name, is_imported): &(u64, &str, bool)| SenderName {
                        user: UserId(user),
                        name: name.to_string(),
                        is_imported,
                    };
                    let names = ArchiveLoaded::Names(known.iter().map(name).collect());
                    Event::Stored { ticket, result: StoreResult::Loaded(Ok(Loaded::Archive(names))) }
                }
                Effect::Put { ticket, put: rows } => {
                    let Put::Users(rows) = *rows else { panic!("rows of users are written") };
                    assert!(rows.iter().all(|(_, row)| row.devices == 0 && row.account.is_empty()));
                    written = Some(rows.len());
                    Event::Stored { ticket, result: StoreResult::Put(put) }
                }
                effect => panic!("{effect:?}"),
            };
        }
    }

    #[test]
    fn senders_are_kept_once_and_take_nobodys_place() {
        let kept = archived(ArchiveAnswer::SendersKept);
        let done = Ok(PutOutcome::Done);
        assert_eq!(keep(&[], done), (kept.clone(), Some(2)));
        assert_eq!(keep(&[(5, "Zoë", true)], done), (kept.clone(), Some(1)));
        assert_eq!(keep(&[(5, "Zoë", true), (6, "zoë", true)], done), (kept, None));
        for other in [(6, "Zoë", true), (6, "zoë", false), (6, "", true)] {
            let taken = archived(ArchiveAnswer::SenderTaken(UserId(6)));
            assert_eq!(keep(&[other], done), (taken, None), "{other:?}");
        }
        assert_eq!(keep(&[], Err(StoreFault::Full)), (AdminAnswer::StorageFull, Some(2)));
        assert_eq!(keep(&[], Err(StoreFault::Unknown)), (AdminAnswer::StorageUnavailable, Some(2)));
    }
}
