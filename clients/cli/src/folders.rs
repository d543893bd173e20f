//! Where things are kept on this machine (XDG Base Directory Specification, 0.8).

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::failure::Failure;

const NAME: &str = "trunkline";

/// `$variable/trunkline`, or `~/home_path/trunkline`; relative values do not count, as the specification wants it.
fn folder(read: impl Fn(&str) -> Option<OsString>, variable: &str, home_path: &str) -> Result<PathBuf, Failure> {
    let absolute = |name: &str| read(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(home_path)));
    let missing =
        || Failure::new("no_home", format!("neither {variable} nor HOME is set to an absolute path: set one"));
    Ok(base.ok_or_else(missing)?.join(NAME))
}

/// Tokens: `$XDG_CONFIG_HOME/trunkline` or `~/.config/trunkline`.
///
/// # Errors
/// There is no home.
pub fn config() -> Result<PathBuf, Failure> {
    folder(|name| env::var_os(name), "XDG_CONFIG_HOME", ".config")
}

/// Outboxes: `$XDG_STATE_HOME/trunkline` or `~/.local/state/trunkline`.
///
/// # Errors
/// There is no home.
pub fn state() -> Result<PathBuf, Failure> {
    folder(|name| env::var_os(name), "XDG_STATE_HOME", ".local/state")
}

/// A server's data: `$TRUNKLINE_DATA` or `$TRUNKLINE__DATA`, else `$XDG_DATA_HOME/trunkline` or `~/.local/share/trunkline`.
///
/// # Errors
/// There is no home.
pub fn data() -> Result<PathBuf, Failure> {
    data_of(|name| env::var_os(name))
}

fn data_of(read: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, Failure> {
    // The second one is how the server's settings are named in the environment.
    let named =
        ["TRUNKLINE_DATA", "TRUNKLINE__DATA"].into_iter().find_map(|name| read(name).filter(|path| !path.is_empty()));
    match named {
        Some(path) => Ok(path.into()),
        None => folder(read, "XDG_DATA_HOME", ".local/share"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a>(set: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<OsString> {
        |name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
    }

    #[test]
    fn the_variable_counts_before_home() {
        let of = |set: &[(&str, &str)]| folder(read(set), "XDG_STATE_HOME", ".local/state").ok();
        assert_eq!(of(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]), Some("/s/trunkline".into()));
        assert_eq!(of(&[("XDG_STATE_HOME", "s"), ("HOME", "/h")]), Some("/h/.local/state/trunkline".into()));
        assert_eq!(of(&[("XDG_STATE_HOME", "")]), None);
    }

    #[test]
    fn data_may_be_anywhere() {
        let of = |set: &[(&str, &str)]| data_of(read(set)).ok();
        assert_eq!(of(&[("TRUNKLINE_DATA", "here"), ("XDG_DATA_HOME", "/d")]), Some("here".into()));
        assert_eq!(of(&[("TRUNKLINE__DATA", "/there"), ("XDG_DATA_HOME", "/d")]), Some("/there".into()));
        assert_eq!(of(&[("TRUNKLINE_DATA", ""), ("XDG_DATA_HOME", "/d")]), Some("/d/trunkline".into()));
    }
}
