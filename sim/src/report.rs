//! What runs came to: events, violations, and how often each situation came up.

use std::collections::BTreeMap;

use trunkline_shards::counters::Counters;

/// What a run came to.
#[derive(Clone, Default)]
pub struct Report {
    pub seed: u64,
    /// Events the shards took.
    pub events: u64,
    /// Hash over all of them.
    pub digest: u64,
    /// What broke, if something did.
    pub violation: Option<String>,
    /// How often what happened.
    pub marks: BTreeMap<&'static str, u64>,
}

impl Report {
    /// Counts a situation.
    pub fn mark(&mut self, mark: &'static str, count: u64) {
        *self.marks.entry(mark).or_default() += count;
    }

    /// Counts what the shards of a process counted.
    pub fn mark_counters(&mut self, counters: &Counters) {
        counters.each(|prefix, name, count| {
            let known = SITUATIONS.iter().find(|mark| match mark.split_once('.') {
                Some((before, behind)) => prefix.strip_suffix('.') == Some(before) && behind == name,
                None => prefix.is_empty() && **mark == name,
            });
            if let Some(mark) = known {
                self.mark(mark, count);
            }
        });
    }
}

/// Seeds over which every situation comes up at least once.
pub const SITUATIONS_SEEDS: u64 = 200;

/// The situations that a run over [`SITUATIONS_SEEDS`] seeds must have been in: a check that is never reached proves nothing.
pub const SITUATIONS: &[&str] = &[
    // Counted by the shards.
    "appends_repeated",
    "conversations_evicted",
    "conversations_loaded",
    "entries_posted",
    "error.busy",
    "error.client_seq_conflict",
    "error.draining",
    "error.expired",
    "error.forbidden",
    "error.group_full",
    "error.not_found",
    "error.rate_limited",
    "error.storage_full",
    "error.storage_unavailable",
    "error.unknown_peer",
    "fanouts_delayed",
    "frames_dropped",
    "list_rows_stored",
    "marks_replayed",
    "messages_stored",
    "receipts_stored",
    "resyncs",
    "sessions_lagged",
    "syncs_from_memory",
    "syncs_from_store",
    "users_evicted",
    "users_loaded",
    "violation.pong_timeout",
    "violation.session_replaced",
    "violation.slow_reader",
    // Counted by the world.
    "admin_answers",
    "advanced",
    "advanced_empty",
    "ceilings_crossed",
    "changes_forbidden",
    "changes_of_members",
    "changes_of_nothing",
    "changes_refused_storage_full",
    "client_crashes",
    "clock_jumps",
    "crashes",
    "creations_repeated",
    "cuts",
    "cuts_with_late_bytes",
    "disk_turns",
    "drained",
    "drains",
    "ex_members_refused",
    "groups_created",
    "groups_large",
    "listeners_began",
    "listeners_resumed",
    "lost_states",
    "member_pages",
    "pages",
    "persons_forgot",
    "persons_resumed",
    "persons_resumed_older",
    "raw_requests",
    "readds",
    "readds_busy",
    "receipts_pushed",
    "removals_pushed_to_the_removed",
    "restores",
    "second_rests",
    "sends_forbidden",
    "strangers_refused",
    "syncs",
    "texts_failed",
    "texts_sent",
    "typing_pushed",
    "windows_followed",
];

/// Sums over all seeds.
#[derive(Default)]
pub struct Totals {
    pub seeds: u64,
    pub failed: u64,
    events: Vec<u64>,
    marks: BTreeMap<&'static str, u64>,
    digest: u64,
}

impl Totals {
    /// Of these runs.
    pub fn of(reports: &[Report]) -> Totals {
        let mut total = Totals { seeds: reports.len() as u64, ..Totals::default() };
        for report in reports {
            total.failed += u64::from(report.violation.is_some());
            total.events.push(report.events);
            total.digest = total.digest.rotate_left(5) ^ report.digest;
            for (mark, count) in &report.marks {
                *total.marks.entry(mark).or_default() += count;
            }
        }
        total.events.sort_unstable();
        total
    }

    /// Situations that never came up although there were seeds enough.
    pub fn missed(&self) -> Vec<&'static str> {
        let enough = self.seeds >= SITUATIONS_SEEDS;
        let missed = SITUATIONS.iter().filter(|mark| enough && self.marks.get(*mark).copied().unwrap_or(0) == 0);
        missed.copied().collect()
    }

    /// Prints them.
    pub fn print(&self, seconds: f64) {
        let events: u64 = self.events.iter().sum();
        let median = self.events.get(self.events.len() / 2).copied().unwrap_or(0);
        println!(
            "{} seeds, {events} events (median {median} per seed), {:.0} events/s, {seconds:.1} s, digest {:016x}",
            self.seeds,
            events as f64 / seconds,
            self.digest
        );
        let marks: Vec<String> = self.marks.iter().map(|(mark, count)| format!("{mark} {count}")).collect();
        println!("{}", marks.join(", "));
    }
}
