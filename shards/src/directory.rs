//! What there is, for whoever may look through it: users, conversations, and what one of these is. It is read from the store,
//! so that it is durable and any shard answers.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use trunkline_wire::ids::{ConversationId, TenantId, UserId};
use trunkline_wire::message::{ConversationKind, Role};

use crate::accounts::answer;
use crate::contract::{AdminAnswer, Ticket};
use crate::desk::Purpose;
use crate::store::{
    ConversationEntry, ConversationImage, ConversationKey, ConversationMeta, Load, Loaded, Member, StoreFault,
};
use crate::turn::Turn;

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DirectoryRequest {
    /// One conversation.
    Conversation {
        /// Which.
        key: ConversationKey,
    },
    /// A page of users, in order of handle.
    Users {
        /// The tenant.
        tenant: TenantId,
        /// How their handles begin, as these are unique.
        prefix: String,
        /// Begin behind this one.
        after: String,
        /// Most of them.
        rows_max: u32,
    },
    /// A page of conversations, in order of id.
    Conversations {
        /// The tenant.
        tenant: TenantId,
        /// Begin behind this one.
        after: Option<ConversationId>,
        /// Most of them.
        rows_max: u32,
    },
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DirectoryAnswer {
    /// The conversation; none: nobody has written to such a one.
    Conversation(Option<Box<ConversationInfo>>),
    /// Handles and whose they are, and whether there are more behind them.
    Users(Vec<(String, UserId)>, bool),
    /// Conversations, and whether there are more behind them.
    Conversations(Vec<ConversationEntry>, bool),
}

/// A conversation without its messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConversationInfo {
    /// What it is.
    pub meta: ConversationMeta,
    /// Its highest seq.
    pub last_seq: u64,
    /// Who is and was a member, in order of user.
    pub members: Vec<Member>,
}

impl ConversationInfo {
    fn of(image: ConversationImage) -> ConversationInfo {
        let ConversationImage { meta, last_seq, mut members, .. } = image;
        if meta.kind == ConversationKind::Direct as u8 {
            let peer = |&user: &UserId| Member { user, role: Role::Member as u8, joined_seq: 1, left_seq: u64::MAX };
            members = meta.peers.iter().map(peer).collect();
        }
        ConversationInfo { meta, last_seq, members }
    }

    /// Those who are members now.
    pub fn current(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.left_seq == u64::MAX)
    }
}

/// Something is asked, and the store has room for it.
pub(crate) fn request(turn: &mut Turn<'_>, ticket: Ticket, request: DirectoryRequest) {
    let load = match request {
        DirectoryRequest::Conversation { key } => Load::Conversation { key },
        DirectoryRequest::Users { tenant, prefix, after, rows_max } => {
            Load::Handles { tenant, prefix, after, rows_max }
        }
        DirectoryRequest::Conversations { tenant, after, rows_max } => Load::Conversations { tenant, after, rows_max },
    };
    turn.shared.desk.load(Purpose::Directory(ticket), load, turn.effects);
}

/// The store has answered.
pub(crate) fn loaded(turn: &mut Turn<'_>, ticket: Ticket, loaded: Result<Loaded, StoreFault>) {
    let found = match loaded {
        Ok(Loaded::Conversation(image)) => {
            DirectoryAnswer::Conversation(image.map(|image| Box::new(ConversationInfo::of(*image))))
        }
        Ok(Loaded::Handles(handles, more)) => DirectoryAnswer::Users(handles, more),
        Ok(Loaded::Conversations(found, more)) => DirectoryAnswer::Conversations(found, more),
        Ok(_) => unreachable!("the store answers what it was asked"),
        Err(_) => return answer(turn, ticket, AdminAnswer::StorageUnavailable),
    };
    answer(turn, ticket, AdminAnswer::Directory(found));
}
