//! Figures of idle sessions.

use super::{NS_PER_US, Report};
use crate::clock::NS_PER_S;
use crate::idle;
use crate::statistics::per;

impl Report {
    /// Of sessions that were held for so many seconds.
    #[must_use]
    pub fn of_idle(outcome: &idle::Outcome, seconds: f64, has_server_pid: bool) -> Report {
        let mut report = Report::of("idle");
        let sessions = f64::from(outcome.connected.sessions);
        let idle::Outcome { before, begin, end, .. } = outcome;
        report.set("connections", outcome.connected.sessions);
        report.set("rings", outcome.fleets);
        report.set("seconds", seconds);
        report.add("connects_per_s", outcome.connected.per_s());
        let each = |before: u64, after: u64| (after as f64 - before as f64) / sessions;
        let span_ns = (end.at_ns - begin.at_ns) as f64;
        if has_server_pid {
            for (when, holding) in [("connected", begin), ("held", end)] {
                let (rss, pss) = (holding.memory.rss, holding.memory.pss);
                report.add(&format!("rss_bytes_per_session_{when}"), each(before.memory.rss, rss));
                report.add(&format!("pss_bytes_per_session_{when}"), each(before.memory.pss, pss));
            }
            report.add("pss_bytes_before", before.memory.pss as f64);
            report.add("pss_bytes_held", end.memory.pss as f64);
            let connect_ns = begin.server.since(&before.server) as f64;
            report.add("connect_server_cpu_us_per_session", connect_ns / NS_PER_US / sessions);
            let used_ns = end.server.since(&begin.server) as f64;
            report.add("held_server_core_share", per(used_ns, span_ns));
            let used_us_per_s = used_ns * NS_PER_S as f64 / NS_PER_US;
            report.add("held_server_cpu_us_per_session_s", per(used_us_per_s, span_ns * sessions));
        }
        report.add("tcp_bytes_per_session_both_ends", each(before.tcp_bytes, end.tcp_bytes));
        let generator_ns = end.generator.since(&begin.generator) as f64;
        report.add("held_generator_core_share", per(generator_ns, span_ns));
        report
    }
}
