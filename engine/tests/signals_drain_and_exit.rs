//! Set-up: `run` in a process of its own, sent SIGTERM with connections open; and once more with a core that never drains,
//! sent SIGINT twice.
//! Claim: one ready line, then exit code 0 after a drain; a second signal exits at once.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ExitCode};
use std::time::{Duration, Instant};

use crate::child;
use crate::echo;
use rustix::process::{Pid, Signal, kill_process};
use trunkline_engine::run;
use trunkline_shards::contract::{Core, Effects, Event, Now};

#[test]
fn serves() {
    if !child::is_child() {
        return;
    }
    let code = run(&echo::config(), None, |_| echo::Echo::new(Default::default()), |_| Ok(()));
    assert_eq!(code, ExitCode::SUCCESS);
}

struct Stubborn;

impl Core for Stubborn {
    fn apply(&mut self, _now: Now, _event: Event<'_>, _effects: &mut Effects) {}

    fn work(&mut self, _now: Now, _budget: u32, _effects: &mut Effects) -> bool {
        false
    }

    fn next_deadline(&self) -> Option<u64> {
        None
    }
}

#[test]
fn stays() {
    if !child::is_child() {
        return;
    }
    run(&echo::config(), None, |_| Stubborn, |_| Ok(()));
}

/// Starts it and reads up to its ready line; the address in it.
fn ready(name: &str) -> (Child, BufReader<std::process::ChildStdout>, std::net::SocketAddr) {
    let mut process = child::child(&format!("signals_drain_and_exit::{name}")).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap());
    // The test harness prints lines of its own.
    let ready = lines.by_ref().lines().map(Result::unwrap).find(|line| line.contains("trunkline is ready"));
    let ready = ready.expect("it becomes ready");
    let (_, rest) = ready.split_once("trunkline is ready: ws://").unwrap();
    let address = rest.strip_suffix("/v1/ws (2 shards, memory store)").expect(rest).parse().unwrap();
    (process, lines, address)
}

fn signal(process: &Child, signal: Signal) {
    kill_process(Pid::from_child(process), signal).unwrap();
}

#[test]
fn sigterm_drains() {
    let (mut process, mut rest, address) = ready("serves");
    let mut clients: Vec<_> = (0..100).map(|_| echo::connect(address)).collect();
    clients.iter_mut().for_each(|client| echo::echo(client, b"before"));
    let begin = Instant::now();
    signal(&process, Signal::TERM);
    for client in &mut clients {
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0, "the end, not a reset");
    }
    assert_eq!(process.wait().unwrap().code(), Some(0));
    println!("from SIGTERM to the exit: {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(5));
    let mut later = String::new();
    rest.read_to_string(&mut later).unwrap();
    assert!(!later.contains("trunkline is ready"), "one ready line");
}

#[test]
fn a_second_signal_exits_at_once() {
    let (mut process, _rest, _) = ready("stays");
    signal(&process, Signal::INT);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(process.try_wait().unwrap(), None, "the drain goes on");
    let begin = Instant::now();
    signal(&process, Signal::INT);
    assert_eq!(process.wait().unwrap().code(), Some(130));
    assert!(begin.elapsed() < Duration::from_secs(1));
}
