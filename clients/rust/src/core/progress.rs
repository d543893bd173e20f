//! Up to which position everything is done: what was to be done for it is fixed when it is aimed at, so that it is
//! reached however much goes on meanwhile.

use std::collections::BTreeMap;

use trunkline_wire::ids::ConversationId;

#[derive(Debug, Default)]
pub(super) struct Progress {
    position: u64,
    aim: u64,
    /// The seq up to which a conversation is to be done for the aim.
    waiting: BTreeMap<ConversationId, u64>,
}

impl Progress {
    pub(super) fn starting_at(position: u64) -> Progress {
        Progress { position, aim: position, waiting: BTreeMap::new() }
    }

    /// Everything is done up to here.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Whether another position than the one that was reached may be aimed at now.
    pub(super) fn is_ready_for(&self, position: u64) -> bool {
        self.waiting.is_empty() && self.position != position
    }

    /// Aims at a position, for which these conversations are still to be done.
    pub(super) fn aim_at(&mut self, position: u64, waiting: impl Iterator<Item = (ConversationId, u64)>) {
        assert!(self.waiting.is_empty(), "one aim at a time");
        self.aim = position;
        self.waiting = waiting.collect();
        self.arrive();
    }

    /// A conversation is done up to a seq.
    pub(super) fn reached(&mut self, conversation: ConversationId, seq: u64) {
        if self.waiting.get(&conversation).is_some_and(|&needed| seq >= needed) {
            self.waiting.remove(&conversation);
            self.arrive();
        }
    }

    /// What was aimed at means nothing any more.
    pub(super) fn give_up(&mut self) {
        self.waiting.clear();
        self.aim = self.position;
    }

    fn arrive(&mut self) {
        if self.waiting.is_empty() {
            self.position = self.aim;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_is_reached_when_all_it_waits_for_is_done() {
        let [one, two] = [1, 2].map(|byte| ConversationId([byte; 16]));
        let mut progress = Progress::starting_at(5);
        progress.aim_at(9, [(one, 3), (two, 7)].into_iter());
        progress.reached(two, 6);
        progress.reached(one, 4);
        assert_eq!((progress.position(), progress.is_ready_for(12)), (5, false));
        progress.reached(two, 7);
        assert_eq!((progress.position(), progress.is_ready_for(12), progress.is_ready_for(9)), (9, true, false));
        progress.aim_at(12, std::iter::empty());
        assert_eq!(progress.position(), 12);
    }
}
