//! A log of the kind that people leave behind: two conversations over seven years, thousands of senders, lines of every script
//! and length. Made from a seed and the texts of a corpus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};
use trunkline_tests::dice::Dice;

use crate::corpus::dialogues;
use crate::output::lines;

/// The longest lines, in characters.
const LONG_CHARS: usize = 4_000;
/// 2012-01-01.
const FIRST_MS: u64 = 1_325_376_000_000;
const YEARS_MS: u64 = 7 * 365 * 86_400_000;

/// One line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    pub conversation: String,
    pub sender: String,
    pub sent_at_ms: u64,
    pub text: String,
}

/// So many lines by so many senders. Some come late by minutes, some are empty, some are very long, some come twice.
pub fn log(seed: u64, count: usize, senders: usize) -> Vec<Line> {
    let mut dice = Dice::new(seed);
    let texts: Vec<String> = dialogues().into_iter().flat_map(|dialogue| dialogue.lines).collect();
    let pick = |dice: &mut Dice| texts[dice.below(texts.len() as u64) as usize].clone();
    let mut lines: Vec<Line> = Vec::with_capacity(count);
    for index in 0..count {
        if dice.below(200) == 0 && !lines.is_empty() {
            lines.push(lines[lines.len() - 1].clone());
            continue;
        }
        let conversation = if dice.below(3) == 0 { "#αβγ 🛳" } else { "#ubuntu" }.to_owned();
        // Few say much, all say something.
        let number = if index < senders { index as u64 } else { dice.below(senders as u64) * dice.below(100) / 100 };
        let due_ms = FIRST_MS + YEARS_MS / count as u64 * index as u64;
        let sent_at_ms = if dice.below(10) == 0 { due_ms - dice.below(600_000) } else { due_ms + dice.below(1_000) };
        let text = match dice.below(100) {
            0 => String::new(),
            1 => format!("\u{1}ACTION {}\u{1}", pick(&mut dice)),
            2 => {
                let some = pick(&mut dice) + "👩‍👩‍👧 \u{202e}x\u{202c} ";
                some.chars().cycle().take(LONG_CHARS).collect()
            }
            _ => pick(&mut dice),
        };
        lines.push(Line { conversation, sender: name_of(number), sent_at_ms, text });
    }
    lines
}

/// Names that differ by case, by composition or by an emoji are different names.
fn name_of(number: u64) -> String {
    let base = number / 6;
    match number % 6 {
        0 => format!("nick{base}"),
        1 => format!("Nick{base}"),
        2 => format!("Zoë{base}"),
        3 => format!("Zoe\u{308}{base}"),
        4 => format!("李{base}|away"),
        _ => format!("🦀 {base} "),
    }
}

/// A file of them, with every form that a time may have.
pub fn write(path: &Path, log: &[Line]) {
    let mut text = String::new();
    for (index, line) in log.iter().enumerate() {
        let stamp = Timestamp::from_millisecond(line.sent_at_ms as i64).expect("a time");
        let sent_at: Value = match index % 3 {
            0 => json!(stamp.to_string()),
            1 => json!(line.sent_at_ms),
            _ if line.sent_at_ms.is_multiple_of(1_000) => json!(line.sent_at_ms / 1_000),
            _ => json!(stamp.to_string().replace('Z', "+00:00")),
        };
        let (conversation, sender) = (&line.conversation, &line.sender);
        let object = json!({"conversation": conversation, "sender": sender, "sent_at": sent_at, "text": line.text});
        writeln!(text, "{object}").expect("writing to a string");
    }
    std::fs::write(path, text).expect("a file for the log");
}

/// The lines of an export.
#[track_caller]
pub fn read(exported: &str) -> Vec<Line> {
    let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_else(|| panic!("no {name}: {line}")).to_owned();
    let line = |line: &Value| {
        let stamp: Timestamp = text(line, "sent_at").parse().expect("a time");
        let sent_at_ms = stamp.as_millisecond() as u64;
        let (conversation, sender) = (text(line, "conversation"), text(line, "sender"));
        Line { conversation, sender, sent_at_ms, text: text(line, "text") }
    };
    lines(exported).iter().map(line).collect()
}

/// By conversation, each in its order.
pub fn by_conversation(log: &[Line]) -> BTreeMap<&str, Vec<&Line>> {
    let mut all: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
    for line in log {
        all.entry(&line.conversation).or_default().push(line);
    }
    all
}

/// That what came out is what went in.
#[track_caller]
pub fn assert_same(exported: &str, log: &[Line]) {
    let exported = read(exported);
    let (told, wanted) = (by_conversation(&exported), by_conversation(log));
    assert!(told.keys().eq(wanted.keys()));
    for (name, wanted) in wanted {
        let told = &told[name];
        let at = told.iter().zip(&wanted).position(|(told, wanted)| told != wanted);
        let at = at.unwrap_or(told.len().min(wanted.len()));
        assert!(*told == wanted, "{name}, line {}: {:?} is not {:?}", at + 1, told.get(at), wanted.get(at));
    }
}
