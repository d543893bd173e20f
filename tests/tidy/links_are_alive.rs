//! Every link of a document to a file of the tree leads to that file, and to a heading that is there.

use std::path::{Component, Path, PathBuf};

use crate::files::{TextFile, complains, file, files, none, root};

/// Targets of the links of a document with their lines, outside of code.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        in_code ^= line.trim_start().starts_with("```");
        let prose = if in_code { "" } else { line };
        for (at, _) in prose.match_indices("](") {
            let in_span = prose[..at].matches('`').count() % 2 == 1 && !prose[..at].ends_with('`');
            let target = prose[at + 2..].split([')', ' ']).next().unwrap_or_default();
            if !in_span && !target.is_empty() {
                found.push((index + 1, target));
            }
        }
    }
    found
}

/// The name under which a heading is linked to.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn has_anchor(text: &str, wanted: &str) -> bool {
    text.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line.trim_start_matches('#')) == wanted)
}

/// `target` as seen from the file at `from`, without `.` and `..`.
fn resolve(from: &str, target: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for step in Path::new(from).parent().unwrap_or(Path::new("")).join(target).components() {
        match step {
            Component::ParentDir => drop(path.pop()),
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path
}

fn dead_links(document: &TextFile) -> Vec<String> {
    let mut complaints = Vec::new();
    for (line, target) in links(&document.text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
        let path = if path.is_empty() { PathBuf::from(&document.path) } else { resolve(&document.path, path) };
        let place = format!("{}:{line}: {target}", document.path);
        let is_document = path == Path::new(&document.path);
        if !is_document && !root().join(&path).exists() {
            complaints.push(format!("{place} leads nowhere"));
        } else if !fragment.is_empty() {
            let linked = if is_document { Some(document) } else { path.to_str().and_then(file) };
            if linked.is_some_and(|linked| linked.path.ends_with(".md") && !has_anchor(&linked.text, fragment)) {
                complaints.push(format!("{place}: no such heading"));
            }
        }
    }
    complaints
}

#[test]
fn links_lead_somewhere() {
    none(files().iter().filter(|file| file.path.ends_with(".md")).flat_map(dead_links).collect());
}

#[test]
fn dead_links_are_noticed() {
    let judge = |text: &str| dead_links(&TextFile::example("docs/X.md", text));
    complains(&judge("see [it](GONE.md)"), "docs/X.md:1: GONE.md leads nowhere");
    complains(&judge("# One\n[two](#two)"), "docs/X.md:2: #two: no such heading");
    none(judge(
        "# The `One`, 2\n[a](#the-one-2) [b](../Cargo.toml) [c](https://example.org/x) `x](y)`\n```\n[d](e)\n```\n",
    ));
}
