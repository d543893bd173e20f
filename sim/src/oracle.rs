//! What must hold, checked over everything that any client ever saw, against the logs as the store has them.

pub mod blocks;
pub mod lists;
pub mod logs;
pub mod streams;
pub mod texts;
pub mod watermarks;

use std::collections::{BTreeMap, BTreeSet};

use trunkline_wire::ids::{ConversationId, DeviceId, TenantId, UserId};
use trunkline_wire::message::ConversationKind;

use crate::store::Store;
use blocks::{Blocks, Certainty};
use lists::{ListedRow, Lists};
use logs::{Log, Logs, Seen};
use texts::Texts;
use watermarks::{Mark, Watermarks};

/// The one tenant of a world.
pub const TENANT: TenantId = TenantId(0);

/// Nothing, or which promise was broken and how.
pub type Verdict = Result<(), String>;

/// Everything that was seen and said.
pub struct Oracle {
    pub logs: Logs,
    pub texts: Texts,
    pub lists: Lists,
    pub watermarks: Watermarks,
    pub blocks: Blocks,
    /// Who said that it types where.
    pub typed: BTreeSet<(ConversationId, UserId)>,
    /// The highest seq that the server showed that it knows to be durable.
    public: BTreeMap<ConversationId, u64>,
}

impl Oracle {
    /// Nothing yet.
    pub fn new(group_members_max: u64) -> Oracle {
        Oracle {
            logs: Logs::new(group_members_max),
            texts: Texts::default(),
            lists: Lists::default(),
            watermarks: Watermarks::default(),
            blocks: Blocks::default(),
            typed: BTreeSet::new(),
            public: BTreeMap::new(),
        }
    }

    /// A conversation's log up to a seq at least, or up to its end where that is not there yet.
    pub fn log_up_to(&mut self, store: &Store, conversation: ConversationId, seq: u64) -> Result<&Log, String> {
        if self.logs.log(conversation).is_some_and(|log| log.last() < seq) {
            self.logs.read_on(store, &self.texts, conversation)?;
        }
        let log = self.logs.log(conversation);
        log.ok_or_else(|| format!("SEC-3: somebody was told of {conversation}, which nobody made"))
    }

    /// The same up to its end.
    pub fn log_now(&mut self, store: &Store, conversation: ConversationId) -> Result<&Log, String> {
        self.log_up_to(store, conversation, u64::MAX)
    }

    /// The server showed that it knows a seq to be durable.
    pub fn heard_of(&mut self, conversation: ConversationId, seq: u64) {
        let public = self.public.entry(conversation).or_default();
        *public = (*public).max(seq);
    }

    /// Whether the server knows that a user is or was a member.
    pub fn is_known_member(&self, conversation: ConversationId, user: UserId) -> bool {
        let public = self.public.get(&conversation).copied().unwrap_or(0);
        let log = self.logs.log(conversation);
        log.is_some_and(|log| log.windows(user).iter().any(|window| window.joined <= public))
    }

    /// What is certain of whether the other one of a 1:1 blocks a user.
    pub fn block_of(&self, conversation: ConversationId, user: UserId) -> Certainty {
        let log = self.logs.log(conversation).filter(|log| log.kind() == ConversationKind::Direct);
        let other = log.and_then(|log| log.everyone().into_iter().find(|&peer| peer != user));
        other.map_or(Certainty::OPEN, |other| self.blocks.certainty(other, user))
    }

    /// A client was shown a message, live or by history.
    pub fn shown(&mut self, store: &Store, user: UserId, conversation: ConversationId, seen: &Seen<'_>) -> Verdict {
        self.heard_of(conversation, seen.seq);
        let log = self.log_up_to(store, conversation, seen.seq)?;
        log.check_shown(user, seen).map_err(|what| format!("{what} (in {conversation})"))
    }

    /// A client was told a row of its list.
    pub fn listed(&mut self, store: &Store, device: (UserId, DeviceId), row: &ListedRow) -> Verdict {
        self.heard_of(row.conversation, row.last_seq);
        self.log_now(store, row.conversation)?;
        self.lists.told(store, &self.logs, device, row)
    }

    /// Somebody was told how far a user is.
    pub fn marked(&mut self, store: &Store, conversation: ConversationId, user: UserId, told: Mark) -> Verdict {
        self.log_up_to(store, conversation, told.delivered)?;
        let Some(log) = self.logs.log(conversation) else { return Ok(()) };
        self.watermarks.check(conversation, log, user, told)
    }
}
