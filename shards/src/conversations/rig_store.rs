//! The store of the rig: it keeps its promises, and may be made not to.

use alloc::boxed::Box;
use alloc::vec::Vec;

use trunkline_wire::ids::{Lsn, UserId};

use super::rig::{Asked, Rig};
use crate::members::Members;
use crate::store::{
    Append, Block, ConversationImage, DeviceHigh, Load, Loaded, Put, RECENT_ROWS_MAX, Row, StoreFault, StoreResult,
};

impl Rig {
    /// The store does not do the next thing.
    pub fn fail_next(&mut self, fault: StoreFault) {
        let (ticket, asked) = self.asked.pop_front().expect("something was asked");
        let result = match asked {
            Asked::Append(_) => StoreResult::Appended(Err(fault)),
            Asked::Put(_) => StoreResult::Put(Err(fault)),
            Asked::Load(_) => StoreResult::Loaded(Err(fault)),
        };
        self.stored(ticket, result);
    }

    /// The store does the next thing, but says that it does not know.
    pub fn lose_next(&mut self) {
        let (ticket, asked) = self.asked.pop_front().expect("something was asked");
        let result = match asked {
            Asked::Append(append) => {
                self.append(*append);
                StoreResult::Appended(Err(StoreFault::Unknown))
            }
            Asked::Put(put) => {
                self.put(*put);
                StoreResult::Put(Err(StoreFault::Unknown))
            }
            Asked::Load(_) => StoreResult::Loaded(Err(StoreFault::Unknown)),
        };
        self.stored(ticket, result);
    }

    pub(super) fn append(&mut self, append: Append) -> Lsn {
        let image = self.images.entry(append.key).or_insert_with(|| ConversationImage {
            meta: append.meta.expect("the first rows bring the meta"),
            last_seq: 0,
            devices: Vec::new(),
            checkpoint_seq: 0,
            members: Vec::new(),
            receipts: Vec::new(),
            blocks: Vec::new(),
            mark: None,
            recent: Vec::new(),
        });
        image.mark = append.mark.or(image.mark);
        self.bare_marks.remove(&append.key);
        let mut members = Members::from_list(core::mem::take(&mut image.members));
        for row in append.rows {
            if row.seq <= image.last_seq {
                assert_eq!(image.recent[row.seq as usize - 1], row, "a seq has one content");
                continue;
            }
            assert_eq!(row.seq, image.last_seq + 1, "rows are dense");
            image.last_seq = row.seq;
            members.apply(&row);
            if row.client_seq > 0 {
                let Row { sender: user, device, client_seq: high, message_id, .. } = row;
                image.devices.retain(|known| (known.user, known.device) != (user, device));
                image.devices.push(DeviceHigh { user, device, high, message_id });
            }
            image.recent.push(row);
        }
        image.members = members.to_list();
        Lsn::default()
    }

    pub(super) fn put(&mut self, put: Put) {
        match put {
            Put::Unmark { key } => match self.images.get_mut(&key) {
                Some(image) => image.mark = None,
                None => assert!(self.bare_marks.remove(&key), "it has a mark"),
            },
            Put::Receipts { key, receipts } => {
                let image = self.images.get_mut(&key).expect("it has rows");
                for receipt in receipts {
                    image.receipts.retain(|known| (known.user, known.device) != (receipt.user, receipt.device));
                    image.receipts.push(receipt);
                }
            }
            Put::Checkpoint { .. } => {}
            _ => unreachable!("conversations write nothing else"),
        }
    }

    pub(super) fn load(&mut self, load: Load) -> Loaded {
        match load {
            Load::Conversation { key } => {
                let mut image = self.images.get(&key).cloned().map(Box::new);
                if let Some(image) = &mut image {
                    let too_many = image.recent.len().saturating_sub(RECENT_ROWS_MAX);
                    image.recent.drain(..too_many);
                    image.blocks = self.blocks_of(&image.meta.peers);
                }
                Loaded::Conversation(image)
            }
            Load::History { key, from_seq, backward, rows_max, .. } => {
                let rows = &self.images[&key].recent;
                let mut page: Vec<Row> = if backward {
                    rows.iter().rev().filter(|row| row.seq <= from_seq).take(rows_max as usize).cloned().collect()
                } else {
                    rows.iter().filter(|row| row.seq >= from_seq).take(rows_max as usize).cloned().collect()
                };
                page.sort_by_key(|row| row.seq);
                Loaded::History(page)
            }
            Load::FindSend { key, user, device, client_seq, .. } => {
                let mut rows = self.images[&key].recent.iter();
                let found = rows.find(|row| (row.sender, row.device, row.client_seq) == (user, device, client_seq));
                Loaded::FoundSend(found.cloned().map(Box::new))
            }
            Load::Blocks { peers, .. } => Loaded::Blocks(self.blocks_of(&peers)),
            Load::MissingUsers { users, .. } => {
                Loaded::MissingUsers(users.into_iter().filter(|user| self.missing_users.contains(user)).collect())
            }
            Load::Marks { after, marks_max, .. } => {
                let marked = self.images.iter().filter(|(_, image)| image.mark.is_some()).map(|(&key, _)| key);
                let marked = marked.chain(self.bare_marks.iter().copied());
                let mut behind: Vec<_> = marked.filter(|&key| after.is_none_or(|after| key > after)).collect();
                behind.sort_unstable();
                let more = behind.len() > marks_max as usize;
                behind.truncate(marks_max as usize);
                Loaded::Marks(behind, more)
            }
            _ => unreachable!("conversations read nothing else"),
        }
    }

    /// Each user has something to say of one other at most.
    fn blocks_of(&self, peers: &[UserId]) -> Vec<Block> {
        self.blocks.iter().filter(|block| peers.contains(&block.blocker)).copied().collect()
    }
}
