//! Groups chat with a server that does everything right, or refuses now and then, or does one thing wrong to one copy: all
//! copies are counted and compared, and the misdeed is found.

#[allow(dead_code, reason = "each file uses its part")]
use crate::server::{Conduct, short_groups, start, users};
use trunkline_bench::failure::Failure;
use trunkline_bench::group::{self, Setting};
use trunkline_bench::report::Report;

fn run(conduct: Conduct, setting: &Setting) -> Result<group::Outcome, Failure> {
    group::run(start(conduct), &users(setting.users().unwrap()), setting)
}

fn check(conduct: Conduct, setting: &Setting) -> group::Outcome {
    let outcome = run(conduct, setting).unwrap_or_else(|failure| panic!("{failure}"));
    let others = u64::from(setting.members - 1);
    assert_eq!(outcome.total.delivered, outcome.total.acked * others);
    assert_eq!(outcome.compared.messages, outcome.total.acked, "all groups are samples here");
    assert_eq!(outcome.to_ack.count, outcome.to_last.count);
    assert_eq!(outcome.to_delivery.count, outcome.to_ack.count * others);
    assert!(outcome.after.tally.acked > outcome.before.tally.acked);
    let notices = outcome.after.traffic.notices - outcome.before.traffic.notices;
    assert!(notices > 0 && outcome.after.traffic.notice_bytes > 40 * notices, "Advanced is counted");
    outcome
}

#[test]
fn whoever_and_however_many_talk() {
    for (members, senders) in [(5, 2), (2, 1), (3, 3)] {
        let outcome = check(Conduct::Good, &Setting { members, senders, ..short_groups() });
        assert_eq!((outcome.total.busy, outcome.total.rate_limited), (0, 0));
    }
}

#[test]
fn and_is_reported_by_message_and_by_copy() {
    let outcome = check(Conduct::Good, &short_groups());
    let report = Report::of_group(&short_groups(), &outcome, 1);
    let figure = |wanted: &str| report.figures.iter().find(|(name, _)| name == wanted).unwrap().1;
    let (message, copy) = (figure("server_cpu_us_per_message"), figure("server_cpu_us_per_copy"));
    assert!(message > 3.5 * copy && message < 4.5 * copy, "{message} {copy}");
    assert!(figure("copies_per_s") > 100.0 && figure("received_bytes_per_copy") > 100.0);
    assert!(figure("last_delivery_p50_us") >= figure("delivery_p50_us"));
}

#[test]
fn although_some_are_refused_at_first() {
    let outcome = check(Conduct::Busy, &short_groups());
    assert!(outcome.total.busy > 0 && outcome.total.rate_limited > 0);
}

#[test]
fn and_every_misdeed_ends_the_run() {
    for (conduct, part) in [
        (Conduct::Forges, "another id, sender or body"),
        (Conduct::Swallows, "is missing before one that came"),
        (Conduct::Repeats, "came after message"),
        (Conduct::Renumbers, "the sender was told seq"),
        (Conduct::Forgets, "is not what was acked"),
    ] {
        let failure = run(conduct, &short_groups()).expect_err("the misdeed is noticed");
        assert!(failure.to_string().contains(part), "{conduct:?}: {failure}");
        assert_eq!(failure.exit_code(), 1);
    }
}

#[test]
fn a_copy_that_never_comes_is_missed_in_the_end() {
    let setting = Setting { groups: 1, senders: 1, ..short_groups() };
    let failure = run(Conduct::Swallows, &setting).expect_err("the misdeed is noticed");
    assert!(failure.to_string().contains("no Ack or were not delivered"), "{failure}");
}
