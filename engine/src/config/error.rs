//! What can be wrong with a configuration: each says what, where it comes from, and the fix.

use std::fmt;
use std::path::PathBuf;

/// What is wrong with a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfigError {
    /// The file can't be read.
    File(PathBuf, String),
    /// The file is no TOML.
    Syntax(PathBuf, String),
    /// There is no such key: it, and the nearest one that there is.
    UnknownKey(String, Option<String>),
    /// The value does not fit the key: key, value, what would fit.
    BadValue(String, String, String),
    /// Not `key=value`.
    NoAssignment(String),
    /// No text: a name in the environment.
    NotText(String),
    /// Settings that exclude each other: a sentence with the fix.
    Impossible(String),
    /// Any of these, and where it stands.
    In(String, Box<ConfigError>),
}

impl ConfigError {
    /// The same, and where it stands.
    pub(super) fn found_in(self, place: impl Into<String>) -> ConfigError {
        ConfigError::In(place.into(), Box::new(self))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::File(path, reason) => write!(formatter, "can't read {}: {reason}", path.display()),
            ConfigError::Syntax(path, reason) => write!(formatter, "{}: {reason}", path.display()),
            ConfigError::UnknownKey(key, Some(nearest)) => {
                write!(formatter, "there is no setting `{key}`; did you mean `{nearest}`?")
            }
            ConfigError::UnknownKey(key, None) => {
                write!(formatter, "there is no setting `{key}`; `trunkline config` prints all there are")
            }
            ConfigError::BadValue(key, value, fits) => write!(formatter, "`{key}` can't be `{value}`: it is {fits}"),
            ConfigError::NoAssignment(text) => write!(formatter, "`{text}` sets nothing: write key=value"),
            ConfigError::NotText(name) => write!(formatter, "the value of {name} is no UTF-8: set it to text"),
            ConfigError::Impossible(reason) => formatter.write_str(reason),
            ConfigError::In(place, error) => write!(formatter, "{place}: {error}"),
        }
    }
}

impl std::error::Error for ConfigError {}
