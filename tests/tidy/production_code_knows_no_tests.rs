//! Production code has no hook for tests: no feature, and no condition but the one on a module of unit tests.

use crate::files::{TextFile, complains, files, none};
use crate::source::{Source, has_word, is_word, words};

const PRODUCTION: &[&str] = &["wire/", "shards/", "storage/", "edge/", "engine/", "clients/rust/", "clients/cli/"];

/// Conditions that only test runs meet.
const CONDITIONS: &[&str] = &["test", "doctest", "feature", "fuzzing", "loom", "miri", "debug_assertions"];

fn is_production(path: &str) -> bool {
    PRODUCTION.iter().any(|folder| path.starts_with(folder))
}

fn hooks_in_source(file: &TextFile) -> Vec<String> {
    let code = Source::parse(&file.text).code;
    let mut complaints = Vec::new();
    for (at, _) in code.match_indices("cfg") {
        let whole = !code[..at].chars().next_back().is_some_and(is_word);
        let rest = &code[at..];
        let end = rest.find('\n').unwrap_or(rest.len());
        let opens = rest.trim_start_matches("cfg_attr").trim_start_matches("cfg").trim_start_matches('!').trim_start();
        let tests = CONDITIONS.iter().find(|condition| has_word(&rest[..end], condition));
        if let (true, true, Some(condition)) = (whole, opens.starts_with('('), tests) {
            let opens_module = rest.strip_prefix("cfg(test)]").is_some_and(|behind| {
                let item = behind.split([';', '{']).next().unwrap_or_default();
                matches!(*words(item).map(|(_, word)| word).collect::<Vec<_>>(), [.., "mod", _])
            });
            if !opens_module {
                let line = code[..at].lines().count();
                complaints.push(format!("{}:{line}: a condition on `{condition}` in production code", file.path));
            }
        }
    }
    complaints
}

fn features(file: &TextFile) -> Vec<String> {
    let manifest: toml::Table = file.text.parse().expect("a manifest is TOML");
    let features = manifest.get("features").and_then(toml::Value::as_table);
    features.into_iter().flatten().map(|(name, _)| format!("{}: feature {name}", file.path)).collect()
}

#[test]
fn production_code_has_no_condition_for_tests() {
    let sources = files().iter().filter(|file| file.is_written_rust() && is_production(&file.path));
    none(sources.filter(|file| file.path.contains("/src/")).flat_map(hooks_in_source).collect());
}

#[test]
fn production_crates_have_no_features() {
    let manifests = files().iter().filter(|file| file.path.ends_with("/Cargo.toml") && is_production(&file.path));
    none(manifests.flat_map(features).collect());
}

#[test]
fn bad_hooks_are_noticed() {
    let judge = |text: &str| hooks_in_source(&TextFile::example("wire/src/x.rs", text));
    complains(&judge("//! X.\n#[cfg(test)]\npub fn hook() {}"), "wire/src/x.rs:2: a condition on `test`");
    complains(&judge("#[cfg(not(test))]\nmod clock;"), "a condition on `test`");
    complains(&judge("if cfg!(test) {}"), "a condition on `test`");
    complains(&judge("#[cfg_attr(test, derive(Debug))]\nstruct X;"), "a condition on `test`");
    complains(&judge("#[cfg(feature = \"fakes\")]\nmod tests {}"), "a condition on `feature`");
    complains(&judge("if cfg!(debug_assertions) {}"), "a condition on `debug_assertions`");
    none(judge(
        "#[cfg(test)]\npub(super) mod tests {\n}\n#[cfg(test)]\nmod fake;\n#[cfg(unix)]\nmod unix; // cfg(test)\nlet mycfg = cfg (1);",
    ));
    complains(&features(&TextFile::example("wire/Cargo.toml", "[features]\nfakes = []\n")), "feature fakes");
}
