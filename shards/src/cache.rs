//! The budget of what is in memory only because it may be asked for again.
use crate::limits::Limits;
/// Bytes of conversations and users in memory.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    bytes: u64,
}
impl Cache {
    /// An entry took `before` bytes and takes `after` now.
    pub fn charge(&mut self, before: usize, after: usize) {
        self.bytes = self.bytes + after as u64 - before as u64;
    }
    /// Whether idle entries are to go.
    pub fn is_over(&self, limits: &Limits) -> bool {
        self.bytes > limits.cache_bytes_max
    }
    /// Bytes there are now.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}
