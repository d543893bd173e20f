//! Set-up: files that cannot be imported, in whole or in part, and orders that cannot be carried out. Claim: each line that is
//! at fault is named by file and number with what is wrong with it, and nothing of the file was written; a line that says
//! something else than what was imported is a conflict; a speed is kept.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;
use trunkline_tests::server::Server;

use crate::output::{error_of, lines, texts};
use crate::people::{enroll, serve};

fn line(conversation: &str, sent_at: u64, text: &str) -> String {
    json!({"conversation": conversation, "sender": "Zoë", "sent_at": sent_at, "text": text}).to_string()
}

fn file(server: &Server, name: &str, lines: &[String]) -> PathBuf {
    let path = server.home().path().join(name);
    std::fs::write(&path, lines.join("\n")).expect("a file");
    path
}

fn import(server: &Server, file: &Path, more: &[&str]) -> trunkline_tests::process::Ended {
    let file = file.to_str().expect("a path");
    server.run(["import", file].iter().chain(more))
}

#[test]
fn bad_lines_are_named_and_nothing_is_written() {
    let mut server = serve("1", &[]);
    let good = line("#a", 1_500_000_000, "hello");
    let bad = [
        good.clone(),
        "nonsense".to_owned(),
        String::new(),
        good.replace("\"text\"", "\"txt\""),
        good.clone(),
        line("#a", 0, "too early"),
    ];
    let path = file(&server, "bad.jsonl", &bad);
    let ended = import(&server, &path, &[]);
    assert_eq!(error_of(&ended), "bad_lines");
    let named = |number: usize, reason: &str| {
        let place = format!("{}:{number}: ", path.display());
        let told = ended.stderr.lines().find(|told| told.starts_with(&place));
        assert!(told.is_some_and(|told| told.contains(reason)), "line {number}: {}", ended.stderr);
    };
    named(2, "column 2");
    named(4, "unknown field `txt`");
    named(6, "`sent_at`");
    assert!(!ended.stderr.contains(".jsonl:3"), "a blank line is nothing: {}", ended.stderr);
    assert_eq!(server.run(["export"]).succeeded().stdout, "");

    let path = file(&server, "good.jsonl", std::slice::from_ref(&good));
    assert_eq!(error_of(&import(&server, &path, &["--member", "nobody"])), "unknown_handle");
    assert_eq!(error_of(&import(&server, &path, &["--member", "a b"])), "invalid_handle");
    assert_eq!(error_of(&import(&server, Path::new("/nowhere/at/all"), &[])), "file");
    assert_eq!(server.run(["export"]).succeeded().stdout, "");
    assert_eq!(server.counter("messages_stored"), 0);
    server.stop();
}

/// Whoever speaks to the admin socket without the command.
#[test]
fn requests_that_are_none_are_refused() {
    let mut server = serve("1", &[]);
    let said =
        |sender: &str, sent_at_ms: u64, text: &str| json!({"sender": sender, "sent_at_ms": sent_at_ms, "text": text});
    let import = |conversation: &str, first: u64, lines: Vec<serde_json::Value>| json!({"op": "import", "conversation": conversation, "first": first, "lines": lines});
    let good = said("Zoë", 1, "");
    let big = said("Zoë", 1, &"\u{1}".repeat(61_440));
    let mut admin = server.admin();
    for refused in [
        import("#a", 0, vec![good.clone()]),
        import("#a", u64::MAX, vec![good.clone()]),
        import("#a", 1, vec![]),
        import("#a", 1, vec![good.clone(); 51]),
        import("#a", 1, vec![big.clone(), said("Zoë", 1, "x")]),
        import("", 1, vec![good.clone()]),
        import("#a\n", 1, vec![good.clone()]),
        import("#a", 1, vec![said("", 1, "")]),
        import("#a", 1, vec![said("Zoë", 0, "")]),
        import("#a", 1, vec![said("Zoë", u64::MAX, "")]),
        import("#a", 1, vec![said("Zoë", 1, &"x".repeat(61_441))]),
        json!({"op": "import_check", "conversation": "", "from_seq": 1}),
        json!({"op": "import_members", "conversation": "#a", "handles": []}),
        json!({"op": "export_rows", "conversation": "a", "from_seq": 1}),
        json!({"op": "export_conversations", "after": "a"}),
    ] {
        assert_eq!(admin.ask(&refused)["error"], "malformed", "{:.100}", refused.to_string());
    }
    enroll(&server, ["alice"]);
    let members = json!({"op": "import_members", "conversation": "#a", "handles": ["alice"]});
    assert_eq!(admin.ask(&members)["error"], "not_found");
    assert_eq!(server.run(["export"]).succeeded().stdout, "");
    // The largest there are, and a gap.
    let done = |accepted: u64, high: u64, refusal: serde_json::Value| json!({"accepted": accepted, "refusal": refusal, "high": high});
    assert_eq!(admin.ask(&import("#a", 1, vec![big])), done(1, 1, json!(null)));
    assert_eq!(admin.ask(&import("#a", 2, vec![good.clone(); 50])), done(50, 51, json!(null)));
    assert_eq!(admin.ask(&import("#a", 53, vec![good.clone()])), done(0, 51, json!("out_of_order")));
    assert_eq!(admin.ask(&import("#a", 51, vec![good.clone(); 2])), done(2, 52, json!(null)), "one of them again");
    assert_eq!(admin.ask(&import("#a", 52, vec![said("zoë", 1, "")])), done(0, 52, json!("client_seq_conflict")));
    server.stop();
}

#[test]
fn a_changed_line_is_a_conflict_with_its_number() {
    let mut server = serve("2", &[]);
    let log = |changed: usize| -> Vec<String> {
        let text = |number: usize| if number == changed { "edited".to_owned() } else { format!("line {number}") };
        let of = |number: usize| if number.is_multiple_of(2) { "#even" } else { "#odd" };
        (1..=1_500).map(|number| line(of(number), 1_500_000_000 + number as u64, &text(number))).collect()
    };
    import(&server, &file(&server, "log.jsonl", &log(0)), &[]).succeeded();
    let before = server.run(["export"]).succeeded().stdout;
    for changed in [1, 2, 777, 1_500] {
        let mut lines = log(changed);
        lines.push(line("#new", 1_600_000_000, "not before the others are right"));
        let ended = import(&server, &file(&server, "edited.jsonl", &lines), &[]);
        assert_eq!(error_of(&ended), "client_seq_conflict");
        let place = format!("edited.jsonl:{changed}: this is line {} of ", changed.div_ceil(2));
        assert!(ended.stderr.contains(&place), "{changed}: {}", ended.stderr);
    }
    let ended = import(&server, &file(&server, "short.jsonl", &log(0)[..1_000]), &[]);
    assert_eq!(error_of(&ended), "client_seq_conflict");
    assert!(ended.stderr.contains("of which more were imported"), "{}", ended.stderr);
    assert_eq!(server.run(["export"]).succeeded().stdout, before);
    // Lines at the end are news, wherever they stand in the file.
    let mut longer = vec![line("#other", 1_400_000_000, "first")];
    longer.extend(log(0));
    longer.push(line("#odd", 1_400_000_000, "last"));
    let told = lines(&import(&server, &file(&server, "longer.jsonl", &longer), &[]).succeeded().stdout);
    let new = |name: &str| told.iter().find(|told| told["name"] == name).map(|told| told["new"].clone());
    assert_eq!([new("#other"), new("#odd"), new("#even")], [Some(json!(1)), Some(json!(1)), Some(json!(0))]);
    server.stop();
}

#[test]
fn a_speed_is_kept_and_members_come_when_they_are_named() {
    let mut server = serve("2", &[]);
    enroll(&server, ["alice", "bob"]);
    let log: Vec<String> = (1..=300).map(|number| line("#slow", 1_500_000_000, &format!("line {number}"))).collect();
    let path = file(&server, "log.jsonl", &log);
    let since = Instant::now();
    let told = lines(&import(&server, &path, &["--speed", "200", "--member", "alice"]).succeeded().stdout);
    assert!(since.elapsed() >= Duration::from_millis(1_300), "300 lines at 200 a second: {:?}", since.elapsed());
    let id = told[0]["conversation"].as_str().expect("an id").to_owned();
    let read = |who: &str| server.run(["history", "--as", who, &id, "--limit", "300"]);
    assert_eq!(texts(&read("alice").succeeded().stdout).len(), 300);
    assert_eq!(error_of(&read("bob")), "not_found");
    for _ in 0..2 {
        import(&server, &path, &["--member", "bob", "--member", "alice"]).succeeded();
        assert_eq!(texts(&read("bob").succeeded().stdout).len(), 300, "from the first line on");
    }
    assert_eq!(server.counter("messages_stored"), 302);
    // Who leaves stays out.
    server.run(["group", "leave", "--as", "bob", &id]).succeeded();
    import(&server, &path, &["--member", "bob"]).succeeded();
    assert_eq!(error_of(&server.run(["group", "show", "--as", "bob", &id])), "forbidden");
    server.stop();
}
