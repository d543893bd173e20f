//! Sync: what changed in a user's list behind a position, from memory if that has it all, else from the store.
//!
//! Position and unstored changes are taken from memory before the store is asked, so that whatever the answer lacks has a
//! number above the position it brings its client to. A row whose number rises between two pages is not lost either: its
//! new number lies above the position of the first page.
//!
//! A page begins below the lowest number of the one before, so that no two rows of a user may share one: each change gets
//! the next number of its list's counter, a number goes on to a later change only of the same row, nothing is given above
//! the durable ceiling, and a list that is taken up again begins there. The store takes the highest number of a row.

use alloc::boxed::Box;
use alloc::vec::Vec;

use trunkline_wire::ids::ConversationId;
use trunkline_wire::limits::SYNC_CONVERSATIONS_MAX;
use trunkline_wire::message::{ErrorCode, Summary};

use super::list::{List, Page};
use super::numbers::INCARNATION_SHIFT;
use super::row::later_window;
use super::{Users, ask_store};
use crate::desk::Purpose;
use crate::entry::{HomeAnswer, HomeRequest};
use crate::router::Reply;
use crate::store::{ListRow, Load, Loaded, StoreFault, UserKey};
use crate::turn::Turn;

/// A sync that waits for the store.
#[derive(Debug)]
pub(crate) struct SyncAsked {
    reply: Reply,
    request: u32,
    key: UserKey,
    /// The stay of the list in which the store was asked.
    stay: u64,
    /// What the client has.
    from: u64,
    /// What the answer brings it to.
    to: u64,
    rows_max: usize,
    resync: bool,
    /// The rows that the store did not have when it was asked; all of them, once it has answered.
    page: Page,
    /// The row that is being looked up.
    looking: Option<ConversationId>,
}

impl Users {
    /// A client asks what changed. Without a position it is asked for the one that the device has stored first.
    pub(super) fn sync(&mut self, turn: &mut Turn<'_>, reply: Reply, request: HomeRequest) {
        let HomeRequest::Sync { caller, position, .. } = request else { unreachable!("only syncs come here") };
        let key = UserKey { tenant: caller.tenant, user: caller.user };
        if position.is_some() {
            return self.sync_once_known(turn, key, reply, request);
        }
        let load = Load::Position { key, device: caller.device };
        ask_store(turn, reply, Purpose::StoredPosition(reply, Box::new(request)), load);
    }

    /// The position that a device has stored came from the store, or there is none.
    pub fn stored_position(
        &mut self,
        turn: &mut Turn<'_>,
        reply: Reply,
        mut request: HomeRequest,
        loaded: Result<Loaded, StoreFault>,
    ) {
        let HomeRequest::Sync { caller, position, .. } = &mut request else { unreachable!("only syncs ask for it") };
        let key = UserKey { tenant: caller.tenant, user: caller.user };
        match loaded {
            Ok(Loaded::Position(stored)) => *position = stored,
            _ => return turn.refuse(reply, ErrorCode::StorageUnavailable),
        }
        self.sync_once_known(turn, key, reply, request);
    }

    /// A list whose numbers are not known yet is taken up first.
    fn sync_once_known(&mut self, turn: &mut Turn<'_>, key: UserKey, reply: Reply, request: HomeRequest) {
        let ready = self.with(turn, key, |user, queues, turn| {
            let list = user.list_mut(key, &mut queues.ring);
            if list.is_known() {
                return Some(request);
            }
            if list.waiters.len() as u64 >= turn.shared.limits.load_waiters_max {
                turn.refuse(reply, ErrorCode::Busy);
            } else {
                list.waiters.push((reply, request));
                queues.attend(turn, key, list);
            }
            None
        });
        if let Some(request) = ready {
            self.sync_from(turn, key, reply, &request);
        }
    }

    /// Answers from memory, or asks the store. No position: none was stored, and the client begins with what comes now.
    pub(super) fn sync_from(&mut self, turn: &mut Turn<'_>, key: UserKey, reply: Reply, request: &HomeRequest) {
        let &HomeRequest::Sync { request, position, below, limit, .. } = request else {
            unreachable!("only syncs wait for a list");
        };
        let list = self.list_of(key).expect("a list that is asked is in memory");
        let to = list.show();
        let Some(position) = position else {
            return answer(turn, reply, request, (to, to), &Page::default(), false);
        };
        let floor = (turn.shared.incarnation.max(1) - 1) << INCARNATION_SHIFT;
        let resync = position > to || (1..floor).contains(&position);
        let from = if resync { 0 } else { position };
        let below = if below == 0 { u64::MAX } else { below };
        let rows_max = usize::from(limit).clamp(1, SYNC_CONVERSATIONS_MAX);
        let is_here = list.complete_above() <= from || below <= from + 1;
        let page = list.page(key.user, (from, below), rows_max, !is_here);
        let is_all_here = is_here && page.partial.is_empty();
        if !is_all_here && !turn.shared.desk.can_load(&turn.shared.limits) {
            return turn.refuse(reply, ErrorCode::Busy);
        }
        turn.shared.counters.resyncs += u64::from(resync);
        let stay = list.stay();
        let asked = SyncAsked { reply, request, key, stay, from, to, rows_max, resync, page, looking: None };
        if is_here {
            turn.shared.counters.syncs_from_memory += 1;
            return complete(turn, asked);
        }
        turn.shared.counters.syncs_from_store += 1;
        let load = Load::List { key, above: from, below, rows_max: rows_max as u32 };
        turn.shared.desk.load(Purpose::Sync(Box::new(asked)), load, turn.effects);
    }

    /// A part of a list came from the store, or one row of it.
    pub fn sync_loaded(&mut self, turn: &mut Turn<'_>, mut asked: SyncAsked, loaded: Result<Loaded, StoreFault>) {
        let list = self.list_of(asked.key);
        match (asked.looking.take(), loaded) {
            (None, Ok(Loaded::List(rows, more))) => {
                if let Some(list) = list {
                    rows.iter().for_each(|row| list.fill_in_stay(asked.stay, row.conversation, Some(row)));
                }
                merge(&mut asked, rows, more);
            }
            (Some(conversation), Ok(Loaded::ListRow(stored))) => {
                if let Some(list) = list {
                    list.fill_in_stay(asked.stay, conversation, stored.as_deref());
                }
                let shown = asked.page.rows.iter_mut().find(|row| row.conversation == conversation);
                if let (Some(shown), Some(stored)) = (shown, stored) {
                    raise(shown, &stored);
                }
            }
            _ => return turn.refuse(asked.reply, ErrorCode::StorageUnavailable),
        }
        // Its client may have been told meanwhile of a change that this answer does not have, and takes back.
        if let Some(list) = self.list_of(asked.key) {
            list.answer_late(asked.to);
        }
        complete(turn, asked);
    }

    fn list_of(&mut self, key: UserKey) -> Option<&mut List> {
        self.users.get_mut(&key).and_then(|user| user.list.as_deref_mut())
    }
}

/// Takes what another copy of a row says beyond it, but for its number.
fn raise(row: &mut ListRow, other: &ListRow) {
    row.last_seq = row.last_seq.max(other.last_seq);
    row.read_seq = row.read_seq.max(other.read_seq);
    (row.joined_seq, row.left_seq) = later_window((row.joined_seq, row.left_seq), (other.joined_seq, other.left_seq));
}

/// Puts what the store has into the page of what it did not have when it was asked. Where the store has more rows than it
/// gave, those below its last one are for the next page: there may be others between them.
fn merge(asked: &mut SyncAsked, stored: Vec<ListRow>, more: bool) {
    let cut = if more { stored.last().map_or(0, |row| row.user_seq) } else { 0 };
    let page = &mut asked.page;
    let mut rows = stored;
    page.more |= more;
    for unstored in page.rows.drain(..) {
        match rows.iter_mut().find(|row| row.conversation == unstored.conversation) {
            Some(row) => {
                raise(row, &unstored);
                row.user_seq = row.user_seq.max(unstored.user_seq);
                page.partial.retain(|&conversation| conversation != unstored.conversation);
            }
            None if unstored.user_seq >= cut => rows.push(unstored),
            None => {}
        }
    }
    rows.sort_unstable_by_key(|row| core::cmp::Reverse(row.user_seq));
    page.more |= rows.len() > asked.rows_max;
    rows.truncate(asked.rows_max);
    page.partial.retain(|conversation| rows.iter().any(|row| row.conversation == *conversation));
    page.rows = rows;
}

/// Looks up what is still missing, one row after the other, then answers.
fn complete(turn: &mut Turn<'_>, mut asked: SyncAsked) {
    if let Some(conversation) = asked.page.partial.pop() {
        asked.looking = Some(conversation);
        let load = Load::ListRow { key: asked.key, conversation };
        return turn.shared.desk.load(Purpose::Sync(Box::new(asked)), load, turn.effects);
    }
    answer(turn, asked.reply, asked.request, (asked.from, asked.to), &asked.page, asked.resync);
}

fn answer(turn: &mut Turn<'_>, reply: Reply, request: u32, span: (u64, u64), page: &Page, resync: bool) {
    let summaries: Vec<Summary<'_>> = page.rows.iter().map(summary_of).collect();
    let mut frame = Vec::new();
    turn.shared.encoder.synced(request, span, &summaries, page.more, resync).write_server_frame(&mut frame);
    turn.answer(reply, HomeAnswer::Frame(frame));
}

fn summary_of(row: &ListRow) -> Summary<'_> {
    Summary {
        conversation: row.conversation,
        kind: row.about.kind,
        peer: row.about.peer,
        last_seq: row.last_seq,
        user_seq: row.user_seq,
        read_seq: row.read_seq,
        joined_seq: row.joined_seq,
        left_seq: if row.left_seq == u64::MAX { 0 } else { row.left_seq },
        title: &row.about.title,
    }
}
