//! Set-up: two to five processes of up to three devices send to up to two conversations of a model server, while
//! connections are cut, requests arrive late, answers are lost and doubled, the server crashes and loses what is not
//! durable, refuses for now and for good, cuts history, members of a group come and go, sessions fall behind and are told
//! nothing for a while, and processes die, restart, go on from what they stored, lose their outbox or leave it to others.
//! Claim: no text that was promised is lost, none is stored twice, each process' order is kept, acks are right, and every
//! process is shown every message that its user may see once and in order, over all processes that go on from one state;
//! its position never is ahead of what it was shown; at rest it has the server's list, and the server its watermarks,
//! which never fall.
//!
//! `SEED=n SEEDS=m` runs other seeds, `TRACE=1` prints what everybody is told.

use std::collections::BTreeMap;

use crate::dice::Dice;
use crate::server::Fault;
use crate::tamper;
use crate::tamper::Tamper;
use crate::world::{Plan, World};

const SEEDS: u64 = 2_500;

fn run(seed: u64, change: impl Fn(&mut Plan)) -> (Vec<&'static str>, BTreeMap<&'static str, u64>) {
    tamper::forget();
    let mut dice = Dice::new(seed);
    let mut plan = Plan::honest(&mut dice);
    change(&mut plan);
    let (violations, marks) = World::new(plan, dice).run();
    (violations.into_iter().collect(), marks)
}

#[test]
fn texts_are_stored_once_and_in_order() {
    let first: u64 = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let count: u64 = std::env::var("SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(SEEDS);
    let mut totals: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in first..first + count {
        let (violations, marks) = run(seed, |_| {});
        assert!(violations.is_empty(), "seed {seed}: {violations:?} {marks:?}");
        marks.into_iter().for_each(|(mark, count)| *totals.entry(mark).or_default() += count);
    }
    println!("{totals:?}");
    if count < SEEDS {
        return;
    }
    for mark in [
        "added",
        "appended",
        "busy",
        "client_seq_conflict",
        "crash with pending rows",
        "expired",
        "failed",
        "forbidden",
        "goes on from its state",
        "late request",
        "left for adoption",
        "lost answer",
        "lost state",
        "message_invalid",
        "never a member",
        "outbox failed",
        "positions",
        "pull mode",
        "receipts",
        "removed",
        "restart",
        "resync",
        "sent",
        "sync",
        "unknown",
        "whole request busy",
    ] {
        assert!(totals.get(mark).is_some_and(|&count| count >= 20), "{mark} was hardly met: {totals:?}");
    }
}

/// Some seed within as many as are run above must show the fault, or the claim above says nothing.
fn is_caught(what: &str, expected: &[&'static str], change: impl Fn(&mut Plan)) {
    let mut found: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in 0..SEEDS {
        run(seed, &change).0.into_iter().for_each(|violation| *found.entry(violation).or_default() += 1);
        if expected.iter().all(|violation| found.contains_key(violation)) {
            println!("{what}: {found:?} by seed {seed}");
            return;
        }
    }
    panic!("{what}: expected {expected:?}, found only {found:?}");
}

#[test]
fn a_new_number_for_a_retry_is_caught() {
    is_caught("new number for a retry", &["doubled"], |plan| plan.tamper = Tamper::NewNumberForRetry);
}

#[test]
fn renumbering_without_an_answer_is_caught() {
    is_caught("renumbering", &["doubled"], |plan| plan.tamper = Tamper::RenumbersWithoutAnswer);
}

#[test]
fn judging_on_after_a_refusal_is_caught() {
    is_caught("judging on", &["order"], |plan| plan.rules.fault = Fault::JudgesOn);
}

#[test]
fn acks_before_durability_are_caught() {
    is_caught("early acks", &["lost"], |plan| plan.rules.fault = Fault::AcksEarly);
}

#[test]
fn acks_for_another_message_are_caught() {
    is_caught("ids ignored", &["wrong ack"], |plan| plan.rules.fault = Fault::IgnoresIds);
}

#[test]
fn positions_ahead_of_what_is_there_are_caught() {
    is_caught("blind positions", &["position ahead of what was shown"], |plan| {
        plan.tamper = Tamper::AdvancesBlindly;
        plan.push_chaos_percent = 20;
    });
}

#[test]
fn watermarks_that_are_not_reported_are_caught() {
    is_caught("no reports", &["watermark lost"], |plan| plan.tamper = Tamper::ReportsNothing);
}
