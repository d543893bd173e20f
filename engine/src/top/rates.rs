//! Two readings of the counters, and what was done between them.

use std::time::{Duration, Instant};

use trunkline_edge::admin::{Numbers, Told};

/// What was counted at a moment.
#[derive(Debug)]
pub struct Reading {
    at: Instant,
    told: Told,
}

impl Reading {
    /// What was just told.
    pub fn now(told: Told) -> Reading {
        Reading { at: Instant::now(), told }
    }
}

/// What a shard did, or all of them.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ShardRates {
    /// Connections there are.
    pub connections: u64,
    /// Messages made durable, a second.
    pub messages_in: f64,
    /// Copies handed to sessions, a second.
    pub messages_out: f64,
    /// Turns, a second.
    pub turns: f64,
    /// Completions for each time that the kernel was entered.
    pub completions_per_entry: f64,
    /// Frames for each send.
    pub frames_per_send: f64,
    /// Entries of other shards for each turn.
    pub lane_per_turn: f64,
    /// Most of them in a turn, since the start.
    pub lane_depth_max: u64,
    /// Of the requests for conversations, those that found them in memory, of 1; none without requests.
    pub cache_hits: Option<f64>,
    /// From acceptance to hand-over, on average; none without deliveries.
    pub delivery: Option<Duration>,
}

/// What the log did.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct StoreRates {
    /// Groups a second.
    pub groups: f64,
    /// Writes of a group.
    pub writes_per_group: f64,
    /// To write and sync a group, on average; none without groups.
    pub commit: Option<Duration>,
}

/// What was done between two readings.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Rates {
    /// For so long.
    pub over: Duration,
    /// By all shards.
    pub total: ShardRates,
    /// By each.
    pub shards: Vec<ShardRates>,
    /// By the log, where it is known.
    pub store: Option<StoreRates>,
}

impl Rates {
    /// What was done from one reading to a later one. After a restart between them, counters begin anew: what went down
    /// counts as nothing.
    pub fn between(before: &Reading, after: &Reading) -> Rates {
        let over = after.at.saturating_duration_since(before.at);
        let none = Numbers::default();
        let of_shard = |(shard, now): (usize, &Numbers)| {
            Grown { before: before.told.shards.get(shard).unwrap_or(&none), after: now, over }.shard()
        };
        Rates {
            over,
            total: Grown { before: &before.told.total, after: &after.told.total, over }.shard(),
            shards: after.told.shards.iter().enumerate().map(of_shard).collect(),
            store: after
                .told
                .store
                .as_ref()
                .map(|now| Grown { before: before.told.store.as_ref().unwrap_or(&none), after: now, over }.store()),
        }
    }
}

/// The same numbers at two moments.
struct Grown<'a> {
    before: &'a Numbers,
    after: &'a Numbers,
    over: Duration,
}

impl Grown<'_> {
    fn now(&self, name: &str) -> u64 {
        self.after.get(name).copied().unwrap_or(0)
    }

    fn by(&self, name: &str) -> u64 {
        self.now(name).saturating_sub(self.before.get(name).copied().unwrap_or(0))
    }

    fn per_s(&self, name: &str) -> f64 {
        self.by(name) as f64 / self.over.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    fn each(&self, name: &str, per: &str) -> f64 {
        self.by(name) as f64 / self.by(per).max(1) as f64
    }

    /// The mean of times whose sum is counted.
    fn mean(&self, sum_us: &str, count: &str) -> Option<Duration> {
        let count = self.by(count);
        (count > 0).then(|| Duration::from_micros(self.by(sum_us) / count))
    }

    fn shard(&self) -> ShardRates {
        let (found, loaded) = (self.by("conversations_found"), self.by("conversations_loaded"));
        ShardRates {
            connections: self.now("connections_open"),
            messages_in: self.per_s("messages_stored"),
            messages_out: self.per_s("messages_delivered"),
            turns: self.per_s("turns"),
            completions_per_entry: self.each("completions", "kernel_entries"),
            frames_per_send: self.each("frames_queued", "sends"),
            lane_per_turn: self.each("lane_entries", "turns"),
            lane_depth_max: self.now("lane_depth_max"),
            cache_hits: (found + loaded > 0).then(|| found as f64 / (found + loaded) as f64),
            delivery: self.mean("delivery.sum_us", "delivery.count"),
        }
    }

    fn store(&self) -> StoreRates {
        StoreRates {
            groups: self.per_s("groups"),
            writes_per_group: self.each("writes", "groups"),
            commit: self.mean("commit_us", "groups"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(set: &[(&str, u64)]) -> Numbers {
        set.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect()
    }

    fn reading(at: Instant, shard: &[(&str, u64)], store: &[(&str, u64)]) -> Reading {
        let told = Told { total: numbers(shard), shards: vec![numbers(shard)], store: Some(numbers(store)) };
        Reading { at, told }
    }

    #[test]
    fn rates_are_differences_over_time() {
        let at = Instant::now();
        let before = [("messages_stored", 100), ("turns", 10), ("conversations_found", 1), ("connections_open", 9)];
        let after = [
            ("messages_stored", 300),
            ("turns", 30),
            ("lane_entries", 40),
            ("conversations_found", 4),
            ("conversations_loaded", 1),
            ("connections_open", 2),
            ("delivery.count", 4),
            ("delivery.sum_us", 8_000),
        ];
        let store = [("groups", 10), ("writes", 30), ("commit_us", 20_000)];
        let two_seconds = at + Duration::from_secs(2);
        let rates = Rates::between(&reading(at, &before, &[]), &reading(two_seconds, &after, &store));
        assert_eq!((rates.total.messages_in, rates.total.turns, rates.total.connections), (100.0, 10.0, 2));
        assert_eq!((rates.total.lane_per_turn, rates.total.cache_hits), (2.0, Some(0.75)));
        assert_eq!(rates.total.delivery, Some(Duration::from_millis(2)));
        assert_eq!(rates.shards, std::slice::from_ref(&rates.total));
        let store = rates.store.unwrap();
        assert_eq!((store.groups, store.writes_per_group), (5.0, 3.0));
        assert_eq!(store.commit, Some(Duration::from_millis(2)));
    }

    #[test]
    fn a_restart_counts_as_nothing_done() {
        let at = Instant::now();
        let rates = Rates::between(&reading(at, &[("turns", 10)], &[]), &reading(at, &[("turns", 3)], &[]));
        assert_eq!((rates.total.turns, rates.total.cache_hits, rates.total.delivery), (0.0, None, None));
    }
}
