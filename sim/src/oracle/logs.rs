//! The logs as the store has them, read independently of the shards: who was a member when, who may see what.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use trunkline_shards::store::{ConversationKey, Load, Loaded, Row};
use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, UserId};
use trunkline_wire::message::{Change, ContentKind, ConversationKind, decode_membership};

use super::texts::Texts;
use super::{TENANT, Verdict};
use crate::store::Store;

/// What a conversation is, as those who made it said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Made {
    /// Of two users, or one with itself.
    Direct(Vec<UserId>),
    /// By a user, with its first other members.
    Group {
        /// Its first admin.
        creator: UserId,
        /// Its title.
        title: String,
        /// The others.
        members: BTreeSet<UserId>,
    },
}

/// Somebody sees the messages of `joined..=left`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// The seq that made it a member.
    pub joined: u64,
    /// The seq that ended that; [`u64::MAX`]: none has.
    pub left: u64,
}

/// The window of a 1:1.
const ALWAYS: Window = Window { joined: 1, left: u64::MAX };

impl Window {
    fn holds(self, seq: u64) -> bool {
        (self.joined..=self.left).contains(&seq)
    }
}

/// A row as somebody saw it.
#[derive(PartialEq, Eq, Debug)]
pub struct Seen<'a> {
    pub seq: u64,
    pub epoch: u64,
    pub ts_ms: u64,
    pub sender: UserId,
    pub device: DeviceId,
    pub message_id: MessageId,
    pub kind: u8,
    pub body: &'a [u8],
}

impl<'a> Seen<'a> {
    fn of_row(row: &'a Row) -> Seen<'a> {
        Seen {
            seq: row.seq,
            epoch: row.epoch,
            ts_ms: row.ts_ms,
            sender: row.sender,
            device: row.device,
            message_id: row.message_id,
            kind: row.kind,
            body: &row.body,
        }
    }
}

/// One conversation.
pub struct Log {
    conversation: ConversationId,
    made: Made,
    rows: Vec<Row>,
    places: HashMap<MessageId, u64>,
    /// Per user all windows there ever were, in order.
    windows: BTreeMap<UserId, Vec<Window>>,
    admins: BTreeSet<UserId>,
    highs: HashMap<(UserId, DeviceId), u64>,
    /// Changes of members that were asked for.
    wanted: Vec<(UserId, Change, BTreeSet<UserId>)>,
}

/// All conversations.
pub struct Logs {
    logs: BTreeMap<ConversationId, Log>,
    group_members_max: u64,
}

impl Logs {
    /// None yet.
    pub fn new(group_members_max: u64) -> Logs {
        Logs { logs: BTreeMap::new(), group_members_max }
    }

    /// A conversation may exist from now on.
    pub fn add(&mut self, conversation: ConversationId, made: Made) {
        self.logs.entry(conversation).or_insert_with(|| Log {
            conversation,
            made,
            rows: Vec::new(),
            places: HashMap::new(),
            windows: BTreeMap::new(),
            admins: BTreeSet::new(),
            highs: HashMap::new(),
            wanted: Vec::new(),
        });
    }

    /// Somebody asks for a change of members.
    pub fn want(&mut self, conversation: ConversationId, user: UserId, change: Change, users: BTreeSet<UserId>) {
        if let Some(log) = self.logs.get_mut(&conversation) {
            let wanted = (user, change, users);
            if !log.wanted.contains(&wanted) {
                log.wanted.push(wanted);
            }
        }
    }

    /// All there may be.
    pub fn ids(&self) -> impl Iterator<Item = ConversationId> {
        self.logs.keys().copied()
    }

    /// One of them.
    pub fn log(&self, conversation: ConversationId) -> Option<&Log> {
        self.logs.get(&conversation)
    }

    /// Takes in what became durable since the last look.
    pub fn read_on(&mut self, store: &Store, texts: &Texts, conversation: ConversationId) -> Verdict {
        let group_members_max = self.group_members_max;
        let Some(log) = self.logs.get_mut(&conversation) else { return Ok(()) };
        let key = ConversationKey { tenant: TENANT, conversation };
        let from_seq = log.last() + 1;
        let load = Load::History { key, from_seq, backward: false, rows_max: u32::MAX, cost_bytes_max: u32::MAX };
        let Loaded::History(rows) = store.read(&load) else { unreachable!("history is history") };
        for row in rows {
            log.take(row, texts, group_members_max).map_err(|what| format!("{what} (in {conversation})"))?;
        }
        Ok(())
    }

    /// The same for all.
    pub fn read_all(&mut self, store: &Store, texts: &Texts) -> Verdict {
        let ids: Vec<ConversationId> = self.ids().collect();
        ids.into_iter().try_for_each(|id| self.read_on(store, texts, id))
    }

    /// REL-1: nothing that was read once is gone, at the end.
    pub fn check_still_there(&self, store: &Store) -> Verdict {
        self.logs.iter().try_for_each(|(&conversation, log)| {
            let key = ConversationKey { tenant: TENANT, conversation };
            let load =
                Load::History { key, from_seq: 1, backward: false, rows_max: u32::MAX, cost_bytes_max: u32::MAX };
            let Loaded::History(rows) = store.read(&load) else { unreachable!("history is history") };
            let same = rows.len() >= log.rows.len() && rows.iter().zip(&log.rows).all(|(now, then)| now == then);
            if same { Ok(()) } else { Err(format!("REL-1: the log of {conversation} is not what it was")) }
        })
    }
}

impl Log {
    /// What it is.
    pub fn made(&self) -> &Made {
        &self.made
    }

    /// What kind it is.
    pub fn kind(&self) -> ConversationKind {
        match self.made {
            Made::Direct(_) => ConversationKind::Direct,
            Made::Group { .. } => ConversationKind::Group,
        }
    }

    /// Its highest durable seq.
    pub fn last(&self) -> u64 {
        self.rows.len() as u64
    }

    /// Its row of a seq.
    pub fn row(&self, seq: u64) -> Option<&Row> {
        self.rows.get(usize::try_from(seq.checked_sub(1)?).ok()?)
    }

    /// Where a message is.
    pub fn place(&self, message_id: MessageId) -> Option<u64> {
        self.places.get(&message_id).copied()
    }

    /// Highest durable number of a device.
    pub fn high(&self, user: UserId, device: DeviceId) -> u64 {
        self.highs.get(&(user, device)).copied().unwrap_or(0)
    }

    /// A user's windows, in order.
    pub fn windows(&self, user: UserId) -> &[Window] {
        match &self.made {
            Made::Direct(peers) if peers.contains(&user) => &[ALWAYS],
            _ => self.windows.get(&user).map_or(&[], Vec::as_slice),
        }
    }

    /// A user's latest window.
    pub fn window(&self, user: UserId) -> Option<Window> {
        self.windows(user).last().copied()
    }

    /// The highest seq that a user may see; 0: none.
    pub fn visible(&self, user: UserId) -> u64 {
        self.window(user).map_or(0, |window| window.left.min(self.last()))
    }

    /// Whether some window of the user holds a seq.
    pub fn sees(&self, user: UserId, seq: u64) -> bool {
        self.windows(user).iter().any(|window| window.holds(seq))
    }

    /// Whether a user is a member behind a seq.
    pub fn is_member_at(&self, user: UserId, seq: u64) -> bool {
        self.windows(user).iter().any(|window| window.joined <= seq.max(1) && seq < window.left)
    }

    /// Whether it is one now.
    pub fn is_member(&self, user: UserId) -> bool {
        self.window(user).is_some_and(|window| window.left == u64::MAX)
    }

    /// Whether it may change the members now.
    pub fn is_admin(&self, user: UserId) -> bool {
        self.admins.contains(&user)
    }

    /// Its members behind a seq, in order.
    pub fn members_at(&self, seq: u64) -> Vec<UserId> {
        match &self.made {
            Made::Direct(peers) => peers.clone(),
            Made::Group { .. } => self.windows.keys().copied().filter(|&user| self.is_member_at(user, seq)).collect(),
        }
    }

    /// Whoever is or was a member, in order.
    pub fn everyone(&self) -> Vec<UserId> {
        match &self.made {
            Made::Direct(peers) => peers.clone(),
            Made::Group { .. } => self.windows.keys().copied().collect(),
        }
    }

    /// A user was shown a row: it is in the log as it was shown, and in a window of the user.
    pub fn check_shown(&self, user: UserId, seen: &Seen<'_>) -> Verdict {
        let Some(row) = self.row(seen.seq) else {
            return Err(format!("REL-1: {user} was shown seq {} before it was durable: {seen:?}", seen.seq));
        };
        if Seen::of_row(row) != *seen {
            return Err(format!("REL-3: {user} was shown {seen:?}, the log has {:?}", Seen::of_row(row)));
        }
        if !self.sees(user, seen.seq) {
            return Err(format!("REL-7: {user} was shown seq {} outside of {:?}", seen.seq, self.windows(user)));
        }
        Ok(())
    }

    fn take(&mut self, row: Row, texts: &Texts, group_members_max: u64) -> Verdict {
        let seq = self.last() + 1;
        if row.seq != seq {
            return Err(format!("REL-4: seq {} is at place {seq}", row.seq));
        }
        if self.rows.last().is_some_and(|before| row.ts_ms < before.ts_ms || row.epoch < before.epoch) {
            return Err(format!("REL-4: time or epoch goes back at seq {seq}"));
        }
        if let Some(other) = self.places.insert(row.message_id, seq) {
            return Err(format!("REL-5: {} is at seq {other} and at {seq}", row.message_id));
        }
        if row.kind == ContentKind::Membership as u8 {
            self.take_change(&row, group_members_max)?;
        } else {
            self.take_text(&row, texts)?;
        }
        self.rows.push(row);
        Ok(())
    }

    fn take_text(&mut self, row: &Row, texts: &Texts) -> Verdict {
        if !self.is_member_at(row.sender, row.seq - 1) {
            return Err(format!("REL-7: seq {} is of {}, no member there", row.seq, row.sender));
        }
        let high = self.highs.entry((row.sender, row.device)).or_default();
        if row.client_seq != *high + 1 {
            let (number, high) = (row.client_seq, *high);
            return Err(format!("REL-5: seq {} has number {number} of its device behind {high}", row.seq));
        }
        *high += 1;
        texts.check_row(self.conversation, row)
    }

    fn take_change(&mut self, row: &Row, group_members_max: u64) -> Verdict {
        let seq = row.seq;
        let Ok(view) = decode_membership(&row.body) else {
            return Err(format!("REL-7: the change at seq {seq} can't be read"));
        };
        let users: BTreeSet<UserId> = view.users().into_iter().flatten().map(UserId).collect();
        let change = Change::from_number(view.change());
        if row.client_seq != 0 {
            return Err(format!("REL-5: the change at seq {seq} has a number of its device"));
        }
        let Made::Group { creator, title, members } = &self.made else {
            return Err(format!("REL-7: a 1:1 has a change of members at seq {seq}"));
        };
        let good = match change {
            Some(Change::Created) => {
                let same = row.sender == *creator && users == *members && view.title() == Some(title.as_str());
                seq == 1 && same
            }
            Some(change) => {
                let own = change == Change::Removed && users.len() == 1 && users.contains(&row.sender);
                let asked = |(user, kind, wanted): &(UserId, Change, BTreeSet<UserId>)| {
                    *user == row.sender && *kind == change && users.is_subset(wanted)
                };
                let changes = users.iter().all(|&user| self.is_member(user) == (change == Change::Removed));
                (self.is_admin(row.sender) || own) && self.wanted.iter().any(asked) && changes && !users.is_empty()
            }
            None => false,
        };
        if !good {
            return Err(format!("REL-7: seq {seq} must not be: {change:?} of {users:?} by {}", row.sender));
        }
        self.change_members(change, row, &users);
        let members = self.members_at(seq).len() as u64;
        if members > group_members_max {
            return Err(format!("group_members_max: {members} members behind seq {seq}"));
        }
        Ok(())
    }

    fn change_members(&mut self, change: Option<Change>, row: &Row, users: &BTreeSet<UserId>) {
        let new = Window { joined: row.seq, left: u64::MAX };
        match change {
            Some(Change::Removed) => {
                for user in users {
                    if let Some(window) = self.windows.get_mut(user).and_then(|windows| windows.last_mut()) {
                        window.left = row.seq;
                    }
                    self.admins.remove(user);
                }
                self.appoint();
            }
            Some(Change::Created) => {
                self.admins.insert(row.sender);
                self.windows.insert(row.sender, vec![new]);
                users.iter().for_each(|&user| drop(self.windows.insert(user, vec![new])));
            }
            _ => users.iter().for_each(|&user| self.windows.entry(user).or_default().push(new)),
        }
    }

    /// Without an admin: the member that is one for longest, of these the lowest id.
    fn appoint(&mut self) {
        if self.admins.is_empty() {
            let joined = |user: &UserId| self.window(*user).map_or(u64::MAX, |window| window.joined);
            let members = self.windows.keys().copied().filter(|&user| self.is_member(user));
            let eldest = members.min_by_key(|user| (joined(user), *user));
            self.admins.extend(eldest);
        }
    }
}
