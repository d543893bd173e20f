//! Crates lie in the folders they are named after, and modules lie beside the folders they open.

use crate::files::{complains, file, none, paths};

/// Folder and package of every member, in the order of the manifest.
const MEMBERS: &[(&str, &str)] = &[
    ("wire", "trunkline-wire"),
    ("shards", "trunkline-shards"),
    ("storage", "trunkline-storage"),
    ("edge", "trunkline-edge"),
    ("engine", "trunkline-engine"),
    ("clients/rust", "trunkline-client"),
    ("clients/cli", "trunkline-cli"),
    ("sim", "trunkline-sim"),
    ("bench", "trunkline-bench"),
    ("tests", "trunkline-tests"),
];

/// What may lie at the root besides members.
const ROOT: &[&str] = &[
    ".ci",
    ".gitattributes",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    "clients",
    "clippy.toml",
    "docs",
    "perf",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "test",
    "tuning",
];

/// Folders of a crate that hold Rust, and how deep below the crate a file may lie.
const RUST_FOLDERS: &[&str] =
    &["src", "tests", "benches", "examples", "micro", "tidy", "conformance", "e2e", "faults", "fuzz"];
const DEPTH_MAX: usize = 3;

fn wrong_members(manifest: &str) -> Vec<String> {
    let lines = manifest.lines().skip_while(|line| !line.starts_with("members = [")).skip(1);
    let lines: Vec<&str> = lines.take_while(|line| *line != "]").collect();
    let mut complaints = Vec::new();
    let mut listed = Vec::new();
    for line in lines {
        let (member, comment) = line.split_once(',').unwrap_or((line, ""));
        listed.push(member.trim().trim_matches('"'));
        if comment.trim().strip_prefix("# ").is_none_or(|comment| comment.len() < 10) {
            complaints.push(format!("Cargo.toml: {} has no comment that says what it is", member.trim()));
        }
    }
    let expected: Vec<&str> = MEMBERS.iter().map(|(folder, _)| *folder).collect();
    if listed != expected {
        complaints.push(format!("Cargo.toml: members are {listed:?}, drawn are {expected:?}"));
    }
    complaints
}

fn wrong_paths(paths: &[&str]) -> Vec<String> {
    let mut complaints = Vec::new();
    for path in paths {
        let top = path.split('/').next().unwrap_or_default();
        let member = MEMBERS.iter().map(|(folder, _)| *folder).find(|m| path.starts_with(&format!("{m}/")));
        if member.is_none() && !ROOT.contains(&top) {
            complaints.push(format!("{path}: {top} has no place in the tree that is drawn"));
        }
        if path.ends_with("/.gitkeep") || path.ends_with("/.keep") {
            complaints.push(format!("{path} keeps a folder with nothing in it"));
        }
        if path.ends_with(".rs") {
            complaints.extend(wrong_rust_path(path, member, paths));
        }
    }
    complaints
}

fn wrong_rust_path(path: &str, member: Option<&str>, paths: &[&str]) -> Option<String> {
    let Some(member) = member else { return Some(format!("{path} is in no crate")) };
    let steps: Vec<&str> = path[member.len() + 1..].split('/').collect();
    if steps == ["build.rs"] {
        return None;
    }
    if !RUST_FOLDERS.contains(&steps[0]) {
        return Some(format!("{path}: Rust lies in {}", RUST_FOLDERS.join(", ")));
    }
    if steps.len() > DEPTH_MAX {
        return Some(format!("{path} lies deeper than crate/src/area/file.rs"));
    }
    if path.ends_with("/mod.rs") {
        return Some(format!("{path}: foo.rs beside foo/, never mod.rs"));
    }
    let (area, _) = path.rsplit_once('/')?;
    let opened = paths.contains(&format!("{area}.rs").as_str());
    (steps[0] == "src" && steps.len() == DEPTH_MAX && steps[1] != "bin" && !opened)
        .then(|| format!("{path}: no {area}.rs opens its folder"))
}

#[test]
fn members_are_as_drawn_and_each_says_what_it_is() {
    let manifest = file("Cargo.toml").expect("the workspace has a manifest");
    none(wrong_members(&manifest.text));
    let package_is_wrong = |&(folder, package): &(&str, &str)| {
        let path = format!("{folder}/Cargo.toml");
        let named = file(&path).and_then(|file| file.text.parse::<toml::Table>().ok());
        let name = named.and_then(|manifest| manifest["package"]["name"].as_str().map(String::from));
        (name.as_deref() != Some(package)).then(|| format!("{path}: the package is {package}, not {name:?}"))
    };
    none(MEMBERS.iter().filter_map(package_is_wrong).collect());
}

#[test]
fn files_lie_where_they_belong() {
    none(wrong_paths(&paths().iter().map(String::as_str).collect::<Vec<_>>()));
}

#[test]
fn bad_folders_are_noticed() {
    complains(&wrong_members("members = [\n    \"wire\",\n]\n"), "\"wire\" has no comment");
    complains(&wrong_members("members = [\n    \"gateway\", # takes what comes\n]\n"), "members are [\"gateway\"]");
    complains(&wrong_paths(&["wire/src/message/mod.rs"]), "never mod.rs");
    complains(&wrong_paths(&["wire/src/a/b/c.rs"]), "deeper");
    complains(&wrong_paths(&["wire/src/a/b.rs"]), "no wire/src/a.rs opens its folder");
    complains(&wrong_paths(&["wire/lib.rs"]), "Rust lies in");
    complains(&wrong_paths(&["misc/notes.txt"]), "no place");
    complains(&wrong_paths(&["docs/decisions/.gitkeep"]), "nothing in it");
    none(wrong_paths(&["wire/src/a.rs", "wire/src/a/b.rs", "clients/rust/src/core/c.rs", "clients/rust/src/core.rs"]));
}
