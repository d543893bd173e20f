//! No source has more than 800 lines; those with more than 400 are listed and may only shrink.

use std::collections::BTreeMap;

use crate::files::{TextFile, complains, file, files, none};

const LINES_MAX: usize = 800;
const LINES_AIM: usize = 400;
/// A listed file may be this much shorter than its entry before the entry has to follow.
const SLACK_LINES: usize = 25;
const RATCHET: &str = "tests/tidy/ratchet.toml";
const ENDINGS: &[&str] = &[".rs", ".sh", ".py", ".ts", ".tsx", ".js", ".css", ".html", ".fbs", "/run", "test"];

type Ratchet = BTreeMap<String, usize>;

fn is_source(file: &TextFile) -> bool {
    ENDINGS.iter().any(|ending| file.path.ends_with(ending)) && !file.is_generated()
}

fn wrong_sizes(files: &[TextFile], ratchet: &Ratchet) -> Vec<String> {
    let mut complaints = Vec::new();
    let sources = files.iter().filter(|file| is_source(file));
    let sizes: BTreeMap<&str, usize> = sources.map(|file| (file.path.as_str(), file.text.lines().count())).collect();
    for (&path, &lines) in &sizes {
        let listed = ratchet.get(path).copied().unwrap_or(LINES_AIM);
        if lines > LINES_MAX {
            complaints.push(format!("{path} has {lines} lines, {LINES_MAX} are the most: split it"));
        } else if lines > listed {
            complaints.push(format!("{path} has {lines} lines, {listed} are allowed: split it"));
        }
    }
    for (path, &listed) in ratchet {
        let lines = sizes.get(path.as_str()).copied().unwrap_or(0);
        if lines <= LINES_AIM {
            complaints.push(format!("{RATCHET}: remove the line of {path}, which has {lines} lines now"));
        } else if lines + SLACK_LINES < listed {
            complaints.push(format!("{RATCHET}: lower the line of {path} to \"{path}\" = {lines}"));
        }
    }
    complaints
}

fn ratchet_of_the_tree() -> Ratchet {
    let text = &file(RATCHET).expect("the ratchet is there").text;
    let table: toml::Table = text.parse().expect("the ratchet is TOML");
    let size = |value: &toml::Value| value.as_integer().and_then(|lines| usize::try_from(lines).ok());
    table.iter().map(|(path, value)| (path.clone(), size(value).expect("a number of lines"))).collect()
}

#[test]
fn sources_are_within_their_sizes() {
    none(wrong_sizes(files(), &ratchet_of_the_tree()));
}

#[test]
fn bad_sizes_are_noticed() {
    let of_lines = |lines: usize| [TextFile::example("wire/src/x.rs", &"\n".repeat(lines))];
    let listed = |lines: usize| Ratchet::from([("wire/src/x.rs".to_string(), lines)]);
    complains(&wrong_sizes(&of_lines(801), &listed(900)), "800 are the most");
    complains(&wrong_sizes(&of_lines(401), &Ratchet::new()), "400 are allowed");
    complains(&wrong_sizes(&of_lines(501), &listed(500)), "500 are allowed");
    complains(&wrong_sizes(&of_lines(470), &listed(500)), "lower the line of wire/src/x.rs to \"wire/src/x.rs\" = 470");
    complains(&wrong_sizes(&of_lines(400), &listed(500)), "remove the line");
    complains(&wrong_sizes(&[], &listed(500)), "remove the line");
    none(wrong_sizes(&of_lines(480), &listed(500)));
}
