//! Owns the frame header (RFC 6455 section 5.2): parsed as its bytes arrive, encoded on the stack.

use alloc::vec::Vec;

use super::mask::apply_mask;
use crate::violation::Violation;

/// The longest header: two bytes, a 64-bit length, a mask (RFC 6455 section 5.2).
pub const HEADER_BYTES_MAX: usize = 14;

/// The longest payload of a control frame (RFC 6455 section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// What a frame is (RFC 6455 section 11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of the open message.
    Continuation = 0,
    /// A text message, or its first fragment.
    Text = 1,
    /// A binary message, or its first fragment.
    Binary = 2,
    /// The end of what the sender has to say.
    Close = 8,
    /// A request for a pong with the same payload.
    Ping = 9,
    /// The answer to a ping, or a sign of life.
    Pong = 10,
}

impl Opcode {
    /// The opcode in the low four bits, unless it is reserved (RFC 6455 section 5.2).
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Opcode> {
        Some(match bits {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }

    /// Whether it may come between the fragments of a message (RFC 6455 section 5.5).
    #[must_use]
    pub const fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// A parsed header (RFC 6455 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whether this is the last frame of its message.
    pub fin: bool,
    /// What the frame is.
    pub opcode: Opcode,
    /// The masking key, if the payload is masked.
    pub mask: Option<[u8; 4]>,
    /// The declared length in bytes.
    pub payload_len: u64,
}

impl FrameHeader {
    /// Parses the header that `bytes` begins with, and says how long it is; `None` if more bytes are needed
    /// (RFC 6455 section 5.2). Each byte is judged as soon as it is there, and whatever comes behind the one that
    /// breaks a law does not change the violation.
    pub fn parse(bytes: &[u8]) -> Result<Option<(FrameHeader, usize)>, Violation> {
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        if first & RESERVED != 0 {
            return Err(Violation::ReservedBits);
        }
        let fin = first & FIN != 0;
        let opcode = Opcode::from_bits(first & 0x0f).ok_or(Violation::ReservedOpcode)?;
        if opcode.is_control() && !fin {
            return Err(Violation::ControlFragmented);
        }
        let Some((&second, rest)) = rest.split_first() else { return Ok(None) };
        let short = second & !MASKED;
        if opcode.is_control() && short as usize > CONTROL_BYTES_MAX {
            return Err(Violation::ControlTooLong);
        }
        let Some((payload_len, rest)) = parse_length(short, rest)? else { return Ok(None) };
        let (mask, rest) = if second & MASKED == 0 {
            (None, rest)
        } else {
            let Some((key, rest)) = rest.split_first_chunk() else { return Ok(None) };
            (Some(*key), rest)
        };
        Ok(Some((FrameHeader { fin, opcode, mask, payload_len }, bytes.len() - rest.len())))
    }

    /// Whether the frame is a control frame or an unfragmented message (RFC 6455 section 5.4).
    #[must_use]
    pub const fn is_whole_message(&self) -> bool {
        self.fin && !matches!(self.opcode, Opcode::Continuation)
    }
}

/// The declared length and what follows it.
fn parse_length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, Violation> {
    let (len, rest, len_min) = match short {
        LENGTH_16 => {
            let Some((wide, rest)) = rest.split_first_chunk() else { return Ok(None) };
            (u64::from(u16::from_be_bytes(*wide)), rest, u64::from(LENGTH_16))
        }
        LENGTH_64 => {
            let Some((wide, rest)) = rest.split_first_chunk() else { return Ok(None) };
            (u64::from_be_bytes(*wide), rest, 1 << 16)
        }
        _ => (u64::from(short), rest, 0),
    };
    if len < len_min {
        return Err(Violation::LengthNotMinimal);
    }
    if len >> 63 != 0 {
        return Err(Violation::LengthHighBit);
    }
    Ok(Some((len, rest)))
}

/// The bytes of a header, or its first ones, on the stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderBytes {
    bytes: [u8; HEADER_BYTES_MAX],
    len: u8,
}

impl HeaderBytes {
    /// The bytes to send.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len as usize).unwrap_or_default()
    }

    /// Appends what fits of `more`.
    pub(super) fn push(&mut self, more: &[u8]) {
        for (slot, byte) in self.bytes.iter_mut().skip(self.len as usize).zip(more) {
            *slot = *byte;
            self.len += 1;
        }
    }
}

impl AsRef<[u8]> for HeaderBytes {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

fn header_bytes(fin: bool, opcode: Opcode, payload_len: usize, mask: Option<[u8; 4]>) -> HeaderBytes {
    let first = if fin { FIN } else { 0 } | opcode as u8;
    let masked = if mask.is_some() { MASKED } else { 0 };
    let mut header = HeaderBytes::default();
    match payload_len {
        0..=CONTROL_BYTES_MAX => header.push(&[first, masked | payload_len as u8]),
        126..=0xffff => {
            header.push(&[first, masked | LENGTH_16]);
            header.push(&(payload_len as u16).to_be_bytes());
        }
        _ => {
            header.push(&[first, masked | LENGTH_64]);
            header.push(&(payload_len as u64).to_be_bytes());
        }
    }
    header.push(mask.as_ref().map_or(&[], |key| key.as_slice()));
    header
}

/// Appends a header (RFC 6455 section 5.2). A client passes a mask and masks the payload with it.
pub fn encode_header(fin: bool, opcode: Opcode, payload_len: usize, mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    out.extend_from_slice(header_bytes(fin, opcode, payload_len, mask).as_slice());
}

/// Appends an unfragmented frame (RFC 6455 section 5.2), masked if a mask is given. The payload of a control frame
/// has at most [`CONTROL_BYTES_MAX`] bytes.
pub fn encode_frame(opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    encode_header(true, opcode, payload.len(), mask, out);
    let start = out.len();
    out.extend_from_slice(payload);
    if let (Some(key), Some(masked)) = (mask, out.get_mut(start..)) {
        apply_mask(masked, key, 0);
    }
}

/// The header of a server's unfragmented binary message (RFC 6455 section 5.6), to be sent before a shared payload.
#[must_use]
pub fn encode_binary_server(payload_len: usize) -> HeaderBytes {
    header_bytes(true, Opcode::Binary, payload_len, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_round_trip_and_need_all_their_bytes() {
        let opcodes = [Opcode::Continuation, Opcode::Text, Opcode::Binary, Opcode::Ping, Opcode::Pong, Opcode::Close];
        for opcode in opcodes {
            for payload_len in [0, 1, 125, 126, 127, 0xffff, 0x1_0000, 1 << 40] {
                for mask in [None, Some([1, 2, 3, 4])] {
                    if opcode.is_control() && payload_len > CONTROL_BYTES_MAX {
                        continue;
                    }
                    let mut out = Vec::new();
                    encode_header(true, opcode, payload_len, mask, &mut out);
                    let header = FrameHeader { fin: true, opcode, mask, payload_len: payload_len as u64 };
                    assert_eq!(FrameHeader::parse(&out), Ok(Some((header, out.len()))));
                    for cut in 0..out.len() {
                        assert_eq!(FrameHeader::parse(&out[..cut]), Ok(None));
                    }
                }
            }
        }
    }

    #[test]
    fn a_server_header_costs_two_four_or_ten_bytes() {
        assert_eq!(encode_binary_server(125).as_slice(), [0x82, 125]);
        assert_eq!(encode_binary_server(126).as_slice(), [0x82, 126, 0, 126]);
        assert_eq!(encode_binary_server(65_536).as_slice(), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn the_masked_hello_of_the_rfc() {
        let mut out = Vec::new();
        encode_frame(Opcode::Text, b"Hello", Some([0x37, 0xfa, 0x21, 0x3d]), &mut out);
        assert_eq!(out, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }
}
