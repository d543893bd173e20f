//! What the program and its libraries have to report, on stderr: lines for people, or objects for machines.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::aside::Aside;

/// What a report looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// `trunkline: ` and a sentence, with the level in between where it is not `info`.
    #[default]
    Text,
    /// An object a line: `timestamp`, `level`, `target`, `message`.
    Json,
}

/// From now on reports of this level and more urgent ones go to stderr. Of libraries only errors do, whose warnings speak to
/// developers; below `info` everything. Harmless where it was done before.
pub fn install(format: Format, level: Level) {
    // Whoever was first counts.
    let _ = match format {
        Format::Text => tracing_subscriber::registry().with(text(|| Aside)).with(filter(level)).try_init(),
        Format::Json => tracing_subscriber::registry().with(json(|| Aside)).with(filter(level)).try_init(),
    };
}

fn filter(level: Level) -> Targets {
    let of_libraries = if level > Level::INFO { level } else { Level::ERROR };
    Targets::new().with_default(LevelFilter::from_level(of_libraries)).with_target("trunkline", level)
}

type Layer<S, N, E, W> = tracing_subscriber::fmt::Layer<S, N, E, W>;
type JsonFields = tracing_subscriber::fmt::format::JsonFields;
type JsonEvent = tracing_subscriber::fmt::format::Format<tracing_subscriber::fmt::format::Json>;

fn text<S, W>(to: W) -> Layer<S, tracing_subscriber::fmt::format::DefaultFields, ForPeople, W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    tracing_subscriber::fmt::layer().with_ansi(false).event_format(ForPeople).with_writer(to)
}

fn json<S, W>(to: W) -> Layer<S, JsonFields, JsonEvent, W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(to)
}

/// A line for people.
struct ForPeople;

impl<S, N> FormatEvent<S, N> for ForPeople
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        to.write_str("trunkline: ")?;
        let level = *event.metadata().level();
        if level != Level::INFO {
            write!(to, "{}: ", level.as_str().to_lowercase())?;
        }
        context.field_format().format_fields(to.by_ref(), event)?;
        writeln!(to)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn say_all() {
        tracing::info!("one \"thing\"");
        tracing::warn!("another");
        tracing::debug!("too much");
        tracing::warn!(target: "library", "for developers");
        tracing::error!(target: "library", "broken");
    }

    #[test]
    fn people_read_lines() {
        let paper = Paper::default();
        let writer = paper.clone();
        let subscriber = tracing_subscriber::registry().with(text(move || writer.clone())).with(filter(Level::INFO));
        tracing::subscriber::with_default(subscriber, say_all);
        let lines = "trunkline: one \"thing\"\ntrunkline: warn: another\ntrunkline: error: broken\n";
        assert_eq!(paper.text(), lines);
    }

    #[test]
    fn machines_read_objects() {
        let paper = Paper::default();
        let writer = paper.clone();
        let subscriber = tracing_subscriber::registry().with(json(move || writer.clone())).with(filter(Level::WARN));
        tracing::subscriber::with_default(subscriber, say_all);
        let read = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        let objects: Vec<serde_json::Value> = paper.text().lines().map(read).collect();
        let said: Vec<_> =
            objects.iter().map(|object| (object["level"].as_str(), object["message"].as_str())).collect();
        assert_eq!(said, [(Some("WARN"), Some("another")), (Some("ERROR"), Some("broken"))]);
        assert!(objects.iter().all(|object| object["timestamp"].is_string() && object["target"].is_string()));
    }
}
