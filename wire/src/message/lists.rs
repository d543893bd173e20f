//! Envelopes about a user's list, a group's members, watermarks and typing.

use alloc::vec::Vec;

use super::{Change, Encoded, Encoder, Op, schema};
use crate::ids::{ConversationId, UserId};

/// One conversation of a user's list, as Synced says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Summary<'a> {
    pub conversation: ConversationId,
    pub kind: u8,
    pub peer: UserId,
    pub last_seq: u64,
    pub user_seq: u64,
    pub read_seq: u64,
    pub joined_seq: u64,
    pub left_seq: u64,
    pub title: &'a str,
}

/// A member, as MembersPage says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Member {
    pub user: UserId,
    pub role: u8,
    pub joined_seq: u64,
    pub delivered_seq: u64,
    pub read_seq: u64,
}

/// How far a device is in a conversation, as Report says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Receipt {
    pub conversation: ConversationId,
    pub delivered_seq: u64,
    pub read_seq: u64,
}

/// How far a user is, as Receipts says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct UserReceipt {
    pub user: UserId,
    pub delivered_seq: u64,
    pub read_seq: u64,
}

fn id(conversation: ConversationId) -> schema::ConversationId {
    schema::ConversationId(conversation.0)
}

impl Encoder {
    /// Sync from a position on, or (none) from the one that this device has stored.
    pub fn sync(&mut self, request: u32, position: Option<u64>, below: u64, limit: u16) -> Encoded<'_> {
        let b = self.start();
        let args =
            schema::SyncArgs { position: position.unwrap_or_default(), below, limit, stored: position.is_none() };
        let root = schema::Sync::create(b, &args);
        self.finish(Op::Sync, request, root)
    }

    /// Synced: what changed in `(from, to]`, the latest change first.
    pub fn synced(
        &mut self,
        request: u32,
        (from, to): (u64, u64),
        summaries: &[Summary<'_>],
        more: bool,
        resync: bool,
    ) -> Encoded<'_> {
        let b = self.start();
        let mut tables = Vec::with_capacity(summaries.len());
        for summary in summaries {
            let title = (!summary.title.is_empty()).then(|| b.create_string(summary.title));
            let args = schema::SummaryArgs {
                conversation: Some(&id(summary.conversation)),
                kind: summary.kind,
                peer: summary.peer.0,
                last_seq: summary.last_seq,
                user_seq: summary.user_seq,
                read_seq: summary.read_seq,
                joined_seq: summary.joined_seq,
                left_seq: summary.left_seq,
                title,
            };
            tables.push(schema::Summary::create(b, &args));
        }
        let conversations = Some(b.create_vector(&tables));
        let root = schema::Synced::create(b, &schema::SyncedArgs { from, to, conversations, more, resync });
        self.finish(Op::Synced, request, root)
    }

    /// CreateGroup.
    pub fn create_group(&mut self, request: u32, nonce: u64, title: &str, members: &[UserId]) -> Encoded<'_> {
        let b = self.start();
        let title = Some(b.create_string(title));
        let members = Some(b.create_vector_from_iter(members.iter().map(|user| user.0)));
        let root = schema::CreateGroup::create(b, &schema::CreateGroupArgs { nonce, title, members });
        self.finish(Op::CreateGroup, request, root)
    }

    /// ChangeMembers.
    pub fn change_members(
        &mut self,
        request: u32,
        conversation: ConversationId,
        change: Change,
        users: &[UserId],
    ) -> Encoded<'_> {
        let b = self.start();
        let users = Some(b.create_vector_from_iter(users.iter().map(|user| user.0)));
        let args = schema::ChangeMembersArgs { conversation: Some(&id(conversation)), change: change as u8, users };
        let root = schema::ChangeMembers::create(b, &args);
        self.finish(Op::ChangeMembers, request, root)
    }

    /// MembersChanged at a seq; 0: there was nothing to change.
    pub fn members_changed(&mut self, request: u32, conversation: ConversationId, epoch: u64, seq: u64) -> Encoded<'_> {
        let b = self.start();
        let args = schema::MembersChangedArgs { conversation: Some(&id(conversation)), epoch, seq };
        let root = schema::MembersChanged::create(b, &args);
        self.finish(Op::MembersChanged, request, root)
    }

    /// Members from behind a user.
    pub fn members(&mut self, request: u32, conversation: ConversationId, after: UserId, limit: u16) -> Encoded<'_> {
        let b = self.start();
        let args = schema::MembersArgs { conversation: Some(&id(conversation)), after: after.0, limit };
        let root = schema::Members::create(b, &args);
        self.finish(Op::Members, request, root)
    }

    /// A page of members, in order of user.
    pub fn members_page(
        &mut self,
        request: u32,
        conversation: ConversationId,
        title: &str,
        members: &[Member],
        (more, last_seq): (bool, u64),
    ) -> Encoded<'_> {
        let b = self.start();
        let title = Some(b.create_string(title));
        let members = members.iter().map(|member| {
            schema::Member::new(member.user.0, member.joined_seq, member.delivered_seq, member.read_seq, member.role)
        });
        let members = Some(b.create_vector_from_iter(members));
        let conversation = id(conversation);
        let args = schema::MembersPageArgs { conversation: Some(&conversation), title, members, more, last_seq };
        let root = schema::MembersPage::create(b, &args);
        self.finish(Op::MembersPage, request, root)
    }

    /// Report of watermarks, and of a stored position (0: none).
    pub fn report(&mut self, request: u32, position: u64, receipts: &[Receipt]) -> Encoded<'_> {
        let b = self.start();
        let receipts = receipts.iter().map(|r| schema::Receipt::new(&id(r.conversation), r.delivered_seq, r.read_seq));
        let receipts = Some(b.create_vector_from_iter(receipts));
        let root = schema::Report::create(b, &schema::ReportArgs { position, receipts });
        self.finish(Op::Report, request, root)
    }

    /// Done.
    pub fn done(&mut self, request: u32) -> Encoded<'_> {
        let b = self.start();
        let root = schema::Done::create(b, &schema::DoneArgs {});
        self.finish(Op::Done, request, root)
    }

    /// Advanced from one position to another, with (conversation, last seq) of what changed between.
    pub fn advanced(&mut self, from: u64, to: u64, conversations: &[(ConversationId, u64)]) -> Encoded<'_> {
        let b = self.start();
        let places = conversations.iter().map(|&(conversation, seq)| schema::Place::new(&id(conversation), seq));
        let conversations = Some(b.create_vector_from_iter(places));
        let root = schema::Advanced::create(b, &schema::AdvancedArgs { from, to, conversations });
        self.finish(Op::Advanced, 0, root)
    }

    /// Receipts of users of a conversation.
    pub fn receipts(&mut self, conversation: ConversationId, users: &[UserReceipt]) -> Encoded<'_> {
        let b = self.start();
        let users = users.iter().map(|r| schema::UserReceipt::new(r.user.0, r.delivered_seq, r.read_seq));
        let users = Some(b.create_vector_from_iter(users));
        let root = schema::Receipts::create(b, &schema::ReceiptsArgs { conversation: Some(&id(conversation)), users });
        self.finish(Op::Receipts, 0, root)
    }

    /// Typing.
    pub fn typing(&mut self, request: u32, conversation: ConversationId) -> Encoded<'_> {
        let b = self.start();
        let root = schema::Typing::create(b, &schema::TypingArgs { conversation: Some(&id(conversation)) });
        self.finish(Op::Typing, request, root)
    }

    /// A user types.
    pub fn typing_now(&mut self, conversation: ConversationId, user: UserId, expires_ms: u32) -> Encoded<'_> {
        let b = self.start();
        let conversation = id(conversation);
        let args = schema::TypingNowArgs { conversation: Some(&conversation), user: user.0, expires_ms };
        let root = schema::TypingNow::create(b, &args);
        self.finish(Op::TypingNow, 0, root)
    }

    /// The body of a message of kind [`Membership`](crate::message::ContentKind::Membership); no envelope.
    pub fn membership_change(&mut self, change: Change, users: &[UserId], title: &str) -> Vec<u8> {
        let b = self.start();
        let title = (!title.is_empty()).then(|| b.create_string(title));
        let users = Some(b.create_vector_from_iter(users.iter().map(|user| user.0)));
        let args = schema::MembershipChangeArgs { change: change as u8, users, title };
        let root = schema::MembershipChange::create(b, &args);
        b.finish_minimal(root);
        b.finished_data().to_vec()
    }
}
