//! The README fits a page and has the two commands; the architecture is read in one sitting.

use crate::files::{complains, file, none};

const README_LINES_MAX: usize = 100;
const ARCHITECTURE_WORDS_MAX: usize = 1_200;
const COMMANDS: [&str; 2] = ["cargo run --release -- serve", "./test"];

fn wrong_readme(text: &str) -> Vec<String> {
    let lines = text.lines().count();
    let long = (lines > README_LINES_MAX).then(|| format!("README.md: {lines} lines, {README_LINES_MAX} at most"));
    let has = |command: &str| text.lines().any(|line| line.trim().trim_start_matches("$ ").starts_with(command));
    let missing = COMMANDS.iter().filter(|command| !has(command));
    long.into_iter().chain(missing.map(|command| format!("README.md: no line is the command {command}"))).collect()
}

fn wrong_architecture(text: &str) -> Vec<String> {
    let words = text.split_whitespace().count();
    let long = words > ARCHITECTURE_WORDS_MAX;
    long.then(|| format!("docs/ARCHITECTURE.md: {words} words, {ARCHITECTURE_WORDS_MAX} at most")).into_iter().collect()
}

fn judge(path: &str, check: fn(&str) -> Vec<String>) -> Vec<String> {
    file(path).map_or_else(|| vec![format!("{path} is missing")], |file| check(&file.text))
}

#[test]
fn the_readme_is_a_page_with_two_commands() {
    none(judge("README.md", wrong_readme));
}

#[test]
fn the_architecture_is_short() {
    none(judge("docs/ARCHITECTURE.md", wrong_architecture));
}

#[test]
fn bad_documents_are_noticed() {
    complains(&wrong_readme(&"\n".repeat(101)), "101 lines");
    complains(&wrong_readme("```\ncargo run --release -- serve\n```\n"), "the command ./test");
    none(wrong_readme("```\ncargo run --release -- serve\n./test   # all tests\n```\n"));
    complains(&wrong_architecture(&"word ".repeat(1_201)), "1201 words");
}
