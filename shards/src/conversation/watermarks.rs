//! How far devices are in a conversation: what they have and what was read on them. Told and stored in groups, never down.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use trunkline_wire::ids::{DeviceId, UserId};

use crate::contract::ShardId;
use crate::entry::Notice;
use crate::store::DeviceReceipt;

/// Most watermarks that are stored and told at once.
pub(crate) const FLUSH_RECEIPTS_MAX: usize = 512;

/// A device's watermarks, or the highest of a user's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Watermark {
    pub delivered_seq: u64,
    pub read_seq: u64,
}

/// A user whose highest watermarks rose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Risen {
    pub user: UserId,
    pub highest: Watermark,
    pub has_read: bool,
}

/// The watermarks of a conversation.
#[derive(Debug, Default)]
pub(crate) struct Watermarks {
    by_device: BTreeMap<(UserId, DeviceId), Watermark>,
    /// Rose since they were handed to the store.
    unstored: BTreeSet<(UserId, DeviceId)>,
    /// Users whose highest rose since it was told, and whether they have read.
    untold: BTreeMap<UserId, bool>,
    /// Users of whom something was heard since this was taken up. The first time their lists are told what they have read,
    /// even if it is no news here: a list may have missed it when the process ended.
    heard: BTreeSet<UserId>,
    /// Put together, and without credit until now.
    pub notices: VecDeque<(ShardId, Box<Notice>)>,
    /// With the store now.
    storing: Vec<(UserId, DeviceId)>,
    flushed_ns: Option<u64>,
    /// Whether a flush is due already.
    pub queued: bool,
}

impl Watermarks {
    /// As the store has them.
    pub fn from_list(list: Vec<DeviceReceipt>) -> Watermarks {
        let mark = |r: &DeviceReceipt| Watermark { delivered_seq: r.delivered_seq, read_seq: r.read_seq };
        let by_device = list.iter().map(|r| ((r.user, r.device), mark(r))).collect();
        Watermarks { by_device, ..Watermarks::default() }
    }

    /// A device's.
    pub fn of_device(&self, user: UserId, device: DeviceId) -> Watermark {
        self.by_device.get(&(user, device)).copied().unwrap_or_default()
    }

    /// The highest of a user's devices.
    pub fn of_user(&self, user: UserId) -> Watermark {
        let devices = self.by_device.range((user, DeviceId(0))..=(user, DeviceId(u32::MAX)));
        devices.fold(Watermark::default(), |highest, (_, mark)| highest.raised_to(*mark))
    }

    /// A device says how far it is; the user sees the messages of `low..=high`. Whether that was news.
    pub fn raise(&mut self, receipt: DeviceReceipt, (low, high): (u64, u64)) -> bool {
        let within = |seq: u64| if seq.min(high) >= low { seq.min(high) } else { 0 };
        let read_seq = within(receipt.read_seq);
        let reported = Watermark { delivered_seq: within(receipt.delivered_seq).max(read_seq), read_seq };
        let key = (receipt.user, receipt.device);
        let before = self.of_device(receipt.user, receipt.device);
        let after = before.raised_to(reported);
        let is_first = reported.read_seq > 0 && self.heard.insert(receipt.user);
        if is_first {
            self.untold.insert(receipt.user, true);
        }
        if after == before {
            return is_first;
        }
        let highest = self.of_user(receipt.user);
        self.by_device.insert(key, after);
        self.unstored.insert(key);
        let has_read = after.read_seq > highest.read_seq;
        if has_read || after.delivered_seq > highest.delivered_seq {
            *self.untold.entry(receipt.user).or_default() |= has_read;
        }
        true
    }

    /// When those that rose may be told and stored; none: there are none, or the store has not answered yet.
    pub fn due_ns(&self, now_ns: u64, every_ns: u64) -> Option<u64> {
        if self.is_stored() || !self.storing.is_empty() {
            return None;
        }
        Some(self.flushed_ns.map_or(now_ns, |at| at + every_ns).max(now_ns))
    }

    /// The users that are to be told of next, in order; whoever takes them puts notices together.
    pub fn take_risen(&mut self) -> Vec<Risen> {
        let mut risen = Vec::new();
        while risen.len() < FLUSH_RECEIPTS_MAX {
            let Some((user, has_read)) = self.untold.pop_first() else { break };
            risen.push(Risen { user, highest: self.of_user(user), has_read });
        }
        risen
    }

    /// Hands those that rose to the store; perhaps there are none left.
    pub fn flush(&mut self, now_ns: u64) -> Vec<DeviceReceipt> {
        assert!(self.storing.is_empty(), "one write of watermarks is under way at a time");
        self.flushed_ns = Some(now_ns);
        while self.storing.len() < FLUSH_RECEIPTS_MAX {
            let Some(key) = self.unstored.pop_first() else { break };
            self.storing.push(key);
        }
        let receipts = self.storing.iter().map(|&(user, device)| {
            let mark = self.of_device(user, device);
            DeviceReceipt { user, device, delivered_seq: mark.delivered_seq, read_seq: mark.read_seq }
        });
        receipts.collect()
    }

    /// The store answered; what it did not take is handed to it again. How many it took.
    pub fn stored(&mut self, is_stored: bool) -> usize {
        let storing = core::mem::take(&mut self.storing);
        if is_stored {
            return storing.len();
        }
        self.unstored.extend(storing);
        0
    }

    /// Whether everything is in the store, and told.
    pub fn is_stored(&self) -> bool {
        self.unstored.is_empty() && self.storing.is_empty() && self.untold.is_empty() && self.notices.is_empty()
    }

    /// What they take, estimated.
    pub fn memory_bytes(&self) -> usize {
        let each = self.by_device.len() + self.unstored.len() + self.untold.len() + self.heard.len();
        each * 48 + self.storing.capacity() * 16 + self.notices.len() * size_of::<(ShardId, Notice)>()
    }
}

impl Watermark {
    fn raised_to(self, other: Watermark) -> Watermark {
        Watermark {
            delivered_seq: self.delivered_seq.max(other.delivered_seq),
            read_seq: self.read_seq.max(other.read_seq),
        }
    }
}
