//! What a shard counts: plain numbers of its own, read by asking it.

use trunkline_wire::message::ErrorCode;
use trunkline_wire::violation::Violation;

use crate::histogram::Histogram;

const ERROR_CODES: usize = ErrorCode::ALL.len();

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// Counted since the start, but for those that say what there is now.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct Counters {
            $($(#[doc = $doc])* pub $name: u64,)*
            /// Connections closed for a violation, by violation.
            pub violations: [u64; Violation::COUNT],
            /// Errors answered and messages refused, by code.
            pub errors: [u64; ERROR_CODES],
            /// Microseconds from a message's acceptance at the home of its conversation to each copy's hand-over to a session.
            pub delivery_us: Histogram,
        }

        /// What each counter with a name of its own counts.
        pub const ABOUT: &[(&str, &str)] = &[$((stringify!($name), concat!($($doc),*)),)*];

        impl Default for Counters {
            fn default() -> Counters {
                Counters { $($name: 0,)* violations: [0; Violation::COUNT], errors: [0; ERROR_CODES], delivery_us: Histogram::default() }
            }
        }

        impl Counters {
            /// Adds another shard's.
            pub fn add(&mut self, other: &Counters) {
                let depth = self.lane_depth_max.max(other.lane_depth_max);
                $(self.$name += other.$name;)*
                self.lane_depth_max = depth;
                self.delivery_us.add(&other.delivery_us);
                self.violations.iter_mut().zip(other.violations).for_each(|(a, b)| *a += b);
                self.errors.iter_mut().zip(other.errors).for_each(|(a, b)| *a += b);
            }

            /// Every counter by name; violations as `violation.NAME`, errors as `error.NAME`, what is measured as
            /// `delivery.NAME`, given as (prefix, name).
            pub fn each(&self, mut visit: impl FnMut(&str, &str, u64)) {
                $(visit("", stringify!($name), self.$name);)*
                visit("delivery.", "count", self.delivery_us.count());
                visit("delivery.", "sum_us", self.delivery_us.sum());
                for violation in Violation::ALL {
                    visit("violation.", violation.name(), self.violations[violation as usize]);
                }
                for code in ErrorCode::ALL {
                    visit("error.", code.name(), self.errors[usize::from(code.number()) - 1]);
                }
            }
        }
    };
}

counters! {
    /// Connections accepted.
    connections_accepted,
    /// Connections handed over, since they asked for another path.
    connections_handed_over,
    /// Connections that came back to open a WebSocket.
    connections_returned,
    /// Connections there are now.
    connections_open,
    /// Sessions there are now.
    sessions_open,
    /// Sessions whose connection ended without a close by either side.
    sessions_lost,
    /// Bytes received from clients.
    bytes_received,
    /// Envelopes received from clients.
    envelopes_received,
    /// Messages made durable.
    messages_stored,
    /// Copies of messages handed to sessions, by the homes of their users.
    messages_delivered,
    /// Copies of messages that lagging sessions did not get; each frame that their connection dropped counts as one.
    messages_dropped,
    /// Conversations taken up from the store.
    conversations_loaded,
    /// Conversations that went from memory for want of room.
    conversations_evicted,
    /// Conversations in memory now.
    conversations_cached,
    /// Users taken up from the store.
    users_loaded,
    /// Users that went from memory for want of room.
    users_evicted,
    /// Users in memory now.
    users_cached,
    /// Bytes of conversations and users in memory now, as counted against `cache_bytes_max`.
    cache_bytes,
    /// Conversations that were announced again because a mark said so.
    marks_replayed,
    /// Rows of users' lists made durable.
    list_rows_stored,
    /// Syncs answered from memory.
    syncs_from_memory,
    /// Syncs answered from the store.
    syncs_from_store,
    /// Syncs answered with the whole list, since the position meant nothing.
    resyncs,
    /// Times that a session began to lag.
    sessions_lagged,
    /// Frames that lagging sessions did not get.
    frames_dropped,
    /// Watermarks stored.
    receipts_stored,
    /// Appends that had to be written again because their answer was not known.
    appends_repeated,
    /// Entries posted to other shards.
    entries_posted,
    /// Fan-outs that had to wait for credit.
    fanouts_delayed,
    /// Requests that found their conversation in memory.
    conversations_found,
    /// Frames put into outboxes: answers, messages and notices.
    frames_queued,
    /// Sends handed to the kernel; what gathers for a connection in a turn is one of them.
    sends,
    /// Turns of the loop.
    turns,
    /// Times that the loop entered the kernel.
    kernel_entries,
    /// Completions that the kernel gave.
    completions,
    /// Entries of other shards taken out of lanes.
    lane_entries,
    /// Most entries of other shards that one turn found waiting.
    lane_depth_max,
    /// TLS handshakes that were done.
    tls_handshakes,
    /// Connections that ended for what their peer did in TLS.
    tls_failures,
}

/// The counters that do not only grow: what there is now, or was at most.
pub const GAUGES: &[&str] =
    &["connections_open", "sessions_open", "conversations_cached", "users_cached", "cache_bytes", "lane_depth_max"];

/// What the log's thread counts, for all shards together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StoreCounters {
    /// Writes of each group: what one sync makes durable.
    pub group_writes: Histogram,
    /// Bytes of each group, as they count against its bound.
    pub group_bytes: Histogram,
    /// Microseconds to write and sync each group.
    pub commit_us: Histogram,
}

impl Counters {
    /// Counts a connection closed for a violation.
    pub fn count_violation(&mut self, violation: Violation) {
        self.violations[violation as usize] += 1;
    }

    /// Counts an error.
    pub fn count_error(&mut self, code: ErrorCode) {
        self.errors[usize::from(code.number()) - 1] += 1;
    }
}
