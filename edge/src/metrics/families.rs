//! One family of metrics per counter: its name, its help from where it is declared, its type, and a sample per shard.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use trunkline_shards::counters::{ABOUT, Counters, GAUGES, StoreCounters};
use trunkline_shards::histogram::Histogram;
use trunkline_wire::message::ErrorCode;
use trunkline_wire::violation::Violation;

use super::Snapshot;

const MICROS_PER_S: f64 = 1_000_000.0;

/// Writes families.
pub(super) struct Families<'a>(pub DescriptorEncoder<'a>);

impl Families<'_> {
    pub fn of_process(&mut self, snapshot: &Snapshot) -> fmt::Result {
        let version = [("version", snapshot.version)];
        self.0.encode_descriptor("trunkline_build", "What runs.", None, MetricType::Info)?.encode_info(&version)?;
        let help = "Seconds since the start.";
        let mut uptime = self.0.encode_descriptor("trunkline_uptime", help, Some(&Unit::Seconds), MetricType::Gauge)?;
        uptime.encode_gauge(&snapshot.uptime.as_secs_f64())?;
        let help = "1 while the server drains.";
        let mut draining = self.0.encode_descriptor("trunkline_draining", help, None, MetricType::Gauge)?;
        draining.encode_gauge(&i64::from(snapshot.is_draining))
    }

    pub fn of_shards(&mut self, shards: &[Counters]) -> fmt::Result {
        let values: Vec<Vec<u64>> = shards.iter().map(values).collect();
        for (index, (name, about)) in ABOUT.iter().enumerate() {
            self.per_shard(name, about, values.iter().map(|values| values[index]))?;
        }
        self.dropped(shards)?;
        self.errors(shards)?;
        let help = "Time from a message's acceptance to the hand-over of each copy to a session.";
        let mut delivery =
            self.0.encode_descriptor("trunkline_delivery", help, Some(&Unit::Seconds), MetricType::Histogram)?;
        shards.iter().enumerate().try_for_each(|(shard, counters)| {
            let label = [("shard", shard.to_string())];
            histogram(&mut delivery.encode_family(&label)?, &counters.delivery_us, MICROS_PER_S)
        })
    }

    pub fn of_store(&mut self, store: &StoreCounters) -> fmt::Result {
        let StoreCounters { group_writes, group_bytes, commit_us } = store;
        let families = [
            ("trunkline_store_group_writes", "Writes made durable by one sync.", None, group_writes, 1.0),
            ("trunkline_store_group", "Bytes made durable by one sync.", Some(Unit::Bytes), group_bytes, 1.0),
            ("trunkline_store_commit", "Time to write and sync.", Some(Unit::Seconds), commit_us, MICROS_PER_S),
        ];
        families.into_iter().try_for_each(|(name, help, unit, values, per_unit)| {
            let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Histogram)?;
            histogram(&mut family, values, per_unit)
        })
    }

    fn per_shard(&mut self, name: &str, about: &str, values: impl Iterator<Item = u64>) -> fmt::Result {
        let is_gauge = GAUGES.contains(&name);
        let kind = if is_gauge { MetricType::Gauge } else { MetricType::Counter };
        let (name, unit) = named(name);
        let mut family = self.0.encode_descriptor(&name, about.trim(), unit.as_ref(), kind)?;
        values.enumerate().try_for_each(|(shard, value)| {
            let label = [("shard", shard.to_string())];
            let mut sample = family.encode_family(&label)?;
            if is_gauge { sample.encode_gauge(&value) } else { counter(&mut sample, value) }
        })
    }

    /// Connections by why they were closed.
    fn dropped(&mut self, shards: &[Counters]) -> fmt::Result {
        let help = "Connections closed for what their peer did or failed to do, by reason.";
        let mut family = self.0.encode_descriptor("trunkline_connections_dropped", help, None, MetricType::Counter)?;
        for (shard, counters) in shards.iter().enumerate() {
            for violation in Violation::ALL {
                let labels = [("shard", shard.to_string()), ("reason", violation.name().to_owned())];
                counter(&mut family.encode_family(&labels)?, counters.violations[violation as usize])?;
            }
        }
        Ok(())
    }

    fn errors(&mut self, shards: &[Counters]) -> fmt::Result {
        let help = "Errors answered to clients and messages refused, by code.";
        let mut family = self.0.encode_descriptor("trunkline_errors", help, None, MetricType::Counter)?;
        for (shard, counters) in shards.iter().enumerate() {
            for code in ErrorCode::ALL {
                let labels = [("shard", shard.to_string()), ("code", code.name().to_owned())];
                counter(&mut family.encode_family(&labels)?, counters.errors[usize::from(code.number()) - 1])?;
            }
        }
        Ok(())
    }
}

/// The values of the counters with names of their own, in the order of [`ABOUT`].
fn values(counters: &Counters) -> Vec<u64> {
    let mut values = Vec::new();
    counters.each(|prefix, _, value| {
        if prefix.is_empty() {
            values.push(value);
        }
    });
    values
}

/// Units end the names of metrics; the encoder adds them.
fn named(counter: &str) -> (String, Option<Unit>) {
    match counter {
        "bytes_received" => ("trunkline_received".to_owned(), Some(Unit::Bytes)),
        "cache_bytes" => ("trunkline_cache".to_owned(), Some(Unit::Bytes)),
        name => (format!("trunkline_{name}"), None),
    }
}

fn counter(sample: &mut MetricEncoder<'_>, value: u64) -> fmt::Result {
    sample.encode_counter::<NoLabelSet, u64, f64>(&value, None)
}

fn histogram(sample: &mut MetricEncoder<'_>, values: &Histogram, per_unit: f64) -> fmt::Result {
    let bound = |bound: Option<u64>| bound.map_or(f64::INFINITY, |bound| bound as f64 / per_unit);
    let buckets: Vec<(f64, u64)> = values.buckets().map(|(upper, count)| (bound(upper), count)).collect();
    sample.encode_histogram::<NoLabelSet>(values.sum() as f64 / per_unit, values.count(), &buckets, None)
}
