//! Who is and was a member of a group: a function of its log, applied row by row.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use trunkline_wire::ids::UserId;
use trunkline_wire::message::{Change, ContentKind, Role, decode_membership};

use crate::store::{Member, Row};

/// The members of a group as of some seq, and those who were.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Members {
    by_user: BTreeMap<UserId, Member>,
}

impl Members {
    /// As a checkpoint or an image has them.
    pub fn from_list(list: Vec<Member>) -> Members {
        Members { by_user: list.into_iter().map(|member| (member.user, member)).collect() }
    }

    /// In order of user.
    pub fn to_list(&self) -> Vec<Member> {
        self.by_user.values().copied().collect()
    }

    /// Takes the next row of the log. Rows that change no member are nothing to it.
    pub fn apply(&mut self, row: &Row) {
        if row.kind != ContentKind::Membership as u8 {
            return;
        }
        let Ok(view) = decode_membership(&row.body) else { return };
        let users = view.users().into_iter().flatten().map(UserId);
        match Change::from_number(view.change()) {
            Some(Change::Created) => {
                self.join(row.sender, Role::Admin, row.seq);
                users.for_each(|user| self.join(user, Role::Member, row.seq));
            }
            Some(Change::Added) => users.for_each(|user| self.join(user, Role::Member, row.seq)),
            Some(Change::Removed) => {
                users.for_each(|user| self.leave(user, row.seq));
                self.appoint();
            }
            None => {}
        }
    }

    fn join(&mut self, user: UserId, role: Role, seq: u64) {
        if !self.is_member(user) {
            self.by_user.insert(user, Member { user, role: role as u8, joined_seq: seq, left_seq: u64::MAX });
        }
    }

    fn leave(&mut self, user: UserId, seq: u64) {
        if let Some(member) = self.by_user.get_mut(&user).filter(|member| member.left_seq == u64::MAX) {
            member.left_seq = seq;
        }
    }

    /// A group whose last admin left has the member as admin that is one for longest, of these the lowest id.
    fn appoint(&mut self) {
        let current = || self.by_user.values().filter(|member| member.left_seq == u64::MAX);
        if current().any(|member| member.role == Role::Admin as u8) {
            return;
        }
        let eldest = current().min_by_key(|member| (member.joined_seq, member.user)).map(|member| member.user);
        if let Some(member) = eldest.and_then(|user| self.by_user.get_mut(&user)) {
            member.role = Role::Admin as u8;
        }
    }

    /// A user's place; none: it never was a member.
    pub fn find(&self, user: UserId) -> Option<&Member> {
        self.by_user.get(&user)
    }

    /// Whether a user is a member now.
    pub fn is_member(&self, user: UserId) -> bool {
        self.find(user).is_some_and(|member| member.left_seq == u64::MAX)
    }

    /// Those who are or were members, in order of user.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.by_user.values()
    }

    /// How many are and were members.
    pub fn len(&self) -> usize {
        self.by_user.len()
    }

    /// Whether nobody ever was a member.
    pub fn is_empty(&self) -> bool {
        self.by_user.is_empty()
    }
}
