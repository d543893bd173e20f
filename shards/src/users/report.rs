//! Reports of devices: their watermarks go to the homes of the conversations, their position into the store.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use trunkline_wire::ids::ConversationId;
use trunkline_wire::message::ErrorCode;

use super::Users;
use crate::contract::ShardId;
use crate::desk::Purpose;
use crate::entry::{Caller, Entry, HomeAnswer};
use crate::router::Reply;
use crate::store::{ConversationKey, DeviceReceipt, Put, StoreFault, UserKey};
use crate::turn::Turn;

/// Watermarks that wait for credit, per shard: those of one report each, another is refused until they have gone.
pub(super) type Receipts = Vec<VecDeque<(ConversationKey, DeviceReceipt)>>;

impl Users {
    /// A device says what it has.
    pub(super) fn report(
        &mut self,
        turn: &mut Turn<'_>,
        reply: Reply,
        caller: &Caller,
        request: u32,
        position: u64,
        receipts: &[(ConversationId, u64, u64)],
    ) {
        let addressed: Vec<(ShardId, ConversationKey, DeviceReceipt)> = receipts
            .iter()
            .map(|&(conversation, delivered_seq, read_seq)| {
                let key = ConversationKey { tenant: caller.tenant, conversation };
                let (user, device) = (caller.user, caller.device);
                let receipt = DeviceReceipt { user, device, delivered_seq, read_seq };
                (turn.shared.router.home_of_conversation(key), key, receipt)
            })
            .collect();
        let waiting = &mut self.queues.receipts;
        let has_room = addressed.iter().all(|(home, ..)| turn.shared.router.has_credit(*home));
        if !has_room || (position > 0 && !turn.shared.desk.can_put(&turn.shared.limits)) {
            return turn.refuse(reply, ErrorCode::Busy);
        }
        for (home, key, receipt) in addressed {
            if !turn.shared.router.try_post(home, Entry::Receipt { key, receipt }, turn.effects) {
                waiting[usize::from(home)].push_back((key, receipt));
            }
        }
        if position == 0 {
            return answer_done(turn, reply, request);
        }
        let key = UserKey { tenant: caller.tenant, user: caller.user };
        let put = Put::Position { key, device: caller.device, position };
        turn.shared.desk.put(Purpose::Position(reply, request), put, turn.effects);
    }
}

/// Credit towards a shard came back.
pub(super) fn unblock(turn: &mut Turn<'_>, waiting: &mut Receipts, shard: ShardId) {
    while turn.shared.router.has_credit(shard) {
        let Some((key, receipt)) = waiting[usize::from(shard)].pop_front() else { return };
        let posted = turn.shared.router.try_post(shard, Entry::Receipt { key, receipt }, turn.effects);
        assert!(posted, "there was credit");
    }
}

/// The store answered the write of a position.
pub(crate) fn position_stored(turn: &mut Turn<'_>, reply: Reply, request: u32, done: Result<(), StoreFault>) {
    match done {
        Ok(()) => answer_done(turn, reply, request),
        Err(StoreFault::Full) => turn.refuse(reply, ErrorCode::StorageFull),
        Err(StoreFault::Unknown) => turn.refuse(reply, ErrorCode::StorageUnavailable),
    }
}

fn answer_done(turn: &mut Turn<'_>, reply: Reply, request: u32) {
    let mut frame = Vec::new();
    turn.shared.encoder.done(request).write_server_frame(&mut frame);
    turn.answer(reply, HomeAnswer::Frame(frame));
}
