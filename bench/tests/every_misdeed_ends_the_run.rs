//! A server does one thing wrong in the middle of a run: the run ends with a failure that says what it was, and whose.

#[allow(dead_code, reason = "each file uses its part")]
use crate::server::{Conduct, short, start, users};
use trunkline_bench::direct::{self, Setting};
use trunkline_bench::failure::Failure;

fn failure(conduct: Conduct) -> Failure {
    let setting = Setting { seconds: 1.0, ..short() };
    direct::run(start(conduct), &users(20), &setting).expect_err("the misdeed is noticed")
}

#[test]
fn and_says_what_it_was() {
    for (conduct, part) in [
        (Conduct::Forges, "another id, sender or body"),
        (Conduct::Swallows, "no Ack or"),
        (Conduct::Repeats, "came after message"),
        (Conduct::Renumbers, "the sender was told seq"),
        (Conduct::Forgets, "is not what was acked"),
    ] {
        let failure = failure(conduct);
        assert!(failure.to_string().contains(part), "{conduct:?}: {failure}");
        assert_eq!(failure.exit_code(), 1);
    }
}

#[test]
fn foreign_tokens_are_the_operators_to_mend() {
    let failure = failure(Conduct::Mistrusts);
    assert!(failure.to_string().contains("file of tokens") && failure.exit_code() == 2, "{failure}");
}

#[test]
fn nobody_there_is_the_operators_to_mend() {
    let failure = direct::run("127.0.0.1:1".parse().unwrap(), &users(20), &short()).unwrap_err();
    assert!(failure.to_string().contains("is the server running") && failure.exit_code() == 2, "{failure}");
}
