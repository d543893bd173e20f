//! The table of settings in docs/OPERATIONS.md is the table of knobs in the engine, row by row.

use trunkline_engine::Config;
use trunkline_engine::config::knobs::{Knob, knobs};

use crate::files::{complains, file, none};

const OPERATIONS: &str = "docs/OPERATIONS.md";
const HEAD: &str = "| key | default | unit | what it does | values |";

fn row(knob: &Knob) -> String {
    let Knob { key, unit, about, fits, by_default, .. } = knob;
    let default = by_default.map_or_else(|| format!("`{}`", knob.read(&Config::default())), str::to_owned);
    let default = if default == "``" { "none" } else { &default };
    format!("| `{key}` | {default} | {unit} | {about} | {fits} |")
}

/// The rows below the head of the table.
fn rows(text: &str) -> Vec<&str> {
    text.lines().skip_while(|line| *line != HEAD).skip(2).take_while(|line| line.starts_with('|')).collect()
}

fn differences(text: &str, wanted: &[String]) -> Vec<String> {
    let there = rows(text);
    let missing = wanted.iter().filter(|row| !there.contains(&row.as_str()));
    let missing = missing.map(|row| format!("{OPERATIONS} lacks the row:\n{row}"));
    let strange = there.iter().filter(|row| !wanted.iter().any(|known| known == *row));
    missing.chain(strange.map(|row| format!("{OPERATIONS} has a row of no knob:\n{row}"))).collect()
}

#[test]
fn the_table_of_knobs_is_the_code() {
    let wanted: Vec<String> = knobs().iter().map(row).collect();
    none(differences(&file(OPERATIONS).expect("it is there").text, &wanted));
}

#[test]
fn other_tables_are_noticed() {
    let wanted = ["| `a` | 1 |".to_owned()];
    let of = |rows: &str| differences(&format!("{HEAD}\n|---|\n{rows}\n\ntext"), &wanted);
    complains(&of("| `a` | 2 |"), "lacks the row");
    complains(&of("| `a` | 1 |\n| `b` | 1 |"), "of no knob");
    complains(&differences("no table", &wanted), "lacks the row");
    none(of("| `a` | 1 |"));
}
