//! Nothing half done is kept: no placeholder macros, no skipped tests, no debugging.

use crate::files::{TextFile, complains, files, none};
use crate::source::{Source, has_word};

const MACROS: &[&str] = &["todo", "unimplemented", "dbg"];

fn leftovers(file: &TextFile) -> Vec<String> {
    let code = Source::parse(&file.text).code;
    let mut complaints = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let place = format!("{}:{}", file.path, index + 1);
        let called = MACROS.iter().filter(|name| line.contains(&format!("{name}!")) && has_word(line, name));
        complaints.extend(called.map(|name| format!("{place}: {name}! is left")));
        let is_attribute = line.contains("#[") || line.contains("#!");
        if is_attribute && has_word(line, "ignore") {
            complaints.push(format!("{place}: a test is skipped"));
        }
    }
    complaints
}

#[test]
fn no_placeholder_is_left() {
    none(files().iter().filter(|file| file.is_written_rust()).flat_map(leftovers).collect());
}

#[test]
fn bad_leftovers_are_noticed() {
    let judge = |text: &str| leftovers(&TextFile::example("x.rs", text));
    complains(&judge("fn f() { todo!() }"), "todo! is left");
    complains(&judge("fn f() {\n    unimplemented!(\"later\")\n}"), "x.rs:2: unimplemented!");
    complains(&judge("let x = dbg!(1);"), "dbg! is left");
    complains(&judge("#[test]\n#[ignore = \"slow\"]\nfn f() {}"), "x.rs:2: a test is skipped");
    complains(&judge("#[cfg_attr(debug_assertions, ignore)]\nfn f() {}"), "skipped");
    none(judge("// todo!() is no good\nlet x = \"dbg!\"; let ignore = mytodo!();"));
}
