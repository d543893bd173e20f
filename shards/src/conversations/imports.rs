//! What was said elsewhere comes into a conversation of its own, and users are admitted to it.

use alloc::string::String;
use alloc::vec::Vec;

use trunkline_wire::ids::UserId;
use trunkline_wire::message::{Change, ConversationKind, ErrorCode};

use super::Conversations;
use super::groups::{answer_when_durable, take_change};
use crate::archive::importer;
use crate::conversation::{ChangeAnswer, Conversation, SuspendedSend, WaitingChange};
use crate::entry::HomeRequest;
use crate::router::Reply;
use crate::store::{ConversationKey, ConversationMeta};
use crate::turn::Turn;

impl Conversations {
    /// The importer asks; the conversation is here, or there is none.
    pub(super) fn take_import(
        &mut self,
        turn: &mut Turn<'_>,
        key: ConversationKey,
        reply: Reply,
        request: HomeRequest,
    ) {
        match request {
            HomeRequest::Import { caller, name, messages, .. } => {
                if self.here(key).is_none() {
                    let meta = imported_meta(turn, name);
                    self.insert(turn, Conversation::new(key, meta, turn.shared.incarnation));
                }
                let conversation = self.here(key).expect("it was made if need be");
                conversation.touch(turn.now.mono_ns);
                let send = SuspendedSend::new(caller, reply, 0, messages);
                let can_append = turn.shared.desk.can_append(&turn.shared.limits);
                let verdict = conversation.judge(send, turn.now, &turn.shared.limits, can_append);
                self.settle(turn, key, verdict);
                self.drop_unborn(turn, key);
            }
            HomeRequest::Admit { users, .. } => self.admit(turn, key, reply, &users),
            _ => unreachable!("the importer imports and admits"),
        }
    }

    /// Whoever was a member once is passed over: it is one, or it left for good.
    fn admit(&mut self, turn: &mut Turn<'_>, key: ConversationKey, reply: Reply, users: &[UserId]) {
        let Some(conversation) = self.here(key).filter(|conversation| conversation.is_imported()) else {
            return turn.refuse(reply, ErrorCode::NotFound);
        };
        let roster = &conversation.roster;
        let new: Vec<UserId> = users.iter().copied().filter(|&user| roster.latest(user).is_none()).collect();
        let caller = importer(turn.shared.router.own(), key.tenant);
        if new.is_empty() {
            let (answer, need_seq) = (ChangeAnswer::Changed(0), roster.pending_seq());
            let change = WaitingChange { caller, reply, request: 0, answer, need_seq };
            return answer_when_durable(turn, conversation, change);
        }
        if (roster.places() + new.len()) as u64 > turn.shared.limits.group_members_max {
            return turn.refuse(reply, ErrorCode::GroupFull);
        }
        let body = turn.shared.encoder.membership_change(Change::Admitted, &new, "");
        if let Err(code) = take_change(turn, conversation, (caller, reply, 0, ChangeAnswer::Changed(0)), body) {
            return turn.refuse(reply, code);
        }
        self.append_next(turn, key);
    }
}

fn imported_meta(turn: &Turn<'_>, title: String) -> ConversationMeta {
    let kind = ConversationKind::Imported as u8;
    ConversationMeta { kind, created_ms: turn.now.wall_ms, peers: Vec::new(), title }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;
    use alloc::vec::Vec;

    use trunkline_wire::ids::{ConversationId, MessageId, UserId};
    use trunkline_wire::message::{Answer, Change, ErrorCode, decode_answer};

    use super::super::rig::{Rig, TENANT, caller, payload, users};
    use crate::archive::Imported;
    use crate::conversations::imports::importer;
    use crate::entry::{HomeAnswer, HomeRequest, OutgoingMessage};
    use crate::store::{ConversationKey, StoreFault};

    const NAME: &str = "#ships";

    fn key() -> ConversationKey {
        ConversationKey { tenant: TENANT, conversation: ConversationId::imported(TENANT, NAME) }
    }

    fn line(number: u64, sent_at_ms: u64) -> OutgoingMessage {
        OutgoingMessage {
            client_seq: number,
            message_id: MessageId(9_000 + number),
            kind: 1,
            flags: 0,
            ref_seq: 0,
            mls_epoch: 0,
            refusal: None,
            imported: Some(Imported { sender: UserId(2_000 + number % 3), sent_at_ms }),
            body: [].into(),
        }
    }

    fn import(rig: &mut Rig, messages: Vec<OutgoingMessage>) -> u32 {
        let (caller, conversation, name) = (importer(0, TENANT), key().conversation, NAME.to_string());
        rig.ask(HomeRequest::Import { caller, conversation, name, messages })
    }

    fn admit(rig: &mut Rig, ids: &[u64]) -> u32 {
        let (caller, conversation) = (importer(0, TENANT), key().conversation);
        rig.ask(HomeRequest::Admit { caller, conversation, users: users(ids) })
    }

    /// Three messages, the second one early.
    fn imported() -> Rig {
        let mut rig = Rig::new(1, 1_000, &[("conversation_send_burst", 1)]);
        let ticket = import(&mut rig, vec![line(1, 20), line(2, 10), line(3, 30)]);
        rig.settle();
        assert_eq!(rig.ack(ticket), (vec![1, 2, 3], None));
        rig
    }

    #[test]
    fn senders_and_times_are_kept_and_rows_are_numbered_by_the_importer() {
        let rig = imported();
        let image = &rig.images[&key()];
        let said: Vec<_> = image.recent.iter().map(|row| (row.sender.0, row.sent_at_ms, row.ts_ms)).collect();
        assert_eq!(said, [(2_001, 20, 20), (2_002, 10, 20), (2_000, 30, 30)], "the time never goes down");
        assert_eq!((image.meta.title.as_str(), image.devices.len(), image.devices[0].high), (NAME, 1, 3));
        assert!(rig.deliveries.is_empty(), "nobody is told");
        assert_eq!(image.mark, None);
    }

    #[test]
    fn what_is_imported_again_is_there_once_and_another_line_is_a_conflict() {
        for shards in [1, 2] {
            let mut rig = imported();
            if shards == 2 {
                let images = rig.images;
                rig = Rig::new(2, 1_000, &[]);
                rig.images = images;
            }
            let again = import(&mut rig, vec![line(2, 10), line(3, 30), line(4, 40)]);
            rig.settle();
            assert_eq!(rig.ack(again), (vec![2, 3, 4], None));
            let other = OutgoingMessage { message_id: MessageId(1), ..line(2, 10) };
            let conflict = import(&mut rig, vec![line(1, 20), other, line(3, 30)]);
            let gap = import(&mut rig, vec![line(6, 60)]);
            rig.settle();
            assert_eq!(rig.ack(conflict), (vec![1], Some(ErrorCode::ClientSeqConflict)));
            assert_eq!(rig.ack(gap), (vec![], Some(ErrorCode::OutOfOrder)));
            assert_eq!(rig.images[&key()].last_seq, 4);
        }
    }

    #[test]
    fn those_who_are_admitted_see_it_from_its_beginning_and_are_told_of_it() {
        let mut rig = imported();
        let admitted = admit(&mut rig, &[5, 6]);
        rig.settle();
        assert_eq!(rig.changed(admitted), 4);
        assert_eq!(rig.delivered(true), [(5, 4), (6, 4)]);
        let windows: Vec<_> = rig.deliveries.iter().flat_map(|(_, delivery)| delivery.windows.clone()).collect();
        assert_eq!(windows, [(UserId(5), 1, u64::MAX), (UserId(6), 1, u64::MAX)]);
        let opened = rig.open(key(), 5);
        assert_eq!(rig.opened(opened), (1, 1, 0, 4, 2));
        let again = admit(&mut rig, &[5]);
        assert_eq!(rig.changed(again), 0);
        // More of it comes: their lists are told, no session is, and the time goes on from where it was.
        rig.deliveries.clear();
        import(&mut rig, vec![line(4, 30)]);
        rig.settle();
        rig.pass_ms(10_000);
        rig.settle();
        assert_eq!((rig.delivered(true), rig.delivered(false)), (vec![], vec![(5, 5), (6, 5)]));
        assert_eq!(rig.images[&key()].recent[4].ts_ms, 30);
    }

    #[test]
    fn nobody_else_writes_and_strangers_see_nothing() {
        let mut rig = imported();
        admit(&mut rig, &[5]);
        rig.settle();
        let (member, stranger) = (rig.send(key(), 5, 1), rig.send(key(), 7, 1));
        assert_eq!(rig.ack(member), (vec![], Some(ErrorCode::Forbidden)));
        assert_eq!(rig.refusal(stranger), ErrorCode::NotFound);
        let (conversation, users) = (key().conversation, users(&[7]));
        let add =
            HomeRequest::ChangeMembers { caller: caller(5), request: 9, conversation, change: Change::Added, users };
        let added = rig.ask(add);
        assert_eq!(rig.refusal(added), ErrorCode::Forbidden);
        let leave = |rig: &mut Rig| {
            let (caller, users) = (caller(5), vec![UserId(5)]);
            rig.ask(HomeRequest::ChangeMembers { caller, request: 9, conversation, change: Change::Removed, users })
        };
        let left = leave(&mut rig);
        rig.settle();
        assert_eq!(rig.changed(left), 5);
        let back = admit(&mut rig, &[5]);
        assert_eq!(rig.changed(back), 0, "who left stays out");
        let opened = rig.open(key(), 5);
        assert_eq!(rig.opened(opened), (0, 1, 5, 5, 0));
    }

    #[test]
    fn only_what_is_imported_can_be_imported_to() {
        let mut rig = imported();
        let early = {
            let (caller, users) = (importer(0, TENANT), users(&[5]));
            let conversation = ConversationId::imported(TENANT, "#other");
            rig.ask(HomeRequest::Admit { caller, conversation, users })
        };
        rig.settle();
        assert_eq!(rig.refusal(early), ErrorCode::NotFound);
        assert_eq!(rig.conversations.cached(), 1);
        let group = rig.create(&[2]);
        rig.settle();
        assert!(matches!(rig.answer(group), HomeAnswer::Frame(_)));
        let (caller, conversation) = (importer(0, TENANT), super::super::rig::group_key().conversation);
        let foreign = HomeRequest::Import { caller, conversation, name: NAME.to_string(), messages: vec![line(1, 1)] };
        let foreign = rig.ask(foreign);
        assert_eq!(rig.ack(foreign), (vec![], Some(ErrorCode::Forbidden)));
    }

    #[test]
    fn a_full_disk_leaves_nothing_of_it() {
        let mut rig = Rig::new(1, 10, &[]);
        let ticket = import(&mut rig, vec![line(1, 20)]);
        rig.store_next();
        rig.fail_next(StoreFault::Full);
        assert_eq!(rig.ack(ticket), (vec![], Some(ErrorCode::StorageFull)));
        assert_eq!((rig.conversations.cached(), rig.shared.cache.bytes()), (0, 0));
    }

    fn page(rig: &mut Rig, at_ms: u64, backward: bool) -> (Vec<u64>, bool, Vec<u64>) {
        let (caller, conversation) = (caller(5), key().conversation);
        let ticket =
            rig.ask(HomeRequest::History { caller, request: 9, conversation, from_seq: 0, at_ms, backward, limit: 2 });
        rig.settle();
        let HomeAnswer::Frame(frame) = rig.answer(ticket) else { panic!("no page") };
        let Ok((9, Answer::HistoryPage(page))) = decode_answer(payload(&frame)) else { panic!("no page") };
        let seqs = page.messages().into_iter().flatten().map(|message| message.seq()).collect();
        let names = page.names().into_iter().flatten().map(|name| {
            assert_eq!(name.name(), Some(&*UserId(name.user()).to_string()));
            name.user()
        });
        (seqs, page.more(), names.collect())
    }

    #[test]
    fn pages_begin_at_a_time_and_name_their_senders() {
        let mut rig = imported();
        admit(&mut rig, &[5]);
        rig.settle();
        assert_eq!(page(&mut rig, 0, false), (vec![1, 2], true, vec![2_001, 2_002]));
        assert_eq!(page(&mut rig, 20, false), (vec![1, 2], true, vec![2_001, 2_002]));
        assert_eq!(page(&mut rig, 21, false), (vec![3, 4], false, vec![2_000]));
        assert_eq!(page(&mut rig, 31, false), (vec![], false, vec![]));
        assert_eq!(page(&mut rig, 30, true), (vec![1, 2], false, vec![2_001, 2_002]));
        assert_eq!(page(&mut rig, 20, true), (vec![], false, vec![]));
        assert_eq!(page(&mut rig, u64::MAX, true), (vec![3, 4], true, vec![2_000]));
    }
}
