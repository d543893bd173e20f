//! Each law of RFC 6455 about frames, broken once, gives its own violation and close code.
//!
//! Set-up: a table of streams that break one law each. Claim: the violation is the table's, in one piece and byte by
//! byte; what came before is handed out, nothing after; and no violation about frames is missing from the table.

use crate::streams::{Event, receive};
use trunkline_wire::violation::Violation;
use trunkline_wire::websocket::{FrameLimits, Opcode, Role, encode_frame, encode_header};

const LIMITS: FrameLimits =
    FrameLimits { frame_bytes_max: 1_000, message_bytes_max: 1_500, fragments_max: 3, text_accepted: true };

/// Section, stream of a server, violation, close code.
type Law = (&'static str, Vec<u8>, Violation, u16);

/// Pieces of a stream in a row.
fn row(pieces: &[&[u8]]) -> Vec<u8> {
    pieces.concat()
}

/// The header of a frame of `len` bytes, and as many letters.
fn letters(fin: bool, opcode: Opcode, len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    encode_header(fin, opcode, len, None, &mut out);
    out.resize(out.len() + len, b'x');
    out
}

fn headers() -> Vec<Law> {
    vec![
        ("5.1: a client gets no masked frame", row(&[&[0x82, 0x81, 1, 2, 3, 4, 5]]), Violation::MaskedFrame, 1002),
        ("5.1: not even an empty one", row(&[&[0x82, 0x80, 1, 2, 3, 4]]), Violation::MaskedFrame, 1002),
        ("5.2: RSV1 without permessage-deflate", row(&[&[0xc2, 0]]), Violation::ReservedBits, 1002),
        ("5.2: RSV2", row(&[&[0xa2, 0]]), Violation::ReservedBits, 1002),
        ("5.2: RSV3", row(&[&[0x92, 0]]), Violation::ReservedBits, 1002),
        ("5.2: RSV1 on a continuation", row(&[&[0x02, 0, 0xc0, 0]]), Violation::ReservedBits, 1002),
        ("5.2: RSV1 on a ping", row(&[&[0xc9, 0]]), Violation::ReservedBits, 1002),
        ("5.2: opcode 3", row(&[&[0x83, 0]]), Violation::ReservedOpcode, 1002),
        ("5.2: opcode 7", row(&[&[0x87, 0]]), Violation::ReservedOpcode, 1002),
        ("5.2: opcode 11", row(&[&[0x8b, 0]]), Violation::ReservedOpcode, 1002),
        ("5.2: opcode 15", row(&[&[0x8f, 0]]), Violation::ReservedOpcode, 1002),
        ("5.2: 125 in 16 bits", row(&[&[0x82, 126, 0, 125]]), Violation::LengthNotMinimal, 1002),
        ("5.2: 0 in 16 bits", row(&[&[0x82, 126, 0, 0]]), Violation::LengthNotMinimal, 1002),
        ("5.2: 65535 in 64 bits", row(&[&[0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255]]), Violation::LengthNotMinimal, 1002),
        ("5.2: highest bit", row(&[&[0x82, 127, 128, 0, 0, 0, 0, 0, 0, 0]]), Violation::LengthHighBit, 1002),
        ("5.5: a ping of 126", letters(true, Opcode::Ping, 126), Violation::ControlTooLong, 1002),
        ("5.5: a close of 70000", letters(true, Opcode::Close, 70_000), Violation::ControlTooLong, 1002),
        ("5.5: a fragmented ping", row(&[&[0x09, 0]]), Violation::ControlFragmented, 1002),
        ("5.5: a fragmented close", row(&[&[0x08, 0]]), Violation::ControlFragmented, 1002),
    ]
}

fn messages() -> Vec<Law> {
    let text = |payload: &[u8]| {
        let mut out = Vec::new();
        encode_frame(Opcode::Text, payload, None, &mut out);
        out
    };
    vec![
        ("5.4: a continuation first", row(&[&[0x80, 0]]), Violation::ContinuationWithoutStart, 1002),
        ("5.4: not even with more to come", row(&[&[0x00, 1, 0]]), Violation::ContinuationWithoutStart, 1002),
        ("5.4: a message in a message", row(&[&[0x02, 1, 0, 0x82, 0]]), Violation::MessageInterleaved, 1002),
        ("5.4: text in a binary message", row(&[&[0x02, 0, 0x01, 0]]), Violation::MessageInterleaved, 1002),
        ("10.4: a large frame", letters(true, Opcode::Binary, 1_001), Violation::FrameTooLarge, 1009),
        ("10.4: 2^62", row(&[&[0x82, 127, 64, 0, 0, 0, 0, 0, 0, 0]]), Violation::FrameTooLarge, 1009),
        (
            "10.4: a large message",
            row(&[&letters(false, Opcode::Binary, 1_000), &letters(true, Opcode::Continuation, 501)]),
            Violation::MessageTooLarge,
            1009,
        ),
        (
            "10.4: four fragments, empty ones too",
            row(&[&[0x02, 0], &[0x00, 0], &[0x00, 1, 7], &[0x80, 0]]),
            Violation::TooManyFragments,
            1008,
        ),
        ("8.1: 0xff", text(&[0xff]), Violation::InvalidUtf8, 1007),
        ("8.1: a surrogate", text(&[0xed, 0xa0, 0x80]), Violation::InvalidUtf8, 1007),
        ("8.1: an overlong slash", text(&[0xc0, 0xaf]), Violation::InvalidUtf8, 1007),
        ("8.1: above U+10FFFF", text(&[0xf4, 0x90, 0x80, 0x80]), Violation::InvalidUtf8, 1007),
        ("8.1: half a character at the end", text(&[b'a', 0xe2, 0x82]), Violation::InvalidUtf8, 1007),
        (
            "8.1: half a character, then another fragment's letter",
            row(&[&[0x01, 1, 0xe2], &[0x80, 1, b'a']]),
            Violation::InvalidUtf8,
            1007,
        ),
        ("8.1: before the frame is whole", row(&[&[0x81, 100, b'a', 0xf8]]), Violation::InvalidUtf8, 1007),
        ("8.1: before the message is whole", row(&[&[0x01, 2, b'a', 0xf8]]), Violation::InvalidUtf8, 1007),
    ]
}

fn closes() -> Vec<Law> {
    let mut laws = vec![
        ("5.5.1: half a code", row(&[&[0x88, 1, 3]]), Violation::InvalidCloseLength, 1002),
        ("5.5.1: a reason of bad UTF-8", row(&[&[0x88, 3, 3, 232, 0xff]]), Violation::InvalidUtf8, 1007),
        ("5.5.1: a reason cut short", row(&[&[0x88, 4, 3, 232, 0xe2, 0x82]]), Violation::InvalidUtf8, 1007),
        ("5.5.1: before the reason is whole", row(&[&[0x88, 9, 3, 232, 0xf8]]), Violation::InvalidUtf8, 1007),
        ("7.4: before the reason is there", row(&[&[0x88, 9, 0, 0]]), Violation::InvalidCloseCode, 1002),
    ];
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        let [high, low] = code.to_be_bytes();
        laws.push(("7.4: codes", row(&[&[0x88, 2, high, low]]), Violation::InvalidCloseCode, 1002));
    }
    laws
}

#[test]
fn each_law_has_its_violation() {
    let hello = Event::Binary(b"hello".into());
    let mut seen = vec![Violation::UnmaskedFrame, Violation::TextUnsupported];
    for (law, stream, violation, close_code) in headers().into_iter().chain(messages()).chain(closes()) {
        let stream = row(&[&[0x82, 5], b"hello", &stream, &[0x82, 1, 0]]);
        let expected = (vec![hello.clone()], Some(violation));
        assert_eq!(receive(Role::Client, &LIMITS, &stream, |len| len), expected, "{law}");
        assert_eq!(receive(Role::Client, &LIMITS, &stream, |_| 1), expected, "{law}, byte by byte");
        assert_eq!(violation.close_code().value(), close_code, "{law}");
        seen.push(violation);
    }
    for violation in Violation::ALL.into_iter().take(Violation::InvalidCloseLength as usize + 1) {
        assert!(seen.contains(&violation), "{violation} is not in the table");
    }
}

#[test]
fn a_server_takes_no_unmasked_frame() {
    for stream in [vec![0x82, 0], vec![0x89, 0], vec![0x88, 0], vec![0x82, 1, 0]] {
        let expected = (vec![], Some(Violation::UnmaskedFrame));
        assert_eq!(receive(Role::Server, &LIMITS, &stream, |_| 1), expected);
    }
    assert_eq!(Violation::UnmaskedFrame.close_code().value(), 1002);
}

#[test]
fn text_is_refused_unless_the_limits_say_otherwise() {
    let expected = (vec![], Some(Violation::TextUnsupported));
    assert_eq!(receive(Role::Client, &FrameLimits::DEFAULT, &[0x81, 0], |len| len), expected);
    assert_eq!(receive(Role::Client, &FrameLimits::DEFAULT, &[0x01, 0], |len| len), expected);
    assert_eq!(Violation::TextUnsupported.close_code().value(), 1003);
    assert_eq!(receive(Role::Client, &LIMITS, &[0x81, 0], |len| len), (vec![Event::Text(String::new())], None));
}

#[test]
fn what_is_at_the_bounds_passes() {
    let stream = row(&[
        &letters(true, Opcode::Ping, 125),
        &letters(true, Opcode::Binary, 1_000),
        &letters(false, Opcode::Text, 1_000),
        &letters(true, Opcode::Pong, 125),
        &letters(false, Opcode::Continuation, 500),
        &letters(true, Opcode::Continuation, 0),
        &[0x88, 2, 0x03, 0xf6],
    ]);
    let expected = vec![
        Event::Ping(vec![b'x'; 125]),
        Event::Binary(vec![b'x'; 1_000]),
        Event::Pong(vec![b'x'; 125]),
        Event::Text("x".repeat(1_500)),
        Event::Close(Some(1014), String::new()),
    ];
    assert_eq!(receive(Role::Client, &LIMITS, &stream, |_| 1), (expected, None));
}

#[test]
fn bytes_after_a_close_are_ignored() {
    let stream = [0x88, 0, 0xff, 0xff, 0x89, 0];
    let expected = (vec![Event::Close(None, String::new())], None);
    assert_eq!(receive(Role::Client, &LIMITS, &stream, |len| len), expected);
    assert_eq!(receive(Role::Client, &LIMITS, &stream, |_| 1), expected);
}
