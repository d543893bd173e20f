//! Set-up: carol is added to a group at seq 5 and removed at seq 9, and talk goes on before, between and behind; she listens
//! all the time, and asks afterwards, before and after a kill of the server, with one shard and with two. Claim: by history,
//! by Open, by her list, live, and by the commands she sees seqs 5 to 9 and nothing else; a new message of hers is refused,
//! one that was accepted keeps its ack; added again she sees what comes from then on, and nothing of what she missed.

use trunkline_tests::ear::Row;
use trunkline_tests::peer::Peer;
use trunkline_tests::server::{Account, Server};
use trunkline_wire::ids::ConversationId;
use trunkline_wire::message::ErrorCode;

use crate::output::lines;
use crate::people::{QUIET, enroll, hears, listed, login, refused, restart, serve, users};
use crate::shards::for_shards;

const JOINED: u64 = 5;
const LEFT: u64 = 9;
/// What carol said in her window.
const HERS: (u64, u64, &[u8]) = (1, 0xca401, b"carol was here");

struct Scene {
    server: Server,
    alice: Account,
    carol: Account,
    group: ConversationId,
}

fn seqs(rows: &[Row]) -> Vec<u64> {
    rows.iter().map(|row| row.seq).collect()
}

/// Twelve rows: created, 3 said, carol added, 3 said, carol removed, 3 said.
fn play(shards: &str) -> Scene {
    let server = serve(shards, &[]);
    let [alice, bob, carol] = enroll(&server, ["alice", "bob", "carol"]);
    let mut of_carol = login(&server, &carol);
    let (mut of_alice, mut of_bob) = (login(&server, &alice), login(&server, &bob));
    let group = of_alice.create_group(3, "a window", &users(&[&bob])).expect("a group").conversation;
    let say = |peer: &mut Peer, seq: u64| assert_eq!(peer.say(group, &format!("number {seq}")), Ok(seq));
    (2..JOINED).for_each(|seq| say(&mut of_alice, seq));
    assert_eq!(of_carol.look(group), Err(ErrorCode::NotFound), "she is not in it yet");
    assert_eq!(of_alice.add(group, &[carol.user]), Ok(JOINED));
    say(&mut of_alice, 6);
    say(&mut of_bob, 7);
    let ack = of_carol.send(group, HERS.0, HERS.1, HERS.2);
    assert_eq!((ack.refusal, ack.accepted[0].1), (None, 8));
    assert_eq!(of_alice.remove(group, &[carol.user]), Ok(LEFT));
    (10..=12).for_each(|seq| say(&mut of_alice, seq));
    hears(&mut of_bob, group, "number 12");
    // Her own she has the ack of.
    let live = of_carol.pushed_rows(group, QUIET);
    assert_eq!(seqs(&live), [5, 6, 7, 9], "what she heard live");
    Scene { server, alice, carol, group }
}

fn sees_only_the_window(scene: &Scene) {
    let Scene { server, carol, group, .. } = scene;
    let (mut of_carol, group) = (login(server, carol), *group);
    let all = of_carol.history(group);
    assert_eq!(seqs(&all), (JOINED..=LEFT).collect::<Vec<_>>());
    for from_seq in [0, 1, 4, 5] {
        let page = of_carol.page(group, from_seq, false).expect("her history");
        assert_eq!((page.seqs(), page.more, page.last_seq), (vec![5, 6, 7, 8, 9], false, LEFT), "from {from_seq}");
    }
    for from_seq in [0, 9, 10, 12, 1_000, u64::MAX] {
        let page = of_carol.page(group, from_seq, true).expect("her history");
        assert_eq!((page.seqs(), page.more), (vec![5, 6, 7, 8, 9], false), "down from {from_seq}");
    }
    for (from_seq, backward) in [(10, false), (12, false), (u64::MAX, false), (4, true), (1, true)] {
        let page = of_carol.page(group, from_seq, backward).expect("her history");
        assert_eq!((page.seqs(), page.more, page.last_seq), (vec![], false, LEFT), "from {from_seq}, {backward}");
    }
    let opened = of_carol.look(group).expect("she may know what was");
    assert_eq!((opened.joined_seq, opened.left_seq, opened.last_seq, opened.role), (JOINED, LEFT, LEFT, 0));
    let row = listed(&mut of_carol, group, |row| row.left_seq == LEFT);
    assert_eq!((row.last_seq, row.joined_seq, row.title.as_str()), (LEFT, JOINED, "a window"));

    let again = of_carol.send(group, HERS.0, HERS.1, HERS.2);
    assert_eq!((again.refusal, again.accepted.len(), again.accepted[0].1), (None, 1, 8), "what was accepted stays so");
    refused(server, ErrorCode::Forbidden, || of_carol.say(group, "may I?"));
    refused(server, ErrorCode::Forbidden, || of_carol.typing(group));
    refused(server, ErrorCode::Forbidden, || of_carol.members(group));
    refused(server, ErrorCode::Forbidden, || of_carol.add(group, &[carol.user]));
    assert_eq!(of_carol.remove(group, &[carol.user]), Ok(0), "leaving once more is nothing");
    assert_eq!(of_carol.pushed_rows(group, QUIET), []);
}

fn commands_show_only_the_window(scene: &Scene) {
    let Scene { server, group, .. } = scene;
    let group = group.to_text();
    let wanted: Vec<u64> = (JOINED..=LEFT).collect();
    let history = server.run(["history", "--as", "carol", &group]).succeeded();
    let told = |stdout: &str| lines(stdout).iter().map(|line| line["seq"].as_u64().expect("a seq")).collect::<Vec<_>>();
    assert_eq!(told(&history.stdout), wanted, "history");
    let listen = server.run(["listen", "--as", "carol", "--from", "start", "--timeout", "700ms"]).succeeded();
    assert_eq!(told(&listen.stdout), wanted, "listen");
    let said = server.run(["send", "--as", "carol", "--to", &group, "may I?"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{said:?}");
    let error = lines(said.stderr.lines().last().expect("an error"));
    assert_eq!(error[0]["error"], "forbidden");
}

fn comes_back_without_what_it_missed(scene: &Scene) {
    let Scene { server, alice, carol, group } = scene;
    let group = *group;
    let (mut of_alice, mut of_carol) = (login(server, alice), login(server, carol));
    assert_eq!(of_alice.add(group, &[carol.user]), Ok(13));
    assert_eq!(of_alice.say(group, "welcome back"), Ok(14));
    assert_eq!(hears(&mut of_carol, group, "welcome back"), 14);
    assert_eq!(seqs(&of_carol.history(group)), [13, 14]);
    assert_eq!(of_carol.page(group, 12, true).expect("her history").seqs(), Vec::<u64>::new());
    let opened = of_carol.look(group).expect("a member");
    assert_eq!((opened.joined_seq, opened.left_seq, opened.last_seq, opened.high), (13, 0, 14, 1));
    assert_eq!(of_carol.say(group, "thank you"), Ok(15));
    let row = listed(&mut of_carol, group, |row| row.last_seq == 15);
    assert_eq!((row.joined_seq, row.left_seq), (13, 0));
}

#[test]
fn live_later_and_after_a_restart() {
    for_shards([1, 2], |shards| {
        let mut scene = play(shards);
        sees_only_the_window(&scene);
        commands_show_only_the_window(&scene);
        restart(&mut scene.server, shards, &[]);
        sees_only_the_window(&scene);
        comes_back_without_what_it_missed(&scene);
        restart(&mut scene.server, shards, &[]);
        let mut of_carol = login(&scene.server, &scene.carol);
        assert_eq!(seqs(&of_carol.history(scene.group)), [13, 14, 15]);
    });
}
