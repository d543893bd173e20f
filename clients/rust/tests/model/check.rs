//! What must hold of everything that was stored and told in a world.

use std::collections::BTreeSet;

use trunkline_client::core::Follow;
use trunkline_wire::ids::MessageId;

use super::{Device, Fate, Shown, World};

impl World {
    /// At the end, over everything.
    pub(super) fn check(&mut self) {
        for conversation in self.server.conversations.values() {
            let mut bodies = BTreeSet::new();
            for row in &conversation.rows {
                if !bodies.insert(&row.body) {
                    self.violations.insert("doubled");
                }
                if self.bodies.get(&MessageId(row.message_id)).map(String::as_bytes) != Some(&row.body) {
                    self.violations.insert("foreign text");
                }
            }
        }
        let left: BTreeSet<MessageId> = self
            .leftovers
            .values()
            .flat_map(|of| {
                of.borrow().iter().flat_map(|o| o.records().iter().map(|r| r.message_id)).collect::<Vec<_>>()
            })
            .collect();
        for said in &self.said {
            for (conversation, ids) in &said.by_conversation {
                let rows = &self.server.conversations[conversation].rows;
                let mut last = 0;
                for id in ids {
                    match self.fates.get(id) {
                        Some(Fate::Sent(seq)) => {
                            if rows.get(*seq as usize - 1).is_none_or(|row| row.message_id != id.0) {
                                self.violations.insert("lost");
                            }
                            if *seq <= last {
                                self.violations.insert("order");
                            }
                            last = *seq;
                        }
                        Some(Fate::Failed | Fate::Unknown) => {}
                        None if self.given_up.contains(id) || left.contains(id) => {}
                        None => {
                            self.violations.insert("no fate");
                        }
                    }
                }
            }
        }
        for index in 0..self.processes.len() {
            self.check_shown(index, true);
        }
    }

    /// From its start on a process was shown everything, but for its own messages and what history no longer has.
    pub(super) fn check_shown(&mut self, index: usize, at_end: bool) {
        let process = &self.processes[index];
        let own_unshown = |row_device: Device| !process.echo_own && row_device == process.device;
        for (id, conversation) in &self.server.conversations {
            let none = Shown::default();
            let shown = process.shown.get(id).unwrap_or(&none);
            let seqs: BTreeSet<u64> = shown.seqs.iter().copied().collect();
            let Some(first) = (match process.follow {
                Follow::FromStart => Some(1),
                _ => seqs.first().copied(),
            }) else {
                continue;
            };
            let last = if at_end { conversation.durable as u64 } else { seqs.last().copied().unwrap_or(0) };
            for seq in first..=last {
                let row = &conversation.rows[seq as usize - 1];
                let told = seqs.contains(&seq) || shown.missed.contains(&seq);
                let own = shown.own.contains(&seq) && !process.echo_own;
                // An own message may be on its way to `Sent` when the process ends.
                if !told && !own && (at_end || !own_unshown(row.device)) {
                    self.violations.insert("not shown");
                }
            }
        }
    }
}
