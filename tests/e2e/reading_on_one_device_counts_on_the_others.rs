//! Set-up: alice has two devices, both connected, and a third that is not; bob says something to her in a direct conversation
//! and in a group; she reads on one device. Claim: the other hears it, its list changes, and a sync from its position shows
//! what is read, so that what is unread is the same everywhere; reading less on another device changes nothing; after a kill
//! of the server, and for the device that was away, it is the same.

use trunkline_tests::ear::{Reply, receipt};
use trunkline_tests::peer::{PATIENCE, Peer, soon};
use trunkline_wire::ids::ConversationId;

use crate::people::{enroll, listed, login, restart, serve, users};
use crate::shards::for_shards;

const SETTINGS: &[&str] = &["limits.receipts_every_ms=20", "limits.list_every_ms=20"];

fn unread(peer: &mut Peer, conversation: ConversationId) -> u64 {
    let list = peer.sync(0);
    let row = list.find(conversation).expect("it is in the list");
    row.last_seq - row.read_seq
}

/// Waits until the other device is told that this user has read so far.
fn hears_of_reading(peer: &mut Peer, conversation: ConversationId, seq: u64) {
    peer.hear_push("what was read", |reply| match reply {
        Reply::Receipts(named, told) if *named == conversation => {
            told.iter().any(|one| one.read_seq == seq).then_some(())
        }
        _ => None,
    });
}

#[test]
fn in_every_list() {
    for_shards([1, 2], |shards| {
        let mut server = serve(shards, SETTINGS);
        let [alice, bob] = enroll(&server, ["alice", "bob"]);
        let [tablet, away] = [(); 2].map(|()| server.add_device("alice"));
        let [mut of_alice, mut of_tablet, mut of_bob] = [&alice, &tablet, &bob].map(|account| login(&server, account));
        let (direct, _) = of_bob.open_peer(alice.user);
        let group = of_bob.create_group(1, "both", &users(&[&alice])).expect("a group").conversation;
        for _ in 0..5 {
            for conversation in [direct, group] {
                of_bob.say(conversation, "news").expect("a message");
            }
        }
        for (conversation, last) in [(direct, 5), (group, 6)] {
            listed(&mut of_tablet, conversation, |row| row.last_seq == last);
            assert_eq!(unread(&mut of_tablet, conversation), last);
            let position = of_tablet.sync(0).to;
            of_alice.report(0, &[receipt(conversation, last, last - 2)]).expect("a report");
            hears_of_reading(&mut of_tablet, conversation, last - 2);
            let of_list = std::cell::RefCell::new(&mut of_tablet);
            soon("the change in the list", PATIENCE, &vec![(conversation, last - 2)], || {
                let rows = of_list.borrow_mut().sync(position).rows;
                rows.iter().map(|row| (row.conversation, row.read_seq)).collect()
            });
            assert_eq!(unread(&mut of_tablet, conversation), 2);
            of_tablet.report(0, &[receipt(conversation, 1, 1)]).expect("a report");
            assert_eq!(unread(&mut of_alice, conversation), 2, "reading less made it more");
        }
        of_tablet.report(0, &[receipt(group, 6, 6)]).expect("a report");
        listed(&mut of_alice, group, |row| row.read_seq == 6);
        soon("all is stored", PATIENCE, &true, || server.counter("receipts_stored") >= 3);
        std::thread::sleep(std::time::Duration::from_millis(200));
        restart(&mut server, shards, SETTINGS);
        for device in [&alice, &tablet, &away] {
            let mut peer = login(&server, device);
            assert_eq!([direct, group].map(|conversation| unread(&mut peer, conversation)), [2, 0]);
        }
        let mut of_bob = login(&server, &bob);
        assert_eq!(
            [direct, group].map(|id| of_bob.look(id).expect("a member").read_seq),
            [0, 0],
            "bob has read nothing"
        );
    });
}
