//! How the screen looks: the conversations on the left, the open one on the right, what is written below it, and a line
//! about the connection.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};
use trunkline_client::core::Summary;

use super::keys::HELP;
use super::model::Model;
use super::rows::{Row, Tone};
use super::text::{cut, fold, harmless, harmless_line, width};
use super::wish::Link;

/// Lines of what is written, at most.
const INPUT_LINES_MAX: usize = 6;
const PROMPT: &str = "> ";
/// From so many columns on, the list has a quarter of them.
const WIDE: u16 = 60;
/// Below so many there is no list.
const NARROW: u16 = 30;
const LIST_SMALL: u16 = 11;
const OTHERS: [Color; 6] =
    [Color::Green, Color::Magenta, Color::Yellow, Color::Blue, Color::LightRed, Color::LightCyan];

/// Where everything is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Areas {
    list: Rect,
    bar: Rect,
    title: Rect,
    pub messages: Rect,
    typing: Rect,
    input: Rect,
    status: Rect,
}

/// Divides a screen; what is written takes more lines as it grows.
pub(super) fn areas(area: Rect, model: &Model) -> Areas {
    let [body, status] = Layout::vertical([Constraint::Fill(1), Constraint::Length(1)]).areas(area);
    let list_columns = match area.width {
        columns if columns >= WIDE => (columns / 4).min(30),
        columns if columns >= NARROW => LIST_SMALL,
        _ => 0,
    };
    let columns = [list_columns, u16::from(list_columns > 0)].map(Constraint::Length);
    let [list, bar, right] = Layout::horizontal([columns[0], columns[1], Constraint::Fill(1)]).areas(body);
    let written = input_lines(model, right.width).len().min(INPUT_LINES_MAX).min((right.height / 3).max(1).into());
    let lines = [Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1), Constraint::Length(written as u16)];
    let [title, messages, typing, input] = Layout::vertical(lines).areas(right);
    Areas { list, bar, title, messages, typing, input, status }
}

/// Draws all of it. `now_ms`: on the session's clock. `colours`: whether there may be any.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, now_ms: u64, colours: bool) {
    let at = areas(frame.area(), model);
    let look = Theme { colours };
    let buffer = frame.buffer_mut();
    look.list(model, at.list, buffer);
    for y in at.bar.top()..at.bar.bottom() {
        put(buffer, Rect { y, height: 1, ..at.bar }, Line::styled("│", look.style(Tone::Quiet)));
    }
    put(buffer, at.title, Line::styled(title(model), Style::new().add_modifier(Modifier::BOLD)));
    look.messages(model, at.messages, buffer);
    put(buffer, at.typing, Line::styled(typing(model, at.typing.width), look.style(Tone::Quiet)));
    put(buffer, at.status, look.status(model, now_ms, at.status.width));
    let cursor = look.input(model, at.input, buffer);
    if model.shows_help {
        look.help(at.messages, buffer);
    }
    if let Some(cursor) = cursor {
        frame.set_cursor_position(cursor);
    }
}

fn put(buffer: &mut Buffer, area: Rect, line: Line<'_>) {
    line.render(area.intersection(buffer.area), buffer);
}

fn title(model: &Model) -> String {
    let Some(summary) = model.open.and_then(|open| model.summary(open)) else {
        return if model.open.is_some() { String::new() } else { "/open HANDLE begins a conversation".to_owned() };
    };
    let name = model.names.of_conversation(summary);
    if summary.is_member() { name } else { format!("{name} (you left)") }
}

fn typing(model: &Model, columns: u16) -> String {
    let below = model.opened().map_or(0, |(_, timeline)| timeline.below());
    let names = model.typing();
    let text = match (&names[..], below) {
        ([], 0) => String::new(),
        ([], below) => format!("↓ {below} newer"),
        ([one], _) => format!("{one} is typing…"),
        ([one, other], _) => format!("{one} and {other} are typing…"),
        (several, _) => format!("{} people are typing…", several.len()),
    };
    cut(&text, columns.into())
}

fn input_lines(model: &Model, columns: u16) -> Vec<String> {
    fold(&harmless(model.input.text()), usize::from(columns).saturating_sub(PROMPT.len() + 1))
}

/// Colours, or none.
struct Theme {
    colours: bool,
}

impl Theme {
    fn style(&self, tone: Tone) -> Style {
        let style = Style::new();
        let style = match tone {
            Tone::Plain => style,
            Tone::Quiet => style.add_modifier(Modifier::DIM),
            Tone::Own | Tone::Other(_) | Tone::Alert => style.add_modifier(Modifier::BOLD),
            Tone::Read => style,
        };
        match tone {
            _ if !self.colours => style,
            Tone::Own | Tone::Read => style.fg(Color::Cyan),
            Tone::Other(number) => style.fg(OTHERS[usize::from(number) % OTHERS.len()]),
            Tone::Alert => style.fg(Color::Red),
            Tone::Plain | Tone::Quiet => style,
        }
    }

    fn line(&self, row: Row) -> Line<'static> {
        row.into_iter().map(|(tone, text)| Span::styled(text, self.style(tone))).collect()
    }

    /// The conversations around the open one.
    fn list(&self, model: &Model, area: Rect, buffer: &mut Buffer) {
        let open = model.listed().position(|summary| model.open == Some(summary.conversation)).unwrap_or(0);
        let height = usize::from(area.height).max(1);
        let first = open.saturating_sub(height - 1);
        for (y, summary) in (area.top()..area.bottom()).zip(model.listed().skip(first)) {
            let line = self.listed(model, summary, area.width.into());
            put(buffer, Rect { y, height: 1, ..area }, line);
        }
    }

    fn listed(&self, model: &Model, summary: &Summary, columns: usize) -> Line<'static> {
        let unread = match model.unread(summary) {
            0 => String::new(),
            unread @ 1..=999 => unread.to_string(),
            _ => "999+".to_owned(),
        };
        let is_open = model.open == Some(summary.conversation);
        let room = columns.saturating_sub(1 + unread.len() + usize::from(!unread.is_empty()));
        let name = cut(&model.names.of_conversation(summary), room);
        let gap = columns.saturating_sub(1 + width(&name) + unread.len());
        let tone = if unread.is_empty() && !is_open { Tone::Quiet } else { Tone::Plain };
        let mut style = self.style(tone);
        if is_open {
            style = style.add_modifier(Modifier::REVERSED);
        } else if !unread.is_empty() {
            style = style.add_modifier(Modifier::BOLD);
        }
        let mark = if is_open { "▸" } else { " " };
        Line::styled(format!("{mark}{name}{}{unread}", " ".repeat(gap)), style)
    }

    /// The newest at the bottom.
    fn messages(&self, model: &Model, area: Rect, buffer: &mut Buffer) {
        let Some((_, timeline)) = model.opened() else { return };
        let rows = timeline.window(&model.look(), area.height.into()).rows;
        let first = area.bottom().saturating_sub(rows.len() as u16).max(area.top());
        for (y, row) in (first..area.bottom()).zip(rows) {
            put(buffer, Rect { y, height: 1, ..area }, self.line(row));
        }
    }

    /// What is written, around the cursor; says where that is.
    fn input(&self, model: &Model, area: Rect, buffer: &mut Buffer) -> Option<Position> {
        let before = fold(&harmless(model.input.before()), usize::from(area.width).saturating_sub(PROMPT.len() + 1));
        let row = before.len() - 1;
        let first = (row + 1).saturating_sub(area.height.into());
        let lines = input_lines(model, area.width);
        for (index, (y, line)) in (area.top()..area.bottom()).zip(lines.into_iter().skip(first)).enumerate() {
            let prompt = if first + index == 0 { PROMPT } else { "  " };
            put(buffer, Rect { y, height: 1, ..area }, Line::from(format!("{prompt}{line}")));
        }
        let column = PROMPT.len() + before.last().map_or(0, |line| width(line));
        let is_seen = area.height > 0 && column < area.width.into();
        is_seen.then(|| Position { x: area.x + column as u16, y: area.y + (row - first) as u16 })
    }

    fn status(&self, model: &Model, now_ms: u64, columns: u16) -> Line<'static> {
        let in_s = |at_ms: u64| at_ms.saturating_sub(now_ms).div_ceil(1_000);
        let (text, is_bad) = match (&model.link, &model.note) {
            (_, Some(note)) => (note.text.clone(), note.is_bad),
            (Link::Connecting, None) => ("connecting…".to_owned(), false),
            (Link::Up, None) => (format!("connected as {} · /help", model.names.mine()), false),
            (Link::Draining { retry_at_ms }, None) => {
                (format!("the server is draining; back in {} s", in_s(*retry_at_ms)), true)
            }
            (Link::Down { retry_at_ms, why }, None) => {
                (format!("reconnecting in {} s: {why}", in_s(*retry_at_ms)), true)
            }
        };
        let style = if is_bad { self.style(Tone::Alert) } else { self.style(Tone::Quiet) };
        Line::styled(cut(&harmless_line(&text), columns.into()), style)
    }

    fn help(&self, area: Rect, buffer: &mut Buffer) {
        let height = area.height.min(HELP.len() as u16);
        let area = Rect { y: area.bottom() - height, height, ..area };
        Clear.render(area, buffer);
        let keys = HELP.iter().map(|(key, _)| width(key)).max().unwrap_or(0);
        for (y, (key, deed)) in (area.top()..area.bottom()).zip(HELP) {
            let text = format!("{key}{} {deed}", " ".repeat(keys - width(key)));
            put(buffer, Rect { y, height: 1, ..area }, Line::from(cut(&text, area.width.into())));
        }
    }
}
