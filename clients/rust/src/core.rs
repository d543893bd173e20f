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
mod beginning;
mod catching_up;
mod commands;
mod connection;
mod conversation;
mod dispatch;
mod doubting;
mod event;
mod feed;
mod list;
mod listing;
mod message;
mod options;
mod outlet;
mod program;
mod progress;
mod queue;
mod receiving;
mod reporting;
mod sending;
mod session;
mod state;
mod syncing;
mod typing;
mod views;
mod watermarks;

use std::io;

use trunkline_wire::message::{EnvelopeError, ErrorCode, decode_answer};
use trunkline_wire::websocket::CloseCode;

pub use commands::HistoryFrom;
pub(crate) use commands::Question;
pub use connection::{DisconnectReason, Link};
pub use conversation::{ListPage, Member, MembersPage, Opened, Summary};
pub use event::{ClientEvent, RequestError, RequestId, UserReceipt};
pub use message::{HistoryPage, MembershipChange, Message};
pub use options::{Follow, Options};
pub use sending::SendError;
pub use state::State;
pub use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, UserId};
pub use trunkline_wire::message::{Change, ContentKind, ConversationKind, Role};

use self::commands::Commands;
use self::connection::Connection;
use self::outlet::{Outlet, Purpose};
use self::receiving::Receiving;
use self::reporting::Reporting;
use self::sending::Sending;
use self::typing::Typing;
use self::views::Misbehaved;
use self::watermarks::Watermarks;
use crate::limits::SEND_REQUESTS_MAX;
use crate::outbox::Outbox;

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
    reporting: Reporting,
    watermarks: Watermarks,
    typing: Typing,
    out: Outlet,
}

impl<O: Outbox> Client<O> {
    /// A client that wants to connect. Messages that the outbox still holds are sent as soon as it has.
    ///
    /// # Errors
    /// Those of [`Outbox::load`].
    pub fn new(options: Options, outbox: O) -> io::Result<Client<O>> {
        let mut reporting = Reporting::default();
        if matches!(options.follow, Follow::Stored | Follow::StoredSince(_)) {
            reporting.use_from_start();
        }
        if let Follow::Behind(state) = &options.follow {
            reporting.recall(state);
        }
        Ok(Client {
            token: options.token,
            client_name: options.client_name,
            newer_token: None,
            connection: Connection::new(),
            commands: Commands::default(),
            sending: Sending::new(outbox)?,
            receiving: Receiving::new(options.follow, options.echo_own),
            reporting,
            watermarks: Watermarks::default(),
            typing: Typing::default(),
            out: Outlet::new(options.seed),
        })
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
        let report = if works { self.reporting.deadline_ms() } else { None };
        let has_news = self.receiving.has_news(&self.out) || self.watermarks.has_news(&self.out);
        let news = has_news.then_some(self.out.now_ms);
        let typing = self.typing.deadline_ms();
        [self.connection.deadline_ms(), requests, send, fetch, report, news, typing].into_iter().flatten().min()
    }

    // ---- within

    fn begin(&mut self, now_ms: u64) {
        self.out.now_ms = self.out.now_ms.max(now_ms);
    }

    fn pump(&mut self) {
        if self.connection.takes_requests() {
            self.sending.pump(&mut self.out);
            self.commands.pump(&mut self.out);
            self.receiving.pump(&mut self.out);
        }
        self.receiving.tell(&mut self.out);
        for (conversation, seq) in std::mem::take(&mut self.out.rewound) {
            self.reporting.rewind(conversation, seq);
            self.watermarks.rewind(conversation, seq);
        }
        self.watermarks.tell(&mut self.out);
        self.typing.expire(&mut self.out);
        self.reporting.reach(self.receiving.confirmed_position());
        if self.connection.takes_requests() {
            self.reporting.pump(&mut self.out);
        }
    }
}
