//! Bytes go out: sends, and entering the kernel with everything that a turn has queued.
//!
//! Hot path, step 8 of 8.

use std::io;

use io_uring::types::{Fixed, SubmitArgs, Timespec};
use io_uring::{EnterFlags, opcode};
use trunkline_shards::contract::Bytes;

use super::completion::{Completion, Op, Tag};
use super::{Feature, Flight, Ring};

impl Ring {
    /// Sends bytes on a connection. At most one send is under way per slot: two would mix their bytes.
    pub fn send(&mut self, slot: u32, generation: u32, bytes: Bytes) {
        let index = slot as usize;
        if self.flights.len() <= index {
            self.flights.resize_with(index + 1, Flight::default);
        }
        let flight = &mut self.flights[index];
        assert!(flight.bytes.is_none(), "one send in flight per connection");
        assert!(!bytes.as_slice().is_empty(), "a send has at least one byte");
        *flight = Flight { bytes: Some(bytes), sent: 0 };
        self.push_send(slot, generation);
    }

    /// Takes in the completion of a send. None: a part went and the rest is under way, which is done only if `go_on`. Else
    /// whether all bytes went, and the bytes.
    #[expect(clippy::needless_pass_by_value, reason = "the completion is the right to the bytes")]
    pub fn finish_send(&mut self, completion: Completion, go_on: bool) -> Option<(bool, Bytes)> {
        let Tag { op, slot, generation } = completion.tag();
        assert_eq!(op, Op::Send);
        let flight = &mut self.flights[slot as usize];
        flight.sent += completion.result().max(0) as usize;
        let length = flight.bytes.as_ref().expect("a send that completes is in flight").as_slice().len();
        let complete = flight.sent == length;
        let again = completion.result() > 0 || matches!(-completion.result(), libc::EINTR | libc::EAGAIN);
        if !complete && again && go_on {
            self.push_send(slot, generation);
            return None;
        }
        flight.bytes.take().map(|bytes| (complete, bytes))
    }

    fn push_send(&mut self, slot: u32, generation: u32) {
        let Flight { bytes, sent } = &self.flights[slot as usize];
        let rest = &bytes.as_ref().expect("a flight that is sent has bytes").as_slice()[*sent..];
        let length = u32::try_from(rest.len()).expect("an outbox is far below 4 GiB");
        let flags = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
        let entry = opcode::Send::new(Fixed(slot), rest.as_ptr(), length).flags(flags).build();
        self.push(&entry.user_data(Tag { op: Op::Send, slot, generation }.pack()));
    }

    /// Operations queued and not yet handed to the kernel.
    pub fn queued(&mut self) -> usize {
        self.uring.submission().len()
    }

    /// Hands everything queued to the kernel, without looking at completions.
    pub fn submit(&mut self) {
        loop {
            let queued = self.queued() as u32;
            if queued == 0 {
                return;
            }
            if let Err(error) = self.enter(queued, EnterFlags::empty()) {
                self.relieve(&error);
            }
        }
    }

    /// Hands everything queued to the kernel and lets it complete what it can, without waiting. No system call if there is
    /// neither.
    pub fn pump(&mut self) {
        let queued = self.queued() as u32;
        if queued == 0 && !self.has_pending() {
            return;
        }
        if let Err(error) = self.enter(queued, EnterFlags::GETEVENTS) {
            self.relieve(&error);
        }
    }

    /// Hands everything queued to the kernel and waits for at least one completion, at most `timeout_ns`.
    pub fn wait(&mut self, timeout_ns: Option<u64>) {
        if !self.set_aside.is_empty() {
            // These are there already.
            return self.pump();
        }
        self.entered += 1;
        let result = match timeout_ns {
            None => self.uring.submit_and_wait(1),
            Some(timeout) => {
                let time = Timespec::new().sec(timeout / 1_000_000_000).nsec((timeout % 1_000_000_000) as u32);
                self.uring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&time))
            }
        };
        if let Err(error) = result {
            self.relieve(&error);
        }
    }

    /// Whether the kernel says that completions wait to be worked off. Without the flag for it, perhaps.
    pub fn has_pending(&mut self) -> bool {
        let flagged = self.features.has(Feature::TaskrunFlag);
        let queue = self.uring.submission();
        queue.taskrun() || queue.cq_overflow() || !flagged
    }

    /// Lets the kernel work off what waits to be completed: about twenty at a time with deferred task work.
    pub fn run_pending(&mut self) {
        if let Err(error) = self.enter(0, EnterFlags::GETEVENTS) {
            self.relieve(&error);
        }
    }

    fn enter(&mut self, queued: u32, flags: EnterFlags) -> io::Result<usize> {
        self.entered += 1;
        // SAFETY: no extended argument is passed, and `queued` entries are in the queue.
        unsafe { self.uring.submitter().enter::<libc::sigset_t>(queued, 0, flags.bits(), None) }
    }

    /// An entry failed for want of room or time; makes room. Whatever was not submitted is still queued.
    fn relieve(&mut self, error: &io::Error) {
        match error.raw_os_error() {
            Some(libc::EINTR | libc::ETIME) => {}
            Some(libc::EAGAIN | libc::EBUSY) => {
                self.set_aside.extend(self.uring.completion().map(|entry| Completion::new(&entry)));
                std::thread::yield_now();
            }
            _ => panic!("io_uring_enter: {error}"),
        }
    }
}
