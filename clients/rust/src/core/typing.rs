//! Who types, here and elsewhere. Nothing of it is kept, and nothing of it waits.

use std::collections::BTreeMap;

use trunkline_wire::ids::{ConversationId, UserId};

use super::event::ClientEvent;
use super::outlet::{Outlet, Purpose};
use crate::limits::{EVENTS_WAITING_MAX, TYPING_EVERY_MS, TYPING_LONGEST_MS, TYPISTS_MAX};

#[derive(Debug, Default)]
pub(super) struct Typing {
    /// When the server was last told that this user types.
    told: BTreeMap<ConversationId, u64>,
    /// Until when others do.
    typists: BTreeMap<(ConversationId, UserId), u64>,
}

impl Typing {
    /// This user types: the server is told, unless it was a moment ago. `live`: it can be told.
    pub(super) fn types(&mut self, out: &mut Outlet, live: bool, conversation: ConversationId) {
        let now_ms = out.now_ms;
        self.told.retain(|_, at_ms| *at_ms + TYPING_EVERY_MS > now_ms);
        if live && out.has_room() && !self.told.contains_key(&conversation) {
            self.told.insert(conversation, now_ms);
            out.ask(Purpose::Typing, |encoder, request| encoder.typing(request, conversation));
        }
    }

    /// Another user types.
    pub(super) fn typed(&mut self, out: &mut Outlet, conversation: ConversationId, user: UserId, expires_ms: u32) {
        let known = self.typists.contains_key(&(conversation, user));
        if out.events.len() >= EVENTS_WAITING_MAX || self.typists.len() >= TYPISTS_MAX && !known {
            return;
        }
        let until_ms = out.now_ms + u64::from(expires_ms).clamp(1, TYPING_LONGEST_MS);
        self.typists.insert((conversation, user), until_ms);
        out.event(ClientEvent::Typing { conversation, user, until_ms });
    }

    /// A message of a user came.
    pub(super) fn said(&mut self, out: &mut Outlet, conversation: ConversationId, user: UserId) {
        if self.typists.remove(&(conversation, user)).is_some() {
            out.event(ClientEvent::TypingEnded { conversation, user });
        }
    }

    /// Tells whose time is over.
    pub(super) fn expire(&mut self, out: &mut Outlet) {
        let over = self.typists.extract_if(.., |_, until_ms| *until_ms <= out.now_ms);
        let over: Vec<(ConversationId, UserId)> = over.map(|(key, _)| key).collect();
        for (conversation, user) in over {
            out.event(ClientEvent::TypingEnded { conversation, user });
        }
    }

    pub(super) fn deadline_ms(&self) -> Option<u64> {
        self.typists.values().copied().min()
    }
}
