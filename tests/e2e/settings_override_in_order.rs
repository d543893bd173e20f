//! Set-up: one key after the other said by one source more. Claim: `config` tells the value of the last of default, file,
//! environment, `--set` and flag, and names it; and `serve` runs with it.

use std::fs;

use trunkline_tests::server::{Home, PATIENCE, Server, run};

/// Arguments, variables, and the value and source that follow from them.
type Step<'a> = (&'a [&'a str], Variables<'a>, &'a str, &'a str);
type Variables<'a> = &'a [(&'a str, &'a str)];

/// What `config` says of a key.
#[track_caller]
fn line_of(printed: &str, key: &str) -> String {
    let line = printed.lines().find(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(" = ")));
    line.unwrap_or_else(|| panic!("no {key} in {printed}")).to_owned()
}

#[test]
fn the_last_source_counts() {
    let home = Home::new();
    let file = home.path().join("settings.toml");
    fs::write(&file, "shards = 2\ndata = \"/of-file\"\n[limits]\nsend_per_s = 6\nread_per_s = 6\n").expect("a file");
    let file = file.to_str().expect("a path");
    let say = |arguments: &[&str], variables: Variables<'_>| {
        let mut command = home.trunkline([&["config"], arguments].concat());
        run(command.envs(variables.iter().copied())).succeeded().stdout
    };
    let environment = [("TRUNKLINE__LIMITS__SEND_PER_S", "7"), ("TRUNKLINE__SHARDS", "3")];
    let steps: [Step<'_>; 5] = [
        (&[], &[], "limits.send_per_s = 5 ", "from default"),
        (&["--config", file], &[], "limits.send_per_s = 6 ", "from file"),
        (&["--config", file], &environment, "limits.send_per_s = 7 ", "from environment"),
        (&["--config", file, "--set", "limits.send_per_s=8"], &environment, "limits.send_per_s = 8 ", "from --set"),
        (&["--config", file, "--set", "shards=8", "--shards", "9"], &environment, "shards = 9 ", "from flag"),
    ];
    for (arguments, variables, value, source) in steps {
        let printed = say(arguments, variables);
        let line = line_of(&printed, value.split(' ').next().unwrap_or_default());
        assert!(line.starts_with(value) && line.ends_with(source), "{line} is not {value} {source}");
    }
    let printed = say(&["--config", file], &environment);
    assert!(line_of(&printed, "limits.read_per_s").ends_with("from file"), "{printed}");
    // The variable of the folder is the environment's too: every command finds the same one.
    assert!(line_of(&printed, "data").contains(home.data().to_str().expect("a path")), "{printed}");
    assert!(line_of(&printed, "data").ends_with("from environment"), "{printed}");
}

#[test]
fn serve_takes_them_in_the_same_order() {
    let home = Home::new();
    let file = home.path().join("settings.toml");
    fs::write(&file, "shards = 1\n[limits]\nsend_per_s = 6\n").expect("a file");
    let server = Server::start_in(home, &["--config", file.to_str().expect("a path"), "--set", "limits.send_per_s=7"]);
    let said = server.stderr().line_with("trunkline: set: ", PATIENCE).expect("it says what is set");
    assert!(said.contains("limits.send_per_s=7"), "{said}");
}
