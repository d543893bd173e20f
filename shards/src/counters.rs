//! What a shard counts: plain numbers of its own, read by asking it.

use trunkline_wire::message::ErrorCode;
use trunkline_wire::violation::Violation;

const ERROR_CODES: usize = ErrorCode::ALL.len();

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counted since the start, but for `connections_open` and `sessions_open`, which say how many there are.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
            /// Connections closed for a violation, by violation.
            pub violations: [u64; Violation::COUNT],
            /// Errors answered and messages refused, by code.
            pub errors: [u64; ERROR_CODES],
        }

        impl Default for Counters {
            fn default() -> Counters {
                Counters { $($name: 0,)* violations: [0; Violation::COUNT], errors: [0; ERROR_CODES] }
            }
        }

        impl Counters {
            /// Adds another shard's.
            pub fn add(&mut self, other: &Counters) {
                $(self.$name += other.$name;)*
                self.violations.iter_mut().zip(other.violations).for_each(|(a, b)| *a += b);
                self.errors.iter_mut().zip(other.errors).for_each(|(a, b)| *a += b);
            }

            /// Every counter by name; violations as `violation.NAME`, errors as `error.NAME`, given as (prefix, name).
            pub fn each(&self, mut visit: impl FnMut(&str, &str, u64)) {
                $(visit("", stringify!($name), self.$name);)*
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
    /// Connections there are now.
    connections_open,
    /// Sessions there are now.
    sessions_open,
    /// Bytes received from clients.
    bytes_received,
    /// Envelopes received from clients.
    envelopes_received,
    /// Messages made durable.
    messages_stored,
    /// Copies of messages handed to sessions, by the homes of their users.
    messages_delivered,
    /// Conversations taken up from the store.
    conversations_loaded,
    /// Appends that had to be written again because their answer was not known.
    appends_repeated,
    /// Entries posted to other shards.
    entries_posted,
    /// Fan-outs that had to wait for credit.
    fanouts_delayed,
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
