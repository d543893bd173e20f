//! What an operator can choose: defaults, then a TOML file, then `--set key=value`, then the flags of `serve`.
//!
//! Every source goes through [`Config::set`], so each key has one name, one check and one error.

use std::fmt;
use std::path::{Path, PathBuf};

use trunkline_shards::limits::{LimitError, Limits};
use trunkline_storage::embedded::Options as StoreOptions;

use crate::placement;
use crate::ring::{BUFFERS_MAX, Feature, Features, RingOptions, SLOTS_MAX, buffers_per_shard};

/// Most shards of a process.
pub const SHARDS_MAX: u16 = 1024;

/// Which store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreKind {
    /// On this machine's disk.
    Embedded,
    /// Gone with the process.
    Memory,
}

impl fmt::Display for StoreKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            StoreKind::Embedded => "embedded",
            StoreKind::Memory => "memory",
        })
    }
}

/// Everything that can be configured.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// `listen`: HOST:PORT for clients.
    pub listen: String,
    /// `data`: the folder for everything that is kept.
    pub data: PathBuf,
    /// `shards`: threads that serve; by default one per core.
    pub shards: u16,
    /// `store`, or `store.kind`.
    pub store: StoreKind,
    /// `store.reserve_bytes`, `store.cache_bytes`, `store.worker_threads`.
    pub store_options: StoreOptions,
    /// `pin`: each shard stays on its core.
    pub pin: bool,
    /// `ring.disable`: features of io_uring not to be used.
    pub ring_disable: Features,
    /// `ring.buffers`: receive buffers per shard, a power of two; 0: by the number of shards.
    pub ring_buffers: u16,
    /// `ring.connections`: slots per shard; 0: by the limit of descriptors.
    pub ring_connections: u32,
    /// `limits.*`.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: "127.0.0.1:7400".into(),
            data: default_data(),
            shards: (placement::cores().len()).min(usize::from(SHARDS_MAX)) as u16,
            store: StoreKind::Embedded,
            store_options: StoreOptions::default(),
            pin: true,
            ring_disable: Features::NONE,
            ring_buffers: 0,
            ring_connections: 0,
            limits: Limits::default(),
        }
    }
}

/// What is wrong with a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfigError {
    /// The file can't be read.
    File(PathBuf, String),
    /// The file is no TOML.
    Syntax(PathBuf, String),
    /// There is no such key.
    UnknownKey(String),
    /// The value does not fit the key: key, value, what would fit.
    BadValue(String, String, String),
    /// Not `key=value`.
    NoAssignment(String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::File(path, reason) => write!(formatter, "can't read {}: {reason}", path.display()),
            ConfigError::Syntax(path, reason) => write!(formatter, "{}: {reason}", path.display()),
            ConfigError::UnknownKey(key) => write!(formatter, "there is no setting `{key}`"),
            ConfigError::BadValue(key, value, fits) => write!(formatter, "`{key}` can't be `{value}`: it is {fits}"),
            ConfigError::NoAssignment(text) => write!(formatter, "`{text}` sets nothing: write key=value"),
        }
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Sets everything a TOML file says.
    ///
    /// # Errors
    /// See [`ConfigError`]; what came before the fault is set.
    pub fn set_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::File(path.into(), error.to_string()))?;
        let table: toml::Table = toml::from_str(&text)
            .map_err(|error| ConfigError::Syntax(path.into(), error.to_string().trim_end().to_owned()))?;
        self.set_table("", &table)
    }

    /// Sets what `key=value` says.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn set_assignment(&mut self, assignment: &str) -> Result<(), ConfigError> {
        let (key, value) =
            assignment.split_once('=').ok_or_else(|| ConfigError::NoAssignment(assignment.to_owned()))?;
        self.set(key.trim(), value.trim())
    }

    /// Sets one key. Lists are separated by commas.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let misfit = |fits: &str| ConfigError::BadValue(key.to_owned(), value.to_owned(), fits.to_owned());
        match key {
            "listen" => self.listen = value.to_owned(),
            "data" => self.data = value.into(),
            "shards" => self.shards = number(key, value, 1, u64::from(SHARDS_MAX))? as u16,
            "store" | "store.kind" => {
                self.store = match value {
                    "embedded" => StoreKind::Embedded,
                    "memory" => StoreKind::Memory,
                    _ => return Err(misfit("embedded or memory")),
                }
            }
            "store.reserve_bytes" => self.store_options.reserve_bytes = number(key, value, 0, u64::MAX)?,
            "store.cache_bytes" => self.store_options.cache_bytes = number(key, value, 0, u64::MAX)?,
            "store.worker_threads" => self.store_options.worker_threads = number(key, value, 1, 64)? as usize,
            "pin" => self.pin = value.parse().map_err(|_| misfit("true or false"))?,
            "ring.disable" => self.ring_disable = features(value).map_err(|()| misfit(&known_features()))?,
            "ring.buffers" => {
                self.ring_buffers = number(key, value, 0, u64::from(BUFFERS_MAX))? as u16;
                if self.ring_buffers != 0 && !self.ring_buffers.is_power_of_two() {
                    return Err(misfit("0 or a power of two"));
                }
            }
            "ring.connections" => self.ring_connections = number(key, value, 0, u64::from(SLOTS_MAX))? as u32,
            _ => match key.strip_prefix("limits.") {
                Some(limit) => self.set_limit(key, limit, value)?,
                None => return Err(ConfigError::UnknownKey(key.to_owned())),
            },
        }
        Ok(())
    }

    /// Every key with its value in force, for a report or a file.
    pub fn in_force(&self) -> Vec<(String, String)> {
        let disabled = if self.ring_disable == Features::NONE { String::new() } else { self.ring_disable.to_string() };
        let mut all: Vec<(String, String)> = [
            ("listen", self.listen.clone()),
            ("data", self.data.display().to_string()),
            ("shards", self.shards.to_string()),
            ("store.kind", self.store.to_string()),
            ("store.reserve_bytes", self.store_options.reserve_bytes.to_string()),
            ("store.cache_bytes", self.store_options.cache_bytes.to_string()),
            ("store.worker_threads", self.store_options.worker_threads.to_string()),
            ("pin", self.pin.to_string()),
            ("ring.disable", disabled.replace(' ', ",")),
            ("ring.buffers", self.ring_options().buffers.to_string()),
            ("ring.connections", self.ring_connections.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        self.limits.each(|name, value| all.push((format!("limits.{name}"), value.to_string())));
        all
    }

    /// What is not as it is by default, `key=value` each.
    pub fn changed(&self) -> Vec<String> {
        let defaults = Config::default().in_force();
        let changed = self.in_force().into_iter().zip(defaults).filter(|(here, default)| here != default);
        changed.map(|((key, value), _)| format!("{key}={value}")).collect()
    }

    /// What each ring is made with.
    pub fn ring_options(&self) -> RingOptions {
        let buffers = if self.ring_buffers == 0 { buffers_per_shard(self.shards) } else { self.ring_buffers };
        RingOptions { disable: self.ring_disable, buffers, connections: self.ring_connections }
    }

    fn set_table(&mut self, prefix: &str, table: &toml::Table) -> Result<(), ConfigError> {
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            match value {
                toml::Value::Table(table) => self.set_table(&format!("{key}."), table)?,
                value => self.set(&key, &flat(value))?,
            }
        }
        Ok(())
    }

    fn set_limit(&mut self, key: &str, limit: &str, value: &str) -> Result<(), ConfigError> {
        let number = number(key, value, 0, u64::MAX)?;
        self.limits.set(limit, number).map_err(|error| match error {
            LimitError::Unknown => ConfigError::UnknownKey(key.to_owned()),
            LimitError::OutOfBounds { low, high } => out_of_bounds(key, value, low, high),
        })
    }
}

/// The platform's data folder: `$XDG_DATA_HOME/trunkline` or `~/.local/share/trunkline`.
fn default_data() -> PathBuf {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    base.unwrap_or_else(|| "/var/lib".into()).join("trunkline")
}

fn number(key: &str, value: &str, low: u64, high: u64) -> Result<u64, ConfigError> {
    let digits = value.replace('_', "");
    let number = digits.parse().ok().filter(|number| (low..=high).contains(number));
    number.ok_or_else(|| out_of_bounds(key, value, low, high))
}

fn out_of_bounds(key: &str, value: &str, low: u64, high: u64) -> ConfigError {
    let fits =
        if high == u64::MAX { format!("a number from {low} up") } else { format!("a number from {low} to {high}") };
    ConfigError::BadValue(key.to_owned(), value.to_owned(), fits)
}

fn features(names: &str) -> Result<Features, ()> {
    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(|name| Feature::named(name).ok_or(())).try_fold(Features::NONE, |all, one| Ok(all.with(one?)))
}

fn known_features() -> String {
    format!("a list of these: {}", Feature::ALL.map(Feature::name).join(", "))
}

/// A value as `--set` would have it.
fn flat(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(values) => values.iter().map(flat).collect::<Vec<_>>().join(","),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(yes) => yes.to_string(),
        toml::Value::Datetime(time) => time.to_string(),
        toml::Value::Table(_) => "a table".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_source_wins() {
        let file = std::env::temp_dir().join(format!("trunkline-config-{}.toml", std::process::id()));
        let text = "listen = \"0.0.0.0:1\"\npin = false\nshards = 3\n[store]\nkind = \"memory\"\nreserve_bytes = 1_000\n\
                    [ring]\ndisable = [\"msg_ring\", \"submit_all\"]\n[limits]\nsend_per_s = 7\n";
        std::fs::write(&file, text).unwrap();
        let mut config = Config::default();
        config.set_file(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        config.set_assignment("limits.send_per_s=9").unwrap();
        assert_eq!((config.listen.as_str(), config.pin, config.shards), ("0.0.0.0:1", false, 3));
        assert_eq!((config.store, config.store_options.reserve_bytes), (StoreKind::Memory, 1000));
        assert!(config.ring_disable.has(Feature::MsgRing) && config.ring_disable.has(Feature::SubmitAll));
        assert_eq!(config.limits.send_per_s, 9);
        assert!(config.changed().contains(&"limits.send_per_s=9".to_owned()));
    }

    #[test]
    fn every_key_in_force_can_be_set() {
        let config = Config::default();
        for (key, value) in config.in_force() {
            let mut other = Config::default();
            other.set(&key, &value).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    #[test]
    fn errors_name_the_key() {
        let mut config = Config::default();
        for (assignment, part) in [
            ("limits.sends_per_s=1", "`limits.sends_per_s`"),
            ("limits.send_per_s=0", "from 1 to"),
            ("shards=0", "`shards`"),
            ("pin=maybe", "true or false"),
            ("store=redis", "embedded or memory"),
            ("ring.disable=turbo", "no_sqarray"),
            ("ring.buffers=3", "power of two"),
            ("liste=1", "`liste`"),
            ("nothing", "key=value"),
        ] {
            let error = config.set_assignment(assignment).unwrap_err().to_string();
            assert!(error.contains(part), "{assignment}: {error}");
        }
    }
}
