//! Seeds in, verdict out: `trunkline-sim --seeds 1000` runs N shards and M real SDK cores against a network and a store
//! that fail, and checks what every client ever saw.
#![forbid(unsafe_code)]

mod network;
mod options;
mod oracle;
mod person;
mod process;
mod report;
mod store;
mod tap;
mod world;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;

use crate::options::Options;
use crate::report::{Report, Totals};
use crate::world::World;

/// Runs simulations and reports what broke.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Runs every n-th seed twice and compares the traces.
    #[arg(long, default_value_t = 10)]
    twice_every: u64,
    /// Threads to run on; 0: one per core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Prints each step of one seed (use with --seeds 1).
    #[arg(long)]
    trace: bool,
    /// How many of the seeds that failed are named.
    #[arg(long, default_value_t = 5)]
    show: usize,
    /// Ends at the first violation, and with success only if there was one: for planted bugs.
    #[arg(long)]
    expect_violation: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let started = Instant::now();
    let threads = match arguments.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let reports = run_all(&arguments, threads);
    let total = Totals::of(&reports);
    total.print(started.elapsed().as_secs_f64());
    for report in reports.iter().filter(|report| report.violation.is_some()).take(arguments.show) {
        println!("seed {}: {}", report.seed, report.violation.as_deref().unwrap_or_default());
        println!("    again: cargo run --profile sim -p trunkline-sim -- --from {} --seeds 1 --trace", report.seed);
    }
    let missed = total.missed();
    if !missed.is_empty() {
        println!("situations that never came up: {}", missed.join(", "));
    }
    let failed = total.failed + missed.len() as u64;
    println!("simulation: {} passed, {failed} failed", total.seeds - total.failed);
    let as_expected = if arguments.expect_violation { total.failed > 0 } else { failed == 0 };
    if as_expected { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_all(arguments: &Arguments, threads: usize) -> Vec<Report> {
    let next = AtomicU64::new(arguments.from);
    let found = AtomicBool::new(false);
    let end = arguments.from + arguments.seeds;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut reports = Vec::new();
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= end || (arguments.expect_violation && found.load(Ordering::Relaxed)) {
                            return reports;
                        }
                        let report = run(seed, arguments);
                        found.fetch_or(report.violation.is_some(), Ordering::Relaxed);
                        reports.push(report);
                    }
                })
            })
            .collect();
        let mut reports: Vec<Report> =
            workers.into_iter().flat_map(|worker| worker.join().expect("a worker ends")).collect();
        reports.sort_by_key(|report| report.seed);
        reports
    })
}

/// One seed; a panic of the code under test is a violation like any other.
fn run(seed: u64, arguments: &Arguments) -> Report {
    let once = || {
        std::panic::catch_unwind(|| World::new(seed, Options::from_seed(seed), arguments.trace).run()).unwrap_or_else(
            |panic| {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                Report { seed, violation: Some(format!("panic: {}", text.unwrap_or_default())), ..Report::default() }
            },
        )
    };
    let mut report = once();
    if arguments.twice_every > 0 && seed.is_multiple_of(arguments.twice_every) && report.violation.is_none() {
        let again = once();
        if again.digest != report.digest {
            report.violation = Some("the same seed gave another trace".to_owned());
        }
    }
    report
}
