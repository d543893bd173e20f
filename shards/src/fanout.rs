//! Durable messages to the homes of their recipients: per shard one entry, however many members it is home of.
//!
//! Hot path, step 7 of 8. A frame is encoded once and handed on by reference. Without credit towards a shard the
//! conversation waits, in order, until some comes back.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::contract::ShardId;
use crate::conversation::Conversation;
use crate::conversation::announcing::Announcement;
use crate::conversations::{Conversations, fields_of};
use crate::entry::{Delivery, Entry};
use crate::turn::Turn;

/// How handing on ended.
enum Outcome {
    /// One thing more was handed on to everybody.
    Done,
    /// The budget is spent, and more shards are to get this one.
    Paused,
    /// There is nothing to hand on.
    Idle,
    /// No credit towards this shard.
    Blocked(ShardId),
}

/// What of a budget is left. It counts recipients, since what is for users of this shard is taken in the same turn.
struct Budget(u32);

impl Budget {
    /// Something was handed on to a shard, for so many users there.
    fn spend(&mut self, recipients: usize) {
        self.0 = self.0.saturating_sub(u32::try_from(recipients.max(1)).unwrap_or(u32::MAX));
    }
}

impl Conversations {
    /// Hands messages on to at most `budget` recipients, and to those of one shard more than that; what is left of it.
    pub fn fan_out(&mut self, turn: &mut Turn<'_>, budget: u32) -> u32 {
        let mut budget = Budget(budget);
        while budget.0 > 0 {
            let Some(key) = self.fan_outs.pop_front() else { break };
            let conversation = self.here(key).expect("a conversation with something to hand on stays");
            match hand_on_next(turn, conversation, &mut budget) {
                Outcome::Done | Outcome::Paused => self.fan_outs.push_back(key),
                Outcome::Idle => {
                    conversation.recharge(&mut turn.shared.cache);
                    self.handed_on(turn, key);
                }
                Outcome::Blocked(shard) => {
                    budget.spend(0);
                    turn.shared.counters.fanouts_delayed += 1;
                    self.blocked[usize::from(shard)].push(key);
                }
            }
        }
        budget.0
    }
}

fn hand_on_next(turn: &mut Turn<'_>, conversation: &mut Conversation, budget: &mut Budget) -> Outcome {
    if let Some(first) = conversation.announcing.due.pop_front() {
        return announce_next(turn, conversation, first, budget);
    }
    if conversation.next_delivery().is_none() {
        return Outcome::Idle;
    }
    conversation.prepare_targets(&turn.shared.router, turn.now.mono_ns, &turn.shared.limits);
    deliver_next(turn, conversation, budget)
}

/// One shard's lists are told of a seq without its message.
fn announce_next(
    turn: &mut Turn<'_>,
    conversation: &mut Conversation,
    first: Announcement,
    budget: &mut Budget,
) -> Outcome {
    let shard = first.shard;
    if !turn.shared.router.has_credit(shard) {
        conversation.announcing.due.push_front(first);
        return Outcome::Blocked(shard);
    }
    budget.spend(first.users.len());
    let delivery = Delivery {
        key: conversation.key,
        meta: conversation.meta.clone(),
        seq: first.seq,
        round: conversation.announcing.next_round(shard),
        frame: None,
        accepted_ns: 0,
        users: first.users,
        windows: first.windows,
        except: None,
    };
    post(turn, shard, delivery);
    Outcome::Done
}

/// The next row to its recipients' homes, as far as there is credit and the budget goes.
fn deliver_next(turn: &mut Turn<'_>, conversation: &mut Conversation, budget: &mut Budget) -> Outcome {
    let mut encoded: Option<(Arc<[u8]>, Vec<_>)> = None;
    while let Some((shard, users)) = conversation.next_target() {
        if budget.0 == 0 {
            return Outcome::Paused;
        }
        if !turn.shared.router.has_credit(shard) {
            return Outcome::Blocked(shard);
        }
        budget.spend(users.len());
        let round = conversation.announcing.next_round(shard);
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
            round,
            frame: Some(frame.clone()),
            accepted_ns: recent.accepted_ns,
            windows: windows.iter().filter(is_there).copied().collect(),
            users,
            except: recent.origin,
        };
        post(turn, shard, delivery);
        conversation.fan_out.targets_done += 1;
    }
    if conversation.fan_out.targets_done == 0 {
        budget.spend(0);
    }
    conversation.delivered();
    Outcome::Done
}

fn post(turn: &mut Turn<'_>, shard: ShardId, delivery: Delivery) {
    let posted = turn.shared.router.try_post(shard, Entry::Deliver(Box::new(delivery)), turn.effects);
    assert!(posted, "there was credit");
}
