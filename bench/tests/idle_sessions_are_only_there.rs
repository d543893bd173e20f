//! Sessions are opened, more than connect at a time, on one ring or several, and held: all are welcomed and nothing is said.

#[allow(dead_code, reason = "each file uses its part")]
use crate::server::{Conduct, start, users};
use trunkline_bench::idle::{self, Setting};
use trunkline_bench::report::Report;

fn setting(per_ring: u32) -> Setting {
    Setting { seconds: 0.2, connecting_max: 7, per_ring, server_pid: Some(std::process::id()) }
}

#[test]
fn they_come_and_stay() {
    for (per_ring, rings) in [(1000, 1), (30, 4)] {
        let outcome = idle::run(start(Conduct::Good), &users(100), &setting(per_ring)).unwrap();
        assert_eq!((outcome.connected.sessions, outcome.fleets), (100, rings));
        let report = Report::of_idle(&outcome, 0.2, true);
        assert!(report.figures.iter().any(|(name, figure)| name == "connects_per_s" && *figure > 0.0));
    }
}

#[test]
fn one_ring_without_its_sessions_ends_the_run_of_all() {
    let mut users = users(40);
    users[35].token = "0".to_owned();
    let failure = idle::run(start(Conduct::Good), &users, &setting(10)).unwrap_err();
    assert!(failure.to_string().contains("file of tokens"), "{failure}");
}
