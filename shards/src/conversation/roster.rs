//! Who may see and write a conversation, with the changes that are not durable yet: these count for what is judged after
//! them, are not shown, and are taken back if the store refuses them.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use trunkline_wire::ids::UserId;
use trunkline_wire::message::Role;

use crate::members::{Members, Undo};
use crate::store::{Member, Row};

/// Who may see and write a conversation.
#[derive(Debug)]
pub(crate) enum Roster {
    /// The peers of a 1:1, ascending.
    Direct(Vec<UserId>),
    /// The members of a group.
    Group(Group),
}

/// The members of a group, those to be included.
#[derive(Debug, Default)]
pub(crate) struct Group {
    members: Members,
    /// Changes that are not durable: (seq, how it was before), ascending.
    pending: VecDeque<(u64, Undo)>,
    /// The durable places of those whom these changes touch; none: not there.
    before: BTreeMap<UserId, Option<Member>>,
    /// How many are members durably.
    durable_count: usize,
}

impl Group {
    fn durable(&self, user: UserId) -> Option<Member> {
        match self.before.get(&user) {
            Some(&before) => before,
            None => self.members.find(user).copied(),
        }
    }

    /// Takes a change that is not durable yet.
    fn take(&mut self, seq: u64, undo: Undo) {
        for &(user, before) in &undo {
            self.before.entry(user).or_insert(before);
        }
        self.pending.push_back((seq, undo));
    }

    /// The changes that are not durable are others than before. Each change comes by here once before it is durable itself,
    /// since an append takes all there are.
    fn pending_changed(&mut self) {
        self.before.clear();
        for &(user, before) in self.pending.iter().flat_map(|(_, undo)| undo) {
            self.before.entry(user).or_insert(before);
        }
        let is_member = |member: Option<&Member>| member.is_some_and(|member| member.left_seq == u64::MAX);
        let gone = self.before.keys().filter(|&&user| self.members.is_member(user)).count();
        let there = self.before.values().filter(|before| is_member(before.as_ref())).count();
        self.durable_count = self.members.current() + there - gone;
    }
}

impl Roster {
    /// Of a group as the store has it.
    pub fn group(members: Vec<Member>) -> Roster {
        let members = Members::from_list(members);
        let durable_count = members.current();
        Roster::Group(Group { members, durable_count, ..Group::default() })
    }

    /// A user's place as it will be once everything is durable; none: it never was a member.
    pub fn latest(&self, user: UserId) -> Option<Member> {
        match self {
            Roster::Direct(peers) => peers.contains(&user).then(|| peer(user)),
            Roster::Group(group) => group.members.find(user).copied(),
        }
    }

    /// Whether what a user sends now is taken.
    pub fn is_member(&self, user: UserId) -> bool {
        self.latest(user).is_some_and(|member| member.left_seq == u64::MAX)
    }

    /// A user's place as far as it is durable: the one that is shown.
    pub fn durable(&self, user: UserId) -> Option<Member> {
        match self {
            Roster::Direct(_) => self.latest(user),
            Roster::Group(group) => group.durable(user),
        }
    }

    /// Those who are members durably and come behind `after`, in order of user.
    pub fn durable_after(&self, after: UserId) -> impl Iterator<Item = Member> {
        let (peers, group) = match self {
            Roster::Direct(peers) => (peers.as_slice(), None),
            Roster::Group(group) => (&[][..], Some(group)),
        };
        let peers = peers.iter().filter(move |&&user| user > after).map(|&user| peer(user));
        let members = group.into_iter().flat_map(move |group| group.members.after(after));
        let members = members.filter_map(|member| self.durable(member.user));
        peers.chain(members.filter(|member| member.left_seq == u64::MAX))
    }

    /// How many are members durably.
    pub fn durable_count(&self) -> usize {
        match self {
            Roster::Direct(peers) => peers.len(),
            Roster::Group(group) => group.durable_count,
        }
    }

    /// How many will be members once everything is durable.
    pub fn count(&self) -> usize {
        match self {
            Roster::Direct(peers) => peers.len(),
            Roster::Group(group) => group.members.current(),
        }
    }

    /// How many places there are, of former members too.
    pub fn places(&self) -> usize {
        match self {
            Roster::Direct(peers) => peers.len(),
            Roster::Group(group) => group.members.len(),
        }
    }

    /// How many places are held in memory, those before changes too.
    pub fn held(&self) -> usize {
        let Roster::Group(group) = self else { return self.places() };
        let before = group.pending.iter().map(|(_, undo)| undo.len()).sum::<usize>();
        group.members.len() + before + group.before.len()
    }

    /// The latest places of all who are and were members, in order of user.
    pub fn iter(&self) -> impl Iterator<Item = Member> {
        let (peers, group) = match self {
            Roster::Direct(peers) => (peers.as_slice(), None),
            Roster::Group(group) => (&[][..], Some(group)),
        };
        peers.iter().map(|&user| peer(user)).chain(group.into_iter().flat_map(|group| group.members.iter().copied()))
    }

    /// The seq of the last change that is not durable; 0: all are.
    pub fn pending_seq(&self) -> u64 {
        match self {
            Roster::Direct(_) => 0,
            Roster::Group(group) => group.pending.back().map_or(0, |&(seq, _)| seq),
        }
    }

    /// Takes a row that is not durable yet.
    pub fn take(&mut self, row: &Row) {
        let Roster::Group(group) = self else { return };
        let undo = group.members.apply_undoable(row);
        if !undo.is_empty() {
            group.take(row.seq, undo);
        }
    }

    /// Everything up to a seq is durable.
    pub fn settle(&mut self, durable_seq: u64) {
        if let Roster::Group(group) = self {
            let before = group.pending.len();
            while group.pending.pop_front_if(|(seq, _)| *seq <= durable_seq).is_some() {}
            if group.pending.len() < before {
                group.pending_changed();
            }
        }
    }

    /// What is not durable never will be.
    pub fn undo_pending(&mut self) {
        if let Roster::Group(group) = self {
            while let Some((_, undo)) = group.pending.pop_back() {
                group.members.undo(undo);
            }
            group.pending_changed();
        }
    }

    /// Who is and was a member of a group, durably; in order of user. For checkpoints.
    pub fn to_durable_list(&self) -> Vec<Member> {
        let Roster::Group(group) = self else { return Vec::new() };
        if group.pending.is_empty() {
            return group.members.to_list();
        }
        group.members.iter().filter_map(|member| self.durable(member.user)).collect()
    }
}

/// The peers of a 1:1 see and write everything.
fn peer(user: UserId) -> Member {
    Member { user, role: Role::Member as u8, joined_seq: 1, left_seq: u64::MAX }
}
