//! Texts of others on a terminal: what could disturb it is taken out, and lines are broken by the width they are shown with.

use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

use crate::limits::CLUSTER_CHARS_MAX;

/// What stands for something that is not shown.
const NOT_SHOWN: char = char::REPLACEMENT_CHARACTER;
const TAB: &str = "    ";

/// A text that does nothing to a terminal but be seen, in lines. Control characters and what changes the direction of the
/// text around it are replaced; what is not seen is left out; a character carries only so many marks.
pub(super) fn harmless(text: &str) -> String {
    let mut seen = String::with_capacity(text.len());
    let replaced: String = text.replace("\r\n", "\n").chars().filter_map(replacement).collect();
    for cluster in replaced.graphemes(true) {
        match cluster {
            "\n" => seen.push('\n'),
            "\t" => seen.push_str(TAB),
            cluster if cluster.width() == 0 => {}
            cluster => seen.extend(cluster.chars().take(CLUSTER_CHARS_MAX)),
        }
    }
    seen
}

/// As [`harmless`], in one line.
pub(super) fn harmless_line(text: &str) -> String {
    harmless(text).replace('\n', " ")
}

fn replacement(c: char) -> Option<char> {
    match c {
        '\n' | '\t' => Some(c),
        '\u{2028}' | '\u{2029}' | '\r' => Some('\n'),
        // Marks of direction that concern nothing but their place.
        '\u{200e}' | '\u{200f}' | '\u{061c}' => None,
        // Embeddings, overrides and isolates; annotations; fillers that terminals disagree about.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' => Some(NOT_SHOWN),
        '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' => Some(NOT_SHOWN),
        c if c.is_control() => Some(NOT_SHOWN),
        c => Some(c),
    }
}

/// What a text takes on a line.
pub(super) fn width(text: &str) -> usize {
    text.graphemes(true).map(|cluster| cluster.width()).sum()
}

/// As much of a text as goes on a line, with `…` where that is not all.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let fits = |cluster: &&str| {
        let width = cluster.width();
        let fits = width <= left;
        left = if fits { left - width } else { 0 };
        fits
    };
    let head: String = text.graphemes(true).take_while(fits).collect();
    if columns == 0 { String::new() } else { head + "…" }
}

/// Lines of at most so many columns, broken at spaces where there are any. `first`: columns of the first line.
pub(super) fn wrap(text: &str, first: usize, columns: usize) -> Vec<String> {
    let columns = columns.max(2);
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let mut room = if lines.is_empty() { first.clamp(2, columns) } else { columns };
        let mut shown = String::new();
        let mut used = 0;
        for word in line.split_inclusive(' ') {
            let bare = word.trim_end_matches(' ');
            if used > 0 && used + width(bare) > room {
                lines.push(std::mem::take(&mut shown));
                (used, room) = (0, columns);
            }
            for cluster in word.graphemes(true) {
                let width = cluster.width();
                if used + width > room {
                    // A space at the end of a line needs no room.
                    if cluster == " " {
                        continue;
                    }
                    lines.push(std::mem::take(&mut shown));
                    (used, room) = (0, columns);
                }
                shown.push_str(cluster);
                used += width;
            }
        }
        lines.push(shown);
    }
    lines
}

/// Lines of at most so many columns, broken where they end: more text changes nothing of what is before it.
pub(super) fn fold(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(2);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for cluster in text.graphemes(true) {
        let width = cluster.width();
        if cluster == "\n" || used + width > columns {
            lines.push(String::new());
            used = 0;
        }
        if cluster != "\n"
            && let Some(line) = lines.last_mut()
        {
            line.push_str(cluster);
            used += width;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_disturb_a_terminal_is_not_there() {
        assert_eq!(harmless("a\u{1b}[2Jb\u{9b}1mc\u{7}\u{0}"), "a\u{fffd}[2Jb\u{fffd}1mc\u{fffd}\u{fffd}");
        assert_eq!(harmless("\u{202e}abc\u{2066}\u{200f}d"), "\u{fffd}abc\u{fffd}d");
        assert_eq!(harmless("one\r\ntwo\rthree\u{2028}four\tx"), "one\ntwo\nthree\nfour    x");
        assert_eq!(harmless("\u{200b}a\u{200b}\u{feff}b"), "ab");
        assert_eq!(harmless_line("Our\n\u{1b}]0;team\u{7}"), "Our \u{fffd}]0;team\u{fffd}");
    }

    #[test]
    fn a_character_carries_so_many_marks_and_no_more() {
        let stacked = format!("x{}y", "\u{301}".repeat(4_000));
        let seen = harmless(&stacked);
        assert_eq!((seen.chars().count(), width(&seen)), (CLUSTER_CHARS_MAX + 1, 2));
        assert_eq!(harmless(&"\u{200b}".repeat(4_000)), "");
        let family = "👩🏽‍👩🏽‍👧🏽‍👦🏽";
        assert_eq!(harmless(family), family);
    }

    #[test]
    fn lines_are_broken_by_what_is_seen() {
        assert_eq!(wrap("one two three", 7, 9), ["one two", "three"]);
        assert_eq!(wrap("日本語テキスト", 7, 7), ["日本語", "テキス", "ト"]);
        assert_eq!(wrap("ab👩‍👩‍👧cd", 4, 4), ["ab👩‍👩‍👧", "cd"]);
        assert_eq!(wrap("", 5, 5), [""]);
        assert_eq!(wrap("a\n\nb", 5, 5), ["a", "", "b"]);
        let long = wrap(&"x".repeat(4_000), 10, 40);
        assert!(long.iter().all(|line| width(line) <= 40) && long[0].len() == 10);
        assert_eq!(long.concat().len(), 4_000);
    }

    #[test]
    fn nothing_is_lost_but_spaces_at_breaks() {
        let text = "the quick  brown fox jumps\nover 日本 the lazy dog ".repeat(20);
        for columns in 2..30 {
            let lines = wrap(&text, columns / 2, columns);
            assert!(lines.iter().all(|line| width(line) <= columns), "{columns}");
            let bare = |text: &str| text.replace([' ', '\n'], "");
            assert_eq!(bare(&lines.concat()), bare(&text));
        }
    }

    #[test]
    fn what_does_not_fit_is_cut_and_said_to_be() {
        assert_eq!(cut("alice", 5), "alice");
        assert_eq!(cut("alice", 4), "ali…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("alice", 0), "");
    }
}
