//! One grep is the guided tour of the hot path: its steps are numbered without a gap.

use std::collections::BTreeMap;

use crate::files::{TextFile, complains, files, none};

const STEPS: u32 = 8;

/// The number of a step and how many there are, from a line of a file's header.
fn step_of(line: &str) -> Option<(u32, u32)> {
    let (_, rest) = line.strip_prefix("//!")?.split_once("Hot path, step ")?;
    let mut words = rest.split(|c: char| !c.is_alphanumeric());
    let step = words.next()?.parse().ok()?;
    (words.next()? == "of").then_some(())?;
    Some((step, words.next()?.parse().ok()?))
}

fn wrong_tour(files: &[TextFile]) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut seen: BTreeMap<u32, &str> = BTreeMap::new();
    for file in files.iter().filter(|file| file.is_written_rust()) {
        for (step, of) in file.text.lines().filter_map(step_of) {
            seen.insert(step, &file.path);
            if of != STEPS || !(1..=STEPS).contains(&step) {
                complaints.push(format!("{}: step {step} of {of}, but there are 1 to {STEPS}", file.path));
            }
        }
    }
    let missing = (1..=STEPS).filter(|step| !seen.contains_key(step));
    complaints.extend(missing.map(|step| format!("no file says `Hot path, step {step} of {STEPS}`")));
    complaints
}

#[test]
fn every_step_of_the_hot_path_is_named() {
    none(wrong_tour(files()));
}

#[test]
fn bad_tours_are_noticed() {
    let tour = |steps: &[&str]| {
        let file =
            |step: &&str| TextFile::example("x.rs", &format!("//! Reads.\n//! Hot path, step {step}: it reads.\n"));
        steps.iter().map(file).collect::<Vec<_>>()
    };
    let whole = ["1 of 8", "2 of 8", "3 of 8", "4 of 8", "5 of 8", "6 of 8", "7 of 8", "8 of 8"];
    none(wrong_tour(&tour(&whole)));
    complains(&wrong_tour(&tour(&whole[..7])), "`Hot path, step 8 of 8`");
    complains(&wrong_tour(&tour(&["9 of 8"])), "step 9 of 8");
    complains(&wrong_tour(&tour(&["1 of 7"])), "step 1 of 7");
}
