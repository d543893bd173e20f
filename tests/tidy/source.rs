//! As much of Rust's grammar as the checks need: which characters are code, which are comments, and words of names.

/// A source taken apart. Both texts have the lines of the source, with blanks where the other one speaks; what string
/// and character literals hold is in neither.
pub struct Source {
    /// Code without comments and literals.
    pub code: String,
    /// Comments with their slashes.
    pub comments: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Code,
    Comment,
    Literal,
}

impl Source {
    /// Takes `text` apart.
    pub fn parse(text: &str) -> Source {
        let chars: Vec<char> = text.chars().collect();
        let mut source = Source { code: String::new(), comments: String::new() };
        let mut at = 0;
        while at < chars.len() {
            let (part, len) = token(&chars, at);
            for &c in &chars[at..at + len] {
                let keep = |wanted| if c == '\n' || part == wanted { c } else { ' ' };
                source.code.push(keep(Part::Code));
                source.comments.push(keep(Part::Comment));
            }
            at += len;
        }
        source
    }
}

/// What begins at `at`, and its length in characters, at least 1.
fn token(chars: &[char], at: usize) -> (Part, usize) {
    let rest = &chars[at..];
    let follows_word = at > 0 && is_word(chars[at - 1]);
    match rest {
        ['/', '/', ..] => (Part::Comment, until(rest, |tail| tail[0] == '\n')),
        ['/', '*', ..] => (Part::Comment, block_comment_len(rest)),
        ['"', ..] => (Part::Literal, quoted_len(rest, '"')),
        ['\'', '\\', ..] => (Part::Literal, quoted_len(rest, '\'')),
        ['\'', _, '\'', ..] => (Part::Literal, 3),
        ['r', ..] if !follows_word => raw_string_len(rest, 1).map_or((Part::Code, 1), |len| (Part::Literal, len)),
        ['b' | 'c', 'r', ..] if !follows_word => {
            raw_string_len(rest, 2).map_or((Part::Code, 1), |len| (Part::Literal, len))
        }
        _ => (Part::Code, 1),
    }
}

fn until(rest: &[char], ends: impl Fn(&[char]) -> bool) -> usize {
    (0..rest.len()).find(|&len| ends(&rest[len..])).unwrap_or(rest.len())
}

fn block_comment_len(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted_len(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// Length of a raw string whose hashes or quote stand at `start`; a raw identifier has none.
fn raw_string_len(rest: &[char], start: usize) -> Option<usize> {
    let hashes = until(&rest[start..], |tail| tail[0] != '#');
    let open = start + hashes;
    if rest.get(open) != Some(&'"') {
        return None;
    }
    let closes = |tail: &[char]| tail[0] == '"' && tail.iter().skip(1).take_while(|&&c| c == '#').count() >= hashes;
    Some((open + 1 + until(&rest[open + 1..], closes) + 1 + hashes).min(rest.len()))
}

/// Whether `c` may be part of a name.
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The words of a text, each with its line, counted from 1.
pub fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .flat_map(|(index, line)| line.split(|c| !is_word(c)).filter(|w| !w.is_empty()).map(move |w| (index + 1, w)))
}

/// Whether `word` stands in `text` with nothing of a name before or behind it.
pub fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let behind = text[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !behind.is_some_and(is_word)
    })
}

/// The parts of a name in lower case: `RoomId`, `room_id` and `ROOM_ID` are all room, id.
pub fn parts_of_name(name: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for piece in name.split('_').filter(|piece| !piece.is_empty()) {
        let chars: Vec<char> = piece.chars().collect();
        let mut start = 0;
        for at in 1..chars.len() {
            let next_is_lower = chars.get(at + 1).is_some_and(|c| c.is_lowercase());
            if chars[at].is_uppercase() && (!chars[at - 1].is_uppercase() || next_is_lower) {
                parts.push(chars[start..at].iter().collect::<String>().to_lowercase());
                start = at;
            }
        }
        parts.push(chars[start..].iter().collect::<String>().to_lowercase());
    }
    parts
}

#[test]
fn code_and_comments_are_told_apart() {
    let text = r##"let a = "// no"; // yes "x" unsafe
let b = '"'; let c: &'static str = r#"un"safe"#; /* one /* two */ still */ let r#type = b"\"q"; let d = '\'';"##;
    let source = Source::parse(text);
    assert_eq!(source.comments.trim_end().lines().count(), 2);
    assert!(source.comments.contains("// yes \"x\" unsafe") && source.comments.contains("/* one /* two */ still */"));
    for word in ["no", "yes", "unsafe", "un", "safe", "still", "q"] {
        assert!(!has_word(&source.code, word), "{word} in {}", source.code);
    }
    for word in ["a", "b", "c", "d", "static", "str", "type"] {
        assert!(has_word(&source.code, word), "{word} not in {}", source.code);
    }
}

#[test]
fn names_fall_into_their_parts() {
    assert_eq!(parts_of_name("RoomId"), ["room", "id"]);
    assert_eq!(parts_of_name("ROOM_ID"), ["room", "id"]);
    assert_eq!(parts_of_name("HTTPServer2"), ["http", "server2"]);
}
