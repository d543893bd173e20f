//! What is to be imported: a first pass over the file, before anything is written, finds each conversation's lines and every
//! line that is none.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use trunkline_cli::Failure;
use trunkline_edge::archive::Said;

use super::line;

/// Longest line, in bytes: the longest text, however JSON writes it, and the rest.
const LINE_BYTES_MAX: usize = 512 * 1024;
/// Bad lines that are told; of more there are too many.
const COMPLAINTS_MAX: usize = 20;

/// Where a line is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// In the file, from 1.
    pub line: u64,
    offset: u64,
    bytes: u32,
}

/// The lines of a conversation, in the order of the file; the first one has number 1.
#[derive(Debug)]
pub(super) struct Lines {
    pub conversation: String,
    pub places: Vec<Place>,
}

/// The file, and what is in it.
#[derive(Debug)]
pub(super) struct Plan {
    path: PathBuf,
    file: File,
    /// In the order in which they begin.
    pub conversations: Vec<Lines>,
    /// In all of them.
    pub lines: u64,
}

impl Plan {
    /// Reads a file once, and says which lines are none.
    pub fn of(path: &Path) -> Result<Plan, Failure> {
        let failed = |error| Failure::new("file", format!("cannot read {}: {error}", path.display()));
        let file = File::open(path).map_err(failed)?;
        let mut plan = Plan { path: path.to_owned(), file, conversations: Vec::new(), lines: 0 };
        let mut by_name: HashMap<String, usize> = HashMap::new();
        let mut reader = BufReader::with_capacity(1 << 20, &plan.file);
        let (mut bytes, mut offset, mut number, mut bad) = (Vec::new(), 0, 0, 0);
        while let Some(read) = next_line(&mut reader, &mut bytes).map_err(failed)? {
            number += 1;
            let place = Place { line: number, offset, bytes: bytes.len() as u32 };
            offset += read;
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            match judge(&bytes) {
                Ok((conversation, _)) => {
                    let next = plan.conversations.len();
                    let index = *by_name.entry(conversation).or_insert_with_key(|name| {
                        plan.conversations.push(Lines { conversation: name.clone(), places: Vec::new() });
                        next
                    });
                    plan.conversations[index].places.push(place);
                    plan.lines += 1;
                }
                Err(reason) => {
                    bad += 1;
                    if bad <= COMPLAINTS_MAX {
                        eprintln!("{}:{number}: {reason}", path.display());
                    }
                }
            }
        }
        match bad {
            0 => Ok(plan),
            bad => {
                let text = format!(
                    "{bad} of {number} lines of {} cannot be imported (the first of them are named above); nothing was \
                     imported",
                    path.display()
                );
                Err(Failure::new("bad_lines", text))
            }
        }
    }

    /// What a line says.
    pub fn read(&self, lines: &Lines, place: Place) -> Result<Said, Failure> {
        let mut bytes = vec![0; place.bytes as usize];
        let read = self.file.read_exact_at(&mut bytes, place.offset).map_err(|error| error.to_string());
        match read.and_then(|()| line::parse(&bytes)) {
            Ok((conversation, said)) if conversation == lines.conversation => Ok(said),
            Ok(_) => Err(self.changed(place, "it is of another conversation now")),
            Err(reason) => Err(self.changed(place, &reason)),
        }
    }

    fn changed(&self, place: Place, reason: &str) -> Failure {
        let text = format!("{} changed while it was imported: {reason}; import it again", self.name_of(place));
        Failure::new("file", text)
    }

    /// The name of a line for people.
    pub fn name_of(&self, place: Place) -> String {
        format!("{}:{}", self.path.display(), place.line)
    }

    /// The name of the file for people.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }
}

fn judge(bytes: &[u8]) -> Result<(String, Said), String> {
    if bytes.len() > LINE_BYTES_MAX {
        return Err(format!("a line has at most {LINE_BYTES_MAX} bytes"));
    }
    line::parse(bytes)
}

/// The next line without its end, and how many bytes it took; none: that was all. Of one that is too long only the first
/// bytes are kept.
fn next_line(reader: &mut impl BufRead, bytes: &mut Vec<u8>) -> std::io::Result<Option<u64>> {
    bytes.clear();
    let mut taken = reader.by_ref().take(LINE_BYTES_MAX as u64 + 2).read_until(b'\n', bytes)? as u64;
    if taken == 0 {
        return Ok(None);
    }
    if bytes.pop_if(|byte| *byte == b'\n').is_none() {
        taken += reader.skip_until(b'\n')? as u64;
    }
    bytes.pop_if(|byte| *byte == b'\r');
    Ok(Some(taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(name: &str, content: &[u8]) -> Result<Plan, Failure> {
        let path = std::env::temp_dir().join(format!("trunkline-plan-{name}-{}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        let plan = Plan::of(&path);
        std::fs::remove_file(&path).unwrap();
        plan
    }

    #[test]
    fn lines_are_found_again_by_conversation() {
        let line = |conversation: &str, text: &str| {
            format!(r#"{{"conversation":"{conversation}","sender":"é","sent_at":1,"text":"{text}"}}"#)
        };
        let content =
            [line("b", "1"), line("a", "2"), String::new(), line("b", "3") + "\r", line("a", "👋")].join("\n");
        let plan = plan("found", content.as_bytes()).unwrap();
        let told: Vec<_> = plan
            .conversations
            .iter()
            .map(|lines| {
                let said = lines.places.iter().map(|&place| (place.line, plan.read(lines, place).unwrap().text));
                (lines.conversation.as_str(), said.collect::<Vec<_>>())
            })
            .collect();
        let said = |line, text: &str| (line, text.to_owned());
        assert_eq!(told, [("b", vec![said(1, "1"), said(4, "3")]), ("a", vec![said(2, "2"), said(5, "👋")])]);
        assert_eq!(plan.lines, 4);
        let other = Lines { conversation: "c".to_owned(), places: Vec::new() };
        assert!(plan.read(&other, plan.conversations[0].places[0]).unwrap_err().message().contains(":1 changed"));
    }

    #[test]
    fn bad_lines_are_counted_and_long_ones_are_passed_over() {
        let good = r#"{"conversation":"a","sender":"b","sent_at":1,"text":""}"#;
        let content = format!("{good}\n{}\nnonsense\n{good}\n", "x".repeat(3 * LINE_BYTES_MAX));
        let failure = plan("bad", content.as_bytes()).unwrap_err();
        assert_eq!(failure.code(), "bad_lines");
        assert!(failure.message().starts_with("2 of 4 lines"), "{}", failure.message());
        assert_eq!(plan("empty", b"").unwrap().lines, 0);
    }
}
