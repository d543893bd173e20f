//! Set-up: `limits.group_members_max` at 4; groups made and filled with as many people as there may be, more, nobody, people
//! who do not exist, the same person twice, and titles of all kinds. Claim: beyond the limit it is `group_full`, users who do
//! not exist are `unknown_peer`, titles and lists that are none are `malformed`, each counted, and none of it leaves anything
//! behind; whoever left makes room; a Create with the same nonce is the same group, also after a restart.

use trunkline_tests::ear::Opened;
use trunkline_tests::peer::Peer;
use trunkline_wire::ids::{ConversationId, TenantId, UserId};
use trunkline_wire::message::ErrorCode;

use crate::people::{enroll, listed, login, refused, restart, serve, users};
use crate::shards::for_shards;

const SETTINGS: &[&str] = &["limits.group_members_max=4"];
const NAMES: [&str; 6] = ["alice", "bob", "carol", "dave", "erin", "frank"];
const NOBODY: UserId = UserId(0xdead_beef);

fn seqs(peer: &mut Peer, group: ConversationId) -> Vec<u64> {
    peer.history(group).iter().map(|row| row.seq).collect()
}

#[test]
fn by_members() {
    for_shards([1, 2], |shards| {
        let mut server = serve(shards, SETTINGS);
        let accounts = enroll(&server, NAMES);
        let [alice, bob, carol, dave, erin, frank] = &accounts;
        let mut of_alice = login(&server, alice);
        let crowd = users(&[bob, carol, dave, erin]);
        refused(&server, ErrorCode::GroupFull, || of_alice.create_group(1, "five", &crowd));
        let unmade = ConversationId::group(TenantId(0), alice.user, 1);
        assert_eq!(of_alice.look(unmade), Err(ErrorCode::NotFound), "a refused group is there");
        let group = of_alice.create_group(2, "four", &crowd[..3]).expect("four may be").conversation;
        refused(&server, ErrorCode::GroupFull, || of_alice.add(group, &[erin.user]));
        assert_eq!(of_alice.add(group, &crowd[..3]), Ok(0), "whoever is in it already needs no room");
        assert_eq!(of_alice.remove(group, &[bob.user]), Ok(2));
        refused(&server, ErrorCode::GroupFull, || of_alice.add(group, &users(&[erin, frank])));
        assert_eq!(of_alice.look(group).expect("a member").members, 3, "nobody of two who do not fit together");
        assert_eq!(of_alice.add(group, &[erin.user]), Ok(3));
        restart(&mut server, shards, SETTINGS);
        let mut of_alice = login(&server, alice);
        refused(&server, ErrorCode::GroupFull, || of_alice.add(group, &[frank.user]));
        assert_eq!(seqs(&mut of_alice, group), [1, 2, 3]);
    });
}

#[test]
fn by_who_exists() {
    let server = serve("2", SETTINGS);
    let [alice, bob, carol, ..] = enroll(&server, NAMES);
    let mut of_alice = login(&server, &alice);
    refused(&server, ErrorCode::UnknownPeer, || of_alice.create_group(1, "with nobody", &[bob.user, NOBODY]));
    let unmade = ConversationId::group(TenantId(0), alice.user, 1);
    assert_eq!(of_alice.look(unmade), Err(ErrorCode::NotFound));
    assert_eq!(login(&server, &bob).sync(0).rows, [], "bob's list");
    let group = of_alice.create_group(1, "with bob", &[bob.user]).expect("now all of them exist").conversation;
    refused(&server, ErrorCode::UnknownPeer, || of_alice.add(group, &[carol.user, NOBODY]));
    assert_eq!(of_alice.remove(group, &[NOBODY, carol.user]), Ok(0), "none of them is a member");
    assert_eq!(seqs(&mut of_alice, group), [1]);
    // Oneself is a member without being named, and anybody is one once.
    let named = [alice.user, bob.user, bob.user, carol.user, alice.user];
    let again = of_alice.create_group(2, "named twice", &named).expect("three people");
    assert_eq!(again.members, 3);
    let alone = of_alice.create_group(3, "alone", &[]).expect("one person");
    assert_eq!(alone.members, 1);
    assert_eq!(of_alice.say(alone.conversation, "anybody?"), Ok(2));
}

#[test]
fn by_title() {
    let server = serve("2", SETTINGS);
    let [alice, ..] = enroll(&server, NAMES);
    let mut of_alice = login(&server, &alice);
    let long = "t".repeat(129);
    let wide = "\u{1f600}".repeat(33);
    for title in ["", long.as_str(), wide.as_str(), "two\nlines", "a\u{0}b", "\u{7f}", "\u{85}", "bell\u{7}"] {
        refused(&server, ErrorCode::Malformed, || of_alice.create_group(1, title, &[]));
    }
    refused(&server, ErrorCode::Malformed, || of_alice.create_group(0, "no nonce", &[]));
    let unmade = ConversationId::group(TenantId(0), alice.user, 1);
    assert_eq!(of_alice.look(unmade), Err(ErrorCode::NotFound));
    for (nonce, title) in [(2, "t".repeat(128)), (3, "\u{1f600}".repeat(32)), (4, " ".to_owned()), (5, "x".to_owned())]
    {
        let made = of_alice.create_group(nonce, &title, &[]).expect("a title");
        assert_eq!(made.title, title);
        let row = listed(&mut of_alice, made.conversation, |_| true);
        assert_eq!(row.title, title);
    }
}

/// A client that did not get the answer asks again.
#[test]
fn by_nonce() {
    for_shards([1, 2], |shards| {
        let mut server = serve(shards, SETTINGS);
        let [alice, bob, carol, ..] = enroll(&server, NAMES);
        let mut of_alice = login(&server, &alice);
        let made = of_alice.create_group(9, "once", &[bob.user]).expect("a group");
        let check = |again: Opened, members: u32, last_seq: u64| {
            assert_eq!((again.conversation, again.title.as_str()), (made.conversation, "once"));
            assert_eq!((again.members, again.last_seq, again.joined_seq), (members, last_seq, 1));
        };
        check(of_alice.create_group(9, "once", &[bob.user]).expect("the same"), 2, 1);
        check(of_alice.create_group(9, "twice", &[carol.user]).expect("the same"), 2, 1);
        assert_eq!(of_alice.add(made.conversation, &[carol.user]), Ok(2));
        restart(&mut server, shards, SETTINGS);
        let mut of_alice = login(&server, &alice);
        check(of_alice.create_group(9, "once", &[bob.user]).expect("the same"), 3, 2);
        assert_eq!(seqs(&mut of_alice, made.conversation), [1, 2]);
        // What was not stored is announced again some time after the start.
        listed(&mut of_alice, made.conversation, |row| row.last_seq == 2);
        let rows = of_alice.sync(0).rows;
        assert_eq!(rows.len(), 1, "one group in the list: {rows:?}");
        // Twice at the same time, as a client does that is cut in between.
        let requests =
            [10, 11].map(|_| of_alice.frame_of(|encoder, request| encoder.create_group(request, 77, "at once", &[])));
        let bytes: Vec<u8> = requests.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        of_alice.write(&bytes);
        let answers = requests.map(|(request, _)| of_alice.answer_to(request));
        assert_eq!(answers[0], answers[1]);
        let twice = ConversationId::group(TenantId(0), alice.user, 77);
        assert_eq!(seqs(&mut of_alice, twice), [1]);
    });
}
