//! Whether there is a connection, and when to ask for the next one.

use rand_chacha::ChaCha8Rng;
use trunkline_wire::websocket::CloseCode;

use super::outlet::below;
use crate::limits::{BACKOFF_FIRST_MS, BACKOFF_MAX_MS, CONNECT_TIMEOUT_MS, LEAVE_TIMEOUT_MS, STABLE_SESSION_MS};

/// What the driver is asked to do with its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    /// Connect, and report with `handle_connected` or `handle_disconnected`.
    Connect,
    /// Close the connection, or give up the attempt. For the client it is gone: nothing more is reported about it.
    Close,
}

/// How a connection, or the attempt at one, ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DisconnectReason {
    /// It never came to be.
    ConnectFailed,
    /// The server closed it, with this code where it gave one.
    Closed(Option<u16>),
    /// It broke.
    Lost,
}

impl DisconnectReason {
    /// The server's word that it does not take this token.
    pub(super) fn refuses_token(self) -> Option<CloseCode> {
        let DisconnectReason::Closed(Some(code)) = self else { return None };
        CloseCode::new(code).filter(|code| [CloseCode::TOKEN_INVALID, CloseCode::TOKEN_EXPIRED].contains(code))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Without a connection until a time.
    Waiting { at_ms: u64 },
    /// The driver connects.
    Connecting { deadline_ms: u64 },
    /// Hello is out.
    Greeting,
    /// Between Welcome and the end.
    Live { since_ms: u64, leave_by_ms: Option<u64> },
    /// The token is refused.
    Refused,
    /// The program wants no more of it.
    Closed,
}

/// State of the connection, and of the waits between connections.
#[derive(Debug)]
pub(super) struct Connection {
    state: State,
    /// Ends in a row without a stable session between them.
    failures: u32,
    /// The server asked not to come before.
    not_before_ms: u64,
    heard_ms: u64,
    heartbeat_ms: u32,
    link: Option<Link>,
}

impl Connection {
    pub(super) fn new() -> Connection {
        Connection {
            state: State::Waiting { at_ms: 0 },
            failures: 0,
            not_before_ms: 0,
            heard_ms: 0,
            heartbeat_ms: 0,
            link: None,
        }
    }

    /// Whether requests may be sent.
    pub(super) fn takes_requests(&self) -> bool {
        matches!(self.state, State::Live { leave_by_ms: None, .. })
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self.state, State::Live { .. })
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Greeting | State::Live { .. })
    }

    pub(super) fn is_connecting(&self) -> bool {
        matches!(self.state, State::Connecting { .. })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    pub(super) fn connected(&mut self, now_ms: u64) {
        self.state = State::Greeting;
        self.heard_ms = now_ms;
    }

    pub(super) fn welcomed(&mut self, now_ms: u64, heartbeat_ms: u32) {
        self.state = State::Live { since_ms: now_ms, leave_by_ms: None };
        self.heartbeat_ms = heartbeat_ms;
        self.not_before_ms = 0;
    }

    pub(super) fn heard(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
    }

    /// The server asks to come back no earlier than after `retry_after_ms`.
    pub(super) fn hold_back(&mut self, now_ms: u64, retry_after_ms: u32) {
        self.not_before_ms = now_ms.saturating_add(u64::from(retry_after_ms));
    }

    /// The server is about to close.
    pub(super) fn leave(&mut self, now_ms: u64) {
        if let State::Live { leave_by_ms, .. } = &mut self.state {
            *leave_by_ms = Some(now_ms + LEAVE_TIMEOUT_MS);
        }
    }

    /// The connection is gone; says when the next attempt is.
    ///
    /// `replaced`: the server ended it for another session of this device, which must not be ended in turn at once.
    pub(super) fn ended(&mut self, now_ms: u64, replaced: bool, rng: &mut ChaCha8Rng) -> Option<u64> {
        if matches!(self.state, State::Refused | State::Closed) {
            return None;
        }
        let stable = matches!(self.state, State::Live { since_ms, .. } if now_ms > since_ms + STABLE_SESSION_MS);
        let wait_ms = if stable && !replaced {
            self.failures = 0;
            0
        } else {
            // Full jitter: <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
            let upper_ms = (BACKOFF_FIRST_MS << self.failures.min(16)).min(BACKOFF_MAX_MS);
            self.failures += 1;
            below(rng, upper_ms + 1)
        };
        let at_ms = (now_ms + wait_ms).max(self.not_before_ms);
        self.state = State::Waiting { at_ms };
        Some(at_ms)
    }

    /// The driver is to close what it has, if it has something.
    pub(super) fn drop_link(&mut self) {
        let has_link = matches!(self.state, State::Connecting { .. } | State::Greeting | State::Live { .. });
        self.link = if has_link && self.link != Some(Link::Connect) { Some(Link::Close) } else { None };
    }

    /// No attempt before a new token.
    pub(super) fn refuse(&mut self) {
        self.state = State::Refused;
    }

    pub(super) fn close(&mut self) {
        self.state = State::Closed;
    }

    /// A new token is there.
    pub(super) fn unrefuse(&mut self, now_ms: u64) {
        if self.state == State::Refused {
            self.state = State::Waiting { at_ms: now_ms.max(self.not_before_ms) };
        }
    }

    /// Starts an attempt when its time has come; says whether what is there is dead.
    pub(super) fn timed_out(&mut self, now_ms: u64) -> bool {
        match self.state {
            State::Waiting { at_ms } if at_ms <= now_ms => {
                self.state = State::Connecting { deadline_ms: now_ms + CONNECT_TIMEOUT_MS };
                self.link = Some(Link::Connect);
                false
            }
            State::Connecting { .. } | State::Live { .. } => self.deadline_ms().is_some_and(|at| at <= now_ms),
            _ => false,
        }
    }

    pub(super) fn deadline_ms(&self) -> Option<u64> {
        match self.state {
            State::Waiting { at_ms } => Some(at_ms),
            State::Connecting { deadline_ms } => Some(deadline_ms),
            State::Live { leave_by_ms, .. } => {
                let silent_ms = u64::from(self.heartbeat_ms) * 5 / 2;
                let silence = (silent_ms > 0).then(|| self.heard_ms + silent_ms);
                silence.into_iter().chain(leave_by_ms).min()
            }
            State::Greeting | State::Refused | State::Closed => None,
        }
    }

    pub(super) fn poll_link(&mut self) -> Option<Link> {
        self.link.take()
    }
}
