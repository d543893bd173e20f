//! Set-up: each source of settings with a key that there is not, or with a value that does not fit. Claim: `serve` and
//! `config` exit with 2, name the source, the key and the nearest one that there is, and open nothing.

use std::fs;

use trunkline_tests::process::Ended;
use trunkline_tests::server::{Home, run};

#[track_caller]
fn refused(home: &Home, arguments: &[&str], variables: &[(&str, &str)], parts: &[&str]) {
    for command in ["serve", "config"] {
        let mut started = home.trunkline([&[command], arguments].concat());
        let ended: Ended = run(started.envs(variables.iter().copied()));
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
        parts.iter().for_each(|part| assert!(ended.stderr.contains(part), "no {part:?} in {ended:?}"));
    }
    assert!(!home.data().exists(), "nothing is opened");
}

#[test]
fn with_what_was_meant() {
    let home = Home::new();
    let meant = "there is no setting `limits.sends_per_s`; did you mean `limits.send_per_s`?";
    refused(&home, &["--set", "limits.sends_per_s=1"], &[], &[meant]);
    refused(&home, &["--set", "send_per_s=1"], &[], &["did you mean `limits.send_per_s`?"]);
    refused(&home, &["--set", "xylophone=1"], &[], &["`trunkline config` prints all"]);
    let name = "TRUNKLINE__LIMITS__SENDS_PER_S";
    refused(&home, &[], &[(name, "1")], &[name, meant]);
    let file = home.path().join("settings.toml");
    fs::write(&file, "[limits]\nsends_per_s = 1\n").expect("a file");
    refused(&home, &["--config", file.to_str().expect("a path")], &[], &["settings.toml", meant]);
}

#[test]
fn with_what_fits() {
    let home = Home::new();
    refused(&home, &[], &[("TRUNKLINE__SHARDS", "0")], &["TRUNKLINE__SHARDS", "a number from 1 to 1024"]);
    refused(&home, &["--set", "pin=maybe"], &[], &["true or false"]);
    refused(&home, &["--set", "store.worker_threads=65"], &[], &["a number from 1 to 64"]);
    let file = home.path().join("settings.toml");
    fs::write(&file, "[ring]\ndisable = [\"turbo\"]\n").expect("a file");
    refused(&home, &["--config", file.to_str().expect("a path")], &[], &["settings.toml", "multishot_receive"]);
}
