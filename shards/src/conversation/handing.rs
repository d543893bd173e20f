//! How far a conversation's rows are handed on to the homes of its users, and to whom the next one goes.

use alloc::sync::Arc;
use alloc::vec::Vec;

use trunkline_wire::ids::UserId;
use trunkline_wire::message::{Change, ContentKind, decode_membership};

use super::Conversation;
use super::announcing::Announcement;
use super::crowd::Large;
use super::recent::RecentRow;
use super::targets::{Audience, Targets, by_home};
use crate::contract::ShardId;
use crate::limits::Limits;
use crate::router::Router;
use crate::store::Row;

/// Users in one announcement: it is what handing on cannot take apart.
const ANNOUNCED_USERS_MAX: usize = 1_024;

/// The next delivery: a seq, and which of its target shards come next.
#[derive(Debug, Default)]
pub(crate) struct FanOut {
    /// Everything up to here was handed to every recipient's home.
    pub done_seq: u64,
    /// Target shards of the next seq that have it already. While there are some, its targets stay as they are.
    pub targets_done: usize,
    /// Whether it is in a queue for fan-out.
    pub queued: bool,
    /// Whether the next seq goes to watchers only.
    to_watchers: bool,
    pub targets: Targets,
}

impl Conversation {
    /// The next durable row that was not handed to every recipient's home.
    pub fn next_delivery(&self) -> Option<&RecentRow> {
        let seq = self.fan_out.done_seq + 1;
        if seq > self.durable_seq {
            return None;
        }
        self.recent.find(seq)
    }

    /// Whether there is anything to hand on.
    pub fn has_to_hand_on(&self) -> bool {
        !self.announcing.due.is_empty() || self.next_delivery().is_some()
    }

    /// Puts the targets of the next row together, unless they are right already.
    pub fn prepare_targets(&mut self, router: &Router, now_ns: u64, limits: &Limits) {
        if self.fan_out.targets_done > 0 {
            return;
        }
        let seq = self.fan_out.done_seq + 1;
        self.fan_out.to_watchers = self.is_large(limits);
        if self.fan_out.to_watchers {
            self.prepare_watchers(seq, router, now_ns);
        } else if !self.fan_out.targets.covers(seq) {
            let (tenant, places) = (self.key.tenant, self.roster.iter());
            self.fan_out.targets = Targets::of_seq(seq, router, tenant, places, |_| true);
        }
    }

    /// The watchers of a large conversation; of a change of its members also those who are changed.
    fn prepare_watchers(&mut self, seq: u64, router: &Router, now_ns: u64) {
        let done_seq = self.fan_out.done_seq;
        let large = self.crowd.large.get_or_insert_with(|| Large::of_seq(done_seq).into());
        large.expire(now_ns);
        let row = self.recent.find(seq).map(|recent| &recent.row);
        let is_change = row.is_some_and(|row| row.kind == ContentKind::Membership as u8);
        if large.targets.covers(seq) && !large.stale && !is_change {
            return;
        }
        let admitted = row.map(admitted_by).unwrap_or_default();
        let is_changed = |user| {
            let place = self.roster.latest(user).filter(|_| is_change);
            place.is_some_and(|member| member.joined_seq == seq || member.left_seq == seq) || admitted.contains(&user)
        };
        let admits = |user| large.is_watched_by(user) || is_changed(user);
        let mut targets = Targets::of_seq(seq, router, self.key.tenant, self.roster.iter(), admits);
        if is_change {
            targets.end_after(seq);
        }
        large.targets = targets;
        large.stale = false;
    }

    /// Whether its messages do not go to every member: there are too many members, or it is an import.
    pub fn is_large(&self, limits: &Limits) -> bool {
        self.is_imported() || self.roster.count() as u64 > limits.fan_out_members_max
    }

    /// A user asked something: in a large conversation a member gets messages for a while. What is imported nobody waits for.
    pub fn watch(&mut self, user: UserId, now_ns: u64, limits: &Limits) {
        if !self.is_imported() && self.is_large(limits) && self.roster.is_member(user) {
            let done_seq = self.fan_out.done_seq;
            let large = self.crowd.large.get_or_insert_with(|| Large::of_seq(done_seq).into());
            large.watch(user, now_ns, limits.large_watch_ms * 1_000_000, limits.fan_out_members_max as usize);
        }
    }

    /// The members change with this seq: targets that were put together for later ones are wrong from there on.
    pub fn end_targets_before(&mut self, seq: u64) {
        self.fan_out.targets.end_before(seq);
        if let Some(large) = &mut self.crowd.large {
            large.targets.end_before(seq);
        }
    }

    /// The next target of the next row.
    pub fn next_target(&self) -> Option<(ShardId, Arc<[UserId]>)> {
        let targets = match &self.crowd.large {
            Some(large) if self.fan_out.to_watchers => &large.targets,
            _ => &self.fan_out.targets,
        };
        targets.find(self.fan_out.targets_done).cloned()
    }

    /// The next row was handed to every recipient's home.
    pub fn delivered(&mut self) {
        self.pending.bytes -= self.next_delivery().map_or(0, |recent| recent.row.body.len());
        self.fan_out.done_seq += 1;
        self.fan_out.targets_done = 0;
        if let Some(large) = self.crowd.large.as_mut().filter(|_| self.fan_out.to_watchers) {
            large.untold_seq = self.fan_out.done_seq;
        }
        self.recent.trim(self.pinned_from());
    }

    /// Of the users whose window a row changed: (joined_seq, left_seq) as of that row.
    pub fn windows_changed_by(&self, row: &Row) -> Vec<(UserId, u64, u64)> {
        if row.kind != ContentKind::Membership as u8 {
            return Vec::new();
        }
        let Ok(view) = decode_membership(&row.body) else { return Vec::new() };
        let admitted = admitted_by(row);
        let users = view.users().into_iter().flatten().map(UserId).chain([row.sender]);
        let mut windows: Vec<_> = users
            .filter_map(|user| self.roster.latest(user))
            .filter_map(|member| match (member.joined_seq, member.left_seq) {
                (joined_seq, _) if joined_seq == row.seq => Some((member.user, joined_seq, u64::MAX)),
                (joined_seq, left_seq) if left_seq == row.seq => Some((member.user, joined_seq, left_seq)),
                (joined_seq, _) if admitted.contains(&member.user) => Some((member.user, joined_seq, u64::MAX)),
                _ => None,
            })
            .collect();
        windows.sort_unstable();
        windows.dedup();
        windows
    }

    /// The present members by home.
    pub fn members_by_home(&self, router: &Router) -> Audience {
        if self.roster.pending_seq() == 0 && self.fan_out.targets.covers(self.durable_seq + 1) {
            return self.fan_out.targets.audience().clone();
        }
        by_home(router, self.key.tenant, self.roster.durable_after(UserId(0)).map(|member| member.user))
    }

    /// Lists that a large conversation owes something are to be told now.
    pub fn announce_large(&mut self, router: &Router, now_ns: u64) {
        let seq = self.fan_out.done_seq;
        let Some(large) = &mut self.crowd.large else { return };
        large.told(seq, now_ns);
        let targets = Targets::of_seq(seq, router, self.key.tenant, self.roster.iter(), |_| true);
        for (shard, users) in targets.audience() {
            self.announce(seq, *shard, users, false);
        }
    }

    /// Users of one shard are to be told of a seq, and of their windows if need be.
    fn announce(&mut self, seq: u64, shard: ShardId, users: &Arc<[UserId]>, with_windows: bool) {
        for part in users.chunks(ANNOUNCED_USERS_MAX) {
            let places = part.iter().filter(|_| with_windows).filter_map(|&user| self.roster.latest(user));
            let windows = places.map(|member| (member.user, member.joined_seq, member.left_seq)).collect();
            let users = if part.len() == users.len() { users.clone() } else { part.into() };
            self.announcing.due.push_back(Announcement { shard, users, windows, seq });
        }
    }

    /// The lists of all who were members at or above `mark` may miss what came since: they are told of the last seq.
    pub fn announce_since(&mut self, mark: u64, router: &Router) {
        let seq = self.durable_seq;
        if seq <= mark {
            return;
        }
        let touched = self.roster.iter().filter(|member| member.left_seq >= mark).map(|member| member.user);
        for (shard, users) in by_home(router, self.key.tenant, touched) {
            self.announce(seq, shard, &users, self.is_group());
        }
    }
}

/// Those whom a row admits to an imported conversation.
fn admitted_by(row: &Row) -> Vec<UserId> {
    if row.kind != ContentKind::Membership as u8 {
        return Vec::new();
    }
    let view = decode_membership(&row.body).ok().filter(|view| view.change() == Change::Admitted as u8);
    view.and_then(|view| view.users()).into_iter().flatten().map(UserId).collect()
}
