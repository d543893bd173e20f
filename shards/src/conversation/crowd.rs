//! Who uses a conversation right now: those who type, and in one too large to tell everybody at once, those who look.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use trunkline_wire::ids::UserId;

use super::targets::Targets;

/// Typing users remembered per conversation; beyond that further ones are not told of.
const TYPISTS_MAX: usize = 64;

/// Who uses a conversation right now.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    /// (user, told of again from this time on).
    typists: Vec<(UserId, u64)>,
    /// Of a large conversation.
    pub large: Option<Box<Large>>,
}

/// Of a conversation with more members than get every message.
#[derive(Debug, Default)]
pub(crate) struct Large {
    /// Those who asked something of late get messages until then.
    watchers: BTreeMap<UserId, u64>,
    /// No watcher is to go before.
    expires_ns: u64,
    /// The watchers by home, as of the last row that went out.
    pub targets: Targets,
    /// There are others now.
    pub stale: bool,
    /// Everybody's list was told of everything up to here.
    pub told_seq: u64,
    /// Lists are to be told of everything up to here.
    pub untold_seq: u64,
    told_ns: Option<u64>,
    /// Whether the time of the next announcement is set.
    pub armed: bool,
}

impl Crowd {
    /// Whether others are told that a user types: once in `every_ns`.
    pub fn admits_typing(&mut self, user: UserId, now_ns: u64, every_ns: u64) -> bool {
        self.typists.retain(|&(_, until_ns)| until_ns > now_ns);
        let known = self.typists.iter().any(|&(typist, _)| typist == user);
        if known || self.typists.len() >= TYPISTS_MAX {
            return false;
        }
        self.typists.push((user, now_ns + every_ns));
        true
    }

    /// Whether lists wait to be told of something.
    pub fn is_untold(&self) -> bool {
        self.large.as_ref().is_some_and(|large| large.untold_seq > large.told_seq)
    }

    /// What it takes, estimated.
    pub fn memory_bytes(&self) -> usize {
        let large = self
            .large
            .as_ref()
            .map_or(0, |large| size_of::<Large>() + large.watchers.len() * 32 + large.targets.memory_bytes());
        large + self.typists.capacity() * 16
    }
}

impl Large {
    /// Of a conversation that got large: everybody was told of everything up to here.
    pub fn of_seq(seq: u64) -> Large {
        Large { told_seq: seq, untold_seq: seq, ..Large::default() }
    }

    /// A user asked something: it watches until some time, if there is room.
    pub fn watch(&mut self, user: UserId, now_ns: u64, watch_ns: u64, watchers_max: usize) {
        let until_ns = now_ns + watch_ns;
        if let Some(until) = self.watchers.get_mut(&user) {
            *until = until_ns;
            return;
        }
        self.expire(now_ns);
        if self.watchers.len() < watchers_max {
            self.expires_ns = if self.watchers.is_empty() { until_ns } else { self.expires_ns.min(until_ns) };
            self.watchers.insert(user, until_ns);
            self.stale = true;
        }
    }

    /// Forgets those whose time has come.
    pub fn expire(&mut self, now_ns: u64) {
        if now_ns < self.expires_ns {
            return;
        }
        let before = self.watchers.len();
        self.watchers.retain(|_, until_ns| *until_ns > now_ns);
        self.expires_ns = self.watchers.values().copied().min().unwrap_or(0);
        if self.watchers.len() < before {
            self.stale = true;
        }
    }

    /// Whether a user watches.
    pub fn is_watched_by(&self, user: UserId) -> bool {
        self.watchers.contains_key(&user)
    }

    /// When lists are told next.
    pub fn due_ns(&self, now_ns: u64, every_ns: u64) -> u64 {
        self.told_ns.map_or(now_ns, |at| at + every_ns).max(now_ns)
    }

    /// Lists are told of everything up to a seq now.
    pub fn told(&mut self, seq: u64, now_ns: u64) {
        self.told_seq = seq;
        self.told_ns = Some(now_ns);
        self.armed = false;
    }
}
