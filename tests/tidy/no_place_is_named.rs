//! Nothing in the tree depends on one machine's folders or on the name of a registry's host.

use crate::files::{TextFile, complains, files, none};

/// First folders of absolute paths that belong to one machine or one person.
const FOLDERS: &[&str] = &["work", "root", "home", "Users"];

/// Hosts of registries, without their dots: clients reach them by package name.
const HOSTS: &[&[&str]] = &[
    &["crates", "io"],
    &["pypi", "org"],
    &["pythonhosted", "org"],
    &["npmjs", "org"],
    &["deb", "debian", "org"],
    &["proxy", "golang", "org"],
    &["static", "rust-lang", "org"],
];

/// Cargo writes its registry into the lock file.
const WRITTEN_BY_TOOLS: &[&str] = &["Cargo.lock"];

fn places(file: &TextFile) -> Vec<String> {
    let mut complaints = Vec::new();
    let folders: Vec<String> = FOLDERS.iter().map(|folder| format!("/{folder}/")).collect();
    let hosts: Vec<String> = HOSTS.iter().map(|labels| labels.join(".")).collect();
    for (index, line) in file.text.lines().enumerate() {
        let place = format!("{}:{}", file.path, index + 1);
        let is_absolute = |at: usize| {
            let before = line[..at].chars().next_back();
            before.is_none_or(|c| !c.is_alphanumeric() && !"./}-_~*".contains(c))
        };
        let folder = folders.iter().find(|folder| line.match_indices(*folder).any(|(at, _)| is_absolute(at)));
        complaints.extend(folder.map(|folder| format!("{place}: a path below {folder}")));
        let host = hosts.iter().find(|host| line.contains(*host));
        complaints.extend(host.map(|host| format!("{place}: the host {host}")));
    }
    complaints
}

#[test]
fn no_machine_and_no_registry_is_named() {
    let checked = files().iter().filter(|file| !WRITTEN_BY_TOOLS.contains(&file.path.as_str()));
    none(checked.flat_map(places).collect());
}

#[test]
fn bad_places_are_noticed() {
    let judge = |text: &str| places(&TextFile::example("x.md", text));
    for folder in FOLDERS {
        complains(&judge(&format!("one\nsee `/{folder}/x`\n")), "x.md:2: a path below");
    }
    complains(&judge(&format!("from https://{}/x", HOSTS[1].join("."))), "the host");
    none(judge("https://example.org/work/x ../work/x network/ $ROOT/home/x"));
}
