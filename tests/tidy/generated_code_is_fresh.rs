//! The generated views are what the schema compiler makes of the schema today.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::files::root;

const GENERATED: &str = "wire/src/message/generated.rs";

/// Compares a file with what `wire/generate.sh` would write.
fn check(generated: &Path) -> Result<(), String> {
    let script = root().join("wire/generate.sh");
    let compared = Command::new("sh").arg(script).arg("--check").arg(generated).output().expect("sh runs");
    let said = [compared.stdout, compared.stderr].concat();
    if compared.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said).into_owned()) }
}

#[test]
fn the_views_are_those_of_the_schema() {
    if let Err(said) = check(&root().join(GENERATED)) {
        panic!("{said}wire/generate.sh makes {GENERATED}; ./test installs the compiler it needs into target/venv");
    }
}

#[test]
fn a_changed_view_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder for the changed file");
    let changed = folder.path().join("generated.rs");
    let text = fs::read_to_string(root().join(GENERATED)).expect("the views are there");
    fs::write(&changed, text.replacen("Hello", "Hallo", 1)).expect("the folder can be written");
    let said = check(&changed).expect_err("one letter was changed");
    assert!(said.contains("differ") || said.contains("flatc is missing"), "{said}");
}
