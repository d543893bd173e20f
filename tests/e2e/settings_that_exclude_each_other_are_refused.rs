//! Set-up: settings that are right one by one and cannot work together. Claim: `serve` and `config` exit with 2 and a sentence
//! that has the fix, and open nothing; with the fix they are taken.

use trunkline_tests::server::{Home, run};

#[track_caller]
fn refused(settings: &[&str], fix: &str) {
    let home = Home::new();
    for command in ["serve", "config"] {
        let ended = run(&mut home.trunkline([&[command], settings].concat()));
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
        assert!(ended.stderr.contains(fix), "no {fix:?} in {ended:?}");
    }
    assert!(!home.data().exists(), "nothing is opened");
}

#[track_caller]
fn taken(settings: &[&str]) {
    run(&mut Home::new().trunkline([&["config"], settings].concat())).succeeded();
}

#[test]
fn a_store_in_memory_has_no_disk() {
    let fix = "leave `store.reserve_bytes` out, or set `store.kind` to `embedded`";
    refused(&["--store", "memory", "--set", "store.reserve_bytes=1000"], fix);
    taken(&["--store", "embedded", "--set", "store.reserve_bytes=1000"]);
    taken(&["--store", "memory"]);
}

#[test]
fn the_largest_body_fits() {
    let key = "limits.conversation_pending_bytes_max";
    refused(&["--set", &format!("{key}=61439")], "set it to 61440 or more");
    taken(&["--set", &format!("{key}=61440")]);
}

#[test]
fn clients_and_administrators_have_a_port_each() {
    let (one, other) = ("127.0.0.1:7499", "127.0.0.1:7498");
    refused(&["--listen", one, "--set", &format!("admin.listen={one}")], "another port for `admin.listen`");
    taken(&["--listen", one, "--set", &format!("admin.listen={other}")]);
    taken(&["--listen", one, "--set", "admin.listen="]);
}

#[test]
fn one_folder_has_one_name() {
    let mut command = Home::new().trunkline(["config"]);
    let ended = run(command.env("TRUNKLINE__DATA", "/elsewhere"));
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("unset one of them"), "{ended:?}");
}
