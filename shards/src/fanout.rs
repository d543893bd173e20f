//! Durable messages to the homes of their recipients: per shard one entry, however many members it is home of.
//!
//! Hot path, step 7 of 8. A frame is encoded once and handed on by reference. Without credit towards a shard the
//! conversation waits, in order, until some comes back.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use trunkline_wire::ids::UserId;

use crate::contract::{ConnectionId, ShardId};
use crate::conversation::Conversation;
use crate::conversations::{Conversations, fields_of};
use crate::entry::{Address, Delivery, Entry};
use crate::store::UserKey;
use crate::turn::Turn;

/// Of rows that were taken up from the store: no connection is left out.
const NOWHERE: Address =
    Address { shard: ShardId::MAX, connection: ConnectionId { slot: u32::MAX, generation: u32::MAX } };

/// How a delivery ended.
enum Outcome {
    Done,
    /// No credit towards this shard.
    Blocked(ShardId),
}

impl Conversations {
    /// Hands on at most `budget` messages; what is left of it.
    pub fn fan_out(&mut self, turn: &mut Turn<'_>, mut budget: u32) -> u32 {
        while budget > 0 {
            let Some(key) = self.fan_outs.pop_front() else { break };
            let Some(conversation) = self.here(key) else { continue };
            if conversation.next_delivery().is_none() {
                conversation.fan_out_queued = false;
                continue;
            }
            budget -= 1;
            match deliver_next(turn, conversation) {
                Outcome::Done => self.fan_outs.push_back(key),
                Outcome::Blocked(shard) => {
                    turn.shared.counters.fanouts_delayed += 1;
                    self.blocked[usize::from(shard)].push(key);
                }
            }
        }
        budget
    }
}

fn deliver_next(turn: &mut Turn<'_>, conversation: &mut Conversation) -> Outcome {
    let Some(recent) = conversation.next_delivery() else { return Outcome::Done };
    let origin = recent.origin.unwrap_or(NOWHERE);
    let id = conversation.key.conversation;
    let frame = turn.shared.encoder.message(id, &fields_of(&recent.row)).to_shared_frame();
    for (shard, users) in targets(turn, conversation).into_iter().skip(conversation.fan_out.targets_done as usize) {
        let delivery = Delivery {
            key: conversation.key,
            meta: alloc::sync::Arc::new(conversation.meta.clone()),
            seq: 0,
            frame: Some(frame.clone()),
            users: users.into(),
            windows: Vec::new(),
            except: Some(origin),
        };
        if !turn.shared.router.try_post(shard, Entry::Deliver(Box::new(delivery)), turn.effects) {
            return Outcome::Blocked(shard);
        }
        conversation.fan_out.targets_done += 1;
    }
    conversation.delivered();
    Outcome::Done
}

/// Members by home, in order of shard.
fn targets(turn: &Turn<'_>, conversation: &Conversation) -> BTreeMap<ShardId, Vec<UserId>> {
    let mut targets: BTreeMap<ShardId, Vec<UserId>> = BTreeMap::new();
    for &user in &conversation.meta.peers {
        let home = turn.shared.router.home_of_user(UserKey { tenant: conversation.key.tenant, user });
        targets.entry(home).or_default().push(user);
    }
    targets
}
