//! Set-up: people of a group type, now and then and without a pause; the folder is read before and after. Claim: the others
//! hear of it with the time after which it ends, oneself does not; however often somebody types, the others hear of it at
//! most twice in that time; whoever is not in the group any more hears nothing; while people only type not a byte of the
//! folder changes, and nothing is left of it in history, lists or unread counts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use trunkline_tests::ear::Reply;
use trunkline_tests::peer::Peer;
use trunkline_tests::server::Server;
use trunkline_wire::ids::{ConversationId, UserId};

use crate::people::{QUIET, enroll, hears, login, serve, users};
use crate::shards::for_shards;

const TYPING_MS: u32 = 600;
const SETTINGS: &[&str] = &["limits.typing_ms=600", "limits.list_every_ms=20"];
const FLOOD: Duration = Duration::from_millis(1_500);

fn typings(group: ConversationId, pushed: Vec<Reply>) -> Vec<(UserId, u32)> {
    let told = pushed.into_iter().map(|reply| match reply {
        Reply::Typing { conversation, user, expires_ms } => {
            assert_eq!(conversation, group);
            (user, expires_ms)
        }
        other => panic!("heard {other:?}"),
    });
    told.collect()
}

/// Every file with its bytes, as soon as they stand still.
fn folder(server: &Server) -> BTreeMap<String, Vec<u8>> {
    fn collect(path: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(path).expect("a folder").flatten() {
            let kind = entry.file_type().expect("a kind");
            if kind.is_dir() {
                collect(&entry.path(), files);
            } else if kind.is_file() {
                files.insert(entry.path().display().to_string(), fs::read(entry.path()).unwrap_or_default());
            }
        }
    }
    let mut before = BTreeMap::new();
    loop {
        let mut files = BTreeMap::new();
        collect(&server.data(), &mut files);
        if files == before {
            return files;
        }
        before = files;
        thread::sleep(Duration::from_millis(300));
    }
}

#[test]
fn to_those_who_are_there() {
    for_shards([1, 2], |shards| {
        let server = serve(shards, SETTINGS);
        let accounts = enroll(&server, ["alice", "bob", "carol"]);
        let [alice, bob, carol] = &accounts;
        let alices_other = server.add_device("alice");
        let [mut of_alice, mut of_bob, mut of_carol] = accounts.each_ref().map(|account| login(&server, account));
        let mut of_other = login(&server, &alices_other);
        let group = of_alice.create_group(1, "typing", &users(&[bob, carol])).expect("a group").conversation;
        of_alice.remove(group, &[carol.user]).expect("carol goes");
        of_alice.say(group, "begin").expect("a message");
        hears(&mut of_bob, group, "begin");
        let mut quiet = |peer: &mut Peer| drop(peer.pushed(QUIET));
        [&mut of_alice, &mut of_bob, &mut of_carol, &mut of_other].into_iter().for_each(&mut quiet);

        let before = folder(&server);
        of_alice.typing(group).expect("a member types");
        assert_eq!(typings(group, of_bob.pushed(QUIET)), [(alice.user, TYPING_MS)]);
        thread::sleep(Duration::from_millis(TYPING_MS.into()));
        let start = Instant::now();
        while start.elapsed() < FLOOD {
            of_alice.typing(group).expect("a member types");
        }
        let told = typings(group, of_bob.pushed(QUIET));
        let most = 2 * FLOOD.as_millis() as usize / TYPING_MS as usize + 1;
        assert!(told.iter().all(|one| *one == (alice.user, TYPING_MS)), "{told:?}");
        assert!((2..=most).contains(&told.len()), "told {} times, {most} are the most", told.len());
        for (peer, who) in [(&mut of_alice, "alice"), (&mut of_other, "alice's other device"), (&mut of_carol, "carol")]
        {
            assert_eq!(typings(group, peer.pushed(QUIET)), [], "{who}");
        }
        assert!(before == folder(&server), "the folder changes when people type");
        assert_eq!(of_bob.history(group).len(), 3);
        assert_eq!(of_bob.sync(0).find(group).expect("a row").last_seq, 3);
    });
}
