//! The result of a run: figures by name, what they are worth, and under which circumstances they were found.

mod load;
mod of_idle;
mod of_sync;
mod of_talk;

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::statistics::{LatencyFigures, median};

/// A core counts as saturated from this share on.
const SATURATED_SHARE: f64 = 0.95;
/// A generator busier than this may itself be the limit.
const GENERATOR_SHARE_MAX: f64 = 0.85;
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
    fn of(scenario: &str) -> Report {
        Report { scenario: scenario.to_owned(), ..Report::default() }
    }

    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.setting.insert(name.to_owned(), value.into());
    }

    fn note(&mut self, text: String) {
        self.notes.push(text);
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
    let is_other = |result: &Value| result["scenario"] != first["scenario"] || result["setting"] != first["setting"];
    if results.iter().any(is_other) {
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
        let mut other = Report::default();
        other.set("pairs", 7);
        other.write(&files[0], &json!({})).unwrap();
        assert!(matches!(medians(&files), Err(Failure::Operator(_))));
        fs::write(&files[0], "{}").unwrap();
        assert!(matches!(medians(&files), Err(Failure::Operator(_))));
        files.iter().for_each(|file| fs::remove_file(file).unwrap());
    }
}
