//! What is blocked in 1:1s: told as it changes, and read for one that is not stored yet.

use trunkline_wire::ids::UserId;
use trunkline_wire::message::ErrorCode;

use super::taking_up::Waiters;
use super::{Conversations, Place};
use crate::contacts::{ContactsAnswer, say};
use crate::contract::Ticket;
use crate::desk::Purpose;
use crate::store::{Block, ConversationKey, Load, Loaded, StoreFault};
use crate::turn::Turn;

impl Conversations {
    /// A durable row says this. A 1:1 that is not in memory finds the row when it is taken up.
    pub fn tell_block(&mut self, turn: &mut Turn<'_>, ticket: Ticket, key: ConversationKey, block: Block) {
        match self.places.get_mut(&key) {
            Some(Place::Here(conversation)) => conversation.blocks.take(block),
            // What is being read may be older than this.
            Some(Place::Loading(waiters)) => waiters.blocks.take(block),
            None => {}
        }
        say(turn, ticket, ContactsAnswer::Told);
    }

    /// Nothing is stored of a 1:1 that somebody opens: what is blocked there is read by its peers.
    pub(super) fn read_blocks(
        &mut self,
        turn: &mut Turn<'_>,
        key: ConversationKey,
        peers: [UserId; 2],
        waiters: Waiters,
    ) {
        if !turn.shared.desk.can_load(&turn.shared.limits) {
            return waiters.requests.into_iter().for_each(|(reply, _)| turn.refuse(reply, ErrorCode::Busy));
        }
        let waiters = Waiters { blocks_read: true, for_mark: false, unmarking: None, ..waiters };
        self.places.insert(key, Place::Loading(waiters));
        turn.shared.desk.load(Purpose::Blocks(key), Load::Blocks { tenant: key.tenant, peers }, turn.effects);
    }

    /// What is blocked was read.
    pub fn blocks_loaded(&mut self, turn: &mut Turn<'_>, key: ConversationKey, loaded: Result<Loaded, StoreFault>) {
        let Some(Place::Loading(mut waiters)) = self.places.remove(&key) else {
            unreachable!("those who wait stay while something is read for them");
        };
        match loaded {
            Ok(Loaded::Blocks(blocks)) => {
                waiters.blocks.take_all(blocks);
                self.found(turn, key, None, waiters);
            }
            Ok(_) => unreachable!("a load of blocks finds blocks"),
            Err(_) => {
                let requests = waiters.requests.into_iter();
                requests.for_each(|(reply, _)| turn.refuse(reply, ErrorCode::StorageUnavailable));
            }
        }
    }
}
