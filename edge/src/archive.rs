//! Imports and exports, as lines of JSON on the admin socket or in a folder at rest: what was said elsewhere comes into
//! conversations of its own, and everything that was said can be taken away.
//!
//! A line of an import has the conversation's name, the sender's name, the time and the text. Names are exact: two that differ
//! in anything are two. The ids of conversation, sender and message follow from them, so that the same line at the same place
//! is the same message however often it comes.

mod lines;

use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use trunkline_shards::archive::{ArchiveAnswer, ArchiveRequest, ImportLine};
use trunkline_shards::contract::{AdminAnswer, AdminRequest, ShardId};
use trunkline_shards::store::{ArchiveLoad, ArchiveLoaded, ConversationKey, Row};
use trunkline_wire::handle::Handle;
use trunkline_wire::ids::{ConversationId, HashSlot, UserId};
use trunkline_wire::limits::SEND_BYTES_MAX;
use trunkline_wire::message::{ContentKind, ConversationKind, ErrorCode};

use crate::accounts::{Accounts, TENANT};
use crate::admin::Refusal;
use crate::ask::{Shards, ask_patiently};
use crate::limits::{EXPORT_BYTES_MAX, EXPORT_CONVERSATIONS_MAX, EXPORT_ROWS_MAX, IMPORT_LINES_MAX, SENDERS_KNOWN_MAX};

pub use lines::{
    Checked, Conversations, ExportConversations, ExportRows, Exported, ImportCheck, ImportLines, ImportMembers,
    Imported, LineError, Said, check_conversation, conversation_of,
};

/// Senders that are known to be users, so that not every line asks. Forgetting is harmless.
#[derive(Debug, Default)]
pub struct KnownSenders(Mutex<HashSet<UserId>>);

/// Does what imports and exports ask.
pub struct Archive<'a, S: ?Sized> {
    /// Who is asked, and who knows handles.
    pub accounts: Accounts<'a, S>,
    /// What it knows already.
    pub known: &'a KnownSenders,
}

type Answer<T> = Result<T, Refusal>;

impl<S: Shards + ?Sized> Archive<'_, S> {
    /// Imports lines. Their senders are users before they are.
    ///
    /// # Errors
    /// Lines that are none, and what the store refuses; nothing is imported then.
    pub fn import(&self, asked: &ImportLines) -> Answer<Imported> {
        let ImportLines { conversation: name, first, lines } = asked;
        check_conversation(name).map_err(|error| malformed(&error))?;
        let bytes: usize = lines.iter().map(|line| line.text.len()).sum();
        let is_too_much = lines.len() > IMPORT_LINES_MAX || lines.len() > 1 && bytes > SEND_BYTES_MAX;
        if lines.is_empty() || is_too_much || *first == 0 || first.checked_add(lines.len() as u64).is_none() {
            let text =
                format!("1 to {IMPORT_LINES_MAX} lines and {SEND_BYTES_MAX} bytes come at a time, from number 1 on");
            return Err(malformed(&text));
        }
        lines.iter().try_for_each(Said::check).map_err(|error| malformed(&error))?;
        self.keep_senders(lines)?;
        let conversation = conversation_of(name);
        let line = |(number, said): (u64, &Said)| ImportLine {
            number,
            message_id: said.message_id(conversation, number),
            sender: UserId::imported(TENANT, &said.sender),
            sent_at_ms: said.sent_at_ms,
            text: said.text.clone(),
        };
        let lines = (*first..).zip(lines).map(line).collect();
        let request = ArchiveRequest::Import { tenant: TENANT, name: name.clone(), lines };
        match self.ask(self.home(conversation), request)? {
            ArchiveAnswer::Imported(ack) => {
                let refusal = ack.refusal.map(|code| code.name().to_owned());
                Ok(Imported { accepted: ack.accepted, refusal, high: ack.high })
            }
            answer => Err(refused(answer)),
        }
    }

    /// Makes users of those senders of lines that are none yet.
    fn keep_senders(&self, lines: &[Said]) -> Answer<()> {
        let known = |user: UserId| self.known.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&user);
        let mut senders: Vec<(UserId, String)> =
            lines.iter().map(|line| (UserId::imported(TENANT, &line.sender), line.sender.clone())).collect();
        senders.sort_unstable();
        senders.dedup();
        senders.retain(|(user, _)| !known(*user));
        if let Some(two) = senders.windows(2).find(|two| two[0].0 == two[1].0) {
            return Err(taken(&two[1].1));
        }
        let Some((first, _)) = senders.first() else { return Ok(()) };
        let home = HashSlot::of_user(TENANT, *first).shard(self.accounts.shards.count());
        let request = ArchiveRequest::KeepSenders { tenant: TENANT, senders: senders.clone() };
        match self.ask(home, request)? {
            ArchiveAnswer::SendersKept => {}
            ArchiveAnswer::SenderTaken(user) => {
                let name = senders.iter().find(|(sender, _)| *sender == user).map_or("", |(_, name)| name);
                return Err(taken(name));
            }
            answer => return Err(refused(answer)),
        }
        let mut known = self.known.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= SENDERS_KNOWN_MAX {
            known.clear();
        }
        known.extend(senders.into_iter().map(|(user, _)| user));
        Ok(())
    }

    /// The ids of what was imported into a conversation so far, a page of them.
    ///
    /// # Errors
    /// What the store says.
    pub fn check(&self, asked: &ImportCheck) -> Answer<Checked> {
        check_conversation(&asked.conversation).map_err(|error| malformed(&error))?;
        for handle in &asked.members {
            self.user_of(handle)?;
        }
        let rows = self.rows(conversation_of(&asked.conversation), asked.from_seq)?;
        let next_seq = rows.last().map(|row| row.seq + 1);
        let ids = rows.iter().filter(|row| row.is_imported()).map(|row| row.message_id.to_string());
        Ok(Checked { ids: ids.collect(), next_seq })
    }

    /// Lets users see an imported conversation.
    ///
    /// # Errors
    /// A handle that nobody has, and what the conversation refuses.
    pub fn admit(&self, asked: &ImportMembers) -> Answer<Value> {
        check_conversation(&asked.conversation).map_err(|error| malformed(&error))?;
        let mut users = asked.handles.iter().map(|handle| self.user_of(handle)).collect::<Answer<Vec<_>>>()?;
        users.sort_unstable();
        users.dedup();
        if users.is_empty() {
            return Err(malformed(&"`handles` names at least one user"));
        }
        let conversation = conversation_of(&asked.conversation);
        let key = ConversationKey { tenant: TENANT, conversation };
        match self.ask(self.home(conversation), ArchiveRequest::Admit { key, users })? {
            ArchiveAnswer::Done => Ok(json!({})),
            ArchiveAnswer::Refused(ErrorCode::NotFound) => {
                let text = format!("nothing was imported into {:?} yet", asked.conversation);
                Err(Refusal::new(ErrorCode::NotFound.name(), text))
            }
            answer => Err(refused(answer)),
        }
    }

    fn user_of(&self, handle: &str) -> Answer<UserId> {
        let handle = Handle::parse(handle).map_err(|error| Refusal::new("invalid_handle", error.describe()))?;
        let user = self.accounts.find(&handle)?;
        user.ok_or_else(|| crate::accounts::AccountError::Unknown(handle).into())
    }

    /// Which conversations there are, a page of them.
    ///
    /// # Errors
    /// What the store says.
    pub fn conversations(&self, asked: &ExportConversations) -> Answer<Conversations> {
        let after = match &asked.after {
            None => None,
            Some(id) => Some(ConversationKey { tenant: TENANT, conversation: parse_id(id)? }),
        };
        let load = ArchiveLoad::Conversations { after, conversations_max: EXPORT_CONVERSATIONS_MAX };
        let ArchiveAnswer::Read(ArchiveLoaded::Conversations(found, more)) = self.ask(0, ArchiveRequest::Read(load))?
        else {
            unreachable!("a read is answered by what was read")
        };
        let ours = |(key, _): &(ConversationKey, _)| key.tenant == TENANT;
        let is_last = found.last().is_some_and(|last| !ours(last));
        let named = found.iter().filter(|found| ours(found)).map(|(key, meta)| {
            let id = key.conversation.to_text();
            let is_imported = meta.kind == ConversationKind::Imported as u8;
            let name = if is_imported { meta.title.clone() } else { id.clone() };
            (id, name)
        });
        Ok(Conversations { conversations: named.collect(), more: more && !is_last })
    }

    /// What was said in a conversation, a page of it.
    ///
    /// # Errors
    /// What the store says.
    pub fn export(&self, asked: &ExportRows) -> Answer<Exported> {
        let rows = self.rows(parse_id(&asked.conversation)?, asked.from_seq)?;
        let next_seq = rows.last().map(|row| row.seq + 1);
        let texts: Vec<&Row> = rows.iter().filter(|row| row.kind == ContentKind::Text as u8).collect();
        let names = self.names(texts.iter().map(|row| row.sender))?;
        let line = |row: &&Row| {
            let sent_at_ms = if row.is_imported() { row.sent_at_ms } else { row.ts_ms };
            let text = String::from_utf8_lossy(&row.body).into_owned();
            Said { sender: names[&row.sender].clone(), sent_at_ms, text }
        };
        Ok(Exported { lines: texts.iter().map(line).collect(), next_seq })
    }

    /// What users are called; one of whom nothing is known, by its id.
    fn names(&self, users: impl Iterator<Item = UserId>) -> Answer<HashMap<UserId, String>> {
        let mut named: HashMap<UserId, String> = users.map(|user| (user, user.to_string())).collect();
        if named.is_empty() {
            return Ok(named);
        }
        let load = ArchiveLoad::Names { tenant: TENANT, users: named.keys().copied().collect() };
        let ArchiveAnswer::Read(ArchiveLoaded::Names(found)) = self.ask(0, ArchiveRequest::Read(load))? else {
            unreachable!("a read is answered by what was read")
        };
        for name in found {
            if let Entry::Occupied(mut entry) = named.entry(name.user) {
                entry.insert(name.name);
            }
        }
        Ok(named)
    }

    fn rows(&self, conversation: ConversationId, from_seq: u64) -> Answer<Vec<Row>> {
        let key = ConversationKey { tenant: TENANT, conversation };
        let (rows_max, cost_bytes_max) = (EXPORT_ROWS_MAX, EXPORT_BYTES_MAX);
        let request = ArchiveRequest::Rows { key, from_seq, rows_max, cost_bytes_max };
        match self.ask(self.home(conversation), request)? {
            ArchiveAnswer::Rows(rows) => Ok(rows),
            answer => Err(refused(answer)),
        }
    }

    fn home(&self, conversation: ConversationId) -> ShardId {
        HashSlot::of_conversation(TENANT, conversation).shard(self.accounts.shards.count())
    }

    fn ask(&self, shard: ShardId, request: ArchiveRequest) -> Answer<ArchiveAnswer> {
        let code = |code: ErrorCode, text: &str| Refusal::new(code.name(), text);
        match ask_patiently(self.accounts.shards, shard, &AdminRequest::Archive(Box::new(request)))? {
            AdminAnswer::Archive(answer) => Ok(*answer),
            AdminAnswer::Busy => Err(code(ErrorCode::Busy, "the server is too busy; try again")),
            AdminAnswer::StorageFull => Err(code(
                ErrorCode::StorageFull,
                "the disk is full, nothing of this was written; make room and try again",
            )),
            AdminAnswer::StorageUnavailable => {
                let text =
                    "the store could not be read or written (its log says why); try again, what was written counts";
                Err(code(ErrorCode::StorageUnavailable, text))
            }
            answer => unreachable!("no answer to this: {answer:?}"),
        }
    }
}

fn parse_id(text: &str) -> Answer<ConversationId> {
    ConversationId::parse(text).ok_or_else(|| malformed(&"a conversation has 32 hex digits"))
}

fn malformed(reason: &dyn fmt::Display) -> Refusal {
    Refusal::new(ErrorCode::Malformed.name(), reason.to_string())
}

fn taken(name: &str) -> Refusal {
    Refusal::new("sender_taken", format!("another user has the id of the sender {name:?}: give it another name"))
}

fn refused(answer: ArchiveAnswer) -> Refusal {
    match answer {
        ArchiveAnswer::Refused(code) => {
            Refusal::new(code.name(), format!("the conversation refuses it: {}", code.name()))
        }
        answer => unreachable!("no answer to this: {answer:?}"),
    }
}
