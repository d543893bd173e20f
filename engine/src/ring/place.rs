//! A connection enters the ring by its descriptor: its socket gets a free slot.

use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::opcode;

use super::Ring;
use super::completion::{Completion, Op, Tag};

/// `IORING_FILE_INDEX_ALLOC` of linux/io_uring.h as an offset: the kernel chooses the slots.
const CHOOSE_SLOT: i32 = -1;

/// Descriptors on loan to the kernel, which writes the slot over each; at addresses that do not move.
#[derive(Default)]
pub(super) struct Places {
    // Boxed because the kernel writes there while the vector may grow.
    #[expect(clippy::vec_box)]
    cells: Vec<Box<i32>>,
    free: Vec<u32>,
}

impl Places {
    fn lend(&mut self, descriptor: i32) -> u32 {
        let place = self.free.pop().unwrap_or_else(|| {
            self.cells.push(Box::default());
            self.cells.len() as u32 - 1
        });
        *self.cells[place as usize] = descriptor;
        place
    }
}

impl Ring {
    /// Puts a socket into a free slot. The number that the completion's tag has as its slot; the descriptor stays open until
    /// then, and is of no use afterwards.
    pub fn place(&mut self, socket: BorrowedFd<'_>) -> u32 {
        let place = self.places.lend(socket.as_raw_fd());
        let cell: *const i32 = &raw const *self.places.cells[place as usize];
        let entry = opcode::FilesUpdate::new(cell, 1).offset(CHOOSE_SLOT).build();
        self.push(&entry.user_data(Tag { op: Op::Place, slot: place, generation: 0 }.pack()));
        place
    }

    /// The slot; none where all are taken.
    #[expect(clippy::needless_pass_by_value, reason = "the completion is the right to the place")]
    pub fn placed(&mut self, completion: Completion) -> Option<u32> {
        let Tag { op, slot: place, .. } = completion.tag();
        assert_eq!(op, Op::Place);
        self.places.free.push(place);
        let slot = *self.places.cells[place as usize];
        (completion.result() == 1).then(|| u32::try_from(slot).expect("the kernel wrote a slot"))
    }
}
