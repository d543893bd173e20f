//! Pairs chat with a server that does everything right, or that refuses now and then: the run finds no fault, in closed and
//! open loops, and its counts agree with each other.

#[allow(dead_code, reason = "each file uses its part")]
use crate::server::{Conduct, short, start, users};
use trunkline_bench::direct::{self, Setting};
use trunkline_bench::report::Report;

fn run(conduct: Conduct, setting: &Setting) -> direct::Outcome {
    let users = users(setting.users().unwrap());
    let outcome = direct::run(start(conduct), &users, setting).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(outcome.total.acked, outcome.total.delivered);
    assert_eq!(outcome.compared.conversations, u64::from(setting.samples));
    assert_eq!(outcome.compared.messages, outcome.total.acked, "all conversations are samples here");
    assert_eq!(outcome.to_ack.count, outcome.to_delivery.count);
    assert!(outcome.after.tally.acked > outcome.before.tally.acked);
    assert!(outcome.after.traffic.notices > outcome.before.traffic.notices, "Advanced is counted");
    outcome
}

#[test]
fn in_a_closed_loop() {
    let outcome = run(Conduct::Good, &short());
    assert_eq!((outcome.total.busy, outcome.total.rate_limited, outcome.unsent), (0, 0, 0));
    let report = Report::of_direct(&short(), &outcome, 1);
    let figure = |wanted: &str| report.figures.iter().find(|(name, _)| name == wanted).unwrap().1;
    assert!(figure("durable_messages_per_s") > 100.0 && figure("server_cpu_us_per_message") > 0.0);
    assert!(
        !report.notes.iter().any(|note| note.contains("limits bound") || note.contains("busy")),
        "{:?}",
        report.notes
    );
}

#[test]
fn with_many_conversations_of_each_user_and_large_bodies() {
    run(Conduct::Good, &Setting { pairs: 10, in_flight: 4, body_bytes: 16 * 1024, ..short() });
    run(Conduct::Good, &Setting { is_one_way: true, body_bytes: 1, ..short() });
}

#[test]
fn in_an_open_loop() {
    let outcome = run(Conduct::Good, &Setting { rate: Some(500.0), ..short() });
    assert_eq!((outcome.due, outcome.unsent, outcome.to_ack.count), (300, 0, 250));
    assert_eq!(outcome.total.sends, 300);
}

#[test]
fn although_some_are_refused_at_first() {
    for rate in [None, Some(500.0)] {
        let outcome = run(Conduct::Busy, &Setting { rate, ..short() });
        assert!(outcome.total.busy > 0 && outcome.total.rate_limited > 0);
        assert_eq!(outcome.total.sends, outcome.total.acked + outcome.total.busy + outcome.total.rate_limited);
        let report = Report::of_direct(&short(), &outcome, 1);
        assert!(report.notes.iter().any(|note| note.contains("limits bound")), "{:?}", report.notes);
    }
}
