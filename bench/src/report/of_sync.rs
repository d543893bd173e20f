//! Figures of sessions that came back, and of an account with many conversations.

use super::{NS_PER_US, Report, Saturated};
use crate::account;
use crate::clock::NS_PER_S;
use crate::prepared::Prepared;
use crate::resume;
use crate::statistics::per;

const US_PER_MS: f64 = 1e3;

impl Report {
    /// Of sessions that came back; `from` says what the server had in memory. It may use so many cores; none: its process is
    /// not known.
    #[must_use]
    pub fn of_resume(
        prepared: &Prepared,
        outcome: &resume::Outcome,
        (from, rounds, connecting): (&str, u32, u32),
        server_cores: Option<u32>,
    ) -> Report {
        let mut report = Report::of("resume");
        report.set("users", prepared.positions.len());
        report.set("from", from);
        report.set("rounds", rounds);
        report.set("connecting", connecting);
        report.set("conversations_each", prepared.conversations_each);
        report.set("members", prepared.members);
        let (resumes, took_ns) = (outcome.resumes as f64, outcome.took_ns as f64);
        report.add("resumes_per_s", per(resumes * NS_PER_S as f64, took_ns));
        report.add_latencies("synced", &outcome.to_synced);
        let generator_share = per(outcome.generator_ns as f64, took_ns);
        let busiest_share = per(outcome.busiest_ns as f64, took_ns);
        let server_ns = outcome.server_ns as f64;
        if server_cores.is_some() {
            report.add("server_cpu_us_per_resume", per(server_ns / NS_PER_US, resumes));
            report.add("server_cores_used", per(server_ns, took_ns));
            report.add("server_busiest_thread_share", busiest_share);
        }
        report.add("generator_cpu_us_per_resume", per(outcome.generator_ns as f64 / NS_PER_US, resumes));
        report.add("generator_share", generator_share);
        report.add("received_bytes_per_resume", per(outcome.bytes as f64, resumes));
        report.add("sent_bytes_per_resume", per(outcome.sent_bytes as f64, resumes));
        report.add("conversations_per_resume", per(outcome.conversations as f64, resumes));
        report.add("resyncs", outcome.resyncs as f64);
        report.add("refused", outcome.refused as f64);
        let cores_share = server_cores.map_or(0.0, |cores| per(server_ns, took_ns * f64::from(cores)));
        report.saturated = Some(Saturated::judge(cores_share, busiest_share, generator_share));
        if outcome.resyncs > 0 {
            let resyncs = outcome.resyncs;
            report
                .note(format!("{resyncs} positions meant nothing to the server: those sessions got their whole lists"));
        }
        if outcome.refused > 0 {
            report.note(format!("{} requests were refused at first, and repeated", outcome.refused));
        }
        report
    }

    /// Of an account with many conversations.
    #[must_use]
    pub fn of_account(prepared: &Prepared, outcome: &account::Outcome, from: &str, has_server_pid: bool) -> Report {
        let mut report = Report::of("account");
        report.set("conversations", prepared.conversations.len());
        report.set("changed", prepared.changed.len());
        report.set("from", from);
        for (what, syncs) in [("changes", &outcome.changes), ("all", &outcome.all)] {
            report.add(&format!("{what}_first_ms"), syncs.first_ns as f64 / NS_PER_US / US_PER_MS);
            report.add_latencies(what, &syncs.spent);
            report.add(&format!("{what}_bytes"), syncs.bytes as f64);
            report.add(&format!("{what}_pages"), syncs.pages as f64);
            report.add(&format!("{what}_conversations"), syncs.conversations as f64);
            if has_server_pid {
                let server_us = per(syncs.server_ns as f64 / NS_PER_US, syncs.spent.count as f64);
                report.add(&format!("{what}_server_cpu_us"), server_us);
            }
        }
        report.add("all_conversations_per_s", outcome.all.conversations_per_s());
        if outcome.is_resync {
            report.note("the position meant nothing to the server: `changes` is a whole list, too".to_owned());
        }
        report
    }
}
