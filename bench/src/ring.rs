//! One io_uring with direct descriptors, whose slots are the numbers of the connections: the safe floor of the generator.
//!
//! Everything that an operation refers to belongs to the ring until its last completion. Slots are never used twice in a run,
//! so that no completion can be mistaken for another connection's.
#![allow(unsafe_code)]

mod buffers;

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ptr;

use io_uring::types::{CancelBuilder, DestinationSlot, Fixed, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue};

use crate::failure::Failure;
use buffers::{BUFFER_GROUP, BufferRing};

/// Submissions that fit before the kernel must be entered.
const SUBMISSIONS: u32 = 4096;
/// Completions that fit before the kernel has to put them aside.
const COMPLETIONS: u32 = 32_768;
/// Submissions of one connect, which are linked and must not be torn apart by a full queue.
const CONNECT_SUBMISSIONS: usize = 5;
/// `IORING_RECVSEND_POLL_FIRST` of linux/io_uring.h: nothing is there yet, so don't try before waiting.
const POLL_FIRST: u16 = 1;
/// `IORING_RECV_MULTISHOT`.
const MULTISHOT: u16 = 2;
const NAME_BYTES: u32 = size_of::<libc::sockaddr_in>() as u32;

/// What a ring is made with.
#[derive(Clone, Debug)]
pub struct RingOptions {
    /// Where to connect to.
    pub server: SocketAddrV4,
    /// Addresses to connect from, in turn; none: the kernel's choice.
    pub sources: Vec<Ipv4Addr>,
    /// Most connections.
    pub connections: u32,
    /// Receive buffers, a power of two.
    pub buffers: u16,
    /// Bytes of each.
    pub buffer_bytes: usize,
}

/// What an operation does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Op {
    /// Makes a socket ready to connect; completes only if that failed.
    Prepare = 1,
    /// Connects.
    Connect,
    /// A multishot receive.
    Receive,
    /// A send.
    Send,
}

impl Op {
    const ALL: [Op; 4] = [Op::Prepare, Op::Connect, Op::Receive, Op::Send];

    fn tag(self, connection: u32) -> u64 {
        (self as u64) << 56 | u64::from(connection)
    }
}

/// What the kernel says about an operation. Whoever is given one by value has the last word on its buffer.
#[derive(Debug)]
pub struct Completion {
    /// Which operation.
    pub op: Op,
    /// Of which connection.
    pub connection: u32,
    /// A count, or a negated error number.
    pub result: i32,
    flags: u32,
}

impl Completion {
    fn new(entry: &cqueue::Entry) -> Completion {
        let tag = entry.user_data();
        let op = Op::ALL[(tag >> 56) as usize - 1];
        Completion { op, connection: tag as u32, result: entry.result(), flags: entry.flags() }
    }

    /// Whether the operation goes on and more completions will follow.
    #[must_use]
    pub fn more(&self) -> bool {
        cqueue::more(self.flags)
    }

    /// The error, if the result is one.
    #[must_use]
    pub fn error(&self) -> Option<io::Error> {
        (self.result < 0).then(|| io::Error::from_raw_os_error(-self.result))
    }
}

/// How a send ended.
#[derive(Debug)]
pub enum Sent {
    /// A part went; the rest is under way.
    Partly,
    /// All of it went; these bytes may be used again.
    Whole(Vec<u8>),
    /// It failed.
    Failed(io::Error),
}

/// What connects refer to while they are under way.
struct Names {
    server: libc::sockaddr_in,
    sources: Vec<libc::sockaddr_in>,
    one: libc::c_int,
}

/// Bytes on their way into a socket.
#[derive(Default)]
struct Flight {
    bytes: Vec<u8>,
    sent: usize,
}

/// The ring. Belongs to the thread that made it.
pub struct Ring {
    // First, so that it is closed before any memory below is freed.
    uring: IoUring,
    buffers: BufferRing,
    flights: Vec<Flight>,
    names: Box<Names>,
    /// Completions that had to be taken out of the kernel's queue before anybody asked for them.
    set_aside: Vec<Completion>,
}

impl Ring {
    /// Sets a ring up on the calling thread, which alone may use it.
    ///
    /// # Errors
    /// What the machine refuses, with what to do about it.
    pub fn new(options: &RingOptions) -> Result<Ring, Failure> {
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_no_sqarray().setup_submit_all();
        let uring = builder.setup_cqsize(COMPLETIONS).build(SUBMISSIONS).map_err(|error| {
            Failure::System(format!("no io_uring ({error}): Linux 6.11 or newer is needed, and leave to use it"))
        })?;
        uring.submitter().register_files_sparse(options.connections).map_err(|error| {
            let wanted = options.connections;
            Failure::System(format!("no table of {wanted} connections ({error}): run `ulimit -n {wanted}` before"))
        })?;
        let no_buffers = |error| Failure::system("make receive buffers", error);
        let mut buffers = BufferRing::new(options.buffers, options.buffer_bytes).map_err(no_buffers)?;
        buffers.register(&uring.submitter()).map_err(no_buffers)?;
        let sources = options.sources.iter().map(|source| name_of(SocketAddrV4::new(*source, 0))).collect();
        let names = Box::new(Names { server: name_of(options.server), sources, one: 1 });
        let flights = std::iter::repeat_with(Flight::default).take(options.connections as usize).collect();
        Ok(Ring { uring, buffers, flights, names, set_aside: Vec::new() })
    }

    /// Makes a socket for a connection and connects it: [`Op::Connect`] completes, or [`Op::Prepare`] says why not.
    pub fn connect(&mut self, connection: u32) {
        let room = {
            let queue = self.uring.submission();
            queue.capacity() - queue.len()
        };
        if room < CONNECT_SUBMISSIONS {
            self.submit();
        }
        let quiet = squeue::Flags::IO_LINK | squeue::Flags::SKIP_SUCCESS;
        let prepare = |entry: squeue::Entry| entry.flags(quiet).user_data(Op::Prepare.tag(connection));
        let slot = DestinationSlot::try_from_slot_target(connection).expect("slots are far below the kernel's bound");
        let (nodelay, late_port) = (self.option(connection, libc::IPPROTO_TCP, libc::TCP_NODELAY), {
            self.option(connection, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT)
        });
        let socket = opcode::Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0).file_index(Some(slot)).build();
        self.push(&prepare(socket));
        self.push(&prepare(nodelay));
        if let Some(source) = self.names.sources.get(connection as usize % self.names.sources.len().max(1)) {
            let bind = opcode::Bind::new(Fixed(connection), ptr::from_ref(source).cast(), NAME_BYTES).build();
            self.push(&prepare(late_port));
            self.push(&prepare(bind));
        }
        let server = ptr::from_ref(&self.names.server).cast();
        let connect = opcode::Connect::new(Fixed(connection), server, NAME_BYTES).build();
        self.push(&connect.user_data(Op::Connect.tag(connection)));
    }

    /// Receives on a connection until the end. Needs to be armed anew after every completion without [`Completion::more`].
    pub fn receive(&mut self, connection: u32) {
        let entry = opcode::Recv::new(Fixed(connection), ptr::null_mut(), 0)
            .ioprio(POLL_FIRST | MULTISHOT)
            .buf_group(BUFFER_GROUP)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT);
        self.push(&entry.user_data(Op::Receive.tag(connection)));
    }

    /// What a receive brought, in the buffer where the kernel wrote it.
    pub fn received(&mut self, completion: &Completion) -> &mut [u8] {
        assert_eq!(completion.op, Op::Receive);
        match cqueue::buffer_select(completion.flags) {
            Some(buffer) => self.buffers.bytes_mut(buffer, completion.result.max(0) as usize),
            None => &mut [],
        }
    }

    /// Gives the buffer of a receive back; the kernel sees it at the next [`Ring::publish_buffers`].
    #[expect(clippy::needless_pass_by_value, reason = "the completion is the right to the buffer")]
    pub fn recycle(&mut self, completion: Completion) {
        assert_eq!(completion.op, Op::Receive);
        if let Some(buffer) = cqueue::buffer_select(completion.flags) {
            self.buffers.recycle(buffer);
        }
    }

    /// Shows the kernel the buffers that were recycled.
    pub fn publish_buffers(&mut self) {
        self.buffers.publish();
    }

    /// Sends bytes. At most one send is under way per connection: two would mix their bytes.
    pub fn send(&mut self, connection: u32, bytes: Vec<u8>) {
        let flight = &mut self.flights[connection as usize];
        assert!(
            flight.bytes.is_empty() && !bytes.is_empty(),
            "one send in flight per connection, of at least one byte"
        );
        *flight = Flight { bytes, sent: 0 };
        self.push_send(connection);
    }

    /// Takes in the completion of a send.
    #[expect(clippy::needless_pass_by_value, reason = "the completion is the right to the bytes")]
    pub fn finish_send(&mut self, completion: Completion) -> Sent {
        assert_eq!(completion.op, Op::Send);
        let flight = &mut self.flights[completion.connection as usize];
        if let Some(error) = completion.error() {
            if !matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN)) {
                return Sent::Failed(error);
            }
        } else {
            flight.sent += completion.result as usize;
        }
        if flight.sent < flight.bytes.len() {
            self.push_send(completion.connection);
            return Sent::Partly;
        }
        Sent::Whole(std::mem::take(&mut flight.bytes))
    }

    fn push_send(&mut self, connection: u32) {
        let Flight { bytes, sent } = &self.flights[connection as usize];
        let rest = &bytes[*sent..];
        let length = u32::try_from(rest.len()).expect("an outbox is far below 4 GiB");
        let flags = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
        let entry = opcode::Send::new(Fixed(connection), rest.as_ptr(), length).flags(flags).build();
        self.push(&entry.user_data(Op::Send.tag(connection)));
    }

    fn option(&self, connection: u32, level: libc::c_int, name: libc::c_int) -> squeue::Entry {
        let one = ptr::from_ref(&self.names.one).cast();
        let bytes = size_of::<libc::c_int>() as u32;
        opcode::SetSockOpt::new(Fixed(connection), level as u32, name as u32, one, bytes).build()
    }

    /// Adds all completions to `into`, oldest first.
    pub fn reap(&mut self, into: &mut Vec<Completion>) {
        into.append(&mut self.set_aside);
        into.extend(self.uring.completion().map(|entry| Completion::new(&entry)));
    }

    /// Hands everything queued to the kernel and lets it complete what it can, without waiting. No system call if there is
    /// neither.
    pub fn pump(&mut self) {
        let queued = self.uring.submission().len() as u32;
        if queued > 0 || self.has_pending() {
            self.enter(queued, EnterFlags::GETEVENTS);
        }
    }

    /// Hands everything queued to the kernel and waits for at least one completion, at most `timeout_ns`.
    pub fn wait(&mut self, timeout_ns: u64) {
        let time = Timespec::new().sec(timeout_ns / 1_000_000_000).nsec((timeout_ns % 1_000_000_000) as u32);
        if let Err(error) = self.uring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&time)) {
            self.relieve(&error);
        }
    }

    /// Whether the kernel says that completions wait to be worked off.
    pub fn has_pending(&mut self) -> bool {
        let queue = self.uring.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    /// Lets the kernel work off what waits to be completed: about twenty at a time.
    pub fn run_pending(&mut self) {
        self.enter(0, EnterFlags::GETEVENTS);
    }

    fn submit(&mut self) {
        while !self.uring.submission().is_empty() {
            let queued = self.uring.submission().len() as u32;
            self.enter(queued, EnterFlags::empty());
        }
    }

    fn enter(&mut self, queued: u32, flags: EnterFlags) {
        // SAFETY: no extended argument is passed, and `queued` entries are in the queue.
        let result = unsafe { self.uring.submitter().enter::<libc::sigset_t>(queued, 0, flags.bits(), None) };
        if let Err(error) = result {
            self.relieve(&error);
        }
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

    /// Queues an operation; enters the kernel first if the queue is full.
    fn push(&mut self, entry: &squeue::Entry) {
        loop {
            // SAFETY: everything an entry points to is owned by this ring until the operation's last completion.
            if unsafe { self.uring.submission().push(entry) }.is_ok() {
                return;
            }
            self.submit();
        }
    }
}

impl Drop for Ring {
    /// Ends everything under way before the memory goes that it could touch; failing that, the memory stays.
    fn drop(&mut self) {
        self.submit();
        let timeout = Timespec::new().sec(1);
        let cancelled = self.uring.submitter().register_sync_cancel(Some(timeout), CancelBuilder::any());
        let quiet = cancelled.is_ok() || cancelled.is_err_and(|error| error.raw_os_error() == Some(libc::ENOENT));
        self.run_pending();
        if !quiet {
            std::mem::forget(std::mem::take(&mut self.flights));
            let names = Names { server: self.names.server, sources: Vec::new(), one: 1 };
            std::mem::forget(std::mem::replace(&mut self.names, Box::new(names)));
        }
    }
}

fn name_of(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_name_operation_and_connection() {
        for op in Op::ALL {
            let tag = op.tag(u32::MAX);
            assert_eq!((Op::ALL[(tag >> 56) as usize - 1], tag as u32), (op, u32::MAX));
        }
    }

    #[test]
    fn names_are_in_network_order() {
        let name = name_of("127.0.0.1:258".parse().unwrap());
        assert_eq!(name.sin_port.to_ne_bytes(), [1, 2]);
        assert_eq!(name.sin_addr.s_addr.to_ne_bytes(), [127, 0, 0, 1]);
    }
}
