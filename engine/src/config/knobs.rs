//! The table of knobs: every setting with its unit, what it does, what it takes, and where it is kept.

use std::fmt;
use std::sync::LazyLock;

use trunkline_cli::stderr_log::Format;
use trunkline_shards::limits::{LIMITS, Limit};

use trunkline_wire::websocket::Origins;

use super::public_port::public_port;
use super::{Config, SHARDS_MAX, StoreKind};
use crate::ring::{BUFFERS_MAX, Feature, Features, SLOTS_MAX};

/// TOML has no larger numbers.
const NUMBER_MAX: u64 = i64::MAX as u64;

/// What a knob takes.
#[derive(Clone, Copy, Debug)]
pub enum Fits {
    /// Text; the words say which.
    Text(&'static str),
    /// A whole number within bounds.
    Number(u64, u64),
    /// 0, or a power of two up to this.
    PowerOfTwo(u64),
    /// `true` or `false`.
    YesNo,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Any number of features of io_uring.
    Features,
    /// Any number of origins of pages.
    Origins,
}

impl fmt::Display for Fits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fits::Text(what) => formatter.write_str(what),
            Fits::Number(low, NUMBER_MAX) => write!(formatter, "a number from {low} up"),
            Fits::Number(low, high) => write!(formatter, "a number from {low} to {high}"),
            Fits::PowerOfTwo(high) => write!(formatter, "0 or a power of two up to {high}"),
            Fits::YesNo => formatter.write_str("true or false"),
            Fits::Word(words) => formatter.write_str(&words.join(" or ")),
            Fits::Origins => formatter.write_str("a list of origins, as https://chat.example, or *"),
            Fits::Features => {
                write!(formatter, "a list of these: {}", Feature::ALL.map(Feature::name).join(", "))
            }
        }
    }
}

/// The value of a knob, as TOML has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Number(u64),
    /// Yes or no.
    YesNo(bool),
    /// Words.
    List(Vec<String>),
}

impl Value {
    /// As a TOML file has it.
    pub fn to_toml(&self) -> String {
        let text = |text: &str| toml::Value::String(text.to_owned()).to_string();
        match self {
            Value::Text(value) => text(value),
            Value::Number(number) => number.to_string(),
            Value::YesNo(yes) => yes.to_string(),
            Value::List(words) => format!("[{}]", words.iter().map(|word| text(word)).collect::<Vec<_>>().join(", ")),
        }
    }
}

/// As `--set` has it.
impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => formatter.write_str(text),
            Value::Number(number) => number.fmt(formatter),
            Value::YesNo(yes) => yes.fmt(formatter),
            Value::List(words) => formatter.write_str(&words.join(",")),
        }
    }
}

/// Where a knob's value is kept.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Own(fn(&Config) -> Value, fn(&mut Config, &Parsed)),
    Limit(&'static str),
}

/// A value that fits its knob.
pub(super) enum Parsed {
    Text(String),
    Number(u64),
    YesNo(bool),
    Features(Features),
    Origins(Origins),
}

impl Parsed {
    pub(super) fn text(&self) -> &str {
        let Parsed::Text(text) = self else { unreachable!("the table asks for what it reads") };
        text
    }

    fn number(&self) -> u64 {
        let Parsed::Number(number) = self else { unreachable!("the table asks for what it reads") };
        *number
    }
}

/// A setting.
#[derive(Clone, Debug)]
pub struct Knob {
    /// Its name in files and in `--set`.
    pub key: String,
    /// What its value counts, or what kind of text it is.
    pub unit: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// What it takes.
    pub fits: Fits,
    /// The default in words, where it depends on the machine.
    pub by_default: Option<&'static str>,
    place: Place,
}

impl Knob {
    /// The value in a configuration.
    pub fn read(&self, config: &Config) -> Value {
        match self.place {
            Place::Own(read, _) => read(config),
            Place::Limit(name) => Value::Number(config.limits.value(name).expect("the table is made from the limits")),
        }
    }

    /// Sets it; false where the text does not fit.
    pub(super) fn write(&self, config: &mut Config, text: &str) -> bool {
        let Some(parsed) = parse(self.fits, text) else { return false };
        match self.place {
            Place::Own(_, write) => {
                write(config, &parsed);
                true
            }
            Place::Limit(name) => config.limits.set(name, parsed.number()).is_ok(),
        }
    }
}

fn parse(fits: Fits, text: &str) -> Option<Parsed> {
    let number = || text.replace('_', "").parse().ok();
    match fits {
        Fits::Text(_) => Some(Parsed::Text(text.to_owned())),
        Fits::Number(low, high) => number().filter(|number| (low..=high).contains(number)).map(Parsed::Number),
        Fits::PowerOfTwo(high) => {
            number().filter(|number: &u64| *number <= high && number.count_ones() <= 1).map(Parsed::Number)
        }
        Fits::YesNo => text.parse().ok().map(Parsed::YesNo),
        Fits::Word(words) => words.contains(&text).then(|| Parsed::Text(text.to_owned())),
        Fits::Features => features(text).map(Parsed::Features),
        Fits::Origins => Origins::parse(text).map(Parsed::Origins),
    }
}

fn features(names: &str) -> Option<Features> {
    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(Feature::named).try_fold(Features::NONE, |all, one| Some(all.with(one?)))
}

/// Every knob, in the order in which they are told.
pub fn knobs() -> &'static [Knob] {
    static KNOBS: LazyLock<Vec<Knob>> = LazyLock::new(|| {
        let settings =
            own().into_iter().chain(accounts()).chain(public_port()).chain(store()).chain(ring()).chain(log());
        settings.chain(LIMITS.iter().map(of_limit)).collect()
    });
    &KNOBS
}

/// The knob of a key.
pub fn knob(key: &str) -> Option<&'static Knob> {
    // The one short form.
    let key = if key == "store" { "store.kind" } else { key };
    knobs().iter().find(|knob| knob.key == key)
}

pub(super) fn row(key: &str, unit: &'static str, about: &'static str, fits: Fits, place: Place) -> Knob {
    Knob { key: key.to_owned(), unit, about, fits, by_default: None, place }
}

fn own() -> [Knob; 5] {
    let listen = Place::Own(
        |config| Value::Text(config.listen.clone()),
        |config, value| config.listen = value.text().to_owned(),
    );
    let admin_listen = Place::Own(
        |config| Value::Text(config.admin_listen.clone()),
        |config, value| config.admin_listen = value.text().to_owned(),
    );
    let data = Place::Own(
        |config| Value::Text(config.data.display().to_string()),
        |config, value| config.data = value.text().into(),
    );
    let shards =
        Place::Own(|config| Value::Number(config.shards.into()), |config, value| config.shards = value.number() as u16);
    let pin = Place::Own(
        |config| Value::YesNo(config.pin),
        |config, value| config.pin = matches!(value, Parsed::YesNo(true)),
    );
    let by_default = Some("`$XDG_DATA_HOME/trunkline`, else `~/.local/share/trunkline`");
    [
        row("listen", "HOST:PORT", "where clients connect; port 0: any free one", Fits::Text("HOST:PORT"), listen),
        row(
            "admin.listen",
            "HOST:PORT",
            "where metrics and health are asked for; port 0: any free one; empty: nowhere",
            Fits::Text("HOST:PORT or nothing"),
            admin_listen,
        ),
        Knob {
            by_default,
            ..row("data", "path", "the folder of everything kept, made if it is missing", Fits::Text("a folder"), data)
        },
        Knob {
            by_default: Some("one per core the process may use"),
            ..row(
                "shards",
                "threads",
                "threads that serve; data opens with any number",
                Fits::Number(1, SHARDS_MAX.into()),
                shards,
            )
        },
        row("pin", "yes or no", "each shard stays on one core", Fits::YesNo, pin),
    ]
}

/// How users sign up and in.
fn accounts() -> [Knob; 6] {
    let listen = Place::Own(
        |config| Value::Text(config.http_listen.clone()),
        |config, value| config.http_listen = value.text().to_owned(),
    );
    let sign_up = Place::Own(
        |config| Value::YesNo(config.accounts.sign_up),
        |config, value| config.accounts.sign_up = matches!(value, Parsed::YesNo(true)),
    );
    let access = Place::Own(
        |config| Value::Number(config.accounts.access_ttl_s),
        |config, value| config.accounts.access_ttl_s = value.number(),
    );
    let refresh = Place::Own(
        |config| Value::Number(config.accounts.refresh_ttl_s),
        |config, value| config.accounts.refresh_ttl_s = value.number(),
    );
    let memory = Place::Own(
        |config| Value::Number(config.accounts.password_memory_kib.into()),
        |config, value| config.accounts.password_memory_kib = value.number() as u32,
    );
    let passes = Place::Own(
        |config| Value::Number(config.accounts.password_passes.into()),
        |config, value| config.accounts.password_passes = value.number() as u32,
    );
    let port = "where accounts and health are served where the kernel is too old for one port; empty: nowhere";
    let (refresh_about, year_s) = ("how long a device stays signed in without a sign of life", 366 * 86_400);
    [
        row("http.listen", "HOST:PORT", port, Fits::Text("HOST:PORT or nothing"), listen),
        row("accounts.sign_up", "yes or no", "anybody may sign up; else operators make users", Fits::YesNo, sign_up),
        row("accounts.access_ttl_s", "s", "how long an access token lasts", Fits::Number(1, 86_400), access),
        row("accounts.refresh_ttl_s", "s", refresh_about, Fits::Number(60, 10 * year_s), refresh),
        row(
            "accounts.password_memory_kib",
            "KiB",
            "memory that comparing a password takes (Argon2id)",
            Fits::Number(8, 1 << 20),
            memory,
        ),
        row("accounts.password_passes", "passes", "passes over that memory", Fits::Number(1, 100), passes),
    ]
}

fn store() -> [Knob; 4] {
    let kind = Place::Own(
        |config| Value::Text(config.store.to_string()),
        |config, value| {
            config.store = if value.text() == "memory" { StoreKind::Memory } else { StoreKind::Embedded };
        },
    );
    let reserve = Place::Own(
        |config| Value::Number(config.store_options.reserve_bytes),
        |config, value| config.store_options.reserve_bytes = value.number(),
    );
    let cache = Place::Own(
        |config| Value::Number(config.store_options.cache_bytes),
        |config, value| config.store_options.cache_bytes = value.number(),
    );
    let workers = Place::Own(
        |config| Value::Number(config.store_options.worker_threads as u64),
        |config, value| config.store_options.worker_threads = value.number() as usize,
    );
    let about = "embedded: on this machine's disk; memory: messages and accounts go with the process";
    [
        row("store.kind", "word", about, Fits::Word(&["embedded", "memory"]), kind),
        row(
            "store.reserve_bytes",
            "bytes",
            "free room on the disk below which writes are refused",
            Fits::Number(0, NUMBER_MAX),
            reserve,
        ),
        row("store.cache_bytes", "bytes", "memory for what was read from the disk", Fits::Number(0, NUMBER_MAX), cache),
        row(
            "store.worker_threads",
            "threads",
            "threads that write tables out and merge them",
            Fits::Number(1, 64),
            workers,
        ),
    ]
}

fn ring() -> [Knob; 3] {
    let disable = Place::Own(
        |config| {
            let disabled = Feature::ALL.into_iter().filter(|feature| config.ring_disable.has(*feature));
            Value::List(disabled.map(|feature| feature.name().to_owned()).collect())
        },
        |config, value| {
            let Parsed::Features(features) = value else { unreachable!("the table asks for what it reads") };
            config.ring_disable = *features;
        },
    );
    let buffers = Place::Own(
        |config| Value::Number(config.ring_buffers.into()),
        |config, value| config.ring_buffers = value.number() as u16,
    );
    let connections = Place::Own(
        |config| Value::Number(config.ring_connections.into()),
        |config, value| config.ring_connections = value.number() as u32,
    );
    let of_buffers = "receive buffers of 2 KiB per shard; 0: 4096, fewer with more than 8 shards";
    let of_connections = "connections per shard; 0: as the limit of descriptors allows";
    [
        row("ring.disable", "names", "features of io_uring not to be used", Fits::Features, disable),
        row("ring.buffers", "buffers", of_buffers, Fits::PowerOfTwo(BUFFERS_MAX.into()), buffers),
        row("ring.connections", "connections", of_connections, Fits::Number(0, SLOTS_MAX.into()), connections),
    ]
}

fn log() -> [Knob; 2] {
    let format = Place::Own(
        |config| Value::Text(if config.log_format == Format::Json { "json" } else { "text" }.to_owned()),
        |config, value| config.log_format = if value.text() == "json" { Format::Json } else { Format::Text },
    );
    let level = Place::Own(
        |config| Value::Text(config.log_level.as_str().to_lowercase()),
        |config, value| config.log_level = value.text().parse().expect("the table has tracing's names"),
    );
    let of_format = "what reports on stderr look like: lines for people, or an object a line";
    let of_level = "the least urgent reports; below info those of libraries too";
    let levels = Fits::Word(&["error", "warn", "info", "debug", "trace"]);
    [
        row("log.format", "word", of_format, Fits::Word(&["text", "json"]), format),
        row("log.level", "word", of_level, levels, level),
    ]
}

fn of_limit(limit: &Limit) -> Knob {
    Knob {
        key: format!("limits.{}", limit.name),
        unit: unit_of(limit.name),
        about: limit.about.trim().trim_end_matches('.'),
        fits: Fits::Number(limit.low, limit.high),
        by_default: None,
        place: Place::Limit(limit.name),
    }
}

/// Limits have their units in their names.
fn unit_of(limit: &str) -> &'static str {
    const UNITS: [(&str, &str); 5] =
        [("_per_s", "per second"), ("_ms", "ms"), ("_s", "s"), ("bytes_max", "bytes"), ("members_max", "members")];
    UNITS.iter().find(|(ending, _)| limit.ends_with(ending)).map_or("number", |(_, unit)| unit)
}
