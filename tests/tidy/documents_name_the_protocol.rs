//! The documents name every op, error code, violation, close code, limit and counter that the code has.

use trunkline_shards::counters::Counters;
use trunkline_shards::limits::Limits;
use trunkline_wire::message::{ErrorCode, Op};
use trunkline_wire::violation::Violation;

use crate::files::{complains, file, none};
use crate::source::has_word;

const PROTOCOL: &str = "docs/PROTOCOL.md";
const OPERATIONS: &str = "docs/OPERATIONS.md";

/// What only a server can do wrong; a client's library meets these, and no server names them to anybody.
const OF_SERVERS: &[Violation] = &[
    Violation::MaskedFrame,
    Violation::InvalidStatusLine,
    Violation::UpgradeRefused,
    Violation::InvalidAccept,
    Violation::UnofferedProtocol,
    Violation::UnofferedExtension,
];

/// Words that have to stand together on one line, and what they are.
struct Fact {
    kind: &'static str,
    words: Vec<String>,
}

impl Fact {
    fn numbered(kind: &'static str, name: &str, number: u16) -> Fact {
        Fact { kind, words: vec![name.into(), number.to_string()] }
    }
}

/// Ops and error codes with their numbers, violations with the close code that answers them, close codes.
fn facts_of_the_protocol() -> Vec<Fact> {
    let ops = Op::ALL.iter().map(|op| Fact::numbered("op", &format!("{op:?}"), op.number()));
    let errors = ErrorCode::ALL.iter().map(|code| Fact::numbered("error code", code.name(), code.number()));
    let violations = Violation::ALL.iter().filter(|violation| !OF_SERVERS.contains(violation));
    let violations = violations.map(|v| Fact::numbered("violation", v.name(), v.close_code().value()));
    let closes = close_codes().into_iter().map(|code| Fact { kind: "close code", words: vec![code] });
    ops.chain(errors).chain(violations).chain(closes).collect()
}

/// The close codes that have a name, from the source that names them.
fn close_codes() -> Vec<String> {
    let source = &file("wire/src/websocket/close.rs").expect("close codes have a file").text;
    let named = source.lines().filter_map(|line| line.trim().strip_prefix("pub const ")?.split_once("CloseCode("));
    let codes: Vec<String> = named.map(|(_, code)| code.trim_end_matches(");").to_string()).collect();
    assert!(codes.len() >= 10 && codes.iter().all(|code| code.parse::<u16>().is_ok()), "not close codes: {codes:?}");
    codes
}

fn facts_of_operation() -> Vec<Fact> {
    let mut facts = Vec::new();
    Limits::default().each(|name, _| facts.push(Fact { kind: "limit", words: vec![name.into()] }));
    // Those with a prefix are named after violations and error codes.
    let mut counter = |prefix: &str, name: &str| {
        if prefix.is_empty() {
            facts.push(Fact { kind: "counter", words: vec![name.into()] });
        }
    };
    Counters::default().each(|prefix, name, _| counter(prefix, name));
    facts
}

fn unnamed(documents: &[(&str, &str)], facts: &[Fact]) -> Vec<String> {
    let says = |text: &str, fact: &Fact| text.lines().any(|line| fact.words.iter().all(|word| has_word(line, word)));
    let paths: Vec<&str> = documents.iter().map(|(path, _)| *path).collect();
    let missing = facts.iter().filter(|fact| !documents.iter().any(|(_, text)| says(text, fact)));
    missing
        .map(|fact| format!("{}: no line names the {} {}", paths.join(", "), fact.kind, fact.words.join(" ")))
        .collect()
}

fn read(paths: &[&'static str]) -> Vec<(&'static str, &'static str)> {
    paths.iter().map(|path| (*path, file(path).map_or("", |file| file.text.as_str()))).collect()
}

#[test]
fn the_protocol_is_named_in_full() {
    none(unnamed(&read(&[PROTOCOL]), &facts_of_the_protocol()));
}

#[test]
fn every_limit_and_counter_is_named() {
    none(unnamed(&read(&[PROTOCOL, OPERATIONS]), &facts_of_operation()));
}

#[test]
fn what_is_not_named_is_noticed() {
    let facts = [Fact::numbered("op", "Hello", 1), Fact::numbered("error code", "busy", 6)];
    let judge = |text: &'static str| unnamed(&[("X.md", text)], &facts);
    complains(&judge("| 1 | Hello |\n| 7 | busy |"), "X.md: no line names the error code busy 6");
    complains(&judge("| 1 |\n| Hello |\n| 6 | busy |"), "the op Hello 1");
    complains(&judge("| 11 | Hello |\n| 6 | not_busy |"), "the op Hello 1");
    none(judge("| 1 | `Hello` |\n| 6 | `busy` |"));
    assert!(facts_of_the_protocol().len() > 80 && facts_of_operation().len() > 50);
}
