//! Crates import each other in one direction, the pure ones import little else, and nobody imports what stands on top.

use std::process::Command;

use crate::files::{complains, file, none, root};

/// What each crate may import of the workspace.
const TABLE: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("shards", &["wire"]),
    ("storage", &["wire", "shards"]),
    ("edge", &["wire", "shards"]),
    ("client", &["wire"]),
    ("cli", &["wire", "client"]),
    ("engine", &["wire", "shards", "storage", "edge", "cli"]),
    ("sim", &["wire", "shards", "storage", "client"]),
    ("bench", &["wire", "client"]),
    ("tests", &["wire", "shards", "client"]),
];

/// What its tests and benchmarks may import besides.
const TABLE_OF_TESTS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("shards", &[]),
    ("storage", &[]),
    ("edge", &["storage"]),
    ("client", &["shards", "storage"]),
    ("cli", &[]),
    ("engine", &["client"]),
    ("sim", &[]),
    ("bench", &["shards", "storage", "engine"]),
    ("tests", &["storage", "edge", "cli", "engine", "sim"]),
];

/// What the pure crates may import from outside: nothing that has a clock, a socket or a thread.
const OUTSIDE: &[(&str, &[&str])] = &[
    ("wire", &["data-encoding", "flatbuffers", "hmac", "sha1", "sha2", "unicode-normalization", "xxhash-rust"]),
    ("shards", &["foldhash", "hashbrown", "rand_chacha", "rand_core"]),
];

const PREFIX: &str = "trunkline-";

/// One line of a crate's manifest.
struct Import {
    from: String,
    to: String,
    for_tests: bool,
}

fn row<'a>(table: &[(&str, &'a [&'a str])], name: &str) -> Option<&'a [&'a str]> {
    table.iter().find(|(crate_name, _)| *crate_name == name).map(|(_, allowed)| *allowed)
}

fn wrong_imports(imports: &[Import]) -> Vec<String> {
    let complaint = |import: &Import| {
        let Import { from, to, for_tests } = import;
        let Some(allowed) = row(TABLE, from) else { return Some(format!("{from} is not in the import table")) };
        if let Some(to) = to.strip_prefix(PREFIX) {
            let of_tests = row(TABLE_OF_TESTS, from).filter(|_| *for_tests).unwrap_or_default();
            let is_allowed = allowed.contains(&to) || of_tests.contains(&to);
            return (!is_allowed).then(|| format!("{from} must not import {to}"));
        }
        let outside = row(OUTSIDE, from).filter(|_| !for_tests)?;
        (!outside.contains(&to.as_str())).then(|| format!("{from} is pure and must not import {to} from outside"))
    };
    imports.iter().filter_map(complaint).collect()
}

fn imports_of_the_tree() -> Vec<Import> {
    let metadata = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(root())
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .output()
        .expect("cargo runs");
    assert!(metadata.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).expect("cargo writes JSON");
    let mut imports = Vec::new();
    for package in metadata["packages"].as_array().expect("a list of packages") {
        let name = package["name"].as_str().expect("a name");
        for dependency in package["dependencies"].as_array().expect("a list of dependencies") {
            imports.push(Import {
                from: name.strip_prefix(PREFIX).unwrap_or(name).into(),
                to: dependency["name"].as_str().expect("a name").into(),
                for_tests: dependency["kind"] == "dev",
            });
        }
    }
    imports
}

/// What a pure crate's lib.rs says before its first item.
fn impurity(path: &str, text: &str) -> Option<String> {
    (!text.lines().any(|line| line == "#![no_std]") || text.contains("extern crate std"))
        .then(|| format!("{path} is pure: it says #![no_std] and has no extern crate std"))
}

#[test]
fn the_import_table_holds() {
    let imports = imports_of_the_tree();
    assert!(imports.len() > 40, "only {} imports: is this the whole tree?", imports.len());
    none(wrong_imports(&imports));
}

#[test]
fn pure_crates_have_no_standard_library() {
    let judge = |name: &str| {
        let path = format!("{name}/src/lib.rs");
        file(&path).map_or_else(|| Some(format!("{path} is missing")), |file| impurity(&path, &file.text))
    };
    none(OUTSIDE.iter().filter_map(|(name, _)| judge(name)).collect());
}

#[test]
fn bad_imports_are_noticed() {
    let import = |from: &str, to: &str, for_tests| Import { from: from.into(), to: to.into(), for_tests };
    let wrong = |from, to, for_tests| wrong_imports(&[import(from, to, for_tests)]);
    complains(&wrong("storage", "trunkline-edge", false), "storage must not import edge");
    complains(&wrong("wire", "trunkline-shards", true), "wire must not import shards");
    complains(&wrong("engine", "trunkline-sim", true), "engine must not import sim");
    complains(&wrong("client", "trunkline-shards", false), "client must not import shards");
    complains(&wrong("shards", "tokio", false), "shards is pure");
    complains(&wrong("gateway", "libc", false), "not in the import table");
    none(wrong("client", "trunkline-shards", true));
    none(wrong("wire", "tungstenite", true));
    assert!(impurity("wire/src/lib.rs", "//! Text.\nextern crate std;").is_some());
}

#[test]
fn nobody_imports_what_stands_on_top() {
    let tables = TABLE.iter().chain(TABLE_OF_TESTS).filter(|(from, _)| *from != "tests");
    let mut on_top = tables.flat_map(|(_, to)| to.iter()).filter(|to| ["sim", "bench", "tests"].contains(to));
    assert_eq!(on_top.next(), None);
}
