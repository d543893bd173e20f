//! What messages say: text that follows from the message's id alone, so that every byte can be checked on arrival without
//! having been kept.

use trunkline_wire::ids::{MessageId, UserId};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::outlet::{Random, mix};

/// Hex digits of the id at the start of a body.
const HEAD_BYTES: usize = 16;
/// Places in the text at which the rest of a body may start.
const STARTS: usize = 4096;
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .";
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// All bodies of a run.
pub struct Bodies {
    seed: u64,
    bytes: usize,
    text: Vec<u8>,
}

impl Bodies {
    /// Bodies of so many bytes (at least 1), others for another seed.
    #[must_use]
    pub fn new(seed: u64, bytes: usize) -> Bodies {
        assert!(bytes > 0, "a message says something");
        let mut random = Random::new(seed);
        let letter = || LETTERS[(random.next_u64() % LETTERS.len() as u64) as usize];
        Bodies { seed, bytes, text: std::iter::repeat_with(letter).take(STARTS + bytes).collect() }
    }

    /// The id of the `number`th message of a direction; never 0.
    #[must_use]
    pub fn message_id(&self, direction: u32, number: u64) -> MessageId {
        MessageId(mix(self.seed ^ mix(u64::from(direction) << 40 ^ number)).max(1))
    }

    /// Writes the body of a message over `out`.
    pub fn write(&self, id: MessageId, out: &mut Vec<u8>) {
        let (head, rest) = self.parts(id);
        out.clear();
        out.extend_from_slice(&head[..self.bytes.min(HEAD_BYTES)]);
        out.extend_from_slice(rest);
    }

    /// Whether that is the body of that message, byte for byte.
    #[must_use]
    pub fn is_of(&self, id: MessageId, body: &[u8]) -> bool {
        let (head, rest) = self.parts(id);
        let head = &head[..self.bytes.min(HEAD_BYTES)];
        body.strip_prefix(head) == Some(rest)
    }

    fn parts(&self, id: MessageId) -> ([u8; HEAD_BYTES], &[u8]) {
        let head = std::array::from_fn(|index| DIGITS[(id.0 >> (60 - 4 * index)) as usize & 15]);
        let start = (id.0 % STARTS as u64) as usize;
        (head, &self.text[start..start + self.bytes.saturating_sub(HEAD_BYTES)])
    }
}

/// Which messages a conversation has, as one number: each with its seq, sender, id and body, in whatever order they are
/// added.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Digest {
    /// How many messages.
    pub messages: u64,
    sum: u64,
}

impl Digest {
    /// Adds a message.
    pub fn add(&mut self, seq: u64, sender: UserId, id: MessageId, body: &[u8]) {
        let place = mix(seq ^ mix(sender.0 ^ mix(id.0)));
        self.messages += 1;
        self.sum = self.sum.wrapping_add(xxh3_64_with_seed(body, place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_text_of_its_length_and_no_other_messages() {
        for bytes in [1, 15, 16, 17, 100, 16 * 1024] {
            let bodies = Bodies::new(5, bytes);
            let (one, other) = (bodies.message_id(0, 1), bodies.message_id(1, 1));
            let mut body = Vec::new();
            bodies.write(one, &mut body);
            assert!(body.len() == bytes && body.is_ascii() && bodies.is_of(one, &body));
            assert!(!bodies.is_of(one, &body[1..]));
            assert!(bytes < HEAD_BYTES || !bodies.is_of(other, &body));
            body[bytes - 1] ^= 1;
            assert!(!bodies.is_of(one, &body));
        }
    }

    #[test]
    fn ids_differ_by_direction_number_and_seed() {
        let (bodies, others) = (Bodies::new(1, 10), Bodies::new(2, 10));
        let mut ids: Vec<u64> = (0..100)
            .flat_map(|direction| (1..100).map(move |number| (direction, number)))
            .flat_map(|(direction, number)| {
                [bodies.message_id(direction, number).0, others.message_id(direction, number).0]
            })
            .collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 2 * 100 * 99);
    }

    #[test]
    fn digests_know_order_by_seq_and_every_field() {
        let digest = |messages: &[(u64, u64, u64, &[u8])]| {
            let mut digest = Digest::default();
            messages.iter().for_each(|&(seq, sender, id, body)| digest.add(seq, UserId(sender), MessageId(id), body));
            digest
        };
        let sent = digest(&[(1, 7, 3, b"a"), (2, 8, 4, b"b")]);
        assert_eq!(sent, digest(&[(2, 8, 4, b"b"), (1, 7, 3, b"a")]));
        for other in [
            [(2, 7, 3, b"a".as_slice()), (1, 8, 4, b"b")],
            [(1, 8, 3, b"a"), (2, 7, 4, b"b")],
            [(1, 7, 4, b"a"), (2, 8, 3, b"b")],
            [(1, 7, 3, b"b"), (2, 8, 4, b"a")],
        ] {
            assert_ne!(sent, digest(&other));
        }
        assert_ne!(sent, digest(&[(1, 7, 3, b"a")]));
    }
}
