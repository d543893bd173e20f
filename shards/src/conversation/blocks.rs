//! Which of its peers a 1:1 takes nothing from. The rows of contacts say so; this follows them.

use alloc::vec::Vec;

use trunkline_wire::ids::UserId;

use crate::store::Block;

/// What is known of each peer: at most two.
#[derive(Debug, Default)]
pub(crate) struct Blocks(Vec<Block>);

impl Blocks {
    /// Something durable is told or was read. What is older than what is known says nothing.
    pub fn take(&mut self, block: Block) {
        match self.0.iter_mut().find(|known| known.blocker == block.blocker) {
            Some(known) if known.changed_ms > block.changed_ms => {}
            Some(known) => *known = block,
            None => self.0.push(block),
        }
    }

    /// All of these.
    pub fn take_all(&mut self, blocks: impl IntoIterator<Item = Block>) {
        blocks.into_iter().for_each(|block| self.take(block));
    }

    /// What is known.
    pub fn into_list(self) -> Vec<Block> {
        self.0
    }

    /// Whether the other peer blocks this one.
    pub fn refuse(&self, user: UserId) -> bool {
        self.0.iter().any(|block| block.blocked && block.blocker != user)
    }

    /// What it takes.
    pub fn memory_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Block>()
    }
}
