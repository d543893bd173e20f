//! What the kernel says about an operation, and the tag by which it is recognised.

use io_uring::cqueue;

/// What an operation does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Op {
    /// A multishot accept.
    AcceptMany = 1,
    /// A one-shot accept; its slot is the number of its address buffer.
    AcceptOne,
    /// Asks for the address of a new connection's peer; its generation is the number of the address buffer.
    Name,
    /// A receive, multishot or not.
    Receive,
    /// A send.
    Send,
    /// Makes an ordinary descriptor of a slot's socket.
    Install,
    /// Puts a descriptor's socket into a free slot; its slot is the number of the place where the kernel writes that.
    Place,
    /// Frees a slot.
    Close,
    /// Cancels another operation.
    Cancel,
    /// Reads the eventfd by which threads without a ring wake this one.
    Doorbell,
    /// A wake that was sent to another ring.
    Ring,
    /// A wake that came from another ring.
    Rung,
}

impl Op {
    const ALL: [Op; 12] = [
        Op::AcceptMany,
        Op::AcceptOne,
        Op::Name,
        Op::Receive,
        Op::Send,
        Op::Install,
        Op::Place,
        Op::Close,
        Op::Cancel,
        Op::Doorbell,
        Op::Ring,
        Op::Rung,
    ];
}

/// Names an operation: what it does, on which slot, for which user of that slot. A completion can arrive after the slot has
/// got another user, hence the generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag {
    /// What it does.
    pub op: Op,
    /// The slot, below [`SLOTS_MAX`].
    pub slot: u32,
    /// The slot's generation.
    pub generation: u32,
}

/// Bound of slots of a ring; the kernel's own bound for a file table.
pub const SLOTS_MAX: u32 = 1 << 20;

const _: () = assert!(SLOTS_MAX <= 1 << 24, "a slot fits into its 24 bits of a tag");

impl Tag {
    /// The tag of an operation that belongs to no connection.
    pub const fn of(op: Op) -> Tag {
        Tag { op, slot: 0, generation: 0 }
    }

    /// As user data of a submission: op in 8 bits, slot in 24, generation in 32.
    pub const fn pack(self) -> u64 {
        (self.op as u64) << 56 | (self.slot as u64) << 32 | self.generation as u64
    }

    fn unpack(user_data: u64) -> Tag {
        let op = Op::ALL[(user_data >> 56) as usize - 1];
        Tag { op, slot: (user_data >> 32) as u32 & 0xff_ffff, generation: user_data as u32 }
    }
}

/// One completion. Only a ring makes them, once per completion of the kernel: whoever holds one has the proof that the
/// kernel is done with that step of the operation, and whoever is given one by value has the last word on its buffer.
#[derive(Debug)]
pub struct Completion {
    tag: Tag,
    result: i32,
    flags: u32,
}

impl Completion {
    pub(super) fn new(entry: &cqueue::Entry) -> Completion {
        Completion { tag: Tag::unpack(entry.user_data()), result: entry.result(), flags: entry.flags() }
    }

    /// Which operation it is about.
    pub fn tag(&self) -> Tag {
        self.tag
    }

    /// The result: a count or a slot, or a negated error number.
    pub fn result(&self) -> i32 {
        self.result
    }

    /// Whether the operation goes on and more completions will follow.
    pub fn more(&self) -> bool {
        cqueue::more(self.flags)
    }

    pub(super) fn buffer(&self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_survive_packing() {
        for op in Op::ALL {
            let tag = Tag { op, slot: SLOTS_MAX - 1, generation: u32::MAX };
            assert_eq!(Tag::unpack(tag.pack()), tag);
            assert_eq!(Tag::unpack(Tag::of(op).pack()), Tag::of(op));
        }
    }
}
