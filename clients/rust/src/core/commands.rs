//! The program's requests: they wait for a connection and a free place, and survive a lost connection.

use std::collections::VecDeque;

use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::message::{Answer, ErrorCode, messages_of_page};

use super::event::{ClientEvent, HistoryPage, ListPage, Message, Opened, RequestError, RequestId, Summary};
use super::outlet::{Outlet, Purpose};
use super::views::{Misbehaved, id_of, peer_of};
use crate::limits::{COMMAND_ATTEMPTS_MAX, COMMANDS_WAITING_MAX};

#[derive(Clone, Debug)]
pub(super) enum Question {
    Resolve(String),
    Open(ConversationId),
    OpenPeer(UserId),
    History { conversation: ConversationId, from_seq: u64, backward: bool, limit: u16 },
    List { after: Option<ConversationId>, limit: u16 },
    Renew(String),
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
    pub(super) fn push(&mut self, out: &mut Outlet, question: Question) -> RequestId {
        self.last_id += 1;
        let id = RequestId(self.last_id);
        if self.waiting.len() < COMMANDS_WAITING_MAX {
            self.waiting.push_back(Command { id, question, attempts: 0 });
        } else {
            out.event(ClientEvent::RequestFailed { request: id, error: RequestError::Full });
        }
        id
    }

    pub(super) fn pump(&mut self, out: &mut Outlet) {
        while out.has_room() {
            let Some(mut command) = self.waiting.pop_front() else { return };
            command.attempts += 1;
            let question = command.question.clone();
            out.ask(Purpose::Command(command), |encoder, request| match &question {
                Question::Resolve(handle) => encoder.resolve(request, handle),
                Question::Open(conversation) => encoder.open(request, *conversation),
                Question::OpenPeer(peer) => encoder.open_peer(request, *peer),
                Question::History { conversation, from_seq, backward, limit } => {
                    encoder.history(request, *conversation, *from_seq, *backward, *limit)
                }
                Question::List { after, limit } => encoder.list(request, *after, *limit),
                Question::Renew(token) => encoder.renew(request, token),
            });
        }
    }

    /// The connection was lost while this one waited for its answer. Call in reverse order of asking.
    pub(super) fn again(&mut self, out: &mut Outlet, command: Command) {
        if matches!(command.question, Question::Renew(_)) || command.attempts >= COMMAND_ATTEMPTS_MAX {
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
        (Question::Open(_) | Question::OpenPeer(_), Answer::Opened(view)) => {
            let opened = Opened {
                conversation: id_of(view.conversation())?,
                kind: view.kind(),
                epoch: view.epoch(),
                last_seq: view.last_seq(),
                peer: peer_of(view.peer()),
            };
            ClientEvent::Opened { request, opened }
        }
        (Question::History { conversation, .. }, Answer::HistoryPage(view)) => {
            let messages = messages_of_page(view).map(|message| Message::of_view(*conversation, &message)).collect();
            let (more, last_seq) = (view.more(), view.last_seq());
            let page = HistoryPage { conversation: *conversation, messages, more, last_seq };
            ClientEvent::HistoryPage { request, page }
        }
        (Question::List { .. }, Answer::Listed(view)) => {
            let summary = |summary: trunkline_wire::message::schema::Summary<'_>| {
                Ok(Summary {
                    conversation: id_of(summary.conversation())?,
                    kind: summary.kind(),
                    peer: peer_of(summary.peer()),
                    last_seq: summary.last_seq(),
                })
            };
            let conversations = view.conversations().into_iter().flatten().map(summary).collect::<Result<_, _>>()?;
            ClientEvent::Listed { request, page: ListPage { conversations, more: view.more() } }
        }
        (Question::Renew(_), Answer::Renewed(view)) => {
            ClientEvent::Renewed { request, token_expires_ms: view.token_expires_ms() }
        }
        (_, Answer::Error(error)) => {
            let code = ErrorCode::from_number(error.code()).unwrap_or(ErrorCode::Unsupported);
            let error = RequestError::Refused { code, retry_after_ms: error.retry_after_ms() };
            ClientEvent::RequestFailed { request, error }
        }
        _ => return Err(Misbehaved),
    };
    out.event(event);
    Ok(())
}
