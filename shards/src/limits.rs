//! Every limit of a shard, by name: a value with a default, changed by configuration and never by code.

/// Most rows of [`ConversationImage::recent`](crate::store::ConversationImage), and of a conversation's memory of them.
pub const RECENT_ROWS_MAX: usize = 256;
/// Most bytes of the same, by [`trunkline_wire::limits::message_cost_bytes`].
pub const RECENT_COST_BYTES_MAX: usize = 64 * 1024;

macro_rules! limits {
    ($($(#[doc = $doc:literal])* $name:ident = $default:expr, $low:expr, $high:expr;)*) => {
        /// The limits in force.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct Limits { $($(#[doc = $doc])* pub $name: u64,)* }

        /// What is to be known of each limit, in the order of [`Limits`].
        pub const LIMITS: &[Limit] = &[$(Limit {
            name: stringify!($name),
            about: concat!($($doc),*),
            low: $low,
            high: $high,
        },)*];

        impl Default for Limits {
            fn default() -> Limits { Limits { $($name: $default,)* } }
        }

        impl Limits {
            /// Sets one by name; refused where there is no such limit or the value is out of its bounds (then with them).
            pub fn set(&mut self, name: &str, value: u64) -> Result<(), LimitError> {
                match name {
                    $(stringify!($name) => {
                        if !($low..=$high).contains(&value) {
                            return Err(LimitError::OutOfBounds { low: $low, high: $high });
                        }
                        self.$name = value;
                        Ok(())
                    })*
                    _ => Err(LimitError::Unknown),
                }
            }

            /// The value of one by name, if there is such a limit.
            pub fn value(&self, name: &str) -> Option<u64> {
                match name {
                    $(stringify!($name) => Some(self.$name),)*
                    _ => None,
                }
            }

            /// Every limit with its value in force.
            pub fn each(&self, mut visit: impl FnMut(&'static str, u64)) {
                $(visit(stringify!($name), self.$name);)*
            }
        }

        const _: () = { $(assert!($low <= $default && $default <= $high);)* };
    };
}

/// A limit as its operator sees it.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Its name.
    pub name: &'static str,
    /// What it limits, as a sentence.
    pub about: &'static str,
    /// Lowest value.
    pub low: u64,
    /// Highest value.
    pub high: u64,
}

/// Why a limit was not set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LimitError {
    /// There is no limit of that name.
    Unknown,
    /// The value is not within these bounds.
    OutOfBounds {
        /// Lowest value.
        low: u64,
        /// Highest value.
        high: u64,
    },
}

limits! {
    /// Milliseconds a connection has for its HTTP handshake.
    handshake_ms = 5_000, 10, 600_000;
    /// Milliseconds from the handshake to Hello.
    hello_ms = 5_000, 10, 600_000;
    /// Milliseconds of silence after which a ping is sent; as much again without an answer ends the connection.
    heartbeat_ms = 30_000, 20, 3_600_000;
    /// Milliseconds for the peer to answer a close.
    close_ms = 5_000, 10, 60_000;
    /// Connections of a shard that have not authenticated.
    unauthenticated_max = 2_000, 1, 1_000_000;
    /// Such connections from one address; loopback is exempt.
    unauthenticated_per_address_max = 32, 1, 1_000_000;
    /// Connections of one device at the same time.
    sessions_per_device_max = 4, 1, 64;
    /// Ping and pong frames at once, before `control_per_s` counts.
    control_burst = 40, 1, 1_000_000;
    /// Ping and pong frames a second; pings above it are answered together, a burst beyond that ends the connection.
    control_per_s = 20, 1, 1_000_000;
    /// Messages of a connection at once, before `send_per_s` counts.
    send_burst = 60, 1, 1_000_000_000;
    /// Messages a second of a connection.
    send_per_s = 5, 1, 1_000_000_000;
    /// Messages of a conversation at once, before `conversation_send_per_s` counts.
    conversation_send_burst = 120, 1, 1_000_000_000;
    /// Messages a second of a conversation.
    conversation_send_per_s = 60, 1, 1_000_000_000;
    /// `Open`, `History`, `Members` and `Sync` of a connection at once, before `read_per_s` counts.
    read_burst = 1_000, 1, 1_000_000_000;
    /// `Open`, `History`, `Members` and `Sync` a second of a connection.
    read_per_s = 100, 1, 1_000_000_000;
    /// Handles a user may look up at once.
    lookup_burst = 100, 1, 1_000_000_000;
    /// Seconds after which one more look-up is allowed.
    lookup_every_s = 90, 1, 86_400;
    /// Bytes that nobody asked for in an outbox, beyond which the session gets no more until it has drained, and syncs then.
    outbox_bytes_max = 256 * 1024, 1024, 1 << 30;
    /// Milliseconds without progress of an outbox after which the connection is closed as too slow.
    outbox_stalled_ms = 60_000, 20, 3_600_000;
    /// Messages of a conversation that wait for the store, or for room in a lane to its recipients.
    conversation_pending_max = 256, 1, 4_096;
    /// Bytes of the same.
    conversation_pending_bytes_max = 256 * 1024, 1024, 64 * 1024 * 1024;
    /// Requests that wait for a conversation to be loaded.
    load_waiters_max = 64, 1, 65_536;
    /// Appends of a shard that wait for the store.
    appends_max = 1_024, 1, 65_536;
    /// Reads of a shard that wait for the store.
    loads_max = 256, 1, 65_536;
    /// Index writes of a shard that wait for the store.
    puts_max = 64, 1, 65_536;
    /// Rows after which a conversation's devices are written to the index.
    checkpoint_rows = 256, 1, 1_024;
    /// Rows back to which a repeated send is looked up.
    repeat_rows_max = 1_024, 1, 1_000_000;
    /// Members of a group.
    group_members_max = 1_024, 2, 100_000;
    /// Members of a conversation up to which each gets its messages; of a larger one those who use it now.
    fan_out_members_max = 1_024, 2, 100_000;
    /// Milliseconds after which a larger conversation's other members are told that it went on.
    large_announce_ms = 5_000, 10, 600_000;
    /// Milliseconds since a request about a larger conversation during which its user gets its messages.
    large_watch_ms = 120_000, 10, 3_600_000;
    /// Members of a conversation up to which watermarks and typing are told to the others.
    notice_members_max = 256, 2, 100_000;
    /// Milliseconds within which watermarks of a conversation are told and stored together.
    receipts_every_ms = 500, 1, 600_000;
    /// Milliseconds after which somebody no longer types.
    typing_ms = 5_000, 100, 60_000;
    /// Milliseconds within which changes of a user's list are stored, and told, together.
    list_every_ms = 1_000, 1, 600_000;
    /// Rows in one write of lists.
    list_rows_max = 256, 1, 4_096;
    /// Bytes of users and conversations in a shard's memory, beyond which idle ones go.
    cache_bytes_max = 64 * 1024 * 1024, 1, 1_u64 << 40;
    /// Milliseconds a refused client should wait at least; it is told up to twice as much.
    retry_after_ms = 200, 1, 60_000;
    /// Milliseconds over which clients are told to come back after a drain.
    drain_spread_ms = 2_000, 1, 600_000;
    /// Milliseconds a drain takes at most.
    drain_ms = 8_000, 10, 9_000;
}
