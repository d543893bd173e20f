//! Every Rust file opens with a sentence about itself.

use crate::files::{TextFile, complains, files, none};

const WORDS_MIN: usize = 4;

fn missing_sentence(file: &TextFile) -> Option<String> {
    let lines = file.text.lines().map_while(|line| line.strip_prefix("//!"));
    let paragraph: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    let sentence = paragraph.join("");
    let opens = sentence.trim_start().starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit() || "`[".contains(c));
    let closes = sentence.ends_with(['.', ':', '?']);
    let is_sentence = opens && closes && sentence.split_whitespace().count() >= WORDS_MIN;
    (!is_sentence).then(|| format!("{}:1: does not open with a `//!` sentence that says what it owns", file.path))
}

#[test]
fn every_file_opens_with_a_sentence() {
    none(files().iter().filter(|file| file.is_written_rust()).filter_map(missing_sentence).collect());
}

#[test]
fn bad_openings_are_noticed() {
    let judge = |text| missing_sentence(&TextFile::example("x.rs", text)).into_iter().collect::<Vec<_>>();
    for bad in [
        "",
        "use std::fs;\n",
        "//! (to come)\n",
        "//! owns the lane of a shard.\n",
        "//! Lanes.\n",
        "// Owns a lane.\n",
    ] {
        complains(&judge(bad), "x.rs:1");
    }
    none(judge("//! Owns lanes between the\n//! shards.\n//!\n//! More\nuse std::fs;\n"));
}
