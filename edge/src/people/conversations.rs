//! What a conversation is, as its members see it.

use trunkline_shards::directory::{ConversationInfo, DirectoryAnswer, DirectoryRequest};
use trunkline_shards::store::ConversationKey;
use trunkline_wire::ids::{ConversationId, UserId};

use super::{People, PeopleError};
use crate::accounts::TENANT;
use crate::ask::Shards;

/// A conversation as one of its members sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConversationShown {
    /// Which.
    pub conversation: ConversationId,
    /// What it is, by number.
    pub kind: u8,
    /// Of a group.
    pub title: String,
    /// The other end of a 1:1, oneself included.
    pub peer: Option<UserId>,
    /// How many are members now.
    pub members: usize,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
}

impl<S: Shards> People<'_, S> {
    /// A conversation of the caller's, as far as it is durable.
    ///
    /// # Errors
    /// See [`PeopleError`]. Those who are no members learn nothing, and those who were are none.
    pub fn conversation(&self, conversation: ConversationId) -> Result<ConversationShown, PeopleError> {
        let key = ConversationKey { tenant: TENANT, conversation };
        let found = match self.accounts().look(DirectoryRequest::Conversation { key })? {
            DirectoryAnswer::Conversation(found) => found,
            answer => unreachable!("no answer to Conversation: {answer:?}"),
        };
        let is_member = |info: &&ConversationInfo| info.current().any(|member| member.user == self.caller);
        let info = found.as_deref().filter(is_member).ok_or(PeopleError::UnknownConversation)?;
        let is_direct = !info.meta.peers.is_empty();
        Ok(ConversationShown {
            conversation,
            kind: info.meta.kind,
            title: info.meta.title.clone(),
            peer: is_direct.then(|| info.meta.peer_of(self.caller)),
            members: info.current().count(),
            created_ms: info.meta.created_ms,
        })
    }
}
