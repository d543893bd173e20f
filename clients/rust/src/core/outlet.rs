//! What the parts of the core share: the table of requests, what goes out, randomness and the time of the input.

use std::collections::{BTreeMap, VecDeque};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use trunkline_wire::ids::{ConversationId, MessageId};
use trunkline_wire::limits::REQUESTS_OUTSTANDING_MAX;
use trunkline_wire::message::{Encoded, Encoder};

use super::commands::Command;
use super::event::ClientEvent;
use super::message::Message;
use super::reporting::Report;
use crate::limits::{REQUEST_TIMEOUT_MS, RETRY_FIRST_MS, RETRY_MAX_MS};

/// What a request was sent for.
#[derive(Debug)]
pub(super) enum Purpose {
    Hello,
    /// What changed in the user's list.
    Sync,
    /// A conversation's numbers, before sending there.
    OpenToSend(ConversationId),
    /// Messages by number and id.
    Send(ConversationId, Vec<(u64, MessageId)>),
    /// Whether a message is in history.
    LookUp(ConversationId),
    /// A gap, from this seq on.
    CatchUp(ConversationId, u64),
    /// Whether what was told is still there.
    Compare(ConversationId),
    /// What conversation it is of which a message came.
    Describe(ConversationId),
    /// How far the program is.
    Report(Report),
    Typing,
    Command(Command),
}

impl Purpose {
    fn serves_sending(&self) -> bool {
        matches!(self, Purpose::OpenToSend(_) | Purpose::Send(..) | Purpose::LookUp(_))
    }
}

#[derive(Debug)]
struct Outstanding {
    deadline_ms: u64,
    purpose: Purpose,
}

/// The requests in flight and everything that leaves the core.
pub(super) struct Outlet {
    pub(super) now_ms: u64,
    pub(super) rng: ChaCha8Rng,
    pub(super) transmits: VecDeque<Vec<u8>>,
    pub(super) events: VecDeque<ClientEvent>,
    /// Own messages that became durable, for their place among the others.
    pub(super) own: Vec<Message>,
    /// Conversations that go on from an earlier seq, for what is known of their numbers.
    pub(super) rewound: Vec<(ConversationId, u64)>,
    encoder: Encoder,
    /// By wire number, which grows over all connections: an answer of an earlier one fits no request.
    outstanding: BTreeMap<u32, Outstanding>,
    last_request: u32,
}

impl Outlet {
    pub(super) fn new(seed: [u8; 32]) -> Outlet {
        Outlet {
            now_ms: 0,
            rng: ChaCha8Rng::from_seed(seed),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            own: Vec::new(),
            rewound: Vec::new(),
            encoder: Encoder::new(),
            outstanding: BTreeMap::new(),
            last_request: 0,
        }
    }

    pub(super) fn event(&mut self, event: ClientEvent) {
        self.events.push_back(event);
    }

    pub(super) fn has_room(&self) -> bool {
        self.outstanding.len() < REQUESTS_OUTSTANDING_MAX
    }

    pub(super) fn sending(&self) -> usize {
        self.outstanding.values().filter(|request| request.purpose.serves_sending()).count()
    }

    pub(super) fn catching_up(&self) -> usize {
        let is_of_these =
            |purpose: &Purpose| matches!(purpose, Purpose::CatchUp(..) | Purpose::Compare(_) | Purpose::Describe(_));
        self.outstanding.values().filter(|request| is_of_these(&request.purpose)).count()
    }

    /// Sends a request.
    pub(super) fn ask(&mut self, purpose: Purpose, encode: impl FnOnce(&mut Encoder, u32) -> Encoded<'_>) {
        assert!(self.has_room(), "the caller looks for room first");
        self.last_request = self.last_request.checked_add(1).unwrap_or(1);
        let mut envelope = Vec::new();
        encode(&mut self.encoder, self.last_request).write_envelope(&mut envelope);
        self.transmits.push_back(envelope);
        let deadline_ms = self.now_ms + REQUEST_TIMEOUT_MS;
        self.outstanding.insert(self.last_request, Outstanding { deadline_ms, purpose });
    }

    /// What an answer's number was sent for.
    pub(super) fn take(&mut self, request: u32) -> Option<Purpose> {
        self.outstanding.remove(&request).map(|outstanding| outstanding.purpose)
    }

    /// Forgets the connection: its requests, in order, have no answer.
    pub(super) fn disconnect(&mut self) -> Vec<Purpose> {
        self.transmits.clear();
        std::mem::take(&mut self.outstanding).into_values().map(|outstanding| outstanding.purpose).collect()
    }

    /// When the first request is overdue.
    pub(super) fn deadline_ms(&self) -> Option<u64> {
        self.outstanding.values().map(|request| request.deadline_ms).min()
    }

    /// When to repeat what was refused `failures` times before: not before what the server asked, spread by half.
    pub(super) fn retry_after(&mut self, asked_ms: u32, failures: u32) -> u64 {
        let base_ms = match asked_ms {
            0 => (RETRY_FIRST_MS << failures.min(16)).min(RETRY_MAX_MS),
            asked_ms => u64::from(asked_ms),
        };
        base_ms + below(&mut self.rng, base_ms / 2 + 1)
    }

    /// A number that nothing else has, and not 0.
    pub(super) fn random_id(&mut self) -> u64 {
        loop {
            let id = self.rng.next_u64();
            if id != 0 {
                return id;
            }
        }
    }

    pub(super) fn message_id(&mut self) -> MessageId {
        MessageId(self.random_id())
    }
}

/// A number below `bound`, which is at least 1. The bias of the remainder is below 2^-40 for the waits it serves.
pub(super) fn below(rng: &mut ChaCha8Rng, bound: u64) -> u64 {
    rng.next_u64() % bound.max(1)
}
