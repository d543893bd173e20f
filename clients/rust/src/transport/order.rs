//! What handles ask of a session's task, and who waits for which answer.

use std::collections::BTreeMap;

use tokio::sync::oneshot;
use trunkline_wire::ids::{ConversationId, MessageId, UserId};
use trunkline_wire::message::ContentKind;

use super::{NotSent, Sent};
use crate::core::{
    ClientEvent, HistoryPage, ListPage, MembersPage, Opened, Question, RequestError, RequestId, SendError, Summary,
};

pub(super) enum Reply {
    Resolved(UserId),
    Opened(Opened),
    HistoryPage(HistoryPage),
    Listed(ListPage),
    MembersChanged(Option<u64>),
    MembersPage(MembersPage),
    Renewed(u64),
}

pub(super) enum Order {
    Send {
        conversation: ConversationId,
        kind: ContentKind,
        body: Vec<u8>,
        taken: oneshot::Sender<Result<MessageId, SendError>>,
        fate: Option<oneshot::Sender<Result<Sent, NotSent>>>,
    },
    Ask(Question, oneshot::Sender<Result<Reply, RequestError>>),
    MarkDelivered(ConversationId, u64),
    MarkRead(ConversationId, u64),
    /// Tells when all that is marked was reported.
    Report(oneshot::Sender<()>),
    Typing(ConversationId),
    /// The first of the user's conversations.
    Conversations(usize, oneshot::Sender<Vec<Summary>>),
    Close(oneshot::Sender<()>),
}

/// Those who wait: for the fate of a message, for the answer to a question.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) fates: BTreeMap<MessageId, oneshot::Sender<Result<Sent, NotSent>>>,
    pub(super) answers: BTreeMap<RequestId, oneshot::Sender<Result<Reply, RequestError>>>,
}

impl Waiting {
    /// Tells who waits for this event; gives it back unless it was for them alone.
    pub(super) fn tell(&mut self, event: ClientEvent) -> Option<ClientEvent> {
        match event {
            ClientEvent::Resolved { request, user } => self.answer(request, Ok(Reply::Resolved(user))),
            ClientEvent::Opened { request, opened } => self.answer(request, Ok(Reply::Opened(opened))),
            ClientEvent::HistoryPage { request, page } => self.answer(request, Ok(Reply::HistoryPage(page))),
            ClientEvent::Listed { request, page } => self.answer(request, Ok(Reply::Listed(page))),
            ClientEvent::MembersChanged { request, seq, .. } => self.answer(request, Ok(Reply::MembersChanged(seq))),
            ClientEvent::MembersPage { request, page } => self.answer(request, Ok(Reply::MembersPage(page))),
            ClientEvent::Renewed { request, token_expires_ms } => {
                self.answer(request, Ok(Reply::Renewed(token_expires_ms)))
            }
            ClientEvent::RequestFailed { request, error } => self.answer(request, Err(error)),
            ClientEvent::Sent { message_id, conversation, seq, ts_ms } => {
                self.fate(message_id, Ok(Sent { message_id, conversation, seq, ts_ms }));
                return Some(event);
            }
            ClientEvent::Failed { message_id, code, .. } => {
                self.fate(message_id, Err(NotSent::Refused(code)));
                return Some(event);
            }
            ClientEvent::Unknown { message_id, .. } => {
                self.fate(message_id, Err(NotSent::Unknown));
                return Some(event);
            }
            event => return Some(event),
        }
        None
    }

    fn answer(&mut self, request: RequestId, answer: Result<Reply, RequestError>) {
        if let Some(reply) = self.answers.remove(&request) {
            // Who gave up waiting is not told.
            let _ = reply.send(answer);
        }
    }

    fn fate(&mut self, message_id: MessageId, fate: Result<Sent, NotSent>) {
        if let Some(reply) = self.fates.remove(&message_id) {
            let _ = reply.send(fate);
        }
    }
}
