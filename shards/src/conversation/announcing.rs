//! What the lists of a conversation's users know durably, and the mark that says how far they surely did.
//!
//! The first append after everything was announced carries a mark; the mark goes when every home has stored what it was
//! told. While it goes no append does: a delete that overtakes the next mark would lose an announcement.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use trunkline_wire::ids::UserId;

use crate::contract::ShardId;
use crate::store::StoreFault;

/// The rounds of a conversation's stay in memory begin at its number times a power of two.
const STAY_SHIFT: u32 = 32;

/// The mark of a conversation in the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mark {
    /// There is none.
    Clear,
    /// There is one, or it goes with the append that is under way.
    Set,
    /// It is being deleted.
    Going {
        /// An earlier attempt may have deleted it.
        ambiguous: bool,
    },
}

/// What became of the delete of a mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unmarked {
    /// It is known whether the mark is there: appends go on.
    Known,
    /// It has to be deleted again.
    Repeat,
}

/// Something for lists only: users of one shard, told of a seq without its message.
#[derive(Debug)]
pub(crate) struct Announcement {
    pub shard: ShardId,
    pub users: Arc<[UserId]>,
    /// (user, joined_seq, left_seq) of those of them whose lists may not know it.
    pub windows: Vec<(UserId, u64, u64)>,
    pub seq: u64,
}

/// How far the announcements of a conversation are.
#[derive(Debug)]
pub(crate) struct Announcing {
    mark: Mark,
    /// What was posted last. A seq would not do: it may go to few users as a row, and later to all others for their lists.
    round: u64,
    /// The highest round that was posted to a shard and not acknowledged, of few shards.
    need: Vec<(ShardId, u64)>,
    /// To be posted before any row.
    pub due: VecDeque<Announcement>,
    /// Whether it is in the queue of those whose mark may go.
    pub settle_queued: bool,
}

impl Announcing {
    /// Of a conversation that has a mark in the store, or none.
    pub fn new(is_marked: bool) -> Announcing {
        let mark = if is_marked { Mark::Set } else { Mark::Clear };
        Announcing { mark, round: 0, need: Vec::new(), due: VecDeque::new(), settle_queued: false }
    }

    /// Counts rounds from here on: no acknowledgement of an earlier stay is taken for one of this stay.
    pub fn begin_stay(&mut self, number: u64) {
        self.round = number << STAY_SHIFT;
    }

    /// The mark that goes with the next append, if one has to: everything durable is announced.
    pub fn mark_append(&mut self, durable_seq: u64) -> Option<u64> {
        assert!(!self.is_going(), "no append goes while a mark does");
        let is_clear = self.mark == Mark::Clear;
        self.mark = Mark::Set;
        is_clear.then_some(durable_seq)
    }

    /// The append that carried the mark was refused for certain.
    pub fn mark_refused(&mut self) {
        self.mark = Mark::Clear;
    }

    /// Something is posted to a shard: the round of it.
    pub fn next_round(&mut self, shard: ShardId) -> u64 {
        self.round += 1;
        match self.need.iter_mut().find(|(to, _)| *to == shard) {
            Some((_, need)) => *need = self.round,
            None => self.need.push((shard, self.round)),
        }
        self.round
    }

    /// All lists of a shard have everything up to a round durably.
    pub fn acknowledged(&mut self, shard: ShardId, round: u64) {
        self.need.retain(|&(to, need)| to != shard || need > round);
    }

    /// Whether there is nothing to post and nothing without an acknowledgement.
    pub fn is_acknowledged(&self) -> bool {
        self.need.is_empty() && self.due.is_empty()
    }

    /// Whether there is a mark that nobody deletes yet.
    pub fn is_marked(&self) -> bool {
        self.mark == Mark::Set
    }

    /// Whether the mark is being deleted.
    pub fn is_going(&self) -> bool {
        matches!(self.mark, Mark::Going { .. })
    }

    /// The mark is deleted now.
    pub fn unmark(&mut self) {
        assert!(self.mark == Mark::Set && self.is_acknowledged(), "only what is announced loses its mark");
        self.mark = Mark::Going { ambiguous: false };
    }

    /// The store answered the delete. A full disk changed nothing, unless an earlier attempt did.
    pub fn unmarked(&mut self, done: Result<(), StoreFault>) -> Unmarked {
        let Mark::Going { ambiguous } = self.mark else { unreachable!("the store answers what it was asked") };
        self.mark = match done {
            Ok(()) => Mark::Clear,
            Err(StoreFault::Full) if !ambiguous => Mark::Set,
            Err(_) => Mark::Going { ambiguous: true },
        };
        if self.is_going() { Unmarked::Repeat } else { Unmarked::Known }
    }
}
