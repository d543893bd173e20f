//! What connections ask, and what their homes answer.
//!
//! Hot path, step 4 of 8: a request goes to the home of what it speaks of; on the same shard without a lane.

use alloc::string::String;
use alloc::vec::Vec;

use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::limits::{PROTOCOL_VERSION, REQUESTS_OUTSTANDING_MAX};
use trunkline_wire::message::{ErrorCode, Welcome};
use trunkline_wire::token::{Scopes, TokenError};
use trunkline_wire::violation::Violation;
use trunkline_wire::websocket::CloseCode;

use crate::bucket::Bucket;
use crate::command::Command;
use crate::contract::{ConnectionId, ShardId};
use crate::entry::{Address, Caller, HomeAnswer, HomeRequest};
use crate::front::{Front, Identity, Pending, Session, Step};
use crate::store::{ConversationKey, UserKey};
use crate::turn::Turn;

impl Front {
    /// Carries out one envelope of a client.
    pub(crate) fn carry_out(&mut self, turn: &mut Turn<'_>, id: ConnectionId, mut command: Command) {
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
        let crowded = connection.link.outbox_bytes() as u64 > turn.shared.limits.outbox_bytes_max;
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
        if !self.admits(turn, id, &mut command) {
            return self.refuse(turn, id, request, ErrorCode::RateLimited);
        }
        self.ask_home(turn, id, &caller, command);
    }

    fn ask_home(&mut self, turn: &mut Turn<'_>, id: ConnectionId, caller: &Caller, command: Command) {
        let caller = *caller;
        let own_key = UserKey { tenant: caller.tenant, user: caller.user };
        let router = &turn.shared.router;
        let home_of =
            |conversation| router.home_of_conversation(ConversationKey { tenant: caller.tenant, conversation });
        let (home, request, step, asked) = match command {
            Command::Resolve { request, folded } => {
                let handle_hash = hash_text(&folded);
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
            Command::Send { request, conversation, messages } => {
                let asked = HomeRequest::Send { caller, request, conversation, messages };
                (home_of(conversation), request, Step::Forward, asked)
            }
            Command::History { request, conversation, from_seq, backward, limit } => {
                let asked = HomeRequest::History { caller, request, conversation, from_seq, backward, limit };
                (home_of(conversation), request, Step::Forward, asked)
            }
            Command::Sync { request, position, below, limit } => {
                let asked = HomeRequest::Sync { caller, request, position, below, limit };
                (router.home_of_user(own_key), request, Step::Forward, asked)
            }
            Command::Report { request, position, receipts } => {
                let asked = HomeRequest::Report { caller, request, position, receipts };
                (router.home_of_user(own_key), request, Step::Forward, asked)
            }
            Command::CreateGroup { request, nonce, title, mut members } => {
                let conversation = ConversationId::group(caller.tenant, caller.user, nonce);
                members.retain(|&user| user != caller.user);
                let asked = HomeRequest::CreateGroup { caller, request, conversation, title, members };
                (home_of(conversation), request, Step::Forward, asked)
            }
            Command::ChangeMembers { request, conversation, change, users } => {
                let asked = HomeRequest::ChangeMembers { caller, request, conversation, change, users };
                (home_of(conversation), request, Step::Forward, asked)
            }
            Command::Members { request, conversation, after, limit } => {
                let asked = HomeRequest::Members { caller, request, conversation, after, limit };
                (home_of(conversation), request, Step::Forward, asked)
            }
            Command::Typing { request, conversation } => {
                (home_of(conversation), request, Step::Forward, HomeRequest::Typing { caller, request, conversation })
            }
            Command::Hello { request, .. } => return self.refuse(turn, id, request, ErrorCode::NotAuthenticated),
            Command::Renew { .. } | Command::Refused { .. } => unreachable!("answered by the front itself"),
        };
        if let Some(Identity::Known(session)) = self.get(id).map(|connection| &mut connection.identity) {
            session.outstanding += 1;
        }
        self.ask(turn, home, Pending { connection: id, request, step }, asked);
    }

    /// Asks a home; without room the client is told to come again.
    fn ask(&mut self, turn: &mut Turn<'_>, home: ShardId, pending: Pending, asked: HomeRequest) {
        let ticket = self.pending.insert(pending);
        if turn.shared.router.try_request(home, ticket, asked, turn.effects) {
            return;
        }
        if let Some(pending) = self.pending.take(ticket) {
            let answer = HomeAnswer::Refused(ErrorCode::Busy, turn.retry_after_ms(ErrorCode::Busy));
            self.settle(turn, pending, answer);
        }
    }

    /// A home has answered.
    pub fn answered(&mut self, turn: &mut Turn<'_>, from: ShardId, ticket: u32, answer: HomeAnswer) {
        turn.shared.router.answered(from);
        let pending = self.pending.take(ticket).expect("a home answers what was asked, once");
        self.settle(turn, pending, answer);
    }

    fn settle(&mut self, turn: &mut Turn<'_>, pending: Pending, answer: HomeAnswer) {
        let Pending { connection: id, request, step } = pending;
        match (step, answer) {
            (Step::Hello(caller), HomeAnswer::SessionStarted(number)) => {
                return self.welcome(turn, id, request, &caller, number);
            }
            (Step::Hello(_), HomeAnswer::Refused(code, _)) => return self.refuse_hello(turn, id, request, code),
            (Step::OpenPeer(peer), HomeAnswer::UserExists(true)) => return self.open_peer(turn, id, request, peer),
            (Step::OpenPeer(_), HomeAnswer::UserExists(false)) => {
                self.refuse(turn, id, request, ErrorCode::UnknownPeer);
            }
            (Step::Lookup(folded), HomeAnswer::LookupAdmitted) => return self.resolve(turn, id, request, folded),
            (Step::Forward, HomeAnswer::Frame(frame)) => self.push_answer(id, frame),
            (_, HomeAnswer::Refused(code, ms)) => self.refuse_until(turn, id, request, code, ms),
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
        let home = turn.shared.router.home_of_conversation(ConversationKey { tenant: caller.tenant, conversation });
        let asked = HomeRequest::Open { caller, request, conversation, peer: Some(peer) };
        self.ask(turn, home, Pending { connection: id, request, step: Step::Forward }, asked);
    }

    fn resolve(&mut self, turn: &mut Turn<'_>, id: ConnectionId, request: u32, folded: String) {
        let Some(caller) = self.caller_of(id) else { return };
        let home = turn.shared.router.home_of_handle(caller.tenant, &folded);
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
        let address = Address { shard: turn.shared.router.own(), connection: id };
        let caller = Caller { tenant: claims.tenant, user: claims.user, device: claims.device, address };
        let session = Session {
            caller,
            expires_ms: claims.expires_s.saturating_mul(1_000),
            outstanding: 0,
            sends: Bucket::default(),
            reads: Bucket::default(),
        };
        if let Some(connection) = self.get(id) {
            connection.identity = Identity::Starting(session.into());
        }
        let home = turn.shared.router.home_of_user(UserKey { tenant: caller.tenant, user: caller.user });
        let pending = Pending { connection: id, request, step: Step::Hello(caller) };
        self.ask(turn, home, pending, HomeRequest::StartSession { caller, issued_s: claims.issued_s });
    }

    fn welcome(&mut self, turn: &mut Turn<'_>, id: ConnectionId, request: u32, caller: &Caller, number: u64) {
        let Some(expires_ms) = self.start(id) else {
            // It hung up meanwhile: its home has a session of it all the same.
            return self.tell_ended(turn, caller);
        };
        self.authenticated(id);
        let welcome = Welcome {
            user: caller.user,
            device: caller.device,
            session: number,
            server_time_ms: turn.now.wall_ms,
            token_expires_ms: expires_ms,
            heartbeat_ms: turn.shared.limits.heartbeat_ms as u32,
        };
        let mut frame = Vec::new();
        turn.shared.encoder.welcome(request, &welcome).write_server_frame(&mut frame);
        self.push_answer(id, frame);
        self.arm(turn, id);
        self.close_if_drained(turn, id);
    }

    /// The home has the session: requests are taken from now on. Says when its token expires; none: it hung up.
    fn start(&mut self, id: ConnectionId) -> Option<u64> {
        let connection = self.get(id)?;
        match core::mem::replace(&mut connection.identity, Identity::Nobody) {
            Identity::Starting(session) => {
                let expires_ms = session.expires_ms;
                connection.identity = Identity::Known(session);
                Some(expires_ms)
            }
            _ => None,
        }
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
            Ok(claims) if claims.is_of(caller.tenant, caller.user, caller.device) => {
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
                turn.shared.encoder.renewed(request, expires_ms).write_server_frame(&mut frame);
                self.push_own_answer(turn, id, frame);
                self.arm(turn, id);
            }
            Err(code) => self.refuse(turn, id, request, code),
        }
    }

    /// Answers a request with an error.
    fn refuse(&mut self, turn: &mut Turn<'_>, id: ConnectionId, request: u32, code: ErrorCode) {
        let retry_after_ms = turn.retry_after_ms(code);
        self.refuse_until(turn, id, request, code, retry_after_ms);
    }

    fn refuse_until(
        &mut self,
        turn: &mut Turn<'_>,
        id: ConnectionId,
        request: u32,
        code: ErrorCode,
        retry_after_ms: u32,
    ) {
        turn.shared.counters.count_error(code);
        let mut frame = Vec::new();
        turn.shared.encoder.error(request, code, code.name(), retry_after_ms).write_server_frame(&mut frame);
        self.push_own_answer(turn, id, frame);
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
            | Command::Sync { request, .. }
            | Command::CreateGroup { request, .. }
            | Command::ChangeMembers { request, .. }
            | Command::Members { request, .. }
            | Command::Report { request, .. }
            | Command::Typing { request, .. }
            | Command::Renew { request, .. }
            | Command::Refused { request, .. } => *request,
        }
    }
}

/// FNV-1a, 64 bits.
fn hash_text(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
