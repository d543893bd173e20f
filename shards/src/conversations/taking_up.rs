//! Taking conversations up from the store, for whoever waits for them.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::message::{ConversationKind, ErrorCode};

use super::{Conversations, Due, Place, REPEAT_AFTER_NS};
use crate::conversation::{Blocks, Conversation};
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
    /// What was told of blocking there meanwhile.
    pub blocks: Blocks,
    /// Nothing is stored of it, but what is blocked has been read.
    pub blocks_read: bool,
    /// There is nothing but this mark, which is being deleted; whether an earlier attempt may have done that.
    pub unmarking: Option<bool>,
}

impl Conversations {
    pub(super) fn load(&mut self, turn: &mut Turn<'_>, key: ConversationKey, waiters: Waiters) {
        self.places.insert(key, Place::Loading(waiters));
        turn.shared.desk.load(Purpose::Conversation(key), Load::Conversation { key }, turn.effects);
    }

    /// A conversation came from the store, or there is none, or the store failed.
    pub fn loaded(&mut self, turn: &mut Turn<'_>, key: ConversationKey, loaded: Result<Loaded, StoreFault>) {
        let Some(Place::Loading(mut waiters)) = self.places.remove(&key) else {
            unreachable!("a conversation is loaded once, for those who wait for it");
        };
        if waiters.for_mark {
            self.replay.loaded(key, turn.now.mono_ns, loaded.is_ok());
        }
        if waiters.for_mark && loaded == Ok(Loaded::Conversation(None)) {
            // As long as the mark goes there is no conversation: a delete must not overtake its first mark.
            waiters.unmarking = Some(false);
            self.places.insert(key, Place::Loading(waiters));
            return self.settles.push_back(key);
        }
        let image = match loaded {
            Ok(Loaded::Conversation(image)) => image,
            Ok(_) => unreachable!("a load of a conversation finds a conversation"),
            Err(_) => {
                waiters.requests.into_iter().for_each(|(reply, _)| turn.refuse(reply, ErrorCode::StorageUnavailable));
                return self.keep_receipts(turn.now.mono_ns + REPEAT_AFTER_NS, key, waiters.receipts);
            }
        };
        self.found(turn, key, image, waiters);
    }

    /// The store answered the delete of a mark that was all there was. A full disk changed nothing, unless an earlier attempt
    /// did: then it stays until the next start.
    pub(super) fn unmarked_nothing(&mut self, turn: &mut Turn<'_>, key: ConversationKey, done: Result<(), StoreFault>) {
        let Some(Place::Loading(mut waiters)) = self.places.remove(&key) else {
            unreachable!("those who wait stay while a mark is deleted");
        };
        match done {
            Err(StoreFault::Full) if waiters.unmarking == Some(false) => {}
            Ok(()) => {}
            Err(_) => {
                waiters.requests.drain(..).for_each(|(reply, _)| turn.refuse(reply, ErrorCode::StorageUnavailable));
                waiters.unmarking = Some(true);
                self.places.insert(key, Place::Loading(waiters));
                return self.timetable.arm(turn.now.mono_ns + REPEAT_AFTER_NS, key, Due::RepeatUnmark);
            }
        }
        self.found(turn, key, None, waiters);
    }

    /// It is known what there is of a conversation: who waited is served.
    pub(super) fn found(
        &mut self,
        turn: &mut Turn<'_>,
        key: ConversationKey,
        image: Option<Box<ConversationImage>>,
        waiters: Waiters,
    ) {
        if image.is_none()
            && !waiters.blocks_read
            && let Some([one, other]) = peers_of_opened(turn, key, &waiters.requests)
        {
            return self.read_blocks(turn, key, [one, other], waiters);
        }
        if let Some(mut conversation) = take_up(turn, key, image, &waiters.requests) {
            conversation.blocks.take_all(waiters.blocks.into_list());
            turn.shared.counters.conversations_loaded += 1;
            self.insert(turn, conversation);
            self.hand_on(turn, key);
        }
        for (reply, request) in waiters.requests {
            self.serve(turn, key, reply, request);
        }
        for receipt in waiters.receipts {
            self.take_receipt(turn, key, receipt);
        }
    }
}

/// The two who are to talk in a 1:1 that somebody opens.
fn peers_of_opened(turn: &Turn<'_>, key: ConversationKey, waiters: &[(Reply, HomeRequest)]) -> Option<[UserId; 2]> {
    opened_meta(turn, key, waiters)?.peers.try_into().ok()
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
    opened_meta(turn, key, waiters).map(|meta| Conversation::new(key, meta, incarnation))
}

fn opened_meta(turn: &Turn<'_>, key: ConversationKey, waiters: &[(Reply, HomeRequest)]) -> Option<ConversationMeta> {
    waiters.iter().find_map(|(_, request)| {
        let HomeRequest::Open { caller, peer: Some(peer), .. } = request else { return None };
        direct_meta(key, caller.user, *peer, turn.now.wall_ms)
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
