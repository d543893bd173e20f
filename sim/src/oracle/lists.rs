//! Users' lists and their numbers: each number is given once, none above what is durable, and no row says what is not so.

use std::collections::{BTreeMap, BTreeSet};

use trunkline_shards::store::{Load, Loaded, UserKey};
use trunkline_wire::ids::{ConversationId, DeviceId, UserId};

use super::logs::{Log, Logs, Made, Window};
use super::{TENANT, Verdict};
use crate::store::Store;

/// A row of a list, as somebody saw it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedRow {
    pub conversation: ConversationId,
    pub kind: u8,
    pub peer: UserId,
    pub title: String,
    pub user_seq: u64,
    pub last_seq: u64,
    pub read_seq: u64,
    pub joined_seq: u64,
    /// [`u64::MAX`]: a member.
    pub left_seq: u64,
}

/// To what each number of each user was given.
type Numbers = BTreeMap<UserId, BTreeMap<u64, ConversationId>>;

/// Every number that anybody saw.
#[derive(Default)]
pub struct Lists {
    /// Those of the process that is there now.
    numbers: Numbers,
    /// Those of earlier ones.
    lost: Numbers,
    rows: BTreeMap<(UserId, ConversationId), BTreeMap<u64, ListedRow>>,
    /// What each device was told last: the number and the last seq.
    latest: BTreeMap<(UserId, DeviceId, ConversationId), (u64, u64)>,
}

impl Lists {
    /// A number that a user's client was told: none above the durable ceiling is given, and none up to `floor` is.
    pub fn check_number(&self, store: &Store, user: UserId, number: u64, floor: u64) -> Verdict {
        let key = UserKey { tenant: TENANT, user };
        let Loaded::Ceiling(ceiling) = store.read(&Load::Ceiling { key }) else { unreachable!("a ceiling is one") };
        if number > ceiling.max(floor) {
            return Err(format!("positions: {user} was told of number {number} above the durable ceiling {ceiling}"));
        }
        Ok(())
    }

    /// The process is gone: changes that only its memory had are told again, by and by, under other numbers.
    pub fn begin_anew(&mut self) {
        for (user, numbers) in std::mem::take(&mut self.numbers) {
            self.lost.entry(user).or_default().extend(numbers);
        }
        self.rows.clear();
        self.latest.clear();
    }

    /// A conversation with a number in `(from, to]`, as stored or told since the process began, that is not among these.
    pub fn unnamed(
        &self,
        store: &Store,
        user: UserId,
        (from, to): (u64, u64),
        named: &BTreeSet<ConversationId>,
    ) -> Option<(u64, ConversationId)> {
        if from >= to {
            return None;
        }
        let told = self.numbers.get(&user).into_iter().flat_map(|numbers| numbers.range(from + 1..=to));
        let told = told.map(|(&number, &conversation)| (number, conversation));
        let load = Load::List { key: UserKey { tenant: TENANT, user }, above: from, below: to + 1, rows_max: u32::MAX };
        let Loaded::List(stored, _) = store.read(&load) else { unreachable!("a list is a list") };
        let stored = stored.into_iter().map(|row| (row.user_seq, row.conversation));
        told.chain(stored).find(|(_, conversation)| !named.contains(conversation))
    }

    /// A user's client was told a row of its list.
    pub fn told(&mut self, store: &Store, logs: &Logs, (user, device): (UserId, DeviceId), row: &ListedRow) -> Verdict {
        self.check_number(store, user, row.user_seq, 0)?;
        check_row(logs, user, row)?;
        // A row may be told by memory and then, with what came since, by the store.
        let numbers = self.numbers.entry(user).or_default();
        let before = numbers.insert(row.user_seq, row.conversation);
        let before = before.or_else(|| self.lost.get(&user).and_then(|lost| lost.get(&row.user_seq).copied()));
        if let Some(other) = before.filter(|&other| other != row.conversation) {
            return Err(format!("positions: a number of {user} was given twice: to {other} and to {row:?}"));
        }
        let rows = self.rows.entry((user, row.conversation)).or_default();
        rows.insert(row.user_seq, row.clone());
        let below = rows.range(..row.user_seq).next_back().map(|(_, row)| row);
        let above = rows.range(row.user_seq + 1..).next().map(|(_, row)| row);
        // Within one window a user leaves once; a later window joined later.
        let goes_back = |low: &ListedRow, high: &ListedRow| {
            let same_window = low.joined_seq == high.joined_seq;
            low.joined_seq > high.joined_seq
                || (same_window && low.left_seq != u64::MAX && low.left_seq != high.left_seq)
        };
        if below.is_some_and(|below| goes_back(below, row)) || above.is_some_and(|above| goes_back(row, above)) {
            return Err(format!("positions: the list of {user} goes back: {below:?}, {row:?}, {above:?}"));
        }
        // The number is as of when it was asked, the rest as of when the store was read: between devices they may cross.
        let (number, last_seq) = self.latest.entry((user, device, row.conversation)).or_default();
        if row.user_seq > *number {
            if row.last_seq < *last_seq {
                return Err(format!(
                    "positions: the list of {user} goes back from seq {last_seq} at {number}: {row:?}"
                ));
            }
            (*number, *last_seq) = (row.user_seq, row.last_seq);
        }
        Ok(())
    }
}

/// Whether a row says nothing but what the log says too.
fn check_row(logs: &Logs, user: UserId, row: &ListedRow) -> Verdict {
    let wrong = |what: &str| Err(format!("lists: {user} was told {row:?}: {what}"));
    let Some(log) = logs.log(row.conversation) else { return wrong("there is no such conversation") };
    let Some(window) = log.windows(user).iter().find(|window| window.joined == row.joined_seq).copied() else {
        return wrong(&format!("REL-7: its windows are {:?}", log.windows(user)));
    };
    if row.left_seq != u64::MAX && row.left_seq != window.left {
        return wrong(&format!("REL-7: its windows are {:?}", log.windows(user)));
    }
    if row.last_seq < row.joined_seq || row.last_seq > window.left.min(log.last()) {
        return wrong(&format!("REL-7: it sees {window:?} of {}", log.last()));
    }
    if row.read_seq > window.left.min(log.last()) {
        return wrong("REL-6: it has read what it does not see");
    }
    let (kind, peer, title) = about(log.made(), user);
    if (row.kind, row.peer, row.title.as_str()) != (kind, peer, title) {
        return wrong("it is something else");
    }
    Ok(())
}

fn about(made: &Made, user: UserId) -> (u8, UserId, &str) {
    match made {
        Made::Direct(peers) => {
            let other = peers.iter().copied().find(|&peer| peer != user);
            (1, other.unwrap_or(user), "")
        }
        Made::Group { title, .. } => (2, UserId(0), title),
    }
}

/// What a user's list is in the end, but for numbers and what was read: (window, newest seq) of each conversation.
pub fn truth(logs: &Logs, user: UserId) -> BTreeMap<ConversationId, (Window, u64)> {
    let of = |id: ConversationId, log: &Log| {
        let window = log.window(user)?;
        (log.last() > 0).then(|| (id, (window, log.visible(user))))
    };
    logs.ids().filter_map(|id| of(id, logs.log(id)?)).collect()
}
