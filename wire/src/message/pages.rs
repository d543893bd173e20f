//! Envelopes about the history of a conversation.

use alloc::vec::Vec;

use super::encode::message_table;
use super::{Encoded, Encoder, Message, Op, schema};
use crate::ids::{ConversationId, UserId};

/// What HistoryPage says beside its messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Page {
    pub conversation: ConversationId,
    pub epoch: u64,
    pub more: bool,
    pub last_seq: u64,
}

impl Encoder {
    /// History from a seq on, upwards or downwards.
    pub fn history(
        &mut self,
        request: u32,
        conversation: ConversationId,
        from_seq: u64,
        backward: bool,
        limit: u16,
    ) -> Encoded<'_> {
        let conversation = schema::ConversationId(conversation.0);
        let (conversation, at_ms) = (Some(&conversation), 0);
        self.history_of(request, &schema::HistoryArgs { conversation, from_seq, backward, limit, at_ms })
    }

    /// History from a time on, upwards, or before it, downwards.
    pub fn history_at(
        &mut self,
        request: u32,
        conversation: ConversationId,
        at_ms: u64,
        backward: bool,
        limit: u16,
    ) -> Encoded<'_> {
        let conversation = schema::ConversationId(conversation.0);
        let (conversation, from_seq) = (Some(&conversation), 0);
        self.history_of(request, &schema::HistoryArgs { conversation, from_seq, backward, limit, at_ms })
    }

    fn history_of(&mut self, request: u32, asked: &schema::HistoryArgs<'_>) -> Encoded<'_> {
        let root = schema::History::create(self.start(), asked);
        self.finish(Op::History, request, root)
    }

    /// A page of messages in ascending order, and what those of their senders were called who came with an import.
    pub fn history_page<'m>(
        &mut self,
        request: u32,
        page: &Page,
        messages: impl Iterator<Item = Message<'m>>,
        names: &[(UserId, &str)],
    ) -> Encoded<'_> {
        let b = self.start();
        let tables: Vec<_> = messages.map(|message| message_table(b, None, &message)).collect();
        let messages = b.create_vector(&tables);
        let named: Vec<_> = names
            .iter()
            .map(|&(user, name)| {
                let name = b.create_string(name);
                schema::SenderName::create(b, &schema::SenderNameArgs { user: user.0, name: Some(name) })
            })
            .collect();
        let names = (!named.is_empty()).then(|| b.create_vector(&named));
        let root = schema::HistoryPage::create(
            b,
            &schema::HistoryPageArgs {
                conversation: Some(&schema::ConversationId(page.conversation.0)),
                epoch: page.epoch,
                messages: Some(messages),
                more: page.more,
                last_seq: page.last_seq,
                names,
            },
        );
        self.finish(Op::HistoryPage, request, root)
    }
}
