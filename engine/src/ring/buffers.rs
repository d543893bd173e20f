//! The buffer ring: memory that the kernel picks from when bytes arrive, so that an idle connection holds none.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// Bytes of one buffer.
pub const BUFFER_BYTES: usize = 2048;
/// Most buffers of a ring.
pub const BUFFERS_MAX: u16 = 4096;
/// Buffers of all shards together stay below this.
const ALL_BUFFERS_BYTES_MAX: usize = 64 << 20;
/// The group number under which receives find the buffers.
pub(super) const BUFFER_GROUP: u16 = 0;

const _: () = assert!(BUFFERS_MAX.is_power_of_two());

/// Buffers of one shard: a power of two, fewer the more shards there are.
pub fn buffers_per_shard(shards: u16) -> u16 {
    let fair = ALL_BUFFERS_BYTES_MAX / BUFFER_BYTES / usize::from(shards.max(1));
    let fair = fair.clamp(1, usize::from(BUFFERS_MAX));
    1 << fair.ilog2()
}

/// Memory from the kernel, page-aligned and zero.
struct Pages {
    start: NonNull<u8>,
    bytes: usize,
}

impl Pages {
    fn new(bytes: usize) -> io::Result<Pages> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice aliases nothing.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).expect("a mapping is never at address zero");
        Ok(Pages { start, bytes })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        // SAFETY: the mapping was made in `new` with this length and nobody holds a reference into it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// A ring of buffers, shared with the kernel.
pub(super) struct BufferRing {
    entries: Pages,
    memory: Pages,
    count: u16,
    tail: u16,
}

impl BufferRing {
    /// Makes the memory of `count` buffers, a power of two.
    pub(super) fn new(count: u16) -> io::Result<BufferRing> {
        assert!(count.is_power_of_two(), "the kernel's buffer ring is a power of two");
        let entries = Pages::new(usize::from(count) * size_of::<BufRingEntry>())?;
        let memory = Pages::new(usize::from(count) * BUFFER_BYTES)?;
        Ok(BufferRing { entries, memory, count, tail: 0 })
    }

    /// Makes it known to a ring and hands all buffers over. It must outlive every receive of that ring.
    pub(super) fn register(&mut self, submitter: &Submitter<'_>) -> io::Result<()> {
        let address = self.entries.start.as_ptr() as u64;
        // SAFETY: the entries are mapped, large enough for `count`, and freed only after the ring has cancelled everything.
        unsafe { submitter.register_buf_ring_with_flags(address, self.count, BUFFER_GROUP, 0) }?;
        for buffer in 0..self.count {
            self.recycle(buffer);
        }
        self.publish();
        Ok(())
    }

    /// The bytes the kernel wrote into a buffer.
    pub(super) fn bytes_mut(&mut self, buffer: u16, length: usize) -> &mut [u8] {
        assert!(buffer < self.count && length <= BUFFER_BYTES, "the kernel names buffers of this ring only");
        // SAFETY: the offset is inside the mapping, by the assertion.
        let start = unsafe { self.memory.start.add(usize::from(buffer) * BUFFER_BYTES) };
        // SAFETY: between its completion and `recycle` a buffer is ours alone, and `&mut self` keeps a second view away.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), length) }
    }

    /// Gives a buffer back; the kernel sees it after [`BufferRing::publish`].
    pub(super) fn recycle(&mut self, buffer: u16) {
        // SAFETY: the offset is inside the mapping.
        let address = unsafe { self.memory.start.add(usize::from(buffer) * BUFFER_BYTES) };
        let index = usize::from(self.tail & (self.count - 1));
        // SAFETY: the index is below `count`, so inside the mapping.
        let entry = unsafe { self.entries.start.cast::<BufRingEntry>().add(index) };
        // SAFETY: the kernel reads entries before the published tail only, and this one is behind it.
        let entry = unsafe { &mut *entry.as_ptr() };
        entry.set_addr(address.as_ptr() as u64);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Leaves the memory where it is for ever.
    pub(super) fn leak(&mut self) {
        self.entries.bytes = 0;
        self.memory.bytes = 0;
    }

    /// Shows the kernel what was recycled.
    pub(super) fn publish(&mut self) {
        let first = self.entries.start.as_ptr().cast::<BufRingEntry>();
        // SAFETY: `first` is the mapped first entry, whose reserved field is the ring's tail.
        let tail = unsafe { BufRingEntry::tail(first) };
        // SAFETY: the tail is aligned, mapped, and read by the kernel as an atomic.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shards_together_stay_below_the_bound() {
        for shards in 1..=1024 {
            let buffers = buffers_per_shard(shards);
            assert!(buffers.is_power_of_two() && buffers <= BUFFERS_MAX);
            assert!(usize::from(buffers) * BUFFER_BYTES * usize::from(shards) <= ALL_BUFFERS_BYTES_MAX);
        }
        assert_eq!((buffers_per_shard(2), buffers_per_shard(52)), (4096, 512));
    }
}
