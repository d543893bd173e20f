//! Set-up: bob speaks in ten groups and makes more of them while alice is connected twice; her position is what she is told.
//! Claim: each Advanced that names conversations begins at or below her position, and names them at seqs that were delivered
//! before it; adopting every one of them brings her to where a sync finds nothing more; both of her sessions come to the same
//! position; with more changes than it can name it names none, and a sync finds all.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use trunkline_tests::ear::Reply;
use trunkline_tests::peer::{PATIENCE, Peer};
use trunkline_wire::ids::ConversationId;

use crate::people::{enroll, login, serve, users};
use crate::shards::for_shards;

const GROUPS: u64 = 10;
const SETTINGS: &[&str] = &["limits.list_every_ms=30", "limits.send_burst=1000", "limits.read_burst=100000"];

/// What alice knows by what she was told.
#[derive(Default)]
struct Follower {
    position: u64,
    known: HashMap<ConversationId, u64>,
    adopted: u32,
    synced: u32,
}

impl Follower {
    fn from_whole_list(peer: &mut Peer) -> Follower {
        let list = peer.sync(0);
        let known = list.rows.iter().map(|row| (row.conversation, row.last_seq)).collect();
        Follower { position: list.to, known, adopted: 0, synced: 0 }
    }

    fn note(&mut self, peer: &mut Peer, reply: &Reply) {
        match reply {
            Reply::Message(conversation, row) => {
                let last = self.known.entry(*conversation).or_default();
                assert_eq!(row.seq, *last + 1, "a gap in {conversation}");
                *last = row.seq;
            }
            Reply::Advanced(advanced) => {
                let is_known = |(id, seq): &(ConversationId, u64)| self.known.get(id).is_some_and(|known| known >= seq);
                assert!(
                    advanced.places.iter().all(is_known),
                    "{advanced:?} speaks of what did not come: {:?}",
                    self.known
                );
                if advanced.from == advanced.to && advanced.to > self.position {
                    self.synced += 1;
                    let list = peer.sync(self.position);
                    list.rows.iter().for_each(|row| assert_eq!(self.known.get(&row.conversation), Some(&row.last_seq)));
                    self.position = self.position.max(list.to);
                } else {
                    assert!(advanced.from <= self.position, "{advanced:?} begins above {}", self.position);
                    self.adopted += 1;
                    self.position = self.position.max(advanced.to);
                }
            }
            Reply::Receipts(..) => {}
            other => panic!("alice heard {other:?}"),
        }
    }

    /// Until all of it is known and told.
    fn follow(&mut self, peer: &mut Peer, wanted: &HashMap<ConversationId, u64>) {
        let deadline = Instant::now() + PATIENCE;
        while self.known != *wanted || !peer.sync(self.position).rows.is_empty() {
            assert!(Instant::now() < deadline, "at {}: {:?}, not {wanted:?}", self.position, self.known);
            for reply in peer.pushed(Duration::from_millis(20)) {
                self.note(peer, &reply);
            }
        }
    }
}

#[test]
fn while_people_talk() {
    for_shards([1, 2], |shards| {
        let server = serve(shards, SETTINGS);
        let [alice, bob] = enroll(&server, ["alice", "bob"]);
        let other_device = server.add_device("alice");
        let (mut of_alice, mut of_other, mut of_bob) =
            (login(&server, &alice), login(&server, &other_device), login(&server, &bob));
        let mut followers = [Follower::from_whole_list(&mut of_alice), Follower::from_whole_list(&mut of_other)];
        let mut wanted = HashMap::new();
        for nonce in 1..=GROUPS {
            let group = of_bob.create_group(nonce, "a group", &users(&[&alice])).expect("a group").conversation;
            wanted.insert(group, 1);
        }
        for _ in 0..4 {
            for (group, last) in &mut wanted {
                *last = of_bob.say(*group, "and so on").expect("a message");
            }
        }
        for (follower, peer) in followers.iter_mut().zip([&mut of_alice, &mut of_other]) {
            follower.follow(peer, &wanted);
            assert!(follower.adopted > 0, "it was never told of its position");
        }
        assert_eq!(followers[0].position, followers[1].position);
    });
}

#[test]
fn though_more_changes_than_it_names() {
    const MANY: u64 = 230;
    // Slow enough that on a quiet machine all of them are told at once.
    let settings = ["limits.list_every_ms=3000", "limits.read_burst=100000", "limits.send_burst=100000"];
    let server = serve("2", &settings);
    let [alice, bob] = enroll(&server, ["alice", "bob"]);
    let (mut of_alice, mut of_bob) = (login(&server, &alice), login(&server, &bob));
    let mut follower = Follower::from_whole_list(&mut of_alice);
    let mut wanted = HashMap::new();
    for nonce in 1..=MANY {
        let made = of_bob.create_group(nonce, "one of many", &users(&[&alice])).expect("a group");
        wanted.insert(made.conversation, 1);
    }
    follower.follow(&mut of_alice, &wanted);
    for _ in 0..5 {
        if follower.synced > 0 {
            return;
        }
        wanted.iter_mut().for_each(|(group, last)| *last = of_bob.say(*group, "news").expect("a message"));
        follower.follow(&mut of_alice, &wanted);
    }
    panic!("{MANY} changes at a time were named each time: adopted {} times", follower.adopted);
}
