//! What is told and not kept as a message: how far users are.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use trunkline_wire::ids::UserId;
use trunkline_wire::message::UserReceipt;

use super::taking_up::Waiters;
use super::{Conversations, Due, Place, REPEAT_AFTER_NS};
use crate::conversation::Conversation;
use crate::conversation::targets::{Audience, by_home};
use crate::conversation::watermarks::{Risen, Watermark};
use crate::desk::Purpose;
use crate::entry::{Address, Entry, Notice};
use crate::store::{ConversationKey, DeviceReceipt, Put, StoreFault, UserKey};
use crate::turn::Turn;

/// Watermarks of conversations that cannot be taken up now, and how many of them are tried again in one turn.
const LATE_RECEIPTS_MAX: usize = 4_096;
const LATE_RECEIPTS_PER_TURN: usize = 64;
/// They wait for room, not for a time.
const ANY_TIME: u64 = 0;

impl Conversations {
    /// A device says how far it is in a conversation. One that is not here is taken up, if there is room and enough of it is
    /// left for what is asked; else that waits. Beyond what can wait it is forgotten: devices say it again.
    pub fn receipt(&mut self, turn: &mut Turn<'_>, key: ConversationKey, receipt: DeviceReceipt) {
        match self.places.get_mut(&key) {
            Some(Place::Here(_)) => self.take_receipt(turn, key, receipt),
            Some(Place::Loading(waiters)) if (waiters.receipts.len() as u64) < turn.shared.limits.load_waiters_max => {
                waiters.receipts.push(receipt);
            }
            None if turn.shared.desk.loads_outstanding() < (turn.shared.limits.loads_max / 2).max(1) => {
                self.load(turn, key, Waiters { receipts: vec![receipt], ..Waiters::default() });
            }
            Some(Place::Loading(_)) | None => self.keep_receipts(ANY_TIME, key, vec![receipt]),
        }
    }

    /// Keeps watermarks for later, as far as they may wait.
    pub(super) fn keep_receipts(&mut self, from_ns: u64, key: ConversationKey, receipts: Vec<DeviceReceipt>) {
        let room = LATE_RECEIPTS_MAX.saturating_sub(self.late_receipts.len());
        self.late_receipts.extend(receipts.into_iter().take(room).map(|receipt| (from_ns, key, receipt)));
    }

    /// Watermarks that found no room are taken up again, since each answer of the store may have made some; those whose
    /// conversation could not be read, after a while.
    pub(super) fn take_late_receipts(&mut self, turn: &mut Turn<'_>) {
        for _ in 0..self.late_receipts.len().min(LATE_RECEIPTS_PER_TURN) {
            match self.late_receipts.pop_front() {
                Some((from_ns, key, receipt)) if from_ns <= turn.now.mono_ns => self.receipt(turn, key, receipt),
                late => self.late_receipts.extend(late),
            }
        }
    }

    /// When watermarks are to be taken up again that wait for a time, not for room.
    pub(super) fn late_receipts_deadline(&self) -> Option<u64> {
        let next = self.late_receipts.iter().take(LATE_RECEIPTS_PER_TURN).map(|&(from_ns, ..)| from_ns);
        next.filter(|&from_ns| from_ns != ANY_TIME).min()
    }

    pub(super) fn take_receipt(&mut self, turn: &mut Turn<'_>, key: ConversationKey, receipt: DeviceReceipt) {
        let Some(conversation) = self.here(key) else { return };
        if conversation.take_receipt(receipt) {
            conversation.residence.touched = true;
            conversation.recharge(&mut turn.shared.cache);
            self.queue_receipts(turn, key);
        }
    }

    /// Sets the time at which watermarks that rose are told and stored.
    fn queue_receipts(&mut self, turn: &mut Turn<'_>, key: ConversationKey) {
        let Some(conversation) = self.here(key) else { return };
        let every_ns = turn.shared.limits.receipts_every_ms * 1_000_000;
        let due_ns = conversation.watermarks.due_ns(turn.now.mono_ns, every_ns);
        if let Some(due_ns) = due_ns.filter(|_| !conversation.watermarks.queued) {
            conversation.watermarks.queued = true;
            self.timetable.arm(due_ns, key, Due::Receipts);
        }
    }

    /// Tells and stores the watermarks of the next conversation where they are due; how many users were told.
    pub(super) fn flush_next(&mut self, turn: &mut Turn<'_>) -> usize {
        let Some(key) = self.flushes.pop_front() else { return 0 };
        let conversation = self.here(key).expect("a conversation with watermarks to be stored stays");
        if conversation.watermarks.notices.is_empty() {
            prepare_notices(turn, conversation);
        } else {
            spare_former(turn, conversation);
        }
        let told = post_notices(turn, conversation);
        if !conversation.watermarks.notices.is_empty() {
            conversation.recharge(&mut turn.shared.cache);
            self.timetable.arm(turn.now.mono_ns + REPEAT_AFTER_NS, key, Due::Receipts);
            return told;
        }
        conversation.watermarks.queued = false;
        let receipts = conversation.watermarks.flush(turn.now.mono_ns);
        conversation.recharge(&mut turn.shared.cache);
        if receipts.is_empty() {
            self.queue_receipts(turn, key);
        } else {
            self.put(turn, Purpose::Receipts(key), Put::Receipts { key, receipts });
        }
        told
    }

    /// The store answered a write of watermarks. What it did not take is written again after a while.
    pub fn receipts_stored(&mut self, turn: &mut Turn<'_>, key: ConversationKey, done: Result<(), StoreFault>) {
        self.puts -= 1;
        let conversation = self.here(key).expect("a conversation with watermarks to be stored stays");
        let stored = conversation.watermarks.stored(done.is_ok());
        turn.shared.counters.receipts_stored += stored as u64;
        conversation.recharge(&mut turn.shared.cache);
        self.queue_receipts(turn, key);
    }
}

/// Puts together what those concerned are told of the users whose watermarks rose: the members first, of whom one who left
/// hears no more, and then each who left of its own devices only.
fn prepare_notices(turn: &mut Turn<'_>, conversation: &mut Conversation) {
    let risen = conversation.watermarks.take_risen();
    let (members, former): (Vec<Risen>, Vec<Risen>) =
        risen.into_iter().partition(|risen| conversation.roster.is_member(risen.user));
    let is_small = conversation.roster.count() as u64 <= turn.shared.limits.notice_members_max;
    let (router, tenant) = (&turn.shared.router, conversation.key.tenant);
    let audience = match (is_small, members.is_empty()) {
        (_, true) => Audience::new(),
        (true, false) => conversation.members_by_home(router),
        (false, false) => by_home(router, tenant, members.iter().map(|risen| risen.user)),
    };
    prepare_notice(turn, conversation, &members, audience);
    for risen in former {
        let home = turn.shared.router.home_of_user(UserKey { tenant, user: risen.user });
        prepare_notice(turn, conversation, &[risen], vec![(home, Arc::from([risen.user]))]);
    }
}

/// One frame about some users to others.
fn prepare_notice(turn: &mut Turn<'_>, conversation: &mut Conversation, risen: &[Risen], audience: Audience) {
    if audience.is_empty() {
        return;
    }
    let receipt_of = |risen: &Risen| UserReceipt {
        user: risen.user,
        delivered_seq: risen.highest.delivered_seq,
        read_seq: risen.highest.read_seq,
    };
    let receipts: Vec<UserReceipt> = risen.iter().map(receipt_of).collect();
    let frame = turn.shared.encoder.receipts(conversation.key.conversation, &receipts).to_shared_frame();
    for (shard, users) in audience {
        let reads = risen.iter().filter(|risen| risen.has_read && users.binary_search(&risen.user).is_ok());
        let read = reads.map(|risen| (risen.user, risen.highest.read_seq)).collect();
        let notice = notice_of(conversation, frame.clone(), users, read, None);
        conversation.watermarks.notices.push_back((shard, Box::new(notice)));
    }
}

/// Notices that waited for credit may have been passed by a row that removes some of those they are for: these hear of their
/// own devices only.
fn spare_former(turn: &mut Turn<'_>, conversation: &mut Conversation) {
    let is_member = |user| conversation.roster.durable(user).is_some_and(|member| member.left_seq == u64::MAX);
    let mut notices = VecDeque::new();
    let mut spared = Vec::new();
    for (shard, mut notice) in core::mem::take(&mut conversation.watermarks.notices) {
        let (members, former): (Vec<UserId>, Vec<UserId>) = notice.users.iter().partition(|&&user| is_member(user));
        if !former.is_empty() {
            let has_read = |user| notice.read.binary_search_by_key(&user, |&(reader, _)| reader).is_ok();
            spared.extend(former.into_iter().map(|user| (shard, user, has_read(user))));
            notice.read.retain(|(reader, _)| members.binary_search(reader).is_ok());
            notice.users = members.into();
        }
        if !notice.users.is_empty() {
            notices.push_back((shard, notice));
        }
    }
    conversation.watermarks.notices = notices;
    for (shard, user, has_read) in spared {
        let highest = conversation.watermarks.of_user(user);
        if highest == Watermark::default() {
            continue;
        }
        prepare_notice(turn, conversation, &[Risen { user, highest, has_read }], vec![(shard, Arc::from([user]))]);
    }
}

/// Posts the notices towards shards with credit, the others stay; how many users are told.
fn post_notices(turn: &mut Turn<'_>, conversation: &mut Conversation) -> usize {
    let mut told = 0;
    for (shard, notice) in core::mem::take(&mut conversation.watermarks.notices) {
        if !turn.shared.router.has_credit(shard) {
            conversation.watermarks.notices.push_back((shard, notice));
            continue;
        }
        told += notice.users.len();
        let posted = turn.shared.router.try_post(shard, Entry::Notice(notice), turn.effects);
        assert!(posted, "there was credit");
    }
    told
}

pub(super) fn notice_of(
    conversation: &Conversation,
    frame: Arc<[u8]>,
    users: Arc<[UserId]>,
    read: Vec<(UserId, u64)>,
    except: Option<Address>,
) -> Notice {
    Notice { key: conversation.key, meta: conversation.meta.clone(), frame, users, read, except }
}

#[cfg(test)]
mod tests {
    use trunkline_wire::message::{Answer, Change, decode_answer};

    use super::super::rig::{Rig, group_key, payload};
    use super::*;
    use crate::store::StoreFault;

    /// A group of 1, 2 and 3 with rows 1 to 4.
    fn with_rows(limits: &[(&str, u64)]) -> Rig {
        let mut rig = Rig::with_group(1, &[2, 3], limits);
        for client_seq in 1..=3 {
            rig.send(group_key(), 1, client_seq);
            rig.settle();
        }
        rig
    }

    /// Of every notice: (users told, (user, delivered, read) of its frame, those whose lists change).
    type Told = (Vec<u64>, Vec<(u64, u64, u64)>, Vec<(u64, u64)>);

    fn take_told(rig: &mut Rig) -> Vec<Told> {
        let notices = core::mem::take(&mut rig.notices).into_iter();
        notices
            .map(|(_, notice)| {
                let Ok((0, Answer::Receipts(receipts))) = decode_answer(payload(&notice.frame)) else {
                    panic!("not receipts")
                };
                let receipts = receipts.users().into_iter().flatten();
                (
                    notice.users.iter().map(|user| user.0).collect(),
                    receipts.map(|r| (r.user(), r.delivered_seq(), r.read_seq())).collect(),
                    notice.read.iter().map(|&(user, seq)| (user.0, seq)).collect(),
                )
            })
            .collect()
    }

    #[test]
    fn watermarks_never_go_down_and_stay_in_the_window() {
        let mut rig = with_rows(&[]);
        let key = group_key();
        rig.receipt(key, 2, 1, 3, 2);
        rig.receipt(key, 2, 1, 2, 1);
        assert_eq!(rig.watermarks(key, 2), (3, 2));
        rig.receipt(key, 2, 1, 100, 4);
        assert_eq!(rig.watermarks(key, 2), (4, 4), "nothing above what is durable");
        rig.receipt(key, 3, 2, 0, 3);
        assert_eq!(rig.watermarks(key, 3), (0, 3), "delivered on another device, and read by the user");
        rig.receipt(key, 3, 1, 0, 2);
        assert_eq!(rig.watermarks(key, 3), (2, 3), "what is read is delivered");
        rig.receipt(key, 9, 1, 4, 4);
        rig.settle();
        assert!(rig.images[&key].receipts.iter().all(|receipt| receipt.user != UserId(9)));
        rig.change(1, Change::Removed, &[2]);
        rig.settle();
        rig.send(key, 1, 4);
        rig.settle();
        rig.receipt(key, 2, 1, 6, 6);
        assert_eq!(rig.watermarks(key, 2), (5, 5), "nothing above the end of the window");
        rig.change(1, Change::Added, &[4]);
        rig.settle();
        rig.receipt(key, 4, 1, 5, 5);
        assert_eq!(rig.watermarks(key, 4), (0, 0), "nothing below its beginning");
    }

    #[test]
    fn watermarks_are_told_at_once_and_then_together() {
        let mut rig = with_rows(&[("receipts_every_ms", 500)]);
        let key = group_key();
        rig.receipt(key, 2, 1, 2, 0);
        rig.settle();
        assert_eq!(take_told(&mut rig), [(vec![1, 2, 3], vec![(2, 2, 0)], vec![])]);
        rig.receipt(key, 2, 1, 3, 3);
        rig.receipt(key, 2, 2, 1, 1);
        rig.receipt(key, 3, 1, 4, 0);
        rig.settle();
        assert!(rig.notices.is_empty());
        assert_eq!(rig.conversations.next_deadline(), Some(rig.now.mono_ns + 500_000_000));
        rig.pass_ms(500);
        rig.settle();
        assert_eq!(take_told(&mut rig), [(vec![1, 2, 3], vec![(2, 3, 3), (3, 4, 0)], vec![(2, 3)])]);
        assert_eq!(rig.shared.counters.receipts_stored, 4);
        rig.pass_ms(500);
        rig.receipt(key, 2, 2, 2, 2);
        rig.settle();
        assert!(rig.notices.is_empty(), "stored, but nobody's highest rose");
        assert_eq!(rig.shared.counters.receipts_stored, 5);
    }

    #[test]
    fn what_the_store_does_not_take_is_written_again_and_told_once() {
        let mut rig = with_rows(&[("cache_bytes_max", 1)]);
        let key = group_key();
        rig.receipt(key, 2, 1, 3, 3);
        rig.settle_loads();
        assert_eq!(take_told(&mut rig).len(), 1);
        rig.fail_next(StoreFault::Full);
        rig.work();
        assert_eq!(rig.conversations.cached(), 1, "a watermark that is not stored holds its conversation");
        rig.pass_ms(500);
        assert!(rig.notices.is_empty());
        rig.settle();
        rig.pass_ms(1);
        assert_eq!(rig.conversations.cached(), 0);
        let receipt = rig.images[&key].receipts[0];
        assert_eq!((receipt.delivered_seq, receipt.read_seq), (3, 3));
    }

    #[test]
    fn what_comes_while_its_conversation_cannot_be_read_is_taken_later() {
        let mut first = with_rows(&[]);
        first.settle();
        let mut rig = Rig::new(1, 1, &[]);
        rig.images = first.images;
        rig.settle();
        let key = group_key();
        rig.receipt(key, 2, 1, 3, 2);
        for _ in 0..3 {
            rig.fail_next(StoreFault::Unknown);
            rig.work();
            assert!(rig.asked.is_empty(), "not at once");
            assert_eq!(rig.conversations.next_deadline(), Some(rig.now.mono_ns + REPEAT_AFTER_NS));
            rig.pass_ms(100);
            assert_eq!(rig.asked.len(), 1);
        }
        rig.settle();
        assert_eq!(rig.watermarks(key, 2), (3, 2));
    }

    #[test]
    fn who_left_hears_of_its_own_devices_only() {
        let mut rig = with_rows(&[]);
        let key = group_key();
        rig.change(1, Change::Removed, &[3]);
        rig.settle();
        rig.receipt(key, 2, 1, 5, 5);
        rig.receipt(key, 3, 1, 4, 4);
        rig.settle();
        let told = take_told(&mut rig);
        assert_eq!(told, [(vec![1, 2], vec![(2, 5, 5)], vec![(2, 5)]), (vec![3], vec![(3, 4, 4)], vec![(3, 4)])]);
    }

    #[test]
    fn a_notice_that_waited_does_not_come_behind_a_removal() {
        let mut rig = Rig::new(2, 2, &[]);
        let key = group_key();
        let home = |rig: &Rig, id| rig.shared.router.home_of_user(UserKey { tenant: key.tenant, user: UserId(id) });
        let there: Vec<u64> = (2..100).filter(|&id| home(&rig, id) == 1).take(3).collect();
        let [stays, leaves, reads] = there[..] else { panic!("there are some") };
        rig.create(&there);
        rig.settle();
        rig.send(key, 1, 1);
        rig.settle();
        assert!(!rig.shared.router.has_credit(1));
        rig.receipt(key, 1, 1, 2, 2);
        rig.receipt(key, reads, 1, 2, 1);
        rig.work();
        assert!(take_told(&mut rig).iter().all(|(users, _, _)| !users.contains(&stays)), "it waits for room");
        rig.shared.router.credit(1, 1);
        rig.change(1, Change::Removed, &[leaves, reads]);
        rig.settle();
        assert!(rig.delivered(true).contains(&(leaves, 3)), "the row takes the room");
        rig.shared.router.credit(1, 2);
        rig.pass_ms(200);
        let told = take_told(&mut rig);
        let of_others: Vec<_> = told.iter().filter(|(_, marks, _)| marks.iter().any(|mark| mark.0 == 1)).collect();
        let [(users, _, read)] = of_others[..] else { panic!("{told:?}") };
        assert!(users.contains(&stays) && !users.contains(&leaves) && !users.contains(&reads), "{told:?}");
        assert!(!read.contains(&(reads, 1)), "{told:?}");
        assert!(told.contains(&(vec![reads], vec![(reads, 2, 1)], vec![(reads, 1)])), "{told:?}");
        assert_eq!(told.len(), 2, "who left and said nothing hears nothing");
    }

    #[test]
    fn in_a_crowd_only_the_reader_hears_of_it() {
        let mut rig = with_rows(&[("notice_members_max", 2)]);
        rig.receipt(group_key(), 2, 1, 4, 4);
        rig.settle();
        assert_eq!(take_told(&mut rig), [(vec![2], vec![(2, 4, 4)], vec![(2, 4)])]);
    }
}
