//! The form of every value: little-endian, with a version in front and a checksum over key and value behind.
//!
//! The checksum (XXH3-64) finds flipped bits and values that stand under a key that is not theirs. Whatever does not decode
//! is no value: a reader refuses it, and never makes one up.

use xxhash_rust::xxh3::Xxh3;

const VERSION: u8 = 2;
const CHECKSUM_BYTES: usize = 8;

/// A value in the making.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new(bytes: usize) -> Writer {
        let mut value = Vec::with_capacity(1 + bytes + CHECKSUM_BYTES);
        value.push(VERSION);
        Writer(value)
    }

    pub(crate) fn u8(mut self, value: u8) -> Writer {
        self.0.push(value);
        self
    }

    pub(crate) fn u16(self, value: u16) -> Writer {
        self.bytes(&value.to_le_bytes())
    }

    pub(crate) fn u32(self, value: u32) -> Writer {
        self.bytes(&value.to_le_bytes())
    }

    pub(crate) fn u64(self, value: u64) -> Writer {
        self.bytes(&value.to_le_bytes())
    }

    /// Nothing for 0; the row's `present` bits say so.
    pub(crate) fn u64_if_any(self, value: u64) -> Writer {
        if value == 0 { self } else { self.u64(value) }
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Writer {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Behind its length, so that more can follow.
    pub(crate) fn text(self, text: &str) -> Writer {
        self.u32(text.len() as u32).bytes(text.as_bytes())
    }

    /// Puts the checksum behind it: the value is done.
    pub(crate) fn seal(self, key: &[u8]) -> Vec<u8> {
        let sum = checksum(key, &self.0);
        self.u64(sum).0
    }
}

fn checksum(key: &[u8], value: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(key);
    hash.update(value);
    hash.digest()
}

/// What is left to read of a value whose checksum and version are right.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// None: damaged, cut, of another version, or the value of another key.
    pub(crate) fn open(key: &[u8], value: &'a [u8]) -> Option<Reader<'a>> {
        let (value, sum) = value.split_last_chunk::<CHECKSUM_BYTES>()?;
        let (&version, fields) = value.split_first()?;
        (checksum(key, value) == u64::from_le_bytes(*sum) && version == VERSION).then_some(Reader(fields))
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn u64_if(&mut self, present: bool) -> Option<u64> {
        if present { self.u64() } else { Some(0) }
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        let bytes = self.u32()? as usize;
        let (text, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        str::from_utf8(text).ok().map(str::to_owned)
    }

    /// The next `count` records of `N` bytes; none: not all of them are whole.
    pub(crate) fn records<const N: usize, T>(
        &mut self,
        count: usize,
        one: impl Fn(&mut Reader<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let (records, rest) = self.0.split_at_checked(count.checked_mul(N)?)?;
        self.0 = rest;
        records.as_chunks::<N>().0.iter().map(|record| one(&mut Reader(record))).collect()
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// `value`, if nothing is left behind it.
    pub(crate) fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}
