//! How messages look: lines of a given width, made of parts that each have a tone.

use trunkline_client::core::{Change, MembershipChange, UserId};

use super::names::Names;
use super::text::{cut, harmless, width, wrap};
use super::timeline::{Content, Said, Timeline, Unsent};
use crate::time::Clock;

/// What a part of a line is, which decides about its colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tone {
    Plain,
    /// Beside the matter.
    Quiet,
    /// This user's name.
    Own,
    /// Another's name; the number tells people apart.
    Other(u8),
    /// A message that all have read.
    Read,
    /// Something went wrong.
    Alert,
}

/// A line.
pub(super) type Row = Vec<(Tone, String)>;

/// How a timeline is looked at.
#[derive(Debug)]
pub(super) struct Look<'a> {
    pub columns: usize,
    pub names: &'a Names,
    pub clock: &'a Clock,
}

/// Columns that lines below the first are indented by.
const INDENT: usize = 6;
/// Below this many columns they are indented less.
const INDENT_COLUMNS_MIN: usize = 32;
const INDENT_SMALL: usize = 2;

/// The line above the first message.
pub(super) fn head(begins: bool, is_full: bool) -> Row {
    let text = match (begins, is_full) {
        (true, _) => "beginning of the conversation",
        (false, true) => "what is older: trunkline history",
        (false, false) => "loading…",
    };
    vec![(Tone::Quiet, format!("— {text} —"))]
}

/// A message, below a line with its day where that is another than of the message before.
pub(super) fn of_said(timeline: &Timeline, seq: u64, look: &Look<'_>) -> Vec<Row> {
    let Some(said) = timeline.said(seq) else { return Vec::new() };
    let day = look.clock.day(said.ts_ms);
    let mut rows = Vec::new();
    if timeline.before(seq).is_none_or(|before| look.clock.day(before.ts_ms) != day) {
        rows.push(vec![(Tone::Quiet, format!("— {day} —"))]);
    }
    let time = look.clock.hour_and_minute(said.ts_ms);
    match &said.content {
        Content::Text(text) => rows.extend(spoken(&time, said, text, mark(timeline, seq, said, look), look)),
        Content::Other => {
            let text = "(something that this version cannot show)";
            rows.extend(spoken(&time, said, text, None, look));
        }
        Content::Membership(change) => {
            let text = format!("{time} * {} {}", look.names.of(said.sender), deed(change, said.sender, look.names));
            let columns = look.columns.saturating_sub(indent(look));
            let lines = wrap(&text, look.columns, columns).into_iter().enumerate();
            rows.extend(lines.map(|(index, line)| vec![(Tone::Quiet, indented(index, &line, look))]));
        }
    }
    rows
}

/// How far a message of this user is.
fn mark(timeline: &Timeline, seq: u64, said: &Said, look: &Look<'_>) -> Option<(Tone, String)> {
    let me = look.names.me().filter(|me| *me == said.sender)?;
    let (delivered_seq, read_seq) = timeline.far();
    Some(match seq {
        seq if timeline.last_read(me) == Some(seq) => (Tone::Read, "✓✓ read".to_owned()),
        seq if seq <= read_seq => (Tone::Read, "✓✓".to_owned()),
        seq if seq <= delivered_seq => (Tone::Quiet, "✓✓".to_owned()),
        _ => (Tone::Quiet, "✓".to_owned()),
    })
}

/// A message of ours that is not stored.
pub(super) fn of_unsent(unsent: &Unsent, look: &Look<'_>) -> Vec<Row> {
    let (time, mark) = match &unsent.failed {
        None => ("  …  ", (Tone::Quiet, "waiting".to_owned())),
        Some(why) => ("  ✗  ", (Tone::Alert, format!("not sent: {why}"))),
    };
    let name = cut(look.names.mine(), look.columns / 3);
    lines((time, Tone::Own, &name), &harmless(&unsent.text), Some(mark), look)
}

fn spoken(time: &str, said: &Said, text: &str, mark: Option<(Tone, String)>, look: &Look<'_>) -> Vec<Row> {
    let name = cut(&look.names.of(said.sender), look.columns / 3);
    lines((time, tone_of(said.sender, look.names), &name), text, mark, look)
}

pub(super) fn tone_of(user: UserId, names: &Names) -> Tone {
    if names.is_me(user) { Tone::Own } else { Tone::Other((user.0 % 251) as u8) }
}

fn lines(
    (time, tone, name): (&str, Tone, &str),
    text: &str,
    mark: Option<(Tone, String)>,
    look: &Look<'_>,
) -> Vec<Row> {
    let head: Row = vec![(Tone::Quiet, format!("{time} ")), (tone, name.to_owned()), (Tone::Plain, ": ".to_owned())];
    let head_width: usize = head.iter().map(|(_, part)| width(part)).sum();
    let columns = look.columns.saturating_sub(indent(look));
    let first = look.columns.saturating_sub(head_width).min(columns);
    let mut rows: Vec<Row> = Vec::new();
    for (index, line) in wrap(text, first, columns).into_iter().enumerate() {
        let mut row = if index == 0 { head.clone() } else { Row::new() };
        row.push((Tone::Plain, indented(index, &line, look)));
        rows.push(row);
    }
    if let (Some((tone, mark)), Some(last)) = (mark, rows.last_mut()) {
        let used: usize = last.iter().map(|(_, part)| width(part)).sum();
        if used + 1 + width(&mark) <= look.columns {
            last.push((tone, format!(" {mark}")));
        } else {
            rows.push(vec![(tone, indented(1, &cut(&mark, columns), look))]);
        }
    }
    rows
}

fn indent(look: &Look<'_>) -> usize {
    if look.columns < INDENT_COLUMNS_MIN { INDENT_SMALL } else { INDENT }
}

fn indented(index: usize, line: &str, look: &Look<'_>) -> String {
    if index == 0 { line.to_owned() } else { " ".repeat(indent(look)) + line }
}

fn deed(change: &MembershipChange, by: UserId, names: &Names) -> String {
    let who: Vec<String> = change.users.iter().map(|user| names.of(*user)).collect();
    let who = who.join(", ");
    match change.change {
        Change::Created if who.is_empty() => "made the group".to_owned(),
        Change::Created => format!("made the group, with {who}"),
        Change::Added | Change::Admitted => format!("added {who}"),
        Change::Removed if change.users == [by] => "left".to_owned(),
        Change::Removed => format!("removed {who}"),
    }
}
