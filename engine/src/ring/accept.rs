//! Connections come and go: accepts into slots, the peer's address, the end of a slot.

use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::types::{DestinationSlot, Fd, Fixed};
use io_uring::{opcode, squeue};
use trunkline_shards::contract::PeerAddress;

use super::completion::{Completion, Op, Tag};
use super::names::SocketName;
use super::{Feature, Ring};

/// One-shot accepts under way at the same time.
pub const ACCEPTS_MAX: u32 = 16;

/// `SOCKET_URING_OP_GETSOCKOPT` of linux/io_uring.h; the crate builds only the setting counterpart.
const GET_SOCKET_OPTION: u32 = 2;

impl Ring {
    /// Accepts every connection until cancelled, each into a free slot. Where there is no free slot, the kernel drops the
    /// connection and ends the accept: the caller sees to it that there is one.
    pub fn accept_many(&mut self, listener: BorrowedFd<'_>) {
        assert!(self.features.has(Feature::MultishotAccept), "the caller looks at the features in force");
        let entry = opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).allocate_file_index(true).build();
        self.push(&entry.user_data(Tag::of(Op::AcceptMany).pack()));
    }

    /// Accepts one connection into a free slot; `place`, below [`ACCEPTS_MAX`], names this accept among those under way.
    pub fn accept_one(&mut self, listener: BorrowedFd<'_>, place: u32) {
        let name = &mut self.accept_names[place as usize];
        name.length = SocketName::BYTES as libc::socklen_t;
        let (address, length) = (name.bytes.as_mut_ptr(), &raw mut name.length);
        let entry = opcode::Accept::new(Fd(listener.as_raw_fd()), address.cast(), length)
            .file_index(Some(DestinationSlot::auto_target()))
            .build();
        self.push(&entry.user_data(Tag { op: Op::AcceptOne, slot: place, generation: 0 }.pack()));
    }

    /// The peer of a connection that [`Ring::accept_one`] took.
    pub fn accepted_peer(&self, completion: &Completion) -> PeerAddress {
        let tag = completion.tag();
        assert_eq!(tag.op, Op::AcceptOne);
        self.accept_names[tag.slot as usize].peer()
    }

    /// Asks who the peer of a new connection is. Connections of a multishot accept come without, since all of them would
    /// be written to one place.
    pub fn name_peer(&mut self, slot: u32) {
        let name = self.names.lend();
        let entry = self.peer_name_entry(slot, name);
        self.push(&entry);
    }

    /// The answer; none if the connection is already gone.
    pub fn named_peer(&mut self, completion: &Completion) -> Option<PeerAddress> {
        let tag = completion.tag();
        assert_eq!(tag.op, Op::Name);
        let peer = self.names.take_back(tag.generation);
        (completion.result() >= 0).then_some(peer)
    }

    /// Frees a slot. No receive and no send may be under way there: the socket would stay open behind the free slot.
    pub fn close(&mut self, slot: u32, generation: u32) {
        let entry = opcode::Close::new(Fixed(slot)).build();
        self.push(&entry.user_data(Tag { op: Op::Close, slot, generation }.pack()));
    }

    /// `getsockopt(SOL_SOCKET, SO_PEERNAME)`, the only way to an address of a direct descriptor.
    fn peer_name_entry(&mut self, slot: u32, name: u32) -> squeue::Entry {
        let bytes = self.names.name_mut(name).bytes.as_mut_ptr();
        let (level, option) = (libc::SOL_SOCKET as u32, libc::SO_PEERNAME as u32);
        let entry =
            opcode::SetSockOpt::new(Fixed(slot), level, option, bytes.cast_const().cast(), self.peer_bytes).build();
        with_command(entry, GET_SOCKET_OPTION).user_data(Tag { op: Op::Name, slot, generation: name }.pack())
    }

    /// Whether the kernel can tell a peer's address (Linux 6.7): asked of a socket that has none.
    pub(super) fn can_name_peers(&mut self) -> bool {
        let name = |ring: &mut Ring| {
            ring.name_peer(0);
            let completion = ring.complete_one(Op::Name);
            ring.names.take_back(completion.tag().generation);
            completion.result() == -libc::ENOTCONN
        };
        self.with_socket_in_a_slot(name).unwrap_or(false)
    }

    /// Tries something with an unconnected socket in slot 0, while there is no connection yet.
    pub(super) fn with_socket_in_a_slot<T>(&mut self, attempt: impl FnOnce(&mut Ring) -> T) -> Option<T> {
        let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0)).ok()?;
        self.uring.submitter().register_files_update(0, &[socket.as_raw_fd()]).ok()?;
        let result = attempt(self);
        self.uring.submitter().register_files_update(0, &[-1]).ok().map(|_| result)
    }
}

/// Changes the command of a socket option entry.
fn with_command(mut entry: squeue::Entry, command: u32) -> squeue::Entry {
    /// Place of `cmd_op` in `struct io_uring_sqe`, in words.
    const COMMAND_WORD: usize = 2;
    const _: () = assert!(size_of::<squeue::Entry>() == 64);
    let words = (&raw mut entry).cast::<u32>();
    // SAFETY: an entry is `struct io_uring_sqe`, 64 bytes.
    let word = unsafe { words.add(COMMAND_WORD) };
    // SAFETY: the word is inside `entry`, aligned, and any value is valid.
    unsafe { word.write(command) };
    entry
}
