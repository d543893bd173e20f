//! Requests with their answers as values. What the server has no room for now is asked again, as clients do.

use std::thread;
use std::time::{Duration, Instant};

use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::message::{Change, Encoded, Encoder, ErrorCode, Member, Receipt};

use super::{PATIENCE, Peer, encode_send};
use crate::dice::Dice;
use crate::ear::{Heard, MembersPage, Opened, Reply, Row, Summary, Synced};

/// What was asked for, or why not.
pub type Answered<T> = Result<T, ErrorCode>;

/// A whole list, of one or more pages.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct List {
    /// Of the first page.
    pub from: u64,
    /// Of the first page.
    pub to: u64,
    /// Of the first page.
    pub resync: bool,
    /// Of all pages, in their order.
    pub rows: Vec<Summary>,
}

impl List {
    /// The row of a conversation; none: the list misses it.
    pub fn find(&self, conversation: ConversationId) -> Option<&Summary> {
        self.rows.iter().find(|row| row.conversation == conversation)
    }

    /// The conversations, in order.
    pub fn conversations(&self) -> Vec<ConversationId> {
        self.rows.iter().map(|row| row.conversation).collect()
    }
}

/// A page of history.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Page {
    pub rows: Vec<Row>,
    pub more: bool,
    pub last_seq: u64,
}

impl Page {
    /// The seqs of its rows.
    pub fn seqs(&self) -> Vec<u64> {
        self.rows.iter().map(|row| row.seq).collect()
    }
}

impl Peer {
    /// Asks until the server has room for it; errors are errors.
    pub fn ask_patiently(&mut self, make: impl Fn(&mut Encoder, u32) -> Encoded<'_>) -> Answered<Reply> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.ask(&make) {
                Reply::Error { code: ErrorCode::Busy | ErrorCode::RateLimited, retry_after_ms } => {
                    assert!(Instant::now() < deadline, "still no room after {PATIENCE:?}");
                    thread::sleep(Duration::from_millis(retry_after_ms.into()));
                }
                Reply::Error { code, .. } => return Err(code),
                reply => return Ok(reply),
            }
        }
    }

    /// Makes a group.
    pub fn create_group(&mut self, nonce: u64, title: &str, members: &[UserId]) -> Answered<Opened> {
        match self.ask_patiently(|encoder, request| encoder.create_group(request, nonce, title, members))? {
            Reply::Opened(opened) => Ok(opened),
            other => panic!("CreateGroup was answered with {other:?}"),
        }
    }

    /// Opens a conversation by its id.
    pub fn look(&mut self, conversation: ConversationId) -> Answered<Opened> {
        match self.ask_patiently(|encoder, request| encoder.open(request, conversation))? {
            Reply::Opened(opened) => Ok(opened),
            other => panic!("Open was answered with {other:?}"),
        }
    }

    /// Changes the members of a group; the seq of that, 0: nothing changed.
    pub fn change(&mut self, conversation: ConversationId, change: Change, users: &[UserId]) -> Answered<u64> {
        match self.ask_patiently(|encoder, request| encoder.change_members(request, conversation, change, users))? {
            Reply::MembersChanged { conversation: named, seq } => {
                assert_eq!(named, conversation, "the answer names another conversation");
                Ok(seq)
            }
            other => panic!("ChangeMembers was answered with {other:?}"),
        }
    }

    /// Adds users to a group.
    pub fn add(&mut self, conversation: ConversationId, users: &[UserId]) -> Answered<u64> {
        self.change(conversation, Change::Added, users)
    }

    /// Removes users from a group.
    pub fn remove(&mut self, conversation: ConversationId, users: &[UserId]) -> Answered<u64> {
        self.change(conversation, Change::Removed, users)
    }

    /// A page of members.
    pub fn members_page(&mut self, conversation: ConversationId, after: UserId, limit: u16) -> Answered<MembersPage> {
        match self.ask_patiently(|encoder, request| encoder.members(request, conversation, after, limit))? {
            Reply::Members(page) => Ok(page),
            other => panic!("Members was answered with {other:?}"),
        }
    }

    /// All members, in order of user.
    pub fn members(&mut self, conversation: ConversationId) -> Answered<Vec<Member>> {
        let mut all: Vec<Member> = Vec::new();
        loop {
            let after = all.last().map_or(UserId(0), |member| member.user);
            let page = self.members_page(conversation, after, 1_000)?;
            all.extend(page.members);
            if !page.more {
                assert!(all.is_sorted_by(|a, b| a.user < b.user), "members are not in order: {all:?}");
                return Ok(all);
            }
        }
    }

    /// A page of history.
    pub fn page(&mut self, conversation: ConversationId, from_seq: u64, backward: bool) -> Answered<Page> {
        match self.ask_patiently(|encoder, request| encoder.history(request, conversation, from_seq, backward, 50))? {
            Reply::Page { rows, more, last_seq } => Ok(Page { rows, more, last_seq }),
            other => panic!("History was answered with {other:?}"),
        }
    }

    /// A page of the list.
    pub fn sync_page(&mut self, position: Option<u64>, below: u64, limit: u16) -> Answered<Synced> {
        match self.ask_patiently(|encoder, request| encoder.sync(request, position, below, limit))? {
            Reply::Synced(synced) => Ok(synced),
            other => panic!("Sync was answered with {other:?}"),
        }
    }

    /// What changed behind a position (none: the stored one), in pages of so many.
    pub fn sync_in_pages(&mut self, position: Option<u64>, limit: u16) -> List {
        let mut list = List::default();
        let mut below = 0;
        loop {
            let page = self.sync_page(position, below, limit).expect("a list");
            if below == 0 {
                (list.from, list.to, list.resync) = (page.from, page.to, page.resync);
            }
            assert!(!page.more || !page.rows.is_empty(), "an empty page says that there is more");
            assert!(page.rows.iter().all(|row| below == 0 || row.user_seq < below), "a row is not below {below}");
            list.rows.extend(page.rows);
            if !page.more {
                let in_order = list.rows.is_sorted_by(|a, b| a.user_seq > b.user_seq);
                assert!(in_order, "the latest change does not come first: {:?}", list.rows);
                return list;
            }
            below = list.rows.last().map_or(0, |row| row.user_seq);
        }
    }

    /// What changed behind a position.
    pub fn sync(&mut self, position: u64) -> List {
        self.sync_in_pages(Some(position), 200)
    }

    /// Reports watermarks, and a position (0: none).
    pub fn report(&mut self, position: u64, receipts: &[Receipt]) -> Answered<()> {
        match self.ask_patiently(|encoder, request| encoder.report(request, position, receipts))? {
            Reply::Done => Ok(()),
            other => panic!("Report was answered with {other:?}"),
        }
    }

    /// Types.
    pub fn typing(&mut self, conversation: ConversationId) -> Answered<()> {
        match self.ask_patiently(|encoder, request| encoder.typing(request, conversation))? {
            Reply::Done => Ok(()),
            other => panic!("Typing was answered with {other:?}"),
        }
    }

    /// Says something, with the next number of this device; its seq.
    pub fn say(&mut self, conversation: ConversationId, text: &str) -> Answered<u64> {
        let client_seq = self.look(conversation)?.high + 1;
        let message_id = Dice::cast() | 1;
        loop {
            let asked = self.ask_patiently(|encoder, request| {
                encode_send(encoder, request, conversation, client_seq, message_id, text.as_bytes())
            });
            let Reply::Ack(ack) = asked? else { panic!("Send was not answered with an Ack") };
            match (ack.refusal, ack.accepted.first()) {
                (Some(ErrorCode::Busy | ErrorCode::RateLimited), _) => {
                    thread::sleep(Duration::from_millis(ack.retry_after_ms.into()));
                }
                (Some(code), _) => return Err(code),
                (None, Some(&(_, seq, _))) => return Ok(seq),
                (None, None) => panic!("an Ack of nothing: {ack:?}"),
            }
        }
    }

    /// What was pushed and not yet taken, until nothing comes for a while.
    pub fn pushed(&mut self, quiet: Duration) -> Vec<Reply> {
        let mut all = Vec::new();
        while let Ok(heard) = self.hear_within(quiet) {
            match heard {
                Some(Heard::Reply(0, reply)) => all.push(reply),
                Some(Heard::Ping(_)) => {}
                Some(other) => panic!("unasked for: {other:?}"),
                None => panic!("the server closed; before: {all:?}"),
            }
        }
        all
    }

    /// The messages among that, of one conversation.
    pub fn pushed_rows(&mut self, conversation: ConversationId, quiet: Duration) -> Vec<Row> {
        let of = |reply| match reply {
            Reply::Message(named, row) if named == conversation => Some(row),
            _ => None,
        };
        self.pushed(quiet).into_iter().filter_map(of).collect()
    }

    /// Waits for something pushed; what else is heard is kept for later.
    pub fn hear_push<T>(&mut self, what: &str, take: impl Fn(&Reply) -> Option<T>) -> T {
        let is_it = |heard: &Heard| matches!(heard, Heard::Reply(0, reply) if take(reply).is_some());
        match self.hear_until(what, is_it) {
            Heard::Reply(_, reply) => take(&reply).expect("it was taken before"),
            other => unreachable!("waited for something pushed, not {other:?}"),
        }
    }
}
