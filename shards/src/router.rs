//! Who is home where, and the credit that keeps every lane from overflowing.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use trunkline_wire::ids::{HashSlot, TenantId};

use crate::archive;
use crate::contract::{Effect, Effects, ShardId, Ticket};
use crate::entry::{Entry, HomeAnswer, HomeRequest};
use crate::store::{ConversationKey, UserKey};

/// Room of one lane between two shards, in entries. A lane holds at least `pushes + answers` entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LaneRoom {
    /// For requests and pushes: the sender's credit.
    pub pushes: u32,
    /// For answers: how many requests the receiver may have outstanding with the sender.
    pub answers: u32,
}

/// Where the answer to a request goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    /// To the asking shard, with its name for the request.
    Shard { shard: ShardId, ticket: u32 },
    /// To an administrator of this shard.
    Administrator(Ticket),
}

/// One shard's side of the mesh. Entries to oneself wait in `local` and need no credit: what is in there is bounded by
/// what one event can cause.
#[derive(Debug)]
pub(crate) struct Router {
    shard: ShardId,
    shards: u16,
    room: LaneRoom,
    /// Entries that may still be posted, per shard.
    credit: Vec<u32>,
    /// Requests without an answer, per shard.
    outstanding: Vec<u32>,
    local: VecDeque<Entry>,
    pub posted: u64,
}

impl Router {
    pub fn new(shard: ShardId, shards: u16, room: LaneRoom) -> Router {
        assert!(shard < shards, "a shard is one of its process's shards");
        assert!(shards == 1 || (room.pushes > 0 && room.answers > 0), "a lane has room");
        let count = usize::from(shards);
        Router {
            shard,
            shards,
            room,
            credit: vec![room.pushes; count],
            outstanding: vec![0; count],
            local: VecDeque::new(),
            posted: 0,
        }
    }

    pub fn own(&self) -> ShardId {
        self.shard
    }

    pub fn home_of_user(&self, key: UserKey) -> ShardId {
        HashSlot::of_user(key.tenant, key.user).shard(self.shards)
    }

    pub fn home_of_conversation(&self, key: ConversationKey) -> ShardId {
        HashSlot::of_conversation(key.tenant, key.conversation).shard(self.shards)
    }

    pub fn home_of_handle(&self, tenant: TenantId, folded: &str) -> ShardId {
        HashSlot::of_handle(tenant, folded).shard(self.shards)
    }

    /// Asks a home; false when there is no room for the request or for its answer.
    #[must_use]
    pub fn try_request(&mut self, to: ShardId, ticket: u32, request: HomeRequest, effects: &mut Effects) -> bool {
        let remote = to != self.shard;
        if remote && self.outstanding[usize::from(to)] == self.room.answers {
            return false;
        }
        let posted = self.try_post(to, Entry::Request { ticket, request: Box::new(request) }, effects);
        if posted && remote {
            self.outstanding[usize::from(to)] += 1;
        }
        posted
    }

    /// Answers a request; the room was reserved by whoever asked.
    pub fn answer(&mut self, reply: Reply, answer: HomeAnswer, effects: &mut Effects) {
        match reply {
            Reply::Shard { shard, ticket } if shard == self.shard => {
                self.local.push_back(Entry::Answer { ticket, answer });
            }
            Reply::Shard { shard, ticket } => self.post(shard, Entry::Answer { ticket, answer }, effects),
            Reply::Administrator(ticket) => {
                effects.push(Effect::Answer { ticket, answer: archive::told(answer) });
            }
        }
    }

    /// An answer of `from` was taken out of its lane.
    pub fn answered(&mut self, from: ShardId) {
        if from != self.shard {
            let outstanding = &mut self.outstanding[usize::from(from)];
            assert!(*outstanding > 0, "an answer answers a request");
            *outstanding -= 1;
        }
    }

    /// Posts a push or a request; false when there is no credit.
    #[must_use]
    pub fn try_post(&mut self, to: ShardId, entry: Entry, effects: &mut Effects) -> bool {
        if to == self.shard {
            self.local.push_back(entry);
            return true;
        }
        let credit = &mut self.credit[usize::from(to)];
        if *credit == 0 {
            return false;
        }
        *credit -= 1;
        self.post(to, entry, effects);
        true
    }

    pub fn has_credit(&self, to: ShardId) -> bool {
        to == self.shard || self.credit[usize::from(to)] > 0
    }

    /// How many entries can be posted.
    pub fn credit_left(&self, to: ShardId) -> u32 {
        if to == self.shard { u32::MAX } else { self.credit[usize::from(to)] }
    }

    /// `entries` left the lane to a shard.
    pub fn credit(&mut self, shard: ShardId, entries: u32) {
        let credit = &mut self.credit[usize::from(shard)];
        *credit += entries;
        assert!(*credit <= self.room.pushes, "credit comes back once");
    }

    pub fn next_local(&mut self) -> Option<Entry> {
        self.local.pop_front()
    }

    fn post(&mut self, shard: ShardId, entry: Entry, effects: &mut Effects) {
        self.posted += 1;
        effects.push(Effect::Post { shard, entry });
    }
}
