//! Set-up: a list of 25 groups; while its owner is away four of them change, one of which is new. Claim: a sync from the
//! position it had gives these four, the latest first, in one page or in four, and from the position behind that nothing; a
//! position that a device has stored is where it goes on, for no other device, through a kill of the server; a position from
//! elsewhere gets the whole list and is told so; what was not stored yet when the server was killed is not missed.

use std::thread;
use std::time::Duration;

use trunkline_tests::peer::{List, PATIENCE, Peer, soon};
use trunkline_tests::server::{Account, Server};
use trunkline_wire::ids::ConversationId;

use crate::people::{enroll, login, restart, serve, users};
use crate::shards::for_shards;

const GROUPS: u64 = 25;
/// Lists are stored soon, so that a test can wait for it.
const SOON: &[&str] = &["limits.list_every_ms=20"];
/// Lists are not stored while this test runs.
const NEVER: &[&str] = &["limits.list_every_ms=600000"];

/// Groups of alice and bob, made by alice; when this returns they are all in her list.
fn make_groups(of_alice: &mut Peer, bob: &Account) -> Vec<ConversationId> {
    let groups = (1..=GROUPS).map(|nonce| {
        let made = of_alice.create_group(nonce, &format!("group {nonce}"), &users(&[bob]));
        made.expect("a group").conversation
    });
    let groups: Vec<_> = groups.collect();
    changed(of_alice, 0, groups.len());
    groups
}

/// Waits until so many conversations have changed behind a position; gives them.
#[track_caller]
fn changed(peer: &mut Peer, position: u64, count: usize) -> List {
    let peer = std::cell::RefCell::new(peer);
    soon(&format!("changes behind {position}"), PATIENCE, &count, || peer.borrow_mut().sync(position).rows.len());
    peer.borrow_mut().sync(position)
}

/// Waits until the lists that changed are stored.
fn stored(server: &Server) {
    let mut before = u64::MAX;
    loop {
        let now = server.counter("list_rows_stored");
        if now == before {
            return;
        }
        before = now;
        thread::sleep(Duration::from_millis(250));
    }
}

/// Bob speaks in three of them and makes a fourth; gives them, the latest first.
fn change_four(of_alice: &mut Peer, of_bob: &mut Peer, groups: &[ConversationId]) -> Vec<ConversationId> {
    let position = of_alice.sync(0).to;
    for (index, count) in [(5, 1), (1, 2), (9, 3)] {
        of_bob.say(groups[index], "news").expect("a message");
        changed(of_alice, position, count);
    }
    let both = of_bob.members(groups[0]).expect("a member sees the members");
    let others: Vec<_> = both.iter().map(|member| member.user).collect();
    let new = of_bob.create_group(1, "new", &others).expect("a group").conversation;
    changed(of_alice, position, 4);
    vec![new, groups[9], groups[1], groups[5]]
}

#[test]
fn in_pages_behind_its_position() {
    for_shards([1, 2], |shards| {
        let mut server = serve(shards, SOON);
        let [alice, bob] = enroll(&server, ["alice", "bob"]);
        let (mut of_alice, mut of_bob) = (login(&server, &alice), login(&server, &bob));
        let groups = make_groups(&mut of_alice, &bob);
        let whole = of_alice.sync(0);
        let latest_first: Vec<_> = groups.iter().rev().copied().collect();
        assert_eq!((whole.from, whole.resync, whole.conversations()), (0, false, latest_first));
        let position = whole.to;
        assert_eq!(of_alice.sync(position), List { from: position, to: position, ..List::default() });

        let wanted = change_four(&mut of_alice, &mut of_bob, &groups);
        let delta = of_alice.sync(position);
        assert_eq!((delta.from, delta.resync, delta.conversations()), (position, false, wanted.clone()));
        assert!(delta.to > position && delta.rows.iter().all(|row| row.user_seq > position), "{delta:?}");
        let seqs: Vec<u64> = delta.rows.iter().map(|row| row.last_seq).collect();
        assert_eq!(seqs, [1, 2, 2, 2]);
        for limit in [1, 2, 3] {
            assert_eq!(of_alice.sync_in_pages(Some(position), limit).rows, delta.rows, "in pages of {limit}");
        }
        assert_eq!(of_alice.sync(delta.to).rows, []);

        stored(&server);
        drop((of_alice, of_bob));
        server.stop();
        restart(&mut server, shards, SOON);
        let mut of_alice = login(&server, &alice);
        let again = of_alice.sync(position);
        assert_eq!((again.from, again.resync, again.rows), (position, false, delta.rows), "after a stop");
        assert_eq!(of_alice.sync(delta.to).rows, [], "a position is one after a stop too");
        assert_eq!(of_alice.sync_in_pages(Some(0), 7).rows.len(), groups.len() + 1);
    });
}

#[test]
fn behind_the_position_that_its_device_has_stored() {
    let mut server = serve("2", SOON);
    let [alice, bob] = enroll(&server, ["alice", "bob"]);
    let other_device = server.add_device("alice");
    let (mut of_alice, mut of_bob) = (login(&server, &alice), login(&server, &bob));
    let groups = make_groups(&mut of_alice, &bob);
    let position = of_alice.sync(0).to;
    let unset = of_alice.sync_in_pages(None, 50);
    assert_eq!((unset.from, unset.to, unset.rows, unset.resync), (position, position, vec![], false), "none is stored");
    of_alice.report(position, &[]).expect("a position");
    of_bob.say(groups[3], "news").expect("a message");
    changed(&mut of_alice, position, 1);
    for _ in 0..2 {
        let (mut of_alice, mut of_other) = (login(&server, &alice), login(&server, &other_device));
        let of_alice = std::cell::RefCell::new(&mut of_alice);
        // What was not stored is announced some time after the start.
        soon("the change behind the stored position", PATIENCE, &true, || {
            let delta = of_alice.borrow_mut().sync_in_pages(None, 50);
            assert_eq!((delta.from, delta.resync), (position, false));
            delta.find(groups[3]).is_some_and(|row| row.last_seq == 2)
        });
        let of_none = of_other.sync_in_pages(None, 50);
        assert_eq!((of_none.from, of_none.rows), (of_none.to, vec![]), "another device has a position of its own");
        restart(&mut server, "1", SOON);
    }
    // What was not stored before the kill is announced again, and changes the list once more.
    stored(&server);
    let mut of_alice = login(&server, &alice);
    let delta = of_alice.sync_in_pages(None, 50);
    of_alice.report(delta.to, &[]).expect("a position");
    let nothing = of_alice.sync_in_pages(None, 50);
    assert_eq!((nothing.from, nothing.rows), (delta.to, vec![]));
}

#[test]
fn whole_from_a_position_of_elsewhere() {
    let server = serve("2", SOON);
    let [alice, bob] = enroll(&server, ["alice", "bob"]);
    let mut of_alice = login(&server, &alice);
    let groups = make_groups(&mut of_alice, &bob);
    let whole = of_alice.sync(0);
    for position in [u64::MAX, u64::MAX - 1, 1 << 63, whole.to + 1_000_000] {
        let list = of_alice.sync(position);
        assert_eq!((list.from, list.resync), (0, true), "from {position}");
        assert_eq!((list.to, list.rows.len()), (whole.to, groups.len()), "from {position}");
        let paged = of_alice.sync_in_pages(Some(position), 4);
        assert_eq!(paged.rows, list.rows, "in pages, from {position}");
    }
    assert!(server.counter("resyncs") > 0, "this is not counted");
}

/// The lists of alice and of bob are in memory only when the kill comes.
#[test]
fn though_the_server_was_killed_before_it_stored_the_list() {
    for_shards([1, 2], |shards| {
        let mut server = serve(shards, NEVER);
        let [alice, bob] = enroll(&server, ["alice", "bob"]);
        let (mut of_alice, mut of_bob) = (login(&server, &alice), login(&server, &bob));
        let groups = make_groups(&mut of_alice, &bob);
        let position = of_alice.sync(0).to;
        let wanted = change_four(&mut of_alice, &mut of_bob, &groups);
        assert_eq!(server.counter("list_rows_stored"), 0, "this test is about what is not stored");
        restart(&mut server, shards, NEVER);
        for (account, what) in [(&alice, "alice"), (&bob, "bob")] {
            let mut peer = login(&server, account);
            let all = changed(&mut peer, 0, groups.len() + 1);
            assert!(all.rows.iter().all(|row| row.last_seq == 1 + u64::from(wanted[1..].contains(&row.conversation))));
            let delta = peer.sync(position);
            let missed = wanted.iter().filter(|id| delta.find(**id).is_none()).count();
            assert_eq!(missed, 0, "{what} misses {missed} of four changes: {delta:?}");
        }
    });
}
