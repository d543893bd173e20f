//! Seeds in, verdict out: `trunkline-sim --seeds 1000` runs N shards and M real SDK cores against a network and a store
//! that fail, and checks what every client ever saw.
#![forbid(unsafe_code)]

mod network;
mod options;
mod oracle;
mod person;
mod process;
mod store;
mod world;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use crate::options::Options;
use crate::world::{Report, World};

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
    /// Ends with success only if at least one seed found a violation: for planted bugs.
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
    for report in reports.iter().filter(|report| report.violation.is_some()).take(5) {
        println!("seed {}: {}", report.seed, report.violation.as_deref().unwrap_or_default());
        println!("    again: cargo run --profile sim -p trunkline-sim -- --from {} --seeds 1 --trace", report.seed);
    }
    println!("simulation: {} passed, {} failed", total.seeds - total.failed, total.failed);
    if (total.failed > 0) == arguments.expect_violation { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_all(arguments: &Arguments, threads: usize) -> Vec<Report> {
    let next = std::sync::atomic::AtomicU64::new(arguments.from);
    let end = arguments.from + arguments.seeds;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut reports = Vec::new();
                    loop {
                        let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        if seed >= end {
                            return reports;
                        }
                        reports.push(run(seed, arguments));
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

/// Sums over all seeds.
#[derive(Default)]
struct Totals {
    seeds: u64,
    failed: u64,
    events: Vec<u64>,
    marks: std::collections::BTreeMap<&'static str, u64>,
    digest: u64,
}

impl Totals {
    fn of(reports: &[Report]) -> Totals {
        let mut total = Totals { seeds: reports.len() as u64, ..Totals::default() };
        for report in reports {
            total.failed += u64::from(report.violation.is_some());
            total.events.push(report.events);
            total.digest = total.digest.rotate_left(5) ^ report.digest;
            for (mark, count) in &report.marks {
                *total.marks.entry(mark).or_default() += count;
            }
        }
        total.events.sort_unstable();
        total
    }

    fn print(&self, seconds: f64) {
        let events: u64 = self.events.iter().sum();
        let median = self.events.get(self.events.len() / 2).copied().unwrap_or(0);
        println!(
            "{} seeds, {events} events (median {median} per seed), {:.0} events/s, {seconds:.1} s, digest {:016x}",
            self.seeds,
            events as f64 / seconds,
            self.digest
        );
        let marks: Vec<String> = self.marks.iter().map(|(mark, count)| format!("{mark} {count}")).collect();
        println!("{}", marks.join(", "));
    }
}
