//! Owns the receive side of a connection: bytes in any segments become messages and control frames.
//! Hot path, step 2 of 8.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::ControlFlow;

use super::Role;
use super::close::{CloseCode, check_close_prefix, parse_close, utf8_prefix_len};
use super::frame::{FrameHeader, HeaderBytes, Opcode};
use super::limits::FrameLimits;
use super::mask::apply_mask;
use crate::violation::Violation;

/// What a peer sent, lent for the call (RFC 6455 section 5.6 for data, section 5.5 for control).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A whole binary message.
    Binary(&'a [u8]),
    /// A whole text message.
    Text(&'a str),
    /// To be answered with a pong of the same payload.
    Ping(&'a [u8]),
    /// The answer to a ping, or a sign of life.
    Pong(&'a [u8]),
    /// The last thing of the connection, to be answered with a close frame (RFC 6455 section 5.5.1).
    Close {
        /// The peer's code, if it gave one.
        code: Option<CloseCode>,
        /// The peer's reason, often empty.
        reason: &'a str,
    },
}

impl<'a> Incoming<'a> {
    /// A whole message, which has the opcode of its first frame, or a whole control frame.
    fn new(opcode: Opcode, payload: &'a [u8]) -> Result<Self, Violation> {
        Ok(match opcode {
            Opcode::Binary | Opcode::Continuation => Incoming::Binary(payload),
            Opcode::Text => Incoming::Text(core::str::from_utf8(payload).map_err(|_| Violation::InvalidUtf8)?),
            Opcode::Ping => Incoming::Ping(payload),
            Opcode::Pong => Incoming::Pong(payload),
            Opcode::Close => {
                let (code, reason) = parse_close(payload)?;
                Incoming::Close { code, reason }
            }
        })
    }
}

/// Finds frames in received bytes, unmasks them in place and hands out messages (RFC 6455 sections 5 and 8).
///
/// A frame that is whole within the bytes of one call is lent out of them, without a copy. Only a split frame or a
/// fragmented message is carried over, in heap memory that grows with the bytes received, never with the length
/// declared, and that is given back as soon as the message is handed out.
#[derive(Debug)]
pub struct Assembler {
    partial: Option<Box<Partial>>,
    role: Role,
    over: bool,
}

// An idle connection is this and nothing else: a million of them cost 16 MB.
const _: () = assert!(size_of::<Assembler>() <= 16);

/// What is carried from one call to the next.
#[derive(Debug, Default)]
struct Partial {
    /// The first bytes of a header.
    header: HeaderBytes,
    /// The frame whose payload is being received.
    frame: Option<Frame>,
    /// Text or Binary while a message is open.
    message: Option<Opcode>,
    /// Whole frames of the open message.
    fragments: u32,
    /// The open message so far; behind it, the control frame that came last.
    carry: Vec<u8>,
    /// How much of `carry` is the message.
    message_len: usize,
    /// How much of the message is known to be whole characters, if it is text.
    utf8_len: usize,
}

/// A frame, and how much of its payload was received before.
#[derive(Clone, Copy, Debug)]
struct Frame {
    header: FrameHeader,
    received: usize,
}

impl Assembler {
    /// The state of a connection right after its handshake.
    #[must_use]
    pub const fn new(role: Role) -> Self {
        Self { partial: None, role, over: false }
    }

    /// Whether a close frame, a violation or a stop by the sink ended the stream.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// Heap memory held for a split frame or a fragmented message, in bytes; 0 between messages.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| size_of::<Partial>() + partial.carry.capacity())
    }

    /// Takes the next bytes of the stream, in any segmentation, and hands out what they complete, in order.
    ///
    /// `bytes` are unmasked in place. What came before a violation was handed out. After a violation, a close frame
    /// or a stop by the sink, the rest is dropped and further calls do nothing.
    pub fn receive(
        &mut self,
        limits: &FrameLimits,
        bytes: &mut [u8],
        sink: &mut impl FnMut(Incoming<'_>) -> ControlFlow<()>,
    ) -> Result<(), Violation> {
        if self.over {
            return Ok(());
        }
        let outcome = self.assemble(limits, bytes, sink);
        if !matches!(outcome, Ok(ControlFlow::Continue(()))) {
            self.partial = None;
            self.over = true;
        }
        outcome.map(drop)
    }

    /// The loop: find a frame, unmask what is there of it, hand it out or carry it over.
    fn assemble(
        &mut self,
        limits: &FrameLimits,
        mut rest: &mut [u8],
        sink: &mut impl FnMut(Incoming<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Violation> {
        while let Some(Frame { header, received }) = self.next_frame(limits, &mut rest)? {
            let missing = header.payload_len as usize - received;
            let piece = rest.split_off_mut(..missing.min(rest.len())).unwrap_or_default();
            if let Some(key) = header.mask {
                apply_mask(piece, key, received);
            }
            let incoming = if received == 0 && piece.len() == missing && header.is_whole_message() {
                Some(Incoming::new(header.opcode, piece)?)
            } else {
                self.partial.get_or_insert_default().extend(header, received, piece)?
            };
            if let Some(incoming) = incoming {
                let last = matches!(incoming, Incoming::Close { .. });
                if sink(incoming).is_break() || last {
                    return Ok(ControlFlow::Break(()));
                }
            }
            self.partial.take_if(|partial| partial.is_idle());
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The frame that the first of `rest` belong to: the one in progress, or the one they are the header of.
    fn next_frame(&mut self, limits: &FrameLimits, rest: &mut &mut [u8]) -> Result<Option<Frame>, Violation> {
        if rest.is_empty() {
            return Ok(None);
        }
        if let Some(frame) = self.partial.as_mut().and_then(|partial| partial.frame.take()) {
            return Ok(Some(frame));
        }
        let Some(header) = self.next_header(rest)? else { return Ok(None) };
        self.admit(limits, &header)?;
        Ok(Some(Frame { header, received: 0 }))
    }

    /// Takes a header off `rest`, or all of it if the header goes on in the next call.
    fn next_header(&mut self, rest: &mut &mut [u8]) -> Result<Option<FrameHeader>, Violation> {
        let held = self.partial.as_ref().map_or(0, |partial| partial.header.as_slice().len());
        if held == 0
            && let Some((header, len)) = FrameHeader::parse(rest)?
        {
            let _ = rest.split_off_mut(..len);
            return Ok(Some(header));
        }
        let partial = self.partial.get_or_insert_default();
        partial.header.push(rest);
        let parsed = FrameHeader::parse(partial.header.as_slice())?;
        let taken = parsed.map_or(rest.len(), |(_, len)| len - held);
        let _ = rest.split_off_mut(..taken);
        if parsed.is_some() {
            partial.header = HeaderBytes::default();
        }
        Ok(parsed.map(|(header, _)| header))
    }

    /// Judges a header by the role, the open message and the limits.
    fn admit(&self, limits: &FrameLimits, header: &FrameHeader) -> Result<(), Violation> {
        match (self.role, header.mask) {
            (Role::Server, None) => return Err(Violation::UnmaskedFrame),
            (Role::Client, Some(_)) => return Err(Violation::MaskedFrame),
            _ if header.opcode.is_control() => return Ok(()),
            _ => {}
        }
        let (message, fragments, held) = match &self.partial {
            Some(partial) => (partial.message, partial.fragments, partial.message_len),
            None => (None, 0, 0),
        };
        match (header.opcode, message) {
            (Opcode::Continuation, None) => Err(Violation::ContinuationWithoutStart),
            (Opcode::Text | Opcode::Binary, Some(_)) => Err(Violation::MessageInterleaved),
            (Opcode::Text, None) if !limits.text_accepted => Err(Violation::TextUnsupported),
            _ if header.payload_len > u64::from(limits.frame_bytes_max) => Err(Violation::FrameTooLarge),
            _ if header.payload_len + held as u64 > u64::from(limits.message_bytes_max) => {
                Err(Violation::MessageTooLarge)
            }
            _ if fragments >= limits.fragments_max => Err(Violation::TooManyFragments),
            _ => Ok(()),
        }
    }
}

impl Partial {
    /// Whether nothing is in progress.
    fn is_idle(&self) -> bool {
        self.message.is_none() && self.frame.is_none() && self.header.as_slice().is_empty()
    }

    /// Carries the next piece of a frame over, and returns what it completes.
    fn extend(
        &mut self,
        header: FrameHeader,
        received: usize,
        piece: &[u8],
    ) -> Result<Option<Incoming<'_>>, Violation> {
        if received == 0 {
            self.carry.truncate(self.message_len);
        }
        self.carry.extend_from_slice(piece);
        let received = received + piece.len();
        let whole = received as u64 == header.payload_len;
        self.frame = (!whole).then_some(Frame { header, received });
        if received == 0 && !whole {
            // Only the header so far: the payload may still come whole, to be lent.
            return Ok(None);
        }
        if header.opcode.is_control() {
            self.extend_control(header.opcode, whole)
        } else {
            self.extend_message(header, whole)
        }
    }

    /// Judges a control frame that grew behind the message.
    fn extend_control(&self, opcode: Opcode, whole: bool) -> Result<Option<Incoming<'_>>, Violation> {
        let payload = self.carry.get(self.message_len..).unwrap_or_default();
        if whole {
            return Incoming::new(opcode, payload).map(Some);
        }
        if opcode == Opcode::Close {
            check_close_prefix(payload)?;
        }
        Ok(None)
    }

    /// Judges a message that grew.
    fn extend_message(&mut self, header: FrameHeader, whole: bool) -> Result<Option<Incoming<'_>>, Violation> {
        self.message_len = self.carry.len();
        let opcode = *self.message.get_or_insert(header.opcode);
        if opcode == Opcode::Text {
            self.utf8_len += utf8_prefix_len(self.carry.get(self.utf8_len..).unwrap_or_default())?;
        }
        if whole && header.fin {
            self.message = None;
            return Incoming::new(opcode, &self.carry).map(Some);
        }
        self.fragments += u32::from(whole);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{encode_frame, encode_header};
    use super::*;

    const MASK: Option<[u8; 4]> = Some([9, 8, 7, 6]);

    fn receive(assembler: &mut Assembler, bytes: &mut [u8]) -> usize {
        let mut count = 0;
        let mut sink = |_: Incoming<'_>| {
            count += 1;
            ControlFlow::Continue(())
        };
        assembler.receive(&FrameLimits::DEFAULT, bytes, &mut sink).unwrap();
        count
    }

    #[test]
    fn whole_frames_are_lent_from_the_input_and_cost_no_memory() {
        let mut bytes = Vec::new();
        encode_frame(Opcode::Binary, b"payload", MASK, &mut bytes);
        encode_frame(Opcode::Ping, b"ping", MASK, &mut bytes);
        let input = bytes.as_ptr_range();
        let mut assembler = Assembler::new(Role::Server);
        let mut sink = |incoming: Incoming<'_>| {
            let (Incoming::Binary(payload) | Incoming::Ping(payload)) = incoming else { panic!() };
            assert!(input.contains(&payload.as_ptr()));
            ControlFlow::Continue(())
        };
        assembler.receive(&FrameLimits::DEFAULT, &mut bytes, &mut sink).unwrap();
        assert_eq!(assembler.heap_bytes(), 0);
    }

    #[test]
    fn memory_grows_with_what_was_received_and_is_given_back() {
        let mut assembler = Assembler::new(Role::Server);
        let mut bytes = Vec::new();
        encode_header(true, Opcode::Binary, 65_536, MASK, &mut bytes);
        bytes.resize(bytes.len() + 65_536, 0);
        let (first, rest) = bytes.split_at_mut(15);
        assert_eq!(receive(&mut assembler, first), 0);
        assert!(assembler.heap_bytes() < size_of::<Partial>() + 16);
        let (middle, last) = rest.split_at_mut(1_000);
        assert_eq!(receive(&mut assembler, middle), 0);
        assert!(assembler.heap_bytes() < size_of::<Partial>() + 2_100);
        assert_eq!(receive(&mut assembler, last), 1);
        assert_eq!(assembler.heap_bytes(), 0);
    }

    #[test]
    fn a_frame_whose_header_was_split_is_still_lent_when_its_payload_is_whole() {
        let mut bytes = Vec::new();
        encode_frame(Opcode::Binary, b"payload", MASK, &mut bytes);
        let (header, payload) = bytes.split_at_mut(6);
        let mut assembler = Assembler::new(Role::Server);
        assert_eq!(receive(&mut assembler, &mut header[..3]), 0);
        assert!(assembler.heap_bytes() > 0);
        assert_eq!(receive(&mut assembler, &mut header[3..]), 0);
        assert_eq!(receive(&mut assembler, payload), 1);
        assert_eq!(assembler.heap_bytes(), 0);
    }

    #[test]
    fn nothing_follows_a_close_a_stop_or_a_violation() {
        let mut bytes = Vec::new();
        encode_frame(Opcode::Close, b"", None, &mut bytes);
        encode_frame(Opcode::Ping, b"", None, &mut bytes);
        let mut assembler = Assembler::new(Role::Client);
        assert_eq!(receive(&mut assembler, &mut bytes.clone()), 1);
        assert!(assembler.is_over());
        assert_eq!(receive(&mut assembler, &mut bytes), 0);

        let mut pings = [0x89, 0, 0x89, 0];
        let mut count = 0;
        let mut stop = |_: Incoming<'_>| {
            count += 1;
            ControlFlow::Break(())
        };
        let mut assembler = Assembler::new(Role::Client);
        assert_eq!(assembler.receive(&FrameLimits::DEFAULT, &mut pings, &mut stop), Ok(()));
        assert_eq!((count, assembler.is_over()), (1, true));

        let mut assembler = Assembler::new(Role::Client);
        let mut sink = |_: Incoming<'_>| ControlFlow::Continue(());
        let outcome = assembler.receive(&FrameLimits::DEFAULT, &mut [0x80, 0], &mut sink);
        assert_eq!(outcome, Err(Violation::ContinuationWithoutStart));
        assert_eq!(receive(&mut assembler, &mut pings), 0);
    }
}
