//! No type, function or file hides behind a name that would fit anything.

use crate::files::{TextFile, complains, files, none};
use crate::source::{Source, parts_of_name, words};

/// Endings that say nothing. A name with one needs a reason in [`EXCEPTIONS`].
const EMPTY_ENDINGS: &[&str] = &[
    "manager",
    "managers",
    "handler",
    "handlers",
    "helper",
    "helpers",
    "util",
    "utils",
    "utility",
    "utilities",
    "inner",
    "common",
    "data",
    "impl",
    "misc",
];

/// (name, why it stays)
const EXCEPTIONS: &[(&str, &str)] = &[];

fn is_empty_name(name: &str) -> bool {
    let parts = parts_of_name(name);
    let ends_empty = parts.last().is_some_and(|part| EMPTY_ENDINGS.contains(&part.as_str()));
    let is_util = parts.iter().any(|part| part == "util" || part == "utils");
    (ends_empty || is_util) && !EXCEPTIONS.iter().any(|(excepted, _)| *excepted == name)
}

fn bad_names(file: &TextFile) -> Vec<String> {
    let mut complaints = Vec::new();
    let stem = file.path.rsplit('/').next().and_then(|name| name.strip_suffix(".rs")).unwrap_or_default();
    if is_empty_name(stem) {
        complaints.push(format!("{}: a file named {stem} could hold anything", file.path));
    }
    let code = Source::parse(&file.text).code;
    let mut before = "";
    for (line, word) in words(&code) {
        let names_type = ["struct", "enum", "trait", "type", "union", "mod"].contains(&before);
        if names_type && is_empty_name(word) {
            complaints.push(format!("{}:{line}: {word} says nothing about what it is", file.path));
        }
        if before == "fn" && word.starts_with("get_") && !EXCEPTIONS.iter().any(|(excepted, _)| *excepted == word) {
            complaints.push(format!("{}:{line}: {word} is named without `get_`", file.path));
        }
        before = word;
    }
    complaints
}

#[test]
fn names_are_not_empty() {
    none(files().iter().filter(|file| file.is_written_rust()).flat_map(bad_names).collect());
}

#[test]
fn bad_names_are_noticed() {
    let judge = |text: &str| bad_names(&TextFile::example("wire/src/x.rs", text));
    for bad in
        ["struct LaneManager;", "enum EventHandler {}", "type MessageData = u8;", "trait UtilExt {}", "mod common;"]
    {
        complains(&judge(bad), "says nothing");
    }
    complains(&judge("pub fn get_lane() {}"), "without `get_`");
    complains(&bad_names(&TextFile::example("wire/src/frame_utils.rs", "")), "could hold anything");
    none(judge("struct Database; struct DataFolder; fn get() {} // struct LaneManager\nconst S: &str = \"fn get_x\";"));
}
