//! What is to be sent: one outbox per connection, and the masked frames that go into it.

use trunkline_wire::message::{Encoded, Encoder};
use trunkline_wire::websocket::{Opcode, apply_mask, encode_frame, encode_header};

/// Bytes of a spare buffer beyond which it is not kept.
const SPARE_BYTES_MAX: usize = 128 * 1024;
/// Spare buffers kept.
const SPARES_MAX: usize = 4096;

/// A small fast source of numbers that need not be secret (splitmix64, <https://prng.di.unimi.it/splitmix64.c>).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts from a seed; equal seeds give equal numbers.
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}

/// A bijection that spreads its input over all bits (splitmix64's).
#[must_use]
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[derive(Default)]
struct Outbox {
    bytes: Vec<u8>,
    is_sending: bool,
    is_listed: bool,
}

/// The outboxes of all connections. One gathered send is under way per connection; what is pushed meanwhile goes with the
/// next.
pub struct Outlet {
    encoder: Encoder,
    random: Random,
    outboxes: Vec<Outbox>,
    /// Connections with something to send and no send under way.
    listed: Vec<u32>,
    spares: Vec<Vec<u8>>,
    /// Frames pushed so far.
    pub frames: u64,
    /// Gathered sends so far.
    pub sends: u64,
    /// Bytes in them.
    pub bytes: u64,
}

impl Outlet {
    /// Empty outboxes; mask keys come from the seed.
    #[must_use]
    pub fn new(connections: u32, seed: u64) -> Outlet {
        let outboxes = std::iter::repeat_with(Outbox::default).take(connections as usize).collect();
        let random = Random::new(seed);
        let (listed, spares) = (Vec::new(), Vec::new());
        Outlet { encoder: Encoder::new(), random, outboxes, listed, spares, frames: 0, sends: 0, bytes: 0 }
    }

    /// Adds one envelope to a connection's outbox.
    pub fn push(&mut self, connection: u32, encode: impl for<'e> FnOnce(&'e mut Encoder) -> Encoded<'e>) {
        let mask = self.mask();
        let envelope = encode(&mut self.encoder);
        let out = &mut self.outboxes[connection as usize].bytes;
        if out.capacity() == 0 {
            *out = self.spares.pop().unwrap_or_default();
        }
        encode_header(true, Opcode::Binary, envelope.envelope_bytes(), Some(mask), out);
        let start = out.len();
        envelope.write_envelope(out);
        apply_mask(&mut out[start..], mask, 0);
        self.frames += 1;
        self.list(connection);
    }

    /// Adds a frame that is no envelope: a pong.
    pub fn push_control(&mut self, connection: u32, opcode: Opcode, payload: &[u8]) {
        let mask = self.mask();
        encode_frame(opcode, payload, Some(mask), &mut self.outboxes[connection as usize].bytes);
        self.list(connection);
    }

    /// Adds what is no frame: the request of the handshake.
    pub fn push_raw(&mut self, connection: u32, bytes: &[u8]) {
        self.outboxes[connection as usize].bytes.extend_from_slice(bytes);
        self.list(connection);
    }

    /// Random bytes for a handshake.
    pub fn nonce(&mut self) -> [u8; 16] {
        (u128::from(self.random.next_u64()) << 64 | u128::from(self.random.next_u64())).to_be_bytes()
    }

    /// The next connection that has something to send, and that.
    pub fn next_send(&mut self) -> Option<(u32, Vec<u8>)> {
        let connection = self.listed.pop()?;
        let outbox = &mut self.outboxes[connection as usize];
        (outbox.is_listed, outbox.is_sending) = (false, true);
        self.sends += 1;
        self.bytes += outbox.bytes.len() as u64;
        Some((connection, std::mem::take(&mut outbox.bytes)))
    }

    /// A connection's send is done; its bytes are kept for later.
    pub fn sent(&mut self, connection: u32, mut bytes: Vec<u8>) {
        self.outboxes[connection as usize].is_sending = false;
        if bytes.capacity() <= SPARE_BYTES_MAX && self.spares.len() < SPARES_MAX {
            bytes.clear();
            self.spares.push(bytes);
        }
        self.list(connection);
    }

    fn mask(&mut self) -> [u8; 4] {
        (self.random.next_u64() as u32).to_ne_bytes()
    }

    fn list(&mut self, connection: u32) {
        let outbox = &mut self.outboxes[connection as usize];
        if !outbox.is_listed && !outbox.is_sending && !outbox.bytes.is_empty() {
            outbox.is_listed = true;
            self.listed.push(connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;
    use trunkline_wire::ids::ConversationId;
    use trunkline_wire::message::{Request, decode_request};
    use trunkline_wire::websocket::{Assembler, FrameLimits, Incoming, Role};

    #[test]
    fn frames_are_gathered_and_one_send_is_under_way() {
        let mut outlet = Outlet::new(2, 1);
        let conversation = ConversationId([7; 16]);
        outlet.push(1, |encoder| encoder.open(1, conversation));
        outlet.push(1, |encoder| encoder.open(2, conversation));
        let (connection, mut bytes) = outlet.next_send().unwrap();
        assert_eq!(connection, 1);
        outlet.push(1, |encoder| encoder.open(3, conversation));
        assert!(outlet.next_send().is_none());

        let mut requests = Vec::new();
        let mut sink = |incoming: Incoming<'_>| {
            let Incoming::Binary(envelope) = incoming else { panic!("{incoming:?}") };
            let (request, view) = decode_request(envelope).unwrap();
            assert!(matches!(view, Request::Open(_)));
            requests.push(request);
            ControlFlow::Continue(())
        };
        Assembler::new(Role::Server).receive(&FrameLimits::DEFAULT, &mut bytes, &mut sink).unwrap();
        assert_eq!(requests, [1, 2]);

        outlet.sent(1, bytes);
        assert_eq!(outlet.next_send().map(|(connection, _)| connection), Some(1));
        assert_eq!((outlet.frames, outlet.sends), (3, 2));
    }
}
