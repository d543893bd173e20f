//! Messages, as a client tells them.

use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, UserId};
use trunkline_wire::message::{Change, ContentKind, decode_membership, schema};

/// A message of a conversation. It is one of the conversation's dense row of `seq` from 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Where it was said.
    pub conversation: ConversationId,
    /// Incarnation of the conversation's ordering; rises when a backup is restored.
    pub epoch: u64,
    /// Its number in the conversation.
    pub seq: u64,
    /// When it was accepted: milliseconds since 1970, never decreasing along `seq`.
    pub ts_ms: u64,
    /// Who said it.
    pub sender: UserId,
    /// On which device.
    pub device: DeviceId,
    /// The sender's name for it.
    pub message_id: MessageId,
    /// Number of a [`ContentKind`]; this version may not know it.
    pub kind: u8,
    /// What its kind says.
    pub body: Vec<u8>,
}

/// What a message of kind [`ContentKind::Membership`] says: its sender changed who is in the group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MembershipChange {
    /// What was done.
    pub change: Change,
    /// To whom. A group's creator is a member too and is not among them; who left is the sender.
    pub users: Vec<UserId>,
    /// What the group is called, where it was just made.
    pub title: Option<String>,
}

impl Message {
    /// The text, when it is one.
    pub fn text(&self) -> Option<&str> {
        (self.kind == ContentKind::Text as u8).then(|| std::str::from_utf8(&self.body).ok())?
    }

    /// The change of members, when it is one.
    pub fn membership(&self) -> Option<MembershipChange> {
        membership(self.kind, &self.body)
    }

    pub(super) fn of_view(conversation: ConversationId, view: &schema::Message<'_>) -> Message {
        Message {
            conversation,
            epoch: view.epoch(),
            seq: view.seq(),
            ts_ms: view.ts_ms(),
            sender: UserId(view.sender()),
            device: DeviceId(view.device()),
            message_id: MessageId(view.message_id()),
            kind: view.kind(),
            body: view.body().map(|body| body.bytes().to_vec()).unwrap_or_default(),
        }
    }
}

fn membership(kind: u8, body: &[u8]) -> Option<MembershipChange> {
    if kind != ContentKind::Membership as u8 {
        return None;
    }
    let view = decode_membership(body).ok()?;
    Some(MembershipChange {
        change: Change::from_number(view.change())?,
        users: view.users().into_iter().flatten().map(UserId).collect(),
        title: view.title().map(str::to_owned),
    })
}

/// What a message does to a user's window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    /// The user's window begins here.
    Joins,
    /// It ends here.
    Leaves,
}

/// What a message does to the window of `me`, if anything.
pub(super) fn turn_of(view: &schema::Message<'_>, me: UserId) -> Option<Turn> {
    let change = membership(view.kind(), view.body()?.bytes())?;
    let named = change.users.contains(&me);
    match change.change {
        Change::Created if named || view.sender() == me.0 => Some(Turn::Joins),
        Change::Added if named => Some(Turn::Joins),
        Change::Removed if named => Some(Turn::Leaves),
        // Who is admitted to an import sees it from its beginning: that is said in the list.
        Change::Created | Change::Added | Change::Removed | Change::Admitted => None,
    }
}

/// Part of a conversation, in ascending order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryPage {
    /// Whose messages they are.
    pub conversation: ConversationId,
    /// The messages.
    pub messages: Vec<Message>,
    /// Whether the direction asked for goes on behind this page.
    pub more: bool,
    /// Seq of the conversation's newest message that this user may see.
    pub last_seq: u64,
    /// What senders of the page were called where their messages were imported from; these have no handle.
    pub names: Vec<(UserId, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_wire::message::Encoder;

    fn message(kind: ContentKind, body: Vec<u8>) -> Message {
        Message {
            conversation: ConversationId([1; 16]),
            epoch: 1,
            seq: 1,
            ts_ms: 1,
            sender: UserId(7),
            device: DeviceId(1),
            message_id: MessageId(1),
            kind: kind as u8,
            body,
        }
    }

    #[test]
    fn a_change_of_members_is_read_and_nothing_else_is_taken_for_one() {
        let body = Encoder::new().membership_change(Change::Created, &[UserId(8), UserId(9)], "Team");
        let users = vec![UserId(8), UserId(9)];
        let change = MembershipChange { change: Change::Created, users, title: Some("Team".into()) };
        assert_eq!(message(ContentKind::Membership, body.clone()).membership(), Some(change));
        assert_eq!(message(ContentKind::Text, body.clone()).membership(), None);
        assert_eq!(message(ContentKind::Membership, body[..body.len() / 2].to_vec()).membership(), None);
        assert_eq!(message(ContentKind::Membership, body).text(), None);
    }
}
