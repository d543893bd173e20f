//! The program's requests: they wait for a connection and a free place, and survive a lost connection.

use std::collections::VecDeque;

use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::limits::{HISTORY_MESSAGES_MAX, MEMBERS_PAGE_MAX, TITLE_BYTES_MAX};
use trunkline_wire::message::{Answer, Change, Encoded, Encoder, ErrorCode, messages_of_page, schema};

use super::conversation::{ListPage, MembersPage, Opened, Summary};
use super::event::{ClientEvent, RequestError, RequestId};
use super::message::{HistoryPage, Message};
use super::outlet::{Outlet, Purpose};
use super::views::{Misbehaved, code_of, id_of, number_of};
use crate::limits::{COMMAND_ATTEMPTS_MAX, COMMANDS_WAITING_MAX, PAGE_CONVERSATIONS};

/// Where a page of history begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HistoryFrom {
    /// With this message, itself included; 0 backwards: with the newest.
    Seq(u64),
    /// With the first message of this time or later, in milliseconds since 1970, not 0; backwards with the last one before
    /// it.
    Time(u64),
}

impl From<u64> for HistoryFrom {
    fn from(seq: u64) -> HistoryFrom {
        HistoryFrom::Seq(seq)
    }
}

/// What a program asks.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    Resolve(String),
    Open(ConversationId),
    OpenPeer(UserId),
    History {
        conversation: ConversationId,
        from: HistoryFrom,
        backward: bool,
        limit: u16,
    },
    List {
        below: u64,
        limit: u16,
    },
    /// The nonce is the client's, and the same in each attempt; 0: it has none yet.
    CreateGroup {
        nonce: u64,
        title: String,
        members: Vec<UserId>,
    },
    ChangeMembers {
        conversation: ConversationId,
        change: Change,
        users: Vec<UserId>,
    },
    Members {
        conversation: ConversationId,
        after: UserId,
        limit: u16,
    },
    Renew(String),
}

impl Question {
    /// Whether an envelope can hold it.
    fn fits(&self) -> bool {
        match self {
            Question::CreateGroup { title, members, .. } => {
                members.len() <= MEMBERS_PAGE_MAX && title.len() <= TITLE_BYTES_MAX
            }
            Question::ChangeMembers { users, .. } => users.len() <= MEMBERS_PAGE_MAX,
            _ => true,
        }
    }

    fn encode<'a>(&self, encoder: &'a mut Encoder, request: u32) -> Encoded<'a> {
        match self {
            Question::Resolve(handle) => encoder.resolve(request, handle),
            Question::Open(conversation) => encoder.open(request, *conversation),
            Question::OpenPeer(peer) => encoder.open_peer(request, *peer),
            &Question::History { conversation, from, backward, limit } => {
                let limit = limit.clamp(1, HISTORY_MESSAGES_MAX as u16);
                match from {
                    HistoryFrom::Seq(seq) => encoder.history(request, conversation, seq, backward, limit),
                    HistoryFrom::Time(at_ms) => encoder.history_at(request, conversation, at_ms, backward, limit),
                }
            }
            Question::List { below, limit } => {
                encoder.sync(request, Some(0), *below, (*limit).clamp(1, PAGE_CONVERSATIONS))
            }
            Question::CreateGroup { nonce, title, members } => encoder.create_group(request, *nonce, title, members),
            Question::ChangeMembers { conversation, change, users } => {
                encoder.change_members(request, *conversation, *change, users)
            }
            Question::Members { conversation, after, limit } => {
                encoder.members(request, *conversation, *after, (*limit).clamp(1, MEMBERS_PAGE_MAX as u16))
            }
            Question::Renew(token) => encoder.renew(request, token),
        }
    }
}

#[derive(Debug)]
pub(super) struct Command {
    pub(super) id: RequestId,
    pub(super) question: Question,
    attempts: u8,
}

#[derive(Debug, Default)]
pub(super) struct Commands {
    waiting: VecDeque<Command>,
    last_id: u64,
}

impl Commands {
    /// Queues a question; its answer comes with the id.
    pub(super) fn push(&mut self, out: &mut Outlet, mut question: Question) -> RequestId {
        self.last_id += 1;
        let id = RequestId(self.last_id);
        if let Question::CreateGroup { nonce, .. } = &mut question {
            *nonce = out.random_id();
        }
        let refused = RequestError::Refused { code: ErrorCode::Malformed, retry_after_ms: 0 };
        if !question.fits() {
            out.event(ClientEvent::RequestFailed { request: id, error: refused });
        } else if self.waiting.len() < COMMANDS_WAITING_MAX {
            self.waiting.push_back(Command { id, question, attempts: 0 });
        } else {
            out.event(ClientEvent::RequestFailed { request: id, error: RequestError::Full });
        }
        id
    }

    pub(super) fn pump(&mut self, out: &mut Outlet) {
        while out.has_room() {
            let Some(mut command) = self.waiting.pop_front() else { return };
            command.attempts = command.attempts.saturating_add(1);
            let question = command.question.clone();
            out.ask(Purpose::Command(command), |encoder, request| question.encode(encoder, request));
        }
    }

    /// The connection was lost while this one waited for its answer. Call in reverse order of asking.
    pub(super) fn again(&mut self, out: &mut Outlet, command: Command) {
        let is_over = match command.question {
            Question::Renew(_) => true,
            // It may be made already: under another nonce it would be made twice.
            Question::CreateGroup { .. } => false,
            _ => command.attempts >= COMMAND_ATTEMPTS_MAX,
        };
        if is_over {
            out.event(ClientEvent::RequestFailed { request: command.id, error: RequestError::Disconnected });
        } else {
            self.waiting.push_front(command);
        }
    }

    /// Nothing will be asked any more.
    pub(super) fn fail_all(&mut self, out: &mut Outlet) {
        for command in self.waiting.drain(..) {
            out.event(ClientEvent::RequestFailed { request: command.id, error: RequestError::Disconnected });
        }
    }
}

/// The event of an answer.
pub(super) fn answered(out: &mut Outlet, command: &Command, answer: &Answer<'_>) -> Result<(), Misbehaved> {
    let request = command.id;
    let event = match (&command.question, answer) {
        (Question::Resolve(_), Answer::Resolved(resolved)) => {
            ClientEvent::Resolved { request, user: UserId(resolved.user()) }
        }
        (Question::Open(_) | Question::OpenPeer(_) | Question::CreateGroup { .. }, Answer::Opened(view)) => {
            ClientEvent::Opened { request, opened: Opened::of_view(view)? }
        }
        (Question::History { conversation, .. }, Answer::HistoryPage(view)) => {
            let messages = messages_of_page(view).map(|message| Message::of_view(*conversation, &message)).collect();
            let (more, last_seq) = (view.more(), view.last_seq());
            let name = |name: schema::SenderName<'_>| Some((UserId(name.user()), name.name()?.to_owned()));
            let names = view.names().into_iter().flatten().filter_map(name).collect();
            let page = HistoryPage { conversation: *conversation, messages, more, last_seq, names };
            ClientEvent::HistoryPage { request, page }
        }
        (Question::List { .. }, Answer::Synced(view)) => {
            let summaries = view.conversations().into_iter().flatten().map(|summary| Summary::of_view(&summary));
            let page = ListPage { conversations: summaries.collect::<Result<_, _>>()?, more: view.more() };
            ClientEvent::Listed { request, page }
        }
        (Question::ChangeMembers { .. }, Answer::MembersChanged(view)) => {
            let seq = Some(number_of(view.seq())?).filter(|&seq| seq > 0);
            ClientEvent::MembersChanged { request, conversation: id_of(view.conversation())?, seq }
        }
        (Question::Members { .. }, Answer::MembersPage(view)) => {
            ClientEvent::MembersPage { request, page: MembersPage::of_view(view)? }
        }
        (Question::Renew(_), Answer::Renewed(view)) => {
            ClientEvent::Renewed { request, token_expires_ms: view.token_expires_ms() }
        }
        (_, Answer::Error(error)) => {
            let error = RequestError::Refused { code: code_of(error.code()), retry_after_ms: error.retry_after_ms() };
            ClientEvent::RequestFailed { request, error }
        }
        _ => return Err(Misbehaved),
    };
    out.event(event);
    Ok(())
}
