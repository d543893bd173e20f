//! Set-up: what `config` printed, kept as a file. Claim: read with `--config` it gives the same values, each from the file,
//! and a server starts with it.

use std::fs;

use trunkline_tests::server::{Home, PATIENCE, Server, run};

const SETTINGS: &[&str] =
    &["--shards", "3", "--no-pin", "--set", "limits.send_per_s=7", "--set", "ring.disable=msg_ring,submit_all"];

/// Keys and values, without what is said about them.
fn values(printed: &str) -> Vec<&str> {
    let lines = printed.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split("  # ").next().unwrap_or_default()).collect()
}

#[test]
fn as_a_file() {
    let home = Home::new();
    let first = run(&mut home.trunkline([&["config"], SETTINGS].concat())).succeeded().stdout;
    assert!(values(&first).len() > 40 && values(&first).contains(&"ring.disable = [\"submit_all\", \"msg_ring\"]"));
    let file = home.path().join("printed.toml");
    fs::write(&file, &first).expect("a file");
    let path = file.to_str().expect("a path").to_owned();
    let mut again = home.trunkline(["config", "--config", &path]);
    let again = run(again
        .env_remove("TRUNKLINE_DATA")
        .env_remove("TRUNKLINE__ADMIN__LISTEN")
        .env_remove("TRUNKLINE__HTTP__LISTEN"))
    .succeeded()
    .stdout;
    assert_eq!(values(&first), values(&again));
    let settings = again.lines().filter(|line| !line.starts_with('#'));
    settings.for_each(|line| assert!(line.ends_with("; from file"), "{line}"));
    let server = Server::start_in(home, &["--config", &path]);
    let said = server.stderr().line_with("trunkline: set: ", PATIENCE).expect("it says what is set");
    assert!(said.contains("limits.send_per_s=7") && said.contains("shards=3"), "{said}");
}

#[test]
fn nothing_is_opened_for_it() {
    let home = Home::new();
    run(&mut home.trunkline(["config"])).succeeded();
    assert_eq!(fs::read_dir(home.path()).expect("a folder").count(), 0);
}
