//! The assembler hands out what tungstenite hands out, and refuses what it refuses.
//!
//! Set-up: seeded streams in both roles, lawful, hostile and with changed bytes, in random segments; tungstenite reads
//! the same bytes from memory. Claim: same events, same verdict, but for the differences that `agree` lists.

use std::io::{self, Read, Write};

use crate::streams::{Event, LIMITS, Peer, Random, RawFrame, mutate, receive};
use trunkline_wire::violation::Violation;
use trunkline_wire::websocket::{FrameLimits, Role};
use tungstenite::error::{Error, ProtocolError};
use tungstenite::protocol::{Message, WebSocket, WebSocketConfig};

/// A socket whose peer sent some bytes and then hung up; what is written is lost.
struct Memory<'a>(&'a [u8]);

impl Read for Memory<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Memory<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How tungstenite ended.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It waits for more bytes.
    Pending,
    /// It got a close frame.
    Closed,
    Rejected,
}

fn oracle(role: Role, stream: &[u8]) -> (Vec<Event>, Verdict) {
    let config = WebSocketConfig::default()
        .read_buffer_size(1_024)
        .max_frame_size(Some(LIMITS.frame_bytes_max as usize))
        .max_message_size(Some(LIMITS.message_bytes_max as usize));
    let role = match role {
        Role::Server => tungstenite::protocol::Role::Server,
        Role::Client => tungstenite::protocol::Role::Client,
    };
    let mut socket = WebSocket::from_raw_socket(Memory(stream), role, Some(config));
    let mut events = Vec::new();
    loop {
        events.push(match socket.read() {
            Ok(Message::Binary(payload)) => Event::Binary(payload.to_vec()),
            Ok(Message::Text(text)) => Event::Text(text.as_str().into()),
            Ok(Message::Ping(payload)) => Event::Ping(payload.to_vec()),
            Ok(Message::Pong(payload)) => Event::Pong(payload.to_vec()),
            Ok(Message::Close(frame)) => {
                let (code, reason) = frame
                    .map_or((None, String::new()), |frame| (Some(u16::from(frame.code)), frame.reason.as_str().into()));
                events.push(Event::Close(code, reason));
                return (events, Verdict::Closed);
            }
            Ok(Message::Frame(_)) => unreachable!("reads give no raw frames"),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => return (events, Verdict::Pending),
            Err(_) => return (events, Verdict::Rejected),
        });
    }
}

/// What tungstenite tells of a close frame whose code may not be sent.
fn replaced_close() -> Event {
    Event::Close(Some(1002), "Protocol violation".into())
}

/// Asserts that both agree, or differ in a way that is meant; returns whether they differ.
fn agree(role: Role, stream: &[u8], ours: &(Vec<Event>, Option<Violation>)) -> bool {
    let (events, violation) = ours;
    let (mut expected, mut verdict) = oracle(role, stream);
    // tungstenite judges a frame when it is whole, this layer each byte as it arrives: complete the last frame.
    let early = violation.is_some() && verdict == Verdict::Pending;
    if early {
        (expected, verdict) = oracle(role, &[stream, &[0; 4_096]].concat());
    }
    match violation {
        // tungstenite holds 1014 (Bad Gateway) for unassigned; the IANA registry has it.
        None if matches!(events.last(), Some(Event::Close(Some(1014), _))) => {
            assert_eq!((expected.pop(), verdict), (Some(replaced_close()), Verdict::Closed));
            assert_eq!(events[..events.len() - 1], expected);
            true
        }
        None => {
            assert_ne!(verdict, Verdict::Rejected);
            assert_eq!(*events, expected);
            false
        }
        // tungstenite takes lengths that are written too long, against section 5.2, and goes on.
        Some(Violation::LengthNotMinimal) => {
            assert!(expected.starts_with(events));
            true
        }
        // So it does with control frames, whose extended length is refused before its value is there.
        Some(Violation::ControlTooLong)
            if matches!(expected.get(events.len()), Some(Event::Ping(_) | Event::Pong(_) | Event::Close(..))) =>
        {
            assert!(expected.starts_with(events));
            true
        }
        // tungstenite answers a code that may not be sent with 1002 and calls that a clean close.
        Some(Violation::InvalidCloseCode) if verdict == Verdict::Closed => {
            assert_eq!(expected.pop(), Some(replaced_close()));
            assert_eq!(*events, expected);
            true
        }
        Some(_) => {
            assert_eq!((events, Verdict::Rejected), (&expected, verdict));
            early
        }
    }
}

#[test]
fn random_streams_agree() {
    let (mut events, mut violations, mut differences) = (0, [0; Violation::COUNT], 0);
    for seed in 0..40_000 {
        let random = &mut Random(seed ^ 0x5eed_0000_0000);
        let role = random.pick(&[Role::Server, Role::Client]);
        let hostile = random.pick(&[0, 0, 40, 10]);
        let mut stream = Peer { random, role, hostile, out: Vec::new() }.stream();
        if random.one_in(3) {
            mutate(random, &mut stream);
        }
        let longest = random.pick(&[1, 5, 60, usize::MAX >> 1]);
        let ours = receive(role, &LIMITS, &stream, |_| 1 + random.below(longest));
        events += ours.0.len();
        if let Some(violation) = ours.1 {
            violations[violation as usize] += 1;
        }
        let outcome = std::panic::catch_unwind(|| agree(role, &stream, &ours));
        differences += usize::from(outcome.unwrap_or_else(|_| panic!("seed {seed}, {role:?}, {ours:?}")));
    }
    assert!(events > 80_000, "{events} events");
    assert!(differences > 500, "{differences} differences");
    for violation in Violation::ALL.into_iter().take(Violation::InvalidCloseLength as usize + 1) {
        let outside = [Violation::TooManyFragments, Violation::TextUnsupported, Violation::LengthHighBit];
        let seen = violations[violation as usize];
        assert!(seen > 0 || outside.contains(&violation), "no stream had {violation}");
    }
}

#[test]
fn random_bytes_agree() {
    for seed in 0..20_000 {
        let random = &mut Random(seed ^ 0xb17e_0000_0000);
        let role = random.pick(&[Role::Server, Role::Client]);
        let len = 1 + random.below(40);
        let stream = random.bytes(len);
        let ours = receive(role, &LIMITS, &stream, |_| 1 + random.below(9));
        agree(role, &stream, &ours);
    }
}

/// One frame of a server, unmasked.
fn frame(first: u8, length_bytes: usize, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    RawFrame { first, mask: None, length_bytes, payload }.write(&mut out);
    out
}

#[test]
fn each_deliberate_difference_is_there() {
    let client = |stream: &[u8], limits: &FrameLimits| receive(Role::Client, limits, stream, |len| len);

    let long_length = frame(0x82, 2, b"short");
    assert_eq!(client(&long_length, &LIMITS), (vec![], Some(Violation::LengthNotMinimal)));
    assert_eq!(oracle(Role::Client, &long_length), (vec![Event::Binary(b"short".into())], Verdict::Pending));

    let long_length = frame(0x89, 2, b"short");
    assert_eq!(client(&long_length, &LIMITS), (vec![], Some(Violation::ControlTooLong)));
    assert_eq!(oracle(Role::Client, &long_length), (vec![Event::Ping(b"short".into())], Verdict::Pending));

    let bad_code = frame(0x88, 0, &[0x03, 0xee]);
    assert_eq!(client(&bad_code, &LIMITS), (vec![], Some(Violation::InvalidCloseCode)));
    assert_eq!(oracle(Role::Client, &bad_code), (vec![replaced_close()], Verdict::Closed));

    let bad_gateway = frame(0x88, 0, &[0x03, 0xf6]);
    assert_eq!(client(&bad_gateway, &LIMITS), (vec![Event::Close(Some(1014), String::new())], None));
    assert_eq!(oracle(Role::Client, &bad_gateway), (vec![replaced_close()], Verdict::Closed));

    let half_a_frame_of_bad_text = [0x81, 0x20, 0xed, 0xa0];
    assert_eq!(client(&half_a_frame_of_bad_text, &LIMITS), (vec![], Some(Violation::InvalidUtf8)));
    assert_eq!(oracle(Role::Client, &half_a_frame_of_bad_text), (vec![], Verdict::Pending));

    let reserved_bit = [0xc2];
    assert_eq!(client(&reserved_bit, &LIMITS), (vec![], Some(Violation::ReservedBits)));
    assert_eq!(oracle(Role::Client, &reserved_bit), (vec![], Verdict::Pending));

    let fragments = [frame(0x02, 0, b""), frame(0x00, 0, b""), frame(0x80, 0, b"")].concat();
    let two = FrameLimits { fragments_max: 2, ..LIMITS };
    assert_eq!(client(&fragments, &two), (vec![], Some(Violation::TooManyFragments)));
    assert_eq!(oracle(Role::Client, &fragments), (vec![Event::Binary(vec![])], Verdict::Pending));

    let text = frame(0x81, 0, b"hi");
    assert_eq!(client(&text, &FrameLimits::DEFAULT), (vec![], Some(Violation::TextUnsupported)));
    assert_eq!(oracle(Role::Client, &text), (vec![Event::Text("hi".into())], Verdict::Pending));
}
