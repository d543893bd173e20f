//! Set-up: people of a group, some with two devices, report what they have and what they have read: more, less, out of order,
//! beyond the end, and for times when they were no members. Claim: every member hears how far the others are, per user the
//! highest of its devices; nothing ever goes down, read is never above delivered, and neither is above what its user may see;
//! reports of others change nothing and are heard by nobody; what was told is the same after a kill of the server.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use trunkline_tests::ear::{Reply, receipt};
use trunkline_tests::peer::{PATIENCE, Peer, soon};
use trunkline_tests::server::Server;
use trunkline_wire::ids::{ConversationId, UserId};

use crate::people::{QUIET, enroll, login, restart, serve, users};
use crate::shards::for_shards;

const EVERY: Duration = Duration::from_millis(30);
const SETTINGS: &[&str] = &["limits.receipts_every_ms=30"];

/// How far everybody is, as one peer was told.
#[derive(Default)]
struct Ticks(HashMap<UserId, (u64, u64)>);

impl Ticks {
    fn note(&mut self, group: ConversationId, pushed: Vec<Reply>) {
        for reply in pushed {
            let Reply::Receipts(named, told) = reply else { continue };
            assert_eq!(named, group);
            for one in told {
                let (delivered, read) = self.0.entry(one.user).or_default();
                let went_down = one.delivered_seq < *delivered || one.read_seq < *read;
                assert!(!went_down, "{one:?} is below ({delivered}, {read})");
                assert!(one.read_seq <= one.delivered_seq, "{one:?} has read what it does not have");
                (*delivered, *read) = (one.delivered_seq, one.read_seq);
            }
        }
    }

    fn of(&self, user: UserId) -> (u64, u64) {
        self.0.get(&user).copied().unwrap_or_default()
    }
}

/// How far a user is, as the members' page has it.
fn shown(peer: &mut Peer, group: ConversationId, user: UserId) -> (u64, u64) {
    let members = peer.members(group).expect("a member sees the members");
    let member = members.iter().find(|member| member.user == user).expect("it is a member");
    (member.delivered_seq, member.read_seq)
}

fn has_stored(server: &Server) {
    let mut before = u64::MAX;
    while before != server.counter("receipts_stored") {
        before = server.counter("receipts_stored");
        thread::sleep(EVERY * 8);
    }
}

/// Of the first report after a restart the highest is told once more; never what is lower.
fn only_the_highest_is_told_again(peer: &mut Peer, highest: (u64, u64)) {
    for push in peer.pushed(QUIET) {
        let Reply::Receipts(_, told) = &push else { panic!("not of ticks: {push:?}") };
        let is_highest = told.iter().all(|one| (one.delivered_seq, one.read_seq) == highest);
        assert!(is_highest, "a late copy of an old report is told: {push:?}");
    }
}

#[test]
fn in_a_group() {
    for_shards([1, 2], |shards| {
        let mut server = serve(shards, SETTINGS);
        let accounts = enroll(&server, ["alice", "bob", "carol", "dave", "mallory"]);
        let [alice, bob, carol, dave, mallory] = &accounts;
        let bobs_other = server.add_device("bob");
        let [mut of_alice, mut of_bob, mut of_carol, mut of_dave, mut of_mallory] =
            accounts.each_ref().map(|account| login(&server, account));
        let mut of_bobs_other = login(&server, &bobs_other);
        let group = of_alice.create_group(1, "ticks", &users(&[bob, carol])).expect("a group").conversation;
        (2..=6).for_each(|seq| assert_eq!(of_alice.say(group, "tick"), Ok(seq)));

        let (mut told, mut told_carol) = (Ticks::default(), Ticks::default());
        let mut hear = |peer: &mut Peer, user: UserId, wanted: (u64, u64)| {
            let start = std::time::Instant::now();
            while told.of(user) != wanted {
                told.note(group, peer.pushed(EVERY));
                assert!(start.elapsed() < PATIENCE, "{:?}, not {wanted:?}", told.of(user));
            }
            assert_eq!(shown(peer, group, user), wanted);
        };
        of_bob.report(0, &[receipt(group, 3, 2)]).expect("a report");
        hear(&mut of_alice, bob.user, (3, 2));
        of_bob.report(0, &[receipt(group, 2, 1)]).expect("a report");
        of_bobs_other.report(0, &[receipt(group, 2, 0)]).expect("a report");
        of_bobs_other.report(0, &[receipt(group, 4, 1)]).expect("a report");
        hear(&mut of_alice, bob.user, (4, 2));
        of_bob.report(0, &[receipt(group, 0, 5)]).expect("a report");
        hear(&mut of_alice, bob.user, (5, 5));
        of_carol.report(0, &[receipt(group, u64::MAX, u64::MAX), receipt(group, 1, 1)]).expect("a report");
        hear(&mut of_alice, carol.user, (6, 6));
        // Nobody hears of those who are no members.
        of_mallory.report(0, &[receipt(group, 6, 6)]).expect("a report");
        of_dave.report(0, &[receipt(group, 6, 6)]).expect("a report");
        told.note(group, of_alice.pushed(QUIET));
        assert_eq!((told.of(mallory.user), told.of(dave.user)), ((0, 0), (0, 0)));

        assert_eq!(of_alice.add(group, &[dave.user]), Ok(7));
        of_dave.report(0, &[receipt(group, 5, 5)]).expect("a report of what dave may not see");
        assert_eq!(of_alice.remove(group, &[carol.user]), Ok(8));
        assert_eq!(of_alice.say(group, "without carol"), Ok(9));
        of_carol.report(0, &[receipt(group, 9, 9)]).expect("a report of what carol may not see");
        of_dave.report(0, &[receipt(group, 9, 8)]).expect("a report");
        let mut of_all = |peer: &mut Peer| {
            soon("dave's ticks", PATIENCE, &(9, 8), || {
                let mut again = login(&server, alice);
                shown(&mut again, group, dave.user)
            });
            told.note(group, peer.pushed(QUIET));
            told_carol.note(group, of_carol.pushed(QUIET));
        };
        of_all(&mut of_alice);
        assert_eq!(told.of(dave.user), (9, 8));
        assert!(told.of(carol.user).0 <= 8, "carol has what came behind her removal: {:?}", told.of(carol.user));
        assert_eq!(told_carol.of(bob.user), (5, 5), "members hear of each other");
        assert_eq!(told_carol.of(dave.user), (0, 0), "carol hears of who came when she was gone");

        has_stored(&server);
        restart(&mut server, shards, SETTINGS);
        let (mut of_alice, mut of_bob) = (login(&server, alice), login(&server, bob));
        assert_eq!((shown(&mut of_alice, group, bob.user), shown(&mut of_alice, group, dave.user)), ((5, 5), (9, 8)));
        let opened = of_bob.look(group).expect("a member");
        assert_eq!((opened.delivered_seq, opened.read_seq), (5, 5));
        let of_other = login(&server, &bobs_other).look(group).expect("a member");
        assert_eq!(
            (of_other.delivered_seq, of_other.read_seq),
            (4, 5),
            "delivered is this device's, read is the user's"
        );
        of_bob.report(0, &[receipt(group, 1, 1)]).expect("a report");
        only_the_highest_is_told_again(&mut of_alice, (5, 5));
        assert_eq!(shown(&mut of_alice, group, bob.user), (5, 5));
    });
}

#[test]
fn between_two() {
    let server = serve("2", SETTINGS);
    let [alice, bob] = enroll(&server, ["alice", "bob"]);
    let (mut of_alice, mut of_bob) = (login(&server, &alice), login(&server, &bob));
    let (direct, _) = of_alice.open_peer(bob.user);
    for seq in 1..=3 {
        of_alice.say(direct, "tick").expect("a message");
        of_bob.report(0, &[receipt(direct, seq, seq - 1)]).expect("a report");
        let wanted = vec![(bob.user, seq, seq - 1)];
        let told = of_alice.hear_push("a tick", |reply| match reply {
            Reply::Receipts(named, told) if *named == direct => {
                Some(told.iter().map(|one| (one.user, one.delivered_seq, one.read_seq)).collect::<Vec<_>>())
            }
            _ => None,
        });
        assert_eq!(told, wanted);
    }
}
