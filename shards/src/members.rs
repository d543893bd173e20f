//! Who is and was a member of a group: a function of its log, applied row by row.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Bound;

use trunkline_wire::ids::UserId;
use trunkline_wire::message::{Change, ContentKind, Role, decode_membership};

use crate::store::{Member, Row};

/// What a row did to the members: those it touched as they were before it; none: not there. In the order of the touches.
pub type Undo = Vec<(UserId, Option<Member>)>;

/// The members of a group as of some seq, and those who were.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Members {
    by_user: BTreeMap<UserId, Member>,
    /// How many of them are members now.
    current: usize,
}

impl Members {
    /// As a checkpoint or an image has them.
    pub fn from_list(list: Vec<Member>) -> Members {
        let current = list.iter().filter(|member| member.left_seq == u64::MAX).count();
        Members { by_user: list.into_iter().map(|member| (member.user, member)).collect(), current }
    }

    /// In order of user.
    pub fn to_list(&self) -> Vec<Member> {
        self.by_user.values().copied().collect()
    }

    /// Takes the next row of the log. Rows that change no member are nothing to it.
    pub fn apply(&mut self, row: &Row) {
        self.apply_undoable(row);
    }

    /// The same, and how it was before.
    pub fn apply_undoable(&mut self, row: &Row) -> Undo {
        let mut undo = Vec::new();
        if row.kind != ContentKind::Membership as u8 {
            return undo;
        }
        let Ok(view) = decode_membership(&row.body) else { return undo };
        let users = view.users().into_iter().flatten().map(UserId);
        match Change::from_number(view.change()) {
            Some(Change::Created) => {
                self.join(row.sender, Role::Admin, row.seq, &mut undo);
                users.for_each(|user| self.join(user, Role::Member, row.seq, &mut undo));
            }
            // Who left stays out: its list has the end of its window.
            Some(Change::Admitted) => users.for_each(|user| {
                if self.find(user).is_none() {
                    self.join(user, Role::Member, 1, &mut undo);
                }
            }),
            Some(Change::Added) => users.for_each(|user| self.join(user, Role::Member, row.seq, &mut undo)),
            Some(Change::Removed) => {
                users.for_each(|user| self.leave(user, row.seq, &mut undo));
                self.appoint(&mut undo);
            }
            None => {}
        }
        undo
    }

    /// Takes the last row that was applied back.
    pub fn undo(&mut self, undo: Undo) {
        for (user, before) in undo.into_iter().rev() {
            self.current -= usize::from(self.is_member(user));
            match before {
                Some(member) => self.by_user.insert(user, member),
                None => self.by_user.remove(&user),
            };
            self.current += usize::from(self.is_member(user));
        }
    }

    fn join(&mut self, user: UserId, role: Role, seq: u64, undo: &mut Undo) {
        if !self.is_member(user) {
            let member = Member { user, role: role as u8, joined_seq: seq, left_seq: u64::MAX };
            undo.push((user, self.by_user.insert(user, member)));
            self.current += 1;
        }
    }

    fn leave(&mut self, user: UserId, seq: u64, undo: &mut Undo) {
        if let Some(member) = self.by_user.get_mut(&user).filter(|member| member.left_seq == u64::MAX) {
            undo.push((user, Some(*member)));
            member.left_seq = seq;
            self.current -= 1;
        }
    }

    /// A group whose last admin left has the member as admin that is one for longest, of these the lowest id. What was
    /// imported never had an admin.
    fn appoint(&mut self, undo: &mut Undo) {
        if !self.by_user.values().any(|member| member.role == Role::Admin as u8) {
            return;
        }
        let current = || self.by_user.values().filter(|member| member.left_seq == u64::MAX);
        if current().any(|member| member.role == Role::Admin as u8) {
            return;
        }
        let eldest = current().min_by_key(|member| (member.joined_seq, member.user)).map(|member| member.user);
        if let Some(member) = eldest.and_then(|user| self.by_user.get_mut(&user)) {
            undo.push((member.user, Some(*member)));
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

    /// Those behind a user, in order of user.
    pub fn after(&self, user: UserId) -> impl Iterator<Item = &Member> {
        self.by_user.range((Bound::Excluded(user), Bound::Unbounded)).map(|(_, member)| member)
    }

    /// How many are members now.
    pub fn current(&self) -> usize {
        self.current
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
