//! What is for many users at once goes to them a part at a time, so that no turn is long, and in the order in which it came;
//! only what is for a few and of a conversation of which nothing waits passes by.
//!
//! In one call every 16 entries that wait raise the share by as much again: what comes in a turn is bounded by the lanes'
//! credit, so what waits is too. From this shard itself things come without credit: its conversations hand on only so much
//! as their budget leaves beside what waits here of theirs.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::Users;
use crate::entry::{Delivery, Notice};
use crate::store::ConversationKey;
use crate::turn::Turn;

/// To so many users, both ends of a 1:1, things go at once.
const AT_ONCE_MAX: usize = 2;
/// Users that one call serves while few entries wait.
const SHARE: usize = 256;
/// So many entries that wait raise the share by as much again.
const CROWD: usize = 16;

/// Something for users of this shard.
pub(super) enum Item {
    Delivery(Box<Delivery>),
    Notice(Box<Notice>),
}

impl Item {
    /// Users it is for.
    fn users(&self) -> usize {
        match self {
            Item::Delivery(delivery) => delivery.users.len(),
            Item::Notice(notice) => notice.users.len().max(notice.read.len()),
        }
    }

    /// The same, but of a notice those count twice who have read further.
    fn recipients(&self) -> usize {
        match self {
            Item::Delivery(delivery) => delivery.users.len(),
            Item::Notice(notice) => notice.users.len() + notice.read.len(),
        }
    }

    fn key(&self) -> ConversationKey {
        match self {
            Item::Delivery(delivery) => delivery.key,
            Item::Notice(notice) => notice.key,
        }
    }
}

/// Something that some of its users do not have yet.
struct Waiting {
    item: Item,
    /// The next one.
    next: usize,
    /// Its conversation is of this shard.
    is_own: bool,
}

/// What waits for its turn.
pub(super) struct HandingOut {
    queue: VecDeque<Waiting>,
    /// How much of it is of a conversation, if anything is.
    of_conversations: HashMap<ConversationKey, u32, FixedState>,
    /// Users who wait for something of this shard's own conversations.
    own: usize,
}

impl Default for HandingOut {
    fn default() -> HandingOut {
        let of_conversations = HashMap::with_hasher(FixedState::with_seed(0));
        HandingOut { queue: VecDeque::new(), of_conversations, own: 0 }
    }
}

impl HandingOut {
    /// Whether something goes out at once. The queue is looked at first: mostly it is empty.
    fn goes_at_once(&self, item: &Item) -> bool {
        item.users() <= AT_ONCE_MAX && (self.queue.is_empty() || !self.of_conversations.contains_key(&item.key()))
    }

    fn push(&mut self, item: Item, is_own: bool) {
        *self.of_conversations.entry(item.key()).or_default() += 1;
        self.own += if is_own { item.recipients() } else { 0 };
        self.queue.push_back(Waiting { item, next: 0, is_own });
    }

    /// Nobody waits for this any more.
    fn ended(&mut self, key: ConversationKey) {
        let count = self.of_conversations.get_mut(&key).expect("what waits is counted");
        *count -= 1;
        if *count == 0 {
            self.of_conversations.remove(&key);
        }
    }
}

impl Users {
    /// Users who wait for something of this shard's own conversations.
    pub fn own_waiting(&self) -> u32 {
        u32::try_from(self.handing_out.own).unwrap_or(u32::MAX)
    }

    /// Whether anybody waits for something.
    pub fn is_handing_out(&self) -> bool {
        !self.handing_out.queue.is_empty()
    }

    /// Hands something out, at once or in its turn.
    pub(super) fn hand_out(&mut self, turn: &mut Turn<'_>, item: Item) {
        if self.handing_out.goes_at_once(&item) {
            return self.hand_part(turn, &item, 0..item.recipients());
        }
        if let Item::Delivery(delivery) = &item {
            // Owed until the last of its users has it, so that it is not acknowledged when the first of them have.
            self.owe(turn, delivery, 1);
        }
        let is_own = turn.shared.router.home_of_conversation(item.key()) == turn.shared.router.own();
        self.handing_out.push(item, is_own);
    }

    /// Serves the next users who wait; true when there are more.
    pub(super) fn go_on_handing_out(&mut self, turn: &mut Turn<'_>) -> bool {
        let mut left = SHARE * (1 + self.handing_out.queue.len() / CROWD);
        while left > 0
            && let Some(mut first) = self.handing_out.queue.pop_front()
        {
            let recipients = first.item.recipients();
            let part = first.next..recipients.min(first.next + left);
            first.next = part.end;
            left -= part.len().clamp(1, left);
            self.handing_out.own -= if first.is_own { part.len() } else { 0 };
            self.hand_part(turn, &first.item, part);
            if first.next < recipients {
                self.handing_out.queue.push_front(first);
                continue;
            }
            self.handing_out.ended(first.item.key());
            if let Item::Delivery(delivery) = &first.item {
                self.queues.flushes.pay(turn, delivery.key);
            }
        }
        self.is_handing_out()
    }

    fn hand_part(&mut self, turn: &mut Turn<'_>, item: &Item, part: Range<usize>) {
        match item {
            Item::Delivery(delivery) => {
                let owing = self.deliver_to(turn, delivery, part);
                self.owe(turn, delivery, owing);
            }
            Item::Notice(notice) => {
                let users = notice.users.len();
                self.notice_to(turn, notice, part.start.min(users)..part.end.min(users));
                let read = part.start.saturating_sub(users)..part.end.saturating_sub(users);
                self.read_further(turn, notice, read);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use trunkline_wire::ids::ConversationId;
    use trunkline_wire::message::{Answer, decode_answer};

    use super::*;
    use crate::entry::Entry;
    use crate::limits::Limits;
    use crate::store::UserKey;
    use crate::users::rig::{Rig, TENANT, conversation, envelopes, user};

    fn crowd(count: usize) -> Vec<UserKey> {
        let first = user(0).user.0;
        (first..).map(|id| UserKey { tenant: TENANT, user: trunkline_wire::ids::UserId(id) }).take(count).collect()
    }

    /// The seqs that a connection got, of all conversations.
    fn heard(rig: &Rig, connection: u32) -> Vec<u64> {
        let frames = rig.posted.iter().filter_map(|entry| match entry {
            Entry::Push { connection: id, frame } if id.slot == connection => Some(frame),
            _ => None,
        });
        let envelopes = frames.flat_map(|frame| envelopes(frame));
        let seqs = envelopes.filter_map(|envelope| match decode_answer(envelope).expect("an envelope").1 {
            Answer::Message(message) => Some(message.seq()),
            Answer::Receipts(_) => Some(0),
            _ => None,
        });
        seqs.collect()
    }

    fn work(rig: &mut Rig) -> bool {
        rig.turn(|users, turn| users.work(turn))
    }

    #[test]
    fn many_are_served_in_parts_and_in_order() {
        let mut rig = Rig::new(Limits::default(), 10_000, 1);
        let users = crowd(1_000);
        rig.start_session(users[0], 1);
        rig.start_session(users[999], 2);
        rig.deliver(0, 1, &users, None);
        rig.deliver(0, 2, &users[..1], None);
        rig.read(0, users[0], 1);
        rig.deliver(1, 7, &users[..2], None);
        assert_eq!(rig.users.cached(), 3, "only the small one of another conversation went out");
        let mut is_more_due = true;
        while is_more_due {
            let served = rig.users.cached();
            is_more_due = work(&mut rig);
            assert!(rig.users.cached() - served <= 256, "{} users in one call", rig.users.cached() - served);
        }
        assert_eq!(rig.users.cached(), 1_000);
        assert_eq!((heard(&rig, 1), heard(&rig, 2)), ([7, 1, 2, 0].to_vec(), [1].to_vec()));
        rig.deliver(0, 3, &users[..1], None);
        assert_eq!(heard(&rig, 1), [7, 1, 2, 0, 3], "nothing waits: at once");
    }

    /// As after a crash: the first of the users have it already.
    #[test]
    fn the_first_part_is_not_acknowledged_for_all() {
        let mut rig = Rig::new(Limits { list_every_ms: 1, ..Limits::default() }, 10_000, 1);
        let users = crowd(600);
        let store = |rig: &mut Rig| {
            for _ in 0..100 {
                rig.settle();
                rig.pass(1);
            }
        };
        rig.deliver(0, 2, &users[..300], None);
        store(&mut rig);
        assert_eq!(rig.announced(), [(conversation(0), 2)]);
        rig.posted.clear();
        rig.deliver(0, 2, &users, None);
        assert!(work(&mut rig), "more wait");
        assert_eq!(rig.announced(), []);
        store(&mut rig);
        assert_eq!(rig.announced(), [(conversation(0), 2)]);
        assert!(users.iter().all(|&key| rig.store.rows[&(key, conversation(0))].last_seq == 2));
    }

    #[test]
    fn what_comes_in_a_flood_raises_the_share() {
        let mut rig = Rig::new(Limits::default(), 10_000, 1);
        let users = crowd(64);
        for seq in 1..=800 {
            rig.deliver(0, seq, &users, None);
        }
        let calls = (0..1_000).take_while(|_| rig.turn(|users, turn| users.go_on_handing_out(turn))).count();
        assert!((10..60).contains(&calls), "{calls} calls, where 256 users each take 200");
    }

    #[test]
    fn what_waits_of_own_conversations_is_counted() {
        let mut rig = Rig::new(Limits::default(), 10_000, 1);
        let users = crowd(300);
        let home = |id| rig.shared.router.home_of_conversation(ConversationKey { tenant: TENANT, conversation: id });
        let own = (1..=u8::MAX).map(|id| ConversationId([id; 16])).find(|&id| home(id) == 0).expect("there are many");
        rig.deliver(0, 1, &users, None);
        assert_eq!(rig.users.own_waiting(), 0, "credit bounds what comes from others");
        rig.deliver_to(own, 1, &users, None, None);
        assert_eq!(rig.users.own_waiting(), 300);
        work(&mut rig);
        assert_eq!(rig.users.own_waiting(), 300, "the other one is first");
        work(&mut rig);
        assert_eq!(rig.users.own_waiting(), 300 - (256 - 44));
        work(&mut rig);
        assert_eq!((rig.users.own_waiting(), rig.users.is_handing_out()), (0, false));
    }
}
