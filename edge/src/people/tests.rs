//! People as they see each other, over shards in a map.

use super::*;
use crate::sign_in::{SignInError, Typed};
use crate::test_shards::{TestShards, keys};

use trunkline_shards::store::{ContactState, Member};

const NOW_S: u64 = 1_000_000;

/// Users who have signed up: their desk, their ids and their tokens.
struct Town {
    desk: SignIn<TestShards>,
    users: Vec<UserId>,
    tokens: Vec<String>,
}

impl Town {
    fn of(handles: &[&str], policy: Policy) -> Town {
        let policy = Policy { password_memory_kib: 64, password_passes: 1, ..policy };
        let desk = SignIn::new(TestShards::new(3), keys(), policy).unwrap();
        let from = std::net::IpAddr::from([127, 0, 0, 1]);
        let enter = |handle: &&str| {
            desk.sign_up(NOW_S, &Typed { handle, password: "correct horse", device_name: "", from }).unwrap()
        };
        let signed_in: Vec<_> = handles.iter().map(enter).collect();
        let users = signed_in.iter().map(|signed_in| signed_in.user).collect();
        let tokens = signed_in.into_iter().map(|signed_in| signed_in.access_token).collect();
        Town { desk, users, tokens }
    }

    fn people(&self, number: usize) -> People<'_, TestShards> {
        self.desk.people(NOW_S, &self.tokens[number]).unwrap()
    }
}

#[test]
fn a_profile_is_changed_by_its_user_and_seen_by_others() {
    let town = Town::of(&["Alice", "bob"], Policy::default());
    let nameless = town.people(1).named("aLICE").unwrap();
    assert_eq!((nameless.user, nameless.handle.as_str()), (town.users[0], "Alice"));
    assert_eq!((nameless.display_name.as_str(), nameless.avatar.as_str()), ("", ""));
    let named = ProfileChange { display_name: Some(" Alice L. ".to_owned()), avatar: None };
    assert_eq!(town.people(0).change_profile(named).unwrap().display_name, "Alice L.");
    let pictured = ProfileChange { display_name: None, avatar: Some("blob:7".to_owned()) };
    let changed = town.people(0).change_profile(pictured).unwrap();
    assert_eq!((changed.display_name.as_str(), changed.avatar.as_str()), ("Alice L.", "blob:7"));
    assert_eq!(town.people(1).user(town.users[0]).unwrap(), changed);
    let bare = ProfileChange { display_name: Some(String::new()), avatar: Some(String::new()) };
    assert_eq!(town.people(0).change_profile(bare).unwrap(), nameless);
    let long = ProfileChange { display_name: Some("x".repeat(129)), ..ProfileChange::default() };
    assert_eq!(town.people(0).change_profile(long), Err(PeopleError::DisplayName));
    assert_eq!(town.people(0).profile().unwrap(), nameless);
}

#[test]
fn who_is_nobody_is_unknown_and_who_has_no_token_is_not_answered() {
    let town = Town::of(&["alice"], Policy::default());
    for nobody in ["bob", "", "a b", "0123456789abcdef0123456789abcdef"] {
        assert_eq!(town.people(0).named(nobody), Err(PeopleError::UnknownUser), "{nobody}");
    }
    assert_eq!(town.people(0).user(UserId(7)), Err(PeopleError::UnknownUser));
    for (token, at_s) in [("", NOW_S), ("tl1.x", NOW_S), (town.tokens[0].as_str(), NOW_S + 100_000)] {
        let refused = town.desk.people(at_s, token).err();
        assert_eq!(refused, Some(PeopleError::Account(SignInError::TokenInvalid)), "{token} at {at_s}");
    }
}

#[test]
fn look_ups_are_few_and_requests_not_endless() {
    let policy = Policy { lookup_burst: 3, lookup_every_s: 60, ..Policy::default() };
    let town = Town::of(&["alice", "bob"], policy);
    for _ in 0..3 {
        assert!(town.people(0).named("bob").is_ok());
    }
    let Err(PeopleError::TooOften(wait_s)) = town.people(0).named("bob") else { panic!("no end of look-ups") };
    assert!((1..=61).contains(&wait_s), "{wait_s}");
    assert!(town.people(1).named("alice").is_ok(), "others may");
    assert!(town.people(0).user(town.users[1]).is_ok(), "and by id");
    let refused = (0..2 * PEOPLE_BURST).find_map(|_| town.desk.people(NOW_S, &town.tokens[0]).err());
    assert!(matches!(refused, Some(PeopleError::TooOften(1))), "{refused:?}");
}

impl Town {
    /// What the first is to the second, and the other way round.
    fn sides(&self, one: usize, other: usize) -> [(ContactState, bool); 2] {
        [(one, other), (other, one)].map(|(user, peer)| {
            let row = self.desk.shards().side(self.users[user], self.users[peer]);
            (row.state, row.blocked)
        })
    }
}

const NOTHING: (ContactState, bool) = (ContactState::None, false);
const REQUESTED: (ContactState, bool) = (ContactState::Requested, false);
const ASKED: (ContactState, bool) = (ContactState::Asked, false);
const ACCEPTED: (ContactState, bool) = (ContactState::Accepted, false);

#[test]
fn one_asks_the_other_accepts_and_either_ends_it() {
    let town = Town::of(&["alice", "bob"], Policy::default());
    let [alice, bob] = [town.users[0], town.users[1]];
    assert_eq!(town.people(1).accept_contact(alice), Err(PeopleError::NoRequest));
    assert_eq!(town.people(0).ask_contact(bob), Ok(ContactState::Requested));
    assert_eq!(town.people(0).ask_contact(bob), Ok(ContactState::Requested), "again");
    assert_eq!(town.sides(0, 1), [REQUESTED, ASKED]);
    assert_eq!(town.people(0).accept_contact(bob), Err(PeopleError::NoRequest), "nobody accepts for the other one");
    assert_eq!(town.people(1).accept_contact(alice), Ok(ContactState::Accepted));
    assert_eq!(town.people(1).accept_contact(alice), Ok(ContactState::Accepted), "again");
    assert_eq!(town.sides(0, 1), [ACCEPTED, ACCEPTED]);
    let (contacts, more) = town.people(0).contacts(UserId(0), None).unwrap();
    assert_eq!((contacts[0].user, contacts[0].handle.as_str(), contacts.len(), more), (bob, "bob", 1, false));
    for ends in [0, 1] {
        town.people(ends).end_contact(town.users[1 - ends]).unwrap();
        assert_eq!(town.sides(0, 1), [NOTHING, NOTHING]);
        town.people(ends).end_contact(town.users[1 - ends]).unwrap();
        town.people(0).ask_contact(bob).unwrap();
        // Asking back is accepting.
        assert_eq!(town.people(1).ask_contact(alice), Ok(ContactState::Accepted));
    }
}

#[test]
fn a_block_ends_everything_and_reads_as_an_unknown_user() {
    let town = Town::of(&["alice", "bob"], Policy::default());
    let [alice, bob] = [town.users[0], town.users[1]];
    town.people(0).ask_contact(bob).unwrap();
    town.people(1).accept_contact(alice).unwrap();
    town.people(1).block(alice).unwrap();
    assert_eq!(town.sides(0, 1), [NOTHING, (ContactState::None, true)]);
    assert_eq!(town.people(0).ask_contact(bob), Err(PeopleError::UnknownUser));
    assert_eq!(town.people(0).ask_contact(UserId(7)), Err(PeopleError::UnknownUser));
    assert_eq!(town.people(1).ask_contact(alice), Err(PeopleError::Blocked));
    assert_eq!(town.people(1).block(UserId(7)), Err(PeopleError::UnknownUser));
    assert_eq!(town.people(1).block(bob), Err(PeopleError::Oneself));
    assert!(town.people(0).user(bob).is_ok(), "it is not hidden");
    town.people(1).unblock(alice).unwrap();
    town.people(1).unblock(alice).unwrap();
    let told: Vec<_> = town.desk.shards().told().iter().map(|(_, block)| (block.blocker, block.blocked)).collect();
    assert_eq!(told, [(bob, true), (bob, false), (bob, false)]);
    assert_eq!(town.people(0).ask_contact(bob), Ok(ContactState::Requested));
}

/// Every request is cut after every number of answers, and sent again: the two sides end as if it had not been cut.
#[test]
fn a_request_that_was_cut_is_put_right_by_the_same_again() {
    type Deed = fn(&People<'_, TestShards>, UserId) -> Result<(), PeopleError>;
    let ask: Deed = |people, peer| people.ask_contact(peer).map(drop);
    let accept: Deed = |people, peer| people.accept_contact(peer).map(drop);
    let end: Deed = |people, peer| people.end_contact(peer);
    let block: Deed = |people, peer| people.block(peer);
    let unblock: Deed = |people, peer| people.unblock(peer);
    let blocked = (ContactState::None, true);
    for (before, by, deed, after) in [
        (&[][..], 0, ask, [REQUESTED, ASKED]),
        (&[(1, ask)], 0, ask, [ACCEPTED, ACCEPTED]),
        (&[(0, ask)], 1, accept, [ACCEPTED, ACCEPTED]),
        (&[(0, ask)], 0, end, [NOTHING, NOTHING]),
        (&[(0, ask), (1, accept)], 1, end, [NOTHING, NOTHING]),
        (&[(0, ask), (1, accept)], 0, block, [blocked, NOTHING]),
        (&[(0, block)], 0, unblock, [NOTHING, NOTHING]),
    ] {
        for answers in 0.. {
            let town = Town::of(&["alice", "bob"], Policy::default());
            before.iter().for_each(|&(by, deed)| deed(&town.people(by), town.users[1 - by]).unwrap());
            let people = town.people(by);
            town.desk.shards().fail_after(answers);
            let cut = deed(&people, town.users[1 - by]);
            town.desk.shards().recover();
            if cut.is_ok() {
                assert!(answers >= 2, "it was never cut");
                break;
            }
            deed(&town.people(by), town.users[1 - by]).unwrap();
            assert_eq!(town.sides(0, 1), after, "cut after {answers} answers");
        }
    }
}

#[test]
fn a_conversation_is_shown_to_its_members_now() {
    use trunkline_shards::directory::ConversationInfo;
    use trunkline_shards::store::ConversationMeta;
    use trunkline_wire::ids::ConversationId;
    let town = Town::of(&["alice", "bob", "carol"], Policy::default());
    let id = ConversationId([9; 16]);
    let member = |number: usize, left_seq| Member { user: town.users[number], role: 1, joined_seq: 1, left_seq };
    let meta = ConversationMeta { kind: 2, created_ms: 5, peers: vec![], title: "ships".to_owned() };
    let members = vec![member(0, u64::MAX), member(1, 7)];
    town.desk.shards().put_conversation(id, ConversationInfo { meta, last_seq: 9, members });
    let shown = town.people(0).conversation(id).unwrap();
    assert_eq!((shown.title.as_str(), shown.members, shown.peer, shown.created_ms), ("ships", 1, None, 5));
    for (number, other) in [(1, id), (2, id), (0, ConversationId([8; 16]))] {
        assert_eq!(town.people(number).conversation(other), Err(PeopleError::UnknownConversation));
    }
}
