//! How a session of the client begins and ends.

use trunkline_wire::ids::{DeviceId, UserId};
use trunkline_wire::message::{ErrorCode, schema};

use super::Client;
use super::event::ClientEvent;
use super::outlet::Purpose;
use super::views::{Misbehaved, code_of};
use crate::outbox::Outbox;

impl<O: Outbox> Client<O> {
    pub(super) fn welcomed(&mut self, welcome: &schema::Welcome<'_>) -> Result<(), Misbehaved> {
        let me = (UserId(welcome.user()), DeviceId(welcome.device()));
        if self.sending.me.is_some_and(|before| before != me) {
            // Another device's numbers: what the outbox holds must not be sent with them.
            self.connection.drop_link();
            self.refuse(ErrorCode::Forbidden);
            return Ok(());
        }
        self.connection.welcomed(self.out.now_ms, welcome.heartbeat_ms());
        self.sending.welcomed(me);
        self.receiving.me = Some(me.0);
        self.out.event(ClientEvent::Connected {
            user: me.0,
            device: me.1,
            session: welcome.session(),
            server_time_ms: welcome.server_time_ms(),
            token_expires_ms: welcome.token_expires_ms(),
        });
        Ok(())
    }

    /// The server speaks of the connection as a whole, and is about to close it.
    pub(super) fn connection_failed(&mut self, error: &schema::Error<'_>) -> Result<(), Misbehaved> {
        let code = code_of(error.code());
        self.connection.hold_back(self.out.now_ms, error.retry_after_ms());
        match code {
            // The one that is on its way to the server may be better.
            ErrorCode::TokenInvalid | ErrorCode::TokenExpired if self.newer_token.is_some() => Err(Misbehaved),
            ErrorCode::TokenInvalid | ErrorCode::TokenExpired | ErrorCode::ProtocolVersion | ErrorCode::Forbidden => {
                self.connection.drop_link();
                self.refuse(code);
                Ok(())
            }
            _ => Err(Misbehaved),
        }
    }

    pub(super) fn refuse(&mut self, code: ErrorCode) {
        self.connection.refuse();
        self.out.event(ClientEvent::AuthFailed { code });
        self.lose_connection();
    }

    pub(super) fn end(&mut self) {
        self.end_as(false);
    }

    pub(super) fn end_as(&mut self, replaced: bool) {
        let retry_at_ms = self.connection.ended(self.out.now_ms, replaced, &mut self.out.rng);
        self.forget_connection();
        self.out.event(ClientEvent::Disconnected { retry_at_ms });
    }

    pub(super) fn lose_connection(&mut self) {
        self.forget_connection();
        self.out.event(ClientEvent::Disconnected { retry_at_ms: None });
    }

    fn forget_connection(&mut self) {
        if let Some(token) = self.newer_token.take() {
            self.token = token;
        }
        self.sending.disconnect();
        self.receiving.disconnect();
        self.reporting.disconnect();
        for purpose in self.out.disconnect().into_iter().rev() {
            if let Purpose::Command(command) = purpose {
                self.commands.again(&mut self.out, command);
            }
        }
    }
}
