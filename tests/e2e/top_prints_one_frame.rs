//! Set-up: a server of two shards and `top` where stdout is no terminal, while alice writes to bob. Claim: one frame of plain
//! text with the sum and every shard, whose numbers are those of that second; without a server, an error that says so.

use trunkline_tests::server::{Home, Server, run};

use crate::output::{error_of, send};

/// The cells of the row of that name.
#[track_caller]
fn row<'a>(frame: &'a str, name: &str) -> Vec<&'a str> {
    let mut rows = frame.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.find(|cells| cells.first() == Some(&name)).unwrap_or_else(|| panic!("no row {name} in {frame}"))
}

#[test]
fn with_the_numbers_of_a_second() {
    let server = Server::start(&["--shards", "2"]);
    ["alice", "bob"].iter().for_each(|name| drop(server.add_user(name)));
    for flags in [&["top", "--once"][..], &["top"]] {
        let mut top = server.spawn(flags);
        for number in 0..3 {
            send(&server, "alice", "bob", &number.to_string());
        }
        top.close_stdin();
        let frame = top.ended(trunkline_tests::server::PATIENCE).succeeded().stdout;
        assert!(frame.starts_with("trunkline top: 2 shards, over 1."), "{frame}");
        assert!(frame.lines().nth(1).is_some_and(|line| line.starts_with("log: ")), "{frame}");
        assert_eq!(row(&frame, "SHARD")[..2], ["SHARD", "CONN"]);
        let turns: f64 = row(&frame, "all")[4].parse().expect("a number of turns");
        let of_shards: f64 = ["0", "1"].iter().map(|name| row(&frame, name)[4].parse::<f64>().unwrap_or(0.0)).sum();
        assert!(turns > 0.0 && (turns - of_shards).abs() <= 2.0, "{frame}");
        assert!(!frame.contains('\u{1b}'), "nothing for a terminal is in {frame:?}");
    }
}

#[test]
fn of_a_server_that_runs() {
    let ended = run(&mut Home::new().trunkline(["top", "--once"]));
    assert_eq!(error_of(&ended), "not_running");
}
