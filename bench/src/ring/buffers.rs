//! The buffer ring: memory that the kernel picks from when bytes arrive.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// The group number under which receives find the buffers.
pub(super) const BUFFER_GROUP: u16 = 0;

/// Memory from the kernel, page-aligned and zero; given back only with the process, so that no late completion can hurt.
struct Pages {
    start: NonNull<u8>,
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
        Ok(Pages { start: NonNull::new(start.cast()).expect("a mapping is never at address zero") })
    }
}

/// A ring of buffers of one size, shared with the kernel.
pub(super) struct BufferRing {
    entries: Pages,
    memory: Pages,
    buffer_bytes: usize,
    count: u16,
    tail: u16,
}

impl BufferRing {
    /// Makes `count` buffers, a power of two.
    pub(super) fn new(count: u16, buffer_bytes: usize) -> io::Result<BufferRing> {
        assert!(count.is_power_of_two(), "the kernel's buffer ring is a power of two");
        let entries = Pages::new(usize::from(count) * size_of::<BufRingEntry>())?;
        let memory = Pages::new(usize::from(count) * buffer_bytes)?;
        Ok(BufferRing { entries, memory, buffer_bytes, count, tail: 0 })
    }

    /// Makes it known to a ring and hands all buffers over.
    pub(super) fn register(&mut self, submitter: &Submitter<'_>) -> io::Result<()> {
        let address = self.entries.start.as_ptr() as u64;
        // SAFETY: the entries are mapped for as long as the process lives, and large enough for `count`.
        unsafe { submitter.register_buf_ring_with_flags(address, self.count, BUFFER_GROUP, 0) }?;
        for buffer in 0..self.count {
            self.recycle(buffer);
        }
        self.publish();
        Ok(())
    }

    /// The bytes the kernel wrote into a buffer.
    pub(super) fn bytes_mut(&mut self, buffer: u16, length: usize) -> &mut [u8] {
        assert!(buffer < self.count && length <= self.buffer_bytes, "the kernel names buffers of this ring only");
        // SAFETY: the offset is inside the mapping, by the assertion.
        let start = unsafe { self.memory.start.add(usize::from(buffer) * self.buffer_bytes) };
        // SAFETY: between its completion and `recycle` a buffer is ours alone, and `&mut self` keeps a second view away.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), length) }
    }

    /// Gives a buffer back; the kernel sees it after [`BufferRing::publish`].
    pub(super) fn recycle(&mut self, buffer: u16) {
        assert!(buffer < self.count, "the kernel names buffers of this ring only");
        // SAFETY: the offset is inside the mapping.
        let address = unsafe { self.memory.start.add(usize::from(buffer) * self.buffer_bytes) };
        let index = usize::from(self.tail & (self.count - 1));
        // SAFETY: the index is below `count`, so inside the mapping.
        let entry = unsafe { self.entries.start.cast::<BufRingEntry>().add(index) };
        // SAFETY: the kernel reads entries before the published tail only, and this one is behind it.
        let entry = unsafe { &mut *entry.as_ptr() };
        entry.set_addr(address.as_ptr() as u64);
        entry.set_len(self.buffer_bytes as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
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
