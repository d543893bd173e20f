//! Sides of contacts over a shard and a store of one table.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use trunkline_wire::token::{TokenKey, TokenKeys};

use super::*;
use crate::contract::{AdminRequest, Core, Effect, Effects, Event, Now};
use crate::limits::Limits;
use crate::store::PutOutcome;
use crate::{Doorstep, LaneRoom, Shard, ShardConfig};

const TENANT: TenantId = TenantId(0);
const USER: UserId = UserId(7);
const PEER: UserId = UserId(9);

struct Rig {
    shard: Shard,
    wall_ms: u64,
    rows: BTreeMap<UserId, ContactRow>,
    asked: VecDeque<(Ticket, Result<Load, Put>)>,
    answers: Vec<AdminAnswer>,
}

impl Rig {
    fn new() -> Rig {
        let keys = TokenKeys::new(vec![TokenKey { id: 1, secret: [7; 32] }]).unwrap();
        let shard = Shard::new(ShardConfig {
            shard: 0,
            shards: 1,
            keys,
            limits: Limits::default(),
            room: LaneRoom { pushes: 0, answers: 0 },
            seed: [0; 32],
            incarnation: 1,
            revocations: Arc::from([]),
            doorstep: Doorstep::default(),
            now: Now::default(),
        });
        Rig { shard, wall_ms: 1_000, rows: BTreeMap::new(), asked: VecDeque::new(), answers: Vec::new() }
    }

    fn apply(&mut self, event: Event<'_>) {
        let mut effects = Effects::new();
        self.shard.apply(Now { mono_ns: 0, wall_ms: self.wall_ms }, event, &mut effects);
        for effect in effects.drain() {
            match effect {
                Effect::Load { ticket, load } => self.asked.push_back((ticket, Ok(*load))),
                Effect::Put { ticket, put } => self.asked.push_back((ticket, Err(*put))),
                Effect::Answer { answer, .. } => self.answers.push(answer),
                other => panic!("{other:?}"),
            }
        }
    }

    fn begin(&mut self, peer: UserId, change: ContactChange) {
        let request = ContactsRequest::Change { tenant: TENANT, user: USER, peer, change };
        self.apply(Event::Admin { ticket: Ticket(1), request: AdminRequest::Contacts(request) });
    }

    /// The store answers what was asked first.
    fn step(&mut self, fault: Option<StoreFault>) {
        let (ticket, asked) = self.asked.pop_front().expect("something is asked of the store");
        let result = match (asked, fault) {
            (Ok(_), Some(fault)) => StoreResult::Loaded(Err(fault)),
            (Err(_), Some(fault)) => StoreResult::Put(Err(fault)),
            (Ok(Load::Contact { peer, .. }), None) => {
                let mut counts = ContactCounts::default();
                self.rows.values().for_each(|row| counts.add(row));
                StoreResult::Loaded(Ok(Loaded::Contact(self.rows.get(&peer).copied(), counts)))
            }
            (Err(Put::Contact { peer, row: Some(row), .. }), None) => {
                self.rows.insert(peer, row);
                StoreResult::Put(Ok(PutOutcome::Done))
            }
            (Err(Put::Contact { peer, row: None, .. }), None) => {
                self.rows.remove(&peer);
                StoreResult::Put(Ok(PutOutcome::Done))
            }
            other => panic!("{other:?}"),
        };
        self.apply(Event::Stored { ticket, result });
    }

    fn change_with(&mut self, peer: UserId, change: ContactChange) -> ContactsAnswer {
        self.begin(peer, change);
        while !self.asked.is_empty() {
            self.step(None);
        }
        match self.answers.pop() {
            Some(AdminAnswer::Contacts(said)) => said,
            other => panic!("{other:?}"),
        }
    }

    /// The state and whether it is blocked, after changes.
    fn after(&mut self, changes: &[ContactChange]) -> Result<(ContactState, bool), ContactRefusal> {
        let mut last = Ok((ContactState::None, false));
        for &change in changes {
            last = match self.change_with(PEER, change) {
                ContactsAnswer::Changed(row) => Ok((row.state, row.blocked)),
                ContactsAnswer::Refused(refusal) => Err(refusal),
                other => panic!("{other:?}"),
            };
        }
        last
    }
}

#[test]
fn a_side_says_what_happened_to_it() {
    use ContactChange::{Accept, Accepted, Ask, Block, End, Request, Unblock};
    use ContactState::{Accepted as Both, Asked, None as Nothing, Requested};
    for (changes, outcome) in [
        (&[Request][..], Ok((Requested, false))),
        (&[Request, Request, Accepted, Request, Ask], Ok((Both, false))),
        (&[Ask, Ask], Ok((Asked, false))),
        (&[Ask, Request], Ok((Asked, false))),
        (&[Request, Ask], Ok((Both, false))),
        (&[Ask, Accept, Accept], Ok((Both, false))),
        (&[Accept], Err(ContactRefusal::NoRequest)),
        (&[Request, Accept], Err(ContactRefusal::NoRequest)),
        (&[Ask, Accepted], Err(ContactRefusal::NoRequest)),
        (&[Request, End, Accepted], Err(ContactRefusal::NoRequest)),
        (&[Ask, Accept, End, End], Ok((Nothing, false))),
        (&[Ask, Accept, Block], Ok((Nothing, true))),
        (&[Block, Ask], Err(ContactRefusal::Blocked)),
        (&[Block, Request], Err(ContactRefusal::Blocked)),
        (&[Block, End], Ok((Nothing, true))),
        (&[Block, Unblock, Ask], Ok((Asked, false))),
        (&[Request, Unblock], Ok((Requested, false))),
    ] {
        assert_eq!(Rig::new().after(changes), outcome, "{changes:?}");
    }
}

#[test]
fn a_row_that_says_nothing_goes_and_later_changes_have_higher_times() {
    let mut rig = Rig::new();
    let mut last_ms = 0;
    // The clock stands still, then goes back.
    for change in [ContactChange::Block, ContactChange::Unblock, ContactChange::Block, ContactChange::Unblock] {
        let ContactsAnswer::Changed(row) = rig.change_with(PEER, change) else { panic!("refused") };
        assert!(row.changed_ms > last_ms, "{change:?}");
        assert_eq!(rig.rows.is_empty(), change == ContactChange::Unblock);
        (last_ms, rig.wall_ms) = (row.changed_ms, 500);
    }
    // A row of an earlier process whose clock was ahead.
    let ahead = ContactRow { state: ContactState::Asked, blocked: false, changed_ms: 9_000 };
    rig.rows.insert(PEER, ahead);
    assert_eq!(rig.change_with(PEER, ContactChange::Ask), ContactsAnswer::Changed(ahead), "nothing to change");
    let ContactsAnswer::Changed(row) = rig.change_with(PEER, ContactChange::Block) else { panic!("refused") };
    assert_eq!(row.changed_ms, 9_001);
}

#[test]
fn an_end_of_a_block_whose_answer_was_lost_is_news_the_next_time() {
    let mut rig = Rig::new();
    let ContactsAnswer::Changed(block) = rig.change_with(PEER, ContactChange::Block) else { panic!("refused") };
    // The row goes, and nobody is told.
    rig.rows.clear();
    let ContactsAnswer::Changed(end) = rig.change_with(PEER, ContactChange::Unblock) else { panic!("refused") };
    assert!(!end.blocked && end.changed_ms > block.changed_ms);
}

#[test]
fn there_is_an_end_to_those_who_ask_and_to_all_others() {
    let mut rig = Rig::new();
    let mut fill = |first: u64, count: u32, state| {
        let row = ContactRow { state, blocked: false, changed_ms: 1 };
        rig.rows.extend((0..u64::from(count)).map(|number| (UserId(first + number), row)));
    };
    fill(1_000, ASKED_MAX - 1, ContactState::Asked);
    fill(100_000, CONTACTS_MAX - 1, ContactState::Accepted);
    let full = ContactsAnswer::Refused(ContactRefusal::Full);
    assert!(matches!(rig.change_with(PEER, ContactChange::Ask), ContactsAnswer::Changed(_)));
    assert_eq!(rig.change_with(UserId(10), ContactChange::Ask), full);
    assert!(matches!(rig.change_with(UserId(10), ContactChange::Request), ContactsAnswer::Changed(_)));
    for (peer, change) in [(11, ContactChange::Request), (11, ContactChange::Block), (1_000, ContactChange::Accept)] {
        assert_eq!(rig.change_with(UserId(peer), change), full, "{change:?}");
    }
    assert!(matches!(rig.change_with(UserId(100_000), ContactChange::Block), ContactsAnswer::Changed(_)), "it is one");
    assert!(matches!(rig.change_with(UserId(100_001), ContactChange::End), ContactsAnswer::Changed(_)));
    assert!(matches!(rig.change_with(UserId(1_000), ContactChange::Accept), ContactsAnswer::Changed(_)));
}

#[test]
fn changes_of_a_user_come_one_after_the_other_and_faults_bar_nobody() {
    let mut rig = Rig::new();
    rig.begin(PEER, ContactChange::Request);
    rig.begin(UserId(10), ContactChange::Request);
    assert_eq!(rig.answers.pop(), Some(AdminAnswer::Busy));
    for (faults, said) in [
        (&[Some(StoreFault::Unknown)][..], AdminAnswer::StorageUnavailable),
        (&[None, Some(StoreFault::Full)], AdminAnswer::StorageFull),
        (&[None, Some(StoreFault::Unknown)], AdminAnswer::StorageUnavailable),
    ] {
        if rig.asked.is_empty() {
            rig.begin(PEER, ContactChange::Request);
        }
        faults.iter().for_each(|fault| rig.step(*fault));
        assert_eq!(rig.answers.pop(), Some(said));
    }
    assert_eq!(rig.after(&[ContactChange::Request]), Ok((ContactState::Requested, false)));
}
