//! Promises about what users are to each other, and about looking through users and conversations.

use trunkline_shards::store::{
    Block, ContactCounts, ContactEntry, ContactRow, ContactState, ConversationEntry, ConversationKey, Load, Loaded,
    Put, PutOutcome, UserKey,
};
use trunkline_storage::Write;
use trunkline_wire::ids::{ConversationId, TenantId, UserId};

use crate::rows::*;

const OTHER_TENANT: TenantId = TenantId(9);

fn contact(key: UserKey, peer: UserId, row: Option<ContactRow>) -> Write {
    put(Put::Contact { key, peer, row })
}

fn accepted(changed_ms: u64) -> ContactRow {
    ContactRow { state: ContactState::Accepted, blocked: false, changed_ms }
}

fn asked(changed_ms: u64) -> ContactRow {
    ContactRow { state: ContactState::Asked, ..accepted(changed_ms) }
}

fn blocked(changed_ms: u64) -> ContactRow {
    ContactRow { state: ContactState::None, blocked: true, changed_ms }
}

fn read(store: &Store, key: UserKey, peer: UserId) -> (Option<ContactRow>, ContactCounts) {
    match store.load(Load::Contact { key, peer }) {
        Loaded::Contact(row, counts) => (row, counts),
        other => panic!("{other:?}"),
    }
}

fn page(store: &Store, key: UserKey, after: u64, rows_max: u32) -> (Vec<ContactEntry>, bool) {
    match store.load(Load::Contacts { key, after: UserId(after), rows_max }) {
        Loaded::Contacts(entries, more) => (entries, more),
        other => panic!("{other:?}"),
    }
}

fn handles(store: &Store, prefix: &str, after: &str, rows_max: u32) -> (Vec<String>, bool) {
    let (prefix, after) = (prefix.to_owned(), after.to_owned());
    match store.load(Load::Handles { tenant: TENANT, prefix, after, rows_max }) {
        Loaded::Handles(found, more) => (found.into_iter().map(|(folded, _)| folded).collect(), more),
        other => panic!("{other:?}"),
    }
}

fn conversations(store: &Store, after: Option<u8>, rows_max: u32) -> (Vec<ConversationEntry>, bool) {
    let after = after.map(|byte| ConversationId([byte; 16]));
    match store.load(Load::Conversations { tenant: TENANT, after, rows_max }) {
        Loaded::Conversations(found, more) => (found, more),
        other => panic!("{other:?}"),
    }
}

pub fn the_last_contact_counts(store: &mut Store) {
    let alice = user(ALICE);
    assert_eq!(read(store, alice, BOB), (None, ContactCounts::default()));
    assert_eq!(store.put(contact(alice, BOB, Some(asked(5)))), PutOutcome::Done);
    assert_eq!(read(store, alice, BOB), (Some(asked(5)), ContactCounts { asked: 1, others: 0 }));
    assert_eq!(read(store, user(BOB), ALICE), (None, ContactCounts::default()), "each side is its own");
    store.commit(&[contact(alice, BOB, Some(blocked(6))), contact(alice, BOB, Some(accepted(7)))]);
    assert_eq!(read(store, alice, BOB), (Some(accepted(7)), ContactCounts { asked: 0, others: 1 }));
    store.commit(&[contact(alice, BOB, None), contact(alice, UserId(3), None)]);
    assert_eq!(read(store, alice, BOB), (None, ContactCounts::default()));
    store.commit(&[contact(alice, BOB, None), contact(alice, BOB, Some(blocked(9)))]);
    assert_eq!(read(store, alice, BOB).0, Some(blocked(9)));
}

pub fn contacts_are_paged_in_order_of_user(store: &mut Store) {
    let alice = user(ALICE);
    let peers = [1, 2, 300, 70_000, u64::MAX];
    let writes: Vec<Write> =
        peers.iter().rev().map(|&peer| contact(alice, UserId(peer), Some(accepted(peer)))).collect();
    store.commit(&writes);
    let elsewhere = UserKey { tenant: OTHER_TENANT, user: ALICE };
    store.commit(&[
        contact(user(UserId(ALICE.0 + 1)), UserId(4), Some(asked(1))),
        contact(elsewhere, UserId(5), Some(asked(1))),
        account(user(UserId(300)), "Ada"),
    ]);
    let entry = |peer: u64| {
        let handle = if peer == 300 { "Ada".to_owned() } else { String::new() };
        ContactEntry { peer: UserId(peer), handle, row: accepted(peer) }
    };
    assert_eq!(page(store, alice, 0, 9), (peers.map(entry).to_vec(), false));
    assert_eq!(page(store, alice, 0, 2), (vec![entry(1), entry(2)], true));
    assert_eq!(page(store, alice, 2, 2), (vec![entry(300), entry(70_000)], true));
    assert_eq!(page(store, alice, 70_000, 1), (vec![entry(u64::MAX)], false));
    assert_eq!(page(store, alice, u64::MAX, 9), (vec![], false));
    assert_eq!(read(store, alice, BOB), (None, ContactCounts { asked: 0, others: 5 }));
    assert_eq!(page(store, elsewhere, 0, 9).0.len(), 1);
}

pub fn a_1_1_comes_with_what_is_blocked(store: &mut Store) {
    let block = |blocker, blocked, changed_ms| Block { blocker, blocked, changed_ms };
    let of_none = |store: &Store, peers| match store.load(Load::Blocks { tenant: TENANT, peers }) {
        Loaded::Blocks(blocks) => blocks,
        other => panic!("{other:?}"),
    };
    store.append(key(1), rows(1..=1));
    assert_eq!(store.conversation(key(1)).expect("there").blocks, []);
    store.commit(&[contact(user(ALICE), BOB, Some(blocked(3))), contact(user(ALICE), UserId(7), Some(blocked(4)))]);
    assert_eq!(store.conversation(key(1)).expect("there").blocks, [block(ALICE, true, 3)]);
    store.commit(&[contact(user(BOB), ALICE, Some(accepted(8)))]);
    let both = [block(BOB, false, 8), block(ALICE, true, 3)];
    assert_eq!(store.conversation(key(1)).expect("there").blocks, both, "in order of peers");
    assert_eq!(of_none(store, [BOB, ALICE]), both);
    assert_eq!(of_none(store, [UserId(7), ALICE]), [block(ALICE, true, 4)]);
    assert_eq!(of_none(store, [UserId(7), BOB]), []);
}

pub fn handles_are_paged_by_their_beginning(store: &mut Store) {
    let all = ["al", "alice", "alicia", "bob", "\u{10ffff}", "é"];
    store.commit(&all.map(|folded| claim(folded, ALICE)));
    let elsewhere = Put::ClaimHandle { tenant: OTHER_TENANT, folded: "alien".to_owned(), user: BOB };
    store.commit(&[put(elsewhere)]);
    let found = |names: &[&str], more| (names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>(), more);
    assert_eq!(handles(store, "", "", 9), found(&["al", "alice", "alicia", "bob", "é", "\u{10ffff}"], false));
    assert_eq!(handles(store, "al", "", 9), found(&["al", "alice", "alicia"], false));
    assert_eq!(handles(store, "al", "", 2), found(&["al", "alice"], true));
    assert_eq!(handles(store, "al", "alice", 2), found(&["alicia"], false));
    assert_eq!(handles(store, "al", "aa", 1), found(&["al"], true), "an `after` before the beginning");
    assert_eq!(handles(store, "al", "bob", 9), found(&[], false), "and one behind it");
    assert_eq!(handles(store, "", "bob", 1), found(&["é"], true));
    assert_eq!(handles(store, "x", "", 9), found(&[], false));
}

pub fn conversations_are_paged_in_order_of_id(store: &mut Store) {
    let elsewhere = ConversationKey { tenant: OTHER_TENANT, ..key(4) };
    for (key, last) in [(key(9), 2), (key(2), 1), (key(0xff), 3), (key(0), 1), (elsewhere, 1)] {
        store.append(key, rows(1..=last));
    }
    let entry =
        |number: u8, last_seq| ConversationEntry { conversation: key(number).conversation, meta: meta(), last_seq };
    let all = vec![entry(0, 1), entry(2, 1), entry(9, 2), entry(0xff, 3)];
    assert_eq!(conversations(store, None, 9), (all.clone(), false));
    assert_eq!(conversations(store, None, 3), (all[..3].to_vec(), true));
    assert_eq!(conversations(store, Some(9), 3), (all[3..].to_vec(), false));
    assert_eq!(conversations(store, Some(3), 1), (all[2..3].to_vec(), true));
    assert_eq!(conversations(store, Some(0xff), 3), (vec![], false));
}
