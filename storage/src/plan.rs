//! What a group of writes changes and answers, decided before anything is written; the same for every backend.

use std::collections::HashMap;

use trunkline_shards::store::{
    Append, ConversationKey, ConversationMeta, DeviceHigh, Put, PutOutcome, Row, StoreFault, StoreResult, UserKey,
    UserRow,
};
use trunkline_wire::ids::{ConversationId, Lsn, TenantId, UserId};

use crate::contract::{Misuse, Write};
use crate::limits::HEADS_MAX;
use crate::reads::Reads;

/// One row to write, of some table.
#[derive(Debug)]
pub(crate) enum Change<'a> {
    Row(ConversationKey, &'a Row, Lsn),
    Meta(ConversationKey, &'a ConversationMeta),
    Listed(UserKey, ConversationId),
    User(UserKey, &'a UserRow),
    Handle(TenantId, &'a str, UserId),
    Checkpoint(ConversationKey, u64, &'a [DeviceHigh]),
}

/// What a group comes to.
#[derive(Debug, Default)]
pub(crate) struct Plan<'a> {
    pub(crate) changes: Vec<Change<'a>>,
    /// One per write, if the changes become durable.
    pub(crate) results: Vec<StoreResult>,
    /// Which writes have changes: these fail if the changes cannot be written.
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
    let mut planner = Planner { reads, heads, group, rows: 0, changes: Vec::new() };
    let mut plan = Plan::default();
    for write in writes {
        let changes_before = planner.changes.len();
        plan.results.push(match write {
            Write::Append(append) => StoreResult::Appended(planner.append(append)?),
            Write::Put(put) => StoreResult::Put(planner.put(put)),
        });
        plan.writes_changing.push(planner.changes.len() > changes_before);
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
}

impl<'a, R: Reads> Planner<'a, '_, R> {
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
        for row in &append.rows[known..] {
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
        if last_seq > 0 {
            let planned =
                self.changes.iter().any(|change| matches!(change, Change::Meta(k, m) if *k == key && *m == meta));
            let same = planned || self.reads.meta(key)?.as_ref() == Some(meta);
            return Ok(if same { Ok(()) } else { Err(Misuse::OtherMeta(key)) });
        }
        self.changes.push(Change::Meta(key, meta));
        for &user in &meta.members {
            self.changes.push(Change::Listed(UserKey { tenant: key.tenant, user }, key.conversation));
        }
        Ok(Ok(()))
    }

    /// The LSN of a row that is there with the same content; none: it has another content.
    fn known_row(&self, key: ConversationKey, row: &Row) -> Result<Option<Lsn>, StoreFault> {
        let planned = self.changes.iter().rev().find_map(|change| match change {
            Change::Row(k, planned, lsn) if *k == key && planned.seq == row.seq => Some((*planned, *lsn)),
            _ => None,
        });
        if let Some((planned, lsn)) = planned {
            return Ok(same_content(planned, row).then_some(lsn));
        }
        let stored = self.reads.rows_up(key, row.seq, row.seq).next().transpose()?;
        Ok(stored.filter(|stored| same_content(stored, row)).map(|stored| stored.lsn))
    }

    fn put(&mut self, put: &'a Put) -> Result<PutOutcome, StoreFault> {
        match put {
            Put::User { key, row } => self.changes.push(Change::User(*key, row)),
            Put::ClaimHandle { tenant, folded, user } => {
                if let Some(owner) = self.owner(*tenant, folded)? {
                    return Ok(PutOutcome::Owner(owner));
                }
                self.changes.push(Change::Handle(*tenant, folded, *user));
                return Ok(PutOutcome::Owner(*user));
            }
            Put::Checkpoint { key, as_of_seq, devices } => {
                // A checkpoint never goes back, so that a late one does not forget a device.
                let stored_seq = self.reads.checkpoint(*key)?.map_or(0, |stored| stored.as_of_seq);
                if *as_of_seq >= stored_seq {
                    self.changes.push(Change::Checkpoint(*key, *as_of_seq, devices));
                }
            }
        }
        Ok(PutOutcome::Done)
    }

    fn owner(&self, tenant: TenantId, folded: &str) -> Result<Option<UserId>, StoreFault> {
        let planned = self.changes.iter().find_map(|change| match change {
            Change::Handle(t, handle, user) if *t == tenant && *handle == folded => Some(*user),
            _ => None,
        });
        if planned.is_some() { Ok(planned) } else { self.reads.handle(tenant, folded) }
    }
}

/// Everything but the LSN, which is the store's.
fn same_content(one: &Row, other: &Row) -> bool {
    let unplaced = |row: &Row| Row { lsn: Lsn::default(), ..row.clone() };
    unplaced(one) == unplaced(other)
}
