//! One line of a file to be imported.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use trunkline_cli::time;
use trunkline_edge::archive::{Said, check_conversation};

/// What a line says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    conversation: String,
    sender: String,
    #[serde(deserialize_with = "sent_at")]
    sent_at: u64,
    text: String,
}

/// Reads a line: the name of its conversation, and what was said there.
///
/// # Errors
/// A sentence about what is wrong with it.
pub(super) fn parse(bytes: &[u8]) -> Result<(String, Said), String> {
    let Line { conversation, sender, sent_at, text } =
        serde_json::from_slice(bytes).map_err(|error| describe(&error))?;
    let said = Said { sender, sent_at_ms: sent_at, text };
    check_conversation(&conversation).and_then(|()| said.check()).map_err(|error| error.to_string())?;
    Ok((conversation, said))
}

/// The line is known, so what JSON says of lines is left out; the column stays.
fn describe(error: &serde_json::Error) -> String {
    let (text, column) = (error.to_string(), error.column());
    let at = format!(" at line {} column {column}", error.line());
    match text.strip_suffix(&at) {
        Some(reason) if column > 0 => format!("{reason}, at column {column}"),
        Some(reason) => reason.to_owned(),
        None => text,
    }
}

fn sent_at<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(SentAt)
}

/// A time as RFC 3339 has it, or a whole number.
struct SentAt;

impl Visitor<'_> for SentAt {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time as 2019-05-04T12:30:00Z, or a whole number of seconds or milliseconds since 1970")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        Ok(time::of_number(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        Err(E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        time::of_rfc3339(text).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_taken_as_they_are() {
        let line = r##"{"text":"","sent_at":"2019-05-04T14:30:00.5+02:00","sender":" Zoë ","conversation":"#a"}"##;
        let said = Said { sender: " Zoë ".to_owned(), sent_at_ms: 1_556_973_000_500, text: String::new() };
        assert_eq!(parse(line.as_bytes()), Ok(("#a".to_owned(), said)));
        for (sent_at, ms) in [("1556973000", 1_556_973_000_000), ("1556973000123", 1_556_973_000_123)] {
            let line = format!(r#"{{"conversation":"a","sender":"b","sent_at":{sent_at},"text":"\u0000\n"}}"#);
            let (_, said) = parse(line.as_bytes()).unwrap();
            assert_eq!((said.sent_at_ms, said.text.as_str()), (ms, "\0\n"));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let long = format!(r#"{{"conversation":"a","sender":"b","sent_at":1,"text":"{}"}}"#, "x".repeat(61_441));
        for (line, reason) in [
            ("nonsense", "expected ident, at column 2"),
            ("[]", "invalid length 0"),
            (r#"{"conversation":"a","sender":"b","sent_at":1}"#, "missing field `text`"),
            (r#"{"conversation":"a","sender":"b","sent_at":1,"text":"c","n":1}"#, "unknown field `n`"),
            (r#"{"conversation":"a","sender":"b","sent_at":1,"text":null}"#, "invalid type: null, expected a string"),
            (r#"{"conversation":"a","sender":"b","sent_at":1,"text":"\ud800"}"#, "at column"),
            (r#"{"conversation":"","sender":"b","sent_at":1,"text":"c"}"#, "`conversation` has 1 to 128 bytes"),
            (r#"{"conversation":"a","sender":"b\n","sent_at":1,"text":"c"}"#, "`sender` has 1 to 256 bytes"),
            (r#"{"conversation":"a","sender":"b","sent_at":0,"text":"c"}"#, "`sent_at` lies between"),
            (r#"{"conversation":"a","sender":"b","sent_at":-1,"text":"c"}"#, "invalid value: integer `-1`"),
            (r#"{"conversation":"a","sender":"b","sent_at":1.5,"text":"c"}"#, "invalid type: floating point `1.5`"),
            (r#"{"conversation":"a","sender":"b","sent_at":"noon","text":"c"}"#, "a time as 2019-05-04T12:30:00Z"),
            (r#"{"conversation":"a","sender":"b","sent_at":99999999999999999,"text":"c"}"#, "the end of 9999"),
            (&long, "`text` has at most 61440 bytes"),
        ] {
            let said = parse(line.as_bytes()).unwrap_err();
            assert!(said.contains(reason), "{line}: {said}");
        }
        assert!(parse(b"{\"conversation\":\"\xff\"}").is_err());
    }
}
