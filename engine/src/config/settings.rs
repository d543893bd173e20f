//! Where settings come from: defaults < file < environment < `--set` < flags, and which of them said what.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use super::knobs::{Knob, knob, knobs};
use super::{Config, ConfigError, relations};

/// Variables of the environment with this prefix are settings: the key in capitals, `__` for each dot.
const PREFIX: &str = "TRUNKLINE__";
/// The folder of the server, which the other commands read too.
const DATA: &str = "TRUNKLINE_DATA";

/// Where a setting was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Source {
    /// Nowhere.
    #[default]
    Default,
    /// In the file of `--config`.
    File,
    /// By a variable.
    Environment,
    /// By `--set`.
    Set,
    /// By a flag of its own.
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Source::Default => "default",
            Source::File => "file",
            Source::Environment => "environment",
            Source::Set => "--set",
            Source::Flag => "flag",
        })
    }
}

/// A configuration in the making, and where each of its values comes from. Sources are to be taken in order; a later call
/// overrides an earlier one.
#[derive(Debug, Default)]
pub struct Settings {
    config: Config,
    sources: HashMap<&'static str, Source>,
}

impl Settings {
    /// Sets everything that a TOML file says.
    ///
    /// # Errors
    /// See [`ConfigError`]; what came before the fault is set.
    pub fn take_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::File(path.into(), error.to_string()))?;
        let table: toml::Table = toml::from_str(&text)
            .map_err(|error| ConfigError::Syntax(path.into(), error.to_string().trim_end().to_owned()))?;
        self.take_table("", &table).map_err(|error| error.found_in(path.display().to_string()))
    }

    /// Sets what the environment says: `TRUNKLINE__LIMITS__SEND_PER_S=20` is `limits.send_per_s`. `TRUNKLINE_DATA` is `data`.
    ///
    /// # Errors
    /// See [`ConfigError`]: names with that prefix which are no setting are refused.
    pub fn take_environment(
        &mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(), ConfigError> {
        let named = variables.into_iter().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        let mut ours: Vec<(String, OsString)> =
            named.filter(|(name, value)| name.starts_with(PREFIX) || (name == DATA && !value.is_empty())).collect();
        ours.sort();
        one_folder(&ours)?;
        for (name, value) in ours {
            if name == DATA {
                self.set_data(value.into(), Source::Environment);
                continue;
            }
            let key = name[PREFIX.len()..].to_lowercase().replace("__", ".");
            let value = value.into_string().map_err(|_| ConfigError::NotText(name.clone()))?;
            self.set(&key, &value, Source::Environment).map_err(|error| error.found_in(name))?;
        }
        Ok(())
    }

    /// Sets what `key=value` of a `--set` says.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn take_assignment(&mut self, assignment: &str) -> Result<(), ConfigError> {
        let no_assignment = || ConfigError::NoAssignment(assignment.to_owned());
        let (key, value) = assignment.split_once('=').ok_or_else(no_assignment)?;
        self.set(key.trim(), value.trim(), Source::Set)
    }

    /// Sets what a flag says.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn take_flag(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        self.set(key, value, Source::Flag)
    }

    /// Sets the folder that a flag names, which need not be text.
    pub fn take_data_flag(&mut self, data: PathBuf) {
        self.set_data(data, Source::Flag);
    }

    /// The configuration, if it can work.
    ///
    /// # Errors
    /// [`ConfigError::Impossible`].
    pub fn checked(&self) -> Result<&Config, ConfigError> {
        relations::check(&self.config)?;
        Ok(&self.config)
    }

    /// Every knob, a line each: `key = value  # unit, what it does; from where`. It is TOML, and read as a file it gives the
    /// same configuration.
    ///
    /// # Errors
    /// The path of the data folder is no text.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        if self.config.data.to_str().is_none() {
            return Err(ConfigError::NotText("the data folder's path".to_owned()));
        }
        let mut text =
            "# Settings in force, and where each comes from. `trunkline serve --config FILE` reads this.\n".to_owned();
        for knob in knobs() {
            let Knob { key, unit, about, .. } = knob;
            let source = self.sources.get(key.as_str()).copied().unwrap_or_default();
            let value = knob.read(&self.config).to_toml();
            let _ = writeln!(text, "{key} = {value}  # {unit}, {about}; from {source}");
        }
        Ok(text)
    }

    fn take_table(&mut self, prefix: &str, table: &toml::Table) -> Result<(), ConfigError> {
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            match value {
                toml::Value::Table(table) => self.take_table(&format!("{key}."), table)?,
                value => self.set(&key, &flat(value), Source::File)?,
            }
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: &str, source: Source) -> Result<(), ConfigError> {
        self.config.set(key, value)?;
        let knob = knob(key).expect("what was set is a knob");
        self.sources.insert(&knob.key, source);
        Ok(())
    }

    fn set_data(&mut self, data: PathBuf, source: Source) {
        self.config.data = data;
        self.sources.insert("data", source);
    }
}

/// Two names for the folder must not name two folders: the other commands would look into the wrong one.
fn one_folder(variables: &[(String, OsString)]) -> Result<(), ConfigError> {
    let of = |wanted: &str| variables.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let long = format!("{PREFIX}DATA");
    match (of(DATA), of(&long)) {
        (Some(short), Some(other)) if short != other => {
            Err(ConfigError::Impossible(format!("{DATA} and {long} name two folders: unset one of them")))
        }
        _ => Ok(()),
    }
}

/// A value as `--set` would have it.
fn flat(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(values) => values.iter().map(flat).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StoreKind;
    use crate::ring::Feature;

    fn variables(set: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        set.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    fn of_file(text: &str) -> Result<Settings, ConfigError> {
        let folder = std::env::temp_dir();
        let file = folder.join(format!("trunkline-settings-{}-{}.toml", std::process::id(), text.len()));
        std::fs::write(&file, text).unwrap();
        let mut settings = Settings::default();
        let taken = settings.take_file(&file);
        std::fs::remove_file(&file).unwrap();
        taken.map(|()| settings)
    }

    #[test]
    fn a_later_source_wins() {
        let text = "listen = \"0.0.0.0:1\"\npin = false\nshards = 3\n[store]\nkind = \"embedded\"\nreserve_bytes = 1_000\n\
                    [ring]\ndisable = [\"msg_ring\", \"submit_all\"]\n[limits]\nsend_per_s = 7\nread_per_s = 7\n";
        let mut settings = of_file(text).unwrap();
        settings
            .take_environment(variables(&[("TRUNKLINE__LIMITS__SEND_PER_S", "8"), ("TRUNKLINE_DATA", "/d")]))
            .unwrap();
        settings.take_assignment("limits.send_per_s=9").unwrap();
        settings.take_flag("shards", "4").unwrap();
        let config = settings.checked().unwrap();
        assert_eq!((config.listen.as_str(), config.pin, config.shards), ("0.0.0.0:1", false, 4));
        assert_eq!((config.store, config.store_options.reserve_bytes), (StoreKind::Embedded, 1000));
        assert!(config.ring_disable.has(Feature::MsgRing) && config.ring_disable.has(Feature::SubmitAll));
        assert_eq!((config.limits.send_per_s, config.limits.read_per_s), (9, 7));
        assert_eq!(config.data, PathBuf::from("/d"));
        assert!(config.changed().contains(&"limits.send_per_s=9".to_owned()));
        let toml = settings.to_toml().unwrap();
        for part in ["shards = 4  # threads, ", "; from flag\n", "read_per_s = 7  # per second, ", "; from file\n"] {
            assert!(toml.contains(part), "{part} in {toml}");
        }
        assert_eq!(of_file(&toml).unwrap().config, *config);
    }

    #[test]
    fn the_environment_is_checked_like_a_file() {
        let refused =
            |set: &[(&str, &str)]| Settings::default().take_environment(variables(set)).unwrap_err().to_string();
        let misspelled = refused(&[("TRUNKLINE__LIMITS__SENDS_PER_S", "1")]);
        assert!(misspelled.contains("TRUNKLINE__LIMITS__SENDS_PER_S: there is no setting"), "{misspelled}");
        assert!(refused(&[("TRUNKLINE__", "1")]).contains("no setting ``"));
        assert!(refused(&[("TRUNKLINE__PIN", "maybe")]).contains("true or false"));
        assert!(refused(&[("TRUNKLINE__DATA", "/a"), ("TRUNKLINE_DATA", "/b")]).contains("unset one"));
        let ours = variables(&[("TRUNKLINE_TOKEN", "x"), ("TRUNKLINE_DATA", ""), ("HOME", "/h")]);
        let mut settings = Settings::default();
        settings.take_environment(ours).unwrap();
        assert_eq!(settings.config, Config::default());
    }

    #[test]
    fn what_excludes_each_other_is_refused() {
        for (assignments, part) in [
            (&["store=memory", "store.reserve_bytes=1"][..], "set `store.kind` to `embedded`"),
            (&["listen=127.0.0.1:9", "admin.listen=127.0.0.1:9"], "another port for `admin.listen`"),
            (&["limits.conversation_pending_bytes_max=61439"], "set it to 61440 or more"),
            (&["tls.certificate=/etc/chain.pem"], "`tls.key` is not"),
            (&["tls.key=/etc/key.pem"], "`tls.certificate` is not"),
        ] {
            let mut settings = Settings::default();
            assignments.iter().try_for_each(|assignment| settings.take_assignment(assignment)).unwrap();
            let refused = settings.checked().unwrap_err().to_string();
            assert!(refused.contains(part), "{assignments:?}: {refused}");
        }
        let refused = Settings::default().take_assignment("nothing").unwrap_err().to_string();
        assert!(refused.contains("key=value"));
    }
}
