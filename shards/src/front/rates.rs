//! How much a connection may ask.

use trunkline_wire::message::ErrorCode;

use super::{Front, Identity, Session};
use crate::command::Command;
use crate::contract::ConnectionId;
use crate::entry::OutgoingMessage;
use crate::limits::Limits;
use crate::turn::Turn;

/// So many watermarks of a report count as one request more: each goes on to a home of its own, and may load its
/// conversation there.
const RECEIPTS_PER_READ: u64 = 4;
/// So many users of a change of members count as one message more: each is looked up.
const USERS_PER_SEND: u64 = 16;

impl Front {
    /// Whether a request is within the connection's rates: that of what may cost a read of the store or goes on to other
    /// homes, and that of what is written for good. New messages beyond the latter are refused one by one.
    pub(crate) fn admits(&mut self, turn: &Turn<'_>, id: ConnectionId, command: &mut Command) -> bool {
        let Some(Identity::Known(session)) = self.get(id).map(|connection| &mut connection.identity) else {
            return false;
        };
        session.admits(turn.now.mono_ns, &turn.shared.limits, command)
    }
}

impl Session {
    /// What costs more than a burst takes a whole one: it stays possible.
    fn admits(&mut self, now_ns: u64, limits: &Limits, command: &mut Command) -> bool {
        match command {
            Command::Open { .. }
            | Command::OpenPeer { .. }
            | Command::History { .. }
            | Command::Members { .. }
            | Command::Sync { .. }
            | Command::Typing { .. }
            // Its home limits the handles that are new to a user; those that are not are looked up all the same.
            | Command::Resolve { .. } => self.admits_read(now_ns, limits, 1),
            Command::Report { receipts, .. } => {
                self.admits_read(now_ns, limits, 1 + receipts.len() as u64 / RECEIPTS_PER_READ)
            }
            Command::CreateGroup { members: users, .. } | Command::ChangeMembers { users, .. } => {
                self.admits_send(now_ns, limits, 1 + users.len() as u64 / USERS_PER_SEND)
            }
            Command::Send { messages, .. } => self.admits_messages(now_ns, limits, messages),
            Command::Hello { .. } | Command::Renew { .. } | Command::Refused { .. } => true,
        }
    }

    /// New messages beyond the rate are refused, and repetitions that would cost a read; a repetition that memory can answer
    /// is answered as ever, but uses the rate too. Whether a message is a repetition is not known here and may cost a read
    /// where it is found out: with the first one beyond the rate all are, and the request needs one of those.
    fn admits_messages(&mut self, now_ns: u64, limits: &Limits, messages: &mut [OutgoingMessage]) -> bool {
        let mut is_first_beyond = false;
        for (index, message) in messages.iter_mut().enumerate() {
            if self.admits_send(now_ns, limits, 1) {
                continue;
            }
            is_first_beyond |= index == 0;
            message.refusal = message.refusal.or(Some(ErrorCode::RateLimited));
        }
        !is_first_beyond || self.admits_read(now_ns, limits, 1)
    }

    fn admits_read(&mut self, now_ns: u64, limits: &Limits, cost: u64) -> bool {
        self.reads.take_per_s(now_ns, limits.read_burst, limits.read_per_s, cost.min(limits.read_burst))
    }

    fn admits_send(&mut self, now_ns: u64, limits: &Limits, cost: u64) -> bool {
        self.sends.take_per_s(now_ns, limits.send_burst, limits.send_per_s, cost.min(limits.send_burst))
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;
    use alloc::vec::Vec;

    use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, TenantId, UserId};
    use trunkline_wire::message::Change;

    use super::*;
    use crate::bucket::Bucket;
    use crate::entry::{Address, Caller};

    const ID: ConversationId = ConversationId([1; 16]);

    fn session() -> Session {
        let address = Address { shard: 0, connection: ConnectionId { slot: 0, generation: 1 } };
        let caller = Caller { tenant: TenantId(0), user: UserId(1), device: DeviceId(1), address };
        let (sends, reads) = (Bucket::default(), Bucket::default());
        Session { caller, expires_ms: 0, outstanding: 0, sends, reads }
    }

    const LIMITS: fn() -> Limits = || Limits { read_burst: 10, send_burst: 4, ..Limits::default() };

    /// How many of a command are admitted at once.
    fn burst(command: impl Fn() -> Command) -> usize {
        let mut session = session();
        (0..100).filter(|_| session.admits(1, &LIMITS(), &mut command())).count()
    }

    fn send(count: u64) -> Command {
        let message = |client_seq| OutgoingMessage {
            client_seq,
            message_id: MessageId(client_seq),
            kind: 1,
            flags: 0,
            ref_seq: 0,
            mls_epoch: 0,
            refusal: None,
            imported: None,
            body: [].into(),
        };
        Command::Send { request: 1, conversation: ID, messages: (1..=count).map(message).collect() }
    }

    #[test]
    fn each_request_has_its_rate() {
        let report = |count| Command::Report { request: 1, position: 0, receipts: vec![(ID, 1, 1); count] };
        assert_eq!(burst(|| Command::Open { request: 1, conversation: ID }), 10);
        assert_eq!(burst(|| Command::Sync { request: 1, position: None, below: 0, limit: 1 }), 10);
        assert_eq!(burst(|| Command::Typing { request: 1, conversation: ID }), 10);
        assert_eq!(burst(|| Command::Resolve { request: 1, folded: "x".to_string() }), 10);
        assert_eq!((burst(|| report(3)), burst(|| report(16)), burst(|| report(256))), (10, 2, 1));
        let users = |count| (1..=count).map(UserId).collect::<Vec<_>>();
        let group =
            |count| Command::CreateGroup { request: 1, nonce: 1, title: "x".to_string(), members: users(count) };
        assert_eq!((burst(|| group(0)), burst(|| group(16)), burst(|| group(256))), (4, 2, 1));
        let change = Change::Added;
        let more = |count| Command::ChangeMembers { request: 1, conversation: ID, change, users: users(count) };
        assert_eq!((burst(|| more(1)), burst(|| more(31)), burst(|| more(256))), (4, 2, 1));
    }

    #[test]
    fn messages_beyond_the_rate_take_reads_until_there_are_none() {
        assert_eq!(burst(|| send(1)), 4 + 10);
        let mut session = session();
        let mut admitted = |command: &mut Command| session.admits(1, &LIMITS(), command);
        let mut beyond = send(6);
        assert!(admitted(&mut beyond), "the first ones are within the rate");
        let Command::Send { messages, .. } = &beyond else { unreachable!() };
        let refused = messages.iter().map(|message| message.refusal);
        assert!(refused.eq([None, None, None, None, Some(ErrorCode::RateLimited), Some(ErrorCode::RateLimited)]));
        let open = || Command::Open { request: 1, conversation: ID };
        assert!((0..9).all(|_| admitted(&mut open())), "that took no read");
        assert!(admitted(&mut send(6)), "a read, for all of them");
        assert!(!admitted(&mut send(6)) && !admitted(&mut open()));
    }
}
