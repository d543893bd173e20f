//! Users who block each other, and what an edge does for them: it changes the row of whoever blocks, then tells the home of
//! the 1:1, while other changes are under way.

use std::collections::BTreeMap;

use trunkline_shards::contacts::{ContactChange, ContactsAnswer, ContactsRequest};
use trunkline_shards::contract::{AdminAnswer, AdminRequest, Ticket};
use trunkline_shards::store::{Block, ContactRow, ConversationKey};
use trunkline_shards::{Event, ShardId};
use trunkline_wire::ids::{ConversationId, HashSlot, UserId};

use super::World;
use crate::oracle::TENANT;

/// Of so many worlds one has blocks: texts that are refused are texts that test nothing else.
const WORLDS_PER_BLOCKING: u64 = 3;

/// Who blocks, or no longer does, and whom.
type Pair = (UserId, UserId);

/// What the edge is at.
#[derive(Default)]
pub(super) struct Blocking {
    tickets: u64,
    changing: BTreeMap<u64, Pair>,
    /// Rows that are durable, of which the home of the 1:1 is still to be told.
    durable: Vec<(Pair, ContactRow)>,
    telling: BTreeMap<u64, (Pair, ContactRow)>,
}

impl World {
    /// Whether anybody blocks anybody in this world.
    pub(super) fn has_blocks(&self) -> bool {
        self.seed.is_multiple_of(WORLDS_PER_BLOCKING)
    }

    /// A user blocks another one, or no longer does; or an earlier change goes on.
    pub(super) fn act_on_blocks(&mut self, blocker: UserId) -> bool {
        let users = self.users();
        match self.dice.pick(&users).copied() {
            Some(peer) if peer != blocker && self.dice.percent(60) => self.change_block((blocker, peer)),
            _ => self.tell_block(),
        }
    }

    fn change_block(&mut self, (blocker, peer): Pair) -> bool {
        let change = if self.dice.percent(30) { ContactChange::Block } else { ContactChange::Unblock };
        let Some(shards) = self.shards() else { return false };
        self.oracle.blocks.begin(blocker, peer);
        let ticket = self.next_ticket();
        self.blocking.changing.insert(ticket, (blocker, peer));
        let request = ContactsRequest::Change { tenant: TENANT, user: blocker, peer, change };
        self.ask_contacts(HashSlot::of_user(TENANT, blocker).shard(shards), ticket, request);
        true
    }

    /// Tells of any row that is durable: they need not be told of in order.
    pub(super) fn tell_block(&mut self) -> bool {
        let Some(shards) = self.shards() else { return false };
        if self.blocking.durable.is_empty() {
            return false;
        }
        let ((blocker, peer), row) = self.blocking.durable.swap_remove(self.dice.below(self.blocking.durable.len()));
        let conversation = ConversationId::direct(TENANT, blocker, peer);
        let ticket = self.next_ticket();
        self.blocking.telling.insert(ticket, ((blocker, peer), row));
        let block = Block { blocker, blocked: row.blocked, changed_ms: row.changed_ms };
        let request = ContactsRequest::Tell { key: ConversationKey { tenant: TENANT, conversation }, block };
        self.ask_contacts(HashSlot::of_conversation(TENANT, conversation).shard(shards), ticket, request);
        true
    }

    /// A shard has answered an administrator.
    pub(super) fn answered(&mut self, ticket: Ticket, answer: &AdminAnswer) {
        self.mark("admin_answers");
        if let Some((blocker, peer)) = self.blocking.changing.remove(&ticket.0) {
            match answer {
                AdminAnswer::Contacts(ContactsAnswer::Changed(row)) => {
                    self.blocking.durable.push(((blocker, peer), *row));
                }
                _ => self.oracle.blocks.failed(blocker, peer),
            }
        } else if let Some(((blocker, peer), row)) = self.blocking.telling.remove(&ticket.0) {
            self.mark(if row.blocked { "blocks_told" } else { "ends_of_blocks_told" });
            self.oracle.blocks.told(blocker, peer, row);
        }
    }

    /// A process begins: the edge knows nothing of what another one was at.
    pub(super) fn forget_blocking(&mut self) {
        self.blocking = Blocking { tickets: self.blocking.tickets, ..Blocking::default() };
        self.oracle.blocks.begin_anew(&self.store);
    }

    fn ask_contacts(&mut self, shard: ShardId, ticket: u64, request: ContactsRequest) {
        let request = AdminRequest::Contacts(request);
        self.apply(shard, Event::Admin { ticket: Ticket(ticket), request });
    }

    /// From 1; other questions have the ticket 0.
    fn next_ticket(&mut self) -> u64 {
        self.blocking.tickets += 1;
        self.blocking.tickets
    }

    fn shards(&self) -> Option<u16> {
        self.process.as_ref().map(|process| process.shards.len() as u16)
    }
}
