//! What must hold of everything that was stored and told in a world.

use std::collections::BTreeSet;

use trunkline_wire::ids::{ConversationId, MessageId};
use trunkline_wire::message::ContentKind;

use super::{Device, Fate, Shown, World};

impl World {
    /// At the end, over everything.
    pub(super) fn check(&mut self) {
        for conversation in self.server.conversations.values() {
            let mut bodies = BTreeSet::new();
            for row in conversation.rows.iter().filter(|row| row.kind == ContentKind::Text) {
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
            self.check_list(index);
            self.check_marks(index);
        }
        self.check_heard();
    }

    /// At rest a process has the list that the server has.
    fn check_list(&mut self, index: usize) {
        let process = &self.processes[index];
        let rows = self.server.lists.rows(process.device.0);
        let mut listed = BTreeSet::new();
        for summary in process.client.conversations() {
            listed.insert(summary.conversation);
            let Some(row) = rows.get(&summary.conversation) else {
                self.violations.insert("listed what is not there");
                continue;
            };
            let left = (row.left != u64::MAX).then_some(row.left);
            // Of a server that crashed a client may know later watermarks. Where pushes are lost in silence, which no
            // connection does, it may not know the latest.
            let is_told = self.plan.push_chaos_percent == 0;
            let known = self.server.lists.of_user(summary.conversation, process.device.0).1;
            let read_seq = if is_told { known } else { 0 };
            if (summary.last_seq, summary.joined_seq, summary.left_seq) != (row.last_seq, row.joined, left)
                || summary.read_seq < read_seq
            {
                if std::env::var("TRACE").is_ok() {
                    println!("{index}: {summary:?} is {row:?}, read {read_seq}");
                }
                self.violations.insert("list differs");
            }
        }
        // One that follows what it stored asks only for what changed.
        let all: BTreeSet<ConversationId> = rows.keys().copied().collect();
        if !process.follows_stored && listed != all {
            if std::env::var("TRACE").is_ok() {
                println!("{index}: lists {listed:?} of {rows:?}");
            }
            self.violations.insert("list is not whole");
        }
    }

    /// At rest the server has the watermarks of those who still are there.
    fn check_marks(&mut self, index: usize) {
        let process = &self.processes[index];
        for (id, (delivered, read)) in &process.marks {
            let left = self.server.conversations[id].durable_window(process.device.0).map_or(0, |window| window.1);
            let known = self.server.lists.of_device(*id, process.device);
            if known.0 < *delivered.min(&left) || known.1 < *read.min(&left) {
                self.violations.insert("watermark lost");
            }
        }
    }

    /// What the processes of a device that follows what it stored were shown, one after the other, has no gaps.
    fn check_heard(&mut self) {
        for ((device, id), heard) in &self.heard {
            let conversation = &self.server.conversations[id];
            let Some((joined, left)) = conversation.durable_window(device.0) else { continue };
            let first = heard.first().copied().unwrap_or(1).max(joined).max(conversation.first);
            let last = left.min(conversation.durable as u64);
            if (first..=last).any(|seq| !heard.contains(&seq)) {
                if std::env::var("TRACE").is_ok() {
                    println!("{device:?} heard {heard:?} of {id}, not all of {first} to {last}");
                }
                self.violations.insert("not heard");
            }
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
            // Who followed what it stored is checked over all its processes.
            let Some(first) = (match process.from_start {
                _ if process.follows_stored => None,
                true => Some(1),
                false => seqs.first().copied(),
            }) else {
                continue;
            };
            let Some((joined, left)) = conversation.durable_window(process.device.0) else { continue };
            let last = if at_end { conversation.durable as u64 } else { seqs.last().copied().unwrap_or(0) };
            for seq in first.max(joined)..=last.min(left) {
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
