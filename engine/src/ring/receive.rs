//! Bytes come in: receives without a buffer of their own, and reaping what the kernel has completed.
//!
//! Hot path, step 1 of 8.

use std::ptr;

use io_uring::types::Fixed;
use io_uring::{opcode, squeue};

use super::buffers::BUFFER_GROUP;
use super::completion::{Completion, Op, Tag};
use super::{Feature, Ring};

/// `IORING_RECVSEND_POLL_FIRST` of linux/io_uring.h: nothing is there yet, so don't try before waiting.
const POLL_FIRST: u16 = 1;
/// `IORING_RECV_MULTISHOT`.
const MULTISHOT: u16 = 2;

impl Ring {
    /// Receives on a connection: until cancelled or ended, or once where the kernel has no multishot receive. Needs to be
    /// armed anew after every completion without [`Completion::more`].
    pub fn receive(&mut self, slot: u32, generation: u32) {
        let multishot = if self.features.has(Feature::MultishotReceive) { MULTISHOT } else { 0 };
        let entry = opcode::Recv::new(Fixed(slot), ptr::null_mut(), 0)
            .ioprio(POLL_FIRST | multishot)
            .buf_group(BUFFER_GROUP)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT);
        self.push(&entry.user_data(Tag { op: Op::Receive, slot, generation }.pack()));
    }

    /// What a receive brought, in the buffer where the kernel wrote it.
    pub fn received(&mut self, completion: &Completion) -> &mut [u8] {
        assert_eq!(completion.tag().op, Op::Receive);
        match completion.buffer() {
            Some(buffer) => self.buffers.bytes_mut(buffer, completion.result().max(0) as usize),
            None => &mut [],
        }
    }

    /// Gives the buffer of a receive back, if it has one; the kernel sees it at the next [`Ring::publish_buffers`].
    #[expect(clippy::needless_pass_by_value, reason = "the completion is the right to the buffer")]
    pub fn recycle(&mut self, completion: Completion) {
        assert_eq!(completion.tag().op, Op::Receive);
        if let Some(buffer) = completion.buffer() {
            self.buffers.recycle(buffer);
        }
    }

    /// Shows the kernel the buffers that were recycled; once per pass, since it is a store the kernel's core must fetch.
    pub fn publish_buffers(&mut self) {
        self.buffers.publish();
    }

    /// Adds all completions to `into`, oldest first.
    pub fn reap(&mut self, into: &mut Vec<Completion>) {
        into.append(&mut self.set_aside);
        into.extend(self.uring.completion().map(|entry| Completion::new(&entry)));
    }
}
