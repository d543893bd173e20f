//! What a group of writes changes and answers, decided before anything is written; the same for every backend.

use std::collections::HashMap;

use trunkline_shards::store::{
    Append, ContactRow, ConversationKey, ConversationMeta, DeviceHigh, DeviceReceipt, ListRow, Member, Revocation, Row,
    StoreFault, StoreResult, UserKey, UserRow,
};
use trunkline_wire::ids::{ConversationId, DeviceId, Lsn, TenantId, UserId};

use crate::contract::{Misuse, Write};
use crate::limits::HEADS_MAX;
use crate::reads::Reads;

mod index;

/// One row to write, of some table. A group has at most one for each key.
#[derive(Debug)]
pub(crate) enum Change<'a> {
    Row(ConversationKey, &'a Row, Lsn),
    Meta(ConversationKey, &'a ConversationMeta),
    User(UserKey, &'a UserRow),
    Handle(TenantId, &'a str, UserId),
    Checkpoint(ConversationKey, u64, &'a [DeviceHigh], &'a [Member]),
    /// Announced up to this seq; none: there is no mark.
    Mark(ConversationKey, Option<u64>),
    Receipt(ConversationKey, DeviceReceipt),
    List(UserKey, ListChanged),
    Ceiling(UserKey, u64),
    Position(UserKey, DeviceId, u64),
    Revocation(Revocation),
    /// It is not needed any more.
    Outlived(Revocation),
    /// What the second is to the first; none: nothing any more.
    Contact(UserKey, UserId, Option<ContactRow>),
}

/// A list's row as it is to be.
#[derive(Clone, Debug)]
pub(crate) struct ListChanged {
    pub(crate) row: ListRow,
    /// The number it is listed under until then, if it is listed.
    pub(crate) old_user_seq: Option<u64>,
}

/// What a change but a message's is of, so that a second one in its group takes the place of the first.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Target<'a> {
    Meta(ConversationKey),
    User(UserKey),
    Handle(TenantId, &'a str),
    Checkpoint(ConversationKey),
    Mark(ConversationKey),
    Receipt(ConversationKey, UserId, DeviceId),
    List(UserKey, ConversationId),
    Ceiling(UserKey),
    Position(UserKey, DeviceId),
    Revocation(u64, UserKey, Option<DeviceId>),
    Contact(UserKey, UserId),
}

/// What a group comes to.
#[derive(Debug, Default)]
pub(crate) struct Plan<'a> {
    pub(crate) changes: Vec<Change<'a>>,
    /// One per write, if the changes become durable.
    pub(crate) results: Vec<StoreResult>,
    /// Which writes have changes, or are answered by those of an earlier one: these fail if the changes cannot be written.
    pub(crate) writes_changing: Vec<bool>,
}

impl Plan<'_> {
    /// The answers if nothing of the changes was written.
    pub(crate) fn failed(self, fault: StoreFault) -> Vec<StoreResult> {
        let answers = self.results.into_iter().zip(self.writes_changing);
        answers
            .map(|(result, changing)| match result {
                StoreResult::Appended(Ok(_)) if changing => StoreResult::Appended(Err(fault)),
                StoreResult::Put(Ok(_)) if changing => StoreResult::Put(Err(fault)),
                result => result,
            })
            .collect()
    }
}

/// Last seqs of conversations, so that most appends need no read. Forgetting is harmless.
#[derive(Debug, Default)]
pub(crate) struct Heads(HashMap<ConversationKey, u64>);

impl Heads {
    /// Forgets everything: what was planned was not written.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    fn last_seq(&mut self, reads: &impl Reads, key: ConversationKey) -> Result<u64, StoreFault> {
        if let Some(&seq) = self.0.get(&key) {
            return Ok(seq);
        }
        let seq = reads.last_seq(key)?;
        self.0.insert(key, seq);
        Ok(seq)
    }
}

/// Plans a group. After an error, and whenever the plan is not carried out, `heads` must be cleared.
pub(crate) fn plan<'a>(
    reads: &impl Reads,
    heads: &mut Heads,
    group: u64,
    writes: &'a [Write],
) -> Result<Plan<'a>, Misuse> {
    if heads.0.len() >= HEADS_MAX {
        heads.clear();
    }
    let mut planner =
        Planner { reads, heads, group, rows: 0, changes: Vec::new(), targets: HashMap::new(), leans_on_changes: false };
    let mut plan = Plan::default();
    for write in writes {
        planner.leans_on_changes = false;
        plan.results.push(match write {
            Write::Append(append) => StoreResult::Appended(planner.append(append)?),
            Write::Put(put) => StoreResult::Put(planner.put(put)),
        });
        plan.writes_changing.push(planner.leans_on_changes);
    }
    plan.changes = planner.changes;
    Ok(plan)
}

struct Planner<'a, 'b, R> {
    reads: &'b R,
    heads: &'b mut Heads,
    group: u64,
    rows: u32,
    changes: Vec<Change<'a>>,
    /// Where in `changes` something is; all but messages.
    targets: HashMap<Target<'a>, usize>,
    /// The write made a change, or saw one of the group.
    leans_on_changes: bool,
}

impl<'a, R: Reads> Planner<'a, '_, R> {
    /// What the group makes of something so far.
    fn planned(&mut self, target: Target<'a>) -> Option<&mut Change<'a>> {
        let at = *self.targets.get(&target)?;
        self.leans_on_changes = true;
        Some(&mut self.changes[at])
    }

    fn change(&mut self, target: Target<'a>, change: Change<'a>) {
        self.leans_on_changes = true;
        let at = *self.targets.entry(target).or_insert(self.changes.len());
        match self.changes.get_mut(at) {
            Some(planned) => *planned = change,
            None => self.changes.push(change),
        }
    }

    fn append(&mut self, append: &'a Append) -> Result<Result<Lsn, StoreFault>, Misuse> {
        let key = append.key;
        let Some(first) = append.rows.first() else { return Err(Misuse::NoRows(key)) };
        let Ok(last_seq) = self.heads.last_seq(self.reads, key) else { return Ok(Err(StoreFault::Unknown)) };
        let mut before = first.seq.saturating_sub(1).min(last_seq);
        for row in &append.rows {
            if Some(row.seq) != before.checked_add(1) {
                return Err(Misuse::Gap { key, last_seq: before, seq: row.seq });
            }
            before = row.seq;
        }
        let Ok(mark) = self.lower_mark(append) else { return Ok(Err(StoreFault::Unknown)) };
        let checked = match self.check_meta(append, last_seq) {
            Err(StoreFault::Unknown | StoreFault::Full) => return Ok(Err(StoreFault::Unknown)),
            Ok(checked) => checked,
        };
        checked?;

        let known = append.rows.partition_point(|row| row.seq <= last_seq);
        let mut first_lsn = None;
        for row in &append.rows[..known] {
            match self.known_row(key, row) {
                Ok(Some(lsn)) => first_lsn = first_lsn.or(Some(lsn)),
                Ok(None) => return Err(Misuse::Overwrite { key, seq: row.seq }),
                Err(fault) => return Ok(Err(fault)),
            }
        }
        if let Some(announced_seq) = mark {
            self.change(Target::Mark(key), Change::Mark(key, Some(announced_seq)));
        }
        for row in &append.rows[known..] {
            self.leans_on_changes = true;
            let lsn = Lsn { group: self.group, index: self.rows };
            self.rows += 1;
            self.changes.push(Change::Row(key, row, lsn));
            first_lsn = first_lsn.or(Some(lsn));
        }
        self.heads.0.insert(key, before.max(last_seq));
        Ok(first_lsn.ok_or(StoreFault::Unknown))
    }

    /// Adds the meta of a new conversation; that of an old one must be the same.
    fn check_meta(&mut self, append: &'a Append, last_seq: u64) -> Result<Result<(), Misuse>, StoreFault> {
        let key = append.key;
        let Some(meta) = &append.meta else {
            return Ok(if last_seq == 0 { Err(Misuse::NoMeta(key)) } else { Ok(()) });
        };
        if last_seq == 0 {
            self.change(Target::Meta(key), Change::Meta(key, meta));
            return Ok(Ok(()));
        }
        let same = match self.planned(Target::Meta(key)) {
            Some(Change::Meta(_, planned)) => *planned == meta,
            _ => self.reads.meta(key)?.as_ref() == Some(meta),
        };
        Ok(if same { Ok(()) } else { Err(Misuse::OtherMeta(key)) })
    }

    /// The LSN of a row that is there with the same content; none: it has another content.
    fn known_row(&mut self, key: ConversationKey, row: &Row) -> Result<Option<Lsn>, StoreFault> {
        let planned = self.changes.iter().rev().find_map(|change| match change {
            Change::Row(k, planned, lsn) if *k == key && planned.seq == row.seq => Some((*planned, *lsn)),
            _ => None,
        });
        if let Some((planned, lsn)) = planned {
            self.leans_on_changes = true;
            return Ok(same_content(planned, row).then_some(lsn));
        }
        let stored = self.reads.rows_up(key, row.seq, row.seq).next().transpose()?;
        Ok(stored.filter(|stored| same_content(stored, row)).map(|stored| stored.lsn))
    }
}

/// Everything but the LSN, which is the store's.
fn same_content(one: &Row, other: &Row) -> bool {
    let unplaced = |row: &Row| Row { lsn: Lsn::default(), ..row.clone() };
    unplaced(one) == unplaced(other)
}
