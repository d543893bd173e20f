//! Set-up: the session that README.md shows behind `<!-- session -->`, each terminal a shell with a home of its own. Only
//! what cargo would build is replaced by what it has built, and the port by a free one. Claim: bob hears `hello` and finds
//! it in the history, and every command ends well.

use std::fs;

use trunkline_tests::process::{Process, Signal};
use trunkline_tests::server::{Home, PATIENCE, STOP_PATIENCE, free_address, run};
use trunkline_tests::{repository_root, trunkline_binary};

use crate::output::texts;

const MARK: &str = "<!-- session -->";

/// The lines of each terminal.
fn terminals(readme: &str) -> Vec<String> {
    let mut terminals = Vec::new();
    for part in readme.split(MARK).skip(1) {
        let mut fences = part.split("```");
        assert_eq!(fences.next().map(str::trim), Some(""), "{MARK} stands right before its block");
        let block = fences.next().expect("a block behind the mark");
        for line in block.lines().skip(1) {
            if line.starts_with("# terminal ") {
                terminals.push(String::new());
            } else if let Some(terminal) = terminals.last_mut() {
                *terminal += line;
                *terminal += "\n";
            }
        }
    }
    terminals
}

/// Both ways in which the README names the program become the binary that is tested.
fn with_binary(terminal: &str) -> String {
    let binary = trunkline_binary();
    let binary = binary.to_str().expect("a path without odd bytes");
    let replaced = terminal.replace("trunkline=target/release/trunkline", &format!("trunkline='{binary}'"));
    replaced.replace("cargo run --release --", &format!("exec '{binary}'"))
}

fn shell(home: &Home, script: &str, address: &str) -> std::process::Command {
    let mut shell = home.program("sh");
    // The README's reader has none of these set.
    for variable in ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "TRUNKLINE_DATA"] {
        shell.env_remove(variable);
    }
    shell.env("TRUNKLINE_URL", format!("ws://{address}")).current_dir(repository_root());
    shell.args(["-euc", script]);
    shell
}

#[test]
fn both_terminals() {
    let readme = fs::read_to_string(repository_root().join("README.md")).expect("a README");
    let terminals = terminals(&readme);
    let [serving, talking] = terminals.as_slice() else { panic!("two terminals: {terminals:?}") };
    let (home, address) = (Home::new(), free_address());
    fs::create_dir(home.path().join("home")).expect("a home");

    assert_eq!(serving.trim(), "cargo run --release -- serve");
    let serving = format!("{} --listen {address}", with_binary(serving.trim()));
    let mut server = Process::start(&mut shell(&home, &serving, &address));
    let ready = server.stdout().line_with("trunkline is ready", PATIENCE);
    assert!(ready.is_some(), "{}", server.stderr().text());

    assert!(talking.contains("$trunkline send --as alice --to bob \"hello\""), "{talking}");
    let talked = run(&mut shell(&home, &with_binary(talking), &address)).succeeded();
    let (told, tokens): (Vec<&str>, Vec<&str>) = talked.stdout.lines().partition(|line| line.starts_with('{'));
    assert_eq!(tokens.len(), 2, "{talked:?}");
    let (sent, heard): (Vec<&str>, Vec<&str>) = told.iter().partition(|line| !line.contains("\"text\""));
    assert_eq!((sent.len(), heard.len()), (1, 2), "{talked:?}");
    assert_eq!(texts(&heard.join("\n")), ["hello", "hello"]);

    assert!(home.path().join("home/.local/share/trunkline/keys").is_file(), "data is where the README says");
    server.signal(Signal::INT);
    server.ended(STOP_PATIENCE).succeeded();
}
