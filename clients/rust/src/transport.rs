//! The core over a WebSocket on tokio: one task per session, which a runtime of one thread can run too.

mod address;
mod driver;
mod order;
mod socket;
mod trust;

use std::fmt;
use std::io;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use trunkline_wire::ids::{ConversationId, MessageId, UserId};
use trunkline_wire::message::{Change, ContentKind, ErrorCode};

pub use address::session_url;
pub use trust::{NoAuthority, Trust};

use self::driver::Driver;
use self::order::{Order, Reply};
use crate::core::{
    Client, ClientEvent, HistoryFrom, HistoryPage, ListPage, MembersPage, Opened, Options, Question, RequestError,
    SendError, Summary,
};
use crate::limits::{STREAM_COMMANDS_MAX, STREAM_EVENTS_MAX};
use crate::outbox::Outbox;

/// Why there is no session to begin with.
#[derive(Debug)]
pub enum ConnectError {
    /// The URL is none of a server; says what is wrong with it.
    Url(String),
    /// What waits to be sent could not be read.
    Outbox(io::Error),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Url(text) => f.write_str(text),
            ConnectError::Outbox(error) => write!(f, "the outbox could not be read: {error}"),
        }
    }
}

impl std::error::Error for ConnectError {}

/// Where a message became durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sent {
    /// The sender's name for it.
    pub message_id: MessageId,
    /// Where it was said.
    pub conversation: ConversationId,
    /// Its number in the conversation.
    pub seq: u64,
    /// When it was accepted: milliseconds since 1970.
    pub ts_ms: u64,
}

/// Why a message did not become durable, or is not known to be.
#[derive(Debug)]
pub enum NotSent {
    /// It was not even taken.
    NotTaken(SendError),
    /// The server refused it for good, or one before it.
    Refused(ErrorCode),
    /// Whether it was stored can no longer be found out.
    Unknown,
    /// The session ended before. The outbox still has the message: the next session sends it.
    Ended,
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotSent::NotTaken(error) => error.fmt(f),
            NotSent::Refused(code) => write!(f, "refused: {}", code.name()),
            NotSent::Unknown => f.write_str("it can no longer be found out whether the message was stored"),
            NotSent::Ended => f.write_str("the session ended; the message is sent by the next one"),
        }
    }
}

impl std::error::Error for NotSent {}

/// 32 bytes for [`Options::seed`], from the operating system.
///
/// # Errors
/// The system's.
pub fn seed_from_os() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    Ok(seed)
}

/// Starts a session with the server at `url` (`wss://host` or `ws://host:port`, with `/v1/ws` where no path is given). It connects, and
/// comes back after each loss, by itself; this returns at once.
///
/// The stream has to be read or dropped: with more than a thousand events unread, answers wait behind them.
///
/// # Errors
/// See [`ConnectError`].
///
/// # Panics
/// Outside of a tokio runtime.
pub fn connect<O>(url: &str, options: Options, outbox: O) -> Result<(Handle, EventStream), ConnectError>
where
    O: Outbox + Send + 'static,
{
    connect_trusting(url, options, outbox, Trust::default())
}

/// As [`connect`], with a say in who may vouch for the server.
///
/// # Errors
/// See [`ConnectError`].
///
/// # Panics
/// Outside of a tokio runtime.
pub fn connect_trusting<O>(
    url: &str,
    options: Options,
    outbox: O,
    trust: Trust,
) -> Result<(Handle, EventStream), ConnectError>
where
    O: Outbox + Send + 'static,
{
    let url = session_url(url)?;
    let client = Client::new(options, outbox).map_err(ConnectError::Outbox)?;
    let (orders, orders_in) = mpsc::channel(STREAM_COMMANDS_MAX);
    let (events_out, events) = mpsc::channel(STREAM_EVENTS_MAX);
    let (trouble_out, trouble) = watch::channel(None);
    let driver = Driver::new(client, url, trust, orders_in, events_out, trouble_out);
    let start = driver.start;
    tokio::spawn(driver.run());
    Ok((Handle { orders, trouble, start }, EventStream { events }))
}

/// Gives a session its commands; clones speak to the same session, which ends when they and the stream are gone.
#[derive(Clone, Debug)]
pub struct Handle {
    orders: mpsc::Sender<Order>,
    trouble: watch::Receiver<Option<String>>,
    start: Instant,
}

impl Handle {
    /// Now, on the clock of the times in events.
    pub fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Takes a text to send: it is in the outbox when this returns, connected or not. Its fate is an event.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send_text(&self, conversation: ConversationId, text: &str) -> Result<MessageId, SendError> {
        let (reply, taken) = oneshot::channel();
        let body = text.as_bytes().to_vec();
        let order = Order::Send { conversation, kind: ContentKind::Text, body, taken: reply, fate: None };
        self.orders.send(order).await.map_err(|_| SendError::Closed)?;
        taken.await.unwrap_or(Err(SendError::Closed))
    }

    /// As [`Handle::send_text`], and waits until the message is durable. Given up, it is sent all the same.
    ///
    /// # Errors
    /// See [`NotSent`].
    pub async fn send_text_and_wait(&self, conversation: ConversationId, text: &str) -> Result<Sent, NotSent> {
        let (reply, taken) = oneshot::channel();
        let (told, fate) = oneshot::channel();
        let body = text.as_bytes().to_vec();
        let order = Order::Send { conversation, kind: ContentKind::Text, body, taken: reply, fate: Some(told) };
        self.orders.send(order).await.map_err(|_| NotSent::NotTaken(SendError::Closed))?;
        taken.await.unwrap_or(Err(SendError::Closed)).map_err(NotSent::NotTaken)?;
        fate.await.unwrap_or(Err(NotSent::Ended))
    }

    /// Whose handle this is.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn resolve(&self, handle: &str) -> Result<UserId, RequestError> {
        match self.ask(Question::Resolve(handle.to_owned())).await? {
            Reply::Resolved(user) => Ok(user),
            _ => Err(RequestError::Disconnected),
        }
    }

    /// The state of a conversation.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn open(&self, conversation: ConversationId) -> Result<Opened, RequestError> {
        match self.ask(Question::Open(conversation)).await? {
            Reply::Opened(opened) => Ok(opened),
            _ => Err(RequestError::Disconnected),
        }
    }

    /// The state of the 1:1 with a user, which it makes where there is none.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn open_peer(&self, peer: UserId) -> Result<Opened, RequestError> {
        match self.ask(Question::OpenPeer(peer)).await? {
            Reply::Opened(opened) => Ok(opened),
            _ => Err(RequestError::Disconnected),
        }
    }

    /// Up to `limit` (at most 50) messages from a seq or a time on, upwards or `backward`, in ascending order.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn history(
        &self,
        conversation: ConversationId,
        from: impl Into<HistoryFrom>,
        backward: bool,
        limit: u16,
    ) -> Result<HistoryPage, RequestError> {
        match self.ask(Question::History { conversation, from: from.into(), backward, limit }).await? {
            Reply::HistoryPage(page) => Ok(page),
            _ => Err(RequestError::Disconnected),
        }
    }

    /// Up to `limit` (at most 200) of the user's conversations, the latest change first: those with changes below the
    /// `user_seq` `below`, or with 0 from the latest on. A session that follows keeps a list itself:
    /// [`Handle::conversations`].
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn list(&self, below: u64, limit: u16) -> Result<ListPage, RequestError> {
        match self.ask(Question::List { below, limit }).await? {
            Reply::Listed(page) => Ok(page),
            _ => Err(RequestError::Disconnected),
        }
    }

    /// Makes a group of this user, its admin, and `members`; once, however often connections are lost meanwhile.
    ///
    /// # Errors
    /// See [`RequestError`]: among others `unknown_peer` where a member does not exist, and `group_full`.
    pub async fn create_group(&self, title: &str, members: &[UserId]) -> Result<Opened, RequestError> {
        let (title, members) = (title.to_owned(), members.to_vec());
        match self.ask(Question::CreateGroup { nonce: 0, title, members }).await? {
            Reply::Opened(opened) => Ok(opened),
            _ => Err(RequestError::Disconnected),
        }
    }

    /// Adds users to a group or removes them; removing oneself is leaving. Gives the seq of the message that says so;
    /// `None`: there was nothing to change.
    ///
    /// # Errors
    /// See [`RequestError`]: among others `forbidden` to all but admins and those who leave.
    pub async fn change_members(
        &self,
        conversation: ConversationId,
        change: Change,
        users: &[UserId],
    ) -> Result<Option<u64>, RequestError> {
        match self.ask(Question::ChangeMembers { conversation, change, users: users.to_vec() }).await? {
            Reply::MembersChanged(seq) => Ok(seq),
            _ => Err(RequestError::Disconnected),
        }
    }

    /// Up to `limit` (at most 1,024) members of a conversation from behind `after`, in order of user; `None` means from
    /// the first.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn members(
        &self,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: u16,
    ) -> Result<MembersPage, RequestError> {
        match self.ask(Question::Members { conversation, after: after.unwrap_or(UserId(0)), limit }).await? {
            Reply::MembersPage(page) => Ok(page),
            _ => Err(RequestError::Disconnected),
        }
    }

    /// The program has all messages of a conversation up to a seq, and would not miss them if they came no more: see
    /// [`Client::mark_delivered`].
    pub async fn mark_delivered(&self, conversation: ConversationId, seq: u64) {
        self.order(Order::MarkDelivered(conversation, seq)).await;
    }

    /// As [`Handle::mark_delivered`], and the user has read them.
    pub async fn mark_read(&self, conversation: ConversationId, seq: u64) {
        self.order(Order::MarkRead(conversation, seq)).await;
    }

    /// Waits until the server has all that was marked, which may be for as long as there is no connection.
    pub async fn reported(&self) {
        let (reply, reported) = oneshot::channel();
        self.order(Order::Report(reply)).await;
        let _ = reported.await;
    }

    /// The user types in a conversation: see [`Client::typing`].
    pub async fn typing(&self, conversation: ConversationId) {
        self.order(Order::Typing(conversation)).await;
    }

    /// The first `count` of the user's conversations, the latest change first. What the stream still holds may speak of
    /// changes that are in here already.
    pub async fn conversations(&self, count: usize) -> Vec<Summary> {
        let (reply, conversations) = oneshot::channel();
        self.order(Order::Conversations(count, reply)).await;
        conversations.await.unwrap_or_default()
    }

    /// Goes on with a newer token of the same device; says when that one ends.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn renew(&self, token: &str) -> Result<u64, RequestError> {
        match self.ask(Question::Renew(token.to_owned())).await? {
            Reply::Renewed(token_expires_ms) => Ok(token_expires_ms),
            _ => Err(RequestError::Disconnected),
        }
    }

    /// Ends the session, and waits until its outbox is free. What waits to be sent stays there.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.orders.send(Order::Close(reply)).await.is_ok() {
            let _ = closed.await;
        }
        self.orders.closed().await;
    }

    /// Why the last connection, or the last attempt at one, failed, in words for people; `None` while one is there.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }

    /// A session that has ended is asked for nothing.
    async fn order(&self, order: Order) {
        let _ = self.orders.send(order).await;
    }

    async fn ask(&self, question: Question) -> Result<Reply, RequestError> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Ask(question, reply)).await.map_err(|_| RequestError::Disconnected)?;
        answer.await.unwrap_or(Err(RequestError::Disconnected))
    }
}

/// What a session tells, except the answers that a [`Handle`] waits for.
#[derive(Debug)]
pub struct EventStream {
    events: mpsc::Receiver<ClientEvent>,
}

impl EventStream {
    /// The next event; `None` when the session has ended. Given up, it loses nothing.
    pub async fn next(&mut self) -> Option<ClientEvent> {
        self.events.recv().await
    }
}
