//! What an operator can choose: the configuration, the table of its knobs ([`knobs`]) and where values come from
//! ([`settings`]).
//!
//! Every source goes through [`Config::set`], so each key has one name, one check and one error.

mod error;
pub mod knobs;
mod public_port;
mod relations;
pub mod settings;

use std::fmt;
use std::path::PathBuf;

use tracing::Level;
use trunkline_cli::stderr_log::Format;
use trunkline_edge::sign_in::Policy;
use trunkline_edge::transport::CertificateFiles;
use trunkline_shards::limits::Limits;
use trunkline_storage::embedded::Options as StoreOptions;
use trunkline_wire::websocket::Origins;

pub use error::ConfigError;

use crate::placement;
use crate::ring::{Features, RingOptions, buffers_per_shard};
use knobs::{knob, knobs};

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
    /// `admin.listen`: HOST:PORT for metrics and health; empty: none.
    pub admin_listen: String,
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
    /// `http.listen`: HOST:PORT for other requests, where the kernel cannot hand their connections over; empty: none.
    pub http_listen: String,
    /// `http.origins`: whose pages may connect beside those of the same host.
    pub http_origins: Origins,
    /// `tls.certificate` and `tls.key`: files; both empty: no TLS.
    pub tls_certificate: PathBuf,
    /// See `tls_certificate`.
    pub tls_key: PathBuf,
    /// `accounts.*`.
    pub accounts: Policy,
    /// `log.format`: what reports on stderr look like.
    pub log_format: Format,
    /// `log.level`: the least urgent reports.
    pub log_level: Level,
    /// `limits.*`.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: "127.0.0.1:7400".into(),
            admin_listen: "127.0.0.1:7401".into(),
            data: default_data(),
            shards: (placement::cores().len()).min(usize::from(SHARDS_MAX)) as u16,
            store: StoreKind::Embedded,
            store_options: StoreOptions::default(),
            pin: true,
            ring_disable: Features::NONE,
            ring_buffers: 0,
            ring_connections: 0,
            http_listen: "127.0.0.1:7402".into(),
            http_origins: Origins::default(),
            tls_certificate: PathBuf::new(),
            tls_key: PathBuf::new(),
            accounts: Policy::default(),
            log_format: Format::Text,
            log_level: Level::INFO,
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// Sets one key. Lists are separated by commas.
    ///
    /// # Errors
    /// There is no such key, or the value does not fit it.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let knob = knob(key).ok_or_else(|| ConfigError::UnknownKey(key.to_owned(), nearest(key)))?;
        if knob.write(self, value) {
            return Ok(());
        }
        Err(ConfigError::BadValue(key.to_owned(), value.to_owned(), knob.fits.to_string()))
    }

    /// What is not as it is by default, `key=value` each.
    pub fn changed(&self) -> Vec<String> {
        let default = Config::default();
        let changed = knobs().iter().filter(|knob| knob.read(self) != knob.read(&default));
        changed.map(|knob| format!("{}={}", knob.key, knob.read(self))).collect()
    }

    /// What connections are encrypted with, if they are.
    pub fn certificate_files(&self) -> Option<CertificateFiles> {
        let files = CertificateFiles { certificate: self.tls_certificate.clone(), key: self.tls_key.clone() };
        (files.certificate != PathBuf::new()).then_some(files)
    }

    /// What each ring is made with.
    pub fn ring_options(&self) -> RingOptions {
        let buffers = if self.ring_buffers == 0 { buffers_per_shard(self.shards) } else { self.ring_buffers };
        RingOptions { disable: self.ring_disable, buffers, connections: self.ring_connections }
    }
}

/// The platform's data folder: `$XDG_DATA_HOME/trunkline` or `~/.local/share/trunkline`.
fn default_data() -> PathBuf {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    base.unwrap_or_else(|| "/var/lib".into()).join("trunkline")
}

/// The key that was most likely meant: one whose table was left out, else the most similar one.
fn nearest(key: &str) -> Option<String> {
    /// Below this, two names only share letters.
    const SIMILAR: f64 = 0.65;
    let keys = || knobs().iter().map(|knob| knob.key.as_str());
    let without_table = keys().find(|known| known.split_once('.').is_some_and(|(_, name)| name == key));
    let scored = keys().map(|known| (strsim::normalized_damerau_levenshtein(key, known), known));
    let similar = scored.filter(|(score, _)| *score >= SIMILAR).max_by(|one, other| one.0.total_cmp(&other.0));
    without_table.or(similar.map(|(_, known)| known)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_knob_reads_what_it_wrote() {
        for knob in knobs() {
            let (mut config, default) = (Config::default(), Config::default());
            let value = knob.read(&default);
            config.set(&knob.key, &value.to_string()).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(knob.read(&config), value, "{}", knob.key);
            assert_eq!(config, default, "{} writes what it reads and nothing else", knob.key);
            assert!(!knob.about.is_empty() && !knob.unit.is_empty(), "{}", knob.key);
        }
    }

    #[test]
    fn errors_name_the_key_and_the_fix() {
        let mut config = Config::default();
        for (key, value, part) in [
            ("limits.sends_per_s", "1", "did you mean `limits.send_per_s`?"),
            ("send_per_s", "1", "did you mean `limits.send_per_s`?"),
            ("liste", "1", "did you mean `listen`?"),
            ("zzzzzz", "1", "`trunkline config` prints all"),
            ("limits.send_per_s", "0", "from 1 to"),
            ("shards", "0", "`shards`"),
            ("pin", "maybe", "true or false"),
            ("store", "redis", "embedded or memory"),
            ("ring.disable", "turbo", "no_sqarray"),
            ("ring.buffers", "3", "power of two"),
            ("http.origins", "chat.example", "https://chat.example"),
        ] {
            let error = config.set(key, value).unwrap_err().to_string();
            assert!(error.contains(part), "{key}={value}: {error}");
        }
        assert_eq!(config, Config::default());
    }
}
