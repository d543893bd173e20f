//! What a program asks of its client.

use trunkline_wire::ids::{ConversationId, MessageId, UserId};
use trunkline_wire::message::{Change, ContentKind};

use super::Client;
use super::commands::{HistoryFrom, Question};
use super::conversation::Summary;
use super::event::{RequestId, UserReceipt};
use super::sending::SendError;
use super::state::State;
use crate::outbox::{Outbox, Record};

impl<O: Outbox> Client<O> {
    /// Sends a text. The message is in the outbox when this returns, connected or not; its fate comes as
    /// [`Sent`], [`Failed`] or [`Unknown`]. Messages of one client to one conversation keep their order.
    ///
    /// [`Sent`]: super::ClientEvent::Sent
    /// [`Failed`]: super::ClientEvent::Failed
    /// [`Unknown`]: super::ClientEvent::Unknown
    ///
    /// # Errors
    /// Nothing was taken: see [`SendError`].
    pub fn send_text(&mut self, now_ms: u64, conversation: ConversationId, text: &str) -> Result<MessageId, SendError> {
        self.send(now_ms, conversation, ContentKind::Text, text.as_bytes())
    }

    /// As [`Client::send_text`], for a body of any kind that clients write.
    ///
    /// # Errors
    /// Nothing was taken: see [`SendError`].
    pub fn send(
        &mut self,
        now_ms: u64,
        conversation: ConversationId,
        kind: ContentKind,
        body: &[u8],
    ) -> Result<MessageId, SendError> {
        self.begin(now_ms);
        if self.connection.is_closed() {
            return Err(SendError::Closed);
        }
        if !kind.admits(body) {
            return Err(SendError::Invalid);
        }
        let message_id = self.out.message_id();
        let record = Record {
            message_id,
            conversation,
            peer: UserId(0),
            client_seq: 0,
            floor_epoch: 0,
            floor_seq: 0,
            kind: kind as u8,
            body: body.to_vec(),
        };
        let live = self.connection.takes_requests();
        self.sending.push(&mut self.out, live, record)?;
        Ok(message_id)
    }

    /// Asks whose handle this is; the answer is [`Resolved`](super::ClientEvent::Resolved).
    pub fn resolve(&mut self, now_ms: u64, handle: &str) -> RequestId {
        self.ask(now_ms, Question::Resolve(handle.to_owned()))
    }

    /// Opens a conversation; the answer is [`Opened`](super::ClientEvent::Opened).
    pub fn open(&mut self, now_ms: u64, conversation: ConversationId) -> RequestId {
        self.ask(now_ms, Question::Open(conversation))
    }

    /// Opens the 1:1 with a user; the answer is [`Opened`](super::ClientEvent::Opened).
    pub fn open_peer(&mut self, now_ms: u64, peer: UserId) -> RequestId {
        self.ask(now_ms, Question::OpenPeer(peer))
    }

    /// Asks for up to `limit` (at most 50) messages from a seq or a time on, upwards or `backward`. The answer is
    /// [`HistoryPage`](super::ClientEvent::HistoryPage).
    pub fn history(
        &mut self,
        now_ms: u64,
        conversation: ConversationId,
        from: impl Into<HistoryFrom>,
        backward: bool,
        limit: u16,
    ) -> RequestId {
        self.ask(now_ms, Question::History { conversation, from: from.into(), backward, limit })
    }

    /// Asks for up to `limit` (at most 200) conversations, the latest change first: those with changes below the
    /// `user_seq` `below`, or with 0 from the latest on. The answer is [`Listed`](super::ClientEvent::Listed). Clients
    /// that follow have a list of their own: [`Client::conversations`].
    pub fn list(&mut self, now_ms: u64, below: u64, limit: u16) -> RequestId {
        self.ask(now_ms, Question::List { below, limit })
    }

    /// Makes a group of this user, its admin, and `members`. The answer is [`Opened`](super::ClientEvent::Opened). It is
    /// made once, however often connections are lost before the answer comes.
    pub fn create_group(&mut self, now_ms: u64, title: &str, members: &[UserId]) -> RequestId {
        self.ask(now_ms, Question::CreateGroup { nonce: 0, title: title.to_owned(), members: members.to_vec() })
    }

    /// Adds users to a group or removes them; removing oneself is leaving. The answer is
    /// [`MembersChanged`](super::ClientEvent::MembersChanged).
    pub fn change_members(
        &mut self,
        now_ms: u64,
        conversation: ConversationId,
        change: Change,
        users: &[UserId],
    ) -> RequestId {
        self.ask(now_ms, Question::ChangeMembers { conversation, change, users: users.to_vec() })
    }

    /// Asks for up to `limit` (at most 1,024) members of a conversation from behind `after`, in order of user; `None`
    /// means from the first. The answer is [`MembersPage`](super::ClientEvent::MembersPage).
    pub fn members(
        &mut self,
        now_ms: u64,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: u16,
    ) -> RequestId {
        self.ask(now_ms, Question::Members { conversation, after: after.unwrap_or(UserId(0)), limit })
    }

    /// Goes on with a newer token of the same device. Answered with [`Renewed`](super::ClientEvent::Renewed) where there
    /// is a session; without one the token is used for the next.
    pub fn renew(&mut self, now_ms: u64, token: &str) -> RequestId {
        self.ask(now_ms, Question::Renew(token.to_owned()))
    }

    pub(crate) fn ask(&mut self, now_ms: u64, question: Question) -> RequestId {
        self.begin(now_ms);
        if let Question::Renew(token) = &question {
            if self.connection.is_live() {
                self.newer_token = Some(token.clone());
            } else {
                token.clone_into(&mut self.token);
                self.connection.unrefuse(now_ms);
            }
        }
        let id = self.commands.push(&mut self.out, question);
        if self.connection.is_closed() {
            self.commands.fail_all(&mut self.out);
        }
        self.pump();
        id
    }

    /// The program has all messages of a conversation up to a seq, and would not miss them if they came no more: their
    /// senders are told, and [`Follow::Stored`](super::Follow::Stored) begins behind them. Marks are reported together,
    /// at most every half second; they never fall.
    pub fn mark_delivered(&mut self, now_ms: u64, conversation: ConversationId, seq: u64) {
        self.mark(now_ms, conversation, seq, false);
    }

    /// As [`Client::mark_delivered`], and the user has read them: they no longer count as unread.
    pub fn mark_read(&mut self, now_ms: u64, conversation: ConversationId, seq: u64) {
        self.mark(now_ms, conversation, seq, true);
    }

    fn mark(&mut self, now_ms: u64, conversation: ConversationId, seq: u64, is_read: bool) {
        self.begin(now_ms);
        let seq = seq.min(1 << 62);
        let delivered_seq = self.receiving.confirm(conversation, seq);
        let read_seq = if is_read { seq.min(delivered_seq) } else { 0 };
        self.receiving.list.read(conversation, read_seq);
        self.reporting.mark(conversation, delivered_seq, read_seq);
        self.pump();
    }

    /// Reports what is marked without waiting for more; [`Client::is_reported`] says when the server has it.
    pub fn report_now(&mut self, now_ms: u64) {
        self.begin(now_ms);
        self.reporting.hurry(now_ms);
        self.pump();
    }

    /// Whether the server took all that was marked.
    pub fn is_reported(&self) -> bool {
        self.reporting.is_done()
    }

    /// The user types in a conversation: the other members are told, at most every three seconds. Without a connection
    /// nothing happens.
    pub fn typing(&mut self, now_ms: u64, conversation: ConversationId) {
        self.begin(now_ms);
        let live = self.connection.takes_requests();
        self.typing.types(&mut self.out, live, conversation);
    }

    /// How far the users of a conversation are, as far as the server said.
    pub fn receipts(&self, conversation: ConversationId) -> impl Iterator<Item = UserReceipt> {
        self.watermarks.of(conversation)
    }

    /// The user's conversations, the latest change first. It is empty with
    /// [`Follow::Nothing`](super::Follow::Nothing) and before the first connection, but for what was stored.
    pub fn conversations(&self) -> impl Iterator<Item = &Summary> {
        self.receiving.list.iter()
    }

    /// A conversation of the list.
    pub fn conversation(&self, conversation: ConversationId) -> Option<&Summary> {
        self.receiving.list.find(conversation)
    }

    /// Up to here everything in the user's list has been told.
    pub fn position(&self) -> u64 {
        self.receiving.told.position()
    }

    /// The last seq that was told of each conversation. With [`Client::position`] of the same moment it is what
    /// [`Follow::Behind`](super::Follow::Behind) goes on from.
    pub fn positions(&self) -> impl Iterator<Item = (ConversationId, u64)> {
        self.receiving.positions()
    }

    /// Position and places in one value. It counts every event that was told as handled, so take and handle them first;
    /// a program that cannot folds events into a [`State`] of its own.
    pub fn snapshot(&self) -> State {
        self.receiving.state()
    }

    /// Messages without an answer, in order within each conversation.
    pub fn pending(&self) -> impl Iterator<Item = &Record> {
        self.sending.pending()
    }

    /// Ends it: nothing is sent or told any more. What the outbox holds is for the next client.
    pub fn close(&mut self, now_ms: u64) {
        self.begin(now_ms);
        if self.connection.is_closed() {
            return;
        }
        self.connection.drop_link();
        self.connection.close();
        self.lose_connection();
        self.commands.fail_all(&mut self.out);
    }

    /// The outbox, as a crash at this moment would leave it.
    pub fn into_outbox(self) -> O {
        self.sending.outbox
    }
}
