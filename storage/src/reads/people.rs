//! Loads about people, and of what an operator looks through.

use trunkline_shards::store::{Block, ContactCounts, ContactEntry, ConversationEntry, ConversationKey, UserKey};
use trunkline_wire::ids::{ConversationId, TenantId, UserId};

use super::{Read, Reads, first_of};

/// How many a user has something to do with.
pub(super) fn counts(reads: &impl Reads, key: UserKey) -> Read<ContactCounts> {
    let mut counts = ContactCounts::default();
    for found in reads.contacts_behind(key, UserId(0)) {
        counts.add(&found?.1);
    }
    Ok(counts)
}

/// A page of those whom a user has something to do with, with their handles.
pub(super) fn contacts(
    reads: &impl Reads,
    key: UserKey,
    after: UserId,
    rows_max: usize,
) -> Read<(Vec<ContactEntry>, bool)> {
    // There is nobody behind the last one.
    let found = (after.0 < u64::MAX).then(|| reads.contacts_behind(key, after)).into_iter().flatten();
    let (page, more) = first_of(found, rows_max)?;
    let entry = |(peer, row)| {
        // A damaged account hides nobody's contact.
        let account = reads.user(UserKey { user: peer, ..key }).ok().flatten();
        ContactEntry { peer, handle: account.map(|account| account.handle).unwrap_or_default(), row }
    };
    Ok((page.into_iter().map(entry).collect(), more))
}

/// Who of the peers of a 1:1 has something to say about blocking the other one. Of one who talks to itself there is nobody.
pub(super) fn blocks(reads: &impl Reads, tenant: TenantId, peers: &[UserId]) -> Read<Vec<Block>> {
    let &[one, other] = peers else { return Ok(Vec::new()) };
    let mut blocks = Vec::new();
    for (blocker, peer) in [(one, other), (other, one)] {
        let row = reads.contact(UserKey { tenant, user: blocker }, peer)?;
        blocks.extend(row.map(|row| Block { blocker, blocked: row.blocked, changed_ms: row.changed_ms }));
    }
    Ok(blocks)
}

/// A page of handles that begin so.
pub(super) fn handles(
    reads: &impl Reads,
    tenant: TenantId,
    prefix: &str,
    after: &str,
    rows_max: usize,
) -> Read<(Vec<(String, UserId)>, bool)> {
    let found = reads.handles_from(tenant, prefix.max(after));
    let found = found.skip_while(|found| found.as_ref().is_ok_and(|(folded, _)| folded == after));
    first_of(found.take_while(|found| found.as_ref().map_or(true, |(folded, _)| folded.starts_with(prefix))), rows_max)
}

/// A page of conversations.
pub(super) fn conversations(
    reads: &impl Reads,
    tenant: TenantId,
    after: Option<ConversationId>,
    rows_max: usize,
) -> Read<(Vec<ConversationEntry>, bool)> {
    let key = |conversation| ConversationKey { tenant, conversation };
    let found = reads.metas_from(key(after.unwrap_or(ConversationId([0; 16]))));
    let found = found.skip_while(|found| found.as_ref().is_ok_and(|(conversation, _)| Some(*conversation) == after));
    let (page, more) = first_of(found, rows_max)?;
    let entry = |(conversation, meta)| {
        Ok(ConversationEntry { conversation, meta, last_seq: reads.last_seq(key(conversation))? })
    };
    Ok((page.into_iter().map(entry).collect::<Read<_>>()?, more))
}
