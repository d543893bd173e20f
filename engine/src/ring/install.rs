//! A connection leaves the ring: its socket becomes an ordinary descriptor that any thread may use.

use std::os::fd::{FromRawFd, OwnedFd};

use io_uring::opcode;
use io_uring::types::Fixed;

use super::Ring;
use super::completion::{Completion, Op, Tag};

impl Ring {
    /// Makes a descriptor of a slot's socket, which the slot keeps too until it is freed. No receive may be under way: it
    /// would take bytes from whoever gets the descriptor.
    pub fn install(&mut self, slot: u32, generation: u32) {
        let entry = opcode::FixedFdInstall::new(Fixed(slot), 0).build();
        self.push(&entry.user_data(Tag { op: Op::Install, slot, generation }.pack()));
    }

    /// The new descriptor, closed on exec; none where the process may have no more.
    #[expect(clippy::needless_pass_by_value, reason = "the completion is the right to the descriptor")]
    pub fn installed(&mut self, completion: Completion) -> Option<OwnedFd> {
        assert_eq!(completion.tag().op, Op::Install);
        // SAFETY: the kernel has just made this descriptor for us, and a completion is taken in once.
        (completion.result() >= 0).then(|| unsafe { OwnedFd::from_raw_fd(completion.result()) })
    }

    /// Whether the kernel can do that (Linux 6.8).
    pub(super) fn can_install(&mut self) -> bool {
        let install = |ring: &mut Ring| {
            ring.install(0, 0);
            let completion = ring.complete_one(Op::Install);
            ring.installed(completion).is_some()
        };
        self.with_socket_in_a_slot(install).unwrap_or(false)
    }
}
