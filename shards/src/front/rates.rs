//! How much a connection may ask.

use trunkline_wire::message::ErrorCode;

use super::{Front, Identity, Session};
use crate::command::Command;
use crate::contract::ConnectionId;
use crate::entry::OutgoingMessage;
use crate::limits::Limits;
use crate::turn::Turn;

/// So many watermarks of a report count as one request more: each goes on to a home of its own.
const RECEIPTS_PER_READ: u64 = 16;

impl Front {
    /// Whether a request is within the connection's rates: that of what may cost a read of the store or goes on to other
    /// homes, and that of what is written for good. Messages are judged one by one.
    pub(crate) fn admits(&mut self, turn: &Turn<'_>, id: ConnectionId, command: &Command) -> bool {
        let Some(Identity::Known(session)) = self.get(id).map(|connection| &mut connection.identity) else {
            return false;
        };
        session.admits(turn.now.mono_ns, &turn.shared.limits, command)
    }

    /// New messages beyond the connection's rate are refused, and repetitions that would cost a read; a repetition that
    /// memory can answer is answered as ever, but uses the rate too.
    pub(crate) fn limit_rate(&mut self, turn: &Turn<'_>, id: ConnectionId, messages: &mut [OutgoingMessage]) {
        let limits = &turn.shared.limits;
        let Some(Identity::Known(session)) = self.get(id).map(|connection| &mut connection.identity) else { return };
        for message in messages {
            let admitted = session.sends.take_per_s(turn.now.mono_ns, limits.send_burst, limits.send_per_s, 1);
            if !admitted && message.refusal.is_none() {
                message.refusal = Some(ErrorCode::RateLimited);
            }
        }
    }
}

impl Session {
    fn admits(&mut self, now_ns: u64, limits: &Limits, command: &Command) -> bool {
        let mut reads = |cost: u64| {
            self.reads.take_per_s(now_ns, limits.read_burst, limits.read_per_s, cost.min(limits.read_burst))
        };
        match command {
            Command::Open { .. }
            | Command::OpenPeer { .. }
            | Command::History { .. }
            | Command::Members { .. }
            | Command::Sync { .. }
            | Command::Typing { .. } => reads(1),
            Command::Report { receipts, .. } => reads(1 + receipts.len() as u64 / RECEIPTS_PER_READ),
            Command::CreateGroup { .. } | Command::ChangeMembers { .. } => {
                self.sends.take_per_s(now_ns, limits.send_burst, limits.send_per_s, 1)
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use trunkline_wire::ids::{ConversationId, DeviceId, TenantId, UserId};

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

    /// How many of a command are admitted at once.
    fn burst(command: impl Fn() -> Command) -> usize {
        let limits = Limits { read_burst: 10, send_burst: 4, ..Limits::default() };
        let mut session = session();
        (0..100).filter(|_| session.admits(1, &limits, &command())).count()
    }

    #[test]
    fn each_request_has_its_rate() {
        let report = |count| Command::Report { request: 1, position: 0, receipts: vec![(ID, 1, 1); count] };
        assert_eq!(burst(|| Command::Open { request: 1, conversation: ID }), 10);
        assert_eq!(burst(|| Command::Sync { request: 1, position: None, below: 0, limit: 1 }), 10);
        assert_eq!(burst(|| Command::Typing { request: 1, conversation: ID }), 10);
        assert_eq!((burst(|| report(1)), burst(|| report(16)), burst(|| report(256))), (10, 5, 1));
        let group = || Command::CreateGroup { request: 1, nonce: 1, title: "x".to_string(), members: vec![] };
        assert_eq!(burst(group), 4);
        assert_eq!(burst(|| Command::Resolve { request: 1, folded: "x".to_string() }), 100, "its home limits it");
    }
}
