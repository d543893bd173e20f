//! People as they see each other, over shards in a map.

use super::*;
use crate::sign_in::{SignInError, Typed};
use crate::test_shards::{TestShards, keys};

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
