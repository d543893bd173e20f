//! The mesh: a lane from every shard to every other, and each shard's port to it.

use std::sync::Arc;

use trunkline_shards::contract::ShardId;
use trunkline_shards::entry::Entry;

use super::{LaneRoom, Receiver, Sender, lane};
use crate::wake::Doorbell;

/// A shard's ends of all its lanes.
#[derive(Debug)]
pub struct Port {
    /// By shard; none at its own place.
    senders: Vec<Option<Sender>>,
    receivers: Vec<Option<Receiver>>,
    doorbells: Arc<[Arc<Doorbell>]>,
    /// Shards that were given something or whose credit came back since they were last told.
    to_tell: Vec<ShardId>,
}

/// The ports of a mesh, one per doorbell.
pub fn mesh(doorbells: &Arc<[Arc<Doorbell>]>, room: LaneRoom) -> Vec<Port> {
    let shards = doorbells.len();
    let none = || std::iter::repeat_with(|| None).take(shards).collect();
    let port = || Port {
        senders: none(),
        receivers: none_receivers(shards),
        doorbells: Arc::clone(doorbells),
        to_tell: Vec::new(),
    };
    let mut ports: Vec<Port> = std::iter::repeat_with(port).take(shards).collect();
    for from in 0..shards {
        for to in (0..shards).filter(|to| *to != from) {
            let (sender, receiver) = lane(room);
            ports[from].senders[to] = Some(sender);
            ports[to].receivers[from] = Some(receiver);
        }
    }
    ports
}

fn none_receivers(shards: usize) -> Vec<Option<Receiver>> {
    std::iter::repeat_with(|| None).take(shards).collect()
}

impl Port {
    /// Puts an entry into the lane to a shard. It is woken by [`Port::sleepers`].
    pub fn post(&mut self, to: ShardId, entry: Entry) {
        let sender = self.senders.get_mut(usize::from(to)).and_then(Option::as_mut);
        sender.expect("a core posts to other shards of its process").post(entry);
        self.tell(to);
    }

    /// Takes what waits in all lanes, lane by lane, each in order.
    pub fn take(&mut self, mut deliver: impl FnMut(ShardId, Entry)) {
        for from in 0..self.receivers.len() {
            let Some(receiver) = &mut self.receivers[from] else { continue };
            if receiver.take(|entry| deliver(from as ShardId, entry)) {
                self.tell(from as ShardId);
            }
        }
    }

    /// Takes the credit that came back.
    pub fn take_credit(&mut self, mut deliver: impl FnMut(ShardId, u32)) {
        for (shard, sender) in self.senders.iter_mut().enumerate() {
            let credit = sender.as_mut().map_or(0, Sender::take_credit);
            if credit > 0 {
                deliver(shard as ShardId, credit);
            }
        }
    }

    /// Whether entries or credit wait.
    pub fn has_input(&self) -> bool {
        self.receivers.iter().flatten().any(Receiver::has_entries)
            || self.senders.iter().flatten().any(Sender::has_credit)
    }

    /// Before the shard's `sleeping` flag goes up: asks for a wake where credit is short.
    pub fn want_credit(&self) {
        self.senders.iter().flatten().for_each(Sender::want_credit);
    }

    /// The doorbells of shards that were given something and sleep; the caller rings them.
    pub fn sleepers(&mut self) -> impl Iterator<Item = &Doorbell> {
        let doorbells = &self.doorbells;
        self.to_tell
            .drain(..)
            .map(|shard| &*doorbells[usize::from(shard)])
            .filter(|doorbell| doorbell.sleeping.must_wake())
    }

    /// A turn has few targets, so a list is shorter than a set.
    fn tell(&mut self, shard: ShardId) {
        if !self.to_tell.contains(&shard) {
            self.to_tell.push(shard);
        }
    }
}
