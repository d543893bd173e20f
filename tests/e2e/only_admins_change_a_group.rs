//! Set-up: a group of four; its members, one who was one, and its admin change who is in it, before and after a kill of the
//! server, with one shard and with two. Claim: only admins add and remove, everyone may leave; whatever else is refused as
//! `forbidden`, is counted and changes nothing; what changes nothing is done and has no seq; when the last admin leaves, who
//! is a member for longest is admin; after a restart all is as it was.

use trunkline_tests::peer::Peer;
use trunkline_tests::server::{Account, Server};
use trunkline_wire::ids::ConversationId;
use trunkline_wire::message::ErrorCode;

use crate::people::{ADMIN, MEMBER, enroll, login, login_all, refused, restart, roles, serve, users};
use crate::shards::for_shards;

const NAMES: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

#[test]
fn before_and_after_a_restart() {
    for_shards([1, 2], |shards| {
        let mut server = serve(shards, &[]);
        let accounts = enroll(&server, NAMES);
        let group = members_may_only_leave(&server, &accounts);
        restart(&mut server, shards, &[]);
        the_eldest_is_admin_when_the_last_has_left(&server, &accounts, group);
        restart(&mut server, shards, &[]);
        let mut dave = login(&server, &accounts[3]);
        assert_eq!(roles(&mut dave, group, &accounts), [("dave", ADMIN), ("erin", MEMBER)]);
        assert_eq!(dave.look(group).expect("a member opens it").last_seq, 8);
    });
}

fn members_may_only_leave(server: &Server, accounts: &[Account; 5]) -> ConversationId {
    let [alice, bob, carol, dave, erin] = accounts;
    let [mut of_alice, mut of_bob, mut of_carol, ..] = login_all(server, accounts);
    let made = of_alice.create_group(7, "the four", &users(&[bob, carol])).expect("anybody makes groups");
    let group = made.conversation;
    assert_eq!((made.last_seq, made.joined_seq, made.left_seq, made.role), (1, 1, 0, ADMIN));
    assert_eq!((made.kind, made.members, made.title.as_str()), (2, 3, "the four"));
    let all = [("alice", ADMIN), ("bob", MEMBER), ("carol", MEMBER)];
    assert_eq!(roles(&mut of_bob, group, accounts), all);

    refused(server, ErrorCode::Forbidden, || of_bob.add(group, &[dave.user]));
    refused(server, ErrorCode::Forbidden, || of_bob.remove(group, &[carol.user]));
    refused(server, ErrorCode::Forbidden, || of_bob.remove(group, &users(&[bob, carol])));
    refused(server, ErrorCode::Forbidden, || of_bob.remove(group, &[alice.user]));
    assert_eq!(roles(&mut of_bob, group, accounts), all, "what was refused changed something");
    assert_eq!(of_bob.look(group).expect("a member opens it").last_seq, 1);

    assert_eq!(of_alice.add(group, &[dave.user]), Ok(2));
    assert_eq!(of_alice.add(group, &users(&[bob, carol, dave])), Ok(0), "all of them are members");
    assert_eq!(of_alice.add(group, &users(&[dave, erin])), Ok(3), "one of them is new");
    assert_eq!(of_alice.remove(group, &[carol.user]), Ok(4));
    assert_eq!(of_alice.remove(group, &[carol.user]), Ok(0), "she is gone already");
    assert_eq!(of_bob.remove(group, &[bob.user]), Ok(5), "everyone may leave");
    assert_eq!(of_bob.remove(group, &[bob.user]), Ok(0), "leaving twice is leaving once");
    for gone in [&mut of_bob, &mut of_carol] {
        refused(server, ErrorCode::Forbidden, || gone.add(group, &[bob.user]));
        refused(server, ErrorCode::Forbidden, || gone.remove(group, &[dave.user]));
    }
    assert_eq!(roles(&mut of_alice, group, accounts), [("alice", ADMIN), ("dave", MEMBER), ("erin", MEMBER)]);
    group
}

fn the_eldest_is_admin_when_the_last_has_left(server: &Server, accounts: &[Account; 5], group: ConversationId) {
    let [mut of_alice, _, _, mut of_dave, mut of_erin] = login_all(server, accounts);
    let [alice, bob, _, dave, _] = accounts;
    assert_eq!(roles(&mut of_dave, group, accounts), [("alice", ADMIN), ("dave", MEMBER), ("erin", MEMBER)]);
    refused(server, ErrorCode::Forbidden, || of_dave.add(group, &[bob.user]));
    assert_eq!(of_alice.remove(group, &[alice.user]), Ok(6));
    assert_eq!(
        roles(&mut of_erin, group, accounts),
        [("dave", ADMIN), ("erin", MEMBER)],
        "dave is a member for longer"
    );
    refused(server, ErrorCode::Forbidden, || of_alice.add(group, &[alice.user]));
    refused(server, ErrorCode::Forbidden, || of_erin.remove(group, &[dave.user]));
    assert_eq!(of_dave.remove(group, &[alice.user]), Ok(0));
    assert_eq!(of_dave.add(group, &[alice.user]), Ok(7));
    let back = of_alice.look(group).expect("a member again");
    assert_eq!((back.role, back.joined_seq, back.left_seq), (MEMBER, 7, 0), "an admin that was comes back as a member");
    assert_eq!(of_alice.remove(group, &[alice.user]), Ok(8));
    assert_eq!(of_erin.look(group).expect("a member").members, 2);
}

/// The 1:1 of two people is theirs for good.
#[test]
fn a_direct_conversation_has_no_others() {
    let server = serve("2", &[]);
    let accounts = enroll(&server, NAMES);
    let [mut of_alice, mut of_bob, ..]: [Peer; 5] = login_all(&server, &accounts);
    let (direct, _) = of_alice.open_peer(accounts[1].user);
    of_alice.say(direct, "between us").expect("a message");
    for (peer, user) in [(&mut of_alice, accounts[2].user), (&mut of_bob, accounts[1].user)] {
        refused(&server, ErrorCode::Forbidden, || peer.add(direct, &[user]));
        refused(&server, ErrorCode::Forbidden, || peer.remove(direct, &[user]));
    }
    let members = of_bob.members(direct).expect("both see who they are");
    let mut pair: Vec<_> = members.iter().map(|member| (member.user, member.role)).collect();
    let mut wanted = [(accounts[0].user, MEMBER), (accounts[1].user, MEMBER)].to_vec();
    pair.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(pair, wanted);
    assert_eq!(of_bob.history(direct).len(), 1);
}
