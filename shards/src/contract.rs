//! The contract between a core and whoever drives it: events in, effects out.
//!
//! Order: effects are carried out in the order in which they were emitted. Entries from one shard to another arrive in the
//! order of their [`Effect::Post`], and those of different senders in any order. Everything a core asks for is answered
//! exactly once: a [`Effect::Send`] by [`Event::Sent`], an `Append`, `Put` or `Load` by [`Event::Stored`], an
//! [`Event::Admin`] by [`Effect::Answer`]. Lanes never overflow: the core counts its credit (see [`Event::Credit`]).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use trunkline_wire::ids::{DeviceId, TenantId, UserId};

use crate::archive::{ArchiveAnswer, ArchiveRequest};
use crate::contacts::{ContactsAnswer, ContactsRequest};
use crate::counters::Counters;
use crate::directory::{DirectoryAnswer, DirectoryRequest};
use crate::entry::Entry;
use crate::store::{Append, Load, Put, Revocation, StoreResult, UserKey, UserRow};

/// Number of a shard in its process, from 0.
pub type ShardId = u16;

/// The time of a turn. Timers run on the monotonic clock, timestamps on the wall clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// Nanoseconds of a monotonic clock.
    pub mono_ns: u64,
    /// Milliseconds since 1970.
    pub wall_ms: u64,
}

/// A connection of one shard: the driver's slot, and a generation that tells its successive users apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectionId {
    /// The driver's slot.
    pub slot: u32,
    /// Counts the connections that had this slot; never the same twice in a row.
    pub generation: u32,
}

/// Names one outstanding request of a core to its driver, or of an administrator to a core.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// Where a connection comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PeerAddress {
    /// IPv6, or IPv4 mapped into it (RFC 4291, 2.5.5.2).
    pub ip: [u8; 16],
}

/// Bytes for a socket: a connection's own, or one encoding that many connections share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Bytes {
    /// The connection's own; the buffer comes back with [`Event::Sent`].
    Owned(Vec<u8>),
    /// Shared by reference.
    Shared(Arc<[u8]>),
}

impl Bytes {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Bytes::Owned(bytes) => bytes,
            Bytes::Shared(bytes) => bytes,
        }
    }
}

/// What happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A connection was accepted; its id is new.
    Accepted {
        /// The connection.
        connection: ConnectionId,
        /// Its other end.
        peer: PeerAddress,
    },
    /// A connection has come back from whoever answers other requests; its WebSocket is open, its id is new.
    Returned {
        /// The connection.
        connection: ConnectionId,
        /// Its other end.
        peer: PeerAddress,
    },
    /// Bytes came in. They are unmasked in place.
    Received {
        /// The connection.
        connection: ConnectionId,
        /// What came, at least one byte.
        bytes: &'a mut [u8],
    },
    /// A [`Effect::Send`] ended: everything was handed to the kernel, or the connection is broken.
    Sent {
        /// The connection.
        connection: ConnectionId,
        /// Whether all bytes went.
        complete: bool,
        /// The buffer of a [`Bytes::Owned`], to be used again.
        buffer: Option<Vec<u8>>,
    },
    /// The peer's end of stream, or an error: nothing more will be received. The core answers with [`Effect::Close`].
    Ended {
        /// The connection.
        connection: ConnectionId,
    },
    /// The connection's slot is free again; its id is never seen any more.
    Closed {
        /// The connection.
        connection: ConnectionId,
    },
    /// An entry from another shard.
    Posted {
        /// Its sender.
        from: ShardId,
        /// The entry.
        entry: Entry,
    },
    /// `entries` that count against this core's credit were taken out of its lane to `shard`.
    Credit {
        /// The lane's other end.
        shard: ShardId,
        /// How many; see [`Entry::is_answer`] for which do not count.
        entries: u32,
    },
    /// The store has answered.
    Stored {
        /// What was asked.
        ticket: Ticket,
        /// The answer.
        result: StoreResult,
    },
    /// An administrator asks.
    Admin {
        /// Comes back with [`Effect::Answer`].
        ticket: Ticket,
        /// The request.
        request: AdminRequest,
    },
    /// Stop: tell the clients, finish what is under way, close. [`Effect::Drained`] follows once.
    Drain,
}

/// What is to be done.
#[derive(Debug)]
pub enum Effect {
    /// Send on a connection. At most one is outstanding per connection.
    Send {
        /// The connection.
        connection: ConnectionId,
        /// What to send, at least one byte.
        bytes: Bytes,
    },
    /// Shut the connection down in both directions and free its slot. Emitted once per connection. A send that is still
    /// outstanding ends first (it fails), then [`Event::Closed`] follows.
    Close {
        /// The connection.
        connection: ConnectionId,
    },
    /// Give the connection to whoever answers requests for other paths, with all bytes that came, and those that still come
    /// until its receive has ended; free its slot. No send is outstanding. Emitted by [`Core::work`], so that no
    /// [`Event::Received`] comes behind it, and once per connection, instead of [`Effect::Close`]; [`Event::Closed`] follows.
    HandOver {
        /// The connection.
        connection: ConnectionId,
        /// What came so far.
        bytes: Vec<u8>,
    },
    /// Append to the log; gates acks.
    Append {
        /// Comes back with the answer.
        ticket: Ticket,
        /// The rows.
        append: Box<Append>,
    },
    /// Write to the index.
    Put {
        /// Comes back with the answer.
        ticket: Ticket,
        /// What to write.
        put: Box<Put>,
    },
    /// Read from log and index.
    Load {
        /// Comes back with the answer.
        ticket: Ticket,
        /// What to read.
        load: Box<Load>,
    },
    /// Hand an entry to another shard (never to oneself).
    Post {
        /// The receiver.
        shard: ShardId,
        /// The entry.
        entry: Entry,
    },
    /// Answer an administrator.
    Answer {
        /// From the [`Event::Admin`].
        ticket: Ticket,
        /// The answer.
        answer: AdminAnswer,
    },
    /// The drain is over: no connection, no send and no append is left.
    Drained,
}

/// The effects of a turn, in order.
#[derive(Debug, Default)]
pub struct Effects {
    queue: Vec<Effect>,
}

impl Effects {
    /// None yet.
    pub fn new() -> Effects {
        Effects::default()
    }

    /// Adds one.
    pub fn push(&mut self, effect: Effect) {
        self.queue.push(effect);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes all of them, in order; the room is kept.
    pub fn drain(&mut self) -> impl Iterator<Item = Effect> + '_ {
        self.queue.drain(..)
    }
}

/// A pure state machine that an engine's loop drives.
pub trait Core {
    /// Takes one event and emits what follows from it.
    fn apply(&mut self, now: Now, event: Event<'_>, effects: &mut Effects);

    /// Goes on with what was put off: flushes outboxes, long fan-outs, timers that are due. Called at least once per turn,
    /// after the turn's events. Messages go to at most about `budget`
    /// recipients; true when there is more to do at once.
    fn work(&mut self, now: Now, budget: u32, effects: &mut Effects) -> bool;

    /// When [`Core::work`] wants to be called even if nothing happens, in monotonic nanoseconds.
    fn next_deadline(&self) -> Option<u64>;
}

/// What an administrator asks a shard. Requests about a user go to the user's home.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AdminRequest {
    /// Makes an account: writes its row, then claims the handle.
    CreateUser {
        /// The tenant.
        tenant: TenantId,
        /// A new random id.
        user: UserId,
        /// The handle as shown.
        handle: String,
        /// The handle as it is unique ([`trunkline_wire::handle::Handle::fold`]).
        folded: String,
        /// [`UserRow::account`] to begin with.
        account: Vec<u8>,
    },
    /// Reads an account.
    ReadAccount {
        /// The tenant.
        tenant: TenantId,
        /// The user.
        user: UserId,
    },
    /// Changes an account that is as it was read.
    WriteAccount {
        /// The tenant.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// [`UserRow::version`] as it was read.
        version: u64,
        /// [`UserRow::account`] as it is to be.
        account: Vec<u8>,
        /// The user gets a device more.
        adds_device: bool,
    },
    /// Who has a handle? Any shard answers.
    FindHandle {
        /// The tenant.
        tenant: TenantId,
        /// The handle as it is unique.
        folded: String,
    },
    /// Makes a device number for a user.
    CreateDevice {
        /// The tenant.
        tenant: TenantId,
        /// The user.
        user: UserId,
    },
    /// Makes tokens worthless, and ends the sessions that began with them.
    Revoke(Revocation),
    /// Whether a token is worth nothing, though it is signed and has not ended.
    IsRevoked {
        /// Whose it is.
        key: UserKey,
        /// Of which device.
        device: DeviceId,
        /// When it was issued, in seconds since 1970.
        issued_s: u64,
    },
    /// What users are to each other.
    Contacts(ContactsRequest),
    /// What there is; any shard answers.
    Directory(DirectoryRequest),
    /// What imports and exports ask of conversations.
    Archive(Box<ArchiveRequest>),
    /// This shard's counters.
    Counters,
}

/// What a shard answers to an administrator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AdminAnswer {
    /// The account exists, with this first device.
    UserCreated(DeviceId),
    /// The handle belongs to somebody.
    HandleTaken,
    /// Who has the handle.
    HandleFound(Option<UserId>),
    /// The new device.
    DeviceCreated(DeviceId),
    /// The account as it is now.
    Account(Box<UserRow>),
    /// The account was changed; how many devices were given out so far.
    AccountWritten(DeviceId),
    /// Somebody else changed the account meanwhile; nothing was written.
    AccountChanged,
    /// The tokens are worth nothing any more, also after a crash; their sessions are ending.
    Revoked,
    /// Whether it is.
    IsRevoked(bool),
    /// No such user.
    UnknownUser,
    /// What users are to each other.
    Contacts(ContactsAnswer),
    /// What there is.
    Directory(DirectoryAnswer),
    /// To an import or an export.
    Archive(Box<ArchiveAnswer>),
    /// The counters.
    Counters(Box<Counters>),
    /// No room now: ask again.
    Busy,
    /// The disk is full; nothing was written.
    StorageFull,
    /// The store failed, or its answer is not known.
    StorageUnavailable,
}
