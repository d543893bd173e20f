//! The text that is being written, and the place in it where the next character goes.

use trunkline_wire::limits::BODY_BYTES_MAX;
use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation as _};

use super::text::width;

/// A text under way. The cursor is always between two characters as they are seen.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Input {
    text: String,
    /// In bytes.
    cursor: usize,
}

/// Where the cursor goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Left,
    Right,
    WordLeft,
    WordRight,
    LineStart,
    LineEnd,
    LineUp,
    LineDown,
}

impl Input {
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// What is before the cursor.
    pub fn before(&self) -> &str {
        &self.text[..self.cursor]
    }

    /// Puts a text in; false: a message would not hold it. Of control characters only ends of lines and tabs are taken.
    pub fn insert(&mut self, text: &str) -> bool {
        let kept = |c: char| !c.is_control() || c == '\n' || c == '\t';
        let text: String = text.replace("\r\n", "\n").replace('\r', "\n").chars().filter(|&c| kept(c)).collect();
        if self.text.len() + text.len() > BODY_BYTES_MAX {
            return false;
        }
        self.text.insert_str(self.cursor, &text);
        // What was put in may join what follows.
        self.cursor = self.seam(self.cursor + text.len());
        true
    }

    /// Takes all of it.
    pub fn take(&mut self) -> String {
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }

    pub fn go(&mut self, step: Step) {
        self.cursor = self.target(step);
    }

    /// Deletes from the cursor to where a step would lead.
    pub fn delete(&mut self, step: Step) {
        let target = self.target(step);
        let (from, to) = (target.min(self.cursor), target.max(self.cursor));
        self.text.drain(from..to);
        self.cursor = self.seam(from);
    }

    fn target(&self, step: Step) -> usize {
        let (before, behind) = self.text.split_at(self.cursor);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line_end = behind.find('\n').map_or(self.text.len(), |at| self.cursor + at);
        match step {
            Step::Left => before.grapheme_indices(true).next_back().map_or(0, |(at, _)| at),
            Step::Right => self.cursor + behind.graphemes(true).next().map_or(0, str::len),
            Step::WordLeft => {
                let words = before.trim_end();
                words.rfind(char::is_whitespace).map_or(0, |at| self.seam(at + 1))
            }
            Step::WordRight => {
                let words = behind.trim_start();
                let start = self.text.len() - words.len();
                words.find(char::is_whitespace).map_or(self.text.len(), |at| start + at)
            }
            Step::LineStart => line_start,
            Step::LineEnd => line_end,
            Step::LineUp if line_start == 0 => self.cursor,
            Step::LineUp => {
                let upper = self.text[..line_start - 1].rfind('\n').map_or(0, |at| at + 1);
                column_in(&self.text, upper, width(&self.text[line_start..self.cursor]))
            }
            Step::LineDown if line_end == self.text.len() => self.cursor,
            Step::LineDown => column_in(&self.text, line_end + 1, width(&self.text[line_start..self.cursor])),
        }
    }

    /// The next place from here on that is between two characters.
    fn seam(&self, at: usize) -> usize {
        let at = (at..=self.text.len()).find(|&at| self.text.is_char_boundary(at)).unwrap_or(self.text.len());
        let mut cursor = GraphemeCursor::new(at, self.text.len(), true);
        if cursor.is_boundary(&self.text, 0).unwrap_or(true) {
            return at;
        }
        cursor.next_boundary(&self.text, 0).ok().flatten().unwrap_or(self.text.len())
    }
}

/// The place in the line that begins at `start` with so many columns before it.
fn column_in(text: &str, start: usize, columns: usize) -> usize {
    let mut used = 0;
    for (at, cluster) in text[start..].grapheme_indices(true) {
        if cluster == "\n" || used >= columns {
            return start + at;
        }
        used += width(cluster);
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Input {
        let mut input = Input::default();
        assert!(input.insert(text));
        input
    }

    #[test]
    fn steps_go_over_what_is_seen_as_one() {
        let mut input = typed("a👩‍👩‍👧e\u{301}");
        input.go(Step::Left);
        assert_eq!(input.before(), "a👩‍👩‍👧");
        input.delete(Step::Left);
        assert_eq!((input.text(), input.before()), ("ae\u{301}", "a"));
        input.delete(Step::Right);
        assert_eq!(input.text(), "a");
        input.delete(Step::Right);
        input.go(Step::LineStart);
        input.delete(Step::Left);
        assert_eq!((input.text(), input.before()), ("a", ""));
    }

    #[test]
    fn words_and_lines_are_deleted() {
        let mut input = typed("one two  three");
        input.delete(Step::WordLeft);
        assert_eq!(input.text(), "one two  ");
        input.delete(Step::WordLeft);
        assert_eq!(input.text(), "one ");
        let mut input = typed("first\nsecond line");
        input.go(Step::WordLeft);
        input.delete(Step::LineStart);
        assert_eq!((input.text(), input.before()), ("first\nline", "first\n"));
        input.delete(Step::LineEnd);
        assert_eq!(input.text(), "first\n");
        assert_eq!((input.take().as_str(), input.is_empty()), ("first\n", true));
    }

    #[test]
    fn lines_are_gone_through_by_column() {
        let mut input = typed("日本語 long\nab\nlast one");
        input.go(Step::LineUp);
        assert_eq!(input.before(), "日本語 long\nab");
        input.go(Step::LineUp);
        assert_eq!(input.before(), "日");
        input.go(Step::LineUp);
        assert_eq!(input.before(), "日", "there is no line above");
        input.go(Step::LineDown);
        input.go(Step::LineDown);
        assert_eq!(input.before(), "日本語 long\nab\nla");
        input.go(Step::LineDown);
        assert_eq!(input.before(), "日本語 long\nab\nla");
        input.go(Step::WordRight);
        assert_eq!(input.before(), "日本語 long\nab\nlast");
    }

    #[test]
    fn pasted_lines_stay_and_controls_do_not() {
        let mut input = typed("a\r\nb\rc\u{1b}[2J\td");
        assert_eq!(input.text(), "a\nb\nc[2J\td");
        assert!(!input.insert(&"x".repeat(BODY_BYTES_MAX)), "it would be too large");
        assert_eq!(input.text(), "a\nb\nc[2J\td");
    }

    #[test]
    fn a_mark_joins_what_is_before_it() {
        let mut input = typed("ab");
        input.go(Step::Left);
        assert!(input.insert("e"));
        input.go(Step::Right);
        assert!(input.insert("\u{301}"));
        assert_eq!(input.before(), "aeb\u{301}");
    }
}
