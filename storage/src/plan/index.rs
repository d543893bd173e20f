//! Plans writes to the index: what only rises is merged with what is stored, or planned by the same group.

use trunkline_shards::store::{
    Append, ConversationKey, DeviceReceipt, ListChange, ListRow, Put, PutOutcome, Revocation, StoreFault, UserKey,
};
use trunkline_wire::ids::{TenantId, UserId};

use super::{Change, ListChanged, Planner, Target};
use crate::reads::Reads;

/// Most revocations that are forgotten when another one is remembered.
const OUTLIVED_MAX: usize = 8;

type Planned<T> = Result<T, StoreFault>;

impl<'a, R: Reads> Planner<'a, '_, R> {
    pub(super) fn put(&mut self, put: &'a Put) -> Planned<PutOutcome> {
        match put {
            Put::User { key, row } => self.change(Target::User(*key), Change::User(*key, row)),
            Put::ClaimHandle { tenant, folded, user } => return self.claim(*tenant, folded, *user),
            Put::Contact { key, peer, row } => {
                self.change(Target::Contact(*key, *peer), Change::Contact(*key, *peer, *row));
            }
            Put::Checkpoint { key, as_of_seq, devices, members } => {
                // A checkpoint never goes back, so that a late one does not forget a device.
                if *as_of_seq >= self.checkpoint_seq(*key)? {
                    let change = Change::Checkpoint(*key, *as_of_seq, devices, members);
                    self.change(Target::Checkpoint(*key), change);
                }
            }
            Put::Unmark { key } => self.change(Target::Mark(*key), Change::Mark(*key, None)),
            Put::Receipts { key, receipts } => {
                receipts.iter().try_for_each(|receipt| self.raise_receipt(*key, receipt))?;
            }
            Put::List { changes } => self.change_lists(changes)?,
            Put::Ceiling { key, ceiling } => self.raise_ceiling(*key, *ceiling)?,
            Put::Position { key, device, position } => {
                self.change(Target::Position(*key, *device), Change::Position(*key, *device, *position));
            }
            Put::Revoke { revocation, now_s } => self.revoke(*revocation, *now_s)?,
        }
        Ok(PutOutcome::Done)
    }

    fn claim(&mut self, tenant: TenantId, folded: &'a str, user: UserId) -> Planned<PutOutcome> {
        let target = Target::Handle(tenant, folded);
        let owner = match self.planned(target) {
            Some(Change::Handle(_, _, owner)) => Some(*owner),
            _ => self.reads.handle(tenant, folded)?,
        };
        if owner.is_none() {
            self.change(target, Change::Handle(tenant, folded, user));
        }
        Ok(PutOutcome::Owner(owner.unwrap_or(user)))
    }

    fn checkpoint_seq(&mut self, key: ConversationKey) -> Planned<u64> {
        if let Some(Change::Checkpoint(_, as_of_seq, ..)) = self.planned(Target::Checkpoint(key)) {
            return Ok(*as_of_seq);
        }
        Ok(self.reads.checkpoint(key)?.map_or(0, |stored| stored.as_of_seq))
    }

    /// The mark to write with an append: the lower one, if there is one. None: there is no need to write one.
    pub(super) fn lower_mark(&mut self, append: &Append) -> Planned<Option<u64>> {
        let Some(announced_seq) = append.mark else { return Ok(None) };
        let there = match self.planned(Target::Mark(append.key)) {
            Some(Change::Mark(_, planned)) => *planned,
            _ => self.reads.mark(append.key)?,
        };
        Ok(if there.is_some_and(|there| there <= announced_seq) { None } else { Some(announced_seq) })
    }

    fn raise_receipt(&mut self, key: ConversationKey, risen: &DeviceReceipt) -> Planned<()> {
        let target = Target::Receipt(key, risen.user, risen.device);
        let before = match self.planned(target) {
            Some(Change::Receipt(_, planned)) => Some(*planned),
            _ => self.reads.receipt(key, risen.user, risen.device)?,
        };
        let after = before.map_or(*risen, |before| DeviceReceipt {
            delivered_seq: before.delivered_seq.max(risen.delivered_seq),
            read_seq: before.read_seq.max(risen.read_seq),
            ..before
        });
        if before != Some(after) {
            self.change(target, Change::Receipt(key, after));
        }
        Ok(())
    }

    fn raise_ceiling(&mut self, key: UserKey, ceiling: u64) -> Planned<()> {
        let before = match self.planned(Target::Ceiling(key)) {
            Some(Change::Ceiling(_, planned)) => *planned,
            _ => self.reads.ceiling(key)?,
        };
        if ceiling > before {
            self.change(Target::Ceiling(key), Change::Ceiling(key, ceiling));
        }
        Ok(())
    }

    /// What is written makes room for itself, so that the table does not grow for ever.
    fn revoke(&mut self, revocation: Revocation, now_s: u64) -> Planned<()> {
        let outlived: Vec<_> = self.reads.revocations(None).take(OUTLIVED_MAX).collect::<Planned<_>>()?;
        for outlived in outlived.into_iter().filter(|outlived| outlived.until_s <= now_s) {
            self.change(target_of(&outlived), Change::Outlived(outlived));
        }
        self.change(target_of(&revocation), Change::Revocation(revocation));
        Ok(())
    }

    /// A row that cannot be read keeps back itself only: the others are changed, though the answer is a fault.
    fn change_lists(&mut self, changes: &[ListChange]) -> Planned<()> {
        let mut outcome = Ok(());
        for change in changes {
            outcome = self.change_list(change).and(outcome);
        }
        outcome
    }

    fn change_list(&mut self, change: &ListChange) -> Planned<()> {
        let target = Target::List(change.key, change.conversation);
        if let Some(Change::List(_, planned)) = self.planned(target) {
            merge(&mut planned.row, change);
            return Ok(());
        }
        let before = self.reads.list_row(change.key, change.conversation)?;
        let mut row = before.clone().unwrap_or_else(|| new_row(change));
        merge(&mut row, change);
        if before.as_ref() != Some(&row) {
            let old_user_seq = before.map(|before| before.user_seq);
            self.change(target, Change::List(change.key, ListChanged { row, old_user_seq }));
        }
        Ok(())
    }
}

fn target_of(revocation: &Revocation) -> Target<'static> {
    Target::Revocation(revocation.until_s, revocation.key, revocation.device)
}

fn new_row(change: &ListChange) -> ListRow {
    ListRow {
        conversation: change.conversation,
        user_seq: 0,
        last_seq: 0,
        read_seq: 0,
        joined_seq: 1,
        left_seq: u64::MAX,
        about: change.about.clone(),
    }
}

/// Numbers never go down, and a late change does not bring back an earlier window or name.
fn merge(row: &mut ListRow, change: &ListChange) {
    if change.user_seq >= row.user_seq && row.about != change.about {
        row.about.clone_from(&change.about);
    }
    row.user_seq = row.user_seq.max(change.user_seq);
    row.last_seq = row.last_seq.max(change.last_seq);
    row.read_seq = row.read_seq.max(change.read_seq);
    match change.window {
        Some((joined_seq, left_seq)) if joined_seq > row.joined_seq => {
            (row.joined_seq, row.left_seq) = (joined_seq, left_seq);
        }
        Some((joined_seq, left_seq)) if joined_seq == row.joined_seq => row.left_seq = row.left_seq.min(left_seq),
        _ => {}
    }
}
