//! Taking conversations up from the store, for whoever waits for them.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::message::{ConversationKind, ErrorCode};

use super::{Conversations, Place};
use crate::conversation::Conversation;
use crate::desk::Purpose;
use crate::entry::HomeRequest;
use crate::router::Reply;
use crate::store::{ConversationImage, ConversationKey, ConversationMeta, DeviceReceipt, Load, Loaded, StoreFault};
use crate::turn::Turn;

/// Who waits for a conversation to be loaded.
#[derive(Default)]
pub(super) struct Waiters {
    pub requests: Vec<(Reply, HomeRequest)>,
    pub receipts: Vec<DeviceReceipt>,
    /// It is loaded because of its mark.
    pub for_mark: bool,
}

impl Conversations {
    pub(super) fn load(&mut self, turn: &mut Turn<'_>, key: ConversationKey, waiters: Waiters) {
        self.places.insert(key, Place::Loading(waiters));
        turn.shared.desk.load(Purpose::Conversation(key), Load::Conversation { key }, turn.effects);
    }

    /// A conversation came from the store, or there is none, or the store failed.
    pub fn loaded(&mut self, turn: &mut Turn<'_>, key: ConversationKey, loaded: Result<Loaded, StoreFault>) {
        let Some(Place::Loading(waiters)) = self.places.remove(&key) else {
            unreachable!("a conversation is loaded once, for those who wait for it");
        };
        if waiters.for_mark {
            self.replay.loaded(key, turn.now.mono_ns, loaded.is_ok());
        }
        let image = match loaded {
            Ok(Loaded::Conversation(image)) => image,
            Ok(_) => unreachable!("a load of a conversation finds a conversation"),
            Err(_) => {
                let requests = waiters.requests.into_iter();
                return requests.for_each(|(reply, _)| turn.refuse(reply, ErrorCode::StorageUnavailable));
            }
        };
        if let Some(conversation) = take_up(turn, key, image, &waiters.requests) {
            turn.shared.counters.conversations_loaded += 1;
            self.insert(turn, conversation);
            self.hand_on(turn, key);
        }
        for (reply, request) in waiters.requests {
            self.serve(turn, key, reply, request);
        }
        for receipt in waiters.receipts {
            self.receipt(turn, key, receipt);
        }
    }
}

/// The conversation of an image, or a new 1:1 if somebody opens one that is not stored yet. What a mark says is missing is to
/// be announced.
fn take_up(
    turn: &mut Turn<'_>,
    key: ConversationKey,
    image: Option<Box<ConversationImage>>,
    waiters: &[(Reply, HomeRequest)],
) -> Option<Conversation> {
    let incarnation = turn.shared.incarnation;
    if let Some(image) = image {
        let mark = image.mark;
        let mut conversation = Conversation::load(key, *image, incarnation);
        if let Some(mark) = mark {
            conversation.announce_since(mark, &turn.shared.router);
            turn.shared.counters.marks_replayed += u64::from(!conversation.announcing.due.is_empty());
        }
        return Some(conversation);
    }
    waiters.iter().find_map(|(_, request)| {
        let HomeRequest::Open { caller, peer: Some(peer), .. } = request else { return None };
        let meta = direct_meta(key, caller.user, *peer, turn.now.wall_ms)?;
        Some(Conversation::new(key, meta, incarnation))
    })
}

fn direct_meta(key: ConversationKey, one: UserId, other: UserId, created_ms: u64) -> Option<ConversationMeta> {
    if ConversationId::direct(key.tenant, one, other) != key.conversation {
        return None;
    }
    let mut peers = vec![one.min(other), one.max(other)];
    peers.dedup();
    Some(ConversationMeta { kind: ConversationKind::Direct as u8, created_ms, peers, title: String::new() })
}
