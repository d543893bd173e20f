//! Set-up: a group of two, and somebody who never was in it and knows its id; all ops about a conversation, for this id and
//! for ids that nobody has. Claim: every one is answered `not_found`, to the byte as for a conversation that does not exist,
//! and counted; a Report of it is taken and comes to nothing; nobody in the group hears of any of it; after a restart it is
//! the same.

use trunkline_tests::ear::{Reply, receipt};
use trunkline_tests::peer::{Peer, encode_send};
use trunkline_tests::rig;
use trunkline_tests::server::Server;
use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::message::{Change, Encoded, Encoder, ErrorCode};

use crate::people::{QUIET, enroll, login, restart, serve, users};
use crate::shards::for_shards;

type Ask<'a> = Box<dyn Fn(&mut Encoder, u32) -> Encoded<'_> + 'a>;

/// Every request about a conversation that a client can make.
fn asks<'a>(id: ConversationId, own: UserId, other: UserId) -> Vec<(&'static str, Ask<'a>)> {
    let change = move |change, user| -> Ask<'a> {
        Box::new(move |encoder: &mut Encoder, request| encoder.change_members(request, id, change, &[user]))
    };
    vec![
        ("Open", Box::new(move |encoder, request| encoder.open(request, id))),
        ("History upwards", Box::new(move |encoder, request| encoder.history(request, id, 1, false, 50))),
        ("History downwards", Box::new(move |encoder, request| encoder.history(request, id, 0, true, 50))),
        ("Send", Box::new(move |encoder, request| encode_send(encoder, request, id, 1, 77, b"let me in"))),
        ("Members", Box::new(move |encoder, request| encoder.members(request, id, UserId(0), 10))),
        ("adding oneself", change(Change::Added, own)),
        ("adding another", change(Change::Added, other)),
        ("removing another", change(Change::Removed, other)),
        ("leaving", change(Change::Removed, own)),
        ("Typing", Box::new(move |encoder, request| encoder.typing(request, id))),
    ]
}

fn is_refused(server: &Server, stranger: &mut Peer, id: ConversationId, own: UserId, other: UserId) {
    for (what, ask) in asks(id, own, other) {
        let reply = rig::counted(server, "error.not_found", || stranger.ask(&ask));
        let wanted = Reply::Error { code: ErrorCode::NotFound, retry_after_ms: 0 };
        assert_eq!(reply, wanted, "{what} of {id}");
    }
    stranger.report(0, &[receipt(id, 1, 1)]).expect("a Report tells nothing of what is there");
}

#[test]
fn of_a_group_or_of_none() {
    for_shards([1, 2], |shards| {
        let mut server = serve(shards, &[]);
        let [alice, bob, mallory] = enroll(&server, ["alice", "bob", "mallory"]);
        let mut of_alice = login(&server, &alice);
        let group = of_alice.create_group(1, "private", &users(&[&bob])).expect("a group").conversation;
        of_alice.say(group, "a secret").expect("a message");
        for _ in 0..2 {
            let [mut of_alice, mut of_bob, mut of_mallory] =
                [&alice, &bob, &mallory].map(|account| login(&server, account));
            for id in [group, ConversationId([0xee; 16])] {
                is_refused(&server, &mut of_mallory, id, mallory.user, bob.user);
            }
            let heard = [of_alice.pushed(QUIET), of_bob.pushed(QUIET), of_mallory.pushed(QUIET)];
            assert_eq!(heard, [const { Vec::new() }; 3], "somebody heard of it");
            assert_eq!(of_mallory.sync(0).rows, [], "mallory's list");
            let seqs: Vec<u64> = of_alice.history(group).iter().map(|row| row.seq).collect();
            assert_eq!(seqs, [1, 2], "the history of the group");
            let members = of_alice.members(group).expect("alice is a member");
            assert!(members.iter().all(|member| member.user != mallory.user), "{members:?}");
            restart(&mut server, shards, &[]);
        }
    });
}

/// The id of a group is made of its creator: whoever knows somebody else's nonce makes another group.
#[test]
fn with_the_nonce_of_another() {
    let server = serve("2", &[]);
    let [alice, mallory] = enroll(&server, ["alice", "mallory"]);
    let group = login(&server, &alice).create_group(5, "mine", &[]).expect("a group").conversation;
    let mut of_mallory = login(&server, &mallory);
    let other = of_mallory.create_group(5, "also mine", &users(&[&alice])).expect("a group");
    assert_ne!(other.conversation, group);
    assert_eq!(of_mallory.look(group), Err(ErrorCode::NotFound));
}
