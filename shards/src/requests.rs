//! What connections ask, and what their homes answer.
//!
//! Hot path, step 4 of 8: a request goes to the home of what it speaks of; on the same shard without a lane.

use alloc::string::String;
use alloc::vec::Vec;

use trunkline_wire::ids::{ConversationId, HashSlot, UserId};
use trunkline_wire::limits::{PROTOCOL_VERSION, REQUESTS_OUTSTANDING_MAX};
use trunkline_wire::message::{ErrorCode, Welcome};
use trunkline_wire::token::{Scopes, TokenError};
use trunkline_wire::violation::Violation;
use trunkline_wire::websocket::CloseCode;

use crate::bucket::Bucket;
use crate::command::Command;
use crate::contract::{Bytes, ConnectionId, ShardId};
use crate::entry::{Address, Caller, HomeAnswer, HomeRequest, OutgoingMessage};
use crate::front::{Front, Identity, Pending, Session, Step};
use crate::store::{ConversationKey, UserKey};
use crate::turn::{Turn, retry_after_ms};

impl Front {
    /// Carries out one envelope of a client.
    pub(crate) fn carry_out(&mut self, turn: &mut Turn<'_>, id: ConnectionId, command: Command) {
        let Some(connection) = self.get(id) else { return };
        if !connection.link.is_open() {
            return;
        }
        let session = match &mut connection.identity {
            Identity::Known(session) => session,
            Identity::Nobody => {
                return match command {
                    Command::Hello { request, protocol, token } => self.hello(turn, id, request, protocol, &token),
                    _ => self.violate(turn, id, Violation::NotAuthenticated),
                };
            }
            Identity::Starting(_) => return self.violate(turn, id, Violation::NotAuthenticated),
        };
        let (caller, outstanding) = (session.caller, session.outstanding);
        let crowded = connection.link.outbox_bytes() as u64 > turn.common.limits.outbox_bytes_max;
        let request = command.request();
        if let Command::Refused { code, .. } = command {
            return self.refuse(turn, id, request, code);
        }
        if let Command::Renew { token, .. } = &command {
            return self.renew(turn, id, request, token);
        }
        if outstanding as usize >= REQUESTS_OUTSTANDING_MAX {
            return self.refuse(turn, id, request, ErrorCode::TooManyRequests);
        }
        if self.draining {
            return self.refuse(turn, id, request, ErrorCode::Draining);
        }
        if crowded {
            return self.refuse(turn, id, request, ErrorCode::Busy);
        }
        self.ask_home(turn, id, &caller, command);
    }

    fn ask_home(&mut self, turn: &mut Turn<'_>, id: ConnectionId, caller: &Caller, command: Command) {
        let caller = *caller;
        let own_key = UserKey { tenant: caller.tenant, user: caller.user };
        let router = &turn.common.router;
        let home_of =
            |conversation| router.home_of_conversation(ConversationKey { tenant: caller.tenant, conversation });
        let (home, request, step, asked) = match command {
            Command::Resolve { request, folded } => {
                let handle_hash = u64::from(HashSlot::of_handle(caller.tenant, &folded).number()) ^ hash_text(&folded);
                let asked = HomeRequest::AdmitLookup { key: own_key, handle_hash };
                (router.home_of_user(own_key), request, Step::Lookup(folded), asked)
            }
            Command::OpenPeer { request, peer } => {
                let key = UserKey { tenant: caller.tenant, user: peer };
                (router.home_of_user(key), request, Step::OpenPeer(peer), HomeRequest::CheckUser { key })
            }
            Command::Open { request, conversation } => {
                let asked = HomeRequest::Open { caller, request, conversation, peer: None };
                (home_of(conversation), request, Step::Forward, asked)
            }
            Command::Send { request, conversation, mut messages } => {
                let home = home_of(conversation);
                self.limit_rate(turn, id, &mut messages);
                (home, request, Step::Forward, HomeRequest::Send { caller, request, conversation, messages })
            }
            Command::History { request, conversation, from_seq, backward, limit } => {
                let asked = HomeRequest::History { caller, request, conversation, from_seq, backward, limit };
                (home_of(conversation), request, Step::Forward, asked)
            }
            Command::List { request, after, limit } => {
                let asked = HomeRequest::List { caller, request, after, limit };
                (router.home_of_user(own_key), request, Step::Forward, asked)
            }
            Command::Hello { request, .. } => return self.refuse(turn, id, request, ErrorCode::NotAuthenticated),
            Command::Renew { .. } | Command::Refused { .. } => unreachable!("answered by the front itself"),
        };
        if let Some(Identity::Known(session)) = self.get(id).map(|connection| &mut connection.identity) {
            session.outstanding += 1;
        }
        self.ask(turn, home, Pending { connection: id, request, step }, asked);
    }

    /// New messages beyond the device's rate are refused; repetitions of accepted ones are not new.
    fn limit_rate(&mut self, turn: &Turn<'_>, id: ConnectionId, messages: &mut [OutgoingMessage]) {
        let limits = &turn.common.limits;
        let Some(Identity::Known(session)) = self.get(id).map(|connection| &mut connection.identity) else { return };
        for message in messages {
            let admitted = session.sends.take_per_s(turn.now.mono_ns, limits.send_burst, limits.send_per_s, 1);
            if !admitted && message.refusal.is_none() {
                message.refusal = Some(ErrorCode::RateLimited);
            }
        }
    }

    /// Asks a home; without room the client is told to come again.
    fn ask(&mut self, turn: &mut Turn<'_>, home: ShardId, pending: Pending, asked: HomeRequest) {
        let ticket = self.pending.insert(pending);
        if turn.common.router.try_request(home, ticket, asked, turn.effects) {
            return;
        }
        if let Some(pending) = self.pending.take(ticket) {
            let answer = HomeAnswer::Refused(ErrorCode::Busy, retry_after_ms(ErrorCode::Busy, &turn.common.limits));
            self.settle(turn, pending, answer);
        }
    }

    /// A home has answered.
    pub fn answered(&mut self, turn: &mut Turn<'_>, from: ShardId, ticket: u32, answer: HomeAnswer) {
        turn.common.router.answered(from);
        let pending = self.pending.take(ticket).expect("a home answers what was asked, once");
        self.settle(turn, pending, answer);
    }

    fn settle(&mut self, turn: &mut Turn<'_>, pending: Pending, answer: HomeAnswer) {
        let Pending { connection: id, request, step } = pending;
        match (step, answer) {
            (Step::Hello, HomeAnswer::SessionStarted(number)) => return self.welcome(turn, id, request, number),
            (Step::Hello, HomeAnswer::Refused(code, _)) => return self.refuse_hello(turn, id, request, code),
            (Step::OpenPeer(peer), HomeAnswer::UserExists(true)) => return self.open_peer(turn, id, request, peer),
            (Step::OpenPeer(_), HomeAnswer::UserExists(false)) => {
                self.refuse(turn, id, request, ErrorCode::UnknownPeer);
            }
            (Step::Lookup(folded), HomeAnswer::LookupAdmitted) => return self.resolve(turn, id, request, folded),
            (Step::Forward, HomeAnswer::Frame(frame)) => self.push_answer(id, frame),
            (_, HomeAnswer::Refused(code, _)) => self.refuse(turn, id, request, code),
            _ => unreachable!("a home answers what it was asked"),
        }
        if let Some(Identity::Known(session)) = self.get(id).map(|connection| &mut connection.identity) {
            session.outstanding -= 1;
        }
        self.close_if_drained(turn, id);
    }

    fn caller_of(&mut self, id: ConnectionId) -> Option<Caller> {
        match &self.get(id)?.identity {
            Identity::Known(session) => Some(session.caller),
            _ => None,
        }
    }

    fn open_peer(&mut self, turn: &mut Turn<'_>, id: ConnectionId, request: u32, peer: UserId) {
        let Some(caller) = self.caller_of(id) else { return };
        let conversation = ConversationId::direct(caller.tenant, caller.user, peer);
        let home = turn.common.router.home_of_conversation(ConversationKey { tenant: caller.tenant, conversation });
        let asked = HomeRequest::Open { caller, request, conversation, peer: Some(peer) };
        self.ask(turn, home, Pending { connection: id, request, step: Step::Forward }, asked);
    }

    fn resolve(&mut self, turn: &mut Turn<'_>, id: ConnectionId, request: u32, folded: String) {
        let Some(caller) = self.caller_of(id) else { return };
        let home = turn.common.router.home_of_handle(caller.tenant, &folded);
        let asked = HomeRequest::Resolve { caller, request, folded };
        self.ask(turn, home, Pending { connection: id, request, step: Step::Forward }, asked);
    }

    fn hello(&mut self, turn: &mut Turn<'_>, id: ConnectionId, request: u32, protocol: u16, token: &str) {
        if protocol != PROTOCOL_VERSION {
            return self.refuse_hello(turn, id, request, ErrorCode::ProtocolVersion);
        }
        let claims = match self.keys.verify(token, turn.now.wall_ms / 1_000) {
            Ok(claims) => claims,
            Err(TokenError::Expired) => return self.refuse_hello(turn, id, request, ErrorCode::TokenExpired),
            Err(_) => return self.refuse_hello(turn, id, request, ErrorCode::TokenInvalid),
        };
        if !claims.scopes.contains(Scopes::USER) {
            return self.refuse_hello(turn, id, request, ErrorCode::Forbidden);
        }
        let address = Address { shard: turn.common.router.own(), connection: id };
        let caller = Caller { tenant: claims.tenant, user: claims.user, device: claims.device, address };
        let session = Session {
            caller,
            expires_ms: claims.expires_s.saturating_mul(1_000),
            outstanding: 0,
            sends: Bucket::default(),
        };
        if let Some(connection) = self.get(id) {
            connection.identity = Identity::Starting(session.into());
        }
        let home = turn.common.router.home_of_user(UserKey { tenant: caller.tenant, user: caller.user });
        let pending = Pending { connection: id, request, step: Step::Hello };
        self.ask(turn, home, pending, HomeRequest::StartSession { caller });
    }

    fn welcome(&mut self, turn: &mut Turn<'_>, id: ConnectionId, request: u32, number: u64) {
        let own = turn.common.router.own();
        let Some(connection) = self.get(id) else { return };
        let Identity::Starting(session) = core::mem::replace(&mut connection.identity, Identity::Nobody) else {
            return;
        };
        let caller = session.caller;
        debug_assert_eq!(caller.address.shard, own);
        let expires_ms = session.expires_ms;
        connection.identity = Identity::Known(session);
        self.authenticated(id);
        let welcome = Welcome {
            user: caller.user,
            device: caller.device,
            session: number,
            server_time_ms: turn.now.wall_ms,
            token_expires_ms: expires_ms,
            heartbeat_ms: turn.common.limits.heartbeat_ms as u32,
        };
        let mut frame = Vec::new();
        turn.common.encoder.welcome(request, &welcome).write_server_frame(&mut frame);
        self.push(turn, id, Bytes::Owned(frame));
        self.arm(turn, id);
        self.close_if_drained(turn, id);
    }

    /// A Hello that fails ends the connection, after the error that says why.
    fn refuse_hello(&mut self, turn: &mut Turn<'_>, id: ConnectionId, request: u32, code: ErrorCode) {
        self.refuse(turn, id, request, code);
        match code {
            ErrorCode::TokenInvalid => self.violate(turn, id, Violation::TokenInvalid),
            ErrorCode::TokenExpired => self.violate(turn, id, Violation::TokenExpired),
            ErrorCode::Busy => self.close(turn, id, CloseCode::TRY_AGAIN_LATER, code.name()),
            _ => self.close(turn, id, CloseCode::POLICY_VIOLATION, code.name()),
        }
    }

    fn renew(&mut self, turn: &mut Turn<'_>, id: ConnectionId, request: u32, token: &str) {
        let verified = self.keys.verify(token, turn.now.wall_ms / 1_000);
        let Some(connection) = self.get(id) else { return };
        let Identity::Known(session) = &mut connection.identity else { return };
        let caller = session.caller;
        let renewed = match verified {
            Ok(claims)
                if (claims.tenant, claims.user, claims.device) == (caller.tenant, caller.user, caller.device) =>
            {
                session.expires_ms = claims.expires_s.saturating_mul(1_000);
                Ok(session.expires_ms)
            }
            Ok(_) => Err(ErrorCode::Forbidden),
            Err(TokenError::Expired) => Err(ErrorCode::TokenExpired),
            Err(_) => Err(ErrorCode::TokenInvalid),
        };
        match renewed {
            Ok(expires_ms) => {
                let mut frame = Vec::new();
                turn.common.encoder.renewed(request, expires_ms).write_server_frame(&mut frame);
                self.push(turn, id, Bytes::Owned(frame));
                self.arm(turn, id);
            }
            Err(code) => self.refuse(turn, id, request, code),
        }
    }

    /// Answers a request with an error.
    fn refuse(&mut self, turn: &mut Turn<'_>, id: ConnectionId, request: u32, code: ErrorCode) {
        turn.common.counters.count_error(code);
        let retry_after_ms = retry_after_ms(code, &turn.common.limits);
        let mut frame = Vec::new();
        turn.common.encoder.error(request, code, code.name(), retry_after_ms).write_server_frame(&mut frame);
        self.push(turn, id, Bytes::Owned(frame));
    }
}

impl Command {
    fn request(&self) -> u32 {
        match self {
            Command::Hello { request, .. }
            | Command::Resolve { request, .. }
            | Command::OpenPeer { request, .. }
            | Command::Open { request, .. }
            | Command::Send { request, .. }
            | Command::History { request, .. }
            | Command::List { request, .. }
            | Command::Renew { request, .. }
            | Command::Refused { request, .. } => *request,
        }
    }
}

/// FNV-1a, 64 bits.
fn hash_text(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
