//! What is counted, as metrics: the text that a Prometheus scrapes (OpenMetrics 1.0), with names and units as it wants them.

mod families;

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use trunkline_shards::contract::{AdminAnswer, AdminRequest};
use trunkline_shards::counters::{Counters, StoreCounters};

use crate::ask::{AskError, Shards};

use families::Families;

/// The media type of the text.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a server counts at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Version of the program.
    pub version: &'static str,
    /// For how long it has run.
    pub uptime: Duration,
    /// Whether it drains.
    pub is_draining: bool,
    /// By shard; none before the server runs.
    pub shards: Vec<Counters>,
    /// Of the log, where there is one.
    pub store: Option<StoreCounters>,
}

impl Snapshot {
    /// The text.
    pub fn to_text(&self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        encode(&mut text, &registry).expect("a String takes any text");
        text
    }
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut families = Families(encoder);
        families.of_process(self)?;
        families.of_shards(&self.shards)?;
        self.store.as_ref().map_or(Ok(()), |store| families.of_store(store))
    }
}

/// The counters of all shards, each asked for at most `within`.
///
/// # Errors
/// The first shard that did not answer, and why.
pub fn ask_all(shards: &(impl Shards + ?Sized), within: Duration) -> Result<Vec<Counters>, (u16, AskError)> {
    let ask = |shard| match shards.ask_within(shard, AdminRequest::Counters, within) {
        Ok(AdminAnswer::Counters(counters)) => Ok(*counters),
        Ok(answer) => unreachable!("no answer to Counters: {answer:?}"),
        Err(error) => Err((shard, error)),
    };
    (0..shards.count()).map(ask).collect()
}

#[cfg(test)]
mod tests {
    use trunkline_wire::violation::Violation;

    use super::*;

    fn snapshot() -> Snapshot {
        let mut counters = Counters { messages_stored: 3, bytes_received: 5, cache_bytes: 7, ..Counters::default() };
        counters.count_violation(Violation::SlowReader);
        counters.delivery_us.record(1_000, 2);
        let mut store = StoreCounters::default();
        store.commit_us.record(500, 1);
        Snapshot {
            version: "1.2.3",
            shards: vec![Counters::default(), counters],
            store: Some(store),
            ..Snapshot::default()
        }
    }

    #[test]
    fn names_have_their_units_and_shards_their_label() {
        let text = snapshot().to_text();
        for line in [
            "# TYPE trunkline_messages_stored counter",
            "# HELP trunkline_messages_stored Messages made durable.",
            "trunkline_messages_stored_total{shard=\"1\"} 3",
            "trunkline_messages_stored_total{shard=\"0\"} 0",
            "# UNIT trunkline_received_bytes bytes",
            "trunkline_received_bytes_total{shard=\"1\"} 5",
            "# TYPE trunkline_cache_bytes gauge",
            "trunkline_cache_bytes{shard=\"1\"} 7",
            "trunkline_connections_dropped_total{shard=\"1\",reason=\"slow_reader\"} 1",
            "trunkline_delivery_seconds_bucket{le=\"0.000512\",shard=\"1\"} 0",
            "trunkline_delivery_seconds_bucket{le=\"0.001024\",shard=\"1\"} 2",
            "trunkline_delivery_seconds_bucket{le=\"+Inf\",shard=\"1\"} 2",
            "trunkline_delivery_seconds_sum{shard=\"1\"} 0.002",
            "trunkline_store_commit_seconds_count 1",
            "trunkline_draining 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|there| there == line), "no {line} in\n{text}");
        }
        assert!(text.contains("version=\"1.2.3\""), "{text}");
    }

    #[test]
    fn nothing_is_counted_before_the_server_runs() {
        let text = Snapshot::default().to_text();
        assert!(text.contains("trunkline_uptime_seconds 0") && text.ends_with("# EOF\n"), "{text}");
    }
}
