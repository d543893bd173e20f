//! `unsafe` occurs in named modules only, and each use says why it is sound.

use crate::files::{TextFile, complains, files, none};
use crate::source::{Source, has_word};

/// (file or folder with `/`, what needs it)
const ALLOWED: &[(&str, &str)] = &[
    ("engine/src/ring.rs", "io_uring"),
    ("engine/src/ring/", "io_uring"),
    ("bench/src/ring.rs", "io_uring of the load generator"),
    ("bench/src/ring/", "io_uring of the load generator"),
];

/// Crates whose compiler refuses `unsafe`. wire allows it in generated code, engine and bench in their rings.
const FORBIDDING: &[&str] = &["shards", "storage", "edge", "clients/rust", "clients/cli", "sim", "tests"];

fn unsafe_uses(file: &TextFile) -> Vec<String> {
    let Source { code, comments } = Source::parse(&file.text);
    let code: Vec<&str> = code.lines().collect();
    let comments: Vec<&str> = comments.lines().collect();
    let is_allowed =
        ALLOWED.iter().any(|(place, _)| file.path == *place || (place.ends_with('/') && file.path.starts_with(place)));
    let mut complaints = Vec::new();
    for index in (0..code.len()).filter(|&index| has_word(code[index], "unsafe")) {
        let place = format!("{}:{}", file.path, index + 1);
        if !is_allowed {
            complaints.push(format!("{place}: this module has no leave for `unsafe`"));
        }
        let is_block = code[index].contains("unsafe {") || code[index].contains("unsafe impl");
        if is_block && !is_explained(&code, &comments, index) {
            complaints.push(format!("{place}: no `// SAFETY:` before it"));
        }
    }
    complaints
}

/// Whether a `// SAFETY:` stands on the line or above the statement that the line belongs to.
fn is_explained(code: &[&str], comments: &[&str], index: usize) -> bool {
    let says_why = |index: usize| comments[index].contains("// SAFETY:");
    let above = (0..index).rev().take_while(|&line| !code[line].trim_end().ends_with([';', '{', '}']));
    says_why(index) || above.into_iter().any(says_why)
}

/// Roots of the crate in a folder that do not forbid it.
fn permissive_roots(folder: &str, files: &[TextFile]) -> Vec<String> {
    let is_root = |file: &&TextFile| ["lib", "main"].iter().any(|root| file.path == format!("{folder}/src/{root}.rs"));
    let roots: Vec<&TextFile> = files.iter().filter(is_root).collect();
    let forbids = |file: &TextFile| file.text.lines().any(|line| line == "#![forbid(unsafe_code)]");
    let permissive = roots.iter().filter(|file| !forbids(file));
    let complaints = permissive.map(|file| format!("{}: does not say #![forbid(unsafe_code)]", file.path));
    let nothing = roots.is_empty().then(|| format!("{folder}: no crate is here"));
    complaints.chain(nothing).collect()
}

#[test]
fn unsafe_code_stays_in_its_modules_and_is_explained() {
    none(files().iter().filter(|file| file.is_written_rust()).flat_map(unsafe_uses).collect());
}

#[test]
fn every_other_crate_forbids_it() {
    none(FORBIDDING.iter().flat_map(|folder| permissive_roots(folder, files())).collect());
}

#[test]
fn bad_uses_are_noticed() {
    let judge = |path: &str, text: &str| unsafe_uses(&TextFile::example(path, text));
    let explained = "// SAFETY: it is ours.\nlet x =\n    unsafe { f() };\n";
    none(judge("engine/src/ring.rs", explained));
    complains(&judge("engine/src/lane.rs", explained), "engine/src/lane.rs:3: this module has no leave");
    complains(
        &judge("engine/src/ring/flush.rs", "// SAFETY: a\nf();\nunsafe { g() };\n"),
        "flush.rs:3: no `// SAFETY:`",
    );
    complains(&judge("engine/src/ring/flush.rs", "unsafe impl Send for X {}\n"), "no `// SAFETY:`");
    none(judge("shards/src/lib.rs", "#![forbid(unsafe_code)] // unsafe\nconst X: &str = \"unsafe {\";\n"));
    let permissive = [TextFile::example("shards/src/lib.rs", "//! Says #![forbid(unsafe_code)].\n")];
    complains(&permissive_roots("shards", &permissive), "does not say");
    complains(&permissive_roots("sim", &permissive), "no crate is here");
}
