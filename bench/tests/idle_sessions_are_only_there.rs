//! Sessions are opened, more than connect at a time, and held: all are welcomed and nothing is said.

#[allow(dead_code, reason = "each file uses its part")]
#[path = "support/server.rs"]
mod server;

use server::{Conduct, start, users};
use trunkline_bench::idle;
use trunkline_bench::report::Report;

#[test]
fn they_come_and_stay() {
    let outcome = idle::run(start(Conduct::Good), &users(100), 0.2, 7, Some(std::process::id())).unwrap();
    assert_eq!(outcome.connected.sessions, 100);
    let report = Report::of_idle(&outcome, true);
    assert!(report.figures.iter().any(|(name, figure)| name == "connects_per_s" && *figure > 0.0));
}
