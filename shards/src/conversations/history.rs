//! Pages of a conversation: from memory if it reaches back far enough, else from the store. Of what was imported always from
//! there, with what its senders were called.

use alloc::vec::Vec;

use trunkline_wire::ids::UserId;
use trunkline_wire::limits::{HISTORY_BYTES_MAX, NAMED_HISTORY_BYTES_MAX};
use trunkline_wire::message::{self, ErrorCode};

use super::answers::fields_of;
use crate::conversation::Conversation;
use crate::desk::{HistoryAsked, Purpose};
use crate::entry::HomeAnswer;
use crate::router::Reply;
use crate::store::{ArchiveLoad, ArchiveLoaded, Load, Loaded, Member, Row, StoreFault};
use crate::turn::Turn;

/// Which page is asked for.
#[derive(Clone, Copy)]
pub(super) struct PageAsked {
    /// 0: from the first one, or downwards from the newest.
    pub from_seq: u64,
    /// By time instead; 0: by seq.
    pub at_ms: u64,
    pub backward: bool,
    pub limit: usize,
}

/// A page of what a member sees.
pub(super) fn answer_history(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    (reply, request): (Reply, u32),
    member: &Member,
    page: PageAsked,
) {
    let PageAsked { at_ms, backward, limit, .. } = page;
    let (first_seq, visible_seq) = conversation.window_of(member);
    let from_seq = match (backward, page.from_seq) {
        (true, 0) => visible_seq,
        (true, from_seq) => from_seq.min(visible_seq),
        (false, from_seq) => from_seq.max(first_seq),
    };
    let (key, epoch, is_named) = (conversation.key, conversation.epoch, conversation.is_imported());
    let asked = HistoryAsked { reply, request, key, backward, first_seq, visible_seq, epoch, is_named };
    if !(first_seq..=visible_seq).contains(&from_seq) {
        return answer_page(turn, &asked, &[], false, &[]);
    }
    if at_ms == 0
        && !is_named
        && let Some((rows, more)) = conversation.recent.page((first_seq, visible_seq), from_seq, backward, limit)
    {
        return answer_page(turn, &asked, &rows, more, &[]);
    }
    if !turn.shared.desk.can_load(&turn.shared.limits) {
        return turn.refuse(reply, ErrorCode::Busy);
    }
    let rows_max = limit as u32;
    let cost_bytes_max = if is_named { NAMED_HISTORY_BYTES_MAX } else { HISTORY_BYTES_MAX } as u32;
    let load = if at_ms == 0 {
        Load::History { key, from_seq, backward, rows_max, cost_bytes_max }
    } else {
        let within = (first_seq, visible_seq);
        Load::Archive(ArchiveLoad::HistoryAt { key, at_ms, within, backward, rows_max, cost_bytes_max })
    };
    turn.shared.desk.load(Purpose::History(asked), load, turn.effects);
}

/// A page came from the store. The window may have ended meanwhile: the page is as of the request.
pub(crate) fn history_loaded(turn: &mut Turn<'_>, asked: HistoryAsked, loaded: Result<Loaded, StoreFault>) {
    let Ok(Loaded::History(mut rows)) = loaded else {
        return turn.refuse(asked.reply, ErrorCode::StorageUnavailable);
    };
    rows.retain(|row| (asked.first_seq..=asked.visible_seq).contains(&row.seq));
    let more = if asked.backward {
        rows.first().is_some_and(|row| row.seq > asked.first_seq)
    } else {
        rows.last().is_some_and(|row| row.seq < asked.visible_seq)
    };
    let mut users: Vec<UserId> = rows.iter().filter(|row| row.is_imported()).map(|row| row.sender).collect();
    if !asked.is_named || users.is_empty() {
        return answer_page(turn, &asked, &rows.iter().collect::<Vec<_>>(), more, &[]);
    }
    if !turn.shared.desk.can_load(&turn.shared.limits) {
        return turn.refuse(asked.reply, ErrorCode::Busy);
    }
    users.sort_unstable();
    users.dedup();
    let load = Load::Archive(ArchiveLoad::Names { tenant: asked.key.tenant, users });
    turn.shared.desk.load(Purpose::Names(asked, rows, more), load, turn.effects);
}

/// What the senders of a page were called came from the store.
pub(crate) fn names_loaded(
    turn: &mut Turn<'_>,
    asked: &HistoryAsked,
    rows: &[Row],
    more: bool,
    loaded: Result<Loaded, StoreFault>,
) {
    let Ok(Loaded::Archive(ArchiveLoaded::Names(names))) = loaded else {
        return turn.refuse(asked.reply, ErrorCode::StorageUnavailable);
    };
    let names: Vec<_> = names.iter().filter(|name| name.is_imported).map(|name| (name.user, &*name.name)).collect();
    answer_page(turn, asked, &rows.iter().collect::<Vec<_>>(), more, &names);
}

fn answer_page(turn: &mut Turn<'_>, asked: &HistoryAsked, rows: &[&Row], more: bool, names: &[(UserId, &str)]) {
    let page =
        message::Page { conversation: asked.key.conversation, epoch: asked.epoch, more, last_seq: asked.visible_seq };
    let messages = rows.iter().map(|row| fields_of(row));
    let mut frame = Vec::new();
    turn.shared.encoder.history_page(asked.request, &page, messages, names).write_server_frame(&mut frame);
    turn.answer(asked.reply, HomeAnswer::Frame(frame));
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use trunkline_wire::message::{Change, ErrorCode};

    use super::super::rig::{Rig, caller, group_key};
    use crate::entry::HomeRequest;

    /// Asks for a page by time: its ticket.
    fn ask(rig: &mut Rig, by: u64, at_ms: u64, backward: bool) -> u32 {
        let (caller, conversation) = (caller(by), group_key().conversation);
        rig.ask(HomeRequest::History { caller, request: 9, conversation, from_seq: 0, at_ms, backward, limit: 2 })
    }

    fn page(rig: &mut Rig, by: u64, at_ms: u64, backward: bool) -> (Vec<u64>, bool) {
        let ticket = ask(rig, by, at_ms, backward);
        rig.settle();
        let (seqs, more, _) = rig.page(ticket);
        (seqs, more)
    }

    /// Rows 1 to 6 at 1, 11, 21 ... ms: made, text, 3 joins, text, 2 leaves, text.
    #[test]
    fn a_time_finds_nothing_outside_of_a_window() {
        let mut rig = Rig::with_group(1, &[2], &[]);
        let key = group_key();
        for (client_seq, change) in [(1, (Change::Added, 3)), (2, (Change::Removed, 2))] {
            rig.pass_ms(10);
            rig.send(key, 1, client_seq);
            rig.settle();
            rig.pass_ms(10);
            rig.change(1, change.0, &[change.1]);
            rig.settle();
        }
        rig.pass_ms(10);
        rig.send(key, 1, 3);
        rig.settle();
        for shed in [false, true] {
            if shed {
                rig.conversations.here(key).unwrap().shed();
            }
            assert_eq!(page(&mut rig, 1, 1, false), (vec![1, 2], true));
            assert_eq!(page(&mut rig, 1, 12, false), (vec![3, 4], true));
            assert_eq!(page(&mut rig, 1, 51, false), (vec![6], false));
            assert_eq!(page(&mut rig, 1, 52, false), (vec![], false));
            assert_eq!(page(&mut rig, 1, 12, true), (vec![1, 2], false));
            assert_eq!(page(&mut rig, 3, 1, false), (vec![3, 4], true), "it joined at 3");
            assert_eq!(page(&mut rig, 3, 21, true), (vec![], false));
            assert_eq!(page(&mut rig, 2, 41, false), (vec![5], false), "it left at 5");
            assert_eq!(page(&mut rig, 2, u64::MAX, true), (vec![4, 5], true));
            let stranger = ask(&mut rig, 4, 1, false);
            assert_eq!(rig.refusal(stranger), ErrorCode::NotFound);
        }
    }

    #[test]
    fn a_time_costs_a_read_and_waits_for_room() {
        let mut rig = Rig::with_group(1, &[2], &[("loads_max", 1)]);
        let (first, second) = (ask(&mut rig, 1, 1, false), ask(&mut rig, 1, 1, false));
        assert_eq!(rig.refusal(second), ErrorCode::Busy);
        rig.settle();
        assert_eq!(rig.page(first).0, [1]);
    }
}
