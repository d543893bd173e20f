//! What the server answers: pages, lists, acks.

use std::collections::BTreeSet;

use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::message::{Answer, ConversationKind, ErrorCode, Role, messages_of_page, schema};

use super::pushes::{named, seen};
use super::{Asked, Ears, Heard, Standing, Tap};
use crate::oracle::Verdict;
use crate::oracle::lists::ListedRow;
use crate::oracle::watermarks::Mark;

/// 0 stands for: it has not left.
fn left(left_seq: u64) -> u64 {
    if left_seq == 0 { u64::MAX } else { left_seq }
}

impl Tap {
    pub(super) fn answered(
        &mut self,
        ears: &mut Ears<'_>,
        asked: Asked,
        before: Standing,
        answer: &Answer<'_>,
    ) -> Verdict {
        let same = self.standing(ears, &asked) == before;
        match (asked, answer) {
            (Asked::Open(id), Answer::Opened(opened)) => self.opened(ears, id, opened),
            (Asked::Create(id), Answer::Opened(opened)) => {
                ears.marks.push("groups_created");
                self.opened(ears, id, opened)
            }
            (Asked::Send(id), Answer::Ack(ack)) => self.acked(ears, id, (before, same), ack),
            (Asked::History { conversation, from_seq, backward }, Answer::HistoryPage(page)) => {
                self.paged(ears, conversation, (from_seq, backward), page)
            }
            (Asked::Sync { position, below }, Answer::Synced(synced)) => self.synced(ears, position, below, synced),
            (Asked::Change { conversation, .. }, Answer::MembersChanged(changed)) => {
                self.members_changed(ears, conversation, changed)
            }
            (Asked::Members { conversation, after, limit }, Answer::MembersPage(page)) => {
                self.members_paged(ears, conversation, (after, limit), page)
            }
            (Asked::Report | Asked::Typing(_), Answer::Done(_)) | (Asked::Other, _) => Ok(()),
            (asked, answer) => Err(format!("{asked:?} was answered with {answer:?}")),
        }
    }

    fn opened(&self, ears: &mut Ears<'_>, conversation: ConversationId, opened: &schema::Opened<'_>) -> Verdict {
        ears.oracle.heard_of(conversation, opened.last_seq());
        if opened.delivered_seq() == 0 {
            ears.heard.push(Heard::Unconfirmed(conversation));
        }
        let device_most = ears.oracle.watermarks.of_device(conversation, self.user, self.device);
        let user_most = ears.oracle.watermarks.of_user(conversation, self.user);
        let log = ears.oracle.log_now(ears.store, conversation)?;
        let wrong = |what: &str| Err(format!("REL-7: {} opened {conversation} as {opened:?}: {what}", self.user));
        if named(opened.conversation())? != conversation {
            return wrong("another one");
        }
        let window = log.windows(self.user).iter().find(|window| window.joined == opened.joined_seq()).copied();
        let Some(window) = window else { return wrong(&format!("windows {:?}", log.windows(self.user))) };
        let last_seq = opened.last_seq();
        if (opened.left_seq() != 0 && opened.left_seq() != window.left) || last_seq > window.left.min(log.last()) {
            return wrong(&format!("window {window:?} of {}", log.last()));
        }
        if (opened.role() == 0) != (opened.left_seq() != 0) {
            return wrong("a role without membership, or the other way round");
        }
        let members = log.members_at(last_seq).len();
        if opened.left_seq() == 0 && opened.members() as usize != members {
            return wrong(&format!("it has {members} members"));
        }
        if opened.high() > log.high(self.user, self.device) {
            return wrong("REL-5: its number is not durable");
        }
        let (delivered, read) = (opened.delivered_seq(), opened.read_seq());
        if delivered > device_most.delivered || read > user_most.read || delivered.max(read) > log.visible(self.user) {
            return wrong(&format!("REL-6: it reported {device_most:?}, all devices {user_most:?}"));
        }
        Ok(())
    }

    fn acked(
        &self,
        ears: &mut Ears<'_>,
        conversation: ConversationId,
        (before, same): (Standing, bool),
        ack: &schema::Ack<'_>,
    ) -> Verdict {
        let highest = ack.accepted().into_iter().flatten().map(|accepted| accepted.seq()).max();
        ears.oracle.heard_of(conversation, highest.unwrap_or(0));
        let block = ears.oracle.block_of(conversation, self.user);
        ears.oracle.log_now(ears.store, conversation)?;
        let Some(log) = ears.oracle.logs.log(conversation) else { return Ok(()) };
        for accepted in ack.accepted().into_iter().flatten() {
            let row = log.row(accepted.seq());
            let same = row.is_some_and(|row| {
                (row.sender, row.device, row.client_seq, row.ts_ms)
                    == (self.user, self.device, accepted.client_seq(), accepted.ts_ms())
            });
            if !same {
                return Err(format!(
                    "REL-1: {} got an ack {accepted:?} in {conversation}, the log has {row:?}",
                    self.user
                ));
            }
            let taken = row.filter(|row| ears.oracle.blocks.is_wrongly_taken(row.message_id, block));
            if let Some(row) = taken {
                return Err(format!("SEC-4: {} is blocked in {conversation} and wrote {row:?}", self.user));
            }
        }
        if ack.high() > log.high(self.user, self.device) {
            return Err(format!("REL-5: {} was told of high {} that is not durable", self.user, ack.high()));
        }
        match ErrorCode::from_number(ack.refusal()) {
            Some(ErrorCode::Forbidden) if log.windows(self.user).is_empty() => {
                Err(format!("SEC-2: {} never was in {conversation} and hears forbidden", self.user))
            }
            Some(ErrorCode::Forbidden) if before.member && same && before.block.is_open() => {
                Err(format!("REL-7: {} is in {conversation} and may not send", self.user))
            }
            Some(ErrorCode::Forbidden) => {
                ears.marks.push("sends_forbidden");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn paged(
        &self,
        ears: &mut Ears<'_>,
        conversation: ConversationId,
        (from_seq, backward): (u64, bool),
        page: &schema::HistoryPage<'_>,
    ) -> Verdict {
        ears.marks.push("pages");
        for message in messages_of_page(page) {
            ears.oracle.shown(ears.store, self.user, conversation, &seen(&message))?;
        }
        let log = ears.oracle.log_now(ears.store, conversation)?;
        let seqs: Vec<u64> = messages_of_page(page).map(|message| message.seq()).collect();
        let wrong = |what: &str| {
            let windows = log.windows(self.user);
            Err(format!(
                "REL-4: {} asked {conversation} from {from_seq}, backward {backward}, got {seqs:?}, last {}, more {}, \
                 windows {windows:?}: {what}",
                self.user,
                page.last_seq(),
                page.more()
            ))
        };
        let last_seq = page.last_seq();
        if !seqs.is_sorted_by(|a, b| a + 1 == *b) {
            return wrong("a page has no gap");
        }
        let holds = |seq: &u64| log.windows(self.user).iter().position(|w| (w.joined..=w.left).contains(seq));
        let (Some(&first), Some(&last)) = (seqs.first(), seqs.last()) else {
            let window = log.windows(self.user).iter().rfind(|w| w.joined <= last_seq && last_seq <= w.left);
            let due = window.is_some_and(|window| {
                if backward { from_seq == 0 || from_seq >= window.joined } else { from_seq <= last_seq }
            });
            return if page.more() || due { wrong("something is missing") } else { Ok(()) };
        };
        let window = holds(&first).filter(|index| holds(&last) == Some(*index));
        let Some(window) = window.map(|index| log.windows(self.user)[index]) else {
            return wrong("REL-7: more than one window");
        };
        if last_seq > window.left.min(log.last()) || last > last_seq {
            return wrong("what is said to be last is not");
        }
        let (begins, ends) = if backward {
            (last == last_seq.min(if from_seq == 0 { u64::MAX } else { from_seq }), first > window.joined)
        } else {
            (first == from_seq.max(window.joined), last < last_seq)
        };
        if begins && ends == page.more() { Ok(()) } else { wrong("it begins or ends elsewhere") }
    }

    fn synced(
        &mut self,
        ears: &mut Ears<'_>,
        position: Option<u64>,
        below: u64,
        synced: &schema::Synced<'_>,
    ) -> Verdict {
        ears.oracle.lists.check_number(ears.store, self.user, synced.to(), ears.numbers_floor)?;
        ears.marks.push("syncs");
        let (from, to) = (synced.from(), synced.to());
        self.synced_to = self.synced_to.max(to);
        let good_from = if synced.resync() { from == 0 } else { position.is_none_or(|position| position == from) };
        if !good_from || from > to {
            return Err(format!("positions: a sync from {position:?} is answered from {from} to {to}"));
        }
        let mut above = if below == 0 { u64::MAX } else { below };
        let mut told = BTreeSet::new();
        for summary in synced.conversations().into_iter().flatten() {
            let row = ListedRow {
                conversation: named(summary.conversation())?,
                kind: summary.kind(),
                peer: UserId(summary.peer()),
                title: summary.title().unwrap_or_default().to_owned(),
                user_seq: summary.user_seq(),
                last_seq: summary.last_seq(),
                read_seq: summary.read_seq(),
                joined_seq: summary.joined_seq(),
                left_seq: left(summary.left_seq()),
            };
            if row.user_seq >= above || row.user_seq <= from {
                return Err(format!("positions: {row:?} is not between {from} and {above}"));
            }
            above = row.user_seq;
            told.insert(row.conversation);
            ears.heard.push(Heard::Listed(row.conversation));
            ears.oracle.listed(ears.store, (self.user, self.device), &row)?;
        }
        if told.is_empty() && synced.more() {
            return Err("positions: more behind an empty page".to_owned());
        }
        // Whatever had a number in there has the same or a higher one now.
        let lowest = if synced.more() { above } else { from };
        match ears.oracle.lists.unnamed(ears.store, self.user, (lowest, to), &told).filter(|_| below == 0) {
            None => Ok(()),
            Some(row) => Err(format!("positions: a sync from {position:?} is answered up to {to} without {row:?}")),
        }
    }

    fn members_changed(
        &self,
        ears: &mut Ears<'_>,
        conversation: ConversationId,
        changed: &schema::MembersChanged<'_>,
    ) -> Verdict {
        let log = ears.oracle.log_now(ears.store, conversation)?;
        if changed.seq() == 0 {
            ears.marks.push("changes_of_nothing");
            return Ok(());
        }
        match log.row(changed.seq()) {
            Some(row) if row.sender == self.user && row.client_seq == 0 => {
                ears.marks.push("changes_of_members");
                Ok(())
            }
            row => Err(format!("REL-1: {} changed {conversation} at {}: {row:?}", self.user, changed.seq())),
        }
    }

    fn members_paged(
        &self,
        ears: &mut Ears<'_>,
        conversation: ConversationId,
        (after, limit): (UserId, usize),
        page: &schema::MembersPage<'_>,
    ) -> Verdict {
        let listed: Vec<schema::Member> = page.members().into_iter().flatten().copied().collect();
        for member in &listed {
            let told = Mark { delivered: member.delivered_seq(), read: member.read_seq() };
            ears.oracle.marked(ears.store, conversation, UserId(member.user()), told)?;
        }
        let log = ears.oracle.log_now(ears.store, conversation)?;
        let members: Vec<UserId> = log.members_at(page.last_seq()).into_iter().filter(|&user| user > after).collect();
        let users: Vec<UserId> = listed.iter().map(|member| UserId(member.user())).collect();
        let roles = listed.iter().all(|member| {
            let admin = member.role() == Role::Admin as u8;
            page.last_seq() < log.last() || admin == log.is_admin(UserId(member.user()))
        });
        let joined = listed
            .iter()
            .all(|member| log.windows(UserId(member.user())).iter().any(|window| window.joined == member.joined_seq()));
        let is_group = log.kind() == ConversationKind::Group;
        if users.len() > limit
            || !members.starts_with(&users)
            || page.more() != (users.len() < members.len())
            || !joined
            || (is_group && !roles)
        {
            return Err(format!(
                "REL-7: {} was told the members of {conversation} behind {after} at {} are {listed:?}, more {}; they are \
                 {members:?}",
                self.user,
                page.last_seq(),
                page.more()
            ));
        }
        ears.marks.push("member_pages");
        Ok(())
    }
}
