//! Recipients by home shard, put together once and then shared by every delivery they are right for.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use trunkline_wire::ids::{TenantId, UserId};

use crate::contract::ShardId;
use crate::router::Router;
use crate::store::{Member, UserKey};

/// Users by home, in order of shard and of user.
pub(crate) type Audience = Vec<(ShardId, Arc<[UserId]>)>;

/// Users with the shards that are their homes.
pub(crate) fn by_home(router: &Router, tenant: TenantId, users: impl Iterator<Item = UserId>) -> Audience {
    let mut homes: BTreeMap<ShardId, Vec<UserId>> = BTreeMap::new();
    for user in users {
        homes.entry(router.home_of_user(UserKey { tenant, user })).or_default().push(user);
    }
    homes.into_iter().map(|(shard, users)| (shard, users.into())).collect()
}

/// The recipients of the seqs of a range, in all of which the same users are members.
#[derive(Debug)]
pub(crate) struct Targets {
    from_seq: u64,
    until_seq: u64,
    audience: Audience,
}

impl Default for Targets {
    fn default() -> Targets {
        Targets { from_seq: 1, until_seq: 0, audience: Vec::new() }
    }
}

impl Targets {
    /// Of those of `places` whose window holds `seq` and whom `admits` lets through; right up to the next change of a window.
    pub fn of_seq(
        seq: u64,
        router: &Router,
        tenant: TenantId,
        places: impl Iterator<Item = Member>,
        admits: impl Fn(UserId) -> bool,
    ) -> Targets {
        let mut until_seq = u64::MAX;
        let sees = |member: &Member| {
            if member.joined_seq > seq {
                until_seq = until_seq.min(member.joined_seq - 1);
            } else if member.left_seq >= seq {
                until_seq = until_seq.min(member.left_seq);
            }
            (member.joined_seq..=member.left_seq).contains(&seq) && admits(member.user)
        };
        let users: Vec<UserId> = places.filter(sees).map(|member| member.user).collect();
        Targets { from_seq: seq, until_seq, audience: by_home(router, tenant, users.into_iter()) }
    }

    /// Whether they are right for a seq.
    pub fn covers(&self, seq: u64) -> bool {
        (self.from_seq..=self.until_seq).contains(&seq)
    }

    /// The members change with this seq.
    pub fn end_before(&mut self, seq: u64) {
        self.until_seq = self.until_seq.min(seq - 1);
    }

    /// They are right for one seq only.
    pub fn end_after(&mut self, seq: u64) {
        self.until_seq = self.until_seq.min(seq);
    }

    /// The target of a number.
    pub fn find(&self, index: usize) -> Option<&(ShardId, Arc<[UserId]>)> {
        self.audience.get(index)
    }

    /// All of them.
    pub fn audience(&self) -> &Audience {
        &self.audience
    }

    /// What they take, estimated.
    pub fn memory_bytes(&self) -> usize {
        let each = |(_, users): &(ShardId, Arc<[UserId]>)| size_of::<(ShardId, Arc<[UserId]>)>() + 16 + users.len() * 8;
        self.audience.iter().map(each).sum()
    }
}
