//! The dialogues of the package chatterbot-corpus, which ./test installs, read from its own files.

use std::process::Command;

use serde_json::Value;
use trunkline_tests::repository_root;

/// The files of the release that ./test pins.
pub const FILES: usize = 237;
/// Its languages.
pub const LANGUAGES: usize = 28;

/// Prints `[[language, file, [line, ...]], ...]`. A dialogue is a list of lines; a few are one line without a list.
const DUMP: &str = r"
import json, pathlib, sys, yaml, chatterbot_corpus
data = pathlib.Path(chatterbot_corpus.__file__).parent / 'data'
loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
files = []
for path in sorted(data.rglob('*.yml')):
    with open(path, encoding='utf-8') as text:
        dialogues = yaml.load(text, Loader=loader)['conversations']
    lines = [line for told in dialogues for line in (told if isinstance(told, list) else [told])]
    files.append([path.relative_to(data).parts[0], str(path.relative_to(data)), lines])
json.dump(files, sys.stdout)
";

/// The lines of a file, in order.
pub struct Dialogue {
    pub language: String,
    pub file: String,
    pub lines: Vec<String>,
}

/// All files.
pub fn dialogues() -> Vec<Dialogue> {
    let python = repository_root().join("target/venv/bin/python");
    let dumped = Command::new(&python).args(["-c", DUMP]).output();
    let hint = "./test installs it; by hand: python3 -m venv target/venv && target/venv/bin/pip install \
                chatterbot-corpus==1.3.3 PyYAML==6.0.3";
    let dumped = dumped.unwrap_or_else(|error| panic!("{}: {error}; {hint}", python.display()));
    assert!(dumped.status.success(), "{hint}\n{}", String::from_utf8_lossy(&dumped.stderr));
    let dump: Vec<(String, String, Vec<Value>)> = serde_json::from_slice(&dumped.stdout).expect("a dump as JSON");
    let dialogue = |(language, file, lines): (String, String, Vec<Value>)| {
        let line = |line: &Value| line.as_str().unwrap_or_else(|| panic!("{file}: {line} is no text")).to_owned();
        Dialogue { lines: lines.iter().map(line).collect(), language, file: file.clone() }
    };
    dump.into_iter().map(dialogue).collect()
}
