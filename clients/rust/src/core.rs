//! The client as a pure state machine: envelopes, commands and times in; envelopes, events and times out.
//!
//! [`Client`] does no I/O. A driver owns the socket and the clock:
//!
//! ```text
//! loop {
//!     poll_link()      Connect: start connecting, then handle_connected / handle_disconnected
//!                      Close:   drop the socket; report nothing more about it
//!     poll_transmit()  write each envelope as one binary message
//!     poll_event()     hand to the program
//!     poll_timeout()   at that time: handle_timeout
//!     a binary message came -> handle_envelope; a ping or anything else -> handle_activity
//! }
//! ```
//!
//! After each `handle_*` and each command all `poll_*` are asked until they are empty. Times are milliseconds on a clock
//! that never goes back; where it starts does not matter. The same seed, outbox and inputs give the same outputs.

mod answers;
mod commands;
mod connection;
mod event;
mod feed;
mod options;
mod outlet;
mod queue;
mod receiving;
mod sending;
mod session;
mod views;

use std::io;

use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::limits::HISTORY_MESSAGES_MAX;
use trunkline_wire::message::{Answer, ContentKind, EnvelopeError, ErrorCode, decode_answer, schema};
use trunkline_wire::websocket::CloseCode;

pub use connection::{DisconnectReason, Link};
pub use event::{ClientEvent, HistoryPage, ListPage, Message, Opened, RequestError, RequestId, Summary};
pub use options::{Follow, Options};
pub use sending::SendError;
pub use trunkline_wire::ids::MessageId;

use self::commands::{Command, Commands, Question, answered};
use self::connection::Connection;
use self::outlet::{Outlet, Purpose};
use self::receiving::Receiving;
use self::sending::Sending;
use self::views::{Misbehaved, number_of};
use crate::limits::{PAGE_CONVERSATIONS, SEND_REQUESTS_MAX};
use crate::outbox::{Outbox, Record};

/// One user's device: sends what it is given exactly once, and tells what is said, once and in order.
pub struct Client<O> {
    token: String,
    client_name: String,
    /// Given by `renew`, and not yet confirmed by the server.
    newer_token: Option<String>,
    connection: Connection,
    commands: Commands,
    sending: Sending<O>,
    receiving: Receiving,
    out: Outlet,
}

impl<O: Outbox> Client<O> {
    /// A client that wants to connect. Messages that the outbox still holds are sent as soon as it has.
    ///
    /// # Errors
    /// Those of [`Outbox::load`].
    pub fn new(options: Options, outbox: O) -> io::Result<Client<O>> {
        Ok(Client {
            token: options.token,
            client_name: options.client_name,
            newer_token: None,
            connection: Connection::new(),
            commands: Commands::default(),
            sending: Sending::new(outbox)?,
            receiving: Receiving::new(options.follow, options.echo_own),
            out: Outlet::new(options.seed),
        })
    }

    // ---- what the program asks for

    /// Sends a text. The message is in the outbox when this returns, connected or not; its fate comes as
    /// [`ClientEvent::Sent`], [`ClientEvent::Failed`] or [`ClientEvent::Unknown`]. Messages of one client to one
    /// conversation keep their order.
    ///
    /// # Errors
    /// Nothing was taken: see [`SendError`].
    pub fn send_text(&mut self, now_ms: u64, conversation: ConversationId, text: &str) -> Result<MessageId, SendError> {
        self.send(now_ms, conversation, ContentKind::Text, text.as_bytes())
    }

    /// As [`Client::send_text`], for a body of any kind.
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

    /// Asks whose handle this is; the answer is [`ClientEvent::Resolved`].
    pub fn resolve(&mut self, now_ms: u64, handle: &str) -> RequestId {
        self.ask(now_ms, Question::Resolve(handle.to_owned()))
    }

    /// Opens a conversation; the answer is [`ClientEvent::Opened`].
    pub fn open(&mut self, now_ms: u64, conversation: ConversationId) -> RequestId {
        self.ask(now_ms, Question::Open(conversation))
    }

    /// Opens the 1:1 with a user; the answer is [`ClientEvent::Opened`].
    pub fn open_peer(&mut self, now_ms: u64, peer: UserId) -> RequestId {
        self.ask(now_ms, Question::OpenPeer(peer))
    }

    /// Asks for up to `limit` (at most 50) messages from `from_seq` on, itself included, upwards or `backward`;
    /// `from_seq` 0 with `backward` means from the newest. The answer is [`ClientEvent::HistoryPage`].
    pub fn history(
        &mut self,
        now_ms: u64,
        conversation: ConversationId,
        from_seq: u64,
        backward: bool,
        limit: u16,
    ) -> RequestId {
        let limit = limit.clamp(1, HISTORY_MESSAGES_MAX as u16);
        self.ask(now_ms, Question::History { conversation, from_seq, backward, limit })
    }

    /// Asks for up to `limit` (at most 200) conversations from behind `after`; the answer is [`ClientEvent::Listed`].
    pub fn list(&mut self, now_ms: u64, after: Option<ConversationId>, limit: u16) -> RequestId {
        self.ask(now_ms, Question::List { after, limit: limit.clamp(1, PAGE_CONVERSATIONS) })
    }

    /// Goes on with a newer token of the same device. Answered with [`ClientEvent::Renewed`] where there is a session;
    /// without one the token is used for the next.
    pub fn renew(&mut self, now_ms: u64, token: &str) -> RequestId {
        if self.connection.is_live() {
            self.newer_token = Some(token.to_owned());
        } else {
            token.clone_into(&mut self.token);
            self.connection.unrefuse(now_ms);
        }
        self.ask(now_ms, Question::Renew(token.to_owned()))
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

    /// Messages without an answer, in order within each conversation.
    pub fn pending(&self) -> impl Iterator<Item = &Record> {
        self.sending.pending()
    }

    /// The last seq that was delivered of each conversation: what [`Follow::Behind`] takes.
    pub fn positions(&self) -> impl Iterator<Item = (ConversationId, u64)> {
        self.receiving.positions()
    }

    /// The outbox, as a crash at this moment would leave it.
    pub fn into_outbox(self) -> O {
        self.sending.outbox
    }

    // ---- what the driver reports

    /// The connection asked for is there.
    pub fn handle_connected(&mut self, now_ms: u64) {
        self.begin(now_ms);
        if !self.connection.is_connecting() {
            return;
        }
        self.connection.connected(now_ms);
        let (token, name) = (&self.token, &self.client_name);
        self.out.ask(Purpose::Hello, |encoder, request| encoder.hello(request, token, name));
    }

    /// A binary message came.
    pub fn handle_envelope(&mut self, now_ms: u64, envelope: &[u8]) {
        self.begin(now_ms);
        if !self.connection.is_up() {
            return;
        }
        self.connection.heard(now_ms);
        let result = match decode_answer(envelope) {
            Ok((0, pushed)) => self.pushed(&pushed),
            Ok((request, answer)) => match self.out.take(request) {
                Some(purpose) => self.answered(purpose, &answer),
                None => Ok(()),
            },
            // Newer servers may push what this version does not know.
            Err(EnvelopeError::Unsupported { .. }) => Ok(()),
            Err(EnvelopeError::Malformed) => Err(Misbehaved),
        };
        let own = std::mem::take(&mut self.out.own);
        let shown = self.receiving.sent(&mut self.out, own);
        if result.and(shown).is_err() {
            self.connection.drop_link();
            self.end();
        }
        self.pump();
    }

    /// Something came that is no envelope, as a ping: the connection lives.
    pub fn handle_activity(&mut self, now_ms: u64) {
        self.begin(now_ms);
        self.connection.heard(now_ms);
    }

    /// The connection, or the attempt at one, ended without the client's wish.
    pub fn handle_disconnected(&mut self, now_ms: u64, reason: DisconnectReason) {
        self.begin(now_ms);
        if !self.connection.is_up() && !self.connection.is_connecting() {
            return;
        }
        match reason.refuses_token() {
            // The one that is on its way to the server may be better.
            Some(_) if self.newer_token.is_some() => self.end(),
            Some(code) if code == CloseCode::TOKEN_EXPIRED => {
                self.refuse(ErrorCode::TokenExpired);
            }
            Some(_) => self.refuse(ErrorCode::TokenInvalid),
            None => {
                let replaced = reason == DisconnectReason::Closed(Some(CloseCode::SESSION_REPLACED.value()));
                self.end_as(replaced);
            }
        }
    }

    /// The time of [`Client::poll_timeout`] has come. Harmless at any other time.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        self.begin(now_ms);
        let overdue = self.connection.is_up() && self.out.deadline_ms().is_some_and(|at_ms| at_ms <= now_ms);
        if self.connection.timed_out(now_ms) || overdue {
            self.connection.drop_link();
            self.end();
        }
        self.pump();
    }

    // ---- what the driver is to do

    /// What to do with the connection.
    pub fn poll_link(&mut self) -> Option<Link> {
        self.connection.poll_link()
    }

    /// The next envelope to write, as one binary message.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.transmits.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.out.events.pop_front()
    }

    /// When to call [`Client::handle_timeout`]; it may be in the past.
    pub fn poll_timeout(&self) -> Option<u64> {
        let requests = if self.connection.is_up() { self.out.deadline_ms() } else { None };
        let works = self.connection.takes_requests() && self.out.has_room();
        let send = if works && self.out.sending() < SEND_REQUESTS_MAX { self.sending.deadline_ms() } else { None };
        let fetch = if works { self.receiving.deadline_ms(&self.out) } else { None };
        [self.connection.deadline_ms(), requests, send, fetch].into_iter().flatten().min()
    }

    // ---- within

    fn begin(&mut self, now_ms: u64) {
        self.out.now_ms = self.out.now_ms.max(now_ms);
    }

    fn ask(&mut self, now_ms: u64, question: Question) -> RequestId {
        self.begin(now_ms);
        let id = self.commands.push(&mut self.out, question);
        if self.connection.is_closed() {
            self.commands.fail_all(&mut self.out);
        }
        self.pump();
        id
    }

    fn pump(&mut self) {
        if self.connection.takes_requests() {
            self.sending.pump(&mut self.out);
            self.commands.pump(&mut self.out);
            self.receiving.pump(&mut self.out);
        }
    }

    fn pushed(&mut self, pushed: &Answer<'_>) -> Result<(), Misbehaved> {
        match pushed {
            Answer::Message(message) if self.connection.is_live() => {
                let conversation = views::id_of(message.conversation())?;
                let own = self.sending.meet(message, conversation);
                self.receiving.pushed(&mut self.out, conversation, message, own)
            }
            Answer::GoAway(go_away) => {
                self.connection.hold_back(self.out.now_ms, go_away.retry_after_ms());
                self.connection.leave(self.out.now_ms);
                Ok(())
            }
            Answer::Error(error) => self.connection_failed(error),
            _ => Ok(()),
        }
    }

    fn answered(&mut self, purpose: Purpose, answer: &Answer<'_>) -> Result<(), Misbehaved> {
        let Client { sending, receiving, out, .. } = self;
        match (purpose, answer) {
            (Purpose::Hello, Answer::Welcome(welcome)) => self.welcomed(welcome),
            (Purpose::Hello, Answer::Error(error)) => self.connection_failed(error),
            (Purpose::List, Answer::Listed(page)) => receiving.listed(out, page),
            (Purpose::List, Answer::Error(error)) => receiving.list_failed(out, error),
            (Purpose::CatchUp(conversation, from_seq), Answer::HistoryPage(page)) => {
                let own = |message: &schema::Message<'_>| sending.meet(message, conversation);
                receiving.caught_up(out, (conversation, from_seq), page, own)
            }
            (Purpose::CatchUp(conversation, _), Answer::Error(error)) => {
                receiving.catch_up_failed(out, conversation, error)
            }
            (Purpose::OpenToSend(conversation), Answer::Opened(opened)) => {
                receiving.opened(out, conversation, number_of(opened.last_seq())?);
                sending.opened_to_send(conversation, opened)
            }
            (Purpose::OpenToSend(conversation), Answer::Error(error)) => sending.open_failed(out, conversation, error),
            (Purpose::Send(conversation, messages), Answer::Ack(ack)) => {
                sending.acked(out, (conversation, &messages), ack)
            }
            (Purpose::Send(conversation, messages), Answer::Error(error)) => {
                sending.send_failed(out, (conversation, &messages), error)
            }
            (Purpose::LookUp(conversation), Answer::HistoryPage(page)) => sending.looked_up(out, conversation, page),
            (Purpose::LookUp(conversation), Answer::Error(error)) => sending.look_up_failed(out, conversation, error),
            (Purpose::Command(command), answer) => self.command_answered(&command, answer),
            _ => Err(Misbehaved),
        }
    }

    fn command_answered(&mut self, command: &Command, answer: &Answer<'_>) -> Result<(), Misbehaved> {
        match answer {
            Answer::Opened(opened) => {
                let conversation = self.sending.opened(opened)?;
                self.receiving.opened(&self.out, conversation, number_of(opened.last_seq())?);
            }
            Answer::Renewed(_) => {
                if let Question::Renew(token) = &command.question {
                    token.clone_into(&mut self.token);
                    self.newer_token = None;
                }
            }
            Answer::Error(_) if matches!(command.question, Question::Renew(_)) => self.newer_token = None,
            _ => {}
        }
        answered(&mut self.out, command, answer)
    }
}
