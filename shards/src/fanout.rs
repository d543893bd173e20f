//! Durable messages to the homes of their recipients: per shard one entry, however many members it is home of.
//!
//! Hot path, step 7 of 8. A frame is encoded once and handed on by reference. Without credit towards a shard the
//! conversation waits, in order, until some comes back.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::contract::ShardId;
use crate::conversation::Conversation;
use crate::conversations::{Conversations, fields_of};
use crate::entry::{Delivery, Entry};
use crate::turn::Turn;

/// How handing on ended.
enum Outcome {
    /// One thing more was handed on to everybody.
    Done,
    /// There is nothing to hand on.
    Idle,
    /// No credit towards this shard.
    Blocked(ShardId),
}

impl Conversations {
    /// Hands on at most `budget` messages; what is left of it.
    pub fn fan_out(&mut self, turn: &mut Turn<'_>, mut budget: u32) -> u32 {
        while budget > 0 {
            let Some(key) = self.fan_outs.pop_front() else { break };
            let conversation = self.here(key).expect("a conversation with something to hand on stays");
            match hand_on_next(turn, conversation) {
                Outcome::Done => {
                    budget -= 1;
                    self.fan_outs.push_back(key);
                }
                Outcome::Idle => {
                    conversation.recharge(&mut turn.shared.cache);
                    self.handed_on(turn, key);
                }
                Outcome::Blocked(shard) => {
                    budget -= 1;
                    turn.shared.counters.fanouts_delayed += 1;
                    self.blocked[usize::from(shard)].push(key);
                }
            }
        }
        budget
    }
}

fn hand_on_next(turn: &mut Turn<'_>, conversation: &mut Conversation) -> Outcome {
    if !conversation.announcing.due.is_empty() {
        return announce_next(turn, conversation);
    }
    if conversation.next_delivery().is_none() {
        return Outcome::Idle;
    }
    conversation.prepare_targets(&turn.shared.router, turn.now.mono_ns, &turn.shared.limits);
    deliver_next(turn, conversation)
}

/// One shard's lists are told of a seq without its message.
fn announce_next(turn: &mut Turn<'_>, conversation: &mut Conversation) -> Outcome {
    let Some(first) = conversation.announcing.due.front() else { return Outcome::Idle };
    if !turn.shared.router.has_credit(first.shard) {
        return Outcome::Blocked(first.shard);
    }
    let Some(announcement) = conversation.announcing.due.pop_front() else { return Outcome::Idle };
    let delivery = Delivery {
        key: conversation.key,
        meta: conversation.meta.clone(),
        seq: announcement.seq,
        frame: None,
        users: announcement.users,
        windows: announcement.windows,
        except: None,
    };
    post(turn, conversation, announcement.shard, delivery);
    Outcome::Done
}

/// The next row to its recipients' homes, as far as there is credit.
fn deliver_next(turn: &mut Turn<'_>, conversation: &mut Conversation) -> Outcome {
    let mut encoded: Option<(Arc<[u8]>, Vec<_>)> = None;
    while let Some((shard, users)) = conversation.next_target() {
        if !turn.shared.router.has_credit(shard) {
            return Outcome::Blocked(shard);
        }
        let recent = conversation.next_delivery().expect("a row stays until it is handed on");
        let (frame, windows) = encoded.get_or_insert_with(|| {
            let message = turn.shared.encoder.message(conversation.key.conversation, &fields_of(&recent.row));
            (message.to_shared_frame(), conversation.windows_changed_by(&recent.row))
        });
        let is_there = |window: &&(_, u64, u64)| users.binary_search(&window.0).is_ok();
        let delivery = Delivery {
            key: conversation.key,
            meta: conversation.meta.clone(),
            seq: recent.row.seq,
            frame: Some(frame.clone()),
            windows: windows.iter().filter(is_there).copied().collect(),
            users,
            except: recent.origin,
        };
        post(turn, conversation, shard, delivery);
        conversation.fan_out.targets_done += 1;
    }
    conversation.delivered();
    Outcome::Done
}

fn post(turn: &mut Turn<'_>, conversation: &mut Conversation, shard: ShardId, delivery: Delivery) {
    conversation.announcing.posted(shard, delivery.seq);
    let posted = turn.shared.router.try_post(shard, Entry::Deliver(Box::new(delivery)), turn.effects);
    assert!(posted, "there was credit");
}
