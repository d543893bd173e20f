//! What a program stores to go on where it left off: a position, and the data it describes, in one value.

use std::collections::BTreeMap;

use trunkline_wire::ids::{ConversationId, UserId};

use super::conversation::Summary;
use super::event::ClientEvent;

/// How far a program is: what [`Follow::Behind`](super::Follow::Behind) goes on from.
///
/// A program that keeps messages folds each event into its state when it has handled it, and stores messages and state
/// in one write. A position without the messages it speaks of, or of another moment than the places, loses messages.
///
/// ```
/// # use trunkline_client::core::{ClientEvent, State};
/// # fn store(_: &[u8]) {}
/// # fn handle(mut state: State, event: ClientEvent) {
/// if state.apply(&event) {
///     store(&state.encode());
/// }
/// # }
/// # handle(State::default(), ClientEvent::Synced);
/// ```
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct State {
    /// All changes of the user's list up to this number are in here. 0: nothing is known.
    pub position: u64,
    /// The last seq that was told of each conversation; below it all is told.
    pub places: BTreeMap<ConversationId, u64>,
    /// The list of conversations.
    pub conversations: BTreeMap<ConversationId, Summary>,
    /// The epoch of what was told last of each conversation, where a backup was ever restored.
    pub epochs: BTreeMap<ConversationId, u64>,
}

const MAGIC: &[u8; 8] = b"tl-stat1";
/// With epochs behind all else; without any, it is what earlier versions read.
const MAGIC_WITH_EPOCHS: &[u8; 8] = b"tl-stat2";

impl State {
    /// Takes in an event that the program has handled; says whether something changed.
    pub fn apply(&mut self, event: &ClientEvent) -> bool {
        match event {
            ClientEvent::Message(message) => {
                if message.epoch > 1 {
                    self.epochs.insert(message.conversation, message.epoch);
                }
                self.reach(message.conversation, message.seq)
            }
            ClientEvent::Missed { conversation, to_seq, .. } => self.reach(*conversation, *to_seq),
            ClientEvent::Rewound { conversation, seq, epoch } => {
                self.epochs.insert(*conversation, *epoch);
                self.places.insert(*conversation, seq.saturating_sub(1));
                true
            }
            ClientEvent::ConversationChanged(summary) => {
                self.conversations.insert(summary.conversation, summary.clone());
                true
            }
            ClientEvent::ConversationRemoved { conversation } => self.conversations.remove(conversation).is_some(),
            ClientEvent::Position { position, places } => {
                self.position = *position;
                self.places.extend(places.iter().copied());
                true
            }
            _ => false,
        }
    }

    fn reach(&mut self, conversation: ConversationId, seq: u64) -> bool {
        let place = self.places.entry(conversation).or_default();
        let moves = seq > *place;
        *place = seq.max(*place);
        moves
    }

    /// As bytes, for programs that have no format of their own.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = if self.epochs.is_empty() { MAGIC.to_vec() } else { MAGIC_WITH_EPOCHS.to_vec() };
        let number = |out: &mut Vec<u8>, number: u64| out.extend_from_slice(&number.to_le_bytes());
        number(&mut out, self.position);
        number(&mut out, self.places.len() as u64);
        for (conversation, seq) in &self.places {
            out.extend_from_slice(&conversation.0);
            number(&mut out, *seq);
        }
        number(&mut out, self.conversations.len() as u64);
        for summary in self.conversations.values() {
            out.extend_from_slice(&summary.conversation.0);
            number(&mut out, u64::from(summary.kind));
            number(&mut out, summary.peer.map_or(0, |peer| peer.0));
            let numbers = [summary.last_seq, summary.read_seq, summary.joined_seq];
            numbers.into_iter().for_each(|value| number(&mut out, value));
            number(&mut out, summary.left_seq.unwrap_or(0));
            number(&mut out, summary.user_seq);
            let title = summary.title.as_deref().unwrap_or_default();
            number(&mut out, title.len() as u64);
            out.extend_from_slice(title.as_bytes());
        }
        if !self.epochs.is_empty() {
            number(&mut out, self.epochs.len() as u64);
        }
        for (conversation, epoch) in &self.epochs {
            out.extend_from_slice(&conversation.0);
            number(&mut out, *epoch);
        }
        out
    }

    /// Reads what [`State::encode`] made; `None`: it is something else, or not whole.
    pub fn decode(bytes: &[u8]) -> Option<State> {
        let mut rest = Reader(bytes);
        let magic = rest.take(MAGIC.len())?;
        (magic == MAGIC || magic == MAGIC_WITH_EPOCHS).then_some(())?;
        let mut state = State { position: rest.number()?, ..State::default() };
        for _ in 0..rest.number()? {
            state.places.insert(rest.conversation()?, rest.number()?);
        }
        for _ in 0..rest.number()? {
            let summary = rest.summary()?;
            state.conversations.insert(summary.conversation, summary);
        }
        if magic == MAGIC_WITH_EPOCHS {
            for _ in 0..rest.number()? {
                state.epochs.insert(rest.conversation()?, rest.number()?);
            }
        }
        rest.0.is_empty().then_some(state)
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn conversation(&mut self) -> Option<ConversationId> {
        Some(ConversationId(self.take(16)?.try_into().ok()?))
    }

    fn summary(&mut self) -> Option<Summary> {
        let some = |number: u64| (number != 0).then_some(number);
        let mut summary = Summary {
            conversation: self.conversation()?,
            kind: u8::try_from(self.number()?).ok()?,
            peer: some(self.number()?).map(UserId),
            title: None,
            last_seq: self.number()?,
            read_seq: self.number()?,
            joined_seq: self.number()?,
            left_seq: some(self.number()?),
            user_seq: self.number()?,
        };
        let title_bytes = usize::try_from(self.number()?).ok()?;
        let title = std::str::from_utf8(self.take(title_bytes)?).ok()?;
        summary.title = (!title.is_empty()).then(|| title.to_owned());
        Some(summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let [one, two] = [1, 2].map(|byte| ConversationId([byte; 16]));
        let summary = |conversation, title: Option<&str>| Summary {
            conversation,
            kind: 2,
            peer: title.is_none().then_some(UserId(5)),
            title: title.map(str::to_owned),
            last_seq: 9,
            read_seq: 4,
            joined_seq: 2,
            left_seq: title.map(|_| 9),
            user_seq: 1 << 41,
        };
        State {
            position: 77,
            places: [(one, 9), (two, 0)].into(),
            conversations: [(one, summary(one, Some("Tëam"))), (two, summary(two, None))].into(),
            epochs: BTreeMap::new(),
        }
    }

    #[test]
    fn a_state_comes_back_whole_or_not_at_all() {
        let restored = State { epochs: [(ConversationId([2; 16]), 3)].into(), ..state() };
        for state in [state(), restored] {
            let bytes = state.encode();
            assert_eq!(State::decode(&bytes), Some(state));
            for cut in 0..bytes.len() {
                assert_eq!(State::decode(&bytes[..cut]), None, "cut at {cut}");
            }
            assert_eq!(State::decode(&[&bytes[..], b"x"].concat()), None);
        }
        assert_eq!(State::decode(&State::default().encode()), Some(State::default()));
    }

    #[test]
    fn places_rise_with_messages_and_fall_only_with_a_restored_server() {
        let conversation = ConversationId([1; 16]);
        let mut state = state();
        assert!(!state.apply(&ClientEvent::Missed { conversation, from_seq: 3, to_seq: 5 }));
        assert!(state.apply(&ClientEvent::Missed { conversation, from_seq: 10, to_seq: 12 }));
        assert_eq!(state.places[&conversation], 12);
        assert!(state.apply(&ClientEvent::Rewound { conversation, epoch: 2, seq: 4 }));
        assert_eq!((state.places[&conversation], state.epochs[&conversation]), (3, 2));
        assert!(!state.apply(&ClientEvent::Synced));
    }
}
