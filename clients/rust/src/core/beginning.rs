//! Where the streams of a device begin that stores nothing.

use std::collections::BTreeMap;

use trunkline_wire::ids::ConversationId;

use super::conversation::Opened;

/// What was there when the device first came, as far as that is known.
#[derive(Default)]
pub(super) struct Beginning {
    places: BTreeMap<ConversationId, u64>,
    /// What is not among the places was not there.
    is_whole: bool,
}

impl Beginning {
    /// These were all the conversations there were, each with its last seq.
    pub(super) fn with(places: BTreeMap<ConversationId, u64>) -> Beginning {
        Beginning { places, is_whole: true }
    }

    /// This client made a conversation: there is nothing old in it.
    pub(super) fn made(&mut self, conversation: ConversationId) {
        self.places.entry(conversation).or_insert(0);
    }

    /// The seq a stream begins with, if that is known: behind what the device confirmed, or behind what was there when it
    /// first came. A list is no guide to that, since it may not speak yet of what is stored.
    pub(super) fn of(&self, opened: &Opened) -> Option<u64> {
        if opened.delivered_seq > 0 {
            return Some(opened.delivered_seq + 1);
        }
        match self.places.get(&opened.conversation) {
            Some(&place) => Some(place.min(opened.last_seq) + 1),
            None => self.is_whole.then_some(1),
        }
    }
}
