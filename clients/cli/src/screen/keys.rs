//! What each key does to the model.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use trunkline_client::core::ConversationId;

use super::input::Step;
use super::model::Model;
use super::order::{self, Order};
use super::wish::Wish;

/// What `/help` shows.
pub(super) const HELP: &[(&str, &str)] = &[
    ("Enter", "send"),
    ("Alt-Enter, Ctrl-J", "a new line"),
    ("Tab, Ctrl-N", "next conversation"),
    ("Shift-Tab, Ctrl-P", "conversation before"),
    ("PgUp, PgDn, ↑, ↓", "older, newer messages"),
    ("Esc", "the newest message"),
    ("Ctrl-A, E, W, U, K", "line start, end; delete word, line"),
    ("/open HANDLE", "talk to somebody"),
    ("/group \"TITLE\" WHO...", "make a group"),
    ("/quit, Ctrl-C", "leave"),
];

impl Model {
    /// A key was pressed.
    pub fn press(&mut self, key: KeyEvent) {
        if key.kind == KeyEventKind::Release {
            return;
        }
        self.note = None;
        let was_help = std::mem::take(&mut self.shows_help);
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        match key.code {
            KeyCode::Char('c') if control => self.wish(Wish::Quit),
            KeyCode::Char('d') if control && self.input.is_empty() => self.wish(Wish::Quit),
            KeyCode::Char('l') if control => self.wish(Wish::Redraw),
            KeyCode::Char('n') if control => self.look_beside(1),
            KeyCode::Char('p') if control => self.look_beside(-1),
            KeyCode::Tab => self.look_beside(1),
            KeyCode::BackTab => self.look_beside(-1),
            KeyCode::PageUp => self.scroll_up(self.pane_height().saturating_sub(1).max(1)),
            KeyCode::PageDown => self.scroll_down(self.pane_height().saturating_sub(1).max(1)),
            KeyCode::Esc if was_help => {}
            KeyCode::Esc => {
                if let Some(timeline) = self.opened_mut() {
                    timeline.scroll_to_end();
                    timeline.forget_failed();
                }
            }
            KeyCode::Enter if alt => self.insert("\n"),
            KeyCode::Char('j') if control => self.insert("\n"),
            KeyCode::Enter => self.enter(),
            KeyCode::Up if !self.input.text().contains('\n') => self.scroll_up(1),
            KeyCode::Down if !self.input.text().contains('\n') => self.scroll_down(1),
            code => self.edit(code, control, alt),
        }
    }

    /// A text was pasted: its lines stay lines.
    pub fn paste(&mut self, text: &str) {
        self.note = None;
        self.insert(text);
    }

    fn edit(&mut self, code: KeyCode, control: bool, alt: bool) {
        let input = &mut self.input;
        match code {
            KeyCode::Home => input.go(Step::LineStart),
            KeyCode::End => input.go(Step::LineEnd),
            KeyCode::Char('a') if control => input.go(Step::LineStart),
            KeyCode::Char('e') if control => input.go(Step::LineEnd),
            KeyCode::Char('w') if control => input.delete(Step::WordLeft),
            KeyCode::Char('u') if control => input.delete(Step::LineStart),
            KeyCode::Char('k') if control => input.delete(Step::LineEnd),
            KeyCode::Char('d') if control => input.delete(Step::Right),
            KeyCode::Char('h') if control => input.delete(Step::Left),
            KeyCode::Char('b') if alt => input.go(Step::WordLeft),
            KeyCode::Char('f') if alt => input.go(Step::WordRight),
            KeyCode::Left if control || alt => input.go(Step::WordLeft),
            KeyCode::Right if control || alt => input.go(Step::WordRight),
            KeyCode::Left => input.go(Step::Left),
            KeyCode::Right => input.go(Step::Right),
            KeyCode::Up => input.go(Step::LineUp),
            KeyCode::Down => input.go(Step::LineDown),
            KeyCode::Backspace if control || alt => input.delete(Step::WordLeft),
            KeyCode::Backspace => input.delete(Step::Left),
            KeyCode::Delete => input.delete(Step::Right),
            KeyCode::Char(c) if !control && !alt => self.insert(c.encode_utf8(&mut [0; 4])),
            _ => {}
        }
    }

    fn insert(&mut self, text: &str) {
        if !self.input.insert(text) {
            self.say("a message holds no more than that (message_too_large)", true);
            return;
        }
        if let Some(open) = self.open.filter(|_| !self.input.text().starts_with('/')) {
            self.wish(Wish::Typing(open));
        }
    }

    fn enter(&mut self) {
        if self.input.text().trim().is_empty() {
            return;
        }
        let order = match order::read(self.input.text()) {
            Ok(order) => order,
            Err(error) => return self.say(error, true),
        };
        match order {
            Order::Say(text) => match self.open {
                Some(open) => self.send(open, text),
                None => return self.say("open a conversation first: /open HANDLE", true),
            },
            Order::Open(target) => self.wish(Wish::Open(target)),
            Order::Group { title, members } => self.wish(Wish::Group(title, members)),
            Order::Help => self.shows_help = true,
            Order::Quit => self.wish(Wish::Quit),
        }
        self.input.take();
    }

    fn send(&mut self, open: ConversationId, text: String) {
        if let Some(timeline) = self.opened_mut() {
            timeline.scroll_to_end();
        }
        self.wish(Wish::Send(open, text));
    }

    fn scroll_up(&mut self, lines: usize) {
        self.scroll(|timeline, look, height| timeline.scroll_up(look, height, lines));
    }

    fn scroll_down(&mut self, lines: usize) {
        self.scroll(|timeline, look, _| timeline.scroll_down(look, lines));
    }
}
