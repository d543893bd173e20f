//! Owns the grammar of an HTTP/1.1 head, request or response: bytes in any segments become lines and fields.

use alloc::vec::Vec;

use super::limits::HandshakeLimits;
use crate::violation::Violation;

/// One line of a head (RFC 9112 section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadLine<'a> {
    /// The request line or the status line.
    Start(&'a [u8]),
    /// A header: its name, which is a token, and its value without the white space around it.
    Field(&'a [u8], &'a [u8]),
    /// The empty line behind the last header.
    End,
}

/// Cuts a head into lines. Each byte is looked for a line feed once, whatever the segments; only the current line is
/// kept.
#[derive(Debug)]
pub(super) struct HeadReader {
    limits: HandshakeLimits,
    line: Vec<u8>,
    bytes: usize,
    /// Whole lines so far, the one that was handed out last included.
    lines: usize,
    /// Whether `line` was handed out.
    handed_out: bool,
}

impl HeadReader {
    pub(super) const fn new(limits: HandshakeLimits) -> Self {
        Self { limits, line: Vec::new(), bytes: 0, lines: 0, handed_out: false }
    }

    /// Takes the next line off `input`; `None` if it goes on in the next call.
    pub(super) fn next_line(&mut self, input: &mut &[u8]) -> Result<Option<HeadLine<'_>>, Violation> {
        if self.handed_out {
            self.line.clear();
            self.handed_out = false;
        }
        let feed = input.iter().position(|byte| *byte == b'\n');
        let piece = input.split_off(..feed.map_or(input.len(), |feed| feed + 1)).unwrap_or_default();
        self.bytes += piece.len();
        if self.bytes > self.limits.bytes_max as usize {
            return Err(Violation::HandshakeTooLong);
        }
        self.line.extend_from_slice(piece);
        if feed.is_none() {
            return Ok(None);
        }
        self.handed_out = true;
        self.lines += 1;
        let line = self.line.strip_suffix(b"\r\n").ok_or(Violation::BareLineFeed)?;
        match (self.lines, line) {
            (1, line) => Ok(Some(HeadLine::Start(line))),
            (_, []) => Ok(Some(HeadLine::End)),
            (lines, _) if lines > self.limits.headers_max as usize + 1 => Err(Violation::TooManyHeaders),
            (_, line) => parse_field(line).map(Some),
        }
    }
}

/// Parses `name: value` (RFC 9112 section 5).
fn parse_field(line: &[u8]) -> Result<HeadLine<'_>, Violation> {
    if matches!(line, [b' ' | b'\t', ..]) {
        return Err(Violation::FoldedHeader);
    }
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Violation::MalformedHeader)?;
    let (name, value) = line.split_at(colon);
    let value = trim(value.get(1..).unwrap_or_default());
    let visible = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    if !is_token(name) || !value.iter().all(visible) {
        return Err(Violation::MalformedHeader);
    }
    Ok(HeadLine::Field(name, value))
}

/// Whether the bytes are a token (RFC 9110 section 5.6.2).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(token)
}

/// The elements of a comma-separated list, empty ones left out (RFC 9110 section 5.6.1).
pub(super) fn list_elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// Whether a comma-separated list has the token, in any case.
pub(super) fn list_has(value: &[u8], token: &str) -> bool {
    list_elements(value).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
}

/// Fills a slot that may be filled once.
pub(super) fn set_once<T>(slot: &mut Option<T>, value: T) -> Result<(), Violation> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Violation::DuplicateHeader),
    }
}

/// Without the spaces and tabs around (RFC 9110 section 5.6.3).
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_split_and_trimmed() {
        assert_eq!(parse_field(b"Host: \t a:80 "), Ok(HeadLine::Field(b"Host", b"a:80")));
        assert_eq!(parse_field(b"X:"), Ok(HeadLine::Field(b"X", b"")));
        assert_eq!(parse_field(b"X: \xe4"), Ok(HeadLine::Field(b"X", b"\xe4")));
        assert_eq!(parse_field(b" folded: x"), Err(Violation::FoldedHeader));
        for line in [b"no colon".as_slice(), b": x", b"a b: x", b"a : x", b"a: \r x", b"a: \0", b"a: \x7f", b"\xe4: x"]
        {
            assert_eq!(parse_field(line), Err(Violation::MalformedHeader), "{line:?}");
        }
    }

    #[test]
    fn lists_ignore_case_white_space_and_empty_elements() {
        assert!(list_has(b"keep-alive ,\t UPGRADE,", "upgrade"));
        assert!(!list_has(b"upgrades, up grade", "upgrade"));
        assert!(list_elements(b", ,a,, b").eq([b"a", b"b"]));
    }

    #[test]
    fn lines_need_a_carriage_return_and_stay_within_the_limits() {
        let read = |text: &str, limits| {
            let (mut reader, mut input) = (HeadReader::new(limits), text.as_bytes());
            while let Some(line) = reader.next_line(&mut input)? {
                if line == HeadLine::End {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let limits = HandshakeLimits { bytes_max: 14, headers_max: 2 };
        assert_eq!(read("x\r\na:b\r\nc:d\r\n", limits), Ok(false));
        assert_eq!(read("x\r\na:b\r\nc:\r\n\r\n", limits), Ok(true));
        assert_eq!(read("x\r\na:b\r\nc:d\r\n\r\n", limits), Err(Violation::HandshakeTooLong));
        assert_eq!(read("\r\na:\r\nc:\r\ne:\r\n", limits), Err(Violation::TooManyHeaders));
        assert_eq!(read("x\na:\r\n", limits), Err(Violation::BareLineFeed));
    }
}
