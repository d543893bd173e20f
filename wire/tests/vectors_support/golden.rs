//! Golden vectors: texts in `wire/vectors/` that this code must still make, byte by byte.
//!
//! `TRUNKLINE_WRITE_VECTORS=1 cargo test -p trunkline-wire --test NAME_OF_THE_TEST` writes them anew. A vector that
//! changes is a change of the protocol: peers of yesterday speak the old one. New vectors are added freely.

use std::path::Path;

/// The committed text, after checking that it is what was made.
pub fn check(name: &str, made: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name);
    if std::env::var_os("TRUNKLINE_WRITE_VECTORS").is_some_and(|value| value == "1") {
        std::fs::write(&path, made).expect("the folder of the vectors can be written");
    }
    let kept = std::fs::read_to_string(&path).expect("the vectors are committed");
    for (index, (kept, made)) in kept.lines().zip(made.lines()).enumerate() {
        assert_eq!(made, kept, "{name}:{}: left is made now, right is the vector", index + 1);
    }
    assert_eq!(made.len(), kept.len(), "{name}: lines were added or lost at its end");
    kept
}

/// Lines that are neither empty nor comments.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}
