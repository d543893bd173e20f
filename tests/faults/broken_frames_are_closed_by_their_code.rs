//! Whoever breaks RFC 6455 is told with which rule, and closed with its code (SEC-7).
//!
//! Set-up: a server with default limits; for each rule a client that is logged in and then breaks it.
//! Claim: a close frame with the code and the name of the violation, then the end of the socket; `violation.NAME` counts one
//! more; other people chat on.

use trunkline_wire::violation::Violation;
use trunkline_wire::websocket::{Opcode, encode_frame, encode_header};

use crate::peer::Peer;
use crate::rig;

const MASK: [u8; 4] = [1, 2, 3, 4];

fn header(fin: bool, opcode: Opcode, payload_len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_header(fin, opcode, payload_len, Some(MASK), &mut bytes);
    bytes
}

/// Fragments of a binary message, the last of them not final.
fn fragments(count: usize, payload_len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..count {
        let opcode = if number == 0 { Opcode::Binary } else { Opcode::Continuation };
        bytes.extend(header(false, opcode, payload_len));
        bytes.resize(bytes.len() + payload_len, 0);
    }
    bytes
}

fn frame(opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_frame(opcode, payload, mask, &mut bytes);
    bytes
}

/// What is written, what it breaks, and the close code for that.
fn misdeeds() -> Vec<(Vec<u8>, Violation, u16)> {
    let large = 1 << 20;
    let whole = [header(true, Opcode::Binary, large), vec![0; 1 << 16]].concat();
    vec![
        (frame(Opcode::Binary, b"naked", None), Violation::UnmaskedFrame, 1002),
        (vec![0xc2, 0x80, 0, 0, 0, 0], Violation::ReservedBits, 1002),
        (vec![0xa2, 0x80, 0, 0, 0, 0], Violation::ReservedBits, 1002),
        (vec![0x83, 0x80, 0, 0, 0, 0], Violation::ReservedOpcode, 1002),
        (vec![0x8f, 0x80, 0, 0, 0, 0], Violation::ReservedOpcode, 1002),
        (vec![0x89, 0xfe, 0, 126, 1, 2, 3, 4], Violation::ControlTooLong, 1002),
        (vec![0x09, 0x80, 0, 0, 0, 0], Violation::ControlFragmented, 1002),
        (header(true, Opcode::Continuation, 0), Violation::ContinuationWithoutStart, 1002),
        ([fragments(1, 3), header(true, Opcode::Binary, 0)].concat(), Violation::MessageInterleaved, 1002),
        (vec![0x82, 0xfe, 0, 5, 1, 2, 3, 4], Violation::LengthNotMinimal, 1002),
        (vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], Violation::LengthHighBit, 1002),
        (whole, Violation::FrameTooLarge, 1009),
        (fragments(32, large / 32), Violation::MessageTooLarge, 1009),
        (fragments(65, 1), Violation::TooManyFragments, 1008),
        (frame(Opcode::Text, b"text", Some(MASK)), Violation::TextUnsupported, 1003),
        (frame(Opcode::Close, &1005u16.to_be_bytes(), Some(MASK)), Violation::InvalidCloseCode, 1002),
        (frame(Opcode::Close, &[3], Some(MASK)), Violation::InvalidCloseLength, 1002),
        (frame(Opcode::Close, &[0x03, 0xe8, 0xff], Some(MASK)), Violation::InvalidUtf8, 1007),
    ]
}

#[test]
fn broken_frames_are_closed_by_their_code() {
    let _shared = rig::among_others();
    let server = rig::serve(&[]);
    let misdeeds = misdeeds();
    let users = server.add_users(misdeeds.len() + 2);
    // All of them first: the server gives each a second to read why.
    let closing = misdeeds.iter().zip(&users).map(|((bytes, violation, code), user)| {
        assert_eq!(violation.close_code().value(), *code, "the table of {violation}");
        let mut peer = Peer::login(rig::address(&server), &user.token);
        peer.write(bytes);
        peer.told_of_close(*code, violation.name());
        peer
    });
    let closing: Vec<Peer> = closing.collect();
    closing.into_iter().for_each(|mut peer| peer.ends());
    for violation in Violation::ALL {
        let times = misdeeds.iter().filter(|(_, broken, _)| *broken == violation).count();
        assert_eq!(server.counter(&format!("violation.{violation}")), times as u64, "{violation}");
    }
    let [.., one, other] = &users[..] else { unreachable!("there are two more") };
    rig::assert_serves(&server, one, other);
}
