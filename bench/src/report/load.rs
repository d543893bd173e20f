//! What is common to the figures of every run under load: who used how much CPU between two moments, and what disturbed it.

use super::{NS_PER_US, Report, Saturated};
use crate::clock::NS_PER_S;
use crate::course::{Tally, Usage};
use crate::host::Facts;
use crate::statistics::per;

/// A run in which the hypervisor gave away more is to be dropped.
const STOLEN_SHARE_MAX: f64 = 0.02;
/// Other processes that use more than this disturb the figures.
const OTHERS_CORES_MAX: f64 = 0.1;

/// What happened between two moments.
pub(super) struct Load<'a> {
    before: &'a Usage,
    after: &'a Usage,
    span_ns: f64,
    server_ns: f64,
    /// Of the generator, where turns that only spin do not count.
    generator_ns: f64,
    /// The server may use so many cores; none: its process is not known.
    server_cores: Option<u32>,
}

impl<'a> Load<'a> {
    pub(super) fn new(before: &'a Usage, after: &'a Usage, is_open_loop: bool, server_cores: Option<u32>) -> Load<'a> {
        let generator_ns =
            if is_open_loop { after.busy_ns - before.busy_ns } else { after.generator.since(&before.generator) };
        Load {
            before,
            after,
            span_ns: (after.at_ns - before.at_ns) as f64,
            server_ns: after.server.since(&before.server) as f64,
            generator_ns: generator_ns as f64,
            server_cores,
        }
    }

    /// How much of something there was.
    pub(super) fn count(&self, of: impl Fn(&Usage) -> u64) -> f64 {
        (of(self.after) - of(self.before)) as f64
    }

    /// A count as one a second.
    pub(super) fn per_s(&self, count: f64) -> f64 {
        per(count * NS_PER_S as f64, self.span_ns)
    }
}

impl Report {
    /// CPU per unit, by a name for each unit, and who was saturated.
    pub(super) fn add_cpu(&mut self, load: &Load<'_>, units: &[(&str, f64)]) {
        let busiest = load.after.server.busiest_since(&load.before.server) as f64;
        let busiest_share = per(busiest, load.span_ns);
        let cores_share = load.server_cores.map_or(0.0, |cores| per(load.server_ns, load.span_ns * f64::from(cores)));
        let generator_share = per(load.generator_ns, load.span_ns);
        if load.server_cores.is_some() {
            for (unit, count) in units {
                self.add(&format!("server_cpu_us_per_{unit}"), per(load.server_ns / NS_PER_US, *count));
            }
            self.add("server_cores_used", per(load.server_ns, load.span_ns));
            self.add("server_busiest_thread_share", busiest_share);
        }
        for (unit, count) in units {
            self.add(&format!("generator_cpu_us_per_{unit}"), per(load.generator_ns / NS_PER_US, *count));
        }
        self.add("generator_share", generator_share);
        self.saturated = Some(Saturated::judge(cores_share, busiest_share, generator_share));
    }

    /// Pushes that were only counted, and the bytes of everything.
    pub(super) fn add_bytes(&mut self, load: &Load<'_>, unit: &str, units: f64) {
        self.add("notices_per_s", load.per_s(load.count(|usage| usage.traffic.notices)));
        self.add(&format!("notice_bytes_per_{unit}"), per(load.count(|usage| usage.traffic.notice_bytes), units));
        self.add(&format!("received_bytes_per_{unit}"), per(load.count(|usage| usage.traffic.bytes), units));
        self.add(&format!("sent_bytes_per_{unit}"), per(load.count(|usage| usage.sent_bytes), units));
    }

    /// What else the machine did.
    pub(super) fn add_disturbances(&mut self, load: &Load<'_>) {
        let machine_ns = load.span_ns * f64::from(Facts::collect().cores);
        let stolen = per(load.count(|usage| usage.machine.stolen_ns), machine_ns);
        let own_ns = load.after.generator.since(&load.before.generator) as f64;
        let busy_ns = load.count(|usage| usage.machine.busy_ns);
        let has_server = load.server_cores.is_some();
        let others = if has_server { per(busy_ns - load.server_ns - own_ns, load.span_ns).max(0.0) } else { 0.0 };
        self.add("stolen_share", stolen);
        self.add("other_cores_used", others);
        if stolen > STOLEN_SHARE_MAX {
            self.note(format!("drop this run: the hypervisor took {:.1} % of the time", stolen * 100.0));
        }
        if others > OTHERS_CORES_MAX {
            self.note(format!("the machine was not quiet: other processes used {others:.2} cores"));
        }
        if self.saturated == Some(Saturated::Generator) {
            self.note("generator-limited: compare only CPU per message".to_owned());
        }
    }

    /// Refusals of a whole run.
    pub(super) fn add_refusals(&mut self, total: &Tally) {
        let Tally { rate_limited, busy, .. } = *total;
        self.add("rate_limited", rate_limited as f64);
        self.add("busy", busy as f64);
        if rate_limited > 0 {
            let text = "refusals were repeated later; the rate is theirs";
            self.note(format!("the server's limits bound: {rate_limited} {text}"));
        }
        if busy > 0 {
            self.note(format!("the server was busy {busy} times, and asked again"));
        }
    }
}
