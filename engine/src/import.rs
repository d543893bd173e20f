//! `import`: what was said elsewhere, from a file of lines, into conversations of the server or of its folder.
//!
//! A line's number in its conversation and what it says make its message's id. So an import that was interrupted, at either
//! end, is taken up by running it again: lines that are there are compared and passed over, the others follow.

mod line;
mod plan;
mod progress;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use trunkline_cli::Failure;
use trunkline_edge::admin::Request;
use trunkline_edge::archive::{Checked, ImportCheck, ImportLines, ImportMembers, Imported, conversation_of};
use trunkline_edge::limits::IMPORT_LINES_MAX;
use trunkline_wire::limits::SEND_BYTES_MAX;
use trunkline_wire::message::ErrorCode;

use crate::identity::print_line;
use crate::reach::{Reach, connect};
use plan::{Lines, Place, Plan};
use progress::{Pace, Progress};

/// Conversations that are imported at the same time; each has one request under way.
const WORKERS_MAX: usize = 8;
/// Before lines that found no room come again.
const AGAIN: Duration = Duration::from_millis(20);

/// What is to be done.
#[derive(Debug)]
pub struct Order {
    /// The file.
    pub file: PathBuf,
    /// Most lines a second.
    pub speed: Option<u64>,
    /// Handles of those who are to see it.
    pub members: Vec<String>,
}

/// What became of a conversation.
#[derive(Serialize)]
struct Outcome<'a> {
    conversation: String,
    name: &'a str,
    lines: u64,
    new: u64,
}

/// Runs the command.
///
/// # Errors
/// Lines that are none or that conflict with what was imported: then nothing was written. What the server or the store
/// refused: then what was written counts.
pub fn run(data: &Path, order: &Order) -> Result<(), Failure> {
    let plan = Plan::of(&order.file)?;
    let mut reaches = reach(data, plan.conversations.len())?;
    let import = Import { plan: &plan, order, pace: Pace::of(order.speed) };
    let progress = Progress::of("compared", plan.lines);
    let there = import.each(&mut reaches, &progress, |reach, lines, _| import.compare(reach, lines, &progress))?;
    let known: u64 = there.iter().sum();
    progress.end();
    let count = plan.conversations.len();
    eprintln!("trunkline: {} lines of {count} conversations, of which {known} are there already", plan.lines);
    let progress = Progress::of("imported", plan.lines - known);
    import.each(&mut reaches, &progress, |reach, lines, index| {
        import.bring(reach, lines, there[index], &progress)?;
        import.admit(reach, lines)
    })?;
    progress.end();
    for (lines, there) in plan.conversations.iter().zip(there) {
        let (conversation, name) = (conversation_of(&lines.conversation).to_text(), lines.conversation.as_str());
        let count = lines.places.len() as u64;
        let outcome = Outcome { conversation, name, lines: count, new: count - there };
        print_line(&serde_json::to_string(&outcome).expect("a plain struct has a JSON form"));
    }
    Ok(())
}

/// Several ways to a server, one to a folder.
fn reach(data: &Path, conversations: usize) -> Result<Vec<Reach>, Failure> {
    let mut reaches = vec![Reach::open(data)?];
    while matches!(reaches[0], Reach::Server(_)) && reaches.len() < conversations.min(WORKERS_MAX) {
        let Some(client) = connect(data)? else { break };
        reaches.push(Reach::Server(client));
    }
    Ok(reaches)
}

struct Import<'a> {
    plan: &'a Plan,
    order: &'a Order,
    pace: Option<Pace>,
}

impl Import<'_> {
    /// Does something with each conversation, several at the same time, until one fails.
    fn each<T: Default + Clone + Send>(
        &self,
        reaches: &mut [Reach],
        progress: &Progress,
        deed: impl Fn(&mut Reach, &Lines, usize) -> Result<T, Failure> + Sync,
    ) -> Result<Vec<T>, Failure> {
        let conversations = &self.plan.conversations;
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let done = Mutex::new((vec![T::default(); conversations.len()], None));
        let work = |reach: &mut Reach| {
            while !failed.load(Ordering::Relaxed) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(lines) = conversations.get(index) else { return };
                let result = deed(reach, lines, index);
                let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                match result {
                    Ok(value) => done.0[index] = value,
                    Err(failure) => {
                        failed.store(true, Ordering::Relaxed);
                        done.1.get_or_insert(failure);
                    }
                }
            }
        };
        match reaches {
            // A folder answers on one thread.
            [only] => work(only),
            several => thread::scope(|scope| several.iter_mut().for_each(|reach| drop(scope.spawn(|| work(reach))))),
        }
        match done.into_inner().unwrap_or_else(PoisonError::into_inner) {
            (values, None) => Ok(values),
            (_, Some(failure)) => {
                progress.abandon();
                Err(failure)
            }
        }
    }

    /// How many of a conversation's lines are there already: these have to say what they said.
    fn compare(&self, reach: &mut Reach, lines: &Lines, progress: &Progress) -> Result<u64, Failure> {
        let conversation = conversation_of(&lines.conversation);
        let (mut from_seq, mut number, mut members) = (1, 0, self.order.members.clone());
        loop {
            let conversation_name = lines.conversation.clone();
            let members = std::mem::take(&mut members);
            let asked = ImportCheck { conversation: conversation_name, from_seq, members };
            let Checked { ids, next_seq } = reach.ask(&Request::ImportCheck(asked))?;
            for id in &ids {
                number += 1;
                let Some(&place) = lines.places.get(number as usize - 1) else {
                    return Err(self.shorter(lines));
                };
                if self.plan.read(lines, place)?.message_id(conversation, number).to_string() != *id {
                    return Err(self.conflict(lines, place, number));
                }
            }
            progress.add(ids.len() as u64);
            match next_seq {
                Some(next) => from_seq = next,
                None => return Ok(number),
            }
        }
    }

    fn conflict(&self, lines: &Lines, place: Place, number: u64) -> Failure {
        let text = format!(
            "{}: this is line {number} of {:?}, which was imported with another sender, time or text; what was imported \
             does not change: undo the change, or import under another name of the conversation",
            self.plan.name_of(place),
            lines.conversation
        );
        Failure::new(ErrorCode::ClientSeqConflict.name(), text)
    }

    fn shorter(&self, lines: &Lines) -> Failure {
        let text = format!(
            "{} has {} lines of {:?}, of which more were imported; what was imported stays: import a file that goes on \
             from there, or another name of the conversation",
            self.plan.name(),
            lines.places.len(),
            lines.conversation
        );
        Failure::new(ErrorCode::ClientSeqConflict.name(), text)
    }

    /// Imports the lines of a conversation behind those that are there.
    fn bring(&self, reach: &mut Reach, lines: &Lines, there: u64, progress: &Progress) -> Result<(), Failure> {
        let mut done = there as usize;
        while done < lines.places.len() {
            let asked = self.next_lines(lines, done)?;
            let count = asked.lines.len();
            if let Some(pace) = &self.pace {
                pace.wait(count);
            }
            let Imported { accepted, refusal, .. } = reach.ask(&Request::Import(asked)).map_err(|failure| {
                let text = format!(
                    "{}; {done} of {} lines of {:?} are imported, run this again for the others",
                    failure.message(),
                    lines.places.len(),
                    lines.conversation
                );
                Failure::new(failure.code(), text)
            })?;
            done += accepted as usize;
            progress.add(accepted);
            let is_short = (accepted as usize) < count;
            match refusal.as_deref() {
                _ if !is_short => {}
                Some("busy") => thread::sleep(AGAIN),
                Some("client_seq_conflict") => return Err(self.conflict(lines, lines.places[done], done as u64 + 1)),
                code => {
                    let code = code.unwrap_or("unconfirmed");
                    let name = self.plan.name_of(lines.places[done]);
                    return Err(Failure::new(code, format!("{name}: the server refuses this line: {code}")));
                }
            }
        }
        Ok(())
    }

    /// The lines of the next request.
    fn next_lines(&self, lines: &Lines, done: usize) -> Result<ImportLines, Failure> {
        let most = self.pace.as_ref().map_or(IMPORT_LINES_MAX, |pace| pace.lines_at_once().min(IMPORT_LINES_MAX));
        let (mut said, mut bytes) = (Vec::with_capacity(most), 0);
        for &place in lines.places[done..].iter().take(most) {
            let line = self.plan.read(lines, place)?;
            bytes += line.text.len();
            if bytes > SEND_BYTES_MAX && !said.is_empty() {
                break;
            }
            said.push(line);
        }
        Ok(ImportLines { conversation: lines.conversation.clone(), first: done as u64 + 1, lines: said })
    }

    fn admit(&self, reach: &mut Reach, lines: &Lines) -> Result<(), Failure> {
        if self.order.members.is_empty() {
            return Ok(());
        }
        let asked = ImportMembers { conversation: lines.conversation.clone(), handles: self.order.members.clone() };
        reach.ask::<Value>(&Request::ImportMembers(asked)).map(drop)
    }
}
