//! Set-up: an import, killed at a moment of a seed: the command, the server, or the command without a server, which then has
//! the folder open itself. Claim: run again it goes on; what is there in the end is the log, each line once and in its order.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use trunkline_tests::dice::Dice;
use trunkline_tests::process::Process;
use trunkline_tests::server::{PATIENCE, run};

use crate::chat_log::{Line, assert_same, log, write};
use crate::output::lines;
use crate::people::serve;

const LINES: usize = 12_000;
const SENDERS: usize = 500;

fn logged(folder: &Path, seed: u64) -> (Vec<Line>, String) {
    println!("seed {seed}");
    let (log, file) = (log(seed, LINES, SENDERS), folder.join("log.jsonl"));
    write(&file, &log);
    (log, file.to_str().expect("a path").to_owned())
}

/// Waits until so much was done, in a process that goes on.
#[track_caller]
fn wait(import: &mut Process, until: impl Fn() -> bool) {
    let since = Instant::now();
    while !until() {
        assert!(import.runs(), "it was done before it was interrupted: {:?}", import.stderr().text());
        assert!(since.elapsed() < PATIENCE, "it does not go on");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn when_the_command_is_killed() {
    let mut server = serve("2", &[]);
    let mut dice = Dice::new(Dice::cast());
    let (log, file) = logged(server.home().path(), dice.roll());
    let mut before = 0;
    for _ in 0..3 {
        let moment = before + 1 + dice.below(LINES as u64 / 4);
        let mut import = server.spawn(["import", &file]);
        wait(&mut import, || server.counter("messages_stored") >= moment);
        import.kill();
        before = server.counter("messages_stored");
    }
    server.run(["import", &file]).succeeded();
    assert_same(&server.run(["export"]).succeeded().stdout, &log);
    assert_eq!(server.counter("messages_stored"), LINES as u64);
    server.stop();
}

#[test]
fn when_the_server_is_killed() {
    let mut server = serve("2", &[]);
    let mut dice = Dice::new(Dice::cast());
    let (log, file) = logged(server.home().path(), dice.roll());
    for _ in 0..2 {
        let moment = 1 + dice.below(LINES as u64 / 4);
        let mut import = server.spawn(["import", &file]);
        wait(&mut import, || server.counter("messages_stored") >= moment);
        server.kill();
        let ended = import.ended(PATIENCE);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("run this again"), "{ended:?}");
        server.start_again();
    }
    let told = lines(&server.run(["import", &file]).succeeded().stdout);
    let new: u64 = told.iter().filter_map(|told| told["new"].as_u64()).sum();
    assert!((1..LINES as u64).contains(&new), "a part was there: {told:?}");
    assert_same(&server.run(["export"]).succeeded().stdout, &log);
    server.stop();
}

#[test]
fn when_there_is_no_server() {
    let mut server = serve("2", &[]);
    server.stop();
    let mut dice = Dice::new(Dice::cast());
    let (log, file) = logged(server.home().path(), dice.roll());
    let mut import = server.spawn(["import", &file, "--speed", "4000"]);
    assert!(import.stderr().line_with("opening the folder", PATIENCE).is_some());
    assert!(import.stderr().line_with("are there already", PATIENCE).is_some(), "{:?}", import.stderr().text());
    thread::sleep(Duration::from_millis(400 + dice.below(1_200)));
    assert!(import.runs());
    import.kill();
    let part = run(&mut server.home().trunkline(["export"])).succeeded();
    let part = part.stdout.lines().count();
    assert!((1..LINES).contains(&part), "{part}");
    // What the folder has, the server goes on with.
    server.start_again();
    server.run(["import", &file]).succeeded();
    assert_same(&server.run(["export"]).succeeded().stdout, &log);
    server.stop();
}
