//! Owns what the tests of the WebSocket layer share: a seeded generator, streams of frames, and events as values.
#![allow(dead_code)]

use std::ops::ControlFlow;

use trunkline_wire::violation::Violation;
use trunkline_wire::websocket::{Assembler, FrameLimits, Incoming, Role, apply_mask};

/// Bounds that generated streams reach often.
pub const LIMITS: FrameLimits =
    FrameLimits { frame_bytes_max: 2_048, message_bytes_max: 3_000, fragments_max: u32::MAX, text_accepted: true };

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// What was handed out, as a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Binary(Vec<u8>),
    Text(String),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

impl From<Incoming<'_>> for Event {
    fn from(incoming: Incoming<'_>) -> Self {
        match incoming {
            Incoming::Binary(payload) => Event::Binary(payload.into()),
            Incoming::Text(text) => Event::Text(text.into()),
            Incoming::Ping(payload) => Event::Ping(payload.into()),
            Incoming::Pong(payload) => Event::Pong(payload.into()),
            Incoming::Close { code, reason } => Event::Close(code.map(|code| code.value()), reason.into()),
        }
    }
}

/// Feeds a stream in the pieces that `next_len` asks for.
pub fn receive(
    role: Role,
    limits: &FrameLimits,
    stream: &[u8],
    mut next_len: impl FnMut(usize) -> usize,
) -> (Vec<Event>, Option<Violation>) {
    let (mut assembler, mut events) = (Assembler::new(role), Vec::new());
    let mut stream = stream.to_vec();
    let mut rest = stream.as_mut_slice();
    while !rest.is_empty() {
        let len = next_len(rest.len()).clamp(1, rest.len());
        let piece = rest.split_off_mut(..len).unwrap();
        let outcome = assembler.receive(limits, piece, &mut |incoming| {
            events.push(incoming.into());
            ControlFlow::Continue(())
        });
        if let Err(violation) = outcome {
            return (events, Some(violation));
        }
    }
    (events, None)
}

/// A frame with any bits whatever, as no encoder would write it.
pub struct RawFrame<'a> {
    pub first: u8,
    pub mask: Option<[u8; 4]>,
    /// Bytes of the extended length: 0, 2 or 8.
    pub length_bytes: usize,
    pub payload: &'a [u8],
}

impl RawFrame<'_> {
    pub fn write(&self, out: &mut Vec<u8>) {
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        let len = self.payload.len();
        out.push(self.first);
        match self.length_bytes {
            0 => out.push(masked | len as u8),
            2 => {
                out.push(masked | 126);
                out.extend_from_slice(&(len as u16).to_be_bytes());
            }
            _ => {
                out.push(masked | 127);
                out.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        let start = out.len();
        out.extend_from_slice(self.mask.as_ref().map_or(&[], |key| key.as_slice()));
        let payload_start = out.len();
        out.extend_from_slice(self.payload);
        if let Some(key) = self.mask {
            apply_mask(&mut out[payload_start..], key, 0);
        }
        assert!(payload_start - start <= 4);
    }
}

const LENGTHS: [usize; 12] = [0, 0, 1, 2, 3, 7, 8, 30, 125, 126, 127, 300];
const CHARACTERS: [&str; 6] = ["a", "é", "€", "𝄞", "\u{7ff}", "\u{10ffff}"];

/// Writes frames as a peer of `role` sends them; one in `hostile` of them breaks a law.
pub struct Peer<'a> {
    pub random: &'a mut Random,
    pub role: Role,
    pub hostile: usize,
    pub out: Vec<u8>,
}

impl Peer<'_> {
    /// A stream of a few messages, perhaps with a close at the end or in the middle.
    pub fn stream(mut self) -> Vec<u8> {
        for _ in 0..1 + self.random.below(5) {
            match self.random.below(8) {
                0 | 1 => self.control(),
                2 if self.random.one_in(3) => self.close(),
                _ => self.message(),
            }
        }
        self.out
    }

    fn is_hostile(&mut self) -> bool {
        self.hostile != 0 && self.random.one_in(self.hostile)
    }

    fn frame(&mut self, mut first: u8, payload: &[u8]) {
        let mut mask = (self.role == Role::Server).then(|| (self.random.next() as u32).to_ne_bytes());
        let mut length_bytes = match payload.len() {
            0..126 => 0,
            126..0x1_0000 => 2,
            _ => 8,
        };
        if self.is_hostile() {
            match self.random.below(5) {
                0 => first ^= 0x80,
                1 => first ^= 1 << self.random.below(7),
                2 => mask = if mask.is_some() { None } else { Some([1, 2, 3, 4]) },
                3 if length_bytes == 0 => length_bytes = self.random.pick(&[2, 8]),
                _ => first = self.random.next() as u8,
            }
        }
        RawFrame { first, mask, length_bytes, payload }.write(&mut self.out);
    }

    fn control(&mut self) {
        let len = if self.is_hostile() { 130 } else { self.random.pick(&LENGTHS).min(125) };
        let (first, payload) = (self.random.pick(&[0x89, 0x8a]), self.random.bytes(len));
        self.frame(first, &payload);
    }

    fn close(&mut self) {
        let codes: &[u16] = if self.is_hostile() {
            &[0, 999, 1004, 1005, 1006, 1014, 1015, 1100, 2999, 5000, 65535]
        } else {
            &[1000, 1001, 1002, 1003, 1007, 1008, 1011, 1013, 3000, 4999]
        };
        let mut payload = self.random.pick(codes).to_be_bytes().to_vec();
        payload.extend_from_slice(&self.text(20));
        if self.random.one_in(4) {
            payload.truncate(if self.is_hostile() { 1 } else { 0 });
        }
        self.frame(0x88, &payload);
    }

    fn message(&mut self) {
        let text = self.random.one_in(2);
        let len = if self.random.one_in(60) { 900 + self.random.below(2_300) } else { self.random.pick(&LENGTHS) };
        let payload = if text { self.text(len) } else { self.random.bytes(len) };
        let (mut first, mut rest) = (if text { 1 } else { 2 }, payload.as_slice());
        while self.random.one_in(2) {
            let (piece, tail) = rest.split_at(self.random.below(rest.len() + 1));
            self.frame(first, piece);
            (first, rest) = (0, tail);
            if self.random.one_in(4) {
                self.control();
            }
        }
        self.frame(first | 0x80, rest);
    }

    /// Characters of all lengths, about `len` bytes; if hostile, with a wrong byte somewhere.
    fn text(&mut self, len: usize) -> Vec<u8> {
        let mut text = Vec::new();
        while text.len() < len {
            text.extend_from_slice(self.random.pick(&CHARACTERS).as_bytes());
        }
        if !text.is_empty() && self.is_hostile() {
            let at = self.random.below(text.len());
            text[at] = self.random.next() as u8;
        }
        text
    }
}

/// Changes a few bytes anywhere.
pub fn mutate(random: &mut Random, stream: &mut Vec<u8>) {
    for _ in 0..1 + random.below(3) {
        if stream.is_empty() {
            return;
        }
        let at = random.below(stream.len());
        match random.below(5) {
            0 => stream[at] ^= 1 << random.below(8),
            1 => stream[at] = random.next() as u8,
            2 => stream.truncate(at),
            3 => drop(stream.remove(at)),
            _ => stream.insert(at, random.next() as u8),
        }
    }
}
