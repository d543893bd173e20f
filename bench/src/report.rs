//! The result of a run: figures by name, what they are worth, and under which circumstances they were found.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::clock::{NS_PER_S, seconds};
use crate::direct::{self, Setting};
use crate::failure::Failure;
use crate::host::Facts;
use crate::idle;
use crate::statistics::{LatencyFigures, median, per};

/// A core counts as saturated from this share on.
const SATURATED_SHARE: f64 = 0.95;
/// A generator busier than this may itself be the limit.
const GENERATOR_SHARE_MAX: f64 = 0.85;
/// A run in which the hypervisor gave away more is to be dropped.
const STOLEN_SHARE_MAX: f64 = 0.02;
/// Other processes that use more than this disturb the figures.
const OTHERS_CORES_MAX: f64 = 0.1;
const NS_PER_US: f64 = 1e3;

/// What was at its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Saturated {
    /// The server: the figure is its maximum.
    Server,
    /// The generator: only CPU per message may be compared.
    Generator,
    /// Neither: the disk, a limit, or the messages in flight were few.
    Nobody,
}

impl Saturated {
    /// Judges by shares of a core (of all its cores, and of its busiest thread, for the server).
    #[must_use]
    pub fn judge(server_cores_share: f64, busiest_thread_share: f64, generator_share: f64) -> Saturated {
        if generator_share > GENERATOR_SHARE_MAX {
            Saturated::Generator
        } else if server_cores_share.max(busiest_thread_share) >= SATURATED_SHARE {
            Saturated::Server
        } else {
            Saturated::Nobody
        }
    }

    /// Its name in results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Saturated::Server => "server",
            Saturated::Generator => "generator-limited",
            Saturated::Nobody => "nobody",
        }
    }
}

/// A result.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Report {
    /// What was run.
    pub scenario: String,
    /// How, by option.
    pub setting: Map<String, Value>,
    /// Figures by name, which ends in the unit.
    pub figures: Vec<(String, f64)>,
    /// Who was saturated.
    pub saturated: Option<Saturated>,
    /// What whoever reads the figures has to know.
    pub notes: Vec<String>,
}

impl Report {
    /// Of pairs that chatted; the server may use so many cores.
    #[must_use]
    pub fn of_direct(setting: &Setting, outcome: &direct::Outcome, server_cores: u32) -> Report {
        let mut report = Report { scenario: "direct".to_owned(), ..Report::default() };
        report.set_direct(setting);
        let (before, after) = (&outcome.before, &outcome.after);
        let span_ns = (after.at_ns - before.at_ns) as f64;
        let acked = (after.tally.acked - before.tally.acked) as f64;
        let delivered = (after.tally.delivered - before.tally.delivered) as f64;
        let durable = acked.min(delivered);
        let per_s = |count: f64| per(count * NS_PER_S as f64, span_ns);
        let server_ns = after.server.since(&before.server) as f64;
        let generator_ns = match setting.rate {
            Some(_) => after.busy_ns - before.busy_ns,
            None => after.generator.since(&before.generator),
        } as f64;
        let busiest_share = per(after.server.busiest_since(&before.server) as f64, span_ns);
        let cores_share = per(server_ns, span_ns * f64::from(server_cores));
        let generator_share = per(generator_ns, span_ns);
        let frames = (after.traffic.envelopes - before.traffic.envelopes) as f64;
        let receives = (after.traffic.receives - before.traffic.receives) as f64;
        report.add("durable_messages_per_s", per_s(durable));
        report.add("acked_per_s", per_s(acked));
        report.add("delivered_per_s", per_s(delivered));
        report.add_latencies("ack", &outcome.to_ack);
        report.add_latencies("delivery", &outcome.to_delivery);
        if setting.server_pid.is_some() {
            report.add("server_cpu_us_per_message", per(server_ns / NS_PER_US, durable));
            report.add("server_cores_used", per(server_ns, span_ns));
            report.add("server_busiest_thread_share", busiest_share);
        }
        report.add("generator_cpu_us_per_message", per(generator_ns / NS_PER_US, durable));
        report.add("generator_share", generator_share);
        report.add("deliveries_per_message", per(delivered, acked));
        report.add("frames_per_receive", per(frames, receives));
        report.add("sends_per_message", per((after.tally.sends - before.tally.sends) as f64, acked));
        report.add("rate_limited", outcome.total.rate_limited as f64);
        report.add("busy", outcome.total.busy as f64);
        report.add("connects_per_s", outcome.connected.per_s());
        report.add("history_conversations", outcome.compared.conversations as f64);
        report.add("history_messages", outcome.compared.messages as f64);
        report.add("unsent", outcome.unsent as f64);
        let stolen_ns = (after.machine.stolen_ns - before.machine.stolen_ns) as f64;
        let stolen = per(stolen_ns, span_ns * f64::from(Facts::collect().cores));
        report.add("stolen_share", stolen);
        let busy_ns = (after.machine.busy_ns - before.machine.busy_ns) as f64;
        let own_ns = after.generator.since(&before.generator) as f64;
        let others =
            if setting.server_pid.is_some() { per(busy_ns - server_ns - own_ns, span_ns).max(0.0) } else { 0.0 };
        report.add("other_cores_used", others);
        report.saturated = Some(Saturated::judge(cores_share, busiest_share, generator_share));
        report.note_direct(outcome, stolen, others);
        report
    }

    fn set_direct(&mut self, setting: &Setting) {
        let mut set = |name: &str, value: Value| self.setting.insert(name.to_owned(), value);
        set("pairs", setting.pairs.into());
        set("in_flight_per_connection", setting.in_flight.into());
        set("one_way", setting.is_one_way.into());
        set("body_bytes", setting.body_bytes.into());
        set("seconds", setting.seconds.into());
        set("warmup_s", setting.warmup_s.into());
        set("rate_per_s", setting.rate.into());
    }

    fn note_direct(&mut self, outcome: &direct::Outcome, stolen: f64, others: f64) {
        let direct::Tally { rate_limited, busy, .. } = outcome.total;
        let mut note = |text: String| self.notes.push(text);
        if rate_limited > 0 {
            note(format!("the server's limits bound: {rate_limited} refusals were repeated later; the rate is theirs"));
        }
        if busy > 0 {
            note(format!("the server was busy {busy} times, and asked again"));
        }
        if outcome.unsent > 0 {
            let (unsent, due) = (outcome.unsent, outcome.due);
            note(format!(
                "overloaded: {unsent} of {due} messages could not even be sent; the latencies leave them out"
            ));
        }
        if stolen > STOLEN_SHARE_MAX {
            note(format!("drop this run: the hypervisor took {:.1} % of the time", stolen * 100.0));
        }
        if others > OTHERS_CORES_MAX {
            note(format!("the machine was not quiet: other processes used {others:.2} cores"));
        }
        if outcome.compared.messages == 0 {
            note("no history was compared".to_owned());
        }
        if self.saturated == Some(Saturated::Generator) {
            self.notes.push("generator-limited: compare only CPU per message".to_owned());
        }
    }

    /// Of idle sessions.
    #[must_use]
    pub fn of_idle(outcome: &idle::Outcome, has_server_pid: bool) -> Report {
        let mut report = Report { scenario: "idle".to_owned(), ..Report::default() };
        let sessions = f64::from(outcome.connected.sessions);
        let idle::Outcome { before, begin, end, .. } = outcome;
        report.setting.insert("connections".to_owned(), outcome.connected.sessions.into());
        report.setting.insert("seconds".to_owned(), seconds(end.at_ns - begin.at_ns).into());
        report.add("connects_per_s", outcome.connected.per_s());
        let each = |before: u64, after: u64| (after as f64 - before as f64) / sessions;
        if has_server_pid {
            for (when, holding) in [("connected", begin), ("held", end)] {
                let (rss, pss) = (holding.memory.rss, holding.memory.pss);
                report.add(&format!("rss_bytes_per_session_{when}"), each(before.memory.rss, rss));
                report.add(&format!("pss_bytes_per_session_{when}"), each(before.memory.pss, pss));
            }
            report.add("pss_bytes_before", before.memory.pss as f64);
            report.add("pss_bytes_held", end.memory.pss as f64);
            report.add(
                "connect_server_cpu_us_per_session",
                begin.server.since(&before.server) as f64 / NS_PER_US / sessions,
            );
            let (used_ns, span_ns) = (end.server.since(&begin.server) as f64, (end.at_ns - begin.at_ns) as f64);
            report.add("held_server_core_share", per(used_ns, span_ns));
            report.add(
                "held_server_cpu_us_per_session_s",
                per(used_ns * NS_PER_S as f64 / NS_PER_US, span_ns * sessions),
            );
        }
        report.add("tcp_bytes_per_session_both_ends", each(before.tcp_bytes, end.tcp_bytes));
        let generator_ns = end.generator.since(&begin.generator) as f64;
        report.add("held_generator_core_share", per(generator_ns, (end.at_ns - begin.at_ns) as f64));
        report
    }

    /// Adds a figure.
    pub fn add(&mut self, name: &str, figure: f64) {
        self.figures.push((name.to_owned(), figure));
    }

    fn add_latencies(&mut self, what: &str, figures: &LatencyFigures) {
        let LatencyFigures { p50_us, p90_us, p99_us, p999_us, max_us, count } = *figures;
        let all = [("p50", p50_us), ("p90", p90_us), ("p99", p99_us), ("p999", p999_us), ("max", max_us)];
        all.into_iter().for_each(|(name, us)| self.add(&format!("{what}_{name}_us"), us));
        self.add(&format!("{what}_count"), count as f64);
    }

    /// Prints it for people.
    pub fn print(&self, circumstances: &Value) {
        let setting: Vec<String> = self.setting.iter().map(|(name, value)| format!("{name}={value}")).collect();
        println!("{} {}", self.scenario, setting.join(" "));
        for (name, figure) in &self.figures {
            println!("  {name:<36} {}", show(*figure));
        }
        if let Some(saturated) = self.saturated {
            println!("  {:<36} {}", "saturated", saturated.name());
        }
        for name in ["limits", "commit", "kernel", "cores", "date"] {
            let value = &circumstances[name];
            println!("  {name:<36} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        self.notes.iter().for_each(|note| println!("  note: {note}"));
    }

    /// Writes it with its circumstances.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, file: &Path, circumstances: &Value) -> Result<(), Failure> {
        let figures: Map<String, Value> =
            self.figures.iter().map(|(name, figure)| (name.clone(), json!(figure))).collect();
        let result = json!({
            "scenario": self.scenario,
            "setting": self.setting,
            "figures": figures,
            "saturated": self.saturated.map(Saturated::name),
            "notes": self.notes,
            "circumstances": circumstances,
        });
        let text = serde_json::to_string_pretty(&result).map_err(|error| Failure::system("write JSON", error))?;
        fs::write(file, text + "\n").map_err(|error| Failure::system(&format!("write {}", file.display()), error))
    }
}

/// The medians of results that [`Report::write`] wrote: lines of name, median, least and most.
///
/// # Errors
/// Files that are no results, or results of different scenarios.
pub fn medians(files: &[impl AsRef<Path>]) -> Result<Vec<String>, Failure> {
    let mut results = Vec::new();
    for file in files {
        let name = file.as_ref().display();
        let text = fs::read_to_string(file).map_err(|error| Failure::system(&format!("read {name}"), error))?;
        let result: Value = serde_json::from_str(&text).unwrap_or_default();
        if !result["figures"].is_object() {
            return Err(Failure::Operator(format!("{name} is no result of --json")));
        }
        results.push(result);
    }
    let Some(first) = results.first() else { return Ok(Vec::new()) };
    if results.iter().any(|result| {
        result["scenario"] != first["scenario"] || result["setting"]["pairs"] != first["setting"]["pairs"]
    }) {
        return Err(Failure::Operator("these are results of different scenarios".to_owned()));
    }
    let mut lines = vec![format!("  {:<36} {:>12} {:>12} {:>12}", "median of runs", "median", "least", "most")];
    for name in first["figures"].as_object().into_iter().flat_map(Map::keys) {
        let values: Vec<f64> = results.iter().filter_map(|result| result["figures"][name].as_f64()).collect();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let Some(middle) = median(&values) else { continue };
        lines.push(format!("  {name:<36} {:>12} {:>12} {:>12}", show(middle), show(least), show(most)));
    }
    let saturated: Vec<&str> = results.iter().map(|result| result["saturated"].as_str().unwrap_or("-")).collect();
    lines.push(format!("  {:<36} {}", "saturated", saturated.join(", ")));
    let notes = results.iter().flat_map(|result| result["notes"].as_array().into_iter().flatten());
    lines.extend(notes.filter_map(|note| Some(format!("  note: {}", note.as_str()?))));
    Ok(lines)
}

/// A figure with as many digits as it is worth.
fn show(figure: f64) -> String {
    match figure.abs() {
        large if large >= 1000.0 || figure.fract() == 0.0 => format!("{figure:.0}"),
        medium if medium >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maximum_needs_a_full_server_and_a_free_generator() {
        assert_eq!(Saturated::judge(0.96, 0.9, 0.5), Saturated::Server);
        assert_eq!(Saturated::judge(0.5, 0.96, 0.85), Saturated::Server);
        assert_eq!(Saturated::judge(0.99, 0.99, 0.86), Saturated::Generator);
        assert_eq!(Saturated::judge(0.94, 0.94, 0.2), Saturated::Nobody);
    }

    #[test]
    fn medians_come_from_the_files() {
        let folder = std::env::temp_dir();
        let files: Vec<_> =
            (0..3).map(|n| folder.join(format!("trunkline-bench-{}-{n}.json", std::process::id()))).collect();
        for (file, figure) in files.iter().zip([3.0, 1.0, 2000.4]) {
            let mut report = Report { saturated: Some(Saturated::Nobody), ..Report::default() };
            report.add("x_per_s", figure);
            report.write(file, &json!({})).unwrap();
        }
        let lines = medians(&files).unwrap();
        assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["x_per_s", "3", "1", "2000"]);
        assert!(lines[2].ends_with("nobody, nobody, nobody"));
        fs::write(&files[0], "{}").unwrap();
        assert!(matches!(medians(&files), Err(Failure::Operator(_))));
        files.iter().for_each(|file| fs::remove_file(file).unwrap());
    }
}
