//! `export`: everything that was said, as lines that can be imported, conversation by conversation in the order of seq.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;

use serde::Serialize;
use trunkline_cli::{Failure, time};
use trunkline_edge::admin::Request;
use trunkline_edge::archive::{Conversations, ExportConversations, ExportRows, Exported, Said};

use crate::reach::Reach;

/// As `import` reads it.
#[derive(Serialize)]
struct Line<'a> {
    conversation: &'a str,
    sender: &'a str,
    sent_at: String,
    text: &'a str,
}

/// Runs the command.
///
/// # Errors
/// What the server or the store says, or that stdout takes no more.
pub fn run(data: &Path) -> Result<(), Failure> {
    let mut reach = Reach::open(data)?;
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut after = None;
    loop {
        let asked = ExportConversations { after: after.take() };
        let Conversations { conversations, more } = reach.ask(&Request::ExportConversations(asked))?;
        for (id, name) in &conversations {
            if !export(&mut reach, &mut out, id, name)? {
                return Ok(());
            }
        }
        match conversations.last() {
            Some((id, _)) if more => after = Some(id.clone()),
            _ => break,
        }
    }
    written(out.flush()).map(drop)
}

/// One conversation; false: nobody reads any more.
fn export(reach: &mut Reach, out: &mut impl Write, id: &str, name: &str) -> Result<bool, Failure> {
    let mut from_seq = 1;
    loop {
        let asked = ExportRows { conversation: id.to_owned(), from_seq };
        let Exported { lines, next_seq } = reach.ask(&Request::ExportRows(asked))?;
        for Said { sender, sent_at_ms, text } in &lines {
            let line = Line { conversation: name, sender, sent_at: time::rfc3339(*sent_at_ms), text };
            let mut bytes = serde_json::to_vec(&line).expect("a plain struct has a JSON form");
            bytes.push(b'\n');
            if !written(out.write_all(&bytes))? {
                return Ok(false);
            }
        }
        match next_seq {
            Some(next) => from_seq = next,
            None => return Ok(true),
        }
    }
}

/// Whoever read this may have seen enough.
fn written(result: io::Result<()>) -> Result<bool, Failure> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new("stdout", format!("cannot write to stdout: {error}"))),
    }
}
