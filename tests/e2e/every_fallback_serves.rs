//! Set-up: a server of two shards for each feature of io_uring that `ring.disable` names, without that feature, and one
//! without any of them. Claim: two users talk, live and in history, while others connect at the same time.

use trunkline_tests::server::{PATIENCE, Server};

use crate::output::{history, send, texts};

/// As docs/OPERATIONS.md lists them.
const FEATURES: [&str; 7] =
    ["no_sqarray", "defer_taskrun", "taskrun_flag", "submit_all", "multishot_accept", "multishot_receive", "msg_ring"];

fn talk_without(features: &str) {
    let mut server = Server::start(&["--shards", "2", "--set", &format!("ring.disable={features}")]);
    let in_force = server.stderr().line_with("trunkline: io_uring with", PATIENCE).expect("what is in force is told");
    for feature in features.split(',') {
        assert!(!in_force.split(' ').any(|name| name == feature), "{in_force}, though {feature} is disabled");
    }
    let names = ["alice", "bob", "carol", "dave"];
    names.iter().for_each(|name| drop(server.add_user(name)));
    let mut ears = names.map(|name| server.spawn(["listen", "--as", name, "--from", "start", "--count", "4"]));
    for (from, to) in [("alice", "bob"), ("bob", "alice"), ("carol", "dave"), ("dave", "carol")] {
        for number in 1..=2 {
            send(&server, from, to, &format!("{number} of {from}"));
        }
    }
    let said = |one: &str, other: &str| {
        [format!("1 of {one}"), format!("2 of {one}"), format!("1 of {other}"), format!("2 of {other}")]
    };
    for (ear, name) in ears.iter_mut().zip(names) {
        let wanted = if ["alice", "bob"].contains(&name) { said("alice", "bob") } else { said("carol", "dave") };
        let heard = ear.ended(PATIENCE).succeeded();
        assert_eq!(texts(&heard.stdout), wanted, "{name} without {features}; server:\n{}", server.stderr().text());
    }
    assert_eq!(history(&server, "bob", "alice"), said("alice", "bob"), "without {features}");
    server.stop();
}

#[test]
fn without_one_feature() {
    FEATURES.iter().for_each(|feature| talk_without(feature));
}

#[test]
fn without_any_feature() {
    talk_without(&FEATURES.join(","));
}
