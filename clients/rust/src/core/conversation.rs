//! Conversations and their members, as a server describes them.

use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::message::{ConversationKind, Role, schema};

use super::views::{Misbehaved, id_of, left_of, number_of, peer_of, title_of};

/// State of a conversation when it was opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Its id.
    pub conversation: ConversationId,
    /// Number of a [`ConversationKind`]; this version may not know it.
    pub kind: u8,
    /// Incarnation of its ordering.
    pub epoch: u64,
    /// Seq of its newest message that this user may see; 0: none.
    pub last_seq: u64,
    /// The other user, where there is one.
    pub peer: Option<UserId>,
    /// What the group is called.
    pub title: Option<String>,
    /// Members there are.
    pub members: u32,
    /// What this user may do; `None`: it is no member any more.
    pub role: Option<Role>,
    /// This user sees the messages from here on.
    pub joined_seq: u64,
    /// This user sees the messages up to here; `None`: it is a member.
    pub left_seq: Option<u64>,
    /// What this device has reported as delivered.
    pub delivered_seq: u64,
    /// What this user's devices have reported as read.
    pub read_seq: u64,
}

impl Opened {
    pub(super) fn of_view(view: &schema::Opened<'_>) -> Result<Opened, Misbehaved> {
        Ok(Opened {
            conversation: id_of(view.conversation())?,
            kind: view.kind(),
            epoch: view.epoch(),
            last_seq: number_of(view.last_seq())?,
            peer: peer_of(view.peer()),
            title: title_of(view.title()),
            members: view.members(),
            role: Role::from_number(view.role()),
            joined_seq: number_of(view.joined_seq())?,
            left_seq: left_of(view.left_seq())?,
            delivered_seq: number_of(view.delivered_seq())?,
            read_seq: number_of(view.read_seq())?,
        })
    }
}

/// One of the user's conversations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Its id.
    pub conversation: ConversationId,
    /// Number of a [`ConversationKind`]; this version may not know it.
    pub kind: u8,
    /// The other user of a 1:1.
    pub peer: Option<UserId>,
    /// What a group is called.
    pub title: Option<String>,
    /// Seq of its newest message that this user may see; 0: none.
    pub last_seq: u64,
    /// What this user's devices have reported as read.
    pub read_seq: u64,
    /// This user sees the messages from here on.
    pub joined_seq: u64,
    /// This user sees the messages up to here; `None`: it is a member.
    pub left_seq: Option<u64>,
    /// Number of its latest change in the user's list, as far as the server said; 0: it did not say yet.
    pub user_seq: u64,
}

impl Summary {
    /// Messages that no device of this user has reported as read.
    pub fn unread(&self) -> u64 {
        self.last_seq.saturating_sub(self.read_seq.max(self.joined_seq.saturating_sub(1)))
    }

    /// Whether this user may write here.
    pub fn is_member(&self) -> bool {
        self.left_seq.is_none()
    }

    /// What kind of conversation it is, where this version knows it.
    pub fn kind(&self) -> Option<ConversationKind> {
        ConversationKind::from_number(self.kind)
    }

    pub(super) fn of_view(view: &schema::Summary<'_>) -> Result<Summary, Misbehaved> {
        Ok(Summary {
            conversation: id_of(view.conversation())?,
            kind: view.kind(),
            peer: peer_of(view.peer()),
            title: title_of(view.title()),
            last_seq: number_of(view.last_seq())?,
            read_seq: number_of(view.read_seq())?,
            joined_seq: number_of(view.joined_seq())?,
            left_seq: left_of(view.left_seq())?,
            user_seq: number_of(view.user_seq())?,
        })
    }

    pub(super) fn of_opened(opened: &Opened) -> Summary {
        Summary {
            conversation: opened.conversation,
            kind: opened.kind,
            peer: opened.peer,
            title: opened.title.clone(),
            last_seq: opened.last_seq,
            read_seq: opened.read_seq,
            joined_seq: opened.joined_seq,
            left_seq: opened.left_seq,
            user_seq: 0,
        }
    }
}

/// Some of the user's conversations, the latest change first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListPage {
    /// The conversations.
    pub conversations: Vec<Summary>,
    /// Whether there are more, with changes below the `user_seq` of the last one.
    pub more: bool,
}

/// A member of a conversation, and how far the member is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// What the member may do.
    pub role: Role,
    /// The member sees the messages from here on.
    pub joined_seq: u64,
    /// The farthest that one of the member's devices has reported as delivered.
    pub delivered_seq: u64,
    /// The farthest that one of the member's devices has reported as read.
    pub read_seq: u64,
}

/// Some of the members of a conversation, in order of user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MembersPage {
    /// Whose members they are.
    pub conversation: ConversationId,
    /// What the group is called.
    pub title: Option<String>,
    /// The members.
    pub members: Vec<Member>,
    /// Whether there are more behind the last one.
    pub more: bool,
    /// Seq of the conversation's newest message.
    pub last_seq: u64,
}

impl MembersPage {
    pub(super) fn of_view(view: &schema::MembersPage<'_>) -> Result<MembersPage, Misbehaved> {
        let member = |member: &schema::Member| Member {
            user: UserId(member.user()),
            role: Role::from_number(member.role()).unwrap_or(Role::Member),
            joined_seq: member.joined_seq(),
            delivered_seq: member.delivered_seq(),
            read_seq: member.read_seq(),
        };
        Ok(MembersPage {
            conversation: id_of(view.conversation())?,
            title: title_of(view.title()),
            members: view.members().into_iter().flatten().map(member).collect(),
            more: view.more(),
            last_seq: view.last_seq(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unread_counts_from_what_was_read_or_from_the_start_of_the_window() {
        let summary = |last_seq, read_seq, joined_seq| Summary {
            conversation: ConversationId([0; 16]),
            kind: 2,
            peer: None,
            title: None,
            last_seq,
            read_seq,
            joined_seq,
            left_seq: None,
            user_seq: 1,
        };
        assert_eq!(summary(10, 4, 1).unread(), 6);
        assert_eq!(summary(10, 0, 8).unread(), 3);
        assert_eq!(summary(10, 12, 1).unread(), 0);
        assert_eq!(summary(0, 0, 0).unread(), 0);
    }
}
