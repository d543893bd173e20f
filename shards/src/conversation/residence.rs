//! What a conversation takes of memory, and whether it may go from there.

use super::Conversation;
use crate::cache::Cache;

/// A 1:1 that nobody has written to is kept so long after it was asked for.
pub(crate) const KEPT_NS: u64 = 60_000_000_000;

/// A conversation's stay in memory.
#[derive(Debug, Default)]
pub(crate) struct Residence {
    /// Tells it from an earlier stay of the same conversation.
    pub number: u64,
    /// It is in turn for eviction. A group that is not made yet is not: it may go at any time.
    pub in_turn: bool,
    /// It was asked for since it was last looked at for eviction.
    pub touched: bool,
    /// Reads of the store that come back to it.
    pub lookups: u32,
    /// While nothing of it is stored it is kept until then: nobody else knows who its peers are.
    pub kept_until_ns: Option<u64>,
    /// What it was charged for.
    charged_bytes: usize,
}

impl Conversation {
    /// Whether something of it is only here, or comes back to it.
    pub fn is_pinned(&self, now_ns: u64) -> bool {
        self.last_seq > self.durable_seq
            || self.fan_out.done_seq < self.durable_seq
            || self.pending.appending.is_some()
            || !self.pending.waiting.is_empty()
            || self.residence.lookups > 0
            || self.fan_out.queued
            || !self.announcing.is_acknowledged()
            || self.announcing.is_going()
            || self.announcing.settle_queued
            || self.crowd.is_untold()
            || !self.watermarks.is_stored()
            || self.residence.kept_until_ns.is_some_and(|until_ns| now_ns < until_ns)
    }

    /// It is asked for.
    pub fn touch(&mut self, now_ns: u64) {
        self.residence.touched = true;
        if let Some(until_ns) = &mut self.residence.kept_until_ns {
            *until_ns = now_ns + KEPT_NS;
        }
    }

    /// Nothing of it is in the store yet.
    pub fn is_unwritten(&self) -> bool {
        !self.meta_stored
    }

    /// Gives up what can be had from the store again.
    pub fn shed(&mut self) {
        self.recent.shed(self.pinned_from());
    }

    /// Charges the budget with what it takes now.
    pub fn recharge(&mut self, cache: &mut Cache) {
        let bytes = self.memory_bytes();
        cache.charge(self.residence.charged_bytes, bytes);
        self.residence.charged_bytes = bytes;
    }

    /// It goes: the budget gets back what it took.
    pub fn discharge(&mut self, cache: &mut Cache) {
        cache.charge(self.residence.charged_bytes, 0);
        self.residence.charged_bytes = 0;
    }

    /// What it takes, estimated from the sizes of its parts in constant time but for the number of shards.
    fn memory_bytes(&self) -> usize {
        const TABLE_ENTRY_BYTES: usize = 128;
        const PLACE_BYTES: usize = 64;
        size_of::<Conversation>()
            + TABLE_ENTRY_BYTES
            + size_of_val(&*self.meta)
            + self.meta.title.len()
            + self.roster.held() * PLACE_BYTES
            + self.devices.memory_bytes()
            + self.recent.memory_bytes()
            + self.fan_out.targets.memory_bytes()
            + self.watermarks.memory_bytes()
            + self.crowd.memory_bytes()
            + self.blocks.memory_bytes()
    }
}
